//! Action admin of mode cindernative: old Cinder backups of a volume go. Always a plan first; with `dry_run` only the plan.
//!
//! A chain goes from its newest increment to its full backup, and each is waited for until it is gone: what is stopped in
//! the middle leaves a shorter chain that can be restored, never increments without their base.

use super::CinderNative;
use super::chains::Chains;
use super::plan::{Doomed, Plan, Retention, plan};
use crate::actions::{ActionError, Done};
use crate::openstack::cinder::backups::Backups;
use crate::openstack::error::CloudError;
use crate::openstack::waiting::{Look, Wanted};
use serde_json::{Map, json};

pub async fn rotate(action: &CinderNative<'_>) -> Result<Done, ActionError> {
    let volume_id = action.volume_id()?;
    let backups = action.backups();
    // The backups of a volume that was deleted can still be rotated; one that never was has none.
    let chains = Chains::of(backups.list(volume_id).await?);
    let nothing_there = chains.chains.is_empty() && chains.orphans.is_empty();
    if nothing_there && action.volume(volume_id).await?.is_none() {
        return Err(action.unknown_volume(volume_id));
    }
    let plan = plan(&chains, &retention(action));
    let mut result = Map::new();
    result.insert("plan".into(), json!(plan));
    let mut summary = lines(volume_id, &plan);
    if action.options.dry_run {
        summary.push("Dry run: nothing was removed".into());
        return Ok(Done { result, summary, partial: false });
    }
    let removed = remove(action, &backups, &plan).await?;
    let is_partial = !removed.errors.is_empty();
    summary.push(format!("Removed {} Cinder backups", removed.backups.len()));
    summary.extend(removed.errors.iter().map(|why| format!("NOT REMOVED: {why}")));
    result.insert("removed".into(), json!({"cinder_backups": removed.backups, "errors": removed.errors}));
    // Upstream's key; the records of what is gone go with it.
    result.insert("deleted_freezer_backup_ids".into(), json!(removed.records));
    Ok(Done { result, summary, partial: is_partial })
}

fn retention(action: &CinderNative<'_>) -> Retention {
    let options = action.options;
    let by_days = options
        .remove_older_than_days
        .map(|days| action.around.now_secs.saturating_sub((days * 86_400.0) as i64));
    let cuts = [by_days, options.remove_from_date];
    Retention {
        keep_full: action.native.fullbackup_rotation,
        // Two dates: only what both let go.
        not_after_secs: cuts.into_iter().flatten().min(),
        freezer_only: action.native.freezer_only,
    }
}

fn lines(volume_id: &str, plan: &Plan) -> Vec<String> {
    let mut lines = vec![format!(
        "Volume {volume_id}: {} full Cinder backups stay, {} go",
        plan.keep.len(),
        plan.remove.len()
    )];
    lines.extend(plan.remove.iter().map(|doomed| {
        format!("Remove full backup {} and {} increments", doomed.full, doomed.backups.len() - 1)
    }));
    lines.extend(plan.skipped.iter().map(|why| format!("Skipped: {why}")));
    lines
}

#[derive(Default)]
struct Removed {
    backups: Vec<String>,
    records: Vec<String>,
    errors: Vec<String>,
}

/// Removes what the plan says. An error when nothing went; else what could not be removed is named in the outcome.
async fn remove(
    action: &CinderNative<'_>,
    backups: &Backups<'_>,
    plan: &Plan,
) -> Result<Removed, ActionError> {
    let mut removed = Removed::default();
    for chain in &plan.remove {
        match remove_chain(action, backups, chain, &mut removed).await {
            Err(CloudError::Aborted) => return Err(ActionError::Aborted),
            Err(error) => removed.errors.push(error.to_string()),
            Ok(()) => {}
        }
    }
    if removed.backups.is_empty() && !removed.errors.is_empty() {
        return Err(action.says(removed.errors.join("; ")));
    }
    Ok(removed)
}

async fn remove_chain(
    action: &CinderNative<'_>,
    backups: &Backups<'_>,
    chain: &Doomed,
    removed: &mut Removed,
) -> Result<(), CloudError> {
    for (id, record) in chain.backups.iter().zip(&chain.records) {
        tracing::info!("removing Cinder backup {id}");
        remove_one(action, backups, id).await?;
        removed.backups.push(id.clone());
        removed.records.extend(record.clone());
    }
    Ok(())
}

/// Deletes a backup and waits until it is gone.
pub(super) async fn remove_one(
    action: &CinderNative<'_>,
    backups: &Backups<'_>,
    id: &str,
) -> Result<(), CloudError> {
    backups.delete(id).await?;
    let wanted = Wanted::new(format!("Cinder backup {id}"), "deleted");
    let look = async || {
        let Some(found) = backups.get(id).await? else { return Ok(Look::Ready(())) };
        if matches!(found.status.as_str(), "error" | "error_deleting") {
            let detail = found.fail_reason.unwrap_or_else(|| "Cinder gives no reason".to_owned());
            return Ok(Look::Never { state: found.status, detail });
        }
        Ok(Look::NotYet(found.status))
    };
    action.cloud.wait_for(wanted, look).await
}
