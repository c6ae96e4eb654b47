//! Replaying the levels of a plan into a folder.

use super::fetch::{Arrival, Payload};
use super::foreign::{self, Spared};
use super::ground::{self, Ground};
use super::journal::{self, Outcome, SharedJournal};
use super::merge::{Merged, Rules, merge, undeleted};
use super::opener::Opener;
use super::parts;
use super::plan::{PlannedLevel, RestorePlan, plan};
use super::preview;
use super::report::{self, MOST_PROBLEMS, missing_parts};
use super::staging::Staging;
use super::work::{SharedKnown, SharedReplay, Skipped, Work, wants};
use super::{RestoreReport, RestoreRequest, open_payload};
use crate::VaultError;
use crate::backup::MonitorWatch;
use crate::contents::Located;
use crate::encryption::PassPhrase;
use crate::monitor::{Monitor, Phase};
use crate::problem::FileProblem;
use crate::tar::{Extract, Listed, Restored, Selection, TarError, list_archive, read_archive_with};
use crate::upstream::{images, rsync};
use freezer_storage::Store;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};

/// Pieces that were fetched or are being fetched, beside the one that the reading thread works on.
const WAITING_PIECES: usize = 1;
/// Blocks of the tar stream waiting for the extracting thread.
const WAITING_BLOCKS: usize = 4;
const BLOCK_BYTES: usize = 256 * 1024;

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
    let mut plan = planned.unwrap_or(Err(VaultError::Cancelled))?;
    let warnings = foreign::check(&request, &plan)?;
    plan.warnings.extend(warnings);
    announce_totals(&plan, &monitor);
    let ground = if request.dry_run {
        Ground::default()
    } else {
        make_target(&request.target)?;
        let (wanted, planned) = (request.clone(), plan.clone());
        let preparing = spawn_blocking(move || ground::prepare(&wanted, &planned));
        join("looking at the target", preparing).await?
    };
    let journal = ground.journal.clone();
    let result = carry_out(plan, ground, &request, &monitor).await;
    let (is_final, is_taken) = result.as_ref().err().map_or((false, false), judge);
    // What came into the way of a restore can be put away; not where it was asked to stop for what was there.
    let is_final = is_final && !(is_taken && !request.overwrite);
    if let Some(journal) = journal.filter(|_| is_final) {
        abandon(journal, is_taken).await?;
    }
    result
}

/// Whether a restore would fail in the same way when it is started again, and whether because of what is in the target.
fn judge(error: &VaultError) -> (bool, bool) {
    match error {
        VaultError::Tar(TarError::Exists { .. }) => (true, true),
        VaultError::NoSuchPath { .. } | VaultError::Tar(TarError::Unsafe { .. }) => (true, false),
        _ => (false, false),
    }
}

/// Nothing stays of a restore that would fail in the same way again.
async fn abandon(journal: SharedJournal, is_taken: bool) -> Result<(), VaultError> {
    let abandoning = spawn_blocking(move || {
        let mut journal = journal::open(&journal)?;
        // What was restored into the target itself stays there in any case.
        if is_taken && journal.staging().is_none() {
            return Ok(());
        }
        if let Err(error) = journal.abandon() {
            tracing::warn!(%error, "what a restore has written stays in the target");
        }
        Ok(())
    });
    join("tidying up", abandoning).await
}

