//! Deleting a tree below an open directory, without following links and without leaving the file system.

use crate::tar::descent::{open_directory, sorted_names};
use rustix::fd::OwnedFd;
use rustix::fs::{
    AtFlags, FileType, Mode, StatxAttributes, StatxFlags, chmodat, fstat, renameat, statat, statx, unlinkat,
};
use rustix::io::{Errno, Result};

/// Directories deeper than this are moved up first, so that neither stack nor descriptors run out.
const DEPTH: usize = 32;

/// Deletes `name` in `parent`, whatever it is. Returns how many objects are gone. A mount point stops it
/// with [`Errno::XDEV`].
pub(crate) fn remove(parent: &OwnedFd, name: &[u8]) -> Result<u64> {
    let mut gone = 0;
    remove_counting(parent, name, &mut gone)?;
    Ok(gone)
}

/// The same; `gone` grows by what has gone, also where that is not all.
pub(crate) fn remove_counting(parent: &OwnedFd, name: &[u8], gone: &mut u64) -> Result<()> {
    let stat = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        unlinkat(parent, name, AtFlags::empty())?;
        *gone += 1;
        return Ok(());
    }
    let dev = fstat(parent)?.st_dev;
    let mut removal = Removal { top: parent, dev, waiting: vec![name.to_vec()], moved: 0, gone };
    while let Some(name) = removal.waiting.pop() {
        removal.clear(parent, &name, 0)?;
        unlinkat(parent, name.as_slice(), AtFlags::REMOVEDIR)?;
    }
    Ok(())
}

struct Removal<'a> {
    top: &'a OwnedFd,
    dev: u64,
    /// Directories in `top` still to be deleted.
    waiting: Vec<Vec<u8>>,
    moved: u64,
    gone: &'a mut u64,
}

impl Removal<'_> {
    /// Empties a directory; the caller deletes it.
    fn clear(&mut self, parent: &OwnedFd, name: &[u8], depth: usize) -> Result<()> {
        let dir = match open_directory(parent, name, false) {
            Err(Errno::ACCESS) => {
                chmodat(parent, name, Mode::RWXU, AtFlags::empty())?;
                open_directory(parent, name, false)?
            }
            other => other?,
        };
        if fstat(&dir)?.st_dev != self.dev || is_mount_point(&dir) {
            return Err(Errno::XDEV);
        }
        for entry in sorted_names(&dir)? {
            let stat = statat(&dir, &*entry, AtFlags::SYMLINK_NOFOLLOW)?;
            if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
                unlink_forced(&dir, &entry, AtFlags::empty())?;
                *self.gone += 1;
            } else if depth < DEPTH {
                self.clear(&dir, &entry, depth + 1)?;
                unlink_forced(&dir, &entry, AtFlags::REMOVEDIR)?;
            } else {
                self.move_up(&dir, &entry)?;
            }
        }
        *self.gone += 1;
        Ok(())
    }

    fn move_up(&mut self, dir: &OwnedFd, name: &[u8]) -> Result<()> {
        loop {
            self.moved += 1;
            let new = format!(".freezer-gone-{}-{}", std::process::id(), self.moved).into_bytes();
            if statat(self.top, new.as_slice(), AtFlags::SYMLINK_NOFOLLOW).is_ok() {
                continue;
            }
            renameat(dir, name, self.top, new.as_slice())?;
            self.waiting.push(new);
            return Ok(());
        }
    }
}

/// Also finds directories of the same file system that are mounted at a second place. Kernels before 5.8 do not
/// tell.
pub(crate) fn is_mount_point(dir: &OwnedFd) -> bool {
    statx(dir, "", AtFlags::EMPTY_PATH, StatxFlags::TYPE)
        .is_ok_and(|facts| facts.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

/// An ordinary user's own read-only directory is opened up first.
fn unlink_forced(dir: &OwnedFd, name: &[u8], flags: AtFlags) -> Result<()> {
    match unlinkat(dir, name, flags) {
        Err(Errno::ACCESS) => {
            rustix::fs::fchmod(dir, Mode::RWXU)?;
            unlinkat(dir, name, flags)
        }
        other => other,
    }
}
