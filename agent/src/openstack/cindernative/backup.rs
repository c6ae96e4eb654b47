//! Action backup of mode cindernative: Cinder makes a backup of a volume, we wait for how it really ends.
//!
//! A backup that Cinder could not make is removed again, with Cinder's reason told. One that is still being made at our time
//! limit is Cinder's to finish: it is marked as Freezer's, so rotation counts it. Until then it bears our process: after an
//! abort, or when we die, the next agent removes it.

use super::CinderNative;
use super::chains::{Chains, MARK_KEY, MARK_VALUE, RECORD_KEY, description};
use super::kind::{self, Kind, choose};
use super::rotate::remove_one;
use crate::actions::{ActionError, Done};
use crate::openstack::cinder::backups::{Backups, CinderBackup, NewBackup};
use crate::openstack::error::CloudError;
use crate::openstack::temporary::Ledger;
use crate::openstack::volume::warn_of_half;
use crate::openstack::waiting::{Look, Wanted};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// What Cinder answers when its own view has no base for an increment.
const NO_BASE: &str = "No backups available to do an incremental backup";

pub async fn backup(action: &CinderNative<'_>) -> Result<Done, ActionError> {
    let options = action.options;
    let volume_id = action.volume_id()?;
    let backups = action.backups();
    let volume = action.volume(volume_id).await?.ok_or_else(|| action.unknown_volume(volume_id))?;
    warn_of_half(&volume);
    let chains = Chains::of(backups.list(volume_id).await?);
    let wanted = kind::Wanted {
        incremental: options.incremental,
        max_level: options.max_level,
        restart_always_level_days: options.restart_always_level_days,
        freezer_only: action.native.freezer_only,
    };
    let mut kind = choose(&wanted, &chains, action.around.now_secs);
    let container = action.container().await?;
    if options.dry_run {
        return Ok(planned(action, volume_id, &kind));
    }
    let record_id = uuid::Uuid::new_v4().simple().to_string();
    let lasting: BTreeMap<String, String> = [(MARK_KEY, MARK_VALUE), (RECORD_KEY, record_id.as_str())]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
    let mut metadata = lasting.clone();
    metadata.extend(waiting(action));
    let new = NewBackup {
        volume_id: volume_id.to_owned(),
        name: options.backup_name.clone(),
        description: description(volume_id),
        container: container.clone(),
        availability_zone: action.native.backup_az.clone(),
        is_incremental: kind.is_incremental,
        metadata,
    };
    let id = create(&backups, new, &mut kind).await?;
    tracing::info!("Cinder backup {id} of volume {volume_id}: {}", kind.reason);
    let made = finished(action, &backups, &id, &lasting).await?;
    Ok(done(action, &kind, &made, &record_id, volume.name()))
}

/// Who waits for the backup.
fn waiting(action: &CinderNative<'_>) -> BTreeMap<String, String> {
    let ledger = Ledger::new(&action.cloud, &action.options.cloud.temp_prefix, &action.around.run_id);
    serde_json::from_value(ledger.metadata()).unwrap_or_default()
}

/// Orders the backup; an increment that Cinder cannot base on anything becomes a full one.
async fn create(backups: &Backups<'_>, new: NewBackup, kind: &mut Kind) -> Result<String, ActionError> {
    match backups.create(&new).await {
        Err(error) if new.is_incremental && error.to_string().contains(NO_BASE) => {
            *kind = Kind::full(format!("Cinder has no base for an increment ({NO_BASE})"));
            Ok(backups.create(&NewBackup { is_incremental: false, ..new }).await?)
        }
        other => Ok(other?),
    }
}

/// Waits until Cinder is done with the backup.
async fn finished(
    action: &CinderNative<'_>,
    backups: &Backups<'_>,
    id: &str,
    lasting: &BTreeMap<String, String>,
) -> Result<CinderBackup, ActionError> {
    let wanted = Wanted::new(format!("Cinder backup {id}"), "available");
    let look = async || {
        Ok(match backups.get(id).await? {
            Some(found) if matches!(found.status.as_str(), "creating" | "backing-up") => {
                Look::NotYet(found.status)
            }
            found => Look::Ready(found),
        })
    };
    let last = match action.cloud.wait_for(wanted, look).await {
        Ok(last) => last,
        Err(CloudError::Aborted) => {
            tracing::warn!("aborted; Cinder goes on with backup {id}, which the next agent removes");
            return Err(ActionError::Aborted);
        }
        Err(error) => {
            if let Err(why) = backups.set_metadata(id, lasting).await {
                tracing::warn!("the next agent removes Cinder backup {id}: {why}");
            }
            return Err(action.says(format!("{error}; Cinder goes on with backup {id}")));
        }
    };
    match last {
        // Not before nobody will take it for one that was left is it a backup.
        Some(backup) if backup.is_available() => {
            backups.set_metadata(id, lasting).await?;
            Ok(backup)
        }
        Some(backup) if backup.status == "error" => Err(failed(action, backups, &backup).await),
        Some(backup) => {
            Err(action.says(format!("Cinder backup {id} is {} instead of available", backup.status)))
        }
        None => Err(action.says(format!("Cinder backup {id} was deleted while it was being made"))),
    }
}

