//! Clearing out what nobody looks at any more, as a plan that can be printed before it is carried out.
//!
//! Old means: finished before the given time. The newest finished run of each job stays whatever its age, because
//! "when did this last work" must always have an answer. Jobs, actions, clients and live backup records are users' things
//! and never purged.

use crate::connect::AnyConnection;
#[cfg(feature = "mysql")]
use crate::schema::client_names;
use crate::schema::{backups, runs};
use crate::{Database, DbError, Tx};
#[cfg(feature = "mysql")]
use diesel::dsl::sql;
use diesel::prelude::*;
#[cfg(feature = "mysql")]
use diesel::sql_types::Bool;
use freezer_model::{BackupStatus, Timestamp};

/// What a purge would remove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PurgePlan {
    pub older_than: Timestamp,
    pub runs: u64,
    /// Records whose status is `deleted`.
    pub backups: u64,
}

/// Rows deleted in one transaction, so that no lock is held for long.
const BATCH: i64 = 500;

diesel::alias!(runs as newer: Newer);

macro_rules! old_runs {
    ($before:expr) => {
        runs::table.filter(runs::finished_at.lt($before)).filter(diesel::dsl::exists(
            newer
                .filter(newer.field(runs::project_id).eq(runs::project_id))
                .filter(newer.field(runs::job_id).eq(runs::job_id))
                .filter(newer.field(runs::finished_at).gt(runs::finished_at)),
        ))
    };
}

impl Database {
    /// Counts what [`Self::purge`] would remove.
    pub fn purge_plan(&self, older_than: Timestamp) -> Result<PurgePlan, DbError> {
        self.read(|tx| {
            let runs: i64 = tx.run("run", "", |conn| old_runs!(older_than.0).count().get_result(conn))?;
            let backups: i64 = tx.run("backup", "", |conn| {
                backups::table
                    .filter(backups::status.eq(BackupStatus::Deleted.as_str()))
                    .filter(backups::created_at.lt(older_than.0))
                    .count()
                    .get_result(conn)
            })?;
            Ok(PurgePlan {
                older_than,
                runs: u64::try_from(runs).unwrap_or(0),
                backups: u64::try_from(backups).unwrap_or(0),
            })
        })
    }

    /// Removes what the plan counts (and whatever became old since) and returns what was removed. What only this database's own
    /// work has left behind goes, too, and is not counted.
    pub fn purge(&self, older_than: Timestamp) -> Result<PurgePlan, DbError> {
        let mut done = PurgePlan { older_than, runs: 0, backups: 0 };
        loop {
            let removed = self.transaction(|tx| remove_runs(tx, older_than))?;
            done.runs += removed as u64;
            if removed == 0 {
                break;
            }
        }
        loop {
            let removed = self.transaction(|tx| remove_backups(tx, older_than))?;
            done.backups += removed as u64;
            if removed == 0 {
                break;
            }
        }
        while self.transaction(remove_names)? > 0 {}
        Ok(done)
    }
}

/// Names that no client has: only registrations at the same moment need them, and a project may register and delete whatever it
/// likes. One that is needed just then is locked, and waited for.
fn remove_names(tx: &mut Tx) -> Result<usize, DbError> {
    tx.run("client", "", |conn| match conn {
        #[cfg(feature = "mysql")]
        AnyConnection::Mysql(mysql) => {
            let is_nobodys = sql::<Bool>(
                "NOT EXISTS (SELECT 1 FROM clients WHERE clients.client_id = client_names.client_id)",
            );
            let names: Vec<String> = client_names::table
                .filter(is_nobodys)
                .select(client_names::client_id)
                .limit(BATCH)
                .load(mysql)?;
            diesel::delete(client_names::table.filter(client_names::client_id.eq_any(names))).execute(mysql)
        }
        // It has none: there is one writer at a time.
        AnyConnection::Sqlite(_) => Ok(0),
    })
}

fn remove_runs(tx: &mut Tx, older_than: Timestamp) -> Result<usize, DbError> {
    tx.run("run", "", |conn| {
        let ids: Vec<String> = old_runs!(older_than.0).select(runs::run_id).limit(BATCH).load(conn)?;
        diesel::delete(runs::table.filter(runs::run_id.eq_any(ids))).execute(conn)
    })
}

fn remove_backups(tx: &mut Tx, older_than: Timestamp) -> Result<usize, DbError> {
    tx.run("backup", "", |conn| {
        let keys: Vec<(String, String)> = backups::table
            .filter(backups::status.eq(BackupStatus::Deleted.as_str()))
            .filter(backups::created_at.lt(older_than.0))
            .select((backups::project_id, backups::backup_id))
            .limit(BATCH)
            .load(conn)?;
        for (project, id) in &keys {
            diesel::delete(backups::table.find((project, id))).execute(conn)?;
        }
        Ok(keys.len())
    })
}
