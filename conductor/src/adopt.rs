//! Records for backups that a step has found on a storage: those that are missing are written with the step's end, in the same
//! transaction. A backup is known by its place, its name and its time; the ids are made of these and of the project, so that nothing
//! is written twice.

use crate::record_backup;
use freezer_database::{BackupFilter, DbError, Page, Tx};
use freezer_model::backup::ADOPTED;
use freezer_model::{Backup, BackupId, Run, StepOutcome, TIME_STAMP_MAX, Timestamp};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

/// What tells a backup from every other one, beside its time.
const PLACE: [&str; 7] =
    ["storage", "ssh_host", "ftp_host", "endpoint", "container", "hostname", "backup_name"];
/// Keys under which a record of several resources has what belongs to each.
const SEVERAL: [&str; 2] = ["servers", "images"];

/// Answers what could not be written, for the step.
pub(crate) fn adopt(
    tx: &mut Tx,
    run: &Run,
    outcome: StepOutcome,
    result: &Map<String, Value>,
    now: Timestamp,
) -> Result<Option<String>, DbError> {
    let found = match (outcome, result.get(ADOPTED)) {
        (StepOutcome::Success | StepOutcome::Partial, Some(Value::Array(found))) => found,
        _ => return Ok(None),
    };
    let mut unwritten: Option<String> = None;
    let mut known = Known::default();
    let mut count = 0u64;
    for metadata in found.iter().filter_map(Value::as_object) {
        if let Some(cause) = adopt_one(tx, run, metadata, now, &mut known)? {
            count += 1;
            unwritten.get_or_insert(cause);
        }
    }
    Ok(unwritten
        .map(|cause| format!("{count} records of backups could not be written, the first because: {cause}")))
}

fn adopt_one(
    tx: &mut Tx,
    run: &Run,
    metadata: &Map<String, Value>,
    now: Timestamp,
    known: &mut Known,
) -> Result<Option<String>, DbError> {
    let time = metadata.get("time_stamp").and_then(Value::as_i64);
    let Some(time) = time.filter(|secs| (0..=TIME_STAMP_MAX).contains(secs)) else {
        return Ok(Some("it has no time that clients can show".to_owned()));
    };
    let backup_id = id_of(run, metadata, time);
    if tx.backups().get(&run.project_id, &backup_id)?.is_some() || known.has(tx, run, metadata, time)? {
        return Ok(None);
    }
    record_backup::write(tx, run, None, backup_id, metadata.clone(), now)
}

fn text<'a>(metadata: &'a Map<String, Value>, key: &str) -> &'a str {
    metadata.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn id_of(run: &Run, metadata: &Map<String, Value>, time: i64) -> BackupId {
    let mut hash = Sha256::new();
    hash.update(format!("{}\0{time}", run.project_id.as_str()));
    for key in PLACE {
        hash.update(format!("\0{}", text(metadata, key)));
    }
    let digest: String = hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    BackupId::from(digest.as_str())
}

/// What tells a backup from every other one: its place and its time.
type Key = (Vec<String>, i64);

/// What has a record already, by container and host.
#[derive(Default)]
struct Known(BTreeMap<(String, String), BTreeSet<Key>>);

impl Known {
    /// Whether the run that made it has left a record, perhaps one of several resources.
    fn has(
        &mut self,
        tx: &mut Tx,
        run: &Run,
        metadata: &Map<String, Value>,
        time: i64,
    ) -> Result<bool, DbError> {
        let place = (text(metadata, "container").to_owned(), text(metadata, "hostname").to_owned());
        let of_place = match self.0.entry(place) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let (container, hostname) = entry.key().clone();
                let filter = BackupFilter {
                    container: Some(container),
                    hostname: Some(hostname),
                    ..BackupFilter::default()
                };
                let records = tx.backups().list(&run.project_id, &filter, None, Page::ALL)?;
                entry.insert(records.iter().flat_map(keys_of).collect())
            }
        };
        Ok(of_place.contains(&(place_of(metadata), time)))
    }
}

fn place_of(metadata: &Map<String, Value>) -> Vec<String> {
    PLACE.iter().map(|key| text(metadata, key).to_owned()).collect()
}

/// Of a record itself, and of each resource in it.
fn keys_of(record: &Backup) -> Vec<Key> {
    let parts = SEVERAL.iter().filter_map(|key| record.metadata.get(*key)?.as_object());
    let parts = parts.flat_map(|parts| parts.values()).filter_map(Value::as_object);
    let all = std::iter::once(&record.metadata).chain(parts);
    all.filter_map(|one| Some((place_of(one), one.get("time_stamp")?.as_i64()?))).collect()
}
