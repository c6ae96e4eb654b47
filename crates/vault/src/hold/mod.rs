//! Holds: a backup that somebody holds, with a reason and perhaps until a time, is not removed by any rotation, and neither is
//! anything it is built on.
//!
//! A hold is an object beside the HBN's chains, written and removed under the HBN's lock: whoever prunes has the lock too, so a
//! hold that was placed is seen. One that cannot be read holds for ever. Holds of a set hold its members as well. Other Freezers
//! know nothing of holds.

mod place;
mod read;

pub use place::{HoldReport, HoldRequest, place, release};
pub use read::{Holds, list};

use crate::layout::LevelId;
use freezer_model::clock::time_text;
use serde::{Deserialize, Serialize};

/// Who holds a backup, why, and how long. Times in seconds since 1970, UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    pub by: String,
    pub reason: String,
    pub since_secs: i64,
    /// `None`: until it is released.
    pub until_secs: Option<i64>,
    /// The set whose member it holds, if it was not meant by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of_set: Option<String>,
}

impl Hold {
    pub fn holds_at(&self, now_secs: i64) -> bool {
        self.until_secs.is_none_or(|until| now_secs < until)
    }
}

impl std::fmt::Display for Hold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "held by {} since {}", self.by, time_text(self.since_secs))?;
        match self.until_secs {
            Some(until) => write!(f, " until {}", time_text(until))?,
            None => write!(f, " until it is released")?,
        }
        write!(f, ": {}", self.reason)
    }
}

/// A hold as found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub id: LevelId,
    /// `None`: it cannot be read.
    pub hold: Option<Hold>,
}

impl Held {
    pub fn holds_at(&self, now_secs: i64) -> bool {
        self.hold.as_ref().is_none_or(|hold| hold.holds_at(now_secs))
    }
}

impl std::fmt::Display for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.hold {
            Some(hold) => hold.fmt(f),
            None => f.write_str("held, by a note that cannot be read; release it and hold it again"),
        }
    }
}
