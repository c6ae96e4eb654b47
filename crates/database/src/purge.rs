//! Clearing out what nobody looks at any more, as a plan that can be printed before it is carried out.
//!
//! Old means: finished before the given time. The newest finished run of each job stays whatever its age, because
//! "when did this last work" must always have an answer. Jobs, actions, clients and live backup records are users' things
//! and never purged.

use crate::schema::{backups, runs};
use crate::{Database, DbError, Tx};
use diesel::prelude::*;
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

    /// Removes what the plan counts (and whatever became old since) and returns what was removed.
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
        Ok(done)
    }
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
