//! The records of backups that a step has removed go with the step's end, in the same transaction: a record that is shown names
//! a backup that is there. Only those of the run's own project are there to be found.

use freezer_database::{BackupFilter, DbError, Page, Tx};
use freezer_model::{Backup, BackupId, RemovedBackups, Run};
use serde_json::{Map, Value, json};

/// Key of the step's result that lists records by their ids (upstream's; mode cindernative).
const BY_ID: &str = "deleted_freezer_backup_ids";
/// Keys under which a record of several resources has what belongs to each, by the resource's id.
const SEVERAL: [&str; 2] = ["servers", "images"];
/// Figures of such a record that are the sums of its resources'.
const SUMS: [&str; 2] = ["bytes_read", "bytes_stored"];

/// However the step has ended: what is gone is gone.
pub(crate) fn forget_removed(tx: &mut Tx, run: &Run, result: &Map<String, Value>) -> Result<(), DbError> {
    if let Some(Value::Array(ids)) = result.get(BY_ID) {
        for id in ids.iter().filter_map(Value::as_str) {
            tx.backups().delete(&run.project_id, &BackupId::from(id))?;
        }
    }
    let Some(said) = result.get(RemovedBackups::KEY) else { return Ok(()) };
    match serde_json::from_value::<RemovedBackups>(said.clone()) {
        Ok(removed) => forget(tx, run, &removed),
        Err(error) => {
            tracing::error!(run = %run.run_id, "what the agent says it has removed is not readable, its records stay: {error}");
            Ok(())
        }
    }
}

fn forget(tx: &mut Tx, run: &Run, removed: &RemovedBackups) -> Result<(), DbError> {
    for removed in std::iter::once(removed).chain(&removed.elsewhere) {
        for name in std::iter::once(&removed.backup_name).chain(&removed.also_named) {
            forget_named(tx, run, removed, name)?;
        }
    }
    Ok(())
}

fn forget_named(tx: &mut Tx, run: &Run, removed: &RemovedBackups, name: &str) -> Result<(), DbError> {
    let filter = BackupFilter {
        // Not by the container: that of a record is the first of the storages that hold its backup.
        hostname: Some(removed.hostname.clone()),
        backup_name: Some(name.to_owned()),
        ..BackupFilter::default()
    };
    for mut listed in tx.backups().list(&run.project_id, &filter, None, Page::ALL)? {
        if left_of(&mut listed, removed) == Left::All {
            continue;
        }
        // Users write to records, too: what counts is what this one holds now, and nobody else changes it until the end.
        let held = tx.backups().get_for_update(&run.project_id, &listed.backup_id)?;
        let Some(mut record) = held else { continue };
        match left_of(&mut record, removed) {
            Left::All => {}
            Left::Some => tx.backups().save(&record)?,
            Left::Nothing => {
                tx.backups().delete(&run.project_id, &record.backup_id)?;
            }
        }
    }
    Ok(())
}

#[derive(PartialEq)]
enum Left {
    All,
    Some,
    Nothing,
}

/// Takes out of a record what is gone.
fn left_of(record: &mut Backup, removed: &RemovedBackups) -> Left {
    let is_gone = |part: &Value| part.as_object().is_some_and(|part| removed.has(part));
    for key in SEVERAL {
        let Some(Value::Object(parts)) = record.metadata.get_mut(key) else { continue };
        let before = parts.len();
        parts.retain(|_, part| !is_gone(part));
        if parts.is_empty() {
            return Left::Nothing;
        }
        if parts.len() == before {
            return Left::All;
        }
        let parts: Vec<Value> = parts.values().cloned().collect();
        for name in SUMS {
            let sum: u64 = parts.iter().filter_map(|part| part.get(name)?.as_u64()).sum();
            record.metadata.insert(name.to_owned(), json!(sum));
        }
        return Left::Some;
    }
    if record.metadata.contains_key(RemovedBackups::STORAGES) {
        return left_of_copies(&mut record.metadata, removed);
    }
    if removed.has(&record.metadata) { Left::Nothing } else { Left::All }
}

/// Keys that say where a backup is.
const PLACE: [&str; 10] = [
    "storage",
    "container",
    "ssh_host",
    "ssh_port",
    "ssh_username",
    "ftp_host",
    "ftp_port",
    "ftp_username",
    "endpoint",
    "s3_region",
];

/// A backup that is on several storages is there as long as one has it; the record is of the first that does.
fn left_of_copies(metadata: &mut Map<String, Value>, removed: &RemovedBackups) -> Left {
    if removed.levels.is_empty() || !removed.is_of(metadata) {
        return Left::All;
    }
    let Some(Value::Array(places)) = metadata.get_mut(RemovedBackups::STORAGES) else { return Left::All };
    let before = places.len();
    places.retain(|place| !place.as_object().is_some_and(|place| removed.is_from(place)));
    if places.len() == before {
        return Left::All;
    }
    let Some(first) = places.first().and_then(Value::as_object).cloned() else { return Left::Nothing };
    for key in PLACE {
        metadata.insert(key.to_owned(), first.get(key).cloned().unwrap_or_else(|| json!("")));
    }
    Left::Some
}
