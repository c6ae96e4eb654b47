//! The course of a backup from request to report.

use super::commit::{NewMac, Transferred, commit, summarise};
use super::stages::{Sealer, archive, start_compressor};
use super::upload::upload;
use super::{BackupReport, BackupRequest, base, scan};
use crate::VaultError;
use crate::catalogue;
use crate::encryption::{Encryptor, KeyRing, MacParameters};
use crate::layout::{DATA, Hbn, LevelId};
use crate::lock::Lock;
use crate::manifest::ParentLink;
use crate::monitor::{Monitor, Phase};
use crate::tar::{Index, Written};
use freezer_storage::{LargeWriter, Store};
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};

/// Blocks waiting for the store.
const WAITING_PARTS: usize = 4;

/// What was decided before the first byte is read.
pub(super) struct Plan {
    pub hbn: Hbn,
    pub id: LevelId,
    pub parent: Option<ParentLink>,
    pub reason: String,
    pub base: Option<Arc<Index>>,
    pub mac: Option<NewMac>,
    pub lock: Option<Lock>,
}

impl Plan {
    pub(super) async fn lock_still_held(&self) -> Result<(), VaultError> {
        match &self.lock {
            Some(lock) => lock.still_held().await,
            None => Ok(()),
        }
    }
}

/// Makes a backup. When the returned future is dropped, the backup is cancelled and tidies up behind
/// itself, as it does after [`Monitor::cancel`].
pub async fn backup(
    store: Arc<dyn Store>,
    request: BackupRequest,
    monitor: Arc<Monitor>,
) -> Result<BackupReport, VaultError> {
    let guard = monitor.token().clone().drop_guard();
    let result = tokio::spawn(run(store, request, monitor.clone())).await;
    guard.disarm();
    monitor.set_phase(Phase::Finished);
    result.map_err(|error| VaultError::Internal { what: "the backup", cause: error.to_string() })?
}

async fn run(
    store: Arc<dyn Store>,
    request: BackupRequest,
    monitor: Arc<Monitor>,
) -> Result<BackupReport, VaultError> {
    check(&request)?;
    monitor.set_phase(Phase::Planning);
    let hbn = Hbn::new(&request.hostname, &request.backup_name)?;
    let lock = if request.dry_run {
        None
    } else {
        store.prepare().await?;
        Some(Lock::take(&store, &hbn, "backup", request.now_secs, request.lock_expiry).await?)
    };
    let planned = monitor.token().run_until_cancelled(plan(&store, &request, hbn)).await;
    let mut plan = match planned.unwrap_or(Err(VaultError::Cancelled)) {
        Ok(plan) => plan,
        Err(error) => {
            release(lock).await;
            return Err(error);
        }
    };
    plan.lock = lock;
    let result = transfer_and_commit(&store, &request, &mut plan, &monitor).await;
    release(plan.lock.take()).await;
    result
}

async fn release(lock: Option<Lock>) {
    if let Some(lock) = lock {
        lock.release().await;
    }
}

