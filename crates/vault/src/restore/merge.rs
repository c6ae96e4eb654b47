//! Moving a restored tree into a folder that holds something already.
//!
//! Replaying several levels deletes what a level does not list, and that would hit files the backup
//! never knew. So the levels are replayed beside, inside the target, and the result is moved over it:
//! what the backup has replaces what is there, folders are merged, everything else stays. Works on open
//! folders and never follows a link, so that nobody can lead it out of the target.

use crate::VaultError;
use crate::problem::{FileProblem, Weight, readable};
use rustix::fd::OwnedFd;
use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags, fchmod, fchown,
    fgetxattr, flistxattr, fsetxattr, fstat, futimens, openat, renameat, statat, unlinkat,
};
use rustix::io::{Errno, Result};
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

/// Moves everything from `staging` into `target`. Blocking.
pub(super) fn merge(staging: &Staging, target: &Path) -> std::result::Result<Vec<FileProblem>, VaultError> {
    let fail = |error: Errno| VaultError::Local {
        path: target.to_path_buf(),
        cause: format!("moving files in: {error}"),
    };
    let open =
        |path: &Path| openat(CWD, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    let from = open(&staging.path).map_err(fail)?;
    let to = open(target).map_err(fail)?;
    let mut problems = Vec::new();
    merge_folder(&from, &to, b"", &mut problems).map_err(fail)?;
    Ok(problems)
}

fn merge_folder(from: &OwnedFd, to: &OwnedFd, path: &[u8], problems: &mut Vec<FileProblem>) -> Result<()> {
    for name in names(from)? {
        let below = if path.is_empty() { name.clone() } else { [path, &name].join(&b'/') };
        let moved = match (open_folder(from, &name)?, open_folder(to, &name)?) {
            (Some(from), Some(to)) => merge_folder(&from, &to, &below, problems),
            _ => replace(from, to, &name),
        };
        match moved {
            // These hit everything that follows too.
            Err(error @ (Errno::NOSPC | Errno::ROFS | Errno::IO | Errno::DQUOT)) => return Err(error),
            Err(error) => problems.push(problem(&below, error)),
            Ok(()) => {}
        }
    }
    if let Err(error) = copy_facts(from, to) {
        let problem = problem(if path.is_empty() { b"." } else { path }, error);
        problems.push(FileProblem { kind: "metadata".into(), weight: Weight::Warning, ..problem });
    }
    Ok(())
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
fn copy_facts(from: &OwnedFd, to: &OwnedFd) -> Result<()> {
    let stat = fstat(from)?;
    if rustix::process::geteuid().is_root() {
        fchown(to, Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))?;
    }
    copy_attributes(from, to)?;
    fchmod(to, Mode::from_raw_mode(stat.st_mode))?;
    let time = |secs, nanos: u64| Timespec { tv_sec: secs, tv_nsec: i64::try_from(nanos).unwrap_or(0) };
    let last_access = time(stat.st_atime, stat.st_atime_nsec);
    let last_modification = time(stat.st_mtime, stat.st_mtime_nsec);
    futimens(to, &Timestamps { last_access, last_modification })
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
