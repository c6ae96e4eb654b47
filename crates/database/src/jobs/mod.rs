//! Jobs, with the actions they list.
//!
//! A `Job` is read with one statement, or where its row is held with two: the row, then its actions. One that is only shown is read
//! from its row alone, see `shown.rs`. The conductor's own bookkeeping
//! (`planned_version`, `attention_at`, `heard_at`) is not part of the model's `Job`; [`DueJob`] carries it.

mod attention;
mod list;
mod read;
mod row;
pub(crate) mod shown;
mod whole;
mod write;

pub(crate) use attention::CANDIDATES_FOR_ONE;
pub use freezer_model::planning::{DueJob, Planning};
pub use list::JobList;
pub use read::{SeenJob, ShownJob};
pub use whole::LargePage;

use crate::actions::ActionRow;
use crate::schema::{actions, job_actions, jobs};
use crate::{DbError, Tx};
use diesel::prelude::*;
use freezer_model::{ClientId, Job, JobId, JobStatus, ProjectId};
use row::JobRow;
use std::collections::HashMap;

const NOUN: &str = "job";

/// Repository of one transaction; see [`Tx::jobs`].
pub struct Jobs<'t> {
    pub(crate) tx: &'t mut Tx,
}

/// Whose jobs a list shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope<'a> {
    Project(&'a ProjectId),
    /// Every project's: for callers that policy allows it.
    All,
}

/// Conditions that an index decides; `None` or empty = any.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JobFilter {
    pub job_id: Option<JobId>,
    pub client_id: Option<ClientId>,
    pub session_id: Option<String>,
    pub status: Option<JobStatus>,
    pub status_not: Vec<JobStatus>,
}

/// Above this many jobs their actions are fetched by scope instead of by id: the number of bind
/// parameters of a statement is limited.
const IDS_IN_ONE_STATEMENT: usize = 5000;

impl Jobs<'_> {
    /// As [`Self::get`], and keeps others from changing the job until the transaction ends.
    pub fn get_for_update(&mut self, project: &ProjectId, id: &JobId) -> Result<Option<Job>, DbError> {
        let row = attention::lock_row(self.tx, project, id)?;
        let jobs = self.each_with_actions(row.into_iter().collect(), Scope::Project(project))?;
        jobs.into_iter().next().transpose()
    }

    /// Whether any job (of any project) still acts under this trust.
    pub fn is_trust_used(&mut self, trust_id: &str) -> Result<bool, DbError> {
        let found: i64 = self
            .tx
            .run(NOUN, "", |conn| jobs::table.filter(jobs::trust_id.eq(trust_id)).count().get_result(conn))?;
        Ok(found > 0)
    }

    /// Puts the actions to the rows, whatever their number with one statement.
    fn each_with_actions(
        &mut self,
        rows: Vec<JobRow>,
        scope: Scope<'_>,
    ) -> Result<Vec<Result<Job, DbError>>, DbError> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let links: Vec<(String, ActionRow)> = self.tx.run(NOUN, "", |conn| {
            let mut query = job_actions::table
                .inner_join(
                    actions::table.on(actions::project_id
                        .eq(job_actions::project_id)
                        .and(actions::action_id.eq(job_actions::action_id))),
                )
                .into_boxed();
            if let Scope::Project(project) = scope {
                query = query.filter(job_actions::project_id.eq(project.as_str()));
            }
            if let [one] = rows.as_slice() {
                // Its text is always the same, so the statement stays prepared.
                query = query.filter(job_actions::job_id.eq(one.job_id.as_str()));
            } else if rows.len() <= IDS_IN_ONE_STATEMENT {
                let ids: Vec<&str> = rows.iter().map(|row| row.job_id.as_str()).collect();
                query = query.filter(job_actions::job_id.eq_any(ids));
            }
            query
                .order((job_actions::project_id, job_actions::job_id, job_actions::position))
                .select((job_actions::job_id, ActionRow::as_select()))
                .load(conn)
        })?;
        let mut of_job: HashMap<(String, String), Vec<ActionRow>> = HashMap::new();
        for (job, action) in links {
            of_job.entry((action.project_id.clone(), job)).or_default().push(action);
        }
        let whole = |row: JobRow| {
            let actions = of_job.remove(&(row.project_id.clone(), row.job_id.clone())).unwrap_or_default();
            read::read(row, actions)
        };
        Ok(rows.into_iter().map(whole).collect())
    }
}
