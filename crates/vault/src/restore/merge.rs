//! Moving a restored tree into a folder that holds something already.
//!
//! Replaying several levels deletes what a level does not list, and that would hit files the backup
//! never knew. So the levels are replayed beside, inside the target, and the result is moved over it:
//! what the backup has replaces what is there, folders are merged, everything else stays. Works on open
//! folders and never follows a link, so that nobody can lead it out of the target. What could not be moved stays where it was
//! restored, for the same restore to go on with; where no journal tells who may go on, nothing stays.

use super::carry::Carrier;
use super::facts::{copy_facts, drop_attributes, times};
use super::foreign::{Spared, Sweep, Swept};
use super::journal::{FolderStart, Journal, MergeStart};
use super::staging::Staging;
use crate::VaultError;
use crate::problem::{FileProblem, Weight, readable};
use crate::tar::{Existing, TarError, is_mount_point};
use rustix::fd::OwnedFd;
use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, Stat, chmodat, fchmod, fstat, futimens, mkdirat, openat, renameat,
    statat, unlinkat,
};
use rustix::io::{Errno, Result};
use std::collections::HashSet;
use std::path::Path;

/// What happens to what is in the target.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// The target may hold something.
    pub overwrites: bool,
    pub existing: Existing,
    pub deletes_foreign: bool,
}

#[derive(Default)]
pub(super) struct Merged {
    pub problems: Vec<FileProblem>,
    pub deleted: u64,
    /// Objects that the backup does not hold and that were not deleted all the same.
    pub spared: u64,
    /// Where that lies which could not be moved.
    pub left: Option<String>,
}

/// Moves everything from `staging` into `target`, or goes on with that. `missing` is noted for who goes on. Blocking.
pub(super) fn merge(
    mut staging: Staging,
    target: &Path,
    (rules, spared): (Rules, &Spared),
    (mut journal, missing): (Option<&mut Journal>, &[FileProblem]),
) -> std::result::Result<Merged, VaultError> {
    let fail = |error: Errno| VaultError::Local {
        path: target.to_path_buf(),
        cause: format!("moving files in: {error}"),
    };
    let from = staging.open().map_err(fail)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let to = openat(CWD, target, flags, Mode::empty()).map_err(fail)?;
    let mut own = vec![staging.name()];
    own.extend(journal.as_ref().map(|journal| journal.name().into_bytes()));
    let begun = journal.as_ref().and_then(|journal| journal.past().merging.clone());
    let is_begun = begun.is_some();
    let has_begun_folders = journal.as_ref().is_some_and(|journal| !journal.past().folders.is_empty());
    let asked = if rules.overwrites { rules.existing } else { Existing::Refuse };
    let start = begun.map_or_else(|| new_start(&to, &own, asked, missing), Ok).map_err(fail)?;
    let existing = if start.existing == Existing::Refuse { asked } else { start.existing };
    let rules = Rules { existing, deletes_foreign: rules.deletes_foreign && rules.overwrites, ..rules };
    // What was moved into a target that was empty is there as a whole: of what waits, nothing can be there.
    let must_be_free = existing == Existing::Refuse || (is_begun && start.is_alone && !rules.overwrites);
    if must_be_free && let Some(taken) = first_taken(&from, &to, b"", (is_begun, false)).map_err(fail)? {
        return Err(VaultError::Tar(TarError::Exists { member: readable(&taken) }));
    }
    if let Some(told) = journal.as_deref_mut()
        && told.past().merging.is_none()
        && !told.begin_merge(&start)
    {
        // What is not noted cannot be gone on with, and nobody may try.
        told.remove().map_err(|error| unnoted(target, &error))?;
        journal = None;
    }
    let mut merge = Merge::new(&to, (rules, spared), (start.is_alone, own), journal).map_err(fail)?;
    let moved = merge.folder(&from, &to, b"");
    staging.stays = merge.journal.is_some();
    if let Some(error) = merge.untold.take() {
        return Err(unnoted(target, &error));
    }
    let facts = moved.map_err(fail)?;
    // The backup's root may be one that its owner may not write, and there is something to be removed from it.
    let mode = fstat(&to).map_err(fail)?.st_mode;
    let is_closed = open_up(&to, mode);
    staging.stays = merge.is_left && merge.journal.is_some();
    merge.merged.left = staging.stays.then(|| staging.path().display().to_string());
    drop((from, staging));
    if let Some(journal) = merge.journal.take().filter(|_| !merge.is_left) {
        journal.remove().map_err(|error| unnoted(target, &error))?;
    }
    if is_closed {
        fchmod(&to, Mode::from_raw_mode(mode)).map_err(fail)?;
    }
    if rules.existing != Existing::Keep
        && let Err(error) = futimens(&to, &times(&facts))
    {
        merge.merged.problems.push(metadata_problem(b"", error));
    }
    if has_begun_folders && rules.deletes_foreign {
        merge.merged.problems.push(undeleted());
    }
    Ok(merge.merged)
}

