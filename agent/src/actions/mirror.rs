//! Actions over several storages that each hold the same backups (option `storages`).
//!
//! A backup is made once for all (see [`super::backup`]). A restore takes the storage with the newest state, the first of those that
//! have it. All other actions are done on one storage after the other, and what fails on one does not keep them from the rest.

use super::{ActionError, Damage, Done, act_on_one, chains};
use crate::options::mirror::Place;
use crate::options::typed::{ActionKind, ActionOptions};
use crate::storages::{Surroundings, open_store};
use freezer_model::backup::ADOPTED;
use freezer_model::clock::time_text;
use freezer_storage::StoreError;
use freezer_vault::{Monitor, VaultError, catalogue};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Key of a result, and of a record, with what is true of each storage.
const STORAGES: &str = "storages";
/// Key with the storages that were left out, and why.
const FAILED: &str = "storages_failed";

/// Whether the action stops, and is not to be tried elsewhere.
fn is_aborted(error: &ActionError, monitor: &Monitor) -> bool {
    monitor.is_cancelled()
        || matches!(
            error,
            ActionError::Aborted
                | ActionError::Vault(VaultError::Cancelled | VaultError::Store(StoreError::Cancelled))
        )
}

/// No storage has done it.
pub(super) fn all_failed(failed: &[(Place, String)]) -> ActionError {
    let causes: Vec<String> =
        failed.iter().map(|(place, cause)| format!("{}: {cause}", place.name())).collect();
    ActionError::Failed(format!("on none of the storages: {}", causes.join("; ")))
}

/// The same, when some could not even be opened.
pub(super) fn none_left(error: &VaultError, failed: &[(Place, String)]) -> ActionError {
    let causes: Vec<String> =
        failed.iter().map(|(place, cause)| format!("{}: {cause}", place.name())).collect();
    ActionError::Failed(format!("{error}; left out before that: {}", causes.join("; ")))
}

/// Which storages hold a new backup, and which do not, in its record and for people. One that does not makes the run partial.
pub(super) fn tell_copies(done: &mut Done, holders: &[Place], failed: &[(Place, String)]) {
    let held: Vec<Map<String, Value>> = holders.iter().map(Place::record).collect();
    if let Some(Value::Object(metadata)) = done.result.get_mut("backup_metadata") {
        metadata.insert(STORAGES.into(), json!(held));
        if !failed.is_empty() {
            metadata.insert(FAILED.into(), failures(failed));
        }
    }
    done.summary.extend(holders.iter().map(|place| format!("Copy         {}", place.name())));
    tell_failures(done, failed);
}

fn tell_failures(done: &mut Done, failed: &[(Place, String)]) {
    if failed.is_empty() {
        return;
    }
    done.result.insert(FAILED.into(), failures(failed));
    done.summary
        .extend(failed.iter().map(|(place, cause)| format!("NOT ON       {}: {cause}", place.name())));
    done.partial = true;
}

fn failures(failed: &[(Place, String)]) -> Value {
    let failure = |(place, cause): &(Place, String)| {
        let mut record = place.record();
        record.insert("failure".into(), json!(cause));
        record
    };
    json!(failed.iter().map(failure).collect::<Vec<_>>())
}

/// The action on each of the storages.
pub(super) async fn on_each(
    options: &ActionOptions,
    around: &Surroundings,
    monitor: Arc<Monitor>,
) -> Result<Done, ActionError> {
    let mut done = Done { result: Map::new(), summary: Vec::new(), partial: false };
    let (mut told, mut failed, mut damaged) = (Vec::new(), Vec::new(), Vec::new());
    for (position, place) in options.storages.iter().enumerate() {
        monitor.enter_storage(position);
        done.summary.push(format!("Storage      {}", place.name()));
        let mut record = place.record();
        match act_on_one(&options.at(place), around, monitor.clone()).await {
            Ok(one) => {
                done.summary.extend(one.summary);
                done.partial |= one.partial;
                record.insert("result".into(), Value::Object(one.result));
            }
            Err(error) if is_aborted(&error, &monitor) => return Err(ActionError::Aborted),
            Err(ActionError::Damaged(damage)) => {
                let Damage { text, summary, result } = *damage;
                done.summary.extend(summary);
                damaged.push(format!("{}: {text}", place.name()));
                record.insert("result".into(), Value::Object(result));
            }
            Err(error) => {
                failed.push((place.clone(), error.to_string()));
                continue;
            }
        }
        told.push(record);
    }
    if told.is_empty() {
        return Err(all_failed(&failed));
    }
    if options.action == ActionKind::Adopt {
        done.result.insert(ADOPTED.into(), json!(merged(&mut told)));
    }
    done.result.insert(STORAGES.into(), json!(told));
    tell_failures(&mut done, &failed);
    if options.action == ActionKind::Verify {
        // A storage that cannot be read is not known to be sound.
        damaged.extend(failed.iter().map(|(place, cause)| format!("{}: {cause}", place.name())));
    }
    if damaged.is_empty() {
        return Ok(done);
    }
    let Done { result, summary, .. } = done;
    Err(ActionError::Damaged(Box::new(Damage { text: damaged.join("; "), summary, result })))
}

