//! DELETE /v2/{project_id}/backups/{backup_id}

use super::backup_id;
use crate::call::Call;
use crate::error::ApiError;
use actix_web::HttpResponse;

/// Removes the record, never the data. One that is not there is deleted already.
pub async fn delete(call: Call) -> Result<HttpResponse, ApiError> {
    call.enforce("backups:delete")?;
    let (project, id) = (call.project.clone(), backup_id(&call));
    call.write(move |tx| Ok(tx.backups().delete(&project, &id)?)).await?;
    Ok(HttpResponse::NoContent().finish())
}
