//! Which chains of backups may go: the rule, whoever knows the chains (an agent from the storage, the API from its records).
//!
//! Chains go whole, measured by their newest level, so that nothing newer loses what it is built on; the last restorable chain
//! stays, whatever the rules say.

use crate::clock::time_text;
use crate::schedule::{MOMENT_FORM, moment};
use chrono::{DateTime, Datelike};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

const SECONDS_PER_DAY: f64 = 86_400.0;

/// What may go. A chain goes when every rule that is set allows it; without any rule none goes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Retention {
    /// Newest level older than so many days.
    pub remove_older_than_days: Option<f64>,
    /// Newest level not after this time (seconds since 1970, UTC).
    pub remove_from_secs: Option<i64>,
    /// None of its levels among the newest so many restorable states.
    pub keep_last: Option<u32>,
    /// None of its levels is the newest state of one of the newest so many hours, days, weeks, months or years that have one.
    pub keep_each: [Option<u32>; Period::ALL.len()],
}

/// Parts of time of which a state is kept, in UTC. Weeks begin on Mondays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    Hour,
    Day,
    Week,
    Month,
    Year,
}

impl Period {
    pub const ALL: [Self; 5] = [Self::Hour, Self::Day, Self::Week, Self::Month, Self::Year];

    /// The option that says how many of them.
    pub fn option(self) -> &'static str {
        match self {
            Self::Hour => "keep_hourly",
            Self::Day => "keep_daily",
            Self::Week => "keep_weekly",
            Self::Month => "keep_monthly",
            Self::Year => "keep_yearly",
        }
    }

    fn word(self) -> &'static str {
        self.option().trim_start_matches("keep_")
    }

    /// Which of its kind a time lies in; later ones are greater.
    fn number(self, secs: i64) -> i64 {
        let day = secs.div_euclid(86_400);
        let date = || DateTime::from_timestamp(secs, 0).unwrap_or_default();
        match self {
            Self::Hour => secs.div_euclid(3600),
            Self::Day => day,
            // 1970-01-01 was a Thursday.
            Self::Week => (day + 3).div_euclid(7),
            Self::Month => i64::from(date().year()) * 12 + i64::from(date().month0()),
            Self::Year => i64::from(date().year()),
        }
    }

    /// The newest state of each of the newest `count` parts of time that have one. `points` come newest first.
    fn kept(self, points: &[i64], count: u32) -> Vec<i64> {
        let mut kept: Vec<i64> = Vec::new();
        for point in points {
            let is_new = kept.last().is_none_or(|last| self.number(*last) != self.number(*point));
            if is_new && kept.len() < usize::try_from(count).unwrap_or(usize::MAX) {
                kept.push(*point);
            }
        }
        kept
    }
}

/// What is known of one chain. Times in seconds since 1970, UTC.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChainFacts {
    /// Of its newest finished level; `None` when it has none.
    pub newest: Option<i64>,
    /// States that can be restored.
    pub points: Vec<i64>,
    /// Why it stays whatever the rules say.
    pub held: Option<String>,
    /// What it is of, where one name has backups of several things: each of them keeps its own.
    pub source: Option<String>,
}

/// What is decided about a chain, and why, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    Goes(String),
    Stays(String),
}

