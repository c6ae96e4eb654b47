//! Cron fields with APScheduler's grammar and defaults.
//!
//! A field is a list of expressions with commas between: `*`, `*/step`, `a`, `a-b`, `a-b/step`, `a/step` (to the field's
//! end); months and days of the week also by their first three letters; the day also `last`, `2nd fri`, `last sun`. Monday
//! is 0. Weeks are those of ISO 8601. A moment matches when every field does. A field that is not given is `*` when a
//! finer one is given, else its smallest value (week and day of the week are `*` always).

use super::ScheduleError;
use crate::Timestamp;
use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveDateTime, NaiveTime, Timelike};
use serde_json::{Map, Value};

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const ORDINALS: [&str; 6] = ["1st", "2nd", "3rd", "4th", "5th", "last"];

/// Name, smallest and largest value, from the coarsest to the finest as upstream orders them.
const FIELDS: [(&str, u32, u32); 8] = [
    ("schedule_year", 1970, 9999),
    ("schedule_month", 1, 12),
    ("schedule_day", 1, 31),
    ("schedule_week", 1, 53),
    ("schedule_day_of_week", 0, 6),
    ("schedule_hour", 0, 23),
    ("schedule_minute", 0, 59),
    ("schedule_second", 0, 59),
];

const FORM: &str = "a cron field: *, */step, a, a-b, a-b/step or a list of these with commas";

/// Every possible pattern of dates repeats after this many years.
const GREGORIAN_YEARS: i32 = 400;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Expression {
    /// `first`, `first + step`, … up to `last`.
    Range {
        first: u32,
        last: u32,
        step: u32,
    },
    LastDay,
    /// The nth (0 = first) such weekday of the month.
    NthWeekday {
        nth: u32,
        weekday: u32,
    },
    LastWeekday {
        weekday: u32,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Field(Vec<Expression>);

impl Field {
    fn has(&self, value: u32) -> bool {
        self.0.iter().any(|expression| {
            matches!(expression,
            Expression::Range { first, last, step }
                if (*first..=*last).contains(&value) && (value - first).is_multiple_of(*step))
        })
    }

    fn has_day(&self, date: NaiveDate) -> bool {
        let day = date.day();
        let weekday = date.weekday().num_days_from_monday();
        self.has(day)
            || self.0.iter().any(|expression| match expression {
                Expression::LastDay => day == days_in_month(date),
                Expression::NthWeekday { nth, weekday: wanted } => {
                    weekday == *wanted && (day - 1) / 7 == *nth
                }
                Expression::LastWeekday { weekday: wanted } => {
                    weekday == *wanted && day + 7 > days_in_month(date)
                }
                Expression::Range { .. } => false,
            })
    }

    fn is_any(&self) -> bool {
        matches!(self.0.as_slice(), [Expression::Range { step: 1, first: 1970, last: 9999 }])
    }
}

/// The cron fields of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CronFields {
    year: Field,
    month: Field,
    day: Field,
    week: Field,
    day_of_week: Field,
    hour: Field,
    minute: Field,
    second: Field,
}

impl CronFields {
    /// `None` when the plan has no cron field.
    pub(super) fn parse(plan: &Map<String, Value>) -> Result<Option<Self>, ScheduleError> {
        let mut given = Vec::with_capacity(FIELDS.len());
        for (key, ..) in FIELDS {
            given.push(text_of(plan, key)?);
        }
        let Some(finest) = given.iter().rposition(Option::is_some) else { return Ok(None) };
        let mut fields = Vec::with_capacity(FIELDS.len());
        for (index, ((key, min, max), text)) in FIELDS.into_iter().zip(given).enumerate() {
            let is_free =
                index < finest || matches!(key, "schedule_year" | "schedule_week" | "schedule_day_of_week");
            fields.push(match text {
                Some(text) => parse_field(key, &text, min, max)?,
                None if is_free => Field(vec![Expression::Range { first: min, last: max, step: 1 }]),
                None => Field(vec![Expression::Range { first: min, last: min, step: 1 }]),
            });
        }
        let Ok([year, month, day, week, day_of_week, hour, minute, second]) = <[Field; 8]>::try_from(fields)
        else {
            return Ok(None);
        };
        Ok(Some(Self { year, month, day, week, day_of_week, hour, minute, second }))
    }

    /// The first matching second that is not before `from`; `None` when there is none until the year 9999.
    pub fn at_or_after(&self, from: Timestamp) -> Option<Timestamp> {
        // Up to the next whole second.
        let secs = from.0.checked_add(999)?.div_euclid(1000).max(0);
        let from = DateTime::from_timestamp(secs, 0)?.naive_utc();
        let mut date = from.date();
        let last_year = if self.year.is_any() { from.year().saturating_add(GREGORIAN_YEARS) } else { 9999 };
        while date.year() <= last_year.min(9999) {
            if !self.year.has(u32::try_from(date.year()).ok()?) {
                date = NaiveDate::from_ymd_opt(date.year() + 1, 1, 1)?;
                continue;
            }
            if !self.month.has(date.month()) {
                date = first_of_next_month(date)?;
                continue;
            }
            if self.matches_date(date) {
                let earliest = if date == from.date() { from.time() } else { NaiveTime::MIN };
                if let Some(time) = self.time_from(earliest) {
                    return timestamp(date.and_time(time));
                }
            }
            date = date.checked_add_days(Days::new(1))?;
        }
        None
    }

    /// Whether a firing lies exactly at this second.
    pub fn matches(&self, at: Timestamp) -> bool {
        let Some(moment) = DateTime::from_timestamp(at.secs(), 0).map(|moment| moment.naive_utc()) else {
            return false;
        };
        let time = moment.time();
        u32::try_from(moment.year()).is_ok_and(|year| self.year.has(year))
            && self.month.has(moment.month())
            && self.matches_date(moment.date())
            && self.hour.has(time.hour())
            && self.minute.has(time.minute())
            && self.second.has(time.second())
    }

    fn matches_date(&self, date: NaiveDate) -> bool {
        self.day.has_day(date)
            && self.week.has(date.iso_week().week())
            && self.day_of_week.has(date.weekday().num_days_from_monday())
    }

    /// The first matching time of a day that is not before `from`.
    fn time_from(&self, from: NaiveTime) -> Option<NaiveTime> {
        for hour in (from.hour()..24).filter(|hour| self.hour.has(*hour)) {
            let first_minute = if hour == from.hour() { from.minute() } else { 0 };
            for minute in (first_minute..60).filter(|minute| self.minute.has(*minute)) {
                let is_first = hour == from.hour() && minute == from.minute();
                let first_second = if is_first { from.second() } else { 0 };
                if let Some(second) = (first_second..60).find(|second| self.second.has(*second)) {
                    return NaiveTime::from_hms_opt(hour, minute, second);
                }
            }
        }
        None
    }
}

fn timestamp(moment: NaiveDateTime) -> Option<Timestamp> {
    Some(Timestamp::from_secs(moment.and_utc().timestamp()))
}

fn first_of_next_month(date: NaiveDate) -> Option<NaiveDate> {
    match date.month() {
        12 => NaiveDate::from_ymd_opt(date.year() + 1, 1, 1),
        month => NaiveDate::from_ymd_opt(date.year(), month + 1, 1),
    }
}

fn days_in_month(date: NaiveDate) -> u32 {
    u32::from(date.num_days_in_month())
}

/// A cron field may also come as a number; an empty text means "not given".
fn text_of(plan: &Map<String, Value>, key: &str) -> Result<Option<String>, ScheduleError> {
    match plan.get(key) {
        None => Ok(None),
        Some(Value::String(text)) if text.trim().is_empty() => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.trim().to_ascii_lowercase())),
        Some(Value::Number(number)) => Ok(Some(number.to_string())),
        Some(other) => Err(refuse(key, &other.to_string(), "")),
    }
}

