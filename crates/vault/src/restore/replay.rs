//! Replaying the levels of a plan into a folder.

use super::fetch::{Arrival, Payload};
use super::merge::{Rules, Staging, merge};
use super::opener::Opener;
use super::parts;
use super::plan::{PlannedLevel, RestorePlan, plan};
use super::{RestoreReport, RestoreRequest, open_payload};
use crate::VaultError;
use crate::backup::MonitorWatch;
use crate::contents::Located;
use crate::encryption::PassPhrase;
use crate::monitor::{Monitor, Phase};
use crate::problem::{FileProblem, Weight, readable};
use crate::tar::{Existing, Extract, Restored, Selection, Severity, TarError, list_archive, read_archive};
use crate::upstream::{images, rsync};
use freezer_storage::Store;
use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};

/// Pieces waiting for the reading thread, beside the one it works on and the one being fetched.
const WAITING_PIECES: usize = 1;
/// Blocks of the tar stream waiting for the extracting thread.
const WAITING_BLOCKS: usize = 4;
const BLOCK_BYTES: usize = 256 * 1024;
/// So many problems are reported in full.
const MOST_PROBLEMS: usize = 1000;

/// Restores. When the returned future is dropped, the restore is cancelled.
pub async fn restore(
    store: Arc<dyn Store>,
    request: RestoreRequest,
    monitor: Arc<Monitor>,
) -> Result<RestoreReport, VaultError> {
    let guard = monitor.token().clone().drop_guard();
    let result = tokio::spawn(run(store, request, monitor.clone())).await;
    guard.disarm();
    monitor.set_phase(Phase::Finished);
    result.map_err(|error| VaultError::Internal { what: "the restore", cause: error.to_string() })?
}

async fn run(
    store: Arc<dyn Store>,
    request: RestoreRequest,
    monitor: Arc<Monitor>,
) -> Result<RestoreReport, VaultError> {
    monitor.set_phase(Phase::Planning);
    check_target(&request)?;
    let planned = monitor.token().run_until_cancelled(plan(&store, &request)).await;
    let plan = planned.unwrap_or(Err(VaultError::Cancelled))?;
    announce_totals(&plan, &monitor);
    if !request.dry_run {
        make_target(&request.target)?;
    }
    monitor.set_phase(Phase::Transferring);
    let newest = plan.levels.last().map_or(0, |level| level.id.timestamp);
    let mut report = RestoreReport {
        hbn: plan.hbn.to_string(),
        chain_timestamp: plan.levels.first().map_or(0, |level| level.id.timestamp),
        timestamp: newest,
        levels: plan.levels.iter().map(|level| level.id.timestamp).collect(),
        files: 0,
        bytes_written: 0,
        bytes_fetched: 0,
        deleted: 0,
        is_partial: false,
        problems: Vec::new(),
        problem_count: 0,
        warnings: plan.warnings,
        dry_run: request.dry_run,
    };
    let staging = stage(&request, plan.levels.len())?;
    let target = staging.as_ref().map_or(request.target.as_path(), Staging::path);
    let chain = Arc::new(Mutex::new(rsync::Replay::default()));
    for level in plan.levels {
        tracing::info!(hbn = %plan.hbn, level = level.id.level, timestamp = level.id.timestamp, "restoring level");
        let payload = Payload { store: plan.origin.0.clone(), hbn: plan.hbn.clone(), level };
        let located = locate(&payload, &request, &monitor, &mut report.warnings).await?;
        let restored = replay_level(payload, located, &request, (target, &chain), &monitor).await?;
        add(&mut report, restored, &monitor);
    }
    finish_chain(chain, (!request.dry_run).then_some(target), &mut report).await?;
    if !request.dry_run {
        check_parts(&request, target, &mut report)?;
    }
    if let Some(staging) = staging {
        monitor.set_phase(Phase::Committing);
        let target = request.target.clone();
        let rules = Rules { existing: request.extract.existing, deletes_foreign: request.delete_foreign };
        let moving = spawn_blocking(move || merge(staging, &target, rules));
        let merged = join("moving files in", moving).await?;
        report.deleted = report.deleted.saturating_add(merged.deleted);
        add_problems(&mut report, merged.problems);
    }
    report.bytes_fetched = monitor.progress().bytes_stored;
    Ok(report)
}

