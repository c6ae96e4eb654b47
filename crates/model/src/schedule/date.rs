//! Dates of a plan: ISO 8601 in one form.

use crate::Timestamp;
use chrono::{DateTime, Datelike, NaiveDate, NaiveTime};

/// What [`parse`] takes, for people.
pub const FORM: &str =
    "YYYY-MM-DDThh:mm:ss, optionally with a fraction and Z or an offset like +02:00 (UTC without one)";

/// A date in [`FORM`]. What follows the third digit of a fraction is cut off.
pub fn parse(text: &str) -> Option<Timestamp> {
    let (date, time) = text.split_once('T')?;
    let (time, offset_secs) = split_offset(time)?;
    let (time, fraction) = match time.split_once('.') {
        Some((time, fraction)) => (time, Some(fraction)),
        None => (time, None),
    };
    let date = parse_date(date)?;
    let time = parse_time(time)?;
    let millis = fraction.map_or(Some(0), parse_fraction)?;
    let secs = date.and_time(time).and_utc().timestamp().checked_sub(offset_secs)?;
    Some(Timestamp(secs.checked_mul(1000)?.checked_add(millis)?))
}

/// The same second of UTC as `YYYY-MM-DDThh:mm:ss`; `None` when the date is none, or has no year of four digits.
pub fn plain(text: &str) -> Option<String> {
    let moment = DateTime::from_timestamp(parse(text)?.secs(), 0)?;
    (1..=9999).contains(&moment.year()).then(|| moment.format("%Y-%m-%dT%H:%M:%S").to_string())
}

fn split_offset(time: &str) -> Option<(&str, i64)> {
    if let Some(time) = time.strip_suffix('Z') {
        return Some((time, 0));
    }
    let Some(at) = time.find(['+', '-']) else { return Some((time, 0)) };
    let (time, offset) = time.split_at_checked(at)?;
    let (hours, minutes) = offset.get(1..)?.split_once(':')?;
    let (hours, minutes) = (two_digits(hours, 23)?, two_digits(minutes, 59)?);
    let secs = i64::from(hours * 3600 + minutes * 60);
    Some((time, if offset.starts_with('-') { -secs } else { secs }))
}

fn parse_date(text: &str) -> Option<NaiveDate> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text),
    };
    let mut parts = digits.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    let year_is_written_well = year.len() == 4 || (year.len() > 4 && !year.starts_with('0'));
    if parts.next().is_some() || !year_is_written_well || !year.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let year: i32 = year.parse().ok()?;
    NaiveDate::from_ymd_opt(sign * year, two_digits(month, 12)?, two_digits(day, 31)?)
}

fn parse_time(text: &str) -> Option<NaiveTime> {
    let mut parts = text.split(':');
    let (hour, minute, second) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    NaiveTime::from_hms_opt(two_digits(hour, 23)?, two_digits(minute, 59)?, two_digits(second, 59)?)
}

fn parse_fraction(digits: &str) -> Option<i64> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let first_three: String = digits.chars().chain("00".chars()).take(3).collect();
    first_three.parse().ok()
}

fn two_digits(text: &str, most: u32) -> Option<u32> {
    let is_well_written = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    is_well_written.then(|| text.parse().ok())?.filter(|number| *number <= most)
}
