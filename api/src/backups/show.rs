//! GET /v2/{project_id}/backups/{backup_id}

use super::backup_id;
use crate::call::Call;
use crate::error::ApiError;
use actix_web::HttpResponse;
use freezer_model::document;
use serde_json::{Value, json};

/// Shows one record. `backup_uuid` repeats the id under the name the old command line prints.
pub async fn show(call: Call) -> Result<HttpResponse, ApiError> {
    call.enforce("backups:get")?;
    let (project, id) = (call.project.clone(), backup_id(&call));
    let backup = call.read(move |tx| Ok(tx.backups().get(&project, &id)?)).await?;
    let backup = backup.ok_or_else(ApiError::absent)?;
    let mut shown = document::backup(&backup, call.state.options.backup_status);
    if let Value::Object(map) = &mut shown {
        map.insert("backup_uuid".to_owned(), json!(backup.backup_id));
    }
    Ok(HttpResponse::Ok().json(shown))
}
