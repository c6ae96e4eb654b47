//! The end of a run that a polling scheduler reports: webhooks are told when it failed.
//!
//! The API knows no addresses. It writes an event into the outbox, in the transaction of the report; a conductor that has
//! addresses sends it, as it sends those of its own runs.

use freezer_database::{DbError, Tx};
use freezer_model::{Job, JobResult, JobState, Timestamp};
use serde_json::json;

/// Milliseconds that an event waits for a conductor with addresses: as long as deliveries are tried.
const KEPT_MS: i64 = 24 * 3600 * 1000;

/// Events of a project that wait at the same time: whoever reports failures without end fills no database, and keeps no other
/// project's from being told.
const WAITING_MOST: i64 = 1000;

/// Writes the event when the report (the job's state now) tells of a failure that was not known. The caller has the job's row
/// held.
pub fn tell_end(tx: &mut Tx, known: &JobState, job: &Job, now: Timestamp) -> Result<(), DbError> {
    if !is_new_failure(known, &job.state) {
        return Ok(());
    }
    let event = json!({
        "event": "run.failed",
        "occurred_at": now.secs(),
        "project_id": job.project_id,
        "job_id": job.job_id,
        "client_id": job.client_id,
        "run_id": null,
        "state": "fail",
        "error": "the client's own scheduler reported that the job's run failed",
        "due_at": null,
        "request_id": null,
    });
    tx.outbox().forget_events(Timestamp(now.0.saturating_sub(KEPT_MS)))?;
    if tx.outbox().count_events(&job.project_id)? >= WAITING_MOST {
        tracing::warn!(project = %job.project_id, job = %job.job_id, "a failed run is not told: {WAITING_MOST} events of the project wait for a conductor with [webhook] urls");
        return Ok(());
    }
    tx.outbox().put_event(&job.project_id, &event, now)
}

/// Schedulers repeat what they know of the last run, also while they plan the next one.
fn is_new_failure(known: &JobState, said: &JobState) -> bool {
    let is_known = (known.time_started, known.time_ended) == (said.time_started, said.time_ended);
    said.result == JobResult::Fail && said.time_ended >= 0 && !is_known
}
