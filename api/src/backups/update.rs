//! PATCH /v2/{project_id}/backups/{backup_id}

use super::backup_id;
use crate::call::Call;
use crate::error::ApiError;
use crate::validate::{Object, backup};
use actix_web::HttpResponse;
use freezer_model::document;

/// Changes the status, lays metadata keys over the stored ones, and answers with the whole record. What settles an announced record
/// may come flat.
pub async fn update(mut call: Call) -> Result<HttpResponse, ApiError> {
    call.enforce("backups:update")?;
    let id = backup_id(&call);
    let body = call.object().await?;
    let patch = backup::parse_patch(&Object::new(&body, ""))?;
    let (project, now_secs) = (call.project.clone(), call.now.secs());
    let record = call
        .write(move |tx| {
            let stored = tx.backups().get_for_update(&project, &id)?;
            let mut record = stored.ok_or_else(|| ApiError::not_found("Backup", &id))?;
            let metadata = patch.metadata_for(&record);
            if let Some(status) = patch.status {
                record.status = status;
                record.status_is_explicit = true;
            }
            if let Some(metadata) = metadata {
                record.metadata = backup::merged(&record.metadata, metadata, now_secs)?;
                record.job_id = backup::job_id(&record.metadata);
            }
            tx.backups().save(&record)?;
            Ok(record)
        })
        .await?;
    Ok(HttpResponse::Ok().json(document::backup(&record, call.state.options.backup_status)))
}
