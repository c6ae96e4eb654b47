//! DELETE /v2/{project_id}/sessions/{session_id}/jobs/{job_id}

use super::{job_id, session_id};
use crate::call::Call;
use crate::error::ApiError;
use actix_web::HttpResponse;
use freezer_database::Tx;
use freezer_model::{JobEvent, JobId, ProjectId, SessionId, Timestamp};

/// Lets a job go and asks for it to be stopped; its plan and state stay. A job that is not in the session (any more) is
/// let go already, and so is one whose session is not there.
pub async fn remove_job(call: Call) -> Result<HttpResponse, ApiError> {
    call.enforce("sessions:job:remove")?;
    let (project, now) = (call.project.clone(), call.now);
    let (session, job) = (session_id(&call), job_id(&call));
    let removed = job.clone();
    let is_changed = call.write(move |tx| remove(tx, &project, &session, &removed, now)).await?;
    if is_changed {
        call.tell_conductors(&call.project, &job);
    }
    Ok(HttpResponse::NoContent().finish())
}

/// Returns whether the job itself was changed.
fn remove(
    tx: &mut Tx,
    project: &ProjectId,
    id: &SessionId,
    job_id: &JobId,
    now: Timestamp,
) -> Result<bool, ApiError> {
    let job = tx.jobs().get_for_update(project, job_id)?;
    if let Some(mut session) = tx.sessions().get_for_update(project, id)?
        && session.detach(job_id, now)
    {
        tx.sessions().save(&session)?;
    }
    let Some(mut job) = job.filter(|job| job.session().as_ref() == Some(id)) else { return Ok(false) };
    tx.jobs().set_session(project, job_id, "", 0)?;
    if job.state.event != JobEvent::Stop {
        job.state.event = JobEvent::Stop;
        tx.jobs().set_state(project, job_id, &job.state)?;
        tx.jobs().set_event_is_new(project, job_id)?;
    }
    tx.jobs().request_attention(project, job_id, now)?;
    Ok(true)
}
