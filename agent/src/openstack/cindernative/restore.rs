//! Action restore of mode cindernative: a Cinder backup by its id, or the newest not after a date, into a volume.
//!
//! As upstream: the volume that the action names is written over. A new volume is made when no volume is named, or when
//! `overwrite` is explicitly false. When no backup fits the date, nothing is restored. A new volume that could not be
//! filled is removed.

use super::CinderNative;
use crate::actions::{ActionError, Done};
use crate::openstack::cinder::backups::{CinderBackup, RestoreTarget};
use crate::openstack::cinder::volumes;
use crate::openstack::error::CloudError;
use crate::openstack::temporary::Ledger;
use crate::openstack::waiting::{Look, Wanted};
use chrono::DateTime;
use serde_json::{Map, json};
use std::time::Duration;

/// Where the data go.
struct Target {
    order: RestoreTarget,
    /// The volume is this action's own: removed when the restore fails, and if we die, by the next agent, which finds it by the
    /// tag in its name.
    is_new: bool,
}

pub async fn restore(action: &CinderNative<'_>) -> Result<Done, ActionError> {
    let backup = chosen(action).await?;
    let over = action.native.volume_id.as_deref().filter(|_| action.native.overwrite);
    if let Some(volume_id) = over {
        must_be_free(action, volume_id, &backup).await?;
    }
    if action.options.dry_run {
        return Ok(planned(&backup, over));
    }
    let target = match over {
        Some(volume_id) => Target { order: RestoreTarget::Volume(volume_id.to_owned()), is_new: false },
        None => new_target(action, &backup).await?,
    };
    let volume_id = match action.backups().restore(&backup.id, &target.order).await {
        Ok(volume_id) => volume_id,
        Err(error) => return Err(undone(action, &target, None, error.into()).await),
    };
    tracing::info!("Cinder restores backup {} into volume {volume_id}", backup.id);
    let filled = match finished(action, &backup, &volume_id).await {
        Ok(()) if target.is_new => dress(action, &backup, &volume_id).await,
        other => other,
    };
    if let Err(error) = filled {
        return Err(undone(action, &target, Some(&volume_id), error).await);
    }
    Ok(done(&backup, &volume_id, target.is_new))
}

/// The backup that the options mean. Never another one.
async fn chosen(action: &CinderNative<'_>) -> Result<CinderBackup, ActionError> {
    let not_after = action.options.restore_from_date;
    if let Some(id) = &action.native.backup_id {
        let found = action.backups().get(id).await?;
        let found = found.ok_or_else(|| {
            action.says(format!("Cinder backup {id} (cindernative_backup_id) is not in this project: see 'openstack volume backup list'"))
        })?;
        if !found.is_available() {
            return Err(action.says(format!("Cinder backup {id} is {}, not available", found.status)));
        }
        if not_after.is_some_and(|date| found.data_secs > date) {
            let text = format!(
                "Cinder backup {id} is of {}, which is after restore_from_date; give one of the two",
                utc(found.data_secs)
            );
            return Err(action.says(text));
        }
        return Ok(found);
    }
    let volume_id = action.volume_id()?;
    let mut found = action.backups().list(volume_id).await?;
    found.retain(CinderBackup::is_available);
    found.sort_by(|a, b| a.age_key().cmp(&b.age_key()));
    let oldest = found.first().map(|backup| utc(backup.data_secs));
    let newest = found.into_iter().rfind(|backup| not_after.is_none_or(|date| backup.data_secs <= date));
    newest.ok_or_else(|| {
        action.says(match (oldest, not_after) {
            (Some(oldest), Some(date)) => format!(
                "volume {volume_id} has no available Cinder backup of {} or before; the oldest is of {oldest}",
                utc(date)
            ),
            _ => format!("volume {volume_id} has no available Cinder backup in this project"),
        })
    })
}

/// Cinder restores only into a volume that nobody uses.
async fn must_be_free(
    action: &CinderNative<'_>,
    volume_id: &str,
    backup: &CinderBackup,
) -> Result<(), ActionError> {
    let volume = action.volume(volume_id).await?.ok_or_else(|| action.unknown_volume(volume_id))?;
    if volume.status() != "available" {
        return Err(action.says(format!(
            "volume {volume_id} is {}, and Cinder restores only into one that is available: detach it first, or set overwrite to \
             false for a new volume",
            volume.status()
        )));
    }
    if volume.size_gib() < backup.size_gib {
        return Err(action.says(format!(
            "volume {volume_id} has {} GiB, too small for backup {} of {} GiB",
            volume.size_gib(),
            backup.id,
            backup.size_gib
        )));
    }
    Ok(())
}

/// A new volume of the type and in the zone of the one that was saved; when that is gone, as Cinder sees fit.
async fn new_target(action: &CinderNative<'_>, backup: &CinderBackup) -> Result<Target, ActionError> {
    let saved = action.volume(&backup.volume_id).await?;
    let ledger = Ledger::new(&action.cloud, &action.options.cloud.temp_prefix, &action.around.run_id);
    let name = ledger.name(&format!("restore_{}", backup.id));
    let Some(like) = saved else {
        return Ok(Target { order: RestoreTarget::New { name }, is_new: true });
    };
    let body = json!({
        "name": name,
        "size": backup.size_gib,
        "volume_type": like.volume_type(),
        "availability_zone": like.availability_zone(),
    });
    let id = volumes::create(&action.cloud, body).await?;
    let target = Target { order: RestoreTarget::Volume(id.clone()), is_new: true };
    match volumes::wait(&action.cloud, &id, &["available"], 0).await {
        Ok(_) => Ok(target),
        Err(error) => Err(undone(action, &target, None, error.into()).await),
    }
}

