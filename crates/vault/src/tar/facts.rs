//! What the kernel says about a file system object, in one shape for all platforms.

use super::Stamp;
use rustix::fs::{FileType, Stat};

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    File,
    Directory,
    Symlink,
    Fifo,
    CharDevice,
    BlockDevice,
    Socket,
}

impl Kind {
    fn of(file_type: FileType) -> Option<Self> {
        Some(match file_type {
            FileType::RegularFile => Self::File,
            FileType::Directory => Self::Directory,
            FileType::Symlink => Self::Symlink,
            FileType::Fifo => Self::Fifo,
            FileType::CharacterDevice => Self::CharDevice,
            FileType::BlockDevice => Self::BlockDevice,
            FileType::Socket => Self::Socket,
            _ => return None,
        })
    }
}

/// The result of a `stat` call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts {
    pub kind: Kind,
    /// Permission bits with set-id and sticky bits.
    pub mode: u32,
    pub dev: u64,
    pub ino: u64,
    pub links: u64,
    pub uid: u32,
    pub gid: u32,
    pub size: u64,
    /// Bytes really allocated.
    pub allocated: u64,
    pub rdev: (u32, u32),
    pub mtime: Stamp,
    pub ctime: Stamp,
}

impl Facts {
    /// `None` for objects of a kind that nobody knows.
    // The casts are between platform-dependent widths of the same kernel numbers.
    #[allow(clippy::unnecessary_cast, clippy::useless_conversion)]
    pub fn new(stat: &Stat) -> Option<Self> {
        let rdev = stat.st_rdev as u64;
        Some(Self {
            kind: Kind::of(FileType::from_raw_mode(stat.st_mode as u32))?,
            mode: (stat.st_mode as u32) & 0o7777,
            dev: stat.st_dev as u64,
            ino: stat.st_ino as u64,
            links: stat.st_nlink as u64,
            uid: stat.st_uid as u32,
            gid: stat.st_gid as u32,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            allocated: (stat.st_blocks as u64).saturating_mul(512),
            rdev: (rustix::fs::major(rdev.into()), rustix::fs::minor(rdev.into())),
            mtime: Stamp::new(stat.st_mtime as i64, stat.st_mtime_nsec as i64),
            ctime: Stamp::new(stat.st_ctime as i64, stat.st_ctime_nsec as i64),
        })
    }

    /// The same file, untouched in between.
    pub fn same_content(&self, later: &Self) -> bool {
        self.ino == later.ino && self.size == later.size && self.mtime == later.mtime
    }
}
