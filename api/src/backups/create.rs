//! POST /v2/{project_id}/backups

use crate::call::Call;
use crate::error::ApiError;
use crate::validate::{Object, backup};
use actix_web::HttpResponse;
use freezer_model::{Backup, BackupId};
use serde_json::json;

/// Records a backup. The body is the metadata itself, flat.
pub async fn create(mut call: Call) -> Result<HttpResponse, ApiError> {
    call.enforce("backups:create")?;
    let body = call.object().await?;
    let body = backup::parse(&Object::new(&body, ""), call.now.secs())?;
    let record = Backup {
        project_id: call.project.clone(),
        backup_id: BackupId::random(),
        user_id: call.caller.user_id.clone(),
        job_id: backup::job_id(&body.metadata),
        status: body.status.unwrap_or_default(),
        status_is_explicit: body.status.is_some(),
        metadata: body.metadata,
        created_at: call.now,
    };
    let id = record.backup_id.clone();
    call.write(move |tx| Ok(tx.backups().insert(&record)?)).await?;
    Ok(HttpResponse::Created().json(json!({ "backup_id": id })))
}
