//! Known answers, and random plans against a naive search.

use super::*;
use proptest::prelude::*;
use serde_json::json;

fn plan(value: Value) -> Schedule {
    Schedule::parse(value.as_object().unwrap()).unwrap()
}

fn refused(value: Value) -> ScheduleError {
    Schedule::parse(value.as_object().unwrap()).unwrap_err()
}

fn at(text: &str) -> Timestamp {
    date::parse(text).unwrap()
}

fn text(at: Timestamp) -> String {
    chrono::DateTime::from_timestamp_millis(at.0).unwrap().format("%Y-%m-%dT%H:%M:%S").to_string()
}

/// The first firings from an anchor on.
fn firings(schedule: &Schedule, anchor: &str, count: usize) -> Vec<String> {
    let anchor = at(anchor);
    let mut found = Vec::new();
    let mut next = schedule.first(anchor);
    while let Some(fires) = next.filter(|_| found.len() < count) {
        found.push(text(fires));
        next = schedule.next_after(anchor, fires);
    }
    found
}

#[test]
fn dates() {
    assert_eq!(at("1970-01-01T00:00:01").0, 1000);
    assert_eq!(at("1970-01-01T00:00:01.5Z").0, 1500);
    assert_eq!(at("1970-01-01T02:00:00.1234567+02:00").0, 123);
    assert_eq!(at("1969-12-31T18:30:00-05:30").0, 0);
    assert_eq!(at("12026-01-01T00:00:00"), at("12026-01-01T00:00:00Z"));
    for bad in [
        "",
        "2026-01-01",
        "2026-01-01 00:00:00",
        "2026-02-30T00:00:00",
        "2026-13-01T00:00:00",
        "2026-01-01T24:00:00",
        "2026-01-01T00:00:60",
        "2026-01-01T00:00",
        "26-01-01T00:00:00",
        "02026-01-01T00:00:00",
        "2026-01-01T00:00:00.",
        "2026-01-01T00:00:00+2:00",
        "2026-01-01T00:00:00z",
        "2026-1-1T0:0:0",
        "2026-01-01T00:00:00Z ",
        "+2026-01-01T00:00:00",
        "2026-01-01T00:00:00+24:00",
        "99999999999-01-01T00:00:00",
        "2026-01-01T00:00:00é",
    ] {
        assert_eq!(date::parse(bad), None, "{bad}");
        assert_eq!(date::plain(bad), None, "{bad}");
    }
    for (sent, plain) in [
        ("2026-01-02T03:00:00", "2026-01-02T03:00:00"),
        ("2026-01-02T03:00:00.999999", "2026-01-02T03:00:00"),
        ("2026-01-02T03:00:00Z", "2026-01-02T03:00:00"),
        ("2026-01-02T03:00:00.5+02:00", "2026-01-02T01:00:00"),
        ("2025-12-31T23:30:00-05:30", "2026-01-01T05:00:00"),
        ("1969-12-31T23:59:59.5Z", "1969-12-31T23:59:59"),
        ("0999-01-01T00:00:00Z", "0999-01-01T00:00:00"),
    ] {
        assert_eq!(date::plain(sent).as_deref(), Some(plain), "{sent}");
    }
    // Python reads years of four digits.
    for odd in ["-2026-01-02T03:00:00", "12026-01-01T00:00:00Z", "9999-12-31T23:00:00-02:00"] {
        assert_eq!(date::plain(odd), None, "{odd}");
    }
}

