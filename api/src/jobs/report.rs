//! What counts of a state report of a polling scheduler (contract §6.2).
//!
//! Upstream's scheduler repeats in each report all that it knows of the job, and may have read that before a user changed
//! it. A report must not undo the user's word: an event the scheduler has not been shown, and a job's place in a session. Nor
//! does it bring back an older run.

use crate::error::ApiError;
use crate::validate::job::JobBody;
use freezer_database::Tx;
use freezer_model::{Job, JobEvent, JobState, JobStatus, SessionId};

/// The part of the report that is newer than what is stored. The caller has the job's row held.
pub fn newer_part(tx: &mut Tx, mut report: JobBody, stored: &Job) -> Result<JobBody, ApiError> {
    if stored.state.event != JobEvent::None && tx.jobs().is_event_new(&stored.project_id, &stored.job_id)? {
        keep_event(&mut report, stored.state.event);
    }
    keep_last_run(&mut report, &stored.state);
    match reported_session(tx, &report, stored)? {
        Reported::Standing => {}
        Reported::Round => report.session_tag = report.session_tag.filter(|tag| *tag > stored.session_tag),
        Reported::Past => {
            report.session_id = None;
            report.session_tag = None;
        }
    }
    Ok(report)
}

/// The scheduler cannot have obeyed what it has not been shown.
fn keep_event(report: &mut JobBody, event: JobEvent) {
    let Some(schedule) = &mut report.schedule else { return };
    schedule.state.event = None;
    // A completed job is not listed to schedulers: this one would never hear that it is to start again.
    if event == JobEvent::Start {
        schedule.state.status = schedule.state.status.filter(|status| *status != JobStatus::Completed);
    }
}

/// Of several schedulers that share a client's name, each repeats the last run that it has done itself.
fn keep_last_run(report: &mut JobBody, known: &JobState) {
    let Some(schedule) = &mut report.schedule else { return };
    let said = &mut schedule.state;
    let (Some(started), Some(ended)) = (said.time_started, said.time_ended) else { return };
    if started < known.time_started && (0..=known.time_started).contains(&ended) {
        said.time_started = None;
        said.time_ended = None;
        said.result = None;
    }
}

/// What a report says of the job's session.
enum Reported {
    /// No session of ours is concerned: the words are the client's.
    Standing,
    /// The session the job is a member of: its rounds only grow.
    Round,
    /// Where the job was before a user took it in or out.
    Past,
}

fn reported_session(tx: &mut Tx, report: &JobBody, stored: &Job) -> Result<Reported, ApiError> {
    let said = report.session_id.as_ref().and_then(Option::as_deref).filter(|id| !id.is_empty());
    let said = said.map(SessionId::from);
    let known = stored.session();
    if said.is_none() && known.is_none() {
        return Ok(Reported::Standing);
    }
    let memberships = tx.sessions().of_job(&stored.project_id, &stored.job_id)?;
    if known.as_ref().is_some_and(|id| memberships.contains(id)) {
        return Ok(if said == known { Reported::Round } else { Reported::Past });
    }
    let left = said.filter(|id| Some(id) != known.as_ref() && !memberships.contains(id));
    match left {
        Some(id) if tx.sessions().get(&stored.project_id, &id)?.is_some() => Ok(Reported::Past),
        _ => Ok(Reported::Standing),
    }
}
