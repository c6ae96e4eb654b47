//! What the levels of a restore have in common, and what of them an earlier run has done already.

use super::journal::{self, MergeStart, Outcome, SharedJournal};
use super::preview::Known;
use super::{RestoreReport, RestoreRequest, report};
use crate::VaultError;
use crate::monitor::Monitor;
use crate::tar::{Descent, Existing, Ledger, MemberForm, Selection};
use crate::upstream::rsync;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// The books of a chain that upstream's rsync engines wrote.
pub(super) type SharedReplay = Arc<Mutex<rsync::Replay>>;
pub(super) type SharedKnown = Arc<Mutex<Known>>;

pub(super) struct Work {
    /// Folder the levels are replayed into.
    pub target: PathBuf,
    /// It was made for that, and no link is taken for it.
    pub is_staged: bool,
    pub chain: SharedReplay,
    pub journal: Option<SharedJournal>,
    /// Of a dry run that tells what `delete_foreign` would delete: the names of the level that is read.
    pub known: Option<SharedKnown>,
}

impl Work {
    /// Position of the level to go on with; what came of those before it is reported.
    pub(super) fn done_before(
        &self,
        report: &mut RestoreReport,
        monitor: &Monitor,
    ) -> Result<usize, VaultError> {
        let Some(journal) = &self.journal else { return Ok(0) };
        let journal = journal::open(journal)?;
        for outcome in &journal.past().outcomes {
            report::add(report, outcome.clone(), monitor);
        }
        Ok(journal.past().first_level)
    }

    /// How the moving of files into the target began, if it has.
    pub(super) fn merging(&self) -> Result<Option<MergeStart>, VaultError> {
        let Some(journal) = &self.journal else { return Ok(None) };
        let journal = journal::open(journal)?;
        Ok(journal.past().merging.clone())
    }

    pub(super) fn end_level(&self, outcome: &Outcome) -> Result<(), VaultError> {
        if let Some(journal) = &self.journal {
            journal::open(journal)?.end_level(outcome);
        }
        Ok(())
    }

    /// What becomes of names that are taken. What was there before is for the merge to decide, if there is one; in a target that
    /// was empty at first, what this restore has not made is foreign.
    pub(super) fn existing(&self, request: &RestoreRequest) -> Result<Existing, VaultError> {
        let Some(journal) = &self.journal else { return Ok(Existing::Replace) };
        let guards = journal::open(journal)?.guards();
        Ok(match (guards, request.overwrite) {
            (false, _) => Existing::Replace,
            (true, true) => request.extract.existing,
            (true, false) => Existing::Refuse,
        })
    }

    /// `None`: no file of the next level can be there already.
    pub(super) fn finished(&self) -> Result<Option<Finished>, VaultError> {
        let Some(shared) = &self.journal else { return Ok(None) };
        if !journal::open(shared)?.has_finished_files() {
            return Ok(None);
        }
        let mut flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        flags.set(OFlags::NOFOLLOW, self.is_staged);
        let local = |error: Errno| VaultError::Local { path: self.target.clone(), cause: error.to_string() };
        let root = rustix::fs::open(&self.target, flags, Mode::empty()).map_err(local)?;
        Ok(Some(Finished { journal: shared.clone(), descent: Descent::new(Arc::new(root), false) }))
    }
}

/// Finds files that an earlier run has left where they belong.
pub(super) struct Finished {
    journal: SharedJournal,
    descent: Descent,
}

impl Finished {
    /// The file's size in bytes, if it is as it was left.
    fn size_of(&mut self, path: &[u8]) -> Option<u64> {
        let journal = journal::open(&self.journal).ok()?;
        if !journal.expects(path) {
            return None;
        }
        let placed = journal::look_at(&mut self.descent, path)?;
        journal.has_finished(path, &placed).then_some(placed.size)
    }
}

/// Files whose members need not be read.
#[derive(Default)]
pub(super) struct Skipped {
    files: AtomicU64,
    bytes: AtomicU64,
}

impl Skipped {
    /// How many, and their bytes.
    pub(super) fn sums(&self) -> (u64, u64) {
        (self.files.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }
}

/// Decides which members are read: those that are wanted, without the files that are there already, which are counted.
pub(super) fn wants(
    selection: Selection,
    mut finished: Option<Finished>,
    skipped: Arc<Skipped>,
) -> impl FnMut(&[u8], MemberForm) -> bool + Send + 'static {
    move |path: &[u8], form: MemberForm| {
        if !selection.wants(path, form == MemberForm::Directory) {
            return false;
        }
        let finished = finished.as_mut().filter(|_| form == MemberForm::Other);
        let Some(bytes) = finished.and_then(|finished| finished.size_of(path)) else { return true };
        skipped.files.fetch_add(1, Ordering::Relaxed);
        skipped.bytes.fetch_add(bytes, Ordering::Relaxed);
        false
    }
}