#[test]
fn errors_name_the_key_and_the_form() {
    let error = refused(json!({"schedule_interval": "1 day"}));
    assert_eq!(error.key, "schedule_interval");
    assert!(error.to_string().contains("\"1 day\"") && error.to_string().contains("days"), "{error}");
    for (key, value) in [
        ("schedule_interval", json!("")),
        ("schedule_interval", json!("0 days")),
        ("schedule_interval", json!("5days")),
        ("schedule_interval", json!("-1 days")),
        ("schedule_interval", json!("5 Days")),
        ("schedule_interval", json!("99999999999999999999 days")),
        ("schedule_interval", json!("9999999999 weeks")),
        ("schedule_interval", json!(5)),
        ("schedule_date", json!(null)),
        ("schedule_date", json!("tomorrow")),
        ("schedule_hour", json!("24")),
        ("schedule_hour", json!("5-3")),
        ("schedule_minute", json!("*/0")),
        ("schedule_minute", json!("*/60")),
        ("schedule_minute", json!("a")),
        ("schedule_minute", json!("1,,2")),
        ("schedule_month", json!("january")),
        ("schedule_month", json!("0")),
        ("schedule_day", json!("32")),
        ("schedule_day", json!("6th fri")),
        ("schedule_day", json!("2nd")),
        ("schedule_day_of_week", json!("fri-mon")),
        ("schedule_day_of_week", json!("7")),
        ("schedule_week", json!("54")),
        ("schedule_year", json!("1969")),
        ("schedule_year", json!([2026])),
        ("schedule_second", json!("1-")),
        ("schedule_second", json!("-1")),
    ] {
        let error = refused(json!({ key: value }));
        assert_eq!(error.key, key);
        assert!(error.expected.len() > 20);
    }
}

#[test]
fn one_shots() {
    let once = plan(json!({}));
    assert_eq!(once.first(Timestamp(500)), Some(Timestamp(500)));
    assert_eq!(once.next_after(Timestamp(500), Timestamp(500)), None);
    assert!(once.is_one_shot());
    let later = plan(json!({"schedule_start_date": "2026-05-01T00:00:00"}));
    assert_eq!(firings(&later, "2026-01-01T00:00:00", 3), ["2026-05-01T00:00:00"]);
    let date = plan(json!({"schedule_date": "2026-05-01T00:00:00", "schedule_interval": "1 days"}));
    assert_eq!(firings(&date, "2026-01-01T00:00:00", 3), ["2026-05-01T00:00:00"]);
    assert_eq!(firings(&date, "2026-06-01T00:00:00", 3), ["2026-06-01T00:00:00"]);
}

#[test]
fn intervals_keep_their_phase() {
    let free = plan(json!({"schedule_interval": "6   hours"}));
    assert_eq!(
        firings(&free, "2026-01-01T01:30:00", 3),
        ["2026-01-01T07:30:00", "2026-01-01T13:30:00", "2026-01-01T19:30:00"]
    );
    // Ten missed firings are one, and the phase stays.
    let anchor = at("2026-01-01T01:30:00");
    assert_eq!(free.next_after(anchor, at("2026-01-04T02:00:00")), Some(at("2026-01-04T07:30:00")));
    let fixed = plan(json!({
        "schedule_interval": "1 days", "schedule_start_date": "2026-01-01T03:00:00", "schedule_end_date": "2026-01-05T03:00:00"
    }));
    assert_eq!(firings(&fixed, "2025-12-30T10:00:00", 9).first().unwrap(), "2026-01-01T03:00:00");
    assert_eq!(
        firings(&fixed, "2026-01-02T10:00:00", 9),
        ["2026-01-03T03:00:00", "2026-01-04T03:00:00", "2026-01-05T03:00:00"]
    );
    assert_eq!(firings(&fixed, "2026-01-03T03:00:00", 1), ["2026-01-03T03:00:00"]);
    assert!(firings(&fixed, "2026-01-05T03:00:01", 9).is_empty());
    let ignored_end = plan(json!({
        "schedule_interval": "1 weeks", "schedule_start_date": "2026-01-01T03:00:00", "schedule_end_date": "2025-01-05T03:00:00"
    }));
    assert_eq!(firings(&ignored_end, "2026-01-01T10:00:00", 1), ["2026-01-08T03:00:00"]);
}

#[test]
fn continuous_follows_the_end() {
    let schedule = plan(json!({"schedule_interval": "continuous"}));
    assert_eq!(schedule.first(Timestamp(0)), Some(Timestamp(1000)));
    assert_eq!(schedule.next_after(Timestamp(0), Timestamp(77_000)), Some(Timestamp(78_000)));
}