async fn carry_out(
    plan: RestorePlan,
    ground: Ground,
    request: &RestoreRequest,
    monitor: &Arc<Monitor>,
) -> Result<RestoreReport, VaultError> {
    monitor.set_phase(Phase::Transferring);
    let Ground { staging, journal, warnings } = ground;
    let mut report = report::begin(&plan, request, warnings);
    let target = staging.as_ref().map_or(request.target.as_path(), Staging::path).to_path_buf();
    let chain = Arc::new(Mutex::new(rsync::Replay::default()));
    let is_staged = staging.is_some();
    let mut spared = Spared::of(request, &plan);
    let known = foreign::can_be_told(request, &plan).then(SharedKnown::default);
    let work = Work { target: target.clone(), is_staged, chain, journal: journal.clone(), known };
    let first = work.done_before(&mut report, monitor)?;
    for (position, level) in plan.levels.into_iter().enumerate() {
        if position < first {
            monitor.add_read(level.content_bytes.unwrap_or(0));
            continue;
        }
        tracing::info!(hbn = %plan.hbn, level = level.id.level, timestamp = level.id.timestamp, "restoring level");
        let payload = Payload { store: plan.origin.0.clone(), hbn: plan.hbn.clone(), level };
        let (located, unread) = locate(&payload, request, &work, monitor, &mut report).await?;
        let restored = replay_level(payload, located, request, &work, monitor).await?;
        report.bytes_written = report.bytes_written.saturating_add(restored.content_bytes);
        let mut outcome = Outcome::of(&restored, MOST_PROBLEMS);
        outcome.members = outcome.members.saturating_add(unread);
        work.end_level(&outcome)?;
        report::add(&mut report, outcome, monitor);
    }
    finish_chain(work.chain.clone(), (!request.dry_run).then_some(target.as_path()), &mut report).await?;
    let missing = match work.merging()? {
        Some(start) => start.problems,
        None if request.dry_run => Vec::new(),
        None => missing_parts(request, &target, &report)?,
    };
    report::add_problems(&mut report, missing.clone());
    spared.keep_unrestored(&report);
    if let Some(known) = work.known.clone() {
        tell_foreign(known, spared.clone(), request, &mut report).await?;
    }
    if staging.is_some() {
        monitor.set_phase(Phase::Committing);
    }
    finish((staging, spared), journal, request, (missing, &mut report)).await?;
    report.bytes_fetched = monitor.progress().bytes_stored;
    Ok(report)
}

/// What a restore would delete that is not only tried.
async fn tell_foreign(
    known: SharedKnown,
    spared: Spared,
    request: &RestoreRequest,
    report: &mut RestoreReport,
) -> Result<(), VaultError> {
    let target = request.target.clone();
    let looking = spawn_blocking(move || {
        let known = known.lock().map_err(|_| poisoned())?;
        preview::preview(&known, &spared, &target)
            .map_err(|error| VaultError::Local { path: target.clone(), cause: error.to_string() })
    });
    let swept = join("looking at the target", looking).await?;
    report.warnings.extend(preview::told(&swept));
    report.spared = swept.spared;
    report::add_problems(report, swept.problems);
    Ok(())
}

