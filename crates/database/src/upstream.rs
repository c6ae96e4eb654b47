//! Reading the database of Freezer in Python (MySQL), to take it over. Never writes to it.
//!
//! Everything is read in one snapshot, a page at a time in the order of the ids, rows marked as deleted left out. Values come as
//! they are stored: what they mean, and whether they can be kept, is the reader's to decide. Times are milliseconds, UTC.

use crate::connect::{AnyConnection, Connector};
use crate::error::translate;
use crate::target::{Target, without_secrets};
use crate::{Database, DbError, connect::refuse_without_build};
use diesel::connection::SimpleConnection;
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::{QueryableByName, RunQueryDsl, sql_query};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// The only version of upstream's schema that is known here.
pub const UPSTREAM_HEAD: &str = "7a3b9c1d2e4f";

/// Older ones, which upstream's own program brings up to date.
const OLDER_HEADS: [&str; 8] = [
    "1333cef214d9",
    "e74c32f034c5",
    "23c8ad2655a6",
    "29a2fd19eb86",
    "30a3fd20ec97",
    "4f8c679a1d3b",
    "a1b2c3d4e5f6",
    "5c9d21e87f34",
];

const PAGE: usize = 500;

/// A table of upstream's: how its rows are read.
pub trait UpstreamRow: Sized + Send + 'static {
    const TABLE: &'static str;
    const COLUMNS: &'static str;
    fn id(&self) -> &str;
    #[doc(hidden)]
    fn load(connection: &mut AnyUpstream, sql: &str) -> diesel::QueryResult<Vec<Self>>;
}

/// The connection, for [`UpstreamRow`] only.
#[doc(hidden)]
pub struct AnyUpstream(AnyConnection);

