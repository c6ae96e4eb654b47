//! Times as FTP has them: `YYYYMMDDHHMMSS`, with a fraction perhaps, in UTC (RFC 3659). A server that means another zone is not
//! noticed, and need not be: its times are compared with its own alone.

const DAY_SECS: i64 = 86_400;
/// Days from the first of March of the year 0 to the first of January 1970, in the calendar of today.
const DAYS_TO_1970: i64 = 719_468;
/// 400 years: then the calendar begins anew.
const ERA_DAYS: i64 = 146_097;

/// Seconds since 1970; a fraction is left out.
pub(super) fn seconds(text: &str) -> Option<i64> {
    let digits = text.get(..14).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    let number = |from: usize, to: usize| digits.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (number(0, 4)?, number(4, 6)?, number(6, 8)?);
    let (hour, minute, second) = (number(8, 10)?, number(10, 12)?, number(12, 14)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    // Years begin in March here, so that the day that some have more is their last.
    let year = if month > 2 { year } else { year - 1 };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let (era, year) = (year.div_euclid(400), year.rem_euclid(400));
    let days = era * ERA_DAYS + year * 365 + year / 4 - year / 100 + day_of_year - DAYS_TO_1970;
    Some(days * DAY_SECS + hour * 3600 + minute * 60 + second)
}

/// `None` outside of the years that have four digits.
pub(super) fn text(seconds: i64) -> Option<String> {
    let days = seconds.div_euclid(DAY_SECS) + DAYS_TO_1970;
    let of_day = seconds.rem_euclid(DAY_SECS);
    let (era, day) = (days.div_euclid(ERA_DAYS), days.rem_euclid(ERA_DAYS));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (year, month) = (era * 400 + year + i64::from(month > 9), (month + 2) % 12 + 1);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    let is_short = (0..=9999).contains(&year);
    is_short.then(|| format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn there_and_back() {
        for (seconds_then, text_then) in [
            (0, "19700101000000"),
            (-1, "19691231235959"),
            (951_782_399, "20000228235959"),
            (951_782_400, "20000229000000"),
            (951_868_800, "20000301000000"),
            (1_700_000_000, "20231114221320"),
            (4_107_542_400, "21000301000000"),
        ] {
            assert_eq!(seconds(text_then), Some(seconds_then), "{text_then}");
            assert_eq!(text(seconds_then).as_deref(), Some(text_then));
        }
        // 41 days and an odd time of day at a time, over four centuries.
        for step in 0..4000 {
            let then = 3_600_007 * step;
            assert_eq!(seconds(&text(then).unwrap()), Some(then));
        }
        assert_eq!(seconds("20231114221320.123"), Some(1_700_000_000));
        for wrong in
            ["", "2023111422132", "20231314221320", "20231100221320", "2023-11-14 221320", "20231114241320"]
        {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
        assert_eq!(text(i64::MAX / 2), None);
    }
}
