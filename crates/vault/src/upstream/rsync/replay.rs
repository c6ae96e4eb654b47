//! Reading a level in its thread, and what is done when all levels of the chain are there.
//!
//! What a level deletes is deleted after the last one: the first engine saves a file that comes back as a change of what it was
//! before it was deleted.

use super::Opening;
use super::input::{Damage, Input};
use super::level::{Level, Stop};
use super::output::Output;
use super::signatures::Signatures;
use super::tree::Tree;
use crate::VaultError;
use crate::catalogue::read_whole;
use crate::error::Place;
use crate::layout::{DATA, ENGINE_METADATA};
use crate::problem::{FileProblem, Weight, readable};
use crate::restore::{Arrival, ArrivalReader, Payload};
use crate::tar::{Selection, Stamp};
use rustix::io::Errno;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use tokio::sync::mpsc;

/// Longer ones are not read: the level is then restored without comparison.
const MOST_SIGNATURE_BYTES: u64 = 256 << 20;
/// So many problems are kept in full.
const MOST_PROBLEMS: usize = 10_000;

/// What the levels of a chain leave to be done at its end.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    deleted: BTreeSet<Vec<u8>>,
    folders: BTreeMap<Vec<u8>, Stamp>,
    /// All folders of the last level, where a level lists all (the first engine does), if it was read to its end.
    pub(super) listed_folders: Option<HashSet<Vec<u8>>>,
    problems: Vec<FileProblem>,
    unlisted: u64,
    warnings: Vec<String>,
}

impl Replay {
    /// Whether there is nothing to be done.
    pub(crate) fn is_empty(&self) -> bool {
        self.deleted.is_empty() && self.folders.is_empty()
    }

    /// The first engine calls a file deleted whose name a folder has now.
    pub(super) fn delete(&mut self, path: Vec<u8>) {
        let is_folder_now = self.listed_folders.as_ref().is_some_and(|listed| listed.contains(&path));
        if !path.is_empty() && !is_folder_now {
            self.deleted.insert(path);
        }
    }

    /// Something is there at this level; a folder that was there before is none any more, unless it is noted again.
    pub(super) fn keep(&mut self, path: &[u8]) {
        self.deleted.remove(path);
        self.folders.remove(path);
    }

    pub(super) fn note_folder(&mut self, path: &[u8], mtime: Stamp) {
        self.folders.insert(path.to_vec(), mtime);
        if let Some(listed) = &mut self.listed_folders {
            listed.insert(path.to_vec());
        }
    }

    pub(super) fn add_problem(&mut self, path: &[u8], kind: &str, reason: String) {
        if self.problems.len() >= MOST_PROBLEMS {
            self.unlisted += 1;
            return;
        }
        let path = readable(if path.is_empty() { b"." } else { path });
        self.problems.push(FileProblem { path, kind: kind.to_owned(), weight: Weight::Partial, reason });
    }

    /// Everything that was found so far, once.
    pub(crate) fn take_findings(&mut self) -> (Vec<FileProblem>, Vec<String>) {
        let mut problems = std::mem::take(&mut self.problems);
        if self.unlisted > 0 {
            let reason = format!("{} more problems like these", std::mem::take(&mut self.unlisted));
            problems.push(FileProblem {
                path: ".".into(),
                kind: "more".into(),
                weight: Weight::Partial,
                reason,
            });
        }
        (problems, std::mem::take(&mut self.warnings))
    }
}

/// What is to be done with a level.
pub(crate) struct Order {
    opening: Arc<Opening>,
    number: u32,
    object: String,
    /// None: nothing is written.
    target: Option<PathBuf>,
    selection: Selection,
    signatures: Result<Vec<u8>, String>,
}

/// Fetches what a level's contents are compared with.
pub(crate) async fn fetch_signatures(
    payload: &Payload,
    opening: Arc<Opening>,
    (target, selection): (Option<PathBuf>, Selection),
) -> Result<Order, VaultError> {
    let id = payload.level.id;
    let name = id.object(&payload.hbn, ENGINE_METADATA)?;
    let signatures = match read_whole(&payload.store, &name, MOST_SIGNATURE_BYTES).await {
        Ok(Some(body)) => Ok(body),
        Ok(None) => Err(format!("{name} is missing")),
        Err(VaultError::Store(error)) if !error.is_transient() => Err(error.to_string()),
        Err(error) => return Err(error),
    };
    let object = id.object(&payload.hbn, DATA)?.to_string();
    Ok(Order { opening, number: id.level, object, target, selection, signatures })
}

