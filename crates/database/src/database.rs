//! The pool, and transactions on it.
//!
//! A write transaction that loses a deadlock is run again from its start, with a growing random wait; its closure must
//! therefore not do anything that a second run would do twice.

use crate::actions::ActionRow;
use crate::connect::{
    AnyConnection, Connector, Purpose, Refusal, begin, commit, end_reading, refuse_without_build, rollback,
};
use crate::error::translate;
use crate::spool::{Spools, usual_folder};
use crate::target::{Target, without_secrets};
use crate::{
    Actions, Backups, Clients, DbError, Imported, Jobs, Outbox, Quotas, Runs, Sessions, Shares, Trusts,
};
use diesel::QueryResult;
use diesel::r2d2::{Pool, PooledConnection};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The options of oslo.db's `[database]` group that matter here.
#[derive(Clone)]
pub struct DatabaseOptions {
    /// `[database] connection`.
    pub url: String,
    pub max_pool_size: u32,
    /// Connections beyond `max_pool_size` at peaks; they are closed when idle.
    pub max_overflow: u32,
    /// How long a caller waits for a free connection.
    pub pool_timeout: Duration,
    /// Attempts to reach the database at start after the first one; -1 = for ever.
    pub max_retries: i32,
    pub retry_interval: Duration,
    /// Retries of a transaction that lost a deadlock.
    pub deadlock_retries: u32,
    /// Count statements ([`Database::statements`]): for tests, it costs the text of each.
    pub counts_statements: bool,
    /// After so long without a statement the server ends a transaction, so that a program that lost its way to the
    /// database keeps nothing locked. MariaDB only; MySQL notices when the connection does.
    pub idle_transaction_timeout: Duration,
    /// Most bytes of the temporary files for large pages of lists, together. Pages for which there is no room are read piece by piece.
    pub spool_bytes: u64,
    /// Where those files are; they have no names there.
    pub spool_folder: PathBuf,
    /// So long a large page waits for another one that is being read; then it is read piece by piece.
    pub spool_patience: Duration,
}

impl DatabaseOptions {
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            max_pool_size: 5,
            max_overflow: 50,
            pool_timeout: Duration::from_secs(30),
            max_retries: 10,
            retry_interval: Duration::from_secs(10),
            deadlock_retries: 20,
            counts_statements: false,
            idle_transaction_timeout: Duration::from_secs(20),
            spool_bytes: 1 << 30,
            spool_folder: usual_folder(),
            spool_patience: Duration::from_secs(10),
        }
    }
}

impl std::fmt::Debug for DatabaseOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "DatabaseOptions({}, pool {}+{})",
            without_secrets(&self.url),
            self.max_pool_size,
            self.max_overflow
        )
    }
}

/// The pool's own patience. It tries a database that is away again after at most half of this, so that the service is
/// back soon after its database.
const POOL_PATIENCE: Duration = Duration::from_secs(4);
/// Waiting for a connection goes on in steps of this, while the database can be reached.
const WAIT_STEP: Duration = Duration::from_millis(500);

/// A pool of connections to one database; clones share it.
#[derive(Clone)]
pub struct Database {
    pool: Pool<Connector>,
    statements: Arc<AtomicU64>,
    refusal: Arc<Refusal>,
    pool_timeout: Duration,
    deadlock_retries: u32,
    place: Arc<str>,
    pub(crate) spools: Arc<Spools>,
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Database({})", self.place)
    }
}

