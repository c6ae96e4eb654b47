//! What operators set for single projects, and what projects use.

use crate::connect::{AnyConnection, either};
use crate::schema::{backups, jobs, quotas};
use crate::{DbError, Tx};
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use freezer_model::{ProjectId, Quota};
use std::collections::HashMap;

const NOUN: &str = "quota";

/// Repository of one transaction; see [`Tx::quotas`].
pub struct Quotas<'t> {
    pub(crate) tx: &'t mut Tx,
}

pub(crate) type QuotaRow = (String, Option<i64>, Option<i64>, Option<i64>, Option<i32>);

pub(crate) fn quota((project, jobs, runs, stored_bytes, weight): QuotaRow) -> (ProjectId, Quota) {
    (ProjectId::from(project), Quota { jobs, runs, stored_bytes, weight })
}

impl Quotas<'_> {
    /// What is set for the project; nothing set is all `None`.
    pub fn get(&mut self, project: &ProjectId) -> Result<Quota, DbError> {
        let row: Option<QuotaRow> = self.tx.run(
            NOUN,
            project.as_str(),
            |conn| either!(conn => quotas::table.find(project.as_str()).first(conn).optional()),
        )?;
        Ok(row.map(|row| quota(row).1).unwrap_or_default())
    }

    /// What is set for those of the projects that have something set.
    pub fn of(&mut self, projects: &[&str]) -> Result<HashMap<ProjectId, Quota>, DbError> {
        let rows: Vec<QuotaRow> = self
            .tx
            .run(NOUN, "", |conn| quotas::table.filter(quotas::project_id.eq_any(projects)).load(conn))?;
        Ok(rows.into_iter().map(quota).collect())
    }

    /// Sets all of it for the project.
    pub fn put(&mut self, project: &ProjectId, quota: &Quota) -> Result<(), DbError> {
        crate::limits::fits("project_id", project.as_str(), crate::limits::PROJECT_ID)?;
        let row = (
            quotas::project_id.eq(project.as_str()),
            quotas::jobs.eq(quota.jobs),
            quotas::runs.eq(quota.runs),
            quotas::stored_bytes.eq(quota.stored_bytes),
            quotas::weight.eq(quota.weight),
        );
        self.tx.run(NOUN, project.as_str(), |conn| match conn {
            #[cfg(feature = "mysql")]
            AnyConnection::Mysql(mysql) => diesel::replace_into(quotas::table).values(row).execute(mysql),
            AnyConnection::Sqlite(sqlite) => diesel::replace_into(quotas::table).values(row).execute(sqlite),
        })?;
        Ok(())
    }

    /// Lets one transaction at a time count what the project has.
    pub fn lock(&mut self, project: &ProjectId) -> Result<(), DbError> {
        // One that is too long would be cut, with no more than a warning.
        crate::limits::fits("project_id", project.as_str(), crate::limits::PROJECT_ID)?;
        let locked: Option<String> = self.tx.run(NOUN, project.as_str(), |conn| match conn {
            #[cfg(feature = "mysql")]
            AnyConnection::Mysql(mysql) => {
                let one = || quotas::table.find(project.as_str()).select(quotas::project_id).for_update();
                // Looked for first: an insert that finds the row there shares a lock on it with others of its kind, and none
                // of them could make it its own then.
                if let Some(found) = one().first::<String>(mysql).optional()? {
                    return Ok(Some(found));
                }
                let row = quotas::project_id.eq(project.as_str());
                diesel::insert_or_ignore_into(quotas::table).values(row).execute(mysql)?;
                one().first::<String>(mysql).optional()
            }
            // One writer at a time: it is locked already.
            AnyConnection::Sqlite(_) => Ok(None),
        })?;
        drop(locked);
        Ok(())
    }

    /// Back to the defaults. Returns whether anything was set.
    pub fn delete(&mut self, project: &ProjectId) -> Result<bool, DbError> {
        let deleted = self.tx.run(NOUN, project.as_str(), |conn| {
            diesel::delete(quotas::table.find(project.as_str())).execute(conn)
        })?;
        Ok(deleted > 0)
    }

    /// The project's jobs, counted by index.
    pub fn count_jobs(&mut self, project: &ProjectId) -> Result<i64, DbError> {
        self.tx.run(NOUN, project.as_str(), |conn| {
            jobs::table.filter(jobs::project_id.eq(project.as_str())).count().get_result(conn)
        })
    }

    /// Bytes that the project's backup records say are stored, summed by index. No sum is too large: that of SQLite would be an
    /// error, its total is not.
    pub fn stored_bytes(&mut self, project: &ProjectId) -> Result<i64, DbError> {
        macro_rules! sum {
            ($text:literal) => {
                backups::table
                    .filter(backups::project_id.eq(project.as_str()))
                    .select(diesel::dsl::sql::<BigInt>($text))
            };
        }
        self.tx.run(NOUN, project.as_str(), |conn| match conn {
            #[cfg(feature = "mysql")]
            AnyConnection::Mysql(mysql) => {
                sum!("CAST(COALESCE(SUM(stored_bytes), 0) AS SIGNED)").first(mysql)
            }
            AnyConnection::Sqlite(sqlite) => sum!("CAST(TOTAL(stored_bytes) AS INTEGER)").first(sqlite),
        })
    }
}