/// What upstream's rsync engines leave to be done after their last level.
async fn finish_chain(
    chain: SharedReplay,
    target: Option<&Path>,
    report: &mut RestoreReport,
) -> Result<(), VaultError> {
    let target = target.map(Path::to_path_buf);
    let finishing = spawn_blocking(move || {
        let mut chain = chain.lock().map_err(|_| poisoned())?;
        // Deletions of the chain's own levels are no foreign files.
        if let Some(target) = target.filter(|_| !chain.is_empty()) {
            rsync::finish(&mut chain, &target)?;
        }
        Ok(chain.take_findings())
    });
    let (problems, warnings) = join("finishing the restore", finishing).await?;
    report.warnings.extend(warnings);
    add_problems(report, problems);
    Ok(())
}

/// The books of a chain that upstream's rsync engines wrote.
type SharedReplay = Arc<Mutex<rsync::Replay>>;

fn poisoned() -> VaultError {
    VaultError::Internal { what: "reading a level", cause: "its books were left in disorder".into() }
}

/// Before anything is asked of the store: a restore that may not happen should say so at once.
fn check_target(request: &RestoreRequest) -> Result<(), VaultError> {
    if request.delete_foreign && !request.extract.only.is_everything() {
        let cause =
            "delete_foreign would delete all that is not asked for; it goes with whole restores".into();
        return Err(VaultError::BadRequest { cause });
    }
    let local =
        |error: io::Error| VaultError::Local { path: request.target.clone(), cause: error.to_string() };
    match std::fs::read_dir(&request.target) {
        Ok(mut entries) => {
            if entries.next().is_some() && !request.overwrite && !request.dry_run {
                return Err(VaultError::TargetNotEmpty { path: request.target.clone() });
            }
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(local(error)),
    }
}

fn make_target(target: &Path) -> Result<(), VaultError> {
    std::fs::create_dir_all(target)
        .map_err(|error| VaultError::Local { path: target.to_path_buf(), cause: error.to_string() })
}

fn announce_totals(plan: &RestorePlan, monitor: &Monitor) {
    let bytes = plan.levels.iter().map(|level| level.content_bytes).sum::<Option<u64>>();
    let files = plan.levels.iter().map(|level| level.files).sum::<Option<u64>>();
    if let (Some(bytes), Some(files)) = (bytes, files) {
        monitor.set_totals(bytes, files);
    }
}

fn add(report: &mut RestoreReport, restored: Restored, monitor: &Monitor) {
    report.files = report.files.saturating_add(restored.members);
    report.bytes_written = report.bytes_written.saturating_add(restored.content_bytes);
    report.is_partial |= restored.worst == Some(Severity::Partial);
    let count = (restored.problems.len() as u64).saturating_add(restored.unlisted_problems);
    monitor.add_errors(count);
    report.problem_count = report.problem_count.saturating_add(count);
    let room = MOST_PROBLEMS.saturating_sub(report.problems.len());
    report.problems.extend(restored.problems.iter().take(room).map(FileProblem::from));
}

fn add_problems(report: &mut RestoreReport, problems: Vec<FileProblem>) {
    report.is_partial |= problems.iter().any(|problem| problem.weight == Weight::Partial);
    report.problem_count = report.problem_count.saturating_add(problems.len() as u64);
    let room = MOST_PROBLEMS.saturating_sub(report.problems.len());
    report.problems.extend(problems.into_iter().take(room));
}

/// Parts that the backup does not hold are said to be missing; all of them missing is an error.
fn check_parts(
    request: &RestoreRequest,
    target: &Path,
    report: &mut RestoreReport,
) -> Result<(), VaultError> {
    let paths = request.extract.only.paths();
    let is_missing =
        |path: &&Vec<u8>| std::fs::symlink_metadata(target.join(OsStr::from_bytes(path))).is_err();
    let missing: Vec<String> = paths.iter().filter(is_missing).map(|path| readable(path)).collect();
    if !paths.is_empty() && missing.len() == paths.len() && report.problems.is_empty() {
        return Err(VaultError::NoSuchPath { hbn: report.hbn.clone(), paths: missing.join(", ") });
    }
    let reason = "the backup does not hold it at that time".to_owned();
    let problem = |path| FileProblem {
        path,
        kind: "missing".to_owned(),
        weight: Weight::Partial,
        reason: reason.clone(),
    };
    add_problems(report, missing.into_iter().map(problem).collect());
    Ok(())
}

/// Replaying more than one level deletes what is not listed: that must not hit files which were in the
/// target before. Nor may a rule about those be taken for one about what an earlier level has restored.
fn stage(request: &RestoreRequest, levels: usize) -> Result<Option<Staging>, VaultError> {
    let has_rules = request.delete_foreign
        || request.extract.existing != Existing::Replace
        || !request.extract.only.is_everything();
    if request.dry_run || (levels < 2 && !has_rules) {
        return Ok(None);
    }
    let local =
        |error: io::Error| VaultError::Local { path: request.target.clone(), cause: error.to_string() };
    let occupied = std::fs::read_dir(&request.target).map_err(local)?.next().is_some();
    if occupied { Staging::inside(&request.target).map(Some) } else { Ok(None) }
}

/// Where the wanted parts are, if only parts are wanted and the level's table of contents tells.
async fn locate(
    payload: &Payload,
    request: &RestoreRequest,
    monitor: &Monitor,
    warnings: &mut Vec<String>,
) -> Result<Option<Located>, VaultError> {
    let selection = &request.extract.only;
    if selection.is_everything() || request.reads_whole || request.dry_run {
        return Ok(None);
    }
    let Payload { store, hbn, level } = payload;
    let finding = parts::find(store, hbn, level, selection, request.pass_phrase.as_ref());
    match monitor.token().run_until_cancelled(finding).await.ok_or(VaultError::Cancelled)? {
        Ok(located) => Ok(located),
        Err(cause) => {
            let warning = format!("{} was read whole: {cause}", level.id);
            tracing::warn!(%hbn, "{warning}");
            warnings.push(warning);
            Ok(None)
        }
    }
}

/// Fetch (async) → decrypt and decompress (thread) → extract (thread).
async fn replay_level(
    payload: Payload,
    located: Option<Located>,
    request: &RestoreRequest,
    (target, chain): (&Path, &SharedReplay),
    monitor: &Arc<Monitor>,
) -> Result<Restored, VaultError> {
    let (blocks, stream) = sync_channel(WAITING_BLOCKS);
    let target = (!request.dry_run).then(|| target.to_path_buf());
    let (level, watch) = (payload.level.id.level, monitor.clone());
    // Deletions replay from level 1 on; level 0 has nothing before it to delete, so that files
    // which were there before stay. What was there before is for the merge to decide.
    let rsync = payload.level.rsync.clone();
    let incremental = level > 0 && rsync.is_none();
    let options = Extract { incremental, existing: Existing::Replace, ..request.extract.clone() };
    let written = target.clone();
    let extracting =
        spawn_blocking(move || extract(BlockReader::new(stream), target, &options, level, watch));

    let pass = request.pass_phrase.clone();
    let (fetched, unpacked) = match located {
        None if rsync.is_some() => {
            let place = (written, request.extract.only.clone());
            read_rsync(payload, (place, chain.clone()), blocks, monitor).await
        }
        None => read_all(payload, pass, blocks, monitor).await,
        Some(located) => read_parts(payload, located, pass, blocks, monitor).await,
    };
    let extracted = join("extracting", extracting).await;
    // The first cause counts: what fails early makes what comes after it fail.
    fetched?;
    if monitor.is_cancelled() {
        return Err(VaultError::Cancelled);
    }
    match (unpacked, extracted) {
        (Err(unpacked), Err(VaultError::Tar(TarError::Input { .. }))) => Err(unpacked),
        (_, Err(error)) => Err(error),
        (Err(error), Ok(_)) => Err(error),
        (Ok(()), Ok(restored)) => Ok(restored),
    }
}

/// How fetching and unpacking ended.
type Ends = (Result<(), VaultError>, Result<(), VaultError>);

async fn read_all(
    payload: Payload,
    pass: Option<PassPhrase>,
    blocks: SyncSender<Option<Vec<u8>>>,
    monitor: &Monitor,
) -> Ends {
    let (arrivals, incoming) = mpsc::channel(WAITING_PIECES);
    let level = payload.level.clone();
    let unpacking = spawn_blocking(move || unpack(incoming, &level, pass.as_ref(), &blocks));
    (payload.fetch(arrivals, monitor).await, join("unpacking", unpacking).await)
}

/// A level of upstream's rsync engines, as a tar stream.
async fn read_rsync(
    payload: Payload,
    (place, chain): ((Option<PathBuf>, Selection), SharedReplay),
    blocks: SyncSender<Option<Vec<u8>>>,
    monitor: &Monitor,
) -> Ends {
    let Some(opening) = payload.level.rsync.clone() else { return (Ok(()), Ok(())) };
    let ordering = rsync::fetch_signatures(&payload, opening, place);
    let order = match monitor.token().run_until_cancelled(ordering).await {
        Some(Ok(order)) => order,
        Some(Err(error)) => return (Err(error), Ok(())),
        None => return (Err(VaultError::Cancelled), Ok(())),
    };
    let (arrivals, incoming) = mpsc::channel(WAITING_PIECES);
    let unpacking = spawn_blocking(move || {
        let mut chain = chain.lock().map_err(|_| poisoned())?;
        rsync::replay(incoming, order, &mut chain, &blocks)
    });
    (payload.fetch(arrivals, monitor).await, join("unpacking", unpacking).await)
}

async fn read_parts(
    payload: Payload,
    mut located: Located,
    pass: Option<PassPhrase>,
    blocks: SyncSender<Option<Vec<u8>>>,
    monitor: &Monitor,
) -> Ends {
    let (arrivals, incoming) = mpsc::channel(WAITING_PIECES);
    let (level, stretches) = (payload.level.clone(), std::mem::take(&mut located.stretches));
    let deriving = spawn_blocking(move || -> Result<_, VaultError> {
        let opener = Opener::new(&level, &located, pass.as_ref())?;
        Ok((level, located, Arc::new(opener)))
    });
    let (level, located, opener) = match join("deriving a key", deriving).await {
        Ok(derived) => derived,
        Err(error) => return (Err(error), Ok(())),
    };
    let theirs = opener.clone();
    let unpacking = spawn_blocking(move || parts::unpack(incoming, (&level, &located, &theirs), &blocks));
    (
        parts::fetch(&payload, (stretches, &opener), arrivals, monitor).await,
        join("unpacking", unpacking).await,
    )
}

fn unpack(
    arrivals: mpsc::Receiver<Arrival>,
    level: &PlannedLevel,
    pass: Option<&PassPhrase>,
    blocks: &SyncSender<Option<Vec<u8>>>,
) -> Result<(), VaultError> {
    let mut reader = open_payload(arrivals, level, pass)?;
    if let Some(image) = &level.image {
        return images::as_archive(image, reader, level.id.level, blocks);
    }
    loop {
        let mut block = Vec::with_capacity(BLOCK_BYTES);
        let mut limited = (&mut reader).take(BLOCK_BYTES as u64);
        limited.read_to_end(&mut block).map_err(|error| VaultError::Unreadable {
            backup: level.id.to_string(),
            cause: error.to_string(),
        })?;
        let done = block.is_empty();
        // When the extracting thread has gone, it says why itself.
        if blocks.send((!done).then_some(block)).is_err() || done {
            return Ok(());
        }
    }
}

fn extract(
    mut stream: BlockReader,
    target: Option<PathBuf>,
    options: &Extract,
    level: u32,
    monitor: Arc<Monitor>,
) -> Result<Restored, VaultError> {
    let mut watch = MonitorWatch(monitor);
    let restored = match target {
        Some(target) => read_archive(&mut stream, &target, options, &mut watch)?,
        None => {
            let mut members = 0;
            list_archive(&mut stream, &mut |_| members += 1, &mut watch)?;
            Restored { members, ..Restored::default() }
        }
    };
    // What follows the end of the archive belongs to the backup too and must be in order.
    io::copy(&mut stream, &mut io::sink()).map_err(|error| VaultError::Unreadable {
        backup: format!("level {level}"),
        cause: error.to_string(),
    })?;
    Ok(restored)
}

/// Reads blocks another thread sends; a channel closed before the end mark is an error.
struct BlockReader {
    blocks: Receiver<Option<Vec<u8>>>,
    current: io::Cursor<Vec<u8>>,
    ended: bool,
}

impl BlockReader {
    fn new(blocks: Receiver<Option<Vec<u8>>>) -> Self {
        Self { blocks, current: io::Cursor::new(Vec::new()), ended: false }
    }
}

impl Read for BlockReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.current.read(out)?;
            if count > 0 || out.is_empty() || self.ended {
                return Ok(count);
            }
            match self.blocks.recv() {
                Ok(Some(block)) => self.current = io::Cursor::new(block),
                Ok(None) => self.ended = true,
                Err(_) => {
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "unpacking the backup failed"));
                }
            }
        }
    }
}

async fn join<T>(what: &'static str, task: JoinHandle<Result<T, VaultError>>) -> Result<T, VaultError> {
    task.await.map_err(|error| VaultError::Internal { what, cause: error.to_string() })?
}
