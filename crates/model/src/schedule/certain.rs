//! By when a plan was certainly due at a scheduler whose doings nobody sees.
//!
//! Freezer's scheduler in Python counts intervals from its own start, and takes times without a zone for its host's local time.

use super::{CONTINUOUS_DELAY, Schedule, Timing};
use crate::Timestamp;
use std::time::Duration;

/// No place is further ahead of UTC.
const AHEAD: Duration = Duration::from_secs(14 * 3600);
/// No place is further behind UTC.
const BEHIND: Duration = Duration::from_secs(12 * 3600);
/// Less than a day, and longer than clocks are put forward.
const APART: Duration = Duration::from_secs(23 * 3600);

impl Schedule {
    /// The moment by which a scheduler that knows the plan since `from` was due to start a run after `from`, wherever its host is.
    /// `None` where no run is certain: there is no plan, or it may be over by then.
    ///
    /// For an interval that is two of them: a restart that nobody heard of begins it anew. Of cron fields it is the second day on
    /// which they match: where clocks are put forward, a local time may be left out once.
    pub fn certainly_due(&self, from: Timestamp) -> Option<Timestamp> {
        match &self.timing {
            Timing::Once => None,
            Timing::Date(date) => Some(from.max(date.plus(BEHIND))),
            Timing::Every(every) => self.twice(*every, from),
            Timing::Continuous => self.twice(CONTINUOUS_DELAY, from),
            Timing::Cron(fields) => {
                // As the host's clock shows it.
                let local = from.plus(AHEAD);
                let first = fields.at_or_after(self.start.map_or(local, |start| start.max(local)))?;
                let second = fields.at_or_after(first.plus(APART))?;
                self.unless_over(second).map(|at| at.plus(BEHIND))
            }
        }
    }

    fn twice(&self, every: Duration, from: Timestamp) -> Option<Timestamp> {
        let begun = self.start.map_or(from, |start| from.max(start.plus(BEHIND)));
        let at = begun.plus(every).plus(every);
        self.end.is_none_or(|end| at.plus(AHEAD) <= end).then_some(at)
    }
}
