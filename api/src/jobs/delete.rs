//! DELETE /v2/{project_id}/jobs/{job_id}

use super::{job_id, trust};
use crate::call::Call;
use crate::error::ApiError;
use actix_web::HttpResponse;

/// Deletes a job; its actions and runs stay, its trust ends with the last job that uses it. A job that is not there is deleted already.
pub async fn delete(call: Call) -> Result<HttpResponse, ApiError> {
    call.enforce("jobs:delete")?;
    let (project, id) = (call.project.clone(), job_id(&call));
    let deleted = id.clone();
    let now = call.now;
    let was_there = trust::write(&call, trust::Lane::Change, move |tx, trusts| {
        let job = tx.jobs().get_for_update(&project, &deleted)?;
        tx.jobs().delete(&project, &deleted)?;
        // Its session must not wait for it.
        tx.sessions().leave_all(&project, &deleted, None, now)?;
        trusts.leave(tx, &project, job.as_ref().and_then(|job| job.credentials.as_ref()), None)?;
        Ok(job.is_some())
    })
    .await?;
    if was_there {
        call.tell_conductors(&call.project, &id);
    }
    Ok(HttpResponse::NoContent().finish())
}