fn check(request: &BackupRequest) -> Result<(), VaultError> {
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

async fn plan(store: &Arc<dyn Store>, request: &BackupRequest, hbn: Hbn) -> Result<Plan, VaultError> {
    let catalogue = catalogue::list(store, &hbn).await?;
    // Timestamps are ids: never one that exists, and always the greatest, whatever the clock says.
    let timestamp =
        catalogue.greatest_timestamp().map_or(request.now_secs, |top| request.now_secs.max(top + 1));
    let keys = request.encryption.as_ref().map(|options| KeyRing::new(options.pass_phrase.clone()));
    let (choice, base) = base::choose_base(store, &catalogue, request, keys.as_ref()).await?;
    let chain_timestamp = choice.base.map_or(timestamp, |base| base.chain_timestamp);
    let mac = match (&request.encryption, &keys) {
        (Some(options), Some(keys)) => {
            // A chain shares its key, so that restoring many levels does not derive as many keys.
            let inherited = base.as_ref().and_then(|base| base.mac.clone());
            let strong = inherited.filter(|parameters| parameters.iterations >= options.mac_iterations);
            let parameters = strong.map_or_else(|| MacParameters::generate(options.mac_iterations), Ok)?;
            Some(NewMac { key: keys.key(&parameters).await?, parameters })
        }
        _ => None,
    };
    let (parent, base) = base.map_or((None, None), |base| (Some(base.link), Some(Arc::new(base.index))));
    let id = LevelId { chain_timestamp, timestamp, level: choice.level };
    tracing::info!(%hbn, level = id.level, timestamp, reason = %choice.reason, "backup planned");
    Ok(Plan { hbn, id, parent, reason: choice.reason, base, mac, lock: None })
}

async fn transfer_and_commit(
    store: &Arc<dyn Store>,
    request: &BackupRequest,
    plan: &mut Plan,
    monitor: &Arc<Monitor>,
) -> Result<BackupReport, VaultError> {
    monitor.set_phase(Phase::Transferring);
    let data = plan.id.object(&plan.hbn, DATA)?;
    let mut writer = if request.dry_run { None } else { Some(store.create_large(&data).await?) };
    let transferred = transfer(request, plan, &mut writer, monitor).await;
    monitor.set_phase(Phase::Committing);
    let (written, pieces) = match transferred {
        Ok(done) => done,
        Err(error) => {
            if let Some(writer) = writer {
                writer.abandon().await;
                remove_leftovers(store, plan).await;
            }
            return Err(error);
        }
    };
    let stored_bytes = pieces.iter().map(|piece| piece.size_bytes).sum();
    let segments = pieces.last().map_or(0, |piece| piece.segment as u64 + 1);
    let report = report(request, plan, &written, stored_bytes, segments);
    monitor.add_errors(report.problem_count);
    if let Some(writer) = writer
        && let Err(error) = commit(store, request, plan, Transferred { written, pieces, writer }).await
    {
        remove_leftovers(store, plan).await;
        return Err(error);
    }
    Ok(report)
}

/// After a failure: the folders of this level belong to nobody else, its timestamp is new.
async fn remove_leftovers(store: &Arc<dyn Store>, plan: &Plan) {
    let folders = [plan.id.metadata_folder(&plan.hbn), plan.id.data_folder(&plan.hbn)];
    for folder in folders.into_iter().flatten() {
        if let Err(error) = store.delete_tree(&folder).await {
            tracing::warn!(%folder, %error, "leftovers stay until they are pruned as orphans");
        }
    }
}

async fn transfer(
    request: &BackupRequest,
    plan: &mut Plan,
    writer: &mut Option<Box<dyn LargeWriter>>,
    monitor: &Arc<Monitor>,
) -> Result<(Written, Vec<super::stages::HashedPiece>), VaultError> {
    let (compressor, packed) = start_compressor(&request.compression)?;
    let (parts, incoming) = mpsc::channel(WAITING_PARTS);
    let encryptor = match &request.encryption {
        Some(options) => Some(start_encryptor(options).await?),
        None => None,
    };
    let key = plan.mac.as_ref().map(|mac| mac.key.clone());
    let sealer = Sealer::new(encryptor, key, request.max_segment_size_bytes, parts)?;
    let sealing = spawn_blocking(move || sealer.run(packed));
    let (source, base, watch) = (request.source.clone(), plan.base.take(), monitor.clone());
    let scanning =
        if request.scan_totals { scan::start(&source, base.clone(), monitor.clone()) } else { None };
    let archiving = spawn_blocking(move || archive(&source, base.as_deref(), compressor, watch));

    let uploaded = upload(incoming, writer, monitor).await;
    let sealed = join("sealing", sealing).await;
    let written = join("archiving", archiving).await;
    if let Some(scanning) = scanning {
        scanning.stop().await;
    }
    // The first cause counts: a failed store makes the threads fail, a failed tar the sealing thread.
    uploaded?;
    if monitor.is_cancelled() {
        return Err(VaultError::Cancelled);
    }
    let written = written?;
    Ok((written, sealed?))
}

async fn start_encryptor(options: &crate::encryption::EncryptionOptions) -> Result<Encryptor, VaultError> {
    let options = options.clone();
    let start = spawn_blocking(move || Encryptor::new(&options.pass_phrase, options.derivation));
    join("deriving a key", start).await
}

async fn join<T>(what: &'static str, task: JoinHandle<Result<T, VaultError>>) -> Result<T, VaultError> {
    task.await.map_err(|error| VaultError::Internal { what, cause: error.to_string() })?
}

fn report(
    request: &BackupRequest,
    plan: &Plan,
    written: &Written,
    bytes_stored: u64,
    segments: u64,
) -> BackupReport {
    let problems = summarise(written);
    let folder = plan.id.data_folder(&plan.hbn).map(|name| name.to_string()).unwrap_or_default();
    BackupReport {
        hbn: plan.hbn.to_string(),
        level: plan.id.level,
        timestamp: plan.id.timestamp,
        chain_timestamp: plan.id.chain_timestamp,
        parent: plan.parent.clone(),
        level_reason: plan.reason.clone(),
        folder,
        compression: request.compression.format,
        encrypted: request.encryption.is_some(),
        bytes_read: written.content_bytes,
        bytes_stored,
        segments,
        files: written.members,
        is_partial: written.is_partial(),
        problems: problems.first,
        problem_count: problems.count,
        dry_run: request.dry_run,
    }
}
