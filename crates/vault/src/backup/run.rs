//! The course of a backup from request to report.

use super::commit::{NewMac, Transferred, commit};
use super::stages::{Sealed, Sealer, start_compressor};
use super::upload::{Destination, upload};
use super::work::{Outcome, Settings, Work};
use super::{BackupReport, base, quick};
use crate::VaultError;
use crate::catalogue::{self, Tree};
use crate::encryption::{Encryptor, KeyRing, MacParameters};
use crate::layout::{DATA, Hbn, LevelId};
use crate::lock::Lock;
use crate::manifest::ParentLink;
use crate::monitor::{Monitor, Phase};
use freezer_storage::Store;
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
    pub warnings: Vec<String>,
    pub mac: Option<NewMac>,
    pub lock: Option<Lock>,
}

impl Plan {
    pub(super) async fn lock_still_held(&self) -> Result<(), VaultError> {
        match &self.lock {
            Some(lock) if !lock.is_fresh() => lock.still_held().await,
            _ => Ok(()),
        }
    }
}

/// Makes a backup. When the returned future is dropped, the backup is cancelled and tidies up behind
/// itself, as it does after [`Monitor::cancel`].
pub(crate) async fn course<W: Work>(
    store: Arc<dyn Store>,
    settings: Settings,
    work: W,
    monitor: Arc<Monitor>,
) -> Result<BackupReport, VaultError> {
    let guard = monitor.token().clone().drop_guard();
    let result = tokio::spawn(run(store, settings, work, monitor.clone())).await;
    guard.disarm();
    monitor.set_phase(Phase::Finished);
    result.map_err(|error| VaultError::Internal { what: "the backup", cause: error.to_string() })?
}

async fn run<W: Work>(
    store: Arc<dyn Store>,
    settings: Settings,
    mut work: W,
    monitor: Arc<Monitor>,
) -> Result<BackupReport, VaultError> {
    check(&settings)?;
    monitor.set_phase(Phase::Planning);
    let (lock, tree) = if settings.dry_run {
        (None, None)
    } else {
        let (now, expiry) = (settings.now_secs, settings.lock_expiry);
        let (lock, tree) = Lock::take_and_look(&store, &settings.hbn, now, expiry).await?;
        (Some(lock), tree)
    };
    let planning = async {
        let (plan, base) = plan(&store, &settings, tree.as_ref(), &mut work).await?;
        work.open(base.as_ref()).await?;
        Ok((plan, base))
    };
    let planned = monitor.token().run_until_cancelled(planning).await;
    let (mut plan, base) = match planned.unwrap_or(Err(VaultError::Cancelled)) {
        Ok(planned) => planned,
        Err(error) => {
            release(lock).await;
            return Err(error);
        }
    };
    plan.lock = lock;
    let result = transfer_and_commit(&store, &settings, &plan, (work, base), &monitor).await;
    release(plan.lock.take()).await;
    result
}

