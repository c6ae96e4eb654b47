//! The columns of a job that the model knows.

use super::NOUN;
use crate::json::Stored;
use crate::limits::{self, fits, fits_if_any};
use crate::schema::jobs;
use crate::{DbError, json};
use diesel::prelude::*;
use freezer_model::{
    Action, ClientId, Job, JobEvent, JobId, JobResult, JobState, JobStatus, ProjectId, SessionId, Timestamp,
    TrustCredentials, UserId,
};
use serde::{Deserialize, Serialize};

#[derive(Queryable, Selectable, Insertable, AsChangeset, Clone, Serialize, Deserialize)]
#[diesel(table_name = jobs, primary_key(project_id, job_id), treat_none_as_null = true)]
// An insert is the same statement then, whatever is none.
#[diesel(treat_none_as_default_value = false)]
pub(super) struct JobRow {
    pub project_id: String,
    pub job_id: String,
    user_id: String,
    client_id: String,
    description: Option<String>,
    session_id: Option<String>,
    session_tag: i64,
    plan: String,
    event: String,
    status: String,
    result: String,
    time_created: i64,
    time_started: i64,
    time_ended: i64,
    current_pid: Option<i64>,
    trust_id: Option<String>,
    trustor_user_id: Option<String>,
    pub created_at: i64,
    plan_version: i64,
    pub next_run_at: Option<i64>,
}

impl JobRow {
    pub(super) fn is_in(&self, session: &SessionId) -> bool {
        self.session_id.as_deref() == Some(session.as_str())
    }

    /// Where it stands in the order of lists.
    pub(super) fn place(&self) -> (i64, &str, &str) {
        (self.created_at, &self.job_id, &self.project_id)
    }

    /// The text that may be long.
    pub(super) fn plan_text(&mut self) -> &mut String {
        &mut self.plan
    }

    pub(super) fn of(job: &Job) -> Result<Self, DbError> {
        let trust = job.credentials.as_ref();
        let row = Self {
            project_id: job.project_id.to_string(),
            job_id: job.job_id.to_string(),
            user_id: job.user_id.to_string(),
            client_id: job.client_id.to_string(),
            description: job.description.clone(),
            session_id: job.session_id.clone(),
            session_tag: job.session_tag,
            plan: json::to_text(NOUN, &job.plan)?,
            event: job.state.event.as_str().to_owned(),
            status: job.state.status.as_str().to_owned(),
            result: job.state.result.as_str().to_owned(),
            time_created: job.state.time_created,
            time_started: job.state.time_started,
            time_ended: job.state.time_ended,
            current_pid: job.state.current_pid,
            trust_id: trust.map(|trust| trust.trust_id.clone()),
            trustor_user_id: trust.map(|trust| trust.trustor_user_id.to_string()),
            created_at: job.created_at.0,
            plan_version: job.plan_version,
            next_run_at: job.next_run_at.map(|at| at.0),
        };
        fits("project_id", &row.project_id, limits::PROJECT_ID)?;
        fits("job_id", &row.job_id, limits::ID)?;
        fits("user_id", &row.user_id, limits::USER_ID)?;
        fits("client_id", &row.client_id, limits::CLIENT_ID)?;
        fits_if_any("description", row.description.as_deref(), limits::SHORT_TEXT)?;
        fits_if_any("session_id", row.session_id.as_deref(), limits::ID)?;
        fits_if_any("trust_id", row.trust_id.as_deref(), limits::SHORT_TEXT)?;
        fits_if_any("trustor_user_id", row.trustor_user_id.as_deref(), limits::USER_ID)?;
        Ok(row)
    }

    pub(super) fn into_model<D: Stored>(self, actions: Vec<Action<D>>) -> Result<Job<D>, DbError> {
        let unknown = |field, word: &str| json::corrupt(NOUN, &self.job_id, field, word);
        let state = JobState {
            event: JobEvent::parse(&self.event).ok_or_else(|| unknown("event", &self.event))?,
            status: JobStatus::parse(&self.status).ok_or_else(|| unknown("status", &self.status))?,
            result: JobResult::parse(&self.result).ok_or_else(|| unknown("result", &self.result))?,
            time_created: self.time_created,
            time_started: self.time_started,
            time_ended: self.time_ended,
            current_pid: self.current_pid,
        };
        let credentials = match (self.trust_id, self.trustor_user_id) {
            (Some(trust_id), Some(user)) => {
                Some(TrustCredentials { trust_id, trustor_user_id: UserId::from(user) })
            }
            _ => None,
        };
        Ok(Job {
            plan: json::object(NOUN, &self.job_id, "plan", self.plan)?,
            project_id: ProjectId::from(self.project_id),
            job_id: JobId::from(self.job_id),
            user_id: UserId::from(self.user_id),
            client_id: ClientId::from(self.client_id),
            description: self.description,
            session_id: self.session_id,
            session_tag: self.session_tag,
            state,
            actions,
            credentials,
            created_at: Timestamp(self.created_at),
            plan_version: self.plan_version,
            next_run_at: self.next_run_at.map(Timestamp),
        })
    }
}
