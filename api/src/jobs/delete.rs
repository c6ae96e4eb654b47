//! DELETE /v2/{project_id}/jobs/{job_id}

use super::job_id;
use crate::call::Call;
use crate::error::ApiError;
use actix_web::HttpResponse;

/// Deletes a job; its actions and runs stay. A job that is not there is deleted already.
pub async fn delete(call: Call) -> Result<HttpResponse, ApiError> {
    call.enforce("jobs:delete")?;
    let (project, id) = (call.project.clone(), job_id(&call));
    let deleted = id.clone();
    let now = call.now;
    let was_there = call
        .write(move |tx| {
            let was_there = tx.jobs().delete(&project, &deleted)?;
            // Its session must not wait for it.
            tx.sessions().leave_all(&project, &deleted, None, now)?;
            Ok(was_there)
        })
        .await?;
    if was_there {
        call.tell_conductors(&call.project, &id);
    }
    Ok(HttpResponse::NoContent().finish())
}