async fn release(lock: Option<Lock>) {
    if let Some(lock) = lock {
        lock.release().await;
    }
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
    store: &Arc<dyn Store>,
    request: &Settings,
    tree: Option<&Tree>,
    work: &mut W,
) -> Result<(Plan, Option<W::Index>), VaultError> {
    let hbn = request.hbn.clone();
    let keys = request.encryption.as_ref().map(|options| KeyRing::new(options.pass_phrase.clone()));
    let quick = match tree {
        Some(tree) => quick::choose_base(store, tree, (request, &mut *work), keys.as_ref()).await?,
        None => None,
    };
    let (found, greatest) = match (quick, tree) {
        (Some(found), Some(tree)) => (found, tree.greatest_timestamp()),
        _ => {
            let catalogue = catalogue::list(store, &hbn).await?;
            let found = base::choose_base(store, &catalogue, (request, work), keys.as_ref()).await?;
            (found, catalogue.greatest_timestamp())
        }
    };
    // Timestamps are ids: never one that exists, and always the greatest, whatever the clock says.
    let timestamp = greatest.map_or(request.now_secs, |top| request.now_secs.max(top + 1));
    let base::Found { choice, base, mac: shared, warnings } = found;
    let chain_timestamp = choice.base.map_or(timestamp, |base| base.chain_timestamp);
    let mac = match (&request.encryption, &keys) {
        (Some(options), Some(keys)) => {
            let strong = shared.filter(|parameters| parameters.iterations >= options.mac_iterations);
            let parameters = strong.map_or_else(|| MacParameters::generate(options.mac_iterations), Ok)?;
            Some(NewMac { key: keys.key(&parameters).await?, parameters })
        }
        _ => None,
    };
    let (parent, base) = base.map_or((None, None), |base| (Some(base.link), Some(base.index)));
    let id = LevelId { chain_timestamp, timestamp, level: choice.level };
    tracing::info!(%hbn, level = id.level, timestamp, reason = %choice.reason, "backup planned");
    for warning in &warnings {
        tracing::warn!("{warning}");
    }
    Ok((Plan { hbn, id, parent, reason: choice.reason, warnings, mac, lock: None }, base))
}

async fn transfer_and_commit<W: Work>(
    store: &Arc<dyn Store>,
    request: &Settings,
    plan: &Plan,
    source: (W, Option<W::Index>),
    monitor: &Arc<Monitor>,
) -> Result<BackupReport, VaultError> {
    monitor.set_phase(Phase::Transferring);
    let data = plan.id.object(&plan.hbn, DATA)?;
    let place = (!request.dry_run).then(|| (store.clone(), data));
    let mut destination = Destination::new(place);
    let transferred = transfer(request, plan, source, &mut destination, monitor).await;
    monitor.set_phase(Phase::Committing);
    let (outcome, sealed) = match transferred {
        Ok(done) => done,
        Err(error) => {
            if destination.abandon().await {
                remove_leftovers(store, plan).await;
            }
            return Err(error);
        }
    };
    let stored_bytes = sealed.pieces.iter().map(|piece| piece.size_bytes).sum();
    let segments = sealed.pieces.last().map_or(0, |piece| piece.segment as u64 + 1);
    let report = report(request, plan, &outcome, stored_bytes, segments);
    monitor.add_errors(report.problem_count);
    let packs_metadata =
        W::PACKS_METADATA || request.encryption.as_ref().is_some_and(|options| options.hides_names);
    if !request.dry_run
        && let Err(error) =
            commit(store, request, plan, Transferred { outcome, sealed, destination }, packs_metadata).await
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

async fn transfer<W: Work>(
    request: &Settings,
    plan: &Plan,
    (work, base): (W, Option<W::Index>),
    destination: &mut Destination,
    monitor: &Arc<Monitor>,
) -> Result<(Outcome, Sealed), VaultError> {
    let (compressor, packed) = start_compressor(&request.compression)?;
    let (parts, incoming) = mpsc::channel(WAITING_PARTS);
    let encryptor = match &request.encryption {
        Some(options) => Some(start_encryptor(options).await?),
        None => None,
    };
    let key = plan.mac.as_ref().map(|mac| mac.key.clone());
    let sizes = (request.max_segment_size_bytes, W::piece_bytes(plan.id.level));
    let sealer = Sealer::new(encryptor, key, sizes, parts, W::LISTS_MEMBERS)?;
    let sealing = spawn_blocking(move || sealer.run(packed));
    let watch = monitor.clone();
    let writing = spawn_blocking(move || work.write(base, compressor, watch));

    let uploaded = upload(incoming, destination, monitor).await;
    let sealed = join("sealing", sealing).await;
    let written = join("archiving", writing).await;
    // The first cause counts: a failed store makes the threads fail, a failed source the sealing thread.
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
        parent: plan.parent.clone(),
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
