//! Retention: a printable plan first, then its execution.
//!
//! Invariants: chains go whole, measured by their newest level, so that nothing newer loses what it is
//! built on; what is held stays, what sets name, and the last restorable chain or set; markers go before data and newer levels before older
//! ones, so that an interruption never leaves a visible backup that does not restore; leftovers of
//! unfinished backups are found again and collected after a grace time.

mod apply;
mod plan;
mod sets;
mod withdraw;

pub use apply::apply;
pub(crate) use apply::remove;
pub use freezer_model::Retention;
pub use plan::plan;
pub use withdraw::withdraw;

use crate::layout::{Hbn, LevelId};
use crate::lock::present_secs;
use serde::Serialize;
use std::fmt;
use std::time::{Duration, Instant};

/// Everything [`plan`] and [`apply`] need to know. Start from [`PruneRequest::new`].
#[derive(Clone, Debug)]
pub struct PruneRequest {
    pub hbn: Hbn,
    pub retention: Retention,
    pub now_secs: i64,
    /// When `now_secs` was read. Locks are of the time at which they are taken, however long that is after; `None`: of `now_secs`.
    pub began: Option<Instant>,
    /// Unfinished backups younger than this are left alone: somebody may be writing them.
    pub orphan_grace: Duration,
    pub lock_expiry: Duration,
}

/// A day: no backup is expected to take longer without finishing.
pub const USUAL_ORPHAN_GRACE: Duration = Duration::from_secs(86_400);

impl PruneRequest {
    pub fn new(hbn: Hbn, retention: Retention, now_secs: i64) -> Self {
        let lock_expiry = crate::backup::USUAL_LOCK_EXPIRY;
        Self { hbn, retention, now_secs, began: None, orphan_grace: USUAL_ORPHAN_GRACE, lock_expiry }
    }

    /// What a lock is taken with.
    pub(crate) fn present_secs(&self) -> i64 {
        present_secs(self.now_secs, self.began)
    }
}

/// What an entry of the plan is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Subject {
    Chain,
    /// What an unfinished backup left.
    Orphan,
}

/// One decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Decision {
    pub subject: Subject,
    pub chain_timestamp: i64,
    /// The levels concerned, oldest first.
    #[serde(serialize_with = "as_text")]
    pub levels: Vec<LevelId>,
    /// Why it goes or stays, for people.
    pub reason: String,
}

fn as_text<S: serde::Serializer>(levels: &[LevelId], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(levels.iter().map(|id| format!("{}_{}", id.level, id.timestamp)))
}

/// What would be removed and what stays, with reasons. Print it with `{}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PrunePlan {
    pub hbn: String,
    pub remove: Vec<Decision>,
    pub keep: Vec<Decision>,
}

impl fmt::Display for PrunePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows =
            self.remove.iter().map(|row| ("remove", row)).chain(self.keep.iter().map(|row| ("keep", row)));
        writeln!(f, "{}: {} to remove, {} to keep", self.hbn, self.remove.len(), self.keep.len())?;
        for (verb, row) in rows {
            let subject = match row.subject {
                Subject::Chain => "chain",
                Subject::Orphan => "leftover in chain",
            };
            let levels = row.levels.len();
            writeln!(f, "  {verb} {subject} {} ({levels} levels): {}", row.chain_timestamp, row.reason)?;
        }
        Ok(())
    }
}

/// What was removed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PruneReport {
    pub chains: u64,
    pub levels: u64,
    pub orphans: u64,
    pub objects: u64,
    /// Decisions of the plan that no longer held when it was executed, and why.
    pub skipped: Vec<String>,
}

impl PruneReport {
    /// Sums.
    pub fn add(&mut self, other: Self) {
        self.chains += other.chains;
        self.levels += other.levels;
        self.orphans += other.orphans;
        self.objects += other.objects;
        self.skipped.extend(other.skipped);
    }
}
