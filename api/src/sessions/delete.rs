//! DELETE /v2/{project_id}/sessions/{session_id}

use super::session_id;
use crate::call::Call;
use crate::error::ApiError;
use actix_web::HttpResponse;

/// Deletes a session and lets its jobs go: they stay planned as they are, each for itself. One that is not there is
/// deleted already.
pub async fn delete(call: Call) -> Result<HttpResponse, ApiError> {
    call.enforce("sessions:delete")?;
    let (project, id) = (call.project.clone(), session_id(&call));
    call.write(move |tx| {
        for job in tx.jobs().of_session_for_update(&project, &id)? {
            tx.jobs().set_session(&project, &job, "", 0)?;
        }
        Ok(tx.sessions().delete(&project, &id)?)
    })
    .await?;
    Ok(HttpResponse::NoContent().finish())
}
