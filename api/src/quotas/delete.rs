//! DELETE /v2/{project_id}/quotas

use crate::call::Call;
use crate::error::ApiError;
use actix_web::HttpResponse;

/// Back to what is configured for all.
pub async fn delete(call: Call) -> Result<HttpResponse, ApiError> {
    call.enforce("quotas:delete")?;
    let project = call.project.clone();
    call.write(move |tx| Ok(tx.quotas().delete(&project)?)).await?;
    Ok(HttpResponse::NoContent().finish())
}