macro_rules! rows {
    ($($(#[$doc:meta])* $name:ident of $table:literal { $($field:ident: $kind:ty as $sql:ty = $column:literal,)+ })+) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, QueryableByName)]
        pub struct $name {
            #[diesel(sql_type = Text)]
            pub id: String,
            $(#[diesel(sql_type = $sql)] pub $field: $kind,)+
        }
        impl UpstreamRow for $name {
            const TABLE: &'static str = $table;
            const COLUMNS: &'static str = concat!("id AS id" $(, ", ", $column, " AS ", stringify!($field))+);
            fn id(&self) -> &str {
                &self.id
            }
            fn load(connection: &mut AnyUpstream, sql: &str) -> diesel::QueryResult<Vec<Self>> {
                match &mut connection.0 {
                    #[cfg(feature = "mysql")]
                    AnyConnection::Mysql(mysql) => sql_query(sql).load(mysql),
                    AnyConnection::Sqlite(sqlite) => sql_query(sql).load(sqlite),
                }
            }
        }
    )+};
}

type Words = Option<String>;
type Number = Option<i64>;

rows! {
    UpstreamClient of "clients" {
        project_id: Words as Nullable<Text> = "project_id",
        user_id: String as Text = "user_id",
        client_id: String as Text = "client_id",
        hostname: Words as Nullable<Text> = "hostname",
        description: Words as Nullable<Text> = "description",
        uuid: String as Text = "uuid",
        supported_actions: Words as Nullable<Text> = "supported_actions",
        supported_modes: Words as Nullable<Text> = "supported_modes",
        supported_storages: Words as Nullable<Text> = "supported_storages",
        supported_engines: Words as Nullable<Text> = "supported_engines",
        is_central: Number as Nullable<BigInt> = "CAST(is_central AS SIGNED)",
        created_at_ms: Number as Nullable<BigInt> = "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', created_at) DIV 1000",
    }
    UpstreamAction of "actions" {
        project_id: Words as Nullable<Text> = "project_id",
        user_id: String as Text = "user_id",
        action: Words as Nullable<Text> = "`action`",
        actionmode: Words as Nullable<Text> = "actionmode",
        path_to_backup: Words as Nullable<Text> = "path_to_backup",
        backup_name: Words as Nullable<Text> = "backup_name",
        container: Words as Nullable<Text> = "container",
        timeout: Number as Nullable<BigInt> = "CAST(timeout AS SIGNED)",
        priority: Number as Nullable<BigInt> = "CAST(priority AS SIGNED)",
        max_retries: Number as Nullable<BigInt> = "CAST(max_retries AS SIGNED)",
        max_retries_interval: Number as Nullable<BigInt> = "CAST(max_retries_interval AS SIGNED)",
        mandatory: Number as Nullable<BigInt> = "CAST(mandatory AS SIGNED)",
        log_file: Words as Nullable<Text> = "log_file",
        backup_metadata: Words as Nullable<Text> = "backup_metadata",
        created_at_ms: Number as Nullable<BigInt> = "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', created_at) DIV 1000",
    }
    UpstreamJob of "jobs" {
        project_id: Words as Nullable<Text> = "project_id",
        user_id: String as Text = "user_id",
        schedule: Words as Nullable<Text> = "schedule",
        client_id: String as Text = "client_id",
        session_id: Words as Nullable<Text> = "session_id",
        session_tag: Number as Nullable<BigInt> = "CAST(session_tag AS SIGNED)",
        description: Words as Nullable<Text> = "description",
        created_at_ms: Number as Nullable<BigInt> = "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', created_at) DIV 1000",
    }
    UpstreamJobAction of "job_actions" {
        job_id: String as Text = "job_id",
        action_id: String as Text = "action_id",
        position: Number as Nullable<BigInt> = "CAST(position AS SIGNED)",
    }
    UpstreamCredentials of "user_credentials" {
        job_id: String as Text = "job_id",
        trust_id: String as Text = "trust_id",
        trustor_user_id: String as Text = "trustor_user_id",
        created_at_ms: Number as Nullable<BigInt> = "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', created_at) DIV 1000",
    }
    UpstreamSession of "sessions" {
        project_id: Words as Nullable<Text> = "project_id",
        user_id: String as Text = "user_id",
        session_tag: Number as Nullable<BigInt> = "CAST(session_tag AS SIGNED)",
        description: Words as Nullable<Text> = "description",
        hold_off: Number as Nullable<BigInt> = "CAST(hold_off AS SIGNED)",
        schedule: Words as Nullable<Text> = "schedule",
        job: Words as Nullable<Text> = "job",
        time_start: Number as Nullable<BigInt> = "CAST(time_start AS SIGNED)",
        time_end: Number as Nullable<BigInt> = "CAST(time_end AS SIGNED)",
        status: Words as Nullable<Text> = "status",
        result: Words as Nullable<Text> = "result",
        created_at_ms: Number as Nullable<BigInt> = "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', created_at) DIV 1000",
    }
    UpstreamBackup of "backups" {
        project_id: Words as Nullable<Text> = "project_id",
        user_id: String as Text = "user_id",
        job_id: Words as Nullable<Text> = "job_id",
        status: Words as Nullable<Text> = "status",
        backup_metadata: Words as Nullable<Text> = "backup_metadata",
        created_at_ms: Number as Nullable<BigInt> = "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', created_at) DIV 1000",
    }
}

#[derive(QueryableByName)]
struct Id {
    #[diesel(sql_type = Text)]
    id: String,
}

#[derive(QueryableByName)]
struct NamedTrust {
    #[diesel(sql_type = Text)]
    id: String,
    #[diesel(sql_type = Text)]
    project: String,
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    rows: i64,
}

/// Trusts that several projects name.
pub struct DisputedTrusts(HashSet<String>);

impl DisputedTrusts {
    pub fn contains(&self, trust_id: &str) -> bool {
        self.0.contains(&Self::key(trust_id))
    }

    /// To a Keystone on MySQL letters are the same in either case, and blanks at the end are nothing.
    fn key(trust_id: &str) -> String {
        trust_id.trim().to_lowercase()
    }
}

/// An open snapshot of upstream's database.
pub struct Upstream {
    connection: AnyUpstream,
    place: String,
}

impl Upstream {
    /// Connects, takes the snapshot and looks whether this is a database that is known here.
    pub fn open(url: &str, ours: &Database) -> Result<Self, DbError> {
        let target = Target::parse(url)?;
        refuse_without_build(&target, url)?;
        let place = without_secrets(url);
        if !matches!(target, Target::Mysql(_)) {
            let reason = "Freezer in Python is taken over from MySQL only".to_owned();
            return Err(DbError::Url { url: place, reason });
        }
        if ours.is_at(&place) {
            let reason = "this is the database to import into; give the old one".to_owned();
            return Err(DbError::Url { url: place, reason });
        }
        // The snapshot may rest while what was read is written: no limit.
        let connector =
            Connector { target, statements: None, refusal: Arc::default(), idle_transaction_secs: 0 };
        let connection = connector
            .open()
            .map_err(|error| DbError::Connect { url: place.clone(), reason: error.to_string() })?;
        let mut upstream = Self { connection: AnyUpstream(connection), place };
        for statement in [
            "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
            "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
        ] {
            let outcome = upstream.connection.0.batch_execute(statement);
            outcome.map_err(|error| translate("snapshot", "", error))?;
        }
        upstream.check_version()?;
        Ok(upstream)
    }

    fn check_version(&mut self) -> Result<(), DbError> {
        let refuse = |reason: String| DbError::Migration { reason };
        let heads: Vec<String> = self
            .ask::<Id>("SELECT version_num AS id FROM alembic_version")
            .map_err(|error| refuse(format!("{} is no database of Freezer in Python ({error})", self.place)))?
            .into_iter()
            .map(|version| version.id)
            .collect();
        match heads.as_slice() {
            [head] if head == UPSTREAM_HEAD => Ok(()),
            [head] if OLDER_HEADS.contains(&head.as_str()) => Err(refuse(format!(
                "the schema of {} is of version {head}, and {UPSTREAM_HEAD} is needed: run upstream's own freezer-manage db \
                 sync on it first",
                self.place
            ))),
            _ => Err(refuse(format!(
                "the schema of {} is of version {}, which is not known here; only {UPSTREAM_HEAD} can be taken over",
                self.place,
                if heads.is_empty() { "(none)".to_owned() } else { heads.join(" and ") }
            ))),
        }
    }

    fn ask<T>(&mut self, sql: &str) -> diesel::QueryResult<Vec<T>>
    where
        T: QueryableFromBoth,
    {
        T::load_from(&mut self.connection.0, sql)
    }

    /// How many rows of a table are marked as deleted.
    pub fn count_deleted<R: UpstreamRow>(&mut self) -> Result<u64, DbError> {
        let sql = format!("SELECT COUNT(*) AS `rows` FROM {} WHERE deleted <> 0", R::TABLE);
        let counted = self.ask::<Count>(&sql).map_err(|error| translate(R::TABLE, "", error))?;
        Ok(counted.first().map_or(0, |count| count.rows.unsigned_abs()))
    }

    /// Hands all living rows of a table to `take`, a page at a time.
    pub fn each_page<R: UpstreamRow, E: From<DbError>>(
        &mut self,
        mut take: impl FnMut(&mut Self, Vec<R>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut after = String::new();
        loop {
            let condition = format!("id > {}", quoted(&after));
            let page: Vec<R> = self.page(&condition)?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.id().to_owned();
            take(self, page)?;
        }
    }

    /// All living rows of a table that belong to these jobs.
    pub fn of_jobs<R: UpstreamRow>(&mut self, jobs: &[UpstreamJob]) -> Result<Vec<R>, DbError> {
        let Some((first, others)) = jobs.split_first() else { return Ok(Vec::new()) };
        let ids: Vec<String> = others.iter().map(|job| quoted(&job.id)).collect();
        let ids = [vec![quoted(&first.id)], ids].concat().join(", ");
        let sql = format!(
            "SELECT {} FROM {} WHERE COALESCE(deleted, 0) = 0 AND job_id IN ({ids}) ORDER BY job_id, id",
            R::COLUMNS,
            R::TABLE
        );
        R::load(&mut self.connection, &sql).map_err(|error| translate(R::TABLE, "", error))
    }

    /// Trusts that jobs of more than one project name. Keystone makes each for one: whoever else names it made it up.
    pub fn disputed_trusts(&mut self) -> Result<DisputedTrusts, DbError> {
        let sql = "SELECT DISTINCT its.trust_id AS id, COALESCE(jobs.project_id, '') AS project \
                   FROM user_credentials AS its JOIN jobs ON jobs.id = its.job_id";
        let found = self.ask::<NamedTrust>(sql);
        let found = found.map_err(|error| translate(UpstreamCredentials::TABLE, "", error))?;
        let mut projects: HashMap<String, HashSet<String>> = HashMap::new();
        for named in found {
            projects.entry(DisputedTrusts::key(&named.id)).or_default().insert(named.project);
        }
        let disputed = projects.into_iter().filter(|(_, projects)| projects.len() > 1);
        Ok(DisputedTrusts(disputed.map(|(key, _)| key).collect()))
    }

    fn page<R: UpstreamRow>(&mut self, condition: &str) -> Result<Vec<R>, DbError> {
        let sql = format!(
            "SELECT {} FROM {} WHERE COALESCE(deleted, 0) = 0 AND {condition} ORDER BY id LIMIT {PAGE}",
            R::COLUMNS,
            R::TABLE
        );
        R::load(&mut self.connection, &sql).map_err(|error| translate(R::TABLE, "", error))
    }
}

/// An id of that database as a literal; hexadecimal, so that nothing in it can mean anything.
fn quoted(id: &str) -> String {
    let digits: String = id.bytes().map(|byte| format!("{byte:02x}")).collect();
    match digits.is_empty() {
        true => "''".to_owned(),
        false => format!("_utf8mb4 x'{digits}'"),
    }
}

/// Loaded from either kind of connection.
trait QueryableFromBoth: Sized {
    fn load_from(connection: &mut AnyConnection, sql: &str) -> diesel::QueryResult<Vec<Self>>;
}

macro_rules! from_both {
    ($($name:ident),+) => {$(
        impl QueryableFromBoth for $name {
            fn load_from(connection: &mut AnyConnection, sql: &str) -> diesel::QueryResult<Vec<Self>> {
                match connection {
                    #[cfg(feature = "mysql")]
                    AnyConnection::Mysql(mysql) => sql_query(sql).load(mysql),
                    AnyConnection::Sqlite(sqlite) => sql_query(sql).load(sqlite),
                }
            }
        }
    )+};
}
from_both!(Id, NamedTrust, Count);
