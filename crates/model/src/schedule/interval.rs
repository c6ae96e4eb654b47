//! `schedule_interval`.

use std::time::Duration;

pub(super) const FORM: &str =
    "\"continuous\", or a number of at least 1, a blank and one of weeks, days, hours, minutes, seconds";

/// Longer intervals than a thousand years are a mistake.
const MOST_SECS: u64 = 1000 * 366 * 86_400;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interval {
    Continuous,
    Every(Duration),
}

pub(super) fn parse(text: &str) -> Option<Interval> {
    if text == "continuous" {
        return Some(Interval::Continuous);
    }
    let (number, unit) = text.split_once(' ')?;
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let unit_secs = match unit.trim_start_matches(' ') {
        "weeks" => 7 * 86_400,
        "days" => 86_400,
        "hours" => 3600,
        "minutes" => 60,
        "seconds" => 1,
        _ => return None,
    };
    let secs = number.parse::<u64>().ok()?.checked_mul(unit_secs)?;
    (1..=MOST_SECS).contains(&secs).then(|| Interval::Every(Duration::from_secs(secs)))
}
