//! GET /v2/{project_id}/quotas

use super::document;
use crate::call::Call;
use crate::error::ApiError;
use actix_web::HttpResponse;

/// Shows the project's limits.
pub async fn show(call: Call) -> Result<HttpResponse, ApiError> {
    call.enforce("quotas:get")?;
    let project = call.project.clone();
    let own = call.read(move |tx| Ok(tx.quotas().get(&project)?)).await?;
    Ok(HttpResponse::Ok().json(document(&call.project, call.state.options.quota, &own)))
}
