//! POST /v2/{project_id}/sessions/{session_id}/action

use super::{held, session_id};
use crate::call::Call;
use crate::error::ApiError;
use crate::validate::Object;
use crate::validate::session::{self, SessionAction};
use actix_web::HttpResponse;
use freezer_database::Tx;
use freezer_model::session::{SessionRefusal, StartAnswer};
use freezer_model::{Job, JobId, ProjectId, SessionId, Timestamp};
use serde_json::json;

/// A member (its scheduler) says that it starts or that it has ended; see [`freezer_model::session`] for the answers.
pub async fn act(mut call: Call) -> Result<HttpResponse, ApiError> {
    call.enforce("sessions:action:create")?;
    let id = session_id(&call);
    let body = call.object().await?;
    let action = session::parse_action(&Object::new(&body, ""))?;
    let (project, now) = (call.project.clone(), call.now);
    let (result, tag) = call
        .write(move |tx| match &action {
            SessionAction::Start { job_id, current_tag } => {
                let answer = start(tx, &project, &id, job_id, *current_tag, now)?;
                Ok((answer.as_str(), answer.session_tag()))
            }
            SessionAction::End { job_id, result } => {
                Ok(("success", end(tx, &project, &id, job_id, result, now)?))
            }
        })
        .await?;
    Ok(HttpResponse::Accepted().json(json!({ "result": result, "session_tag": tag })))
}

/// The round's number is written into the job, too: a scheduler that reads its job before it has reported would go
/// back to the old one.
fn start(
    tx: &mut Tx,
    project: &ProjectId,
    id: &SessionId,
    job_id: &JobId,
    tag: i64,
    now: Timestamp,
) -> Result<StartAnswer, ApiError> {
    let job = tx.jobs().get_for_update(project, job_id)?;
    let mut session = held(tx, project, id)?;
    let answer = session.start(job_id, tag, now).map_err(refused)?;
    if let StartAnswer::Success(tag) = answer {
        tx.sessions().save(&session)?;
        note_round(tx, id, job.as_ref(), tag)?;
    }
    Ok(answer)
}

fn end(
    tx: &mut Tx,
    project: &ProjectId,
    id: &SessionId,
    job_id: &JobId,
    result: &str,
    now: Timestamp,
) -> Result<i64, ApiError> {
    let job = tx.jobs().get_for_update(project, job_id)?;
    let mut session = held(tx, project, id)?;
    let tag = session.end(job_id, result, now).map_err(refused)?;
    tx.sessions().save(&session)?;
    note_round(tx, id, job.as_ref(), tag)?;
    Ok(session.session_tag)
}

/// Writes the round's number into the job, if it is of this session.
fn note_round(tx: &mut Tx, id: &SessionId, job: Option<&Job>, tag: i64) -> Result<(), ApiError> {
    if let Some(job) = job.filter(|job| job.session().as_ref() == Some(id) && job.session_tag != tag) {
        tx.jobs().set_session(&job.project_id, &job.job_id, id.as_str(), tag)?;
    }
    Ok(())
}

fn refused(refusal: SessionRefusal) -> ApiError {
    ApiError::bad_request(refusal.to_string())
}
