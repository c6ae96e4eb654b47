//! Action restore: the newest state, or the newest not after a date, into a folder.

use super::backup::{people, rules, trouble};
use super::{ActionError, Damage, Done, chains, recover};
use crate::options::medium::Medium;
use crate::options::typed::ActionOptions;
use crate::storages::{Surroundings, open_store};
use freezer_model::naming;
use freezer_storage::Store;
use freezer_vault::restore::{LeftOut, RestoreReport, RestoreRequest};
use freezer_vault::{Monitor, VaultError, consistency};
use serde_json::{Map, Value, json};
use std::path::PathBuf;
use std::sync::Arc;

/// A backup that says what it is of comes back as that, whatever the mode: the files of a server as raw parts are no server.
pub async fn restore(
    options: &ActionOptions,
    around: &Surroundings,
    monitor: Arc<Monitor>,
) -> Result<Done, ActionError> {
    match as_asked(options, around, monitor.clone()).await {
        Err(ActionError::Vault(VaultError::OtherKind { hbn, found })) => {
            let as_made = as_made(options, &hbn, &found)?;
            let note = format!("{hbn} is a backup of {found}: restored by {}", as_made.medium.chosen_by());
            tracing::info!("{note}");
            let mut done = as_asked(&as_made, around, monitor).await?;
            done.summary.push(format!("Note         {note}"));
            done.result.insert("notes".into(), json!([note]));
            Ok(done)
        }
        other => other,
    }
}

/// Backups of which nothing may be restored as this medium: what is to become a server takes more than its parts, and nothing else
/// becomes one.
fn not_of(options: &ActionOptions) -> Vec<&'static str> {
    let asked = &options.medium;
    let is_server = asked.has_logs() || options.servers.loads;
    let others = Medium::fed().filter(|(medium, _)| *medium != asked && (is_server || medium.has_logs()));
    others.map(|(_, source)| source).collect()
}

/// The options for a backup that says what it is of, where nothing in them means another kind.
fn as_made(options: &ActionOptions, hbn: &str, found: &str) -> Result<ActionOptions, ActionError> {
    let asked = &options.medium;
    let medium = Medium::of_source(found).ok_or_else(|| {
        ActionError::Failed(format!("{hbn} is a backup of {found}, which this agent does not know"))
    })?;
    let is_unsaid = *asked == Medium::Files || asked.mode() == medium.mode();
    let has_place = options.recovery_target_lsn.is_some() || options.recovery_target_binlog.is_some();
    if !is_unsaid || has_place || options.servers.loads {
        return Err(ActionError::Failed(format!(
            "{hbn} is a backup of {found}, and {} was asked for; nothing was written: restore it by {}",
            asked.chosen_by(),
            medium.chosen_by()
        )));
    }
    // What lies under the name that it was found by, and no other one.
    let name = chains::own_name(options, hbn).unwrap_or(&options.backup_name).to_owned();
    let medium = medium.clone();
    Ok(ActionOptions { medium, backup_name: name, also_named: Vec::new(), ..options.clone() })
}

async fn as_asked(
    options: &ActionOptions,
    around: &Surroundings,
    monitor: Arc<Monitor>,
) -> Result<Done, ActionError> {
    let target = options
        .restore_abs_path
        .clone()
        // Where it goes into a server, that has a folder for it.
        .or_else(|| options.servers.loads.then(PathBuf::new))
        .ok_or_else(|| ActionError::Failed("restore_abs_path is not set".into()))?;
    let store = open_store(options, around).await?;
    let named = name(options, &store).await?;
    let mut request = RestoreRequest::new(&options.hostname, &named, target);
    request.also_named = options.also_named.clone();
    request.source = options.path_to_backup.clone().filter(|_| options.medium == Medium::Files);
    request.not_of = not_of(options);
    request.overwrite = options.overwrite;
    request.extract = options.placing.extract.clone();
    request.delete_foreign = options.placing.deletes_foreign;
    request.delete_excluded = options.placing.deletes_excluded;
    request.left_out = left_out(options)?;
    request.not_after_secs = options.restore_from_date;
    request.dry_run = options.dry_run;
    request.pass_phrase = options.pass_phrase()?;
    request.compression_fallback = options.compression.parse()?;
    request.engine = options.reads_engine;
    let recover = recover::plan(options, &store, &mut request).await?;
    let mut report = freezer_vault::restore::restore(store, request, monitor.clone()).await?;
    recover.finish(&mut report, &monitor).await?;
    let found = chains::own_name(options, &report.hbn);
    if options.is_default_name && found.is_some_and(|found| found == naming::of_host(&options.hostname)) {
        let text = "it was saved under a name that all folders of this host shared: make sure that it is of the one you want";
        report.warnings.push(text.to_owned());
    }
    let mut done = done(options, &report);
    if let (Some(expected), false) = (&options.consistency_checksum, report.dry_run) {
        compare(options, expected.clone(), &mut done).await?;
    }
    Ok(done)
}

