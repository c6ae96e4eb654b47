//! One connection of either kind, and the pool's recipe for making and checking it.
//!
//! SQLite: WAL, foreign keys on, waits for the writer. MySQL: READ COMMITTED, strict mode, utf8mb4, English messages
//! (some conditions are told by text only).

use crate::{DbError, target::Target};
use diesel::connection::{Instrumentation, InstrumentationEvent, SimpleConnection, TransactionManager};
use diesel::{Connection, ConnectionError, ConnectionResult, SqliteConnection};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

#[derive(diesel::MultiConnection)]
pub(crate) enum AnyConnection {
    #[cfg(feature = "mysql")]
    Mysql(diesel::MysqlConnection),
    Sqlite(SqliteConnection),
}

/// The same work on a connection of either kind, compiled for each. Through [`AnyConnection`] itself the text of a statement is
/// made anew every time it is sent, and looked up by that; here it is known by its type.
macro_rules! either {
    ($conn:ident => $work:expr) => {
        match $conn {
            #[cfg(feature = "mysql")]
            AnyConnection::Mysql($conn) => $work,
            AnyConnection::Sqlite($conn) => $work,
        }
    };
}
pub(crate) use either;

const SQLITE_SESSION: &str = "PRAGMA busy_timeout = 30000; PRAGMA foreign_keys = ON; \
     PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;";

#[cfg(feature = "mysql")]
const MYSQL_SESSION: [&str; 4] = [
    "SET SESSION transaction_isolation = 'READ-COMMITTED'",
    // What diesel itself relies on (PIPES_AS_CONCAT) on top of strictness.
    "SET SESSION sql_mode = 'TRADITIONAL,PIPES_AS_CONCAT'",
    // The columns' own collation: a parameter of another one compares alike, but no index gives the rows in order then, and
    // each page of a list would sort its whole project.
    "SET NAMES utf8mb4 COLLATE utf8mb4_bin",
    "SET SESSION lc_messages = 'en_US'",
];

/// MariaDB took over MySQL's name of this variable only in 11.1.
#[cfg(feature = "mysql")]
const MYSQL_ISOLATION_OLD: &str = "SET SESSION tx_isolation = 'READ-COMMITTED'";

pub(crate) struct Connector {
    pub target: Target,
    /// Where statements are counted, if they are.
    pub statements: Option<Arc<AtomicU64>>,
    pub refusal: Arc<Refusal>,
    pub idle_transaction_secs: u64,
}

/// The last attempt to connect, if it failed: whoever waits for a connection need not wait long, and all who want one try as often
/// as one would alone.
#[derive(Default)]
pub(crate) struct Refusal {
    is_standing: AtomicBool,
    last: Mutex<Option<(Instant, String)>>,
}

/// Between two attempts to reach a database that is away.
const REFUSAL_HOLDS: Duration = Duration::from_millis(250);

impl Refusal {
    pub(crate) fn is_standing(&self) -> bool {
        self.is_standing.load(Ordering::Relaxed)
    }

    /// Why another attempt would be too soon.
    fn is_fresh(&self) -> Option<String> {
        if !self.is_standing() {
            return None;
        }
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().filter(|(at, _)| at.elapsed() < REFUSAL_HOLDS).map(|(_, why)| why.clone())
    }

    fn note<T>(&self, opened: &ConnectionResult<T>) {
        if let Err(error) = opened {
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            *last = Some((Instant::now(), error.to_string()));
        }
        self.is_standing.store(opened.is_err(), Ordering::Relaxed);
    }
}

impl Connector {
    pub(crate) fn open(&self) -> ConnectionResult<AnyConnection> {
        let mut connection = match &self.target {
            Target::SqliteMemory => open_sqlite(":memory:")?,
            Target::SqliteFile(path) => open_sqlite(path)?,
            Target::Mysql(url) => open_mysql(url, self.idle_transaction_secs)?,
        };
        if let Some(statements) = &self.statements {
            connection.set_instrumentation(Counter(statements.clone()));
        }
        Ok(connection)
    }
}

fn open_sqlite(path: &str) -> ConnectionResult<AnyConnection> {
    let mut connection = SqliteConnection::establish(path)?;
    connection.batch_execute(SQLITE_SESSION).map_err(ConnectionError::CouldntSetupConfiguration)?;
    Ok(AnyConnection::Sqlite(connection))
}

#[cfg(feature = "mysql")]
fn open_mysql(url: &str, idle_transaction_secs: u64) -> ConnectionResult<AnyConnection> {
    let mut connection = diesel::MysqlConnection::establish(url)?;
    let mut settings = MYSQL_SESSION.iter();
    if let Some(isolation) = settings.next()
        && connection.batch_execute(isolation).is_err()
    {
        connection.batch_execute(MYSQL_ISOLATION_OLD).map_err(ConnectionError::CouldntSetupConfiguration)?;
    }
    for setting in settings {
        connection.batch_execute(setting).map_err(ConnectionError::CouldntSetupConfiguration)?;
    }
    // MySQL does not know it, and goes on without.
    let idle = format!("SET SESSION idle_transaction_timeout = {idle_transaction_secs}");
    let _ = connection.batch_execute(&idle);
    Ok(AnyConnection::Mysql(connection))
}

