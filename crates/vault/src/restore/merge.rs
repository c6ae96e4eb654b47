//! Moving a restored tree into a folder that holds something already.
//!
//! Replaying several levels deletes what a level does not list, and that would hit files the backup
//! never knew. So the levels are replayed beside, inside the target, and the result is moved over it:
//! what the backup has replaces what is there, folders are merged, everything else stays. Works on open
//! folders and never follows a link, so that nobody can lead it out of the target.

use crate::VaultError;
use crate::problem::{FileProblem, Weight, readable};
use crate::tar::{Existing, TarError, remove};
use rustix::fd::OwnedFd;
use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, XattrFlags, fchmod, fchown,
    fgetxattr, flistxattr, fsetxattr, fstat, futimens, openat, renameat, statat, unlinkat,
};
use rustix::io::{Errno, Result};
use std::collections::HashSet;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A folder inside the target for the time of the restore; removed again whatever happens.
pub(super) struct Staging {
    path: PathBuf,
}

impl Staging {
    pub(super) fn inside(target: &Path) -> std::result::Result<Self, VaultError> {
        let path = target.join(format!(".freezer-restore-{}", uuid::Uuid::new_v4().simple()));
        match std::fs::create_dir(&path) {
            Ok(()) => Ok(Self { path }),
            Err(error) => Err(VaultError::Local { path, cause: error.to_string() }),
        }
    }
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // After a merge only folders that were merged are left in it.
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "the folder of an unfinished restore stays");
        }
    }
}

/// What happens to what is in the target.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub existing: Existing,
    pub deletes_foreign: bool,
}

#[derive(Default)]
pub(super) struct Merged {
    pub problems: Vec<FileProblem>,
    pub deleted: u64,
}

