//! GET /v2/{project_id}/actions/{action_id}

use super::action_id;
use crate::call::Call;
use crate::error::ApiError;
use actix_web::HttpResponse;
use freezer_model::document;

/// Shows one saved action of the project.
pub async fn show(call: Call) -> Result<HttpResponse, ApiError> {
    call.enforce("actions:get")?;
    let (project, id) = (call.project.clone(), action_id(&call));
    let action = call.read(move |tx| Ok(tx.actions().get(&project, &id)?)).await?;
    let action = action.ok_or_else(ApiError::absent)?;
    Ok(HttpResponse::Ok().json(document::action(&action)))
}