/// Of a folder that was being filled when the restore was interrupted nobody can tell what is foreign in it and what was moved in.
pub(super) fn undeleted() -> FileProblem {
    let reason = "what came into the target since this restore began to move files in was not deleted";
    FileProblem {
        path: ".".to_owned(),
        kind: "undeleted".to_owned(),
        weight: Weight::Warning,
        reason: reason.to_owned(),
    }
}

/// How a merge begins that has not begun before. `own` are names that the restore itself has put into the target.
fn new_start(to: &OwnedFd, own: &[Vec<u8>], asked: Existing, missing: &[FileProblem]) -> Result<MergeStart> {
    let is_alone = names(to)?.iter().all(|name| own.contains(name));
    // Where nothing was, there is nothing that a rule could be about.
    let existing = if is_alone { Existing::Replace } else { asked };
    Ok(MergeStart { existing, is_alone, problems: missing.to_vec() })
}

fn unnoted(target: &Path, error: &std::io::Error) -> VaultError {
    VaultError::Local { path: target.to_path_buf(), cause: format!("the journal of the restore: {error}") }
}

/// A name in both that is not a folder in both. Where moving in has begun, what was carried into a file system that is mounted in
/// the target lies in both.
fn first_taken(
    from: &OwnedFd,
    to: &OwnedFd,
    path: &[u8],
    (is_begun, is_mounted): (bool, bool),
) -> Result<Option<Vec<u8>>> {
    let is_mounted = is_mounted
        || (is_begun && !path.is_empty() && (fstat(to)?.st_dev != fstat(from)?.st_dev || is_mount_point(to)));
    for name in names(from)? {
        let below = join(path, &name);
        let taken = match open_both(from, to, &name)? {
            Some((from, to)) => first_taken(&from, &to, &below, (is_begun, is_mounted))?,
            None => is_taken(from, to, &name, is_mounted)?.then_some(below),
        };
        if taken.is_some() {
            return Ok(taken);
        }
    }
    Ok(None)
}

/// `may_be_copy`: it may have been carried there.
fn is_taken(from: &OwnedFd, to: &OwnedFd, name: &[u8], may_be_copy: bool) -> Result<bool> {
    let Ok(there) = statat(to, name, AtFlags::SYMLINK_NOFOLLOW) else { return Ok(false) };
    Ok(!may_be_copy || !is_copy(&statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?, &there))
}

fn is_copy(own: &Stat, there: &Stat) -> bool {
    let kind = |stat: &Stat| FileType::from_raw_mode(stat.st_mode);
    // Some file systems keep whole seconds.
    let is_time = own.st_mtime == there.st_mtime
        && (own.st_mtime_nsec == there.st_mtime_nsec || there.st_mtime_nsec == 0);
    is_time && own.st_size == there.st_size && kind(own) == kind(there)
}

pub(super) fn join(path: &[u8], name: &[u8]) -> Vec<u8> {
    if path.is_empty() { name.to_vec() } else { [path, name].join(&b'/') }
}

struct Merge<'a> {
    rules: Rules,
    /// There was nothing else in the target: its root becomes as if it had been restored there at once.
    is_alone: bool,
    /// Names of the staging folder and of the journal, which lie in the target.
    own: Vec<Vec<u8>>,
    merged: Merged,
    journal: Option<&'a mut Journal>,
    /// Why the journal could neither be written nor removed.
    untold: Option<std::io::Error>,
    /// Deletes what is foreign.
    sweep: Sweep<'a>,
    /// For what cannot be renamed into a file system that is mounted in the target.
    carrier: Carrier,
    /// Device of the target.
    device: u64,
    /// The mount point in the target below which the folder is that is at work.
    mount: Option<Vec<u8>>,
    /// Something could not be moved.
    is_left: bool,
}

