//! Which tables there are, and the end of all of ours, as a plan that can be printed before it is carried out.

use crate::connect::{AnyConnection, either};
use crate::{Database, DbError};
use diesel::sql_types::{BigInt, Text};
use diesel::{QueryableByName, RunQueryDsl, sql_query};

const NOUN: &str = "table";

/// Every table of the migrations, each before those it refers to; the record of migrations last, so that what was interrupted
/// is found again.
const TABLES: [&str; 16] = [
    "job_actions",
    "session_jobs",
    "sessions",
    "jobs",
    "actions",
    "runs",
    "backups",
    "clients",
    "client_names",
    "trusts",
    "quotas",
    "shares",
    "dispatch_turn",
    "outbox",
    "imported",
    RECORD,
];

/// Has a row for each migration that was finished. It is made, empty, in any database that is asked for its version.
const RECORD: &str = "__diesel_schema_migrations";

#[cfg(feature = "mysql")]
const OF_MYSQL: &str = "SELECT table_name AS name FROM information_schema.tables \
                        WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE' ORDER BY table_name";
const OF_SQLITE: &str = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name";

#[derive(QueryableByName)]
struct Named {
    #[diesel(sql_type = Text)]
    name: String,
}

#[derive(QueryableByName)]
struct Counted {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

impl Database {
    /// The names of all tables in the database, others' too, sorted.
    pub fn tables(&self) -> Result<Vec<String>, DbError> {
        let tables: Vec<Named> = self.read(|tx| {
            tx.run(NOUN, "", |conn| match conn {
                #[cfg(feature = "mysql")]
                AnyConnection::Mysql(mysql) => sql_query(OF_MYSQL).load(mysql),
                AnyConnection::Sqlite(sqlite) => sql_query(OF_SQLITE).load(sqlite),
            })
        })?;
        Ok(tables.into_iter().map(|table| table.name).collect())
    }

    /// The tables that [`Self::remove_tables`] would drop, with the rows in each.
    pub fn removal_plan(&self) -> Result<Vec<(String, i64)>, DbError> {
        let mut plan = Vec::new();
        for table in self.own_tables()? {
            plan.push((table.to_owned(), self.rows(table)?));
        }
        Ok(plan)
    }

    fn rows(&self, table: &str) -> Result<i64, DbError> {
        let counted: Counted = self.read(|tx| {
            let count = format!("SELECT COUNT(*) AS number FROM {table}");
            tx.run(NOUN, table, |conn| either!(conn => sql_query(count).get_result(conn)))
        })?;
        Ok(counted.number)
    }

    /// Drops every table of ours with all its rows, and returns their names. Others' tables in the same database stay, and all of
    /// them where no migration was ever finished. Interrupted, it goes on when it is called again.
    pub fn remove_tables(&self) -> Result<Vec<String>, DbError> {
        let tables = self.own_tables()?;
        for table in &tables {
            self.transaction(|tx| {
                tx.run(
                    NOUN,
                    table,
                    |conn| either!(conn => sql_query(format!("DROP TABLE {table}")).execute(conn)),
                )
            })?;
        }
        Ok(tables.into_iter().map(str::to_owned).collect())
    }

    /// Freezer in Python calls its tables just so: without a finished migration they are not ours.
    fn own_tables(&self) -> Result<Vec<&'static str>, DbError> {
        let there = self.tables()?;
        if !there.iter().any(|name| name == RECORD) || self.rows(RECORD)? == 0 {
            return Ok(Vec::new());
        }
        Ok(TABLES.into_iter().filter(|table| there.iter().any(|name| name == table)).collect())
    }
}
