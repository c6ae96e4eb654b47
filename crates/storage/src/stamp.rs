//! Whether a file is still the one that was written or read, told by a listing alone.
//!
//! A listing of files shows no hash, but when each was last written to: whoever writes to a file moves that time, or brings another
//! file with another time. It does so for certain only when the time that was there before is past for the clock that makes it. A file
//! that is written to twice within one tick of that clock looks the same after both (what git calls *racily clean*). So a stamp counts in
//! two cases only:
//!
//! - [`Store::put_stamped`](crate::Store::put_stamped) sets the time back by [`SET_BACK_SECS`], counted from the time that the file's own
//!   server gave it, before the file gets its name. All that is written to it from then on shows a later time, in the same
//!   moment even.
//! - The time is [`SETTLED_SECS`] or more before that of a file that was made by then on the same server (a run's own lock, which it
//!   writes before it lists). What is written after the listing shows a later time.
//!
//! Both compare times of one clock, the server's; how late it is here, or there, does not matter. What a stamp cannot tell: bits that
//! decay on the disk, and somebody who writes and then sets the time to what it was. In a local folder the latter shows all the same,
//! by the time at which the inode was changed, which nobody can set. A clock that is set back, so that it passes a time for the second
//! time, could meet it just in that second.

use std::fmt;

/// By so much is the time of a stamped file before that at which it was written.
pub(crate) const SET_BACK_SECS: u32 = 10;
/// More than the time between two ticks of any file system or protocol: 2 s on FAT, 1 s in SFTP and FTP.
pub const SETTLED_SECS: i64 = 4;

/// What a file's listing shows of its state besides the size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// When it was last written to, by the clock of its server, in seconds since 1970.
    pub modified_secs: i64,
    /// What else is another one after a change: in a local folder the fraction of that second, the inode, and when that was changed.
    pub more: String,
}

impl Stamp {
    /// Whoever writes to the file after this time of its server leaves another stamp.
    pub fn is_settled_at(&self, server_secs: i64) -> bool {
        self.modified_secs.saturating_add(SETTLED_SECS) <= server_secs
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.modified_secs, self.more)
    }
}