/// The volume is the user's from now on.
async fn dress(action: &CinderNative<'_>, backup: &CinderBackup, id: &str) -> Result<(), ActionError> {
    let saved = action.volume(&backup.volume_id).await?;
    let name = new_name(action, backup, saved.as_ref().map(volumes::Volume::name));
    Ok(volumes::rename(&action.cloud, id, &name).await?)
}

fn new_name(action: &CinderNative<'_>, backup: &CinderBackup, saved: Option<&str>) -> String {
    if let Some(name) = &action.options.cloud.restore_name {
        return name.clone();
    }
    let base = [saved, backup.name.as_deref()].into_iter().flatten().find(|name| !name.is_empty());
    let base: String = base.unwrap_or(&backup.volume_id).chars().take(230).collect();
    format!("{base}~{}", backup.data_secs)
}

/// Waits until Cinder is done with the volume and the backup.
async fn finished(
    action: &CinderNative<'_>,
    backup: &CinderBackup,
    volume_id: &str,
) -> Result<(), ActionError> {
    let wanted = Wanted::new(format!("volume {volume_id}"), "restored");
    let look = async || {
        let volume = action.volume(volume_id).await?;
        let volume_is = volume.map_or_else(|| "gone".to_owned(), |volume| volume.status().to_owned());
        if matches!(volume_is.as_str(), "creating" | "restoring-backup" | "downloading") {
            return Ok(Look::NotYet(volume_is));
        }
        let held = action.backups().get(&backup.id).await?;
        let reason = held.as_ref().and_then(|backup| backup.fail_reason.clone());
        let backup_is = held.map_or_else(|| "gone".to_owned(), |backup| backup.status);
        if backup_is == "restoring" {
            return Ok(Look::NotYet(volume_is));
        }
        Ok(Look::Ready((volume_is, backup_is, reason)))
    };
    let (volume_is, backup_is, reason) = action.cloud.wait_for(wanted, look).await?;
    if volume_is == "available" && backup_is == "available" {
        return Ok(());
    }
    let reason = reason.unwrap_or_else(|| "Cinder gives no reason; see the log of cinder-backup".to_owned());
    Err(action.says(format!(
        "restoring Cinder backup {} into volume {volume_id} failed (volume {volume_is}, backup {backup_is}): {reason}",
        backup.id
    )))
}

/// Takes away the new volume of a restore that failed, and answers the error with what became of it.
async fn undone(
    action: &CinderNative<'_>,
    target: &Target,
    restoring: Option<&str>,
    error: ActionError,
) -> ActionError {
    let new = match &target.order {
        RestoreTarget::Volume(id) if target.is_new => Some(id.as_str()),
        RestoreTarget::New { .. } => restoring,
        RestoreTarget::Volume(_) => None,
    };
    let Some(id) = new else { return error };
    let rest = match remove_volume(action, id).await {
        Ok(()) => format!("the new volume {id} was removed"),
        Err(why) => format!("the new volume {id} stays: {why}"),
    };
    tracing::warn!("{rest}");
    match error {
        ActionError::Aborted | ActionError::Cloud(CloudError::Aborted) => ActionError::Aborted,
        other => action.says(format!("{other}; {rest}")),
    }
}

/// Cinder refuses to remove a volume that it restores into: that is waited for, as long as an abort leaves us time.
async fn remove_volume(action: &CinderNative<'_>, id: &str) -> Result<(), CloudError> {
    let cloud = action.cloud.undisturbed();
    let mut pause = Duration::from_millis(250);
    loop {
        match volumes::delete(&cloud, id).await {
            Err(error) if error.is_busy() && pause < Duration::from_secs(6) => {
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
            other => return other,
        }
    }
}

fn planned(backup: &CinderBackup, over: Option<&str>) -> Done {
    let target = over.map_or_else(|| "a new volume".to_owned(), |id| format!("volume {id}, written over"));
    let mut result = Map::new();
    result.insert(
        "plan".into(),
        json!({"cinder_backup_id": backup.id, "time_stamp": backup.data_secs, "volume_id": over}),
    );
    let summary = vec![
        format!("Plan         Cinder backup {} of {} into {target}", backup.id, utc(backup.data_secs)),
        "Dry run      nothing was written".to_owned(),
    ];
    Done { result, summary, partial: false }
}

fn done(backup: &CinderBackup, volume_id: &str, is_new: bool) -> Done {
    let mut result = Map::new();
    result.insert(
        "restore".into(),
        json!({
            "cinder_backup_id": backup.id,
            "time_stamp": backup.data_secs,
            "volume_id": volume_id,
            "is_new_volume": is_new,
            "source_volume_id": backup.volume_id,
        }),
    );
    let mut summary = vec![
        format!("Restored     Cinder backup {} as of {}", backup.id, utc(backup.data_secs)),
        format!("Into         {} volume {volume_id}", if is_new { "new" } else { "existing" }),
    ];
    if !is_new && volume_id != backup.volume_id {
        summary.push(format!("Note         the backup is of another volume, {}", backup.volume_id));
    }
    Done { result, summary, partial: false }
}

fn utc(secs: i64) -> String {
    DateTime::from_timestamp(secs, 0)
        .map_or_else(|| secs.to_string(), |time| time.format("%Y-%m-%dT%H:%M:%SZ").to_string())
}
