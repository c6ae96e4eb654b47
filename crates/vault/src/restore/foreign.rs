//! What the backup does not know, and may go from the target (`delete_foreign`).
//!
//! What is deleted is nowhere else, so only that goes of which the backup could tell that it was not there. This stays: file
//! systems that are mounted in the target, sockets in folders that the backup holds, what the backup's options left out, what the
//! backup itself names as not saved, and what it holds but this restore could not make. Where that cannot be told, nothing is restored.

use super::merge::{join, names, open_folder};
use super::plan::{PlannedLevel, RestorePlan};
use super::{RestoreReport, RestoreRequest};
use crate::VaultError;
use crate::problem::{FileProblem, Weight, readable};
use crate::tar::{LeftOut, is_mount_point, remove_counting};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FileType, fstat, statat, unlinkat};
use rustix::io::{Errno, Result};
use std::collections::BTreeSet;

/// Words of problems that mean that something has no content in the backup.
const UNSAVED: [&str; 6] = ["unreadable", "vanished", "changed", "socket", "mount", "loop"];
/// Words of problems that mean that what the backup holds is not, or not wholly, in what was restored; `more` stands for some of
/// them that are not named.
const UNRESTORED: [&str; 6] = ["unwritable", "missing", "unsupported", "lost", "damaged", "more"];
/// So many of what goes are told by name.
const MOST_NAMED: usize = 20;

/// What stays, although the backup does not hold it.
#[derive(Clone, Debug, Default)]
pub(super) struct Spared {
    left_out: LeftOut,
    /// Paths as problems name them: nothing there or below goes.
    unsaved: BTreeSet<String>,
}

impl Spared {
    pub(super) fn of(request: &RestoreRequest, plan: &RestorePlan) -> Self {
        let manifest = plan.levels.last().and_then(|level| level.level.manifest());
        let problems = manifest.map(|manifest| manifest.problems.first.as_slice()).unwrap_or_default();
        let is_unsaved = |problem: &&FileProblem| {
            let kind = problem.kind.as_str();
            // Of the root only this means that nobody looked into it.
            UNSAVED.contains(&kind) && (problem.path != "." || kind == "unreadable")
        };
        let unsaved = problems.iter().filter(is_unsaved).map(|problem| problem.path.clone()).collect();
        Self { left_out: request.left_out.clone(), unsaved }
    }

    /// What the backup holds and this restore could not make is not foreign, though it is not among what was restored.
    pub(super) fn keep_unrestored(&mut self, report: &RestoreReport) {
        if report.problem_count > report.problems.len() as u64 {
            self.unsaved.insert(".".to_owned());
        }
        let problems = report.problems.iter();
        let unrestored = problems.filter(|problem| UNRESTORED.contains(&problem.kind.as_str()));
        self.unsaved.extend(unrestored.map(|problem| problem.path.clone()));
    }

    fn has(&self, path: &[u8], is_folder: bool) -> bool {
        if self.left_out.has(path, is_folder) {
            return true;
        }
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        let mut places = ends.chain([path.len()]).filter_map(|end| path.get(..end));
        !self.unsaved.is_empty()
            && (self.unsaved.contains(".") || places.any(|place| self.unsaved.contains(&readable(place))))
    }

    /// Whether something below the folder may be spared.
    fn may_hold(&self, folder: &[u8]) -> bool {
        let beginning = format!("{}/", readable(folder));
        let next = self.unsaved.range(beginning.clone()..).next();
        !self.left_out.is_empty() || next.is_some_and(|path| path.starts_with(&beginning))
    }
}

/// Whether this restore deletes anything at all that it does not know.
pub(super) fn is_asked(request: &RestoreRequest) -> bool {
    request.delete_foreign && request.overwrite
}

/// Refuses, before anything is read, to delete where nobody can tell what the backup has left out. Answers what is worth a word.
pub(super) fn check(
    request: &RestoreRequest,
    plan: &RestorePlan,
) -> std::result::Result<Vec<String>, VaultError> {
    let Some(newest) = plan.levels.last().filter(|_| is_asked(request)) else { return Ok(Vec::new()) };
    let Some(manifest) = newest.level.manifest() else { return Ok(vec![untold(newest)]) };
    let (named, count) = (manifest.problems.first.len() as u64, manifest.problems.count);
    if named < count {
        return Err(VaultError::BadRequest {
            cause: format!(
                "delete_foreign would delete what {} could not save, of which it names {named} of {count} only; restore into an \
                 empty folder, or without delete_foreign",
                newest.id
            ),
        });
    }
    let is_told = request.delete_excluded || !request.left_out.is_empty();
    match manifest.problems.leaves_out {
        Some(true) if !is_told => Err(VaultError::BadRequest {
            cause: format!(
                "delete_foreign would delete what {} was told to leave out; give exclude, exclude_rules and include_rules as the \
                 backup has them, and that stays, or delete_excluded",
                newest.id
            ),
        }),
        None if !is_told => Ok(vec![untold(newest)]),
        _ => Ok(Vec::new()),
    }
}