impl Retention {
    /// The rules among the options of an action, by their names and those of older agents; `None` when there is none.
    /// Refused with the option's name and what it should be. A time without an offset is UTC.
    pub fn of_options(options: &Map<String, Value>) -> Result<Option<Self>, String> {
        let given = |names: &'static [&'static str]| {
            names.iter().find_map(|name| Some((*name, options.get(*name).filter(|value| is_given(value))?)))
        };
        let mut rules = Self::default();
        if let Some((name, value)) = given(&["remove_older_than", "remove_older_then"]) {
            let days = number(value).ok_or_else(|| format!("'{name}': must be a number of days"))?;
            rules.remove_older_than_days = (days != 0.0).then_some(days);
        }
        if let Some((name, value)) = given(&["remove_from_date", "remove_before_date"]) {
            let time = value.as_str().and_then(moment);
            let time = time.ok_or_else(|| format!("'{name}': must be a time, {MOMENT_FORM}"))?;
            rules.remove_from_secs = Some(time.secs());
        }
        if let Some((name, value)) = given(&["keep_last"]) {
            let count = number(value).filter(|count| count.fract() == 0.0 && (0.0..=1e6).contains(count));
            let count = count.ok_or_else(|| format!("'{name}': must be a whole number up to 1000000"))?;
            rules.keep_last = (count >= 1.0).then_some(count as u32);
        }
        for (rule, period) in rules.keep_each.iter_mut().zip(Period::ALL) {
            let name = period.option();
            let Some(value) = options.get(name).filter(|value| is_given(value)) else { continue };
            let count = number(value).filter(|count| count.fract() == 0.0 && (0.0..=1e6).contains(count));
            let count = count.ok_or_else(|| format!("'{name}': must be a whole number up to 1000000"))?;
            *rule = (count >= 1.0).then_some(count as u32);
        }
        rules.check()?;
        Ok((rules != Self::default()).then_some(rules))
    }

    /// Refuses numbers that mean nothing.
    pub fn check(&self) -> Result<(), &'static str> {
        if self.remove_older_than_days.is_some_and(|days| !days.is_finite() || days <= 0.0) {
            return Err("remove_older_than must be a number of days greater than 0");
        }
        if self.keep_last == Some(0) {
            return Err("keep_last must be at least 1");
        }
        if self.keep_each.contains(&Some(0)) {
            return Err(
                "keep_hourly, keep_daily, keep_weekly, keep_monthly and keep_yearly must be at least 1",
            );
        }
        Ok(())
    }

    /// Decides about all chains of one backup, in their order.
    pub fn decide(&self, chains: &[ChainFacts], now_secs: i64) -> Vec<Fate> {
        let mut groups: BTreeMap<Option<&str>, Vec<(usize, &ChainFacts)>> = BTreeMap::new();
        for (place, chain) in chains.iter().enumerate() {
            groups.entry(chain.source.as_deref()).or_default().push((place, chain));
        }
        let mut fates: BTreeMap<usize, Fate> = BTreeMap::new();
        for group in groups.into_values() {
            let (places, chains): (Vec<usize>, Vec<&ChainFacts>) = group.into_iter().unzip();
            fates.extend(places.into_iter().zip(self.decide_alike(&chains, now_secs)));
        }
        fates.into_values().collect()
    }

    /// About the chains of one source.
    fn decide_alike(&self, chains: &[&ChainFacts], now_secs: i64) -> Vec<Fate> {
        let mut points: Vec<i64> = chains.iter().flat_map(|chain| chain.points.iter().copied()).collect();
        points.sort_unstable_by(|a, b| b.cmp(a));
        let kept = self.kept(&points);
        let judged = chains.iter().map(|chain| self.judge(chain, now_secs, &kept));
        spare_the_last(chains, judged.collect())
    }

    /// What each rule that keeps states keeps of these, which come newest first.
    fn kept(&self, points: &[i64]) -> Vec<(String, Vec<i64>)> {
        let mut kept = Vec::new();
        if let Some(count) = self.keep_last {
            let last = points.iter().copied().take(usize::try_from(count).unwrap_or(usize::MAX)).collect();
            kept.push((format!("not among the last {count} states"), last));
        }
        for (rule, period) in self.keep_each.iter().zip(Period::ALL) {
            if let Some(count) = rule {
                let name = format!("not among the {count} {} states", period.word());
                kept.push((name, period.kept(points, *count)));
            }
        }
        kept
    }

    fn judge(&self, chain: &ChainFacts, now_secs: i64, kept: &[(String, Vec<i64>)]) -> Fate {
        if let Some(why) = &chain.held {
            return Fate::Stays(why.clone());
        }
        let Some(newest) = chain.newest else { return Fate::Stays("it holds nothing".into()) };
        let age = format!("its newest level is of {}", time_text(newest));
        let mut rules = Vec::new();
        if let Some(days) = self.remove_older_than_days {
            // Within the range of dates the conversion is exact enough; it saturates beyond.
            let cut = now_secs.saturating_sub((days * SECONDS_PER_DAY) as i64);
            rules.push((newest <= cut, format!("older than {days} days")));
        }
        if let Some(cut) = self.remove_from_secs {
            rules.push((newest <= cut, format!("not after {}", time_text(cut))));
        }
        for (name, kept) in kept {
            let holds_one = chain.points.iter().any(|point| kept.contains(point));
            // Its newest level does not restore, and is younger than what is kept: it may be mended.
            let is_younger = kept.iter().min().is_none_or(|oldest| newest >= *oldest);
            let may_be_mended = is_younger && !chain.points.contains(&newest);
            rules.push((!holds_one && !may_be_mended, name.clone()));
        }
        if rules.is_empty() {
            return Fate::Stays("no rule was given".into());
        }
        match rules.iter().find(|(fits, _)| !fits) {
            Some((_, name)) => Fate::Stays(format!("{age}; the rule '{name}' does not hold")),
            None => {
                let names: Vec<&str> = rules.iter().map(|(_, name)| name.as_str()).collect();
                Fate::Goes(format!("{age}: {}", names.join(" and ")))
            }
        }
    }
}