/// Takes away what Cinder could not finish and tells why it could not.
async fn failed(action: &CinderNative<'_>, backups: &Backups<'_>, backup: &CinderBackup) -> ActionError {
    let reason =
        backup.fail_reason.as_deref().unwrap_or("Cinder gives no reason; see the log of cinder-backup");
    let rest = match remove_one(action, backups, &backup.id).await {
        Ok(()) => "it was removed".to_owned(),
        Err(error) => format!("it could not be removed: {error}"),
    };
    action.says(format!("Cinder backup {} ended in error ({rest}): {reason}", backup.id))
}

fn planned(action: &CinderNative<'_>, volume_id: &str, kind: &Kind) -> Done {
    let what = if kind.is_incremental { "an incremental" } else { "a full" };
    let mut result = Map::new();
    result.insert("plan".into(), json!({"volume_id": volume_id, "is_incremental": kind.is_incremental, "level": kind.level, "reason": kind.reason}));
    let summary = vec![
        format!(
            "Plan         {what} Cinder backup {} of volume {volume_id} ({})",
            action.options.backup_name, kind.reason
        ),
        "Dry run      nothing was made".to_owned(),
    ];
    Done { result, summary, partial: false }
}

fn done(
    action: &CinderNative<'_>,
    kind: &Kind,
    made: &CinderBackup,
    record_id: &str,
    volume_name: &str,
) -> Done {
    let metadata = metadata(action, kind, made, record_id);
    let report = json!({
        "cinder_backup_id": made.id,
        "volume_id": made.volume_id,
        "volume_name": volume_name,
        "is_incremental": made.is_incremental,
        "level": kind.level,
        "level_reason": kind.reason,
        "size_gib": made.size_gib,
        "object_count": made.object_count,
        "container": made.container,
    });
    let mut result = Map::new();
    result.insert("backup_metadata".into(), Value::Object(metadata));
    result.insert("report".into(), report);
    let mut summary = vec![
        format!("Backup       {} level {} ({})", made.id, kind.level, kind.reason),
        format!("Volume       {} of {} GiB", made.volume_id, made.size_gib),
        format!("Container    {}", made.container.as_deref().unwrap_or("(Cinder's own)")),
    ];
    if action.options.always_level.is_some() {
        summary.push(
            "Note         always_level is not followed: Cinder bases an increment on the newest backup"
                .to_owned(),
        );
    }
    Done { result, summary, partial: false }
}

/// Upstream's result document, with what it lacks: the level, and the id in Cinder.
fn metadata(
    action: &CinderNative<'_>,
    kind: &Kind,
    made: &CinderBackup,
    record_id: &str,
) -> Map<String, Value> {
    let options = action.options;
    let or_empty = |number: Option<u32>| number.map_or_else(|| json!(""), |number| json!(number));
    let container = made.container.clone().unwrap_or_default();
    let document = json!({
        "backup_id": record_id,
        "cinder_backup_id": made.id,
        "cindernative_vol_id": made.volume_id,
        "curr_backup_level": kind.level,
        "is_incremental": made.is_incremental,
        "level_reason": kind.reason,
        "fs_real_path": "",
        "vol_snap_path": "",
        "client_os": std::env::consts::OS,
        "client_version": env!("CARGO_PKG_VERSION"),
        "time_stamp": made.data_secs,
        "action": "backup",
        "always_level": or_empty(options.always_level),
        "max_level": or_empty(options.max_level),
        "backup_media": "cindernative",
        "backup_name": options.backup_name,
        "container": container,
        "container_segments": "",
        "dry_run": "",
        "hostname": options.hostname,
        "path_to_backup": "",
        "log_file": options.log_file.clone().unwrap_or_default(),
        "storage": options.storage.kind(),
        "mode": "cindernative",
        "engine_name": "",
        "proxy": "",
        "compression": "",
        "ssh_host": "",
        "ssh_username": "",
        "ssh_port": "",
        "ssh_key": "",
        "consistency_checksum": "",
        "cindernative_backup_az": action.native.backup_az.clone().unwrap_or_default(),
        "cindernative_backup_container": container,
        "size_gib": made.size_gib,
        "object_count": made.object_count,
        "time_started": action.around.now_secs,
    });
    document.as_object().cloned().unwrap_or_default()
}
