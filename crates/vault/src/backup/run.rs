//! The course of a backup from request to report.

use super::commit::{NewMac, commit_all, prepare};
use super::members::Members;
use super::stages::{Sealed, Sealer, start_compressor};
use super::upload::upload;
use super::work::{Outcome, Settings, Work};
use super::{BackupReport, agree};
use crate::VaultError;
use crate::encryption::{EncryptionOptions, KeyRing, MacParameters, StreamSealer};
use crate::layout::{Hbn, LevelId};
use crate::monitor::{Monitor, Phase};
use freezer_storage::Store;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};

/// Blocks waiting for the store.
const WAITING_PARTS: usize = 4;

/// What was decided before the first byte is read; the same for all storages.
pub(super) struct Plan {
    pub hbn: Hbn,
    pub id: LevelId,
    pub reason: String,
    pub warnings: Vec<String>,
    pub mac: Option<NewMac>,
    /// As it is asked for, with the derivation that was decided.
    pub encryption: Option<EncryptionOptions>,
    /// Mark of clear backups of the same source.
    pub succeeds: Option<String>,
}

/// Makes a backup on each of the stores. When the returned future is dropped, the backup is cancelled and tidies up behind
/// itself, as it does after [`Monitor::cancel`].
pub(crate) async fn course<W: Work>(
    stores: Vec<Arc<dyn Store>>,
    settings: Settings,
    work: W,
    monitor: Arc<Monitor>,
) -> Result<BackupReport, VaultError> {
    let guard = monitor.token().clone().drop_guard();
    let result = tokio::spawn(run(stores, settings, work, monitor.clone())).await;
    guard.disarm();
    monitor.set_phase(Phase::Finished);
    result.map_err(|error| VaultError::Internal { what: "the backup", cause: error.to_string() })?
}

async fn run<W: Work>(
    stores: Vec<Arc<dyn Store>>,
    settings: Settings,
    work: W,
    monitor: Arc<Monitor>,
) -> Result<BackupReport, VaultError> {
    check(&settings)?;
    let mut members = Members::of(stores);
    let result = save(&mut members, &settings, work, &monitor).await;
    members.close().await;
    result.map(|report| BackupReport { copies: members.copies(), ..report })
}

async fn save<W: Work>(
    members: &mut Members,
    settings: &Settings,
    mut work: W,
    monitor: &Arc<Monitor>,
) -> Result<BackupReport, VaultError> {
    monitor.set_phase(Phase::Planning);
    if !settings.dry_run {
        members.lock(settings).await?;
    }
    let planned = monitor.token().run_until_cancelled(plan(members, settings, &mut work)).await;
    let (plan, base) = planned.unwrap_or(Err(VaultError::Cancelled))?;
    // Not dropped: a service may be making something for it, and only who hears the answer can remove that.
    work.open(base.as_ref()).await?;
    if monitor.is_cancelled() {
        return Err(VaultError::Cancelled);
    }
    transfer_and_commit(members, settings, &plan, (work, base), monitor).await
}

fn check(request: &Settings) -> Result<(), VaultError> {
    let bad = |cause: &str| Err(VaultError::BadRequest { cause: cause.into() });
    if request.max_segment_size_bytes == 0 {
        return bad("max_segment_size must be at least 1");
    }
    if request.now_secs < 0 {
        return bad("the time of the backup is before 1970; set the clock");
    }
    if request.levels.restart_always_level_days.is_some_and(|days| !days.is_finite() || days < 0.0) {
        return bad("restart_always_level must be a number of days, not negative");
    }
    request.compression.checked_level().map(|_| ())
}

async fn plan<W: Work>(
    members: &mut Members,
    request: &Settings,
    work: &mut W,
) -> Result<(Plan, Option<W::Index>), VaultError> {
    let hbn = request.hbn.clone();
    let keys = request.encryption.as_ref().map(|options| KeyRing::new(options.pass_phrase.clone()));
    let agreed = agree::agree(members, (request, work), keys.as_ref()).await?;
    let agree::Agreed { choice, index, mac: shared, succeeds, warnings, greatest } = agreed;
    // Timestamps are ids: never one that exists, and always the greatest, whatever the clock says.
    let timestamp = greatest.map_or(request.now_secs, |top| request.now_secs.max(top + 1));
    let chain_timestamp = choice.base.map_or(timestamp, |base| base.chain_timestamp);
    let mac = match (&request.encryption, &keys) {
        (Some(options), Some(keys)) => {
            let strong = shared.filter(|parameters| parameters.iterations >= options.mac_iterations);
            let parameters = strong.map_or_else(|| MacParameters::generate(options.mac_iterations), Ok)?;
            Some(NewMac { key: keys.key(&parameters).await?, parameters })
        }
        _ => None,
    };
    let base = members.derivation();
    let encryption = request.encryption.as_ref().map(|options| options.of_level(base));
    let id = LevelId { chain_timestamp, timestamp, level: choice.level };
    tracing::info!(%hbn, level = id.level, timestamp, reason = %choice.reason, "backup planned");
    for warning in &warnings {
        tracing::warn!("{warning}");
    }
    Ok((Plan { hbn, id, reason: choice.reason, warnings, mac, encryption, succeeds }, index))
}

