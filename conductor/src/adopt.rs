//! Records for backups that a step has found on a storage: those that are missing are written with the step's end, in the same
//! transaction. A backup is known by its place, its name and its time; the ids are made of these and of the project, so that nothing
//! is written twice.

use crate::record_backup::{made, refusal};
use freezer_database::{BackupFilter, Backups, Cursor, DbError, Page, ShownBackup, Tx};
use freezer_model::backup::ADOPTED;
use freezer_model::{BackupId, Run, StepOutcome, TIME_STAMP_MAX, Timestamp};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// What tells a backup from every other one, beside its time.
const PLACE: [&str; 7] =
    ["storage", "ssh_host", "ftp_host", "endpoint", "container", "hostname", "backup_name"];
/// Keys under which a record of several resources has what belongs to each.
const SEVERAL: [&str; 2] = ["servers", "images"];
/// Backups of one step that get records. Agents describe far fewer at a time.
const MOST: usize = 5000;
/// Hosts whose records are read at a time.
const HOSTS_AT_A_TIME: usize = 100;

/// What tells a backup from every other one: its place and its time.
type Key = (Vec<String>, i64);
/// Backups that have no record, as far as is known.
type New<'m> = BTreeMap<Key, &'m Map<String, Value>>;

/// Answers what could not be written, for the step. A bounded number of statements.
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
    let mut unwritten = Unwritten::default();
    let mut new = New::new();
    for metadata in found.iter().filter_map(Value::as_object) {
        match key_of(metadata).filter(|(_, secs)| (0..=TIME_STAMP_MAX).contains(secs)) {
            None => unwritten.note(|| "it has no time that clients can show".to_owned()),
            Some(key) if new.len() < MOST || new.contains_key(&key) => {
                new.entry(key).or_insert(metadata);
            }
            Some(_) => unwritten.note(|| format!("one step describes at most {MOST}")),
        }
    }
    leave_out_known(tx, run, &mut new)?;
    let mut records = Vec::new();
    for (key, metadata) in new {
        let Some(backup) = made(run, None, id_of(run, &key), metadata.clone(), now) else { continue };
        match refusal(Backups::check(&backup))? {
            Some(cause) => unwritten.note(|| cause),
            None => records.push(backup),
        }
    }
    tx.backups().insert_many(&records)?;
    Ok(unwritten.told())
}

/// How many, and why the first.
#[derive(Default)]
struct Unwritten {
    count: u64,
    cause: Option<String>,
}

impl Unwritten {
    fn note(&mut self, cause: impl FnOnce() -> String) {
        self.count += 1;
        self.cause.get_or_insert_with(cause);
    }

    fn told(self) -> Option<String> {
        let (count, cause) = (self.count, self.cause?);
        Some(format!("{count} records of backups could not be written, the first because: {cause}"))
    }
}

fn text<'a>(metadata: &'a Map<String, Value>, key: &str) -> &'a str {
    metadata.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn id_of(run: &Run, (place, time): &Key) -> BackupId {
    let mut hash = Sha256::new();
    hash.update(format!("{}\0{time}", run.project_id.as_str()));
    for text in place {
        hash.update(format!("\0{text}"));
    }
    let digest: String = hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    BackupId::from(digest.as_str())
}

/// Leaves out what was adopted before, and what the run that made it has left a record of, perhaps one of several resources.
fn leave_out_known(tx: &mut Tx, run: &Run, new: &mut New<'_>) -> Result<(), DbError> {
    let ids: Vec<BackupId> = new.keys().map(|key| id_of(run, key)).collect();
    let there = tx.backups().which_exist(&run.project_id, &ids)?;
    new.retain(|key, _| !there.contains(&id_of(run, key)));
    let hosts: BTreeSet<&str> = new.values().map(|metadata| text(metadata, "hostname")).collect();
    let hosts: Vec<String> = hosts.into_iter().map(str::to_owned).collect();
    for hosts in hosts.chunks(HOSTS_AT_A_TIME) {
        let filter = BackupFilter { hostnames: hosts.to_vec(), ..BackupFilter::default() };
        let mut cursor = Cursor::of(Page::ALL);
        while !cursor.is_over() {
            let mut take = |record: ShownBackup| -> Result<(), DbError> {
                // One that cannot be read says nothing.
                let metadata = record.metadata.to_map().unwrap_or_default();
                for key in keys_of(&metadata) {
                    new.remove(&key);
                }
                Ok(())
            };
            tx.backups().advance(&run.project_id, &filter, None, &mut cursor, &mut take)?;
        }
    }
    Ok(())
}

fn key_of(metadata: &Map<String, Value>) -> Option<Key> {
    let place = PLACE.iter().map(|key| text(metadata, key).to_owned()).collect();
    Some((place, metadata.get("time_stamp")?.as_i64()?))
}

/// Of a record itself, and of each resource in it.
fn keys_of(metadata: &Map<String, Value>) -> impl Iterator<Item = Key> {
    let parts = SEVERAL.iter().filter_map(move |key| metadata.get(*key)?.as_object());
    let parts = parts.flat_map(|parts| parts.values()).filter_map(Value::as_object);
    std::iter::once(metadata).chain(parts).filter_map(key_of)
}