/// One record for each backup, however many storages hold it.
fn merged(told: &mut [Map<String, Value>]) -> Vec<Map<String, Value>> {
    let mut records: Vec<Map<String, Value>> = Vec::new();
    for storage in told {
        let place: Map<String, Value> = storage
            .iter()
            .filter(|(key, _)| *key != "result")
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        let found = storage.get_mut("result").and_then(|result| result.as_object_mut()?.remove(ADOPTED));
        for mut record in found
            .and_then(|found| serde_json::from_value::<Vec<Map<String, Value>>>(found).ok())
            .unwrap_or_default()
        {
            let is_same = |other: &&mut Map<String, Value>| {
                ["hostname", "backup_name", "engine_name", "chain_time_stamp", "time_stamp"]
                    .iter()
                    .all(|key| other.get(*key) == record.get(*key))
            };
            match records.iter_mut().find(is_same).and_then(|known| known.get_mut(STORAGES)) {
                Some(Value::Array(places)) => places.push(json!(place)),
                _ => {
                    record.insert(STORAGES.into(), json!([place]));
                    records.push(record);
                }
            }
        }
    }
    records
}

/// The newest state that one storage could give back.
struct Offer {
    place: Place,
    timestamp: Option<i64>,
}

/// Restores from the storage with the newest state; when that fails before anything is written, from the next.
pub(super) async fn restore(
    options: &ActionOptions,
    around: &Surroundings,
    monitor: Arc<Monitor>,
) -> Result<Done, ActionError> {
    let (mut offers, mut failed) = (Vec::new(), Vec::new());
    for place in &options.storages {
        match newest(&options.at(place), around).await {
            Ok(timestamp) => offers.push(Offer { place: place.clone(), timestamp }),
            Err(error) if is_aborted(&error, &monitor) => return Err(ActionError::Aborted),
            Err(error) => failed.push((place.clone(), error.to_string())),
        }
    }
    // Stable: of those with the same state the first counts.
    offers.sort_by_key(|offer| std::cmp::Reverse(offer.timestamp));
    let best = offers.first().and_then(|offer| offer.timestamp);
    let mut offers = offers.into_iter().peekable();
    while let Some(Offer { place, timestamp }) = offers.next() {
        match act_on_one(&options.at(&place), around, monitor.clone()).await {
            Ok(mut done) => {
                done.summary.push(format!("From         {}", place.name()));
                let mut used = place.record();
                used.insert("is_newest".into(), json!(timestamp == best));
                done.result.insert("restored_from".into(), json!(used));
                tell_passed_over(&mut done, &failed, best.filter(|_| timestamp != best));
                return Ok(done);
            }
            Err(error) if is_aborted(&error, &monitor) => return Err(ActionError::Aborted),
            Err(error) => {
                let progress = monitor.progress();
                if progress.files > 0 || progress.bytes_read > 0 || matches!(error, ActionError::Damaged(_)) {
                    return Err(stopped(error, &place, offers.peek()));
                }
                failed.push((place, error.to_string()));
            }
        }
    }
    Err(all_failed(&failed))
}

/// Another storage may hold another state, whose files would mix with those that are there.
fn stopped(error: ActionError, place: &Place, next: Option<&Offer>) -> ActionError {
    match (error, next) {
        (ActionError::Damaged(damage), _) => ActionError::Damaged(damage),
        (error, None) => ActionError::Failed(format!("{}: {error}", place.name())),
        (error, Some(next)) => ActionError::Failed(format!(
            "{}: {error}; some files are written already: empty the target, leave this storage out, and restore from {}",
            place.name(),
            next.place.name()
        )),
    }
}

/// What could not be asked may hold a newer state; what is known to hold one makes the restore partial.
fn tell_passed_over(done: &mut Done, failed: &[(Place, String)], newer: Option<i64>) {
    if failed.is_empty() {
        return;
    }
    done.result.insert(FAILED.into(), failures(failed));
    done.summary
        .extend(failed.iter().map(|(place, cause)| format!("Passed over  {}: {cause}", place.name())));
    if let Some(newer) = newer {
        done.summary.push(format!("OLDER        the state of {} could not be restored", time_text(newer)));
        done.partial = true;
    }
}

/// When the newest backup was made that a restore could take from this storage.
async fn newest(options: &ActionOptions, around: &Surroundings) -> Result<Option<i64>, ActionError> {
    let store = open_store(options, around).await?;
    let mut newest = None;
    for hbn in chains::with_backups(options, &store).await? {
        let found = catalogue::list(&store, &hbn).await?;
        let times = found.chains.iter().flat_map(|chain| chain.existing()).map(|level| level.id.timestamp);
        let before = |time: &i64| options.restore_from_date.is_none_or(|limit| *time <= limit);
        newest = newest.max(times.filter(before).max());
    }
    Ok(newest)
}
