//! Which chains of a volume's Cinder backups go: a plan that can be read before anything is removed. Pure.
//!
//! Invariants: a chain goes whole or not at all; with `freezer_only` nothing goes that Freezer did not make; the newest
//! chain that can be restored stays whatever was asked for. A full backup that failed is none; of Freezer's, one that is older than that
//! chain goes.

use super::chains::{Chain, Chains, RECORD_KEY, is_freezers};
use serde::Serialize;

/// What stays. At least one rule is set.
#[derive(Clone, Copy, Debug, Default)]
pub struct Retention {
    /// Keep this many newest full backups with their increments.
    pub keep_full: Option<u32>,
    /// Remove chains whose newest backup is not after this second.
    pub not_after_secs: Option<i64>,
    pub freezer_only: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Doomed {
    pub full: String,
    /// In the order of removal: the newest increment first, the full backup last.
    pub backups: Vec<String>,
    /// Freezer's records of them, where Cinder knows these.
    #[serde(skip)]
    pub records: Vec<Option<String>>,
    pub newest_secs: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Plan {
    pub keep: Vec<String>,
    pub remove: Vec<Doomed>,
    /// Chains that ought to go and cannot, with the reason.
    pub skipped: Vec<String>,
}

pub fn plan(chains: &Chains, retention: &Retention) -> Plan {
    let counts =
        |chain: &Chain| chain.full.is_available() && (!retention.freezer_only || is_freezers(&chain.full));
    let counted: Vec<&Chain> = chains.chains.iter().filter(|chain| counts(chain)).collect();
    let surplus =
        retention.keep_full.map_or(counted.len(), |keep| counted.len().saturating_sub(keep as usize));
    let mut plan = Plan::default();
    for (index, chain) in counted.iter().enumerate() {
        let is_last = index + 1 == counted.len();
        let by_count = retention.keep_full.is_none() || index < surplus;
        let by_age = retention.not_after_secs.is_none_or(|cut| chain.newest_secs() <= cut);
        if is_last || !by_count || !by_age {
            plan.keep.push(chain.full.id.clone());
        } else if let Some(why) = obstacle(chain, retention) {
            plan.skipped.push(format!("full backup {}: {why}", chain.full.id));
        } else {
            plan.remove.push(doomed(chain));
        }
    }
    let newest = counted.last().map(|chain| chain.newest_secs());
    let failed = chains.chains.iter().filter(|chain| newest.is_some_and(|newest| is_failed(chain, newest)));
    let goes = |chain: &&Chain| retention.not_after_secs.is_none_or(|cut| chain.newest_secs() <= cut);
    plan.remove.extend(failed.filter(goes).map(doomed));
    plan
}

/// A full backup of Freezer's that Cinder could not make, known only when nobody waited for it any more: nothing needs it, and one
/// that can be restored has been made since.
fn is_failed(chain: &Chain, newest_secs: i64) -> bool {
    let is_alone = chain.increments.is_empty();
    chain.full.status == "error" && is_alone && is_freezers(&chain.full) && chain.full.data_secs < newest_secs
}

/// Why a chain cannot be removed now.
fn obstacle(chain: &Chain, retention: &Retention) -> Option<String> {
    if let Some(foreign) = chain.members().find(|backup| retention.freezer_only && !is_freezers(backup)) {
        return Some(format!("backup {} depends on it and was not made by Freezer", foreign.id));
    }
    let busy = chain.members().find(|backup| !matches!(backup.status.as_str(), "available" | "error"));
    busy.map(|backup| format!("backup {} is {}", backup.id, backup.status))
}

fn doomed(chain: &Chain) -> Doomed {
    let newest_first = || chain.members().rev();
    Doomed {
        full: chain.full.id.clone(),
        backups: newest_first().map(|backup| backup.id.clone()).collect(),
        records: newest_first().map(|backup| backup.metadata.get(RECORD_KEY).cloned()).collect(),
        newest_secs: chain.newest_secs(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::chains::tests::chains;
    use super::*;

    fn removed(names: &[&str], retention: Retention) -> (Vec<String>, Vec<String>) {
        let plan = plan(&chains(names), &retention);
        let gone = plan.remove.iter().map(|doomed| doomed.backups.join(" ")).collect();
        (gone, plan.skipped)
    }

    fn keep(count: u32) -> Retention {
        Retention { keep_full: Some(count), freezer_only: true, ..Retention::default() }
    }

    #[test]
    fn the_newest_full_backups_stay_with_their_increments() {
        let names = ["f1", "i2", "i3", "f4", "f5", "i6", "f7"];
        assert_eq!(removed(&names, keep(3)).0, ["i3 i2 f1"]);
        assert_eq!(removed(&names, keep(2)).0, ["i3 i2 f1", "f4"]);
        assert_eq!(removed(&names, keep(4)).0, Vec::<String>::new());
        assert_eq!(removed(&names, keep(9)).0, Vec::<String>::new());
        let plan = plan(&chains(&names), &keep(2));
        assert_eq!(plan.keep, ["f5", "f7"]);
        let records: Vec<_> = plan.remove.iter().flat_map(|doomed| doomed.records.iter().flatten()).collect();
        assert_eq!(records, ["record-i3", "record-i2", "record-f1", "record-f4"]);
    }

    #[test]
    fn what_users_made_is_neither_counted_nor_removed() {
        assert_eq!(removed(&["F1", "f2", "F3", "f4", "F5"], keep(1)).0, ["f2"]);
        let (gone, skipped) = removed(&["f1", "I2", "f3", "f4"], keep(1));
        assert_eq!(gone, ["f3"]);
        assert!(skipped.len() == 1 && skipped.iter().all(|why| why.contains("I2")), "{skipped:?}");
        let all = Retention { freezer_only: false, ..keep(1) };
        assert_eq!(removed(&["F1", "I2", "f3", "F4"], all).0, ["I2 F1", "f3"]);
    }

    #[test]
    fn what_failed_does_not_count_and_goes_with_its_chain_or_when_there_is_a_newer_one() {
        assert_eq!(removed(&["f1", "i2!", "f3!", "f4"], keep(1)).0, ["i2 f1", "f3"]);
        assert_eq!(removed(&["f1", "f2!", "f3"], keep(1)).0, ["f1", "f2"]);
        assert_eq!(removed(&["f1", "f2!", "f3"], keep(2)).0, ["f2"]);
        assert_eq!(removed(&["f1", "f2!"], keep(1)).0, Vec::<String>::new());
        assert_eq!(removed(&["f1!", "F2!", "f3!"], keep(1)).0, Vec::<String>::new());
        // A user's is his, also where whole chains of users go; by age only what is old enough goes.
        let all = Retention { freezer_only: false, ..keep(1) };
        assert_eq!(removed(&["F1!", "f2!", "f3"], all).0, ["f2"]);
        let before = Retention { keep_full: None, not_after_secs: Some(100), freezer_only: true };
        assert_eq!(removed(&["f1!", "f2!", "f3"], before).0, ["f1"]);
    }

    #[test]
    fn by_age_the_newest_member_decides_and_the_last_chain_stays() {
        let before = |cut| Retention { keep_full: None, not_after_secs: Some(cut), freezer_only: true };
        assert_eq!(removed(&["f1", "i2", "f3", "f4"], before(199)).0, Vec::<String>::new());
        assert_eq!(removed(&["f1", "i2", "f3", "f4"], before(200)).0, ["i2 f1"]);
        assert_eq!(removed(&["f1", "i2", "f3", "f4"], before(9999)).0, ["i2 f1", "f3"]);
        // Both rules: only what both let go.
        let both = Retention { keep_full: Some(1), ..before(200) };
        assert_eq!(removed(&["f1", "i2", "f3", "f4"], both).0, ["i2 f1"]);
    }

    #[test]
    fn what_cinder_works_on_waits() {
        let mut found = chains(&["f1", "i2", "f3"]);
        if let Some(increment) = found.chains.first_mut().and_then(|chain| chain.increments.first_mut()) {
            increment.status = "restoring".to_owned();
        }
        let plan = plan(&found, &keep(1));
        assert!(plan.remove.is_empty() && plan.skipped.iter().all(|why| why.contains("restoring")));
        assert_eq!(plan.skipped.len(), 1);
    }
}