/// What stays in the target although the backup does not hold it: as it was told, this is.
fn left_out(options: &ActionOptions) -> Result<LeftOut, ActionError> {
    let placing = &options.placing;
    if options.medium != Medium::Files || !placing.deletes_foreign || placing.deletes_excluded {
        return Ok(LeftOut::default());
    }
    let excludes: Vec<Vec<u8>> = options.exclude.iter().map(|pattern| pattern.clone().into_bytes()).collect();
    Ok(LeftOut::new(&excludes, rules(options)?))
}

/// Compares what lies in the target now with the checksum of the source.
async fn compare(options: &ActionOptions, expected: String, done: &mut Done) -> Result<(), ActionError> {
    let target = options.restore_abs_path.clone().unwrap_or_default();
    let place = target.display().to_string();
    let work = tokio::task::spawn_blocking(move || consistency::matches(&target, &expected));
    let same = work.await.map_err(|error| ActionError::Failed(format!("the consistency check: {error}")))?;
    let text = match same {
        Ok(true) => {
            done.summary.push("Checksum     as of the source".to_owned());
            done.result.insert("consistency".into(), json!({"is_same": true}));
            return Ok(());
        }
        Ok(false) => format!(
            "the data are written, but {place} does not have the consistency_checksum that was given; it also differs when files \
             were excluded or could not be read, when {place} held others before, or when a folder lists its files in another order"
        ),
        Err(error) => {
            format!("the data are written, but their consistency_checksum could not be made: {error}")
        }
    };
    let (mut summary, mut result) = (std::mem::take(&mut done.summary), std::mem::take(&mut done.result));
    summary.push("DIFFERENT    from what the consistency_checksum says".to_owned());
    result.insert("consistency".into(), json!({"is_same": false}));
    Err(ActionError::Damaged(Box::new(Damage { text, summary, result })))
}

/// The name to restore from. Without name and folder it is that of the only folder that was saved without a name.
async fn name(options: &ActionOptions, store: &Arc<dyn Store>) -> Result<String, ActionError> {
    if !chains::is_about_all(options) {
        return Ok(options.backup_name.clone());
    }
    let found = chains::with_backups(options, store).await?;
    let names: Vec<&str> = found.iter().filter_map(|hbn| chains::own_name(options, hbn.as_str())).collect();
    match names.as_slice() {
        [] => Ok(options.backup_name.clone()),
        [one] => Ok((*one).to_owned()),
        several => Err(ActionError::Failed(format!(
            "several folders of {} are saved without a given name: say which one by path_to_backup, or by backup_name, one of {}",
            options.hostname,
            several.join(", ")
        ))),
    }
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
    if report.already_there > 0 {
        let files = report.already_there;
        summary.push(format!("There        {files} files already, of this restore when it was interrupted"));
    }
    if report.deleted > 0 {
        summary.push(format!("Deleted      {} objects that the backup does not know", report.deleted));
    }
    if report.spared > 0 {
        let spared = report.spared;
        summary.push(format!(
            "Spared       {spared} objects that the backup left out, could not hold, or that are mounted"
        ));
    }
    if report.dry_run {
        summary.push("Dry run      nothing was written".into());
    }
    summary.extend(report.warnings.iter().map(|warning| format!("Note         {warning}")));
    summary.extend(report.problems.iter().take(20).map(trouble));
    Done { result, summary, partial: report.is_partial }
}