/// Forms of web pages leave empty texts behind.
fn is_given(value: &Value) -> bool {
    !value.is_null() && value.as_str().is_none_or(|text| !text.trim().is_empty())
}

/// Also one that is written as a text, as old job files have it.
fn number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.trim().parse().ok()).filter(|number| number.is_finite())
}

/// Whatever the rules say, one chain that restores stays.
fn spare_the_last(chains: &[&ChainFacts], mut fates: Vec<Fate>) -> Vec<Fate> {
    let restores = |chain: &&ChainFacts| !chain.points.is_empty();
    let stays = |fate: &Fate| matches!(fate, Fate::Stays(_));
    if chains.iter().zip(&fates).any(|(chain, fate)| stays(fate) && restores(chain)) {
        return fates;
    }
    let going = chains.iter().zip(fates.iter_mut()).filter(|(chain, _)| restores(chain));
    if let Some((_, fate)) = going.max_by_key(|(chain, _)| chain.points.iter().copied().max()) {
        *fate = Fate::Stays("it is the only chain left that can be restored".into());
    }
    fates
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use chrono::{NaiveDate, NaiveDateTime};
    use proptest::prelude::*;
    use serde_json::json;
    use std::collections::BTreeSet;

    const DAY: i64 = 86_400;

    fn alone(point: i64) -> ChainFacts {
        ChainFacts { newest: Some(point), points: vec![point], ..ChainFacts::default() }
    }

    fn staying(rules: &Retention, chains: &[ChainFacts]) -> BTreeSet<i64> {
        let fates = rules.decide(chains, 4_000_000_000);
        let stays = chains.iter().zip(fates).filter(|(_, fate)| matches!(fate, Fate::Stays(_)));
        stays.flat_map(|(chain, _)| chain.points.clone()).collect()
    }

    fn rules(options: Value) -> Retention {
        Retention::of_options(options.as_object().unwrap()).unwrap().unwrap()
    }

    fn at(day: &str, time: &str) -> i64 {
        NaiveDateTime::parse_from_str(&format!("{day} {time}"), "%Y-%m-%d %H:%M")
            .unwrap()
            .and_utc()
            .timestamp()
    }

    #[test]
    fn the_newest_of_each_part_of_time_stays() {
        let points = [
            at("2024-12-29", "23:00"), // a Sunday, the last of its week
            at("2024-12-30", "01:00"), // a Monday of the first week of 2025
            at("2024-12-31", "01:00"),
            at("2025-01-01", "01:00"),
            at("2025-01-01", "01:30"),
            at("2025-01-02", "00:10"),
        ];
        let chains: Vec<ChainFacts> = points.iter().map(|point| alone(*point)).collect();
        let kept = |option: &str, count: i64| {
            let kept = staying(&rules(json!({option: count})), &chains);
            points
                .iter()
                .enumerate()
                .filter(|(_, point)| kept.contains(point))
                .map(|(place, _)| place)
                .collect::<Vec<_>>()
        };
        assert_eq!(kept("keep_hourly", 2), [4, 5]);
        assert_eq!(kept("keep_daily", 3), [2, 4, 5]);
        assert_eq!(kept("keep_weekly", 9), [0, 5]);
        assert_eq!(kept("keep_monthly", 2), [2, 5]);
        assert_eq!(kept("keep_yearly", 1), [5]);
        let both = staying(&rules(json!({"keep_yearly": "2", "keep_last": 2})), &chains);
        assert_eq!(both, [points[2], points[4], points[5]].into());
    }

    #[test]
    fn a_chain_stays_whole_for_one_of_its_states() {
        let long =
            ChainFacts { newest: Some(9 * DAY), points: vec![2 * DAY, 9 * DAY], ..ChainFacts::default() };
        let chains = [alone(DAY), long, alone(40 * DAY), alone(41 * DAY)];
        assert_eq!(staying(&rules(json!({"keep_monthly": 2})), &chains), [2 * DAY, 9 * DAY, 41 * DAY].into());
        let broken = ChainFacts { newest: Some(41 * DAY), points: vec![3 * DAY], ..ChainFacts::default() };
        let fates = rules(json!({"keep_last": 1})).decide(&[broken, alone(40 * DAY)], 50 * DAY);
        assert!(fates.iter().all(|fate| matches!(fate, Fate::Stays(_))), "it may be mended: {fates:?}");
    }

    #[test]
    fn each_source_keeps_its_own() {
        let of = |source: &str, point| ChainFacts { source: Some(source.to_owned()), ..alone(point) };
        let chains = [of("a", DAY), of("a", 2 * DAY), of("b", 3 * DAY), of("b", 4 * DAY)];
        assert_eq!(staying(&rules(json!({"keep_last": 1})), &chains), [2 * DAY, 4 * DAY].into());
        assert_eq!(staying(&rules(json!({"remove_older_than": 1})), &chains), [2 * DAY, 4 * DAY].into());
    }

    #[test]
    fn nonsense_is_refused() {
        for options in [json!({"keep_daily": -1}), json!({"keep_daily": 1.5}), json!({"keep_yearly": "many"})]
        {
            assert!(Retention::of_options(options.as_object().unwrap()).is_err(), "{options}");
        }
        assert_eq!(Retention::of_options(json!({"keep_daily": 0}).as_object().unwrap()), Ok(None));
        assert!(Retention { keep_each: [Some(0); 5], ..Retention::default() }.check().is_err());
    }

    /// What a state's part of time is called by somebody else's calendar.
    fn name(period: Period, point: i64) -> String {
        let form = match period {
            Period::Hour => "%Y-%m-%d %H",
            Period::Day => "%Y-%m-%d",
            Period::Week => "%G week %V",
            Period::Month => "%Y-%m",
            Period::Year => "%Y",
        };
        DateTime::from_timestamp(point, 0).unwrap().format(form).to_string()
    }

    fn naive(rules: &Retention, points: &BTreeSet<i64>) -> BTreeSet<i64> {
        let last = rules.keep_last.unwrap_or(0) as usize;
        let mut kept: BTreeSet<i64> = points.iter().rev().take(last).copied().collect();
        for (count, period) in rules.keep_each.iter().zip(Period::ALL) {
            // Names sort as their times do.
            let newest: BTreeMap<String, i64> =
                points.iter().map(|point| (name(period, *point), *point)).collect();
            kept.extend(newest.values().rev().take(count.unwrap_or(0) as usize));
        }
        kept
    }

    proptest! {
        #[test]
        fn what_stays_is_what_a_calendar_says(
            points in prop::collection::btree_set(0..20_000 * DAY, 1..60),
            dense in prop::collection::btree_set(19_000 * DAY..19_020 * DAY, 0..60),
            keep_last in prop::option::of(1u32..5),
            counts in prop::array::uniform5(prop::option::of(1u32..8)),
        ) {
            let rules = Retention { keep_last, keep_each: counts, ..Retention::default() };
            prop_assume!(rules != Retention::default());
            let points: BTreeSet<i64> = points.into_iter().chain(dense).collect();
            let chains: Vec<ChainFacts> = points.iter().map(|point| alone(*point)).collect();
            prop_assert_eq!(staying(&rules, &chains), naive(&rules, &points));
        }
    }

    #[test]
    fn weeks_begin_on_mondays() {
        let monday = NaiveDate::from_ymd_opt(2026, 11, 23)
            .unwrap()
            .and_hms_opt(0, 0, 0)
            .unwrap()
            .and_utc()
            .timestamp();
        assert_eq!(Period::Week.number(monday) - 1, Period::Week.number(monday - 1));
        assert_eq!(Period::Week.number(monday), Period::Week.number(monday + 7 * DAY - 1));
    }
}
