//! Rows of a session and of its members.

use super::NOUN;
use crate::limits::{self, fits, fits_if_any};
use crate::schema::{session_jobs, sessions};
use crate::{DbError, json};
use diesel::prelude::*;
use freezer_model::{JobId, Member, ProjectId, Session, SessionId, Timestamp, UserId};

#[derive(Queryable, Selectable, Insertable, AsChangeset, Clone)]
#[diesel(table_name = sessions, primary_key(project_id, session_id), treat_none_as_null = true)]
pub(super) struct SessionRow {
    pub project_id: String,
    pub session_id: String,
    user_id: String,
    description: Option<String>,
    session_tag: i64,
    hold_off: i64,
    status: String,
    result: Option<String>,
    time_start: i64,
    time_end: i64,
    schedule: String,
    pub created_at: i64,
}

impl SessionRow {
    pub(super) fn of(session: &Session) -> Result<Self, DbError> {
        fits("project_id", session.project_id.as_str(), limits::PROJECT_ID)?;
        fits("session_id", session.session_id.as_str(), limits::ID)?;
        fits("user_id", session.user_id.as_str(), limits::USER_ID)?;
        fits_if_any("description", session.description.as_deref(), limits::SHORT_TEXT)?;
        fits("status", &session.status, limits::SHORT_TEXT)?;
        fits_if_any("result", session.result.as_deref(), limits::SHORT_TEXT)?;
        Ok(Self {
            project_id: session.project_id.to_string(),
            session_id: session.session_id.to_string(),
            user_id: session.user_id.to_string(),
            description: session.description.clone(),
            session_tag: session.session_tag,
            hold_off: session.hold_off,
            status: session.status.clone(),
            result: session.result.clone(),
            time_start: session.time_start,
            time_end: session.time_end,
            schedule: json::to_text(NOUN, &session.schedule)?,
            created_at: session.created_at.0,
        })
    }

    pub(super) fn into_model(self, members: Vec<Member>) -> Result<Session, DbError> {
        Ok(Session {
            schedule: json::from_text(NOUN, &self.session_id, "schedule", &self.schedule)?,
            project_id: ProjectId::from(self.project_id),
            session_id: SessionId::from(self.session_id),
            user_id: UserId::from(self.user_id),
            description: self.description,
            session_tag: self.session_tag,
            hold_off: self.hold_off,
            status: self.status,
            result: self.result,
            time_start: self.time_start,
            time_end: self.time_end,
            members,
            created_at: Timestamp(self.created_at),
        })
    }
}

#[derive(Queryable, Selectable, Insertable, AsChangeset, Clone, PartialEq)]
#[diesel(table_name = session_jobs, primary_key(project_id, session_id, job_id))]
pub(super) struct MemberRow {
    pub project_id: String,
    pub session_id: String,
    pub job_id: String,
    pub position: i32,
    client_id: String,
    status: String,
    result: String,
    time_started: i64,
    time_ended: i64,
    session_tag: i64,
}

impl MemberRow {
    pub(super) fn of(session: &Session, position: i32, member: &Member) -> Result<Self, DbError> {
        fits("job_id", member.job_id.as_str(), limits::ID)?;
        fits("client_id", &member.client_id, limits::CLIENT_ID)?;
        fits("status", &member.status, limits::SHORT_TEXT)?;
        fits("result", &member.result, limits::SHORT_TEXT)?;
        Ok(Self {
            project_id: session.project_id.to_string(),
            session_id: session.session_id.to_string(),
            job_id: member.job_id.to_string(),
            position,
            client_id: member.client_id.clone(),
            status: member.status.clone(),
            result: member.result.clone(),
            time_started: member.time_started,
            time_ended: member.time_ended,
            session_tag: member.session_tag,
        })
    }

    pub(super) fn into_model(self) -> Member {
        Member {
            job_id: JobId::from(self.job_id),
            client_id: self.client_id,
            status: self.status,
            result: self.result,
            time_started: self.time_started,
            time_ended: self.time_ended,
            session_tag: self.session_tag,
        }
    }
}
