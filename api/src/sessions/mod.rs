//! Sessions: jobs that start together. One verb per file.
//!
//! Rows of jobs are held before the row of their session, everywhere, so that two writers wait for each other instead of
//! one of them being undone.

mod act;
mod add_job;
mod create;
mod delete;
mod list;
mod remove_job;
mod replace;
mod show;
mod update;

pub use act::act;
pub use add_job::add_job;
pub use create::create;
pub use delete::delete;
pub use list::list;
pub use remove_job::remove_job;
pub use replace::replace;
pub use show::show;
pub use update::update;

use crate::call::Call;
use crate::error::ApiError;
use crate::validate::session::{MemberBody, SessionBody};
use freezer_database::Tx;
use freezer_model::session::{ACTIVE, DEFAULT_HOLD_OFF_SECS};
use freezer_model::{JobId, Member, ProjectId, Session, SessionId};

fn session_id(call: &Call) -> SessionId {
    SessionId::new(call.path("session_id"))
}

fn job_id(call: &Call) -> JobId {
    JobId::new(call.path("job_id"))
}

/// The session with its row held, or 404.
fn held(tx: &mut Tx, project: &ProjectId, id: &SessionId) -> Result<Session, ApiError> {
    tx.sessions().get_for_update(project, id)?.ok_or_else(|| ApiError::not_found("Session", id))
}

/// A new session with what was sent and defaults for the rest.
fn made(call: &Call, id: SessionId, body: SessionBody) -> Session {
    let session = Session {
        project_id: call.project.clone(),
        session_id: id,
        user_id: call.caller.user_id.clone(),
        description: None,
        session_tag: 0,
        hold_off: DEFAULT_HOLD_OFF_SECS,
        status: ACTIVE.to_owned(),
        result: None,
        time_start: -1,
        time_end: -1,
        schedule: serde_json::Map::new(),
        members: Vec::new(),
        created_at: call.now,
    };
    changed(session, body)
}

/// The session with what was sent. Members are merged by job: none goes by not being named.
fn changed(stored: Session, body: SessionBody) -> Session {
    let mut session = stored;
    session.description = body.description.unwrap_or(session.description);
    session.hold_off = body.hold_off.unwrap_or(session.hold_off);
    session.session_tag = body.session_tag.unwrap_or(session.session_tag);
    session.status = body.status.unwrap_or(session.status);
    session.result = body.result.unwrap_or(session.result);
    session.time_start = body.time_start.unwrap_or(session.time_start);
    session.time_end = body.time_end.unwrap_or(session.time_end);
    session.schedule = body.schedule.unwrap_or(session.schedule);
    for sent in body.jobs.unwrap_or_default() {
        merge_member(&mut session, sent);
    }
    session
}

fn merge_member(session: &mut Session, sent: MemberBody) {
    let new = Member {
        job_id: sent.job_id.clone(),
        client_id: String::new(),
        status: String::new(),
        result: String::new(),
        time_started: -1,
        time_ended: -1,
        session_tag: session.session_tag,
    };
    let known = session.members.iter_mut().find(|member| member.job_id == sent.job_id);
    let before = known.as_deref().cloned().unwrap_or(new);
    let after = Member {
        client_id: sent.client_id.unwrap_or(before.client_id),
        status: sent.status.unwrap_or(before.status),
        result: sent.result.unwrap_or(before.result),
        time_started: sent.time_started.unwrap_or(before.time_started),
        time_ended: sent.time_ended.unwrap_or(before.time_ended),
        ..before
    };
    match known {
        Some(member) => *member = after,
        None => session.members.push(after),
    }
}