impl<'a> Merge<'a> {
    fn new(
        to: &OwnedFd,
        (rules, spared): (Rules, &'a Spared),
        (is_alone, own): (bool, Vec<Vec<u8>>),
        journal: Option<&'a mut Journal>,
    ) -> Result<Self> {
        let carrier = Carrier::new(to, own.first().map(Vec::as_slice).unwrap_or_default())?;
        Ok(Self {
            rules,
            is_alone,
            own,
            merged: Merged::default(),
            journal,
            untold: None,
            sweep: Sweep { spared, deletes: true, whole: false, swept: Swept::default() },
            carrier,
            device: fstat(to)?.st_dev,
            mount: None,
            is_left: false,
        })
    }

    /// Answers what the folder was like before anything was moved out of it.
    fn folder(&mut self, from: &OwnedFd, to: &OwnedFd, path: &[u8]) -> Result<Stat> {
        let outer = self.mount.clone();
        if outer.is_none() && !path.is_empty() && (fstat(to)?.st_dev != self.device || is_mount_point(to)) {
            self.mount = Some(path.to_vec());
        }
        let facts = self.fill(from, to, path);
        self.mount = outer;
        facts
    }

    fn fill(&mut self, from: &OwnedFd, to: &OwnedFd, path: &[u8]) -> Result<Stat> {
        let restored = names(from)?;
        let facts = self.begin(from, to, path, &restored)?;
        // Nothing could be moved out of a folder that may not be written.
        open_up(from, facts.st_mode);
        for name in &restored {
            let below = join(path, name);
            let moved = match open_both(from, to, name)? {
                Some((from, to)) => self.folder(&from, &to, &below).map(|_| ()),
                None if self.rules.existing == Existing::Keep
                    && statat(to, name.as_slice(), AtFlags::SYMLINK_NOFOLLOW).is_ok() =>
                {
                    let (kind, reason) = ("kept".to_owned(), "it exists".to_owned());
                    let problem =
                        FileProblem { path: readable(&below), kind, weight: Weight::Notice, reason };
                    self.merged.problems.push(problem);
                    Ok(())
                }
                None => self.place(from, to, name, &below),
            };
            self.note(&below, moved)?;
        }
        if self.rules.existing == Existing::Keep {
            return Ok(facts);
        }
        let is_root_alone = self.is_alone && path.is_empty();
        let stale = if is_root_alone { drop_attributes(from, to) } else { Ok(()) };
        if let Err(error) = stale.and_then(|()| copy_facts(from, to, &facts)) {
            self.merged.problems.push(metadata_problem(path, error));
        }
        Ok(facts)
    }

    /// What can only be told, and done, before anything is moved: moving changes the folder's times, and what has been moved is
    /// not to be taken for foreign by who goes on.
    fn begin(&mut self, from: &OwnedFd, to: &OwnedFd, path: &[u8], restored: &[Vec<u8>]) -> Result<Stat> {
        let mut facts = fstat(from)?;
        let begun = self.journal.as_ref().and_then(|journal| journal.past().folders.get(path));
        if let Some(begun) = begun {
            facts.st_mode = begun.mode;
            facts.st_mtime = begun.mtime_secs;
            facts.st_mtime_nsec = begun.mtime_nanos.into();
            self.merged.deleted += begun.deleted;
            self.merged.spared += begun.spared;
            self.merged.problems.extend(begun.problems.iter().cloned());
            return Ok(facts);
        }
        let (deleted, problems) = (self.merged.deleted, self.merged.problems.len());
        let spared = self.merged.spared;
        if self.rules.deletes_foreign {
            self.delete_foreign(to, path, restored)?;
        }
        let Some(journal) = self.journal.as_deref_mut() else { return Ok(facts) };
        let start = FolderStart {
            path: hex::encode(path),
            mode: facts.st_mode,
            mtime_secs: facts.st_mtime,
            mtime_nanos: u32::try_from(facts.st_mtime_nsec).unwrap_or(0),
            deleted: self.merged.deleted - deleted,
            spared: self.merged.spared - spared,
            problems: self.merged.problems.get(problems..).unwrap_or_default().to_vec(),
        };
        if !journal.begin_folder(&start) {
            // Who went on would take for foreign what is moved now.
            let removed = journal.remove();
            self.journal = None;
            if let Err(error) = removed {
                self.untold = Some(error);
                return Err(Errno::IO);
            }
        }
        Ok(facts)
    }

    fn delete_foreign(&mut self, to: &OwnedFd, path: &[u8], restored: &[Vec<u8>]) -> Result<()> {
        let known: HashSet<&Vec<u8>> = restored.iter().collect();
        let mut foreign = names(to)?;
        foreign.retain(|name| !known.contains(name) && !(path.is_empty() && self.own.contains(name)));
        self.sweep.folder(to, path, &foreign, self.mount.as_deref());
        let swept = &mut self.sweep.swept;
        self.merged.deleted += std::mem::take(&mut swept.gone);
        self.merged.spared += std::mem::take(&mut swept.spared);
        self.merged.problems.append(&mut swept.problems);
        Ok(())
    }

    /// Moves what is no folder in both; into another file system it is carried.
    fn place(&mut self, from: &OwnedFd, to: &OwnedFd, name: &[u8], path: &[u8]) -> Result<()> {
        match replace((from, name), (to, name)) {
            Err(Errno::XDEV) => {}
            other => return other,
        }
        let stat = statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            return self.carry_folder(from, to, name, path);
        }
        if let Some(error) = self.carrier.carry(from, to, name, path)? {
            self.merged.problems.push(metadata_problem(path, error));
        }
        // Who goes on would take the copy for somebody's file that is kept.
        if self.rules.existing == Existing::Keep { unlinkat(from, name, AtFlags::empty()) } else { Ok(()) }
    }

