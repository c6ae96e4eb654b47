//! The records of backups that a step has removed go with the step's end, in the same transaction: a record that is shown names
//! a backup that is there. Only those of the run's own project are there to be found.

use freezer_database::{BackupFilter, Cursor, DbError, Page, ShownBackup, Tx};
use freezer_model::{BackupId, RemovedBackups, Run};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// Key of the step's result that lists records by their ids (upstream's; mode cindernative).
const BY_ID: &str = "deleted_freezer_backup_ids";
/// Keys under which a record of several resources has what belongs to each, by the resource's id.
const SEVERAL: [&str; 2] = ["servers", "images"];
/// Figures of such a record that are the sums of its resources'.
const SUMS: [&str; 2] = ["bytes_read", "bytes_stored"];

/// What one step may name: ids of records, names of backups, storages. An action is about fewer by far.
const NAMES_MOST: usize = 10_000;
const STORAGES_MOST: usize = 100;
/// Records that the end of one step changes.
const RECORDS_MOST: usize = 50_000;
/// Names that are looked for in one statement.
const NAMES_AT_A_TIME: usize = 500;
/// Records that are kept from others at a time.
const RECORDS_AT_A_TIME: usize = 500;

/// What of these bounds is left. A step that comes to their end says so, and the rest of its records stays.
struct Room {
    names: usize,
    records: usize,
    is_short: bool,
}

impl Room {
    fn told(&self) -> Option<String> {
        self.is_short.then(|| {
            "more backups were removed than one step can tell of: records of some are left; delete those in the API".to_owned()
        })
    }
}

/// However the step has ended: what is gone is gone. A bounded number of statements; answers what is left to be done, for the step.
pub(crate) fn forget_removed(
    tx: &mut Tx,
    run: &Run,
    result: &Map<String, Value>,
) -> Result<Option<String>, DbError> {
    let mut room = Room { names: NAMES_MOST, records: RECORDS_MOST, is_short: false };
    if let Some(Value::Array(ids)) = result.get(BY_ID) {
        let ids: BTreeSet<&str> = ids.iter().filter_map(Value::as_str).collect();
        room.is_short |= ids.len() > NAMES_MOST;
        let ids: Vec<BackupId> = ids.into_iter().take(NAMES_MOST).map(BackupId::from).collect();
        tx.backups().delete_many(&run.project_id, &ids)?;
    }
    if let Some(said) = result.get(RemovedBackups::KEY) {
        match serde_json::from_value::<RemovedBackups>(said.clone()) {
            Ok(removed) => forget(tx, run, &removed, &mut room)?,
            Err(error) => {
                tracing::error!(run = %run.run_id, "what the agent says it has removed is not readable, its records stay: {error}");
            }
        }
    }
    Ok(room.told())
}

fn forget(tx: &mut Tx, run: &Run, removed: &RemovedBackups, room: &mut Room) -> Result<(), DbError> {
    room.is_short |= removed.elsewhere.len() >= STORAGES_MOST;
    for removed in std::iter::once(removed).chain(&removed.elsewhere).take(STORAGES_MOST) {
        let mut names = removed.also_named.clone();
        names.insert(removed.backup_name.clone());
        room.is_short |= names.len() > room.names;
        let names: Vec<String> = names.into_iter().take(room.names).collect();
        room.names -= names.len();
        for names in names.chunks(NAMES_AT_A_TIME) {
            forget_named(tx, run, removed, names, room)?;
        }
    }
    Ok(())
}

fn forget_named(
    tx: &mut Tx,
    run: &Run,
    removed: &RemovedBackups,
    names: &[String],
    room: &mut Room,
) -> Result<(), DbError> {
    let mut touched = touched(tx, run, removed, names, room.records)?;
    room.is_short |= touched.len() > room.records;
    touched.truncate(room.records);
    room.records -= touched.len();
    for ids in touched.chunks(RECORDS_AT_A_TIME) {
        let mut gone = Vec::new();
        // Users write to records, too: what counts is what these hold now, and nobody else changes them until the end.
        for mut record in tx.backups().find_for_update(&run.project_id, ids)? {
            match left_of(&mut record.metadata, removed) {
                Left::All => {}
                Left::Some => tx.backups().save(&record)?,
                Left::Nothing => gone.push(record.backup_id),
            }
        }
        tx.backups().delete_many(&run.project_id, &gone)?;
    }
    Ok(())
}

/// The records of these names in which something is gone, in the order of their ids; not many more than `most`.
fn touched(
    tx: &mut Tx,
    run: &Run,
    removed: &RemovedBackups,
    names: &[String],
    most: usize,
) -> Result<Vec<BackupId>, DbError> {
    let filter = BackupFilter {
        // Not by the container: that of a record is the first of the storages that hold its backup.
        hostname: Some(removed.hostname.clone()),
        backup_names: names.to_vec(),
        ..BackupFilter::default()
    };
    let mut found = Vec::new();
    let mut cursor = Cursor::of(Page::ALL);
    while !cursor.is_over() && found.len() <= most {
        let mut take = |record: ShownBackup| -> Result<(), DbError> {
            let metadata = record.metadata.to_map();
            if metadata.is_ok_and(|mut metadata| left_of(&mut metadata, removed) != Left::All) {
                found.push(record.backup_id);
            }
            Ok(())
        };
        tx.backups().advance(&run.project_id, &filter, None, &mut cursor, &mut take)?;
    }
    found.sort_unstable();
    Ok(found)
}

#[derive(PartialEq)]
enum Left {
    All,
    Some,
    Nothing,
}

/// Takes out of a record's metadata what is gone.
fn left_of(metadata: &mut Map<String, Value>, removed: &RemovedBackups) -> Left {
    let is_gone = |part: &Value| part.as_object().is_some_and(|part| removed.has(part));
    for key in SEVERAL {
        let Some(Value::Object(parts)) = metadata.get_mut(key) else { continue };
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
            metadata.insert(name.to_owned(), json!(sum));
        }
        return Left::Some;
    }
    if metadata.contains_key(RemovedBackups::STORAGES) {
        return left_of_copies(metadata, removed);
    }
    if removed.has(metadata) { Left::Nothing } else { Left::All }
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