/// Turns a level into a tar stream. Damage is a finding in `chain`, and ends the stream in order. Blocking.
pub(crate) fn replay(
    arrivals: mpsc::Receiver<Arrival>,
    order: Order,
    chain: &mut Replay,
    blocks: &SyncSender<Option<Vec<u8>>>,
) -> Result<(), VaultError> {
    let Order { opening, number, object, target, selection, signatures } = order;
    let signatures = match signatures.and_then(|body| Signatures::read(opening.flavour, body)) {
        Ok(signatures) => Some(signatures),
        Err(cause) => {
            chain.warnings.push(format!("level {number} is restored without comparing contents: {cause}"));
            None
        }
    };
    let reader = opening.open(Box::new(ArrivalReader::new(arrivals))).map_err(|error| {
        let place = Place { object: object.clone(), level: number, offset_bytes: 0 };
        VaultError::Damaged { place, cause: error.to_string() }
    })?;
    let local =
        |path: &Path, errno: Errno| VaultError::Local { path: path.to_path_buf(), cause: errno.to_string() };
    let tree = match &target {
        Some(target) => Some(Tree::open(target).map_err(|errno| local(target, errno))?),
        None => None,
    };
    let mut level = Level {
        flavour: opening.flavour,
        number,
        input: Input::new(reader),
        output: Output::new(blocks),
        tree,
        selection: &selection,
        signatures,
        chain,
        seen: HashSet::new(),
        has_begun: false,
        last: Vec::new(),
    };
    // A dry run reads and compares everything and writes nothing.
    level.output.is_muted = target.is_none();
    let read = level.read();
    let whole = match read {
        Ok(()) => {
            report_unseen(&mut level);
            Ok(())
        }
        Err(Stop::Damaged(damage)) => report_damage(&mut level, &object, damage),
        Err(Stop::Gone) => return Ok(()),
        Err(Stop::Fatal(VaultError::Codec { cause })) => {
            let place = Place { object, level: number, offset_bytes: 0 };
            Err(VaultError::Damaged { place, cause })
        }
        Err(Stop::Fatal(error)) => Err(error),
    };
    whole?;
    // When the extracting thread has gone, it says why itself.
    let _ = level.output.finish();
    Ok(())
}

/// What level 0 should hold by its checksums and does not.
fn report_unseen(level: &mut Level<'_>) {
    if level.number > 0 {
        return;
    }
    let Some(signatures) = &level.signatures else { return };
    let wanted = |path: &&Vec<u8>| level.selection.wants(path, false) && !level.seen.contains(*path);
    let mut lost: Vec<Vec<u8>> = signatures.paths().filter(wanted).cloned().collect();
    lost.sort_unstable();
    for path in lost {
        level.lose(&path, "lost", "it is not in the backup although its checksums are");
    }
}

/// Says where a level is damaged, and what is lost by that. Without anything read it is an error.
fn report_damage(level: &mut Level<'_>, object: &str, mut damage: Damage) -> Result<(), VaultError> {
    if !level.has_begun {
        // What was read may be of a block whose own checksum would have told more.
        damage.cause = level.input.finish_block().err().map_or(damage.cause, |worse| worse.cause);
        // What the levels before a later one hold stands.
        if level.number == 0 || damage.at == 0 {
            let place = Place { object: object.to_owned(), level: level.number, offset_bytes: 0 };
            return Err(VaultError::Damaged { place, cause: damage.cause });
        }
    }
    let place = format!("{object}, byte {} of what it unpacks to", damage.at);
    level.chain.listed_folders = None;
    let after = match readable(&level.last) {
        last if last.is_empty() => "everything in it".to_owned(),
        last => format!("what it holds after '{last}'"),
    };
    level.lose(b"", "damaged", &format!("{place} is damaged ({}): {after} is lost", damage.cause));
    report_unseen(level);
    Ok(())
}

/// Deletes what was deleted, and gives the folders their times. Blocking.
pub(crate) fn finish(chain: &mut Replay, target: &Path) -> Result<u64, VaultError> {
    let local = |errno: Errno| VaultError::Local { path: target.to_path_buf(), cause: errno.to_string() };
    let mut tree = Tree::open(target).map_err(local)?;
    let mut gone = std::mem::take(&mut chain.deleted);
    if let Some(listed) = chain.listed_folders.take() {
        let unlisted = chain.folders.keys().filter(|path| !path.is_empty() && !listed.contains(*path));
        gone.extend(unlisted.cloned());
    }
    let mut deleted = 0;
    // From behind, so that folders come after what was in them.
    for path in gone.iter().rev() {
        chain.folders.remove(path);
        match tree.remove_one(path) {
            Ok(was_there) => deleted += u64::from(was_there),
            Err(errno) => {
                let (path, kind) = (readable(path), "undeleted".to_owned());
                let reason = format!("it was deleted before this backup, and is still there: {errno}");
                chain.problems.push(FileProblem { path, kind, weight: Weight::Warning, reason });
            }
        }
    }
    for (path, mtime) in std::mem::take(&mut chain.folders) {
        if let Err(errno) = tree.set_time(&path, mtime) {
            let (path, kind) = (readable(&path), "metadata".to_owned());
            let reason = format!("its time of change could not be set: {errno}");
            chain.problems.push(FileProblem { path, kind, weight: Weight::Warning, reason });
        }
    }
    Ok(deleted)
}