    /// Makes the folder, which is none in the target, and fills it.
    fn carry_folder(&mut self, from: &OwnedFd, to: &OwnedFd, name: &[u8], path: &[u8]) -> Result<()> {
        match unlinkat(to, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error),
        }
        mkdirat(to, name, Mode::RWXU)?;
        let (from, to) = open_both(from, to, name)?.ok_or(Errno::NOENT)?;
        // As it will be, but that its owner may fill it: when this is interrupted it is taken for one that was there.
        let mut facts = fstat(&from)?;
        facts.st_mode |= 0o700;
        let made = drop_attributes(&from, &to).and_then(|()| copy_facts(&from, &to, &facts));
        let facts = self.folder(&from, &to, path)?;
        let made = if self.rules.existing == Existing::Keep { copy_facts(&from, &to, &facts) } else { made };
        if let Err(error) = made {
            self.merged.problems.push(metadata_problem(path, error));
        }
        Ok(())
    }

    fn note(&mut self, path: &[u8], moved: Result<()>) -> Result<()> {
        match moved {
            // That is only the one that is mounted here.
            Err(Errno::ROFS) if self.mount.is_some() => {
                self.is_left = true;
                self.merged.problems.push(problem(path, Errno::ROFS));
            }
            // These hit everything that follows too.
            Err(error @ (Errno::NOSPC | Errno::ROFS | Errno::IO | Errno::DQUOT)) => return Err(error),
            Err(error) => {
                self.is_left = true;
                self.merged.problems.push(problem(path, error));
            }
            Ok(()) => {}
        }
        Ok(())
    }
}

/// Lets the owner write into a folder of this mode, if he may not. Answers whether that was done; if it fails, writing says why.
fn open_up(folder: &OwnedFd, mode: u32) -> bool {
    let is_closed = mode & 0o700 != 0o700 && !rustix::process::geteuid().is_root();
    is_closed && fchmod(folder, Mode::from_raw_mode(mode) | Mode::RWXU).is_ok()
}

/// Renames over whatever has the name; a folder in the way of a file must be empty.
pub(super) fn replace((from, old): (&OwnedFd, &[u8]), (to, new): (&OwnedFd, &[u8])) -> Result<()> {
    match renameat(from, old, to, new) {
        Err(Errno::ISDIR) => {
            unlinkat(to, new, AtFlags::REMOVEDIR)?;
            renameat(from, old, to, new)
        }
        Err(Errno::NOTDIR) => {
            unlinkat(to, new, AtFlags::empty())?;
            renameat(from, old, to, new)
        }
        Err(Errno::ACCESS) => replace_closed((from, old), (to, new)),
        other => other,
    }
}

