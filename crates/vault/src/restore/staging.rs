//! The folder in the target into which is restored, until all of it is moved to where it belongs.
//!
//! Who may write into the target may also put something else in the folder's place: it is made, given its owner and removed by
//! open folders, and no link is followed.

use super::facts::copy_attributes;
use crate::VaultError;
use crate::tar::remove;
use rustix::fd::OwnedFd;
use rustix::fs::{CWD, Gid, Mode, OFlags, Uid, fchmod, fchown, fstat, mkdirat, openat};
use rustix::io::{Errno, Result};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A folder inside the target for the time of the restore.
pub(super) struct Staging {
    path: PathBuf,
    /// When the restore does not come to its end it stays, so that the next run goes on with it.
    pub stays: bool,
}

impl Staging {
    /// Makes it as the target is, for the same people: what an archive does not say about its root stays as it was.
    pub(super) fn make(target: &Path, name: &str, stays: bool) -> std::result::Result<Self, VaultError> {
        let path = target.join(name);
        match make(target, name) {
            Ok(()) => Ok(Self { path, stays }),
            Err(error) => {
                // If it was made, it goes again.
                drop(Self { path: path.clone(), stays: false });
                Err(VaultError::Local { path, cause: error.to_string() })
            }
        }
    }
    /// The one that an interrupted restore has left.
    pub(super) fn left(path: PathBuf) -> Self {
        Self { path, stays: true }
    }
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
    pub(super) fn open(&self) -> Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        openat(CWD, &self.path, flags, Mode::empty())
    }
    /// Its name in the target.
    pub(super) fn name(&self) -> Vec<u8> {
        self.path.file_name().map(|name| name.as_bytes().to_vec()).unwrap_or_default()
    }
}

fn make(target: &Path, name: &str) -> Result<()> {
    let target = open(target)?;
    mkdirat(&target, name, Mode::RWXU)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let made = openat(&target, name, flags, Mode::empty())?;
    let facts = fstat(&target)?;
    if rustix::process::geteuid().is_root() {
        fchown(&made, Some(Uid::from_raw(facts.st_uid)), Some(Gid::from_raw(facts.st_gid)))?;
    }
    // What cannot be had is told when it cannot be given to the target.
    let _ = copy_attributes(&target, &made);
    fchmod(&made, Mode::from_raw_mode(facts.st_mode))
}

fn open(target: &Path) -> Result<OwnedFd> {
    openat(CWD, target, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

impl Drop for Staging {
    fn drop(&mut self) {
        let path = self.path.display();
        if self.stays {
            tracing::warn!(%path, "what was restored so far lies here, for the same restore to go on with");
            return;
        }
        // After a merge only folders that were merged are left in it.
        let removed = open(self.path.parent().unwrap_or(&self.path));
        match removed.and_then(|target| remove(&target, &self.name())) {
            Ok(_) | Err(Errno::NOENT) => {}
            Err(error) => tracing::warn!(%path, %error, "the folder of an unfinished restore stays"),
        }
    }
}
