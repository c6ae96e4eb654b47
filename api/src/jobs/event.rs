//! POST /v2/{project_id}/jobs/{job_id}/event

use super::resolve::Owner;
use super::{ask_to_look, capability, job_id, owner};
use crate::call::Call;
use crate::error::ApiError;
use actix_web::HttpResponse;
use freezer_database::Tx;
use freezer_model::{JobEvent, JobId, JobResult, JobStatus};
use serde_json::{Value, json};

/// Notes what a user wants of a job. Who runs it (the conductor or a polling scheduler) clears the event again.
pub async fn event(mut call: Call) -> Result<HttpResponse, ApiError> {
    call.enforce("jobs:event:create")?;
    let id = job_id(&call);
    let wanted = wanted(call.json().await?.0)?;
    let owner = owner(&call);
    let written = id.clone();
    let result = call.write(move |tx| note(tx, &owner, &written, wanted)).await?;
    call.tell_conductors(&call.project, &id);
    Ok(HttpResponse::Accepted().json(json!({ "result": result })))
}

/// The first key names the event; its value means nothing.
fn wanted(body: Option<Value>) -> Result<JobEvent, ApiError> {
    let name = match &body {
        Some(Value::Object(map)) => map.keys().next(),
        _ => None,
    };
    match name.map(String::as_str) {
        None => Err(ApiError::bad_request("Bad event request format")),
        Some("start") => Ok(JobEvent::Start),
        Some("stop") => Ok(JobEvent::Stop),
        Some("abort") => Ok(JobEvent::Abort),
        Some(_) => Err(ApiError::bad_request("Bad Action Method")),
    }
}

fn note(tx: &mut Tx, owner: &Owner, id: &JobId, wanted: JobEvent) -> Result<String, ApiError> {
    let job = tx.jobs().get_for_update(&owner.project, id)?.ok_or_else(|| ApiError::not_found("Job", id))?;
    if job.state.event == wanted {
        return Ok(format!("{} already requested", wanted.as_str()));
    }
    let mut state = job.state;
    state.event = wanted;
    let mut is_polled_for = false;
    if wanted == JobEvent::Start {
        // Nobody could run it. Stopping and aborting stay possible whatever became of the client.
        let client = capability::client(tx, &owner.project, &job.client_id)?;
        is_polled_for = !capability::is_driven(Some(&client));
        // A completed job is hidden from schedulers that poll until its status is gone.
        state.status = JobStatus::None;
        state.result = JobResult::None;
    }
    tx.jobs().set_state(&owner.project, id, &state)?;
    tx.jobs().set_event_is_new(&owner.project, id)?;
    ask_to_look(tx, &owner.project, id, is_polled_for, owner.now)?;
    Ok("success".to_owned())
}