/// Who is not root may not move a folder that he may not write, because of its entry for the folder it lies in.
fn replace_closed((from, old): (&OwnedFd, &[u8]), (to, new): (&OwnedFd, &[u8])) -> Result<()> {
    let stat = statat(from, old, AtFlags::SYMLINK_NOFOLLOW)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        return Err(Errno::ACCESS);
    }
    let mode = Mode::from_raw_mode(stat.st_mode);
    chmodat(from, old, mode | Mode::RWXU, AtFlags::empty())?;
    let moved = renameat(from, old, to, new);
    let place = if moved.is_ok() { (to, new) } else { (from, old) };
    chmodat(place.0, place.1, mode, AtFlags::empty())?;
    moved
}

fn metadata_problem(path: &[u8], error: Errno) -> FileProblem {
    let problem = problem(if path.is_empty() { b"." } else { path }, error);
    FileProblem { kind: "metadata".into(), weight: Weight::Warning, ..problem }
}

fn problem(path: &[u8], error: Errno) -> FileProblem {
    let reason = format!("could not be moved into the target: {error}");
    FileProblem { path: readable(path), kind: "unwritable".into(), weight: Weight::Partial, reason }
}

/// `None` unless both have a real folder of that name. One that is moved as a whole need not be readable.
fn open_both(from: &OwnedFd, to: &OwnedFd, name: &[u8]) -> Result<Option<(OwnedFd, OwnedFd)>> {
    let Some(to) = open_folder(to, name)? else { return Ok(None) };
    Ok(open_folder(from, name)?.map(|from| (from, to)))
}