/// Moves in what was restored beside, and ends the journal.
async fn finish(
    (staging, spared): (Option<Staging>, Spared),
    journal: Option<SharedJournal>,
    request: &RestoreRequest,
    (missing, report): (Vec<FileProblem>, &mut RestoreReport),
) -> Result<(), VaultError> {
    let target = request.target.clone();
    let (existing, deletes_foreign) = (request.extract.existing, request.delete_foreign);
    let rules = Rules { overwrites: request.overwrite, existing, deletes_foreign };
    let finishing = spawn_blocking(move || {
        let mut journal = journal.as_ref().map(journal::open).transpose()?;
        let found = journal.as_ref().map_or(0, |journal| journal.found());
        let journal = journal.as_deref_mut();
        let merged = match (staging, journal) {
            (Some(staging), journal) => {
                merge(staging, &target, (rules, &spared), (journal, missing.as_slice()))?
            }
            (None, Some(journal)) => {
                let local =
                    |error: io::Error| VaultError::Local { path: target.clone(), cause: error.to_string() };
                let is_begun = journal.past().merging.is_some();
                journal.remove().map_err(local)?;
                let is_told = is_begun && rules.overwrites && rules.deletes_foreign;
                Merged { problems: is_told.then(undeleted).into_iter().collect(), ..Merged::default() }
            }
            (None, None) => Merged::default(),
        };
        Ok((merged, found))
    });
    let (merged, found) = join("moving files in", finishing).await?;
    report.already_there = report.already_there.saturating_add(found);
    report.deleted = report.deleted.saturating_add(merged.deleted);
    report.spared = report.spared.saturating_add(merged.spared);
    if let Some(left) = merged.left {
        let next = "put away what is in its way and start the same restore again";
        report.warnings.push(format!("what could not be moved lies in {left}: {next}"));
    }
    report::add_problems(report, merged.problems);
    Ok(())
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
    report::add_problems(report, problems);
    Ok(())
}

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
            let must_be_empty = !request.overwrite && !request.dry_run;
            // What an interrupted restore has left is looked at when it is known which one is asked for.
            if must_be_empty
                && entries.next().is_some()
                && !ground::has_journal(&request.target).map_err(local)?
            {
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

/// What of the level has to be read, if only parts are wanted or files are there already, and its table of contents tells; and how
/// many files are there, so that their members are not read.
async fn locate(
    payload: &Payload,
    request: &RestoreRequest,
    work: &Work,
    monitor: &Monitor,
    report: &mut RestoreReport,
) -> Result<(Option<Located>, u64), VaultError> {
    let (selection, finished) = (&request.extract.only, work.finished()?);
    if (selection.is_everything() && finished.is_none()) || request.reads_whole || request.dry_run {
        return Ok((None, 0));
    }
    let Payload { store, hbn, level } = payload;
    let skipped = Arc::new(Skipped::default());
    let wants = wants(selection.clone(), finished, skipped.clone());
    let finding = parts::find(store, hbn, level, wants, request.pass_phrase.as_ref());
    match monitor.token().run_until_cancelled(finding).await.ok_or(VaultError::Cancelled)? {
        Ok(located) => {
            let (files, bytes) = skipped.sums();
            report.already_there = report.already_there.saturating_add(files);
            monitor.add_read(bytes);
            Ok((located, files))
        }
        Err(cause) => {
            let warning = format!("{} was read whole: {cause}", level.id);
            tracing::warn!(%hbn, "{warning}");
            report.warnings.push(warning);
            Ok((None, 0))
        }
    }
}

/// Fetch (async) → decrypt and decompress (thread) → extract (thread).
async fn replay_level(
    payload: Payload,
    located: Option<Located>,
    request: &RestoreRequest,
    work: &Work,
    monitor: &Arc<Monitor>,
) -> Result<Restored, VaultError> {
    let (blocks, stream) = sync_channel(WAITING_BLOCKS);
    let target = (!request.dry_run).then(|| work.target.clone());
    let (level, watch) = (payload.level.id.level, monitor.clone());
    // Deletions replay from level 1 on; level 0 has nothing before it to delete, so that files
    // which were there before stay. What was there before is for the merge to decide.
    let rsync = payload.level.rsync.clone();
    let incremental = level > 0 && rsync.is_none();
    let options = Extract { incremental, existing: work.existing(request)?, ..request.extract.clone() };
    let written = target.clone();
    let place = match target {
        Some(target) => Place::In((target, work.is_staged), work.journal.clone()),
        None => Place::Nowhere(work.known.clone()),
    };
    let extracting = spawn_blocking(move || extract(BlockReader::new(stream), place, &options, level, watch));

    let pass = request.pass_phrase.clone();
    let (fetched, unpacked) = match located {
        None if rsync.is_some() => {
            let place = (written, request.extract.only.clone());
            read_rsync(payload, (place, work.chain.clone()), blocks, monitor).await
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

/// Where an archive goes.
enum Place {
    /// Into the folder, which may have been made for it.
    In((PathBuf, bool), Option<SharedJournal>),
    /// It is only read; its names may be of use.
    Nowhere(Option<SharedKnown>),
}

fn extract(
    mut stream: BlockReader,
    place: Place,
    options: &Extract,
    level: u32,
    monitor: Arc<Monitor>,
) -> Result<Restored, VaultError> {
    let mut watch = MonitorWatch(monitor);
    let restored = match place {
        Place::In((target, is_ours), Some(journal)) => {
            let mut journal = journal::open(&journal)?;
            journal.begin_level(!options.incremental);
            read_archive_with(&mut stream, (&target, is_ours), options, &mut watch, &mut *journal)?
        }
        Place::In((target, is_ours), None) => {
            read_archive_with(&mut stream, (&target, is_ours), options, &mut watch, &mut ())?
        }
        Place::Nowhere(known) => {
            let mut known = known.as_ref().map(|known| known.lock().map_err(|_| poisoned())).transpose()?;
            // Each level lists all that its state has.
            if let Some(known) = known.as_mut() {
                known.clear();
            }
            let mut members = 0;
            let mut each = |member: Listed| {
                members += 1;
                if let Some(known) = known.as_mut() {
                    known.add(&member);
                }
            };
            list_archive(&mut stream, &mut each, &mut watch)?;
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