/// Moves everything from `staging` into `target`. Blocking.
pub(super) fn merge(
    staging: Staging,
    target: &Path,
    rules: Rules,
) -> std::result::Result<Merged, VaultError> {
    let fail = |error: Errno| VaultError::Local {
        path: target.to_path_buf(),
        cause: format!("moving files in: {error}"),
    };
    let open =
        |path: &Path| openat(CWD, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    let from = open(&staging.path).map_err(fail)?;
    let to = open(target).map_err(fail)?;
    if rules.existing == Existing::Refuse
        && let Some(taken) = first_taken(&from, &to, b"").map_err(fail)?
    {
        return Err(VaultError::Tar(TarError::Exists { member: readable(&taken) }));
    }
    let own = staging.path.file_name().map(|name| name.as_bytes().to_vec()).unwrap_or_default();
    let mut merge = Merge { rules, own, merged: Merged::default() };
    let facts = fstat(&from).map_err(fail)?;
    merge.folder(&from, &to, b"").map_err(fail)?;
    drop((from, staging));
    if rules.existing != Existing::Keep
        && let Err(error) = futimens(&to, &times(&facts))
    {
        merge.merged.problems.push(metadata_problem(b"", error));
    }
    Ok(merge.merged)
}

/// A name in both that is not a folder in both.
fn first_taken(from: &OwnedFd, to: &OwnedFd, path: &[u8]) -> Result<Option<Vec<u8>>> {
    for name in names(from)? {
        let below = join(path, &name);
        let taken = match (open_folder(from, &name)?, open_folder(to, &name)?) {
            (Some(from), Some(to)) => first_taken(&from, &to, &below)?,
            _ if statat(to, name.as_slice(), AtFlags::SYMLINK_NOFOLLOW).is_ok() => Some(below),
            _ => None,
        };
        if taken.is_some() {
            return Ok(taken);
        }
    }
    Ok(None)
}

fn join(path: &[u8], name: &[u8]) -> Vec<u8> {
    if path.is_empty() { name.to_vec() } else { [path, name].join(&b'/') }
}

struct Merge {
    rules: Rules,
    /// Name of the staging folder, which lies in the target.
    own: Vec<u8>,
    merged: Merged,
}

impl Merge {
    fn folder(&mut self, from: &OwnedFd, to: &OwnedFd, path: &[u8]) -> Result<()> {
        // Moving things out changes the folder's times.
        let facts = fstat(from)?;
        let restored = names(from)?;
        for name in &restored {
            let below = join(path, name);
            let moved = match (open_folder(from, name)?, open_folder(to, name)?) {
                (Some(from), Some(to)) => self.folder(&from, &to, &below),
                _ if self.rules.existing == Existing::Keep
                    && statat(to, name.as_slice(), AtFlags::SYMLINK_NOFOLLOW).is_ok() =>
                {
                    let (kind, reason) = ("kept".to_owned(), "it exists".to_owned());
                    let problem =
                        FileProblem { path: readable(&below), kind, weight: Weight::Notice, reason };
                    self.merged.problems.push(problem);
                    Ok(())
                }
                _ => replace(from, to, name),
            };
            self.note(&below, moved)?;
        }
        if self.rules.deletes_foreign {
            self.delete_foreign(to, path, restored)?;
        }
        if self.rules.existing == Existing::Keep {
            return Ok(());
        }
        if let Err(error) = copy_facts(from, to, &facts) {
            self.merged.problems.push(metadata_problem(path, error));
        }
        Ok(())
    }

    fn delete_foreign(&mut self, to: &OwnedFd, path: &[u8], restored: Vec<Vec<u8>>) -> Result<()> {
        let known: HashSet<Vec<u8>> = restored.into_iter().collect();
        for name in names(to)? {
            if known.contains(&name) || (path.is_empty() && name == self.own) {
                continue;
            }
            match remove(to, &name) {
                Ok(count) => self.merged.deleted += count,
                Err(error) => {
                    let reason = format!("could not be deleted: {error}");
                    let (path, kind) = (readable(&join(path, &name)), "undeleted".to_owned());
                    self.merged.problems.push(FileProblem { path, kind, weight: Weight::Warning, reason });
                }
            }
        }
        Ok(())
    }

    fn note(&mut self, path: &[u8], moved: Result<()>) -> Result<()> {
        match moved {
            // These hit everything that follows too.
            Err(error @ (Errno::NOSPC | Errno::ROFS | Errno::IO | Errno::DQUOT)) => return Err(error),
            Err(error) => self.merged.problems.push(problem(path, error)),
            Ok(()) => {}
        }
        Ok(())
    }
}

/// Renames over whatever has the name; a folder in the way of a file must be empty.
fn replace(from: &OwnedFd, to: &OwnedFd, name: &[u8]) -> Result<()> {
    match renameat(from, name, to, name) {
        Err(Errno::ISDIR) => {
            unlinkat(to, name, AtFlags::REMOVEDIR)?;
            renameat(from, name, to, name)
        }
        Err(Errno::NOTDIR) => {
            unlinkat(to, name, AtFlags::empty())?;
            renameat(from, name, to, name)
        }
        other => other,
    }
}

fn metadata_problem(path: &[u8], error: Errno) -> FileProblem {
    let problem = problem(if path.is_empty() { b"." } else { path }, error);
    FileProblem { kind: "metadata".into(), weight: Weight::Warning, ..problem }
}

fn problem(path: &[u8], error: Errno) -> FileProblem {
    let reason = format!("could not be moved into the target: {error}");
    FileProblem { path: readable(path), kind: "unwritable".into(), weight: Weight::Partial, reason }
}

/// `None` when there is no real folder of that name.
fn open_folder(parent: &OwnedFd, name: &[u8]) -> Result<Option<OwnedFd>> {
    match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            openat(parent, name, flags, Mode::empty()).map(Some)
        }
        Ok(_) | Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

fn names(folder: &OwnedFd) -> Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(folder)? {
        let name = entry?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push(name);
        }
    }
    Ok(names)
}

/// Owner, attributes (ACLs are among them), mode and times of a restored folder go to the one that stays.
fn copy_facts(from: &OwnedFd, to: &OwnedFd, stat: &Stat) -> Result<()> {
    if rustix::process::geteuid().is_root() {
        fchown(to, Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))?;
    }
    copy_attributes(from, to)?;
    fchmod(to, Mode::from_raw_mode(stat.st_mode))?;
    futimens(to, &times(stat))
}

fn times(stat: &Stat) -> Timestamps {
    let time = |secs, nanos: u64| Timespec { tv_sec: secs, tv_nsec: i64::try_from(nanos).unwrap_or(0) };
    let last_access = time(stat.st_atime, stat.st_atime_nsec);
    let last_modification = time(stat.st_mtime, stat.st_mtime_nsec);
    Timestamps { last_access, last_modification }
}

fn copy_attributes(from: &OwnedFd, to: &OwnedFd) -> Result<()> {
    // The kernel's own limits for names and values.
    let mut list = vec![0u8; 65_536];
    let size = match flistxattr(from, list.as_mut_slice()) {
        Err(Errno::OPNOTSUPP) => return Ok(()),
        size => size?,
    };
    let mut value = vec![0u8; 65_536];
    for name in list.get(..size).unwrap_or_default().split(|byte| *byte == 0).filter(|name| !name.is_empty())
    {
        let size = fgetxattr(from, name, value.as_mut_slice())?;
        fsetxattr(to, name, value.get(..size).unwrap_or_default(), XattrFlags::empty())?;
    }
    Ok(())
}
