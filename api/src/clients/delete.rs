//! DELETE /v2/{project_id}/clients/{client_id}

use super::client_id;
use crate::call::Call;
use crate::error::ApiError;
use actix_web::HttpResponse;

/// Deletes a client of the project. One that is not there is deleted already; a central one of another project, which
/// the caller can see, is not theirs to delete.
pub async fn delete(call: Call) -> Result<HttpResponse, ApiError> {
    call.enforce("clients:delete")?;
    let (project, id) = (call.project.clone(), client_id(&call));
    call.write(move |tx| {
        if tx.clients().delete(&project, &id)? || tx.clients().get(&project, &id)?.is_none() {
            return Ok(());
        }
        Err(ApiError::forbidden())
    })
    .await?;
    Ok(HttpResponse::NoContent().finish())
}