#[test]
fn cron_by_example() {
    let cases = [
        (json!({"schedule_hour": "3"}), ["2026-01-01T03:00:00", "2026-01-02T03:00:00"]),
        (json!({"schedule_minute": "*/25"}), ["2026-01-01T00:00:00", "2026-01-01T00:25:00"]),
        (
            json!({"schedule_minute": "50/5", "schedule_hour": 2}),
            ["2026-01-01T02:50:00", "2026-01-01T02:55:00"],
        ),
        (
            json!({"schedule_day": "2nd Fri", "schedule_hour": "1"}),
            ["2026-01-09T01:00:00", "2026-02-13T01:00:00"],
        ),
        (json!({"schedule_day": "last sun"}), ["2026-01-25T00:00:00", "2026-02-22T00:00:00"]),
        (json!({"schedule_day": "last"}), ["2026-01-31T00:00:00", "2026-02-28T00:00:00"]),
        (
            json!({"schedule_day": "last", "schedule_month": "feb", "schedule_year": "2027-2028"}),
            ["2027-02-28T00:00:00", "2028-02-29T00:00:00"],
        ),
        (
            json!({"schedule_day": "29", "schedule_month": "2"}),
            ["2028-02-29T00:00:00", "2032-02-29T00:00:00"],
        ),
        (json!({"schedule_day_of_week": "sat,SUN"}), ["2026-01-03T00:00:00", "2026-01-04T00:00:00"]),
        (json!({"schedule_day_of_week": "0"}), ["2026-01-05T00:00:00", "2026-01-12T00:00:00"]),
        (json!({"schedule_month": "jun-aug"}), ["2026-06-01T00:00:00", "2026-07-01T00:00:00"]),
        (
            json!({"schedule_week": "53", "schedule_day_of_week": "mon"}),
            ["2026-12-28T00:00:00", "2032-12-27T00:00:00"],
        ),
        (json!({"schedule_week": "10"}), ["2026-03-02T00:00:00", "2026-03-03T00:00:00"]),
        (
            json!({"schedule_second": "10-50/20", "schedule_minute": "0"}),
            ["2026-01-01T00:00:10", "2026-01-01T00:00:30"],
        ),
        (json!({"schedule_year": "2030"}), ["2030-01-01T00:00:00", "none"]),
        (json!({"schedule_day": "30", "schedule_month": "2"}), ["none", "none"]),
        (
            json!({"schedule_hour": "", "schedule_day": " 7 , 9 "}),
            ["2026-01-07T00:00:00", "2026-01-09T00:00:00"],
        ),
    ];
    for (value, expected) in cases {
        let mut found = firings(&plan(value.clone()), "2026-01-01T00:00:00", 2);
        found.resize(2, "none".to_owned());
        assert_eq!(found, expected, "{value}");
    }
}

fn field(min: u32, max: u32) -> impl Strategy<Value = String> {
    prop_oneof![
        3 => Just("*".to_owned()),
        2 => (min..=max).prop_map(|a| a.to_string()),
        1 => (1..=(max - min)).prop_map(|step| format!("*/{step}")),
        1 => (min..max).prop_flat_map(move |a| (Just(a), a + 1..=max)).prop_map(|(a, b)| format!("{a}-{b}")),
        1 => (min..=max, min..=max).prop_map(|(a, b)| format!("{a},{b}")),
    ]
}

fn day() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => field(1, 31),
        1 => Just("last".to_owned()),
        1 => (0..6usize, 0..7usize).prop_map(|(n, day)| {
            let ordinal = ["1st", "2nd", "3rd", "4th", "5th", "last"][n];
            format!("{ordinal} {}", ["mon", "tue", "wed", "thu", "fri", "sat", "sun"][day])
        }),
    ]
}

/// A second reading of one field, written the plain way.
fn naive(expression: &str, value: u32, min: u32, max: u32) -> bool {
    expression.split(',').any(|part| {
        let (range, step) = part.split_once('/').unwrap_or((part, "1"));
        let (first, last) = match range.split_once('-') {
            Some((first, last)) => (first.parse().unwrap(), last.parse().unwrap()),
            None if range == "*" => (min, max),
            None => (range.parse().unwrap(), range.parse().unwrap()),
        };
        (first..=last).step_by(step.parse().unwrap()).any(|known| known == value)
    })
}

