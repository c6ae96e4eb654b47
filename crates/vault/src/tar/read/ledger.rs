//! Who keeps the books of a restore, so that one that was interrupted can go on.

use crate::tar::Stamp;
use rustix::fs::Stat;

/// An object as it was left under its name: whoever touches it afterwards changes one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Placed {
    pub inode: u64,
    /// Bytes.
    pub size: u64,
    /// With the bits that say what it is.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub mtime: Stamp,
    pub ctime: Stamp,
}

impl Placed {
    // The casts are between platform-dependent widths of the same kernel numbers.
    #[allow(clippy::unnecessary_cast)]
    pub(crate) fn of(stat: &Stat) -> Self {
        Self {
            inode: stat.st_ino as u64,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            mode: stat.st_mode as u32,
            uid: stat.st_uid as u32,
            gid: stat.st_gid as u32,
            mtime: Stamp::new(stat.st_mtime as i64, stat.st_mtime_nsec as i64),
            ctime: Stamp::new(stat.st_ctime as i64, stat.st_ctime_nsec as i64),
        }
    }
}

/// How far a note about an object can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// Complete, and as the archive has it.
    Whole,
    /// It has several names: what happens to another one changes its ctime.
    Linked,
    /// Complete, but something about it could not be set; made again, so that this is told again.
    Troubled,
}

/// Told what happens in the destination. The defaults keep no books. Whoever cannot write them goes without: that is no reason to
/// fail for a restore.
pub(crate) trait Ledger {
    /// Whether anything is written down at all.
    fn is_kept(&self) -> bool {
        false
    }
    /// What tells names of incomplete objects of this restore, in all its runs, from those of others.
    fn token(&self) -> Option<&str> {
        None
    }
    /// Whether an earlier run may have left incomplete objects.
    fn sweeps(&self) -> bool {
        false
    }
    /// Whether an earlier run may have finished this file of the archive that is read.
    fn expects(&self, _path: &[u8]) -> bool {
        false
    }
    /// Whether it has, and the file is as it was left.
    fn holds(&mut self, _path: &[u8], _placed: &Placed) -> bool {
        false
    }
    /// Whether what has this name was made by this restore, in whichever run.
    fn owns(&self, _path: &[u8]) -> bool {
        false
    }
    /// The name is about to be made, or what has it, and all below it, to be replaced or deleted.
    fn announce(&mut self, _path: &[u8]) {}
    /// The same of what becomes no folder, and is noted when it has the name.
    fn announce_object(&mut self, _path: &[u8]) {}
    /// This is what has the name now.
    fn note(&mut self, _path: &[u8], _placed: &Placed, _mark: Mark) {}
}

impl Ledger for () {}
