//! What the levels before this one have left in the target. Links are never followed.

use crate::tar::{Descent, Stamp, remove};
use rustix::fd::OwnedFd;
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, Timespec, Timestamps, fstat, futimens, openat, statat, unlinkat,
};
use rustix::io::{Errno, Result};
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

pub(super) struct Tree {
    descent: Descent,
}

fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (path.get(..at).unwrap_or_default(), path.get(at + 1..).unwrap_or_default()),
        None => (b"", path),
    }
}

impl Tree {
    pub(super) fn open(target: &Path) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(target, flags, Mode::empty())?;
        Ok(Self { descent: Descent::new(Arc::new(root), false) })
    }

    /// A plain file; `None` when there is none of that name.
    pub(super) fn file(&mut self, path: &[u8]) -> Option<File> {
        let (parent, name) = split(path);
        let parent = self.folder(parent).ok()?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = openat(&parent, name, flags, Mode::empty()).ok()?;
        let stat = fstat(&file).ok()?;
        (FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile).then(|| File::from(file))
    }

    /// A folder as it is now: the extracting thread makes them while this one looks.
    fn folder(&mut self, path: &[u8]) -> Result<Arc<OwnedFd>> {
        self.descent.go(path)
    }

    /// Removes a folder where the backup has something else at this time.
    pub(super) fn clear_folder(&mut self, path: &[u8]) -> Result<u64> {
        let (parent, name) = split(path);
        let Ok(parent) = self.folder(parent) else { return Ok(0) };
        match statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
                self.descent.reset();
                remove(&parent, name)
            }
            _ => Ok(0),
        }
    }

    /// Removes one object, which as a folder must be empty; the times of the folder it lies in stay. `false`: it was not there.
    pub(super) fn remove_one(&mut self, path: &[u8]) -> Result<bool> {
        let (parent, name) = split(path);
        let parent = match self.folder(parent) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(false),
            other => other?,
        };
        let is_folder = match statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(false),
            stat => FileType::from_raw_mode(stat?.st_mode) == FileType::Directory,
        };
        if is_folder {
            self.descent.reset();
        }
        let before = fstat(&parent)?;
        unlinkat(&parent, name, if is_folder { AtFlags::REMOVEDIR } else { AtFlags::empty() })?;
        // What cannot be set here (another's folder) is no reason to fail.
        let time = Stamp::new(before.st_mtime, i64::try_from(before.st_mtime_nsec).unwrap_or(0));
        let _ = futimens(&parent, &times(time));
        Ok(true)
    }

    /// Gives a folder its time of change, if it is there.
    pub(super) fn set_time(&mut self, path: &[u8], mtime: Stamp) -> Result<()> {
        match self.folder(path) {
            Ok(folder) => futimens(&folder, &times(mtime)),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

fn times(mtime: Stamp) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT },
        last_modification: Timespec { tv_sec: mtime.secs, tv_nsec: i64::from(mtime.nanos) },
    }
}
