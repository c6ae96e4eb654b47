//! When a job fires: one date, an interval, cron fields, a start and an end.
//!
//! A plan is the `schedule_*` keys of `job_schedule`. Of several kinds the first counts: date, interval, cron fields; every
//! key that is there must be readable, also one that does not count. Times without `Z` or an offset are UTC, so that a plan
//! means the same whichever host looks at it. Pure: the present comes in as an argument.
//!
//! | plan | first firing | later ones |
//! |---|---|---|
//! | `schedule_date` | at the date, at once if it is past | none |
//! | `schedule_interval` | at the start date (or its next multiple), else one interval after the anchor | in the same phase; missed ones fall together |
//! | `continuous` | at the start date, else one second after the anchor | one second after the last run's end |
//! | cron fields | first match from the start date and the anchor on | the next match |
//! | nothing | at once, or at a later start date | none |
//!
//! The anchor is the moment the job was started (by its creation or by an event). `schedule_end_date` is the last moment
//! at which a firing may lie; one before the start date is ignored, as upstream does.

mod certain;
mod cron;
mod date;
mod interval;
#[cfg(test)]
mod tests;

pub use cron::CronFields;
pub use date::{FORM as MOMENT_FORM, parse as moment, plain as plain_moment};

use crate::Timestamp;
use interval::Interval;
use serde_json::{Map, Value};
use std::time::Duration;
use thiserror::Error;

/// The keys of `job_schedule` that make up the plan; the others are state.
pub const PLAN_KEYS: [&str; 12] = [
    "schedule_date",
    "schedule_start_date",
    "schedule_end_date",
    "schedule_interval",
    "schedule_year",
    "schedule_month",
    "schedule_day",
    "schedule_week",
    "schedule_day_of_week",
    "schedule_hour",
    "schedule_minute",
    "schedule_second",
];

const CONTINUOUS_DELAY: Duration = Duration::from_secs(1);

/// A key of the plan that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{key}: {value} is not accepted; expected {expected}")]
pub struct ScheduleError {
    pub key: String,
    /// As JSON.
    pub value: String,
    /// The accepted form, for people.
    pub expected: String,
}

#[derive(Clone, Debug, PartialEq)]
enum Timing {
    Once,
    Date(Timestamp),
    Every(Duration),
    Continuous,
    Cron(CronFields),
}

/// A plan that was understood.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    timing: Timing,
    start: Option<Timestamp>,
    end: Option<Timestamp>,
}

impl Schedule {
    /// Reads the plan's keys; keys that are none of [`PLAN_KEYS`] are not looked at.
    pub fn parse(plan: &Map<String, Value>) -> Result<Self, ScheduleError> {
        let date = read(plan, "schedule_date", date::FORM, date::parse)?;
        let start = read(plan, "schedule_start_date", date::FORM, date::parse)?;
        let end = read(plan, "schedule_end_date", date::FORM, date::parse)?;
        let interval = read(plan, "schedule_interval", interval::FORM, interval::parse)?;
        let cron = CronFields::parse(plan)?;
        let timing = match (date, interval, cron) {
            (Some(date), _, _) => Timing::Date(date),
            (None, Some(Interval::Every(every)), _) => Timing::Every(every),
            (None, Some(Interval::Continuous), _) => Timing::Continuous,
            (None, None, Some(fields)) => Timing::Cron(fields),
            (None, None, None) => Timing::Once,
        };
        let end = end.filter(|end| start.is_none_or(|start| start <= *end));
        Ok(Self { timing, start, end })
    }

    /// Whether the job ends with its first run.
    pub fn is_one_shot(&self) -> bool {
        matches!(self.timing, Timing::Once | Timing::Date(_))
    }

    /// Whether the next firing depends on the end of the last run.
    pub fn is_continuous(&self) -> bool {
        self.timing == Timing::Continuous
    }

    /// Whether there is no plan at all: the job runs because somebody started it.
    pub fn is_unplanned(&self) -> bool {
        self.timing == Timing::Once
    }

    /// The first firing of a job that was started at `anchor`. It may lie before `anchor` by nothing but the
    /// rounding to a second; `None` when the plan is over already.
    pub fn first(&self, anchor: Timestamp) -> Option<Timestamp> {
        let from = self.start.map_or(anchor, |start| start.max(anchor));
        let at = match &self.timing {
            Timing::Once => from,
            Timing::Date(date) => (*date).max(anchor),
            Timing::Every(every) => match self.start {
                Some(start) => {
                    in_phase(start, *every, anchor.0.checked_sub(1).map(Timestamp)?.max(before(start)))?
                }
                None => anchor.plus(*every),
            },
            Timing::Continuous if from > anchor => from,
            Timing::Continuous => anchor.plus(CONTINUOUS_DELAY),
            Timing::Cron(fields) => fields.at_or_after(from)?,
        };
        self.unless_over(at)
    }

    /// The first firing later than `after`. For an interval `after` is "now" (firings that were missed fall
    /// together), for `continuous` the last run's end.
    pub fn next_after(&self, anchor: Timestamp, after: Timestamp) -> Option<Timestamp> {
        let at = match &self.timing {
            Timing::Once | Timing::Date(_) => return None,
            Timing::Every(every) => match self.start {
                Some(start) => in_phase(start, *every, after.max(before(start)))?,
                None => in_phase(anchor, *every, after.max(anchor))?,
            },
            Timing::Continuous => self
                .start
                .map_or(after.plus(CONTINUOUS_DELAY), |start| start.max(after.plus(CONTINUOUS_DELAY))),
            Timing::Cron(fields) => {
                let later = Timestamp(after.0.checked_add(1)?);
                fields.at_or_after(self.start.map_or(later, |start| start.max(later)))?
            }
        };
        self.unless_over(at)
    }

    fn unless_over(&self, at: Timestamp) -> Option<Timestamp> {
        self.end.is_none_or(|end| at <= end).then_some(at)
    }
}

fn before(at: Timestamp) -> Timestamp {
    Timestamp(at.0.saturating_sub(1))
}

/// The smallest `base + n·every` (n ≥ 0) that is later than `after`.
fn in_phase(base: Timestamp, every: Duration, after: Timestamp) -> Option<Timestamp> {
    if after < base {
        return Some(base);
    }
    let every = i64::try_from(every.as_millis()).ok().filter(|every| *every > 0)?;
    let past = after.0.checked_sub(base.0)?;
    base.0.checked_add((past / every + 1).checked_mul(every)?).map(Timestamp)
}

/// One text of the plan; a missing key is `None`, anything but a text is refused.
fn read<T>(
    plan: &Map<String, Value>,
    key: &str,
    form: &str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<Option<T>, ScheduleError> {
    let Some(value) = plan.get(key) else { return Ok(None) };
    match value.as_str().and_then(parse) {
        Some(parsed) => Ok(Some(parsed)),
        None => {
            Err(ScheduleError { key: key.to_owned(), value: value.to_string(), expected: form.to_owned() })
        }
    }
}
