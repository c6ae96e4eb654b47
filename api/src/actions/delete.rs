//! DELETE /v2/{project_id}/actions/{action_id}

use super::action_id;
use crate::call::Call;
use crate::error::ApiError;
use actix_web::HttpResponse;

/// Deletes an action and takes it out of the project's own jobs. One that is not there is deleted already.
pub async fn delete(call: Call) -> Result<HttpResponse, ApiError> {
    call.enforce("actions:delete")?;
    let (project, id) = (call.project.clone(), action_id(&call));
    call.write(move |tx| Ok(tx.actions().delete(&project, &id)?)).await?;
    Ok(HttpResponse::NoContent().finish())
}