#[cfg(not(feature = "mysql"))]
fn open_mysql(_url: &str, _idle_transaction_secs: u64) -> ConnectionResult<AnyConnection> {
    Err(ConnectionError::BadConnection("this build has no MySQL".to_owned()))
}

/// Counts statements, so that tests can assert how many a call costs. The statements that open and
/// close a transaction are not counted.
struct Counter(Arc<AtomicU64>);

impl Instrumentation for Counter {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        let InstrumentationEvent::StartQuery { query, .. } = event else { return };
        let text = query.to_string();
        let is_frame =
            ["BEGIN", "START TRANSACTION", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "SELECT 1"]
                .iter()
                .any(|word| text.starts_with(word) && !text.contains("FROM"));
        if !is_frame {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A connection of the pool.
pub(crate) struct Pooled {
    pub connection: AnyConnection,
    /// Not to be used again. When a deadlock ends a query after its first rows, the MariaDB client library takes the next
    /// execution of that statement for one with rows left to read, and waits for them for ever.
    pub is_spent: bool,
    /// When it was last seen to work.
    proved_at: Instant,
}

/// A connection that worked so recently is handed out without asking the database first: that would be a round trip
/// for each request. One that has died since gives one request an error, as it would in the middle of its work.
const PROOF_HOLDS: Duration = Duration::from_secs(1);

impl diesel::r2d2::ManageConnection for Connector {
    type Connection = Pooled;
    type Error = diesel::r2d2::Error;

    fn connect(&self) -> Result<Pooled, Self::Error> {
        let opened = match self.refusal.is_fresh() {
            Some(why) => Err(ConnectionError::BadConnection(why)),
            None => {
                let opened = self.open();
                self.refusal.note(&opened);
                opened
            }
        };
        let connection = opened.map_err(diesel::r2d2::Error::ConnectionError)?;
        Ok(Pooled { connection, is_spent: false, proved_at: Instant::now() })
    }

    fn is_valid(&self, pooled: &mut Pooled) -> Result<(), Self::Error> {
        if pooled.proved_at.elapsed() < PROOF_HOLDS {
            return Ok(());
        }
        pooled.connection.batch_execute("SELECT 1").map_err(diesel::r2d2::Error::QueryError)?;
        pooled.proved_at = Instant::now();
        Ok(())
    }

    fn has_broken(&self, pooled: &mut Pooled) -> bool {
        let is_broken = pooled.is_spent
            || std::thread::panicking()
            || <AnyConnection as Connection>::TransactionManager::is_broken_transaction_manager(
                &mut pooled.connection,
            );
        pooled.proved_at = Instant::now();
        is_broken
    }
}

/// What a transaction is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Read,
    Write,
}

/// Opens a transaction. SQLite takes the writer's place at once when it is going to write: waiting then is
/// safe, while a reader that turns into a writer could be refused in the middle. MySQL needs none for reading: at READ
/// COMMITTED each statement sees the newest state anyway, and two round trips are saved.
pub(crate) fn begin(connection: &mut AnyConnection, purpose: Purpose) -> diesel::QueryResult<()> {
    use diesel::connection::AnsiTransactionManager as Ansi;
    match connection {
        #[cfg(feature = "mysql")]
        AnyConnection::Mysql(mysql) => match purpose {
            Purpose::Read => Ok(()),
            Purpose::Write => Ansi::begin_transaction_sql(mysql, "START TRANSACTION"),
        },
        AnyConnection::Sqlite(sqlite) => match purpose {
            Purpose::Read => Ansi::begin_transaction_sql(sqlite, "BEGIN DEFERRED"),
            Purpose::Write => Ansi::begin_transaction_sql(sqlite, "BEGIN IMMEDIATE"),
        },
    }
}

/// Ends a transaction that was opened for reading.
pub(crate) fn end_reading(connection: &mut AnyConnection) -> diesel::QueryResult<()> {
    match connection {
        #[cfg(feature = "mysql")]
        AnyConnection::Mysql(_) => Ok(()),
        AnyConnection::Sqlite(_) => rollback(connection),
    }
}

pub(crate) fn commit(connection: &mut AnyConnection) -> diesel::QueryResult<()> {
    <AnyConnection as Connection>::TransactionManager::commit_transaction(connection)
}

pub(crate) fn rollback(connection: &mut AnyConnection) -> diesel::QueryResult<()> {
    <AnyConnection as Connection>::TransactionManager::rollback_transaction(connection)
}

/// Without the feature, says so before anything is tried.
pub(crate) fn refuse_without_build(target: &Target, url: &str) -> Result<(), DbError> {
    if cfg!(not(feature = "mysql")) && matches!(target, Target::Mysql(_)) {
        return Err(DbError::NeedsMysqlBuild { url: crate::target::without_secrets(url) });
    }
    Ok(())
}
