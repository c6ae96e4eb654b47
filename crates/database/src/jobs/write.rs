//! Writing jobs.

use super::row::JobRow;
use super::{Jobs, NOUN};
use crate::connect::{AnyConnection, either};
use crate::schema::{job_actions, jobs};
use crate::{DbError, json};
use diesel::prelude::*;
use freezer_model::{Action, Job, JobEvent, JobId, JobState, ProjectId, SessionId, Timestamp};

impl Jobs<'_> {
    /// Writes a new job and its list of actions, which must be saved already (their contents are not touched).
    /// [`DbError::Conflict`] when the id is taken in this project, [`DbError::Missing`] for an unknown action.
    /// The conductor looks at it only after [`Self::request_attention`].
    pub fn insert(&mut self, job: &Job) -> Result<(), DbError> {
        let row =
            (JobRow::of(job)?, jobs::shown_actions.eq(self.shown_actions(&job.project_id, &listed(job))?));
        self.tx.run(NOUN, job.job_id.as_str(), |conn| {
            diesel::insert_into(jobs::table).values(row).execute(conn)
        })?;
        self.link(job)
    }

    /// As [`Self::insert`], for a conductor to look at it from `now` on. `heard_at` as in [`Self::note_heard`]; `None` for a job
    /// that our conductor drives.
    pub fn insert_for_attention(
        &mut self,
        job: &Job,
        now: Timestamp,
        heard_at: Option<Timestamp>,
    ) -> Result<(), DbError> {
        let row =
            (JobRow::of(job)?, jobs::shown_actions.eq(self.shown_actions(&job.project_id, &listed(job))?));
        let heard = heard_at.map(|at| at.0);
        self.tx.run(NOUN, job.job_id.as_str(), |conn| {
            either!(conn => diesel::insert_into(jobs::table)
                .values((row, jobs::attention_at.eq(Some(now.0)), jobs::heard_at.eq(heard)))
                .execute(conn))
        })?;
        self.link(job)
    }

    /// Writes all fields of a job that exists, and its list of actions when that has changed. Read it with
    /// [`Self::get_for_update`] before, in the same transaction; `plan_version` is the caller's to raise.
    pub fn save(&mut self, job: &Job) -> Result<(), DbError> {
        let row = JobRow::of(job)?;
        let (project, id) = (row.project_id.as_str(), row.job_id.as_str());
        let linked: Vec<(Option<String>, bool)> = self.tx.run(NOUN, id, |conn| {
            let of_job =
                job_actions::project_id.eq(jobs::project_id).and(job_actions::job_id.eq(jobs::job_id));
            jobs::table
                .left_join(job_actions::table.on(of_job))
                .filter(jobs::project_id.eq(project))
                .filter(jobs::job_id.eq(id))
                .order(job_actions::position)
                .select((job_actions::action_id.nullable(), jobs::shown_actions.is_not_null()))
                .load(conn)
        })?;
        let is_same = linked.iter().filter_map(|(action, _)| action.as_deref()).eq(listed(job));
        let has_text = linked.iter().all(|(_, has_text)| *has_text);
        let text = match is_same && has_text {
            true => None,
            false => Some(self.shown_actions(&job.project_id, &listed(job))?),
        };
        let changed = self.tx.run(NOUN, id, |conn| {
            let row = (&row, text.map(|text| jobs::shown_actions.eq(text)));
            diesel::update(jobs::table.find((project, id))).set(row).execute(conn)
        })?;
        if changed == 0 {
            return Err(DbError::Missing { noun: NOUN, id: id.to_owned() });
        }
        if is_same {
            return Ok(());
        }
        self.tx.run(NOUN, id, |conn| diesel::delete(of_job(&job.project_id, &job.job_id)).execute(conn))?;
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

    /// Writes which session the job belongs to, and the last round of it that the job knows.
    pub fn set_session(
        &mut self,
        project: &ProjectId,
        id: &JobId,
        session: &str,
        tag: i64,
    ) -> Result<bool, DbError> {
        crate::limits::fits("session_id", session, crate::limits::ID)?;
        let changed = self.tx.run(NOUN, id.as_str(), |conn| {
            diesel::update(jobs::table.find((project.as_str(), id.as_str())))
                .set((jobs::session_id.eq(Some(session)), jobs::session_tag.eq(tag)))
                .execute(conn)
        })?;
        Ok(changed > 0)
    }

    /// The jobs that say they belong to this session, kept from others, by id.
    pub fn of_session_for_update(
        &mut self,
        project: &ProjectId,
        session: &SessionId,
    ) -> Result<Vec<JobId>, DbError> {
        let ids: Vec<String> = self.tx.run(NOUN, "", |conn| {
            jobs::table
                .filter(jobs::project_id.eq(project.as_str()))
                .filter(jobs::session_id.eq(session.as_str()))
                .order(jobs::job_id)
                .select(jobs::job_id)
                .load(conn)
        })?;
        let mut held = Vec::new();
        for id in ids.into_iter().map(JobId::from) {
            let row = super::attention::lock_row(self.tx, project, &id)?;
            held.extend(row.filter(|row| row.is_in(session)).map(|_| id));
        }
        Ok(held)
    }

    /// Notes that the job's event is a user's and no polling scheduler has been shown it.
    pub fn set_event_is_new(&mut self, project: &ProjectId, id: &JobId) -> Result<(), DbError> {
        self.tx.run(NOUN, id.as_str(), |conn| {
            diesel::update(jobs::table.find((project.as_str(), id.as_str())))
                .set(jobs::event_is_new.eq(true))
                .execute(conn)
        })?;
        Ok(())
    }

    /// Whether the job's event waits to be shown to a polling scheduler. Read it with the row held.
    pub fn is_event_new(&mut self, project: &ProjectId, id: &JobId) -> Result<bool, DbError> {
        self.tx.run(NOUN, id.as_str(), |conn| {
            jobs::table.find((project.as_str(), id.as_str())).select(jobs::event_is_new).first(conn)
        })
    }

    /// Those of the given events that no scheduler has been shown. One statement.
    pub fn new_events(
        &mut self,
        read: &[(ProjectId, JobId, JobEvent)],
    ) -> Result<Vec<(ProjectId, JobId, JobEvent)>, DbError> {
        if read.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<&str> = read.iter().map(|(_, id, _)| id.as_str()).collect();
        let new: Vec<(String, String)> = self.tx.run(NOUN, "", |conn| {
            jobs::table
                .filter(jobs::job_id.eq_any(ids))
                .filter(jobs::event_is_new.eq(true))
                .select((jobs::project_id, jobs::job_id))
                .load(conn)
        })?;
        let is_new = |project: &ProjectId, id: &JobId| {
            new.iter().any(|row| row.0 == project.as_str() && row.1 == id.as_str())
        };
        Ok(read.iter().filter(|(project, id, _)| is_new(project, id)).cloned().collect())
    }

    /// Notes that a scheduler is being shown these jobs' events; an event that has changed since they were read stays new.
    /// A statement for each: give it only [`Self::new_events`].
    pub fn events_are_shown(&mut self, shown: &[(ProjectId, JobId, JobEvent)]) -> Result<(), DbError> {
        for (project, id, event) in shown {
            self.tx.run(NOUN, id.as_str(), |conn| {
                diesel::update(
                    jobs::table
                        .find((project.as_str(), id.as_str()))
                        .filter(jobs::event_is_new.eq(true))
                        .filter(jobs::event.eq(event.as_str())),
                )
                .set(jobs::event_is_new.eq(false))
                .execute(conn)
            })?;
        }
        Ok(())
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
        let row = |(index, action): (usize, &Action)| {
            Ok((
                job_actions::project_id.eq(job.project_id.to_string()),
                job_actions::job_id.eq(job.job_id.to_string()),
                job_actions::position.eq(json::stored_index("job_actions", index)?),
                job_actions::action_id.eq(action.action_id.to_string()),
            ))
        };
        let mut rows = job.actions.iter().enumerate().map(row).collect::<Result<Vec<_>, DbError>>()?;
        let Some(last) = rows.pop() else { return Ok(()) };
        self.tx.run("action of job", job.job_id.as_str(), |conn| {
            either!(conn => if rows.is_empty() {
                // The statement for one stays prepared.
                diesel::insert_into(job_actions::table).values(last).execute(conn)
            } else {
                rows.push(last);
                diesel::insert_into(job_actions::table).values(&rows).execute(conn)
            })
        })?;
        Ok(())
    }
}

/// The ids of its actions, as its caller knows them.
fn listed(job: &Job) -> Vec<&str> {
    job.actions.iter().map(|action| action.action_id.as_str()).collect()
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
pub(super) fn of_job<'a>(project: &'a ProjectId, id: &'a JobId) -> _ {
    let project: &'a str = project.as_str();
    let id: &'a str = id.as_str();
    job_actions::table.filter(job_actions::project_id.eq(project)).filter(job_actions::job_id.eq(id))
}