/// `None` when there is no real folder of that name.
pub(super) fn open_folder(parent: &OwnedFd, name: &[u8]) -> Result<Option<OwnedFd>> {
    match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            openat(parent, name, flags, Mode::empty()).map(Some)
        }
        Ok(_) | Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) fn names(folder: &OwnedFd) -> Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(folder)? {
        let name = entry?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push(name);
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::super::journal::{Look, Resumed, look, name_of, staging_name};
    use super::*;
    use crate::tar::{Ledger, Mark, Placed};
    use std::fs::{create_dir, metadata, read_to_string, rename, write};
    use std::os::unix::fs::MetadataExt;

    const OLD: i64 = 1_000_000_000;

    fn age(path: &Path) {
        let folder = std::fs::File::open(path).unwrap();
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(OLD as u64);
        folder.set_modified(time).unwrap();
    }

    /// A target with a file and a folder of somebody, and all levels restored beside.
    fn restored(target: &Path, staging: &str) {
        create_dir(target.join("sub")).unwrap();
        write(target.join("sub/foreign"), "mine").unwrap();
        write(target.join("foreign"), "mine").unwrap();
        let staging = target.join(staging);
        create_dir(&staging).unwrap();
        create_dir(staging.join("sub")).unwrap();
        for name in ["a", "b", "sub/c"] {
            write(staging.join(name), name).unwrap();
        }
        age(&staging.join("sub"));
        age(&staging);
    }

    fn resumed(target: &Path, request: &str) -> Journal {
        let Look::Found(found) = look(target, &name_of(request)).unwrap() else { panic!("no journal") };
        match found.resume(1).unwrap() {
            Resumed::Journal(journal) => *journal,
            Resumed::Void(_, reason) => panic!("{reason}"),
        }
    }

    #[test]
    fn moving_in_goes_on_where_it_was_interrupted() {
        let request = "0123456789abcdef".repeat(4);
        for deletes_foreign in [true, false] {
            let folder = tempfile::tempdir().unwrap();
            let (target, name) = (folder.path(), staging_name());
            restored(target, &name);
            let of = (request.clone(), "host_name".to_owned(), 5);
            let mut journal = Journal::create(target, of, Some(name.clone()), false).unwrap();
            // As a run does that is killed when it has moved one file.
            let rules = Rules { overwrites: true, existing: Existing::Replace, deletes_foreign };
            let start = MergeStart { existing: rules.existing, is_alone: false, problems: Vec::new() };
            assert!(journal.begin_merge(&start));
            let open = |path: &Path| std::fs::File::open(path).unwrap().into();
            let (from, to): (OwnedFd, OwnedFd) = (open(&target.join(&name)), open(target));
            let own = vec![name.clone().into_bytes(), name_of(&request).into_bytes()];
            let spared = Spared::default();
            let mut killed = Merge::new(&to, (rules, &spared), (false, own), Some(&mut journal)).unwrap();
            let found = names(&from).unwrap();
            killed.begin(&from, &to, b"", &found).unwrap();
            assert_eq!(killed.merged.deleted, u64::from(deletes_foreign), "what is foreign goes before");
            rename(target.join(&name).join("a"), target.join("a")).unwrap();
            drop(journal);

            let mut journal = resumed(target, &request);
            assert_eq!((journal.past().first_level, journal.past().folders.len()), (1, 1));
            let staging = Staging::left(target.join(&name));
            // How it began counts.
            let rules = Rules { overwrites: true, existing: Existing::Refuse, deletes_foreign };
            let merged = merge(staging, target, (rules, &spared), (Some(&mut journal), &[])).unwrap();
            assert_eq!(merged.deleted, 2 * u64::from(deletes_foreign), "foreign and sub/foreign");
            let told: Vec<&str> = merged.problems.iter().map(|problem| problem.kind.as_str()).collect();
            let expected: &[&str] = if deletes_foreign { &["undeleted"] } else { &[] };
            assert_eq!(told, expected, "{:?}", merged.problems);
            for name in ["a", "b", "sub/c"] {
                assert_eq!(read_to_string(target.join(name)).unwrap(), name);
            }
            assert_eq!(target.join("foreign").exists(), !deletes_foreign);
            assert_eq!(target.join("sub/foreign").exists(), !deletes_foreign);
            assert_eq!(metadata(target).unwrap().mtime(), OLD, "as the backup has it");
            assert_eq!(metadata(target.join("sub")).unwrap().mtime(), OLD);
            assert!(!target.join(&name).exists() && !target.join(name_of(&request)).exists());
        }
    }

    /// The last thing that happens before the journal goes is that the staging folder goes.
    #[test]
    fn a_journal_alone_is_the_end() {
        let request = "0123456789abcdef".repeat(4);
        let folder = tempfile::tempdir().unwrap();
        let (target, name) = (folder.path(), staging_name());
        let of = (request.clone(), "host_name".to_owned(), 5);
        let mut journal = Journal::create(target, of, Some(name), false).unwrap();
        let start = MergeStart { existing: Existing::Replace, is_alone: true, problems: Vec::new() };
        assert!(journal.begin_merge(&start));
        let start = FolderStart {
            path: String::new(),
            mode: 0o40_755,
            mtime_secs: OLD,
            mtime_nanos: 0,
            deleted: 0,
            spared: 0,
            problems: Vec::new(),
        };
        assert!(journal.begin_folder(&start));
        drop(journal);
        resumed(target, &request).remove().unwrap();
        assert_eq!(names(&std::fs::File::open(target).unwrap().into()).unwrap(), Vec::<Vec<u8>>::new());
        assert_eq!(metadata(target).unwrap().mtime(), OLD);
    }

    /// Somebody deletes the folder and not the journal: that is not the end.
    #[test]
    fn what_is_neither_here_nor_there_is_not_restored() {
        let request = "0123456789abcdef".repeat(4);
        let folder = tempfile::tempdir().unwrap();
        let (target, name) = (folder.path(), staging_name());
        restored(target, &name);
        let of = (request.clone(), "host_name".to_owned(), 5);
        let mut journal = Journal::create(target, of, Some(name.clone()), false).unwrap();
        for file in ["a", "b"] {
            let stat = statat(CWD, target.join(&name).join(file), AtFlags::SYMLINK_NOFOLLOW).unwrap();
            journal.note(file.as_bytes(), &Placed::of(&stat), Mark::Whole);
        }
        let start = MergeStart { existing: Existing::Replace, is_alone: false, problems: Vec::new() };
        assert!(journal.begin_merge(&start));
        drop(journal);
        rename(target.join(&name).join("a"), target.join("a")).unwrap();
        drop(resumed(target, &request));
        // Another file of that name is not it.
        std::fs::remove_dir_all(target.join(&name)).unwrap();
        write(target.join("b"), "mine").unwrap();
        let Look::Found(found) = look(target, &name_of(&request)).unwrap() else { panic!("no journal") };
        let Resumed::Void(_, reason) = found.resume(1).unwrap() else { panic!("it goes on") };
        assert!(reason.starts_with("'b' is neither"), "{reason}");
    }
}