impl Database {
    /// Opens the pool after one connection has been made; waits for a database that is not up yet
    /// as long as the options say.
    pub fn connect(options: &DatabaseOptions) -> Result<Self, DbError> {
        let target = Target::parse(&options.url)?;
        refuse_without_build(&target, &options.url)?;
        let statements = Arc::new(AtomicU64::new(0));
        let in_memory = target == Target::SqliteMemory;
        let place = without_secrets(&options.url);
        let refusal = Arc::<Refusal>::default();
        let connector = Connector {
            target,
            statements: options.counts_statements.then(|| statements.clone()),
            refusal: refusal.clone(),
            idle_transaction_secs: options.idle_transaction_timeout.as_secs().max(1),
        };
        if !in_memory {
            reach(&connector, options, &place)?;
        }
        // A database in memory lives in its one connection.
        let size =
            if in_memory { 1 } else { options.max_pool_size.saturating_add(options.max_overflow).max(1) };
        let idle = if in_memory { 1 } else { options.max_pool_size.clamp(0, size).min(1) };
        let mut builder = Pool::builder()
            .max_size(size)
            .min_idle(Some(idle))
            .connection_timeout(POOL_PATIENCE)
            .test_on_check_out(!in_memory);
        if in_memory {
            builder = builder.max_lifetime(None).idle_timeout(None);
        }
        let pool = builder
            .build(connector)
            .map_err(|error| DbError::Connect { url: place.clone(), reason: error.to_string() })?;
        Ok(Self {
            pool,
            statements,
            refusal,
            pool_timeout: options.pool_timeout,
            deadlock_retries: options.deadlock_retries,
            place: place.into(),
            spools: Arc::new(Spools::new(
                options.spool_folder.clone(),
                options.spool_bytes,
                options.spool_patience,
            )),
        })
    }

    /// Whether this is the database at `place`, a URL without secrets.
    pub(crate) fn is_at(&self, place: &str) -> bool {
        let bare = |url: &str| {
            let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
            let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
            rest.split('?').next().unwrap_or_default().to_owned()
        };
        bare(&self.place) == bare(place)
    }

    /// Most connections at a time: more threads than that only wait for one.
    pub fn max_connections(&self) -> u32 {
        self.pool.max_size()
    }

    /// Whether the database answers.
    pub fn ping(&self) -> Result<(), DbError> {
        self.checkout()?
            .run("ping", "", |conn| diesel::connection::SimpleConnection::batch_execute(conn, "SELECT 1"))
    }

    /// Statements sent so far by all connections of this pool, without those that open and close transactions.
    /// For tests that assert what a call costs; stays 0 unless [`DatabaseOptions::counts_statements`] is set.
    pub fn statements(&self) -> u64 {
        self.statements.load(Ordering::Relaxed)
    }

    /// Runs `work`, which does not write. On MySQL each of its statements sees what is committed by then.
    pub fn read<T, E: From<DbError>>(&self, work: impl FnOnce(&mut Tx) -> Result<T, E>) -> Result<T, E> {
        let mut tx = self.begin(Purpose::Read)?;
        let outcome = work(&mut tx);
        // A failed rollback marks the connection as broken and the pool throws it away.
        let _ = end_reading(&mut tx.pooled.connection);
        outcome
    }

    /// Runs `work` in a transaction and commits when it returns `Ok`; any error undoes everything. `work` may be
    /// run several times (see the module's head).
    pub fn transaction<T, E: From<DbError>>(
        &self,
        mut work: impl FnMut(&mut Tx) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut attempt = 0;
        loop {
            let mut tx = self.begin(Purpose::Write)?;
            let outcome = work(&mut tx);
            let lost = match outcome {
                // Whatever the closure made of the error, the database has undone its work already.
                _ if tx.lost_deadlock => outcome,
                Err(error) => {
                    let _ = rollback(&mut tx.pooled.connection);
                    return Err(error);
                }
                Ok(value) => match tx.run("transaction", "", commit) {
                    Ok(()) => return Ok(value),
                    Err(error) => Err(error.into()),
                },
            };
            let _ = rollback(&mut tx.pooled.connection);
            if !tx.lost_deadlock || attempt >= self.deadlock_retries {
                return match lost {
                    Ok(_) => Err(DbError::Contention { reason: "deadlock".to_owned() }.into()),
                    Err(error) => Err(error),
                };
            }
            drop(tx);
            attempt += 1;
            std::thread::sleep(back_off(attempt));
        }
    }

    fn begin(&self, purpose: Purpose) -> Result<Tx, DbError> {
        let mut tx = self.checkout()?;
        tx.run("transaction", "", |connection| begin(connection, purpose))?;
        Ok(tx)
    }