/// Whether a dry run can tell what would go: upstream's rsync engines do not list what a state has.
pub(super) fn can_be_told(request: &RestoreRequest, plan: &RestorePlan) -> bool {
    request.dry_run && is_asked(request) && plan.levels.iter().all(|level| level.rsync.is_none())
}

fn untold(level: &PlannedLevel) -> String {
    format!("{} does not say whether it left anything out: delete_foreign deletes that too", level.id)
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Swept {
    /// Objects that have gone, or would.
    pub gone: u64,
    /// Objects that the backup does not hold and that stay; what lies in them is not counted.
    pub spared: u64,
    pub problems: Vec<FileProblem>,
    /// The first of what would go.
    pub named: Vec<String>,
    /// Mount points that were told.
    told: BTreeSet<Vec<u8>>,
}

/// Deletes what is foreign, or only counts it.
pub(super) struct Sweep<'a> {
    pub spared: &'a Spared,
    pub deletes: bool,
    /// The folder at work is foreign, and nothing may be spared in it: it goes with all that it holds.
    pub whole: bool,
    pub swept: Swept,
}

impl Sweep<'_> {
    /// `foreign` are names in `folder` that the backup does not hold. `mount` is the mount point in the target that the folder is
    /// below, if it is.
    pub(super) fn folder(
        &mut self,
        folder: &OwnedFd,
        path: &[u8],
        foreign: &[Vec<u8>],
        mount: Option<&[u8]>,
    ) {
        if foreign.is_empty() {
            return;
        }
        if let Some(mount) = mount {
            self.swept.spared += foreign.len() as u64;
            if self.swept.told.insert(mount.to_vec()) {
                let reason = "another file system is mounted here: nothing is deleted in it";
                self.trouble(mount, "mount", Weight::Warning, reason.to_owned());
            }
            return;
        }
        for name in foreign {
            self.object(folder, name, &join(path, name));
        }
    }

    /// Answers whether it is gone.
    fn object(&mut self, folder: &OwnedFd, name: &[u8], path: &[u8]) -> bool {
        match self.try_object(folder, name, path) {
            Ok(is_gone) => is_gone,
            Err(error) => {
                let reason = match error {
                    Errno::XDEV => "another file system is mounted here: it stays".to_owned(),
                    other => format!("could not be deleted: {other}"),
                };
                self.trouble(path, "undeleted", Weight::Warning, reason);
                false
            }
        }
    }

    fn try_object(&mut self, folder: &OwnedFd, name: &[u8], path: &[u8]) -> Result<bool> {
        let kind = FileType::from_raw_mode(statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?.st_mode);
        let is_folder = kind == FileType::Directory;
        // No archive holds sockets, so that none can tell that one is gone; but of the folder that it lies in it can.
        if (kind == FileType::Socket && !self.whole) || self.spared.has(path, is_folder) {
            self.swept.spared += 1;
            return Ok(false);
        }
        if is_folder && (!self.deletes || self.spared.may_hold(path)) {
            return self.tree(folder, name, path);
        }
        if !self.deletes {
            self.would_go(path);
            return Ok(true);
        }
        match remove_counting(folder, name, &mut self.swept.gone) {
            // The rest goes one by one, and what is mounted there is told.
            Err(Errno::XDEV) if is_folder => self.tree(folder, name, path),
            removed => removed.map(|()| true),
        }
    }

    /// A folder in which something may stay, or that is only looked at.
    fn tree(&mut self, folder: &OwnedFd, name: &[u8], path: &[u8]) -> Result<bool> {
        let below = open_folder(folder, name)?.ok_or(Errno::NOENT)?;
        if fstat(&below)?.st_dev != fstat(folder)?.st_dev || is_mount_point(&below) {
            return Err(Errno::XDEV);
        }
        let (found, outer, mut is_empty) = (names(&below)?, self.whole, true);
        self.whole = outer || !self.spared.may_hold(path);
        for name in found {
            is_empty &= self.object(&below, &name, &join(path, &name));
        }
        self.whole = outer;
        if is_empty && self.deletes {
            unlinkat(folder, name, AtFlags::REMOVEDIR)?;
            self.swept.gone += 1;
        } else if is_empty {
            self.would_go(path);
        }
        Ok(is_empty)
    }

    fn would_go(&mut self, path: &[u8]) {
        self.swept.gone += 1;
        if self.swept.named.len() < MOST_NAMED {
            self.swept.named.push(readable(path));
        }
    }

    fn trouble(&mut self, path: &[u8], kind: &str, weight: Weight, reason: String) {
        let (path, kind) = (readable(path), kind.to_owned());
        self.swept.problems.push(FileProblem { path, kind, weight, reason });
    }
}
