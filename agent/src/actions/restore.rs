//! Action restore: the newest state, or the newest not after a date, into a folder.

use super::backup::{people, trouble};
use super::{ActionError, Done};
use crate::options::typed::ActionOptions;
use crate::storages::{Surroundings, open_store};
use freezer_vault::Monitor;
use freezer_vault::encryption::PassPhrase;
use freezer_vault::restore::{RestoreReport, RestoreRequest};
use serde_json::{Map, Value};
use std::sync::Arc;

pub async fn restore(
    options: &ActionOptions,
    around: &Surroundings,
    monitor: Arc<Monitor>,
) -> Result<Done, ActionError> {
    let target = options
        .restore_abs_path
        .clone()
        .ok_or_else(|| ActionError::Failed("restore_abs_path is not set".into()))?;
    let mut request = RestoreRequest::new(&options.hostname, &options.backup_name, target);
    // Upstream stores the unresolved template of a default name in its paths.
    request.also_named = vec!["freezer_{mode}_{resource_id}".to_owned()];
    request.overwrite = options.overwrite;
    request.not_after_secs = options.restore_from_date;
    request.dry_run = options.dry_run;
    if let Some(file) = &options.encrypt_pass_file {
        request.pass_phrase = Some(PassPhrase::from_file(file)?);
    }
    request.compression_fallback = options.compression.parse()?;
    let store = open_store(options, around).await?;
    let report = freezer_vault::restore::restore(store, request, monitor).await?;
    Ok(done(options, &report))
}

fn done(options: &ActionOptions, report: &RestoreReport) -> Done {
    let mut result = Map::new();
    result.insert("restore".into(), serde_json::to_value(report).unwrap_or_default());
    if let Some(Value::Object(restore)) = result.get_mut("restore") {
        restore.insert(
            "target".into(),
            Value::String(
                options
                    .restore_abs_path
                    .as_ref()
                    .map(|path| path.to_string_lossy().into_owned())
                    .unwrap_or_default(),
            ),
        );
    }
    let mut summary = vec![
        format!("Restored     {} as of {} from {} levels", report.hbn, report.timestamp, report.levels.len()),
        format!(
            "Written      {} in {} entries ({} fetched)",
            people(report.bytes_written),
            report.files,
            people(report.bytes_fetched)
        ),
    ];
    if report.dry_run {
        summary.push("Dry run      nothing was written".into());
    }
    summary.extend(report.warnings.iter().map(|warning| format!("Note         {warning}")));
    summary.extend(report.problems.iter().take(20).map(trouble));
    Done { result, summary, partial: report.is_partial }
}
