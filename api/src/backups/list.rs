//! GET /v2/{project_id}/backups

use crate::answer;
use crate::call::Call;
use crate::error::ApiError;
use actix_web::HttpResponse;
use freezer_database::{BackupFilter, ShownBackup};
use freezer_model::document::{self, StatusShown};
use freezer_model::search::Search;
use freezer_model::{BackupId, BackupStatus, JobId};

/// Lists the project's backup records.
pub async fn list(mut call: Call) -> Result<HttpResponse, ApiError> {
    call.enforce("backups:get_all")?;
    let page = call.page()?;
    let mut search = call.search().await?;
    let filter = filter(&mut search);
    let (project, shown) = (call.project.clone(), call.state.options.backup_status);
    answer::list(&call, "backups", page, move |db, cursor, items| {
        // A record without a status is an available one, also to a search.
        let wanted = |backup: &ShownBackup| search.matches(&document::backup(backup, StatusShown::Always));
        let residual = search.has_conditions().then_some(&wanted as &dyn Fn(&ShownBackup) -> bool);
        db.read(|tx| {
            tx.backups().advance(&project, &filter, residual, cursor, &mut |backup| {
                items.add(|out| document::write_backup(&backup, shown, out))
            })
        })
    })
    .await
}

/// The conditions that columns decide.
fn filter(search: &mut Search) -> BackupFilter {
    let is_set = |text: &str| !text.is_empty();
    let is_status = |word: &str| BackupStatus::parse(word).is_some();
    BackupFilter {
        backup_id: search.take_match("backup_id", |_| true).map(BackupId::new),
        job_id: search.take_match("job_id", is_set).map(JobId::new),
        status: search.take_match("status", is_status).and_then(|word| BackupStatus::parse(&word)),
        container: search.take_match("container", is_set),
        hostname: search.take_match("hostname", is_set),
        backup_name: search.take_match("backup_name", is_set),
        time_after: search.time_after,
        time_before: search.time_before,
        ..BackupFilter::default()
    }
}