async fn transfer_and_commit<W: Work>(
    members: &mut Members,
    request: &Settings,
    plan: &Plan,
    source: (W, Option<W::Index>),
    monitor: &Arc<Monitor>,
) -> Result<BackupReport, VaultError> {
    monitor.set_phase(Phase::Transferring);
    members.begin(&plan.hbn, &plan.id, request.dry_run)?;
    let transferred = transfer(request, plan, source, members, monitor).await;
    monitor.set_phase(Phase::Committing);
    let (outcome, sealed) = match transferred {
        Ok(done) => done,
        Err(error) => {
            members.abandon();
            return Err(error);
        }
    };
    let stored_bytes = sealed.pieces.iter().map(|piece| piece.size_bytes).sum();
    let segments = sealed.pieces.last().map_or(0, |piece| piece.segment as u64 + 1);
    let mut report = report(request, plan, &outcome, stored_bytes, segments);
    monitor.add_errors(report.problem_count);
    report.parent = members.parent();
    if request.dry_run {
        return Ok(report);
    }
    let packs_metadata =
        W::PACKS_METADATA || plan.encryption.as_ref().is_some_and(EncryptionOptions::encrypts_names);
    match prepare(request, plan, (outcome, sealed), packs_metadata).await {
        Ok(ready) => commit_all(members, request, plan, &ready).await?,
        Err(error) => {
            members.abandon();
            return Err(error);
        }
    }
    report.parent = members.parent();
    Ok(report)
}

async fn transfer<W: Work>(
    request: &Settings,
    plan: &Plan,
    (work, base): (W, Option<W::Index>),
    members: &mut Members,
    monitor: &Arc<Monitor>,
) -> Result<(Outcome, Sealed), VaultError> {
    let (compressor, packed) = start_compressor(&request.compression)?;
    let (parts, incoming) = mpsc::channel(WAITING_PARTS);
    let key = plan.mac.as_ref().map(|mac| mac.key.clone());
    let sizes = (request.max_segment_size_bytes, W::piece_bytes(plan.id.level));
    let options = plan.encryption.clone();
    let sealing = spawn_blocking(move || {
        // Slow with a slow derivation; the source is being read meanwhile.
        let encryption = options.as_ref().map(StreamSealer::start).transpose()?;
        Sealer::new(encryption, key, sizes, parts, W::LISTS_MEMBERS)?.run(packed)
    });
    let watch = monitor.clone();
    let writing = spawn_blocking(move || work.write(base, compressor, watch));

    let uploaded = upload(incoming, members, !request.dry_run, monitor).await;
    let sealed = join("sealing", sealing).await;
    let written = join("archiving", writing).await;
    // The first cause counts: a failed store makes the threads fail, a failed source the sealing thread.
    uploaded?;
    if monitor.is_cancelled() {
        return Err(VaultError::Cancelled);
    }
    let (written, sealed) = (written?, sealed?);
    // Before index and snapshot file are made: of a large tree they take as much memory as the segments that are on their way.
    monitor.token().run_until_cancelled(members.settle()).await.unwrap_or(Err(VaultError::Cancelled))?;
    Ok((written, sealed))
}

async fn join<T>(what: &'static str, task: JoinHandle<Result<T, VaultError>>) -> Result<T, VaultError> {
    task.await.map_err(|error| VaultError::Internal { what, cause: error.to_string() })?
}

fn report(
    request: &Settings,
    plan: &Plan,
    outcome: &Outcome,
    bytes_stored: u64,
    segments: u64,
) -> BackupReport {
    let folder = plan.id.data_folder(&plan.hbn).map(|name| name.to_string()).unwrap_or_default();
    BackupReport {
        hbn: plan.hbn.to_string(),
        level: plan.id.level,
        timestamp: plan.id.timestamp,
        chain_timestamp: plan.id.chain_timestamp,
        parent: None,
        copies: Vec::new(),
        level_reason: plan.reason.clone(),
        warnings: plan.warnings.clone(),
        folder,
        compression: request.compression.format,
        encrypted: request.encryption.is_some(),
        bytes_read: outcome.content_bytes,
        bytes_stored,
        segments,
        files: outcome.members,
        image_bytes: outcome.image_bytes,
        is_partial: outcome.is_partial,
        problems: outcome.problems.first.clone(),
        problem_count: outcome.problems.count,
        dry_run: request.dry_run,
    }
}
