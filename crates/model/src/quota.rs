//! Quotas: how much of the service a project may use.

use serde::{Deserialize, Serialize};

/// No limit.
pub const UNLIMITED: i64 = -1;
pub const DEFAULT_WEIGHT: i32 = 1;

/// What one project may use, or what the operator has set for it (`None`: the default counts).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quota {
    pub jobs: Option<i64>,
    /// Runs at work at a time.
    pub runs: Option<i64>,
    /// Bytes that the project's backup records say are stored.
    pub stored_bytes: Option<i64>,
    /// Its share of the conductors' work; a project of weight 2 is served twice as often as one of weight 1.
    pub weight: Option<i32>,
}

/// The limits in force; `None`: unlimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    pub jobs: Option<i64>,
    pub runs: Option<i64>,
    pub stored_bytes: Option<i64>,
}

impl Limits {
    /// The defaults, changed by what is set for a project.
    pub fn of(self, own: &Quota) -> Self {
        let pick = |own: Option<i64>, default: Option<i64>| match own {
            Some(number) => limit(number),
            None => default,
        };
        Self {
            jobs: pick(own.jobs, self.jobs),
            runs: pick(own.runs, self.runs),
            stored_bytes: pick(own.stored_bytes, self.stored_bytes),
        }
    }
}

/// A configured number as a limit.
pub fn limit(number: i64) -> Option<i64> {
    (number >= 0).then_some(number)
}
