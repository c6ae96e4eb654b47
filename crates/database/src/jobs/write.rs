//! Writing jobs.

use super::{JobRow, Jobs, NOUN};
use crate::schema::{job_actions, jobs};
use crate::{DbError, json};
use diesel::prelude::*;
use freezer_model::{ActionId, Job, JobId, JobState, ProjectId};

impl Jobs<'_> {
    /// Writes a new job and its list of actions, which must be saved already (their contents are not touched).
    /// [`DbError::Conflict`] when the id is taken in this project, [`DbError::Missing`] for an unknown action.
    /// The conductor looks at it only after [`Self::request_attention`].
    pub fn insert(&mut self, job: &Job) -> Result<(), DbError> {
        let row = JobRow::of(job)?;
        self.tx.run(NOUN, job.job_id.as_str(), |conn| {
            diesel::insert_into(jobs::table).values(row).execute(conn)
        })?;
        self.link(job)
    }

    /// Writes all fields of a job that exists, and its list of actions when that has changed. Read it with
    /// [`Self::get_for_update`] before, in the same transaction; `plan_version` is the caller's to raise.
    pub fn save(&mut self, job: &Job) -> Result<(), DbError> {
        let row = JobRow::of(job)?;
        let (project, id) = (row.project_id.clone(), row.job_id.clone());
        let changed = self.tx.run(NOUN, &id, |conn| {
            diesel::update(jobs::table.find((project, id.as_str()))).set(row).execute(conn)
        })?;
        if changed == 0 {
            return Err(DbError::Missing { noun: NOUN, id });
        }
        let linked: Vec<String> = self.tx.run(NOUN, &id, |conn| {
            of_job(&job.project_id, &job.job_id)
                .order(job_actions::position)
                .select(job_actions::action_id)
                .load(conn)
        })?;
        if linked.iter().map(String::as_str).eq(job.actions.iter().map(|action| action.action_id.as_str())) {
            return Ok(());
        }
        self.tx.run(NOUN, &id, |conn| diesel::delete(of_job(&job.project_id, &job.job_id)).execute(conn))?;
        self.link(job)
    }

    /// Writes the self-changing part of `job_schedule` only.
    pub fn set_state(&mut self, project: &ProjectId, id: &JobId, state: &JobState) -> Result<bool, DbError> {
        let changed = self.tx.run(NOUN, id.as_str(), |conn| {
            diesel::update(jobs::table.find((project.as_str(), id.as_str())))
                .set(state_columns(state))
                .execute(conn)
        })?;
        Ok(changed > 0)
    }

    /// Notes the process that works for the job.
    pub fn set_pid(&mut self, project: &ProjectId, id: &JobId, pid: i64) -> Result<bool, DbError> {
        let changed = self.tx.run(NOUN, id.as_str(), |conn| {
            diesel::update(jobs::table.find((project.as_str(), id.as_str())))
                .set(jobs::current_pid.eq(Some(pid)))
                .execute(conn)
        })?;
        Ok(changed > 0)
    }

    /// Deletes a job and its list of actions; the actions stay, and so do its runs. Returns whether it was there.
    pub fn delete(&mut self, project: &ProjectId, id: &JobId) -> Result<bool, DbError> {
        let deleted = self.tx.run(NOUN, id.as_str(), |conn| {
            diesel::delete(of_job(project, id)).execute(conn)?;
            diesel::delete(jobs::table.find((project.as_str(), id.as_str()))).execute(conn)
        })?;
        Ok(deleted > 0)
    }

    fn link(&mut self, job: &Job) -> Result<(), DbError> {
        for (position, action) in job.actions.iter().enumerate() {
            let position = json::stored_index("job_actions", position)?;
            self.link_one(job, position, &action.action_id)?;
        }
        Ok(())
    }

    fn link_one(&mut self, job: &Job, position: i32, action: &ActionId) -> Result<(), DbError> {
        self.tx.run("action of job", action.as_str(), |conn| {
            diesel::insert_into(job_actions::table)
                .values((
                    job_actions::project_id.eq(job.project_id.as_str()),
                    job_actions::job_id.eq(job.job_id.as_str()),
                    job_actions::position.eq(position),
                    job_actions::action_id.eq(action.as_str()),
                ))
                .execute(conn)
        })?;
        Ok(())
    }
}

#[diesel::dsl::auto_type(no_type_alias)]
pub(super) fn state_columns(state: &JobState) -> _ {
    let event: &'static str = state.event.as_str();
    let status: &'static str = state.status.as_str();
    let result: &'static str = state.result.as_str();
    let created: i64 = state.time_created;
    let started: i64 = state.time_started;
    let ended: i64 = state.time_ended;
    let pid: Option<i64> = state.current_pid;
    (
        jobs::event.eq(event),
        jobs::status.eq(status),
        jobs::result.eq(result),
        jobs::time_created.eq(created),
        jobs::time_started.eq(started),
        jobs::time_ended.eq(ended),
        jobs::current_pid.eq(pid),
    )
}

#[diesel::dsl::auto_type(no_type_alias)]
fn of_job<'a>(project: &'a ProjectId, id: &'a JobId) -> _ {
    let project: &'a str = project.as_str();
    let id: &'a str = id.as_str();
    job_actions::table.filter(job_actions::project_id.eq(project)).filter(job_actions::job_id.eq(id))
}
