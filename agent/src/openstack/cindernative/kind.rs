//! Whether the next Cinder backup is full or an increment, and why. Pure.

use super::chains::{Chains, is_freezers};

/// What the action asks for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted {
    pub incremental: bool,
    pub max_level: Option<u32>,
    pub restart_always_level_days: Option<f64>,
    /// Only Freezer's own backups may become the base: a chain of mixed owners could be removed by neither.
    pub freezer_only: bool,
}

/// The decision, with the reason in words for the result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kind {
    pub is_incremental: bool,
    /// 0 for a full backup, else how many increments the chain has with this one.
    pub level: u32,
    pub reason: String,
}

impl Kind {
    pub fn full(reason: impl Into<String>) -> Self {
        Self { is_incremental: false, level: 0, reason: reason.into() }
    }
}

pub fn choose(wanted: &Wanted, chains: &Chains, now_secs: i64) -> Kind {
    if !wanted.incremental {
        return Kind::full("full backup asked for");
    }
    let Some((base, chain)) = chains.base() else {
        return Kind::full("the volume has no available backup to base an increment on");
    };
    let Some(chain) = chain else {
        return Kind::full(format!("the full backup that {} needs is not there", base.id));
    };
    if !chain.full.is_available() {
        return Kind::full(format!("full backup {} is {}", chain.full.id, chain.full.status));
    }
    if wanted.freezer_only && !chain.members().all(is_freezers) {
        return Kind::full(format!("the newest chain ({}) is not Freezer's own", chain.full.id));
    }
    let depth = u32::try_from(chain.available_increments()).unwrap_or(u32::MAX);
    if wanted.max_level.is_some_and(|most| depth >= most) {
        return Kind::full(format!("max_level: the chain has {depth} increments"));
    }
    if let Some(days) = wanted.restart_always_level_days
        && (now_secs.saturating_sub(chain.full.data_secs)) as f64 > days * 86_400.0
    {
        return Kind::full(format!(
            "restart_always_level: full backup {} is older than {days} days",
            chain.full.id
        ));
    }
    Kind { is_incremental: true, level: depth.saturating_add(1), reason: format!("increment on {}", base.id) }
}

#[cfg(test)]
mod tests {
    use super::super::chains::tests::chains;
    use super::*;

    fn level(names: &[&str], adjust: impl FnOnce(&mut Wanted)) -> (u32, String) {
        let mut wanted = Wanted { incremental: true, freezer_only: true, ..Wanted::default() };
        adjust(&mut wanted);
        let kind = choose(&wanted, &chains(names), 1000);
        assert_eq!(kind.is_incremental, kind.level > 0);
        (kind.level, kind.reason)
    }

    #[test]
    fn an_increment_needs_a_whole_chain() {
        assert_eq!(level(&["f1", "i2"], |_| {}), (2, "increment on i2".to_owned()));
        for (names, word) in [
            (&[] as &[&str], "no available backup"),
            (&["f1!"], "no available backup"),
            (&["i1"], "not there"),
            (&["F1"], "not Freezer's"),
            (&["f1", "I2"], "not Freezer's"),
        ] {
            let (level, reason) = level(names, |_| {});
            assert!(level == 0 && reason.contains(word), "{names:?}: {reason}");
        }
        assert_eq!(level(&["F1"], |wanted| wanted.freezer_only = false).0, 1);
        assert_eq!(level(&["f1"], |wanted| wanted.incremental = false).0, 0);
    }

    #[test]
    fn chains_end_by_length_or_by_age_of_the_full_backup() {
        assert_eq!(level(&["f1", "i2"], |wanted| wanted.max_level = Some(2)).0, 2);
        assert_eq!(level(&["f1", "i2", "i3"], |wanted| wanted.max_level = Some(2)).0, 0);
        // 900 s after the full backup, whatever came since.
        let days = |seconds: f64| Some(seconds / 86_400.0);
        assert_eq!(level(&["f1", "i2", "i3"], |wanted| wanted.restart_always_level_days = days(901.0)).0, 3);
        assert_eq!(level(&["f1", "i2", "i3"], |wanted| wanted.restart_always_level_days = days(899.0)).0, 0);
    }
}
