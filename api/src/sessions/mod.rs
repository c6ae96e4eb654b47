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
use crate::validate::names::MEMBERS_MAX;
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

/// Refuses (400) a session that has grown beyond the members it may have; one that has more already may stay as it is.
fn check_members(session: &Session, before: usize) -> Result<(), ApiError> {
    if session.members.len() <= MEMBERS_MAX.max(before) {
        return Ok(());
    }
    let text = format!("'jobs': at most {MEMBERS_MAX} jobs are possible in one session");
    Err(ApiError::bad_request(text))
}

/// Refuses (422) members that the session did not have and that are no jobs of the project: they would never end, and the
/// session with them.
fn check_new_members(tx: &mut Tx, before: &[Member], session: &Session) -> Result<(), ApiError> {
    let is_new = |member: &&Member| !before.iter().any(|known| known.job_id == member.job_id);
    let new: Vec<&JobId> = session.members.iter().filter(is_new).map(|member| &member.job_id).collect();
    let known = tx.jobs().which_exist(&session.project_id, &new)?;
    match new.into_iter().find(|id| !known.contains(*id)) {
        None => Ok(()),
        Some(id) => Err(ApiError::unprocessable(format!("'jobs': there is no job {id} in this project"))),
    }
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