fn refuse(key: &str, value: &str, why: &str) -> ScheduleError {
    let extra = match key {
        "schedule_month" => "; months are 1-12 or jan-dec",
        "schedule_day" => "; days are 1-31, last, or a weekday of the month like \"2nd fri\" or \"last sun\"",
        "schedule_day_of_week" => "; days are 0-6 (0 = Monday) or mon-sun",
        _ => "",
    };
    let expected = if why.is_empty() { format!("{FORM}{extra}") } else { format!("{FORM}{extra} ({why})") };
    ScheduleError { key: key.to_owned(), value: value.to_owned(), expected }
}

fn parse_field(key: &str, text: &str, min: u32, max: u32) -> Result<Field, ScheduleError> {
    let refuse = |why: &str| refuse(key, &Value::from(text).to_string(), why);
    let expressions: Result<Vec<_>, _> = text
        .split(',')
        .map(|part| parse_expression(key, part.trim(), min, max).map_err(|why| refuse(&why)))
        .collect();
    expressions.map(Field)
}

fn parse_expression(key: &str, text: &str, min: u32, max: u32) -> Result<Expression, String> {
    if key == "schedule_day"
        && let Some(special) = special_day(text)
    {
        return Ok(special);
    }
    let (range, step) = match text.split_once('/') {
        Some((range, step)) => (range, Some(number(step).ok_or("the step is not a number")?)),
        None => (text, None),
    };
    let (first, last) = match range.split_once('-') {
        _ if range == "*" => (min, max),
        Some((first, last)) => (value(key, first)?, value(key, last)?),
        None => {
            let first = value(key, range)?;
            (first, if step.is_some() { max } else { first })
        }
    };
    if first < min || last > max || first > max {
        return Err(format!("values are {min} to {max}"));
    }
    if first > last {
        return Err("the range ends before it starts".to_owned());
    }
    match step {
        Some(0) => Err("the step is 0".to_owned()),
        Some(step) if step > (last - first).max(1) => Err("the step is larger than the range".to_owned()),
        step => Ok(Expression::Range { first, last, step: step.unwrap_or(1) }),
    }
}

fn special_day(text: &str) -> Option<Expression> {
    if text == "last" {
        return Some(Expression::LastDay);
    }
    let (ordinal, weekday) = text.split_once(char::is_whitespace)?;
    let nth = u32::try_from(ORDINALS.iter().position(|word| *word == ordinal)?).ok()?;
    let weekday = u32::try_from(WEEKDAYS.iter().position(|word| *word == weekday.trim())?).ok()?;
    Some(if nth == 5 { Expression::LastWeekday { weekday } } else { Expression::NthWeekday { nth, weekday } })
}

/// A number, or a name of the field.
fn value(key: &str, text: &str) -> Result<u32, String> {
    let named = |names: &[&str], first: u32| {
        names.iter().position(|name| *name == text).and_then(|at| u32::try_from(at).ok()).map(|at| at + first)
    };
    number(text)
        .or_else(|| match key {
            "schedule_month" => named(&MONTHS, 1),
            "schedule_day_of_week" => named(&WEEKDAYS, 0),
            _ => None,
        })
        .ok_or_else(|| format!("{text:?} is not a value of this field"))
}

fn number(text: &str) -> Option<u32> {
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}
