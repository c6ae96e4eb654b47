//! GET /v2/{project_id}/sessions/{session_id}

use super::session_id;
use crate::call::Call;
use crate::error::ApiError;
use actix_web::HttpResponse;
use freezer_model::document;

/// Shows a session of the project.
pub async fn show(call: Call) -> Result<HttpResponse, ApiError> {
    call.enforce("sessions:get")?;
    let (project, id) = (call.project.clone(), session_id(&call));
    let session = call.read(move |tx| Ok(tx.sessions().get(&project, &id)?)).await?;
    let session = session.ok_or_else(ApiError::absent)?;
    Ok(HttpResponse::Ok().json(document::session(&session)))
}
