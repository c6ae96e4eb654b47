//! Bringing the schema up to date. Migrations are part of the program; several programs may do it at once.

use crate::connect::AnyConnection;
use crate::{Database, DbError};
use diesel::migration::MigrationSource;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

const SQLITE: EmbeddedMigrations = embed_migrations!("migrations/sqlite");
#[cfg(feature = "mysql")]
const MYSQL: EmbeddedMigrations = embed_migrations!("migrations/mysql");

/// Where the stored schema stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaVersion {
    /// Name of the newest migration that was run; `None` for an empty database.
    pub newest: Option<String>,
    /// Migrations this program knows and the database has not seen.
    pub pending: Vec<String>,
    /// Versions of migrations the database has seen and this program does not know.
    pub unknown: Vec<String>,
}

impl SchemaVersion {
    pub fn is_current(&self) -> bool {
        self.trouble().is_none()
    }

    /// Why this program does not work with the schema, and what to do. With a newer one it would leave undone what that asks of
    /// whoever writes.
    pub fn trouble(&self) -> Option<String> {
        if self.newest.is_none() || !self.pending.is_empty() {
            let pending = self.pending.join(", ");
            return Some(format!(
                "the database's schema is not up to date (missing: {pending}); run: freezer-manage db sync"
            ));
        }
        let unknown = self.unknown.join(", ");
        (!unknown.is_empty()).then(|| {
            format!(
                "the database's schema is newer than this program, which does not know {unknown}; upgrade this program, \
                 or restore the backup of the database that was made before its upgrade"
            )
        })
    }
}

impl Database {
    /// Runs every migration that has not been run yet and returns their names.
    pub fn sync(&self) -> Result<Vec<String>, DbError> {
        let mut tx = self.checkout()?;
        let outcome = tx.run("schema", "", |conn| {
            Ok(match conn {
                #[cfg(feature = "mysql")]
                AnyConnection::Mysql(mysql) => mysql_sync(mysql),
                AnyConnection::Sqlite(sqlite) => run_pending(sqlite, SQLITE),
            })
        })?;
        let done = outcome.map_err(|reason| DbError::Migration { reason })?;
        drop(tx);
        if !done.is_empty() {
            self.keep_shown_actions()?;
        }
        Ok(done)
    }

    /// The stored schema's version.
    pub fn version(&self) -> Result<SchemaVersion, DbError> {
        let mut tx = self.checkout()?;
        let outcome = tx.run("schema", "", |conn| {
            Ok(match conn {
                #[cfg(feature = "mysql")]
                AnyConnection::Mysql(mysql) => version_of(mysql, MYSQL),
                AnyConnection::Sqlite(sqlite) => version_of(sqlite, SQLITE),
            })
        })?;
        outcome.map_err(|reason| DbError::Migration { reason })
    }
}

fn run_pending<DB, C>(connection: &mut C, known: EmbeddedMigrations) -> Result<Vec<String>, String>
where
    DB: diesel::backend::Backend,
    C: MigrationHarness<DB>,
    EmbeddedMigrations: MigrationSource<DB>,
{
    let done = connection.run_pending_migrations(known).map_err(|error| error.to_string())?;
    Ok(done.iter().map(ToString::to_string).collect())
}

fn version_of<DB, C>(connection: &mut C, known: EmbeddedMigrations) -> Result<SchemaVersion, String>
where
    DB: diesel::backend::Backend,
    C: MigrationHarness<DB>,
    EmbeddedMigrations: MigrationSource<DB>,
{
    let text = |error: Box<dyn std::error::Error + Send + Sync>| error.to_string();
    let versions = known.migrations().map_err(text)?;
    let versions: Vec<_> = versions.iter().map(|migration| migration.name().version().as_owned()).collect();
    let pending = connection.pending_migrations(known).map_err(text)?;
    let applied = connection.applied_migrations().map_err(text)?;
    let unknown = applied.iter().filter(|version| !versions.contains(version));
    Ok(SchemaVersion {
        unknown: unknown.map(ToString::to_string).collect(),
        newest: applied.iter().max().map(ToString::to_string),
        pending: pending.iter().map(|migration| migration.name().to_string()).collect(),
    })
}

/// MySQL commits each DDL statement by itself, so two syncs at once are kept apart by a named lock.
#[cfg(feature = "mysql")]
fn mysql_sync(connection: &mut diesel::MysqlConnection) -> Result<Vec<String>, String> {
    use diesel::RunQueryDsl;
    #[derive(diesel::QueryableByName)]
    struct Lock {
        #[diesel(sql_type = diesel::sql_types::Nullable<diesel::sql_types::BigInt>)]
        got: Option<i64>,
    }
    let name = "CONCAT('freezer_sync_', DATABASE())";
    let lock: Lock = diesel::sql_query(format!("SELECT GET_LOCK({name}, 120) AS got"))
        .get_result(connection)
        .map_err(|error| error.to_string())?;
    if lock.got != Some(1) {
        return Err("another sync has been running for two minutes".to_owned());
    }
    let outcome = run_pending(connection, MYSQL);
    let _: Result<Lock, _> =
        diesel::sql_query(format!("SELECT RELEASE_LOCK({name}) AS got")).get_result(connection);
    outcome
}
