//! GET /v2/{project_id}/clients/{client_id}

use super::client_id;
use crate::call::Call;
use crate::error::ApiError;
use actix_web::HttpResponse;
use freezer_model::document;

/// Shows a client of the project, else the central one of that name.
pub async fn show(call: Call) -> Result<HttpResponse, ApiError> {
    call.enforce("clients:get")?;
    let (project, id) = (call.project.clone(), client_id(&call));
    let client = call.read(move |tx| Ok(tx.clients().get(&project, &id)?)).await?;
    let client = client.ok_or_else(ApiError::absent)?;
    Ok(HttpResponse::Ok().json(document::client(&client)))
}
