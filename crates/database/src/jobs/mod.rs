//! Jobs, with the actions they list.
//!
//! A `Job` is read with two statements: the rows, then all their actions. The conductor's own bookkeeping
//! (`planned_version`, `attention_at`) is not part of the model's `Job`; [`DueJob`] carries it.

mod attention;
mod list;
mod row;
mod write;

pub(crate) use attention::CANDIDATES_FOR_ONE;
pub use attention::{DueJob, Planning};

use crate::actions::ActionRow;
use crate::schema::{actions, job_actions, jobs};
use crate::{DbError, Tx};
use diesel::prelude::*;
use freezer_model::{Action, ClientId, Job, JobId, JobStatus, ProjectId};
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
    pub fn get(&mut self, project: &ProjectId, id: &JobId) -> Result<Option<Job>, DbError> {
        let row = self.tx.run(NOUN, id.as_str(), |conn| {
            jobs::table
                .find((project.as_str(), id.as_str()))
                .select(JobRow::as_select())
                .first(conn)
                .optional()
        })?;
        self.whole(row)
    }

    /// As [`Self::get`], and keeps others from changing the job until the transaction ends.
    pub fn get_for_update(&mut self, project: &ProjectId, id: &JobId) -> Result<Option<Job>, DbError> {
        let row = attention::lock_row(self.tx, project, id)?;
        self.whole(row)
    }

    /// A job of whatever project: for callers that policy allows it. Ids are unique within a project only; of several
    /// the oldest is returned.
    pub fn get_any_project(&mut self, id: &JobId) -> Result<Option<Job>, DbError> {
        let row = self.tx.run(NOUN, id.as_str(), |conn| {
            jobs::table
                .filter(jobs::job_id.eq(id.as_str()))
                .order((jobs::created_at, jobs::project_id))
                .select(JobRow::as_select())
                .first(conn)
                .optional()
        })?;
        self.whole(row)
    }

    /// Whether any job (of any project) still acts under this trust.
    pub fn is_trust_used(&mut self, trust_id: &str) -> Result<bool, DbError> {
        let found: i64 = self
            .tx
            .run(NOUN, "", |conn| jobs::table.filter(jobs::trust_id.eq(trust_id)).count().get_result(conn))?;
        Ok(found > 0)
    }

    fn whole(&mut self, row: Option<JobRow>) -> Result<Option<Job>, DbError> {
        let Some(row) = row else { return Ok(None) };
        let project = ProjectId::from(row.project_id.as_str());
        let jobs = self.with_actions(vec![row], Scope::Project(&project))?;
        Ok(jobs.into_iter().next())
    }

    /// Puts the actions to the rows, whatever their number with one statement.
    fn with_actions(&mut self, rows: Vec<JobRow>, scope: Scope<'_>) -> Result<Vec<Job>, DbError> {
        self.each_with_actions(rows, scope)?.into_iter().collect()
    }

    /// The same, with an error for each job that cannot be read.
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
        let mut of_job: HashMap<(String, String), Vec<Result<Action, DbError>>> = HashMap::new();
        for (job, action) in links {
            of_job.entry((action.project_id.clone(), job)).or_default().push(action.into_model());
        }
        let whole = |row: JobRow| {
            let actions = of_job.remove(&(row.project_id.clone(), row.job_id.clone())).unwrap_or_default();
            row.into_model(actions.into_iter().collect::<Result<_, _>>()?)
        };
        Ok(rows.into_iter().map(whole).collect())
    }
}