fn naive_day(expression: &str, date: chrono::NaiveDate) -> bool {
    use chrono::{Datelike, Days};
    let month_days: Vec<chrono::NaiveDate> = (0..31)
        .filter_map(|n| date.with_day(1).unwrap().checked_add_days(Days::new(n)))
        .filter(|day| day.month() == date.month())
        .collect();
    match expression.split_once(' ') {
        _ if expression == "last" => month_days.last() == Some(&date),
        Some((ordinal, weekday)) => {
            let same: Vec<_> =
                month_days.iter().filter(|day| day.weekday().to_string().to_lowercase() == weekday).collect();
            let found = match ordinal {
                "last" => same.last(),
                nth => same.get(nth[..1].parse::<usize>().unwrap() - 1),
            };
            found == Some(&&date)
        }
        None => naive(expression, date.day(), 1, 31),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Minute by minute for forty days: nothing is missed, nothing invented.
    #[test]
    fn cron_agrees_with_a_naive_search(
        month in field(1, 12), day in day(), week in field(1, 53), weekday in field(0, 6),
        hour in field(0, 23), minute in field(0, 59), from_minutes in 0i64..30_000_000,
    ) {
        use chrono::{Datelike, Timelike};
        let schedule = plan(json!({
            "schedule_month": month, "schedule_day": day, "schedule_week": week, "schedule_day_of_week": weekday,
            "schedule_hour": hour, "schedule_minute": minute,
        }));
        let from = from_minutes * 60;
        let found = schedule.next_after(Timestamp(0), Timestamp::from_secs(from));
        let naive_search = (1..=40 * 24 * 60).map(|n| from + n * 60).find(|secs| {
            let moment = chrono::DateTime::from_timestamp(*secs, 0).unwrap().naive_utc();
            naive(&minute, moment.minute(), 0, 59)
                && naive(&hour, moment.hour(), 0, 23)
                && naive(&weekday, moment.weekday().num_days_from_monday(), 0, 6)
                && naive(&month, moment.month(), 1, 12)
                && naive(&week, moment.iso_week().week(), 1, 53)
                && naive_day(&day, moment.date())
        });
        match naive_search {
            Some(secs) => prop_assert_eq!(found, Some(Timestamp::from_secs(secs))),
            None => prop_assert!(found.is_none_or(|at| at.secs() > from + 40 * 86_400)),
        }
    }

    /// What was certain has happened by then, wherever the host is, and if its clock leaves out the first moment that matches.
    #[test]
    fn what_is_certain_has_come_in_every_zone(
        month in field(1, 12), day in day(), weekday in field(0, 6), hour in field(0, 23), minute in field(0, 59),
        // Furthest ahead of UTC no clock is put forward.
        from_minutes in 0i64..30_000_000, ahead_quarters in -48i64..56,
    ) {
        let schedule = plan(json!({
            "schedule_month": month, "schedule_day": day, "schedule_day_of_week": weekday, "schedule_hour": hour,
            "schedule_minute": minute,
        }));
        let (from, ahead) = (from_minutes * 60, ahead_quarters * 900);
        if let Some(due) = schedule.certainly_due(Timestamp::from_secs(from)) {
            let after = |local: i64| schedule.next_after(Timestamp(0), Timestamp::from_secs(local)).unwrap().secs();
            // The clock is put forward by an hour just then.
            let left_out = after(from + ahead);
            let fired = after(left_out + 3599) - ahead;
            prop_assert!(from < fired && fired <= due.secs(), "{from} {fired} {due:?}");
        }
    }

    /// An interval's firings are multiples from its base, and there is one in every span of that length.
    #[test]
    fn intervals_are_regular(secs in 1i64..5_000_000, start in 0i64..4_000_000_000, after in 0i64..5_000_000_000) {
        let start_text = text(Timestamp::from_secs(start));
        let schedule = plan(json!({"schedule_interval": format!("{secs} seconds"), "schedule_start_date": start_text}));
        let next = schedule.next_after(Timestamp(0), Timestamp::from_secs(after)).unwrap().secs();
        prop_assert!(next > after);
        prop_assert_eq!((next - start) % secs, 0);
        prop_assert!(next >= start && (next == start || next - after <= secs));
    }

    #[test]
    fn nothing_makes_the_reader_panic(words in "\\PC{0,24}") {
        for key in PLAN_KEYS {
            let _ = Schedule::parse(json!({ key: words.clone() }).as_object().unwrap());
        }
    }
}
