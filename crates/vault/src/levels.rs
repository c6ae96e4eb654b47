//! Which level a new backup gets, and on which backup it is built.
//!
//! Pure: works on what the catalogue listed. A base counts only when it and all it builds on are
//! complete; whoever calls proves that before (`sound`).

use serde::{Deserialize, Serialize};

/// Options of a job about levels; the names are upstream's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LevelPolicy {
    /// Without it every backup is a level 0.
    pub incremental: bool,
    /// The highest level; a new chain starts after it. 0 is the same as none.
    pub max_level: Option<u32>,
    /// Levels rise up to this one, then each backup is this level again, relative to the one below it.
    pub always_level: Option<u32>,
    /// Days after the *level 0* of a chain when a new chain starts (upstream measures from the newest level).
    pub restart_always_level_days: Option<f64>,
}

/// A level a new backup may be built on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub level: u32,
    pub timestamp: i64,
    pub chain_timestamp: i64,
}

/// What the new backup will be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LevelChoice {
    pub level: u32,
    /// The backup to build on; `None` for a level 0.
    pub base: Option<Candidate>,
    /// For people.
    pub reason: String,
}

impl LevelChoice {
    pub(crate) fn full(reason: impl Into<String>) -> Self {
        Self { level: 0, base: None, reason: reason.into() }
    }
}

const SECONDS_PER_DAY: f64 = 86_400.0;

/// Chooses level and base. `sound` are the complete levels of the newest chain whose parents are
/// complete too, in any order.
pub fn choose(policy: &LevelPolicy, sound: &[Candidate], now_secs: i64) -> LevelChoice {
    if !policy.incremental {
        return LevelChoice::full("not incremental");
    }
    let newest_of = |level: u32| {
        sound.iter().filter(|candidate| candidate.level == level).max_by_key(|candidate| candidate.timestamp)
    };
    let Some(top) = sound.iter().max_by_key(|candidate| (candidate.level, candidate.timestamp)) else {
        return LevelChoice::full("no chain to continue");
    };
    let max_level = policy.max_level.filter(|level| *level > 0);
    let always_level = policy.always_level.filter(|level| *level > 0);
    if let Some(max) = max_level.filter(|max| *max <= top.level) {
        return LevelChoice::full(format!("max_level {max} reached"));
    }
    if let Some(always) = always_level.filter(|always| top.level > *always) {
        return LevelChoice::full(format!("level {} is above always_level {always}", top.level));
    }
    if let Some(days) = policy.restart_always_level_days.filter(|days| *days > 0.0) {
        // Ages of chains are far below 2^52 seconds: the conversion is exact.
        let age_secs = now_secs.saturating_sub(top.chain_timestamp) as f64;
        if age_secs >= days * SECONDS_PER_DAY {
            return LevelChoice::full(format!("level 0 is older than restart_always_level {days} days"));
        }
    }
    let on =
        |base: &Candidate, reason: String| LevelChoice { level: base.level + 1, base: Some(*base), reason };
    if let Some(always) = always_level.filter(|always| top.level == *always) {
        return match newest_of(always - 1) {
            Some(base) => on(base, format!("always_level {always}: relative to level {}", base.level)),
            None => LevelChoice::full(format!("level {} to build on is missing", always - 1)),
        };
    }
    on(top, format!("increment of level {}", top.level))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;

    /// Runs one backup each `step` seconds and answers the levels made.
    fn series(policy: LevelPolicy, count: i64, step: i64) -> Vec<u32> {
        let mut made: Vec<Candidate> = Vec::new();
        let mut levels = Vec::new();
        for round in 0..count {
            let now = 1_700_000_000 + round * step;
            let chain = made.iter().map(|one| one.chain_timestamp).max();
            let sound: Vec<_> =
                made.iter().filter(|one| Some(one.chain_timestamp) == chain).copied().collect();
            let choice = choose(&policy, &sound, now);
            let chain_timestamp = choice.base.map_or(now, |base| base.chain_timestamp);
            made.push(Candidate { level: choice.level, timestamp: now, chain_timestamp });
            levels.push(choice.level);
        }
        levels
    }

    fn incremental() -> LevelPolicy {
        LevelPolicy { incremental: true, ..LevelPolicy::default() }
    }

    #[test]
    fn table_of_levels() {
        assert_eq!(series(LevelPolicy::default(), 3, DAY), [0, 0, 0]);
        assert_eq!(series(incremental(), 5, DAY), [0, 1, 2, 3, 4]);
        let max = LevelPolicy { max_level: Some(3), ..incremental() };
        assert_eq!(series(max, 9, DAY), [0, 1, 2, 3, 0, 1, 2, 3, 0]);
        let always = LevelPolicy { always_level: Some(2), ..incremental() };
        assert_eq!(series(always, 6, DAY), [0, 1, 2, 2, 2, 2]);
        let zero = LevelPolicy { max_level: Some(0), always_level: Some(0), ..incremental() };
        assert_eq!(series(zero, 3, DAY), [0, 1, 2]);
    }

    #[test]
    fn restart_is_measured_from_level_0() {
        let restart =
            LevelPolicy { always_level: Some(2), restart_always_level_days: Some(3.0), ..incremental() };
        assert_eq!(series(restart, 8, DAY), [0, 1, 2, 0, 1, 2, 0, 1]);
        let without_always = LevelPolicy { restart_always_level_days: Some(0.5), ..incremental() };
        assert_eq!(series(without_always, 5, DAY / 4), [0, 1, 0, 1, 0]);
    }

    #[test]
    fn differential_is_relative_to_the_level_below() {
        let policy = LevelPolicy { always_level: Some(1), ..incremental() };
        let at = |level, timestamp| Candidate { level, timestamp, chain_timestamp: 10 };
        let choice = choose(&policy, &[at(0, 10), at(1, 20), at(1, 30)], 40);
        assert_eq!((choice.level, choice.base), (1, Some(at(0, 10))));
    }

    #[test]
    fn lowered_limits_start_a_chain() {
        let policy = LevelPolicy { always_level: Some(1), ..incremental() };
        let at = |level, timestamp| Candidate { level, timestamp, chain_timestamp: 10 };
        assert_eq!(choose(&policy, &[at(0, 10), at(1, 20), at(2, 30)], 40).level, 0);
    }
}
