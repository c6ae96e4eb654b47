//! What a write makes of a job: create, replace, patch (contract §6.3). Pure.
//!
//! The state of a job whose client we drive belongs to the conductor: of what users send back, only a new request
//! (`event`) counts. A client that polls writes the state itself, as upstream's scheduler always did.

use super::resolve::Owner;
use crate::validate::job::JobBody;
use crate::validate::schedule::StatePatch;
use freezer_model::{Action, ClientId, Job, JobEvent, JobId, JobState, JobStatus};

/// Who writes the state of the job in question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateOwner {
    Client,
    Conductor,
}

/// A job that was not there. Times are the server's, the rest of the state is kept as sent.
pub fn created(
    owner: &Owner,
    id: JobId,
    client_id: ClientId,
    body: JobBody,
    actions: Vec<Action>,
    who: StateOwner,
) -> Job {
    let mut state = JobState::fresh(owner.now);
    let schedule = body.schedule.unwrap_or_default();
    let sent = StatePatch { time_created: None, time_started: None, time_ended: None, ..schedule.state };
    first_state(sent, who).apply_to(&mut state);
    Job {
        project_id: owner.project.clone(),
        job_id: id,
        user_id: owner.user.clone(),
        client_id,
        description: body.description.unwrap_or_else(|| Some(String::new())),
        session_id: body.session_id.unwrap_or_else(|| Some(String::new())),
        session_tag: body.session_tag.unwrap_or(0),
        plan: schedule.plan,
        state,
        actions,
        credentials: None,
        created_at: owner.now,
        plan_version: 1,
        next_run_at: None,
    }
}

/// A clone of a running job must not look as if it ran; one that was stopped or done stays so.
fn first_state(sent: StatePatch, who: StateOwner) -> StatePatch {
    match who {
        StateOwner::Client => sent,
        StateOwner::Conductor => StatePatch {
            event: sent.event,
            status: sent.status.filter(|status| {
                matches!(status, JobStatus::Stop | JobStatus::Completed | JobStatus::Removed)
            }),
            ..StatePatch::default()
        },
    }
}

/// POST on a job that is there: what was not sent goes back to its default. Creator, trust and time of creation stay.
pub fn replaced(
    stored: Job,
    client_id: ClientId,
    body: JobBody,
    actions: Vec<Action>,
    who: StateOwner,
) -> Job {
    let schedule = body.schedule.unwrap_or_default();
    let mut state = match who {
        StateOwner::Client => {
            JobState { time_created: stored.state.time_created, ..JobState::fresh(stored.created_at) }
        }
        StateOwner::Conductor => stored.state.clone(),
    };
    let sent = StatePatch { time_created: None, ..schedule.state };
    later_state(sent, who).apply_to(&mut state);
    let plan_version = stored.plan_version + i64::from(stored.plan != schedule.plan);
    Job {
        client_id,
        description: body.description.unwrap_or_else(|| Some(String::new())),
        session_id: body.session_id.unwrap_or_else(|| Some(String::new())),
        session_tag: body.session_tag.unwrap_or(0),
        plan: schedule.plan,
        state,
        actions,
        plan_version,
        ..stored
    }
}

/// PATCH: what was sent, and of `job_schedule` the plan as a set and the state key by key. A state report of upstream's
/// scheduler carries the plan it once read; the stored one may be newer and stays.
pub fn patched(stored: Job, body: JobBody, actions: Option<Vec<Action>>, who: StateOwner) -> Job {
    let mut job = stored;
    job.client_id = body.client_id.unwrap_or(job.client_id);
    job.description = body.description.unwrap_or(job.description);
    job.session_id = body.session_id.unwrap_or(job.session_id);
    job.session_tag = body.session_tag.unwrap_or(job.session_tag);
    job.actions = actions.unwrap_or(job.actions);
    let Some(schedule) = body.schedule else { return job };
    if schedule.replaces_plan() && !body.is_report && job.plan != schedule.plan {
        job.plan = schedule.plan;
        job.plan_version += 1;
    }
    later_state(schedule.state, who).apply_to(&mut job.state);
    job
}

fn later_state(sent: StatePatch, who: StateOwner) -> StatePatch {
    match who {
        StateOwner::Client => sent,
        StateOwner::Conductor => {
            StatePatch { event: sent.event.filter(|event| *event != JobEvent::None), ..StatePatch::default() }
        }
    }
}
