//! Points in time as file systems keep them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Seconds since 1970 (may be negative) and nanoseconds (0..1_000_000_000) after that second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Stamp {
    pub secs: i64,
    pub nanos: u32,
}

impl Stamp {
    /// From what the kernel reports; nonsense nanoseconds are cut.
    pub fn new(secs: i64, nanos: i64) -> Self {
        Self { secs, nanos: u32::try_from(nanos.clamp(0, 999_999_999)).unwrap_or(0) }
    }

    /// This point moved back; stops at the far end of time.
    pub fn earlier_by(self, by: Duration) -> Self {
        let secs = i64::try_from(by.as_secs()).unwrap_or(i64::MAX);
        let borrow = self.nanos < by.subsec_nanos();
        let nanos = if borrow { self.nanos + 1_000_000_000 } else { self.nanos } - by.subsec_nanos();
        Self { secs: self.secs.saturating_sub(secs).saturating_sub(i64::from(borrow)), nanos }
    }
}

impl From<SystemTime> for Stamp {
    fn from(time: SystemTime) -> Self {
        match time.duration_since(UNIX_EPOCH) {
            Ok(after) => {
                Self { secs: i64::try_from(after.as_secs()).unwrap_or(i64::MAX), nanos: after.subsec_nanos() }
            }
            Err(before) => Self::default().earlier_by(before.duration()),
        }
    }
}