    /// A connection: waits `pool_timeout` for one to become free, but only a moment while the database is away.
    pub(crate) fn checkout(&self) -> Result<Tx, DbError> {
        let deadline = Instant::now() + self.pool_timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let error = match self.pool.get_timeout(left.min(WAIT_STEP)) {
                Ok(pooled) => return Ok(Tx { pooled, lost_deadlock: false, held_actions: Vec::new() }),
                Err(error) => error,
            };
            let reason = if self.refusal.is_standing() {
                format!("{} cannot be reached: {error}", self.place)
            } else if left <= WAIT_STEP {
                format!(
                    "no connection to {} became free in {} s; raise [database] max_overflow",
                    self.place,
                    self.pool_timeout.as_secs()
                )
            } else {
                continue;
            };
            return Err(DbError::Unavailable { reason });
        }
    }
}

/// Connects once, so that a wrong password is told at start and not as a pool's timeout.
fn reach(connector: &Connector, options: &DatabaseOptions, place: &str) -> Result<(), DbError> {
    let mut attempt = 0;
    loop {
        let error = match connector.open() {
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        if options.max_retries >= 0 && attempt >= options.max_retries {
            return Err(DbError::Connect { url: place.to_owned(), reason: error.to_string() });
        }
        attempt = attempt.saturating_add(1);
        tracing::warn!(database = place, attempt, "cannot connect: {error}; trying again");
        std::thread::sleep(options.retry_interval);
    }
}

/// A random wait that grows with each attempt: at most 10 ms after the first, 500 ms in the end.
fn back_off(attempt: u32) -> Duration {
    let most_ms = 10u64.saturating_mul(1 << attempt.min(6)).min(500);
    let random = u64::from(uuid::Uuid::new_v4().as_fields().0);
    Duration::from_millis(1 + random % most_ms)
}

/// An open transaction. The repositories borrow it, one at a time.
pub struct Tx {
    pooled: PooledConnection<Connector>,
    /// The database has chosen this transaction as a deadlock's victim.
    lost_deadlock: bool,
    /// Actions that it has written, as they are stored: nobody else can change them before it ends.
    held_actions: Vec<ActionRow>,
}

/// Most actions of which a transaction remembers what it wrote: an import writes any number.
const REMEMBERED: usize = 1000;

impl Tx {
    pub fn clients(&mut self) -> Clients<'_> {
        Clients { tx: self }
    }
    pub fn actions(&mut self) -> Actions<'_> {
        Actions { tx: self }
    }
    pub fn jobs(&mut self) -> Jobs<'_> {
        Jobs { tx: self }
    }
    pub fn runs(&mut self) -> Runs<'_> {
        Runs { tx: self }
    }
    pub fn sessions(&mut self) -> Sessions<'_> {
        Sessions { tx: self }
    }
    pub fn outbox(&mut self) -> Outbox<'_> {
        Outbox { tx: self }
    }
    pub fn quotas(&mut self) -> Quotas<'_> {
        Quotas { tx: self }
    }
    pub fn shares(&mut self) -> Shares<'_> {
        Shares { tx: self }
    }
    pub fn backups(&mut self) -> Backups<'_> {
        Backups { tx: self }
    }
    pub fn imported(&mut self) -> Imported<'_> {
        Imported { tx: self }
    }
    pub fn trusts(&mut self) -> Trusts<'_> {
        Trusts { tx: self }
    }

    /// Remembers actions as this transaction has written them.
    pub(crate) fn remember(&mut self, rows: impl IntoIterator<Item = ActionRow>) {
        if self.held_actions.len() > REMEMBERED {
            self.held_actions.clear();
        }
        self.held_actions.extend(rows);
    }

    pub(crate) fn forget_action(&mut self, project: &str, id: &str) {
        self.held_actions.retain(|held| !held.is(project, id));
    }

    /// An action that this transaction has written, if it remembers.
    pub(crate) fn remembered(&self, project: &str, id: &str) -> Option<&ActionRow> {
        self.held_actions.iter().find(|held| held.is(project, id))
    }

    /// The only door to the connection: one or more statements about one row (or a list, with `id` empty).
    pub(crate) fn run<T>(
        &mut self,
        noun: &'static str,
        id: &str,
        statements: impl FnOnce(&mut AnyConnection) -> QueryResult<T>,
    ) -> Result<T, DbError> {
        statements(&mut self.pooled.connection).map_err(|error| {
            let error = translate(noun, id, error);
            if error.is_transient() {
                self.lost_deadlock |= matches!(error, DbError::Contention { .. });
                self.pooled.is_spent = true;
            }
            error
        })
    }
}
