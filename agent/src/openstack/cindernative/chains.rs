//! Cinder's backups of one volume as chains: a full backup and the increments that need it. Pure.
//!
//! Cinder tells whether a backup is an increment, but not of which: its rule is that the parent is the available backup
//! whose data are newest. Sorted by the time of their data, the increments behind a full backup are those that need it.

use crate::openstack::cinder::backups::CinderBackup;

/// Key and value that mark a Cinder backup as Freezer's (the same as upstream's since 2026.2).
pub const MARK_KEY: &str = "created_by";
pub const MARK_VALUE: &str = "freezer";
/// Key of the Cinder backup's metadata that names our record of it.
pub const RECORD_KEY: &str = "freezer_backup_id";

/// Upstream's words; the only mark where Cinder keeps no metadata of backups, and on backups of older Freezers.
pub fn description(volume_id: &str) -> String {
    format!("Backup created by Freezer for volume {volume_id}")
}

/// Whether Freezer made this backup.
pub fn is_freezers(backup: &CinderBackup) -> bool {
    backup.metadata.get(MARK_KEY).is_some_and(|mark| mark == MARK_VALUE)
        || backup.description.as_deref() == Some(&description(&backup.volume_id))
}

/// A full backup and, oldest first, what needs it.
#[derive(Clone, Debug)]
pub struct Chain {
    pub full: CinderBackup,
    pub increments: Vec<CinderBackup>,
}

impl Chain {
    pub fn members(&self) -> impl DoubleEndedIterator<Item = &CinderBackup> {
        std::iter::once(&self.full).chain(&self.increments)
    }

    /// Increments that a restore could use.
    pub fn available_increments(&self) -> usize {
        self.increments.iter().filter(|backup| backup.is_available()).count()
    }

    /// When the newest data in it were saved.
    pub fn newest_secs(&self) -> i64 {
        self.members().map(|backup| backup.data_secs).max().unwrap_or(self.full.data_secs)
    }
}

/// All backups of a volume, oldest first.
#[derive(Clone, Debug, Default)]
pub struct Chains {
    pub chains: Vec<Chain>,
    /// Increments whose full backup is not there.
    pub orphans: Vec<CinderBackup>,
}

impl Chains {
    pub fn of(mut backups: Vec<CinderBackup>) -> Self {
        backups.sort_by(|a, b| a.age_key().cmp(&b.age_key()));
        let mut sorted = Self::default();
        for backup in backups {
            if !backup.is_incremental {
                sorted.chains.push(Chain { full: backup, increments: Vec::new() });
                continue;
            }
            // What never became available is nobody's parent.
            let parent = sorted.chains.iter_mut().rev().find(|chain| chain.full.may_be_parent());
            match parent {
                Some(chain) => chain.increments.push(backup),
                None => sorted.orphans.push(backup),
            }
        }
        sorted
    }

    /// The backup that Cinder would take as the base of an increment, with its chain (none for an orphan).
    pub fn base(&self) -> Option<(&CinderBackup, Option<&Chain>)> {
        let chained =
            self.chains.iter().flat_map(|chain| chain.members().map(move |backup| (backup, Some(chain))));
        let orphans = self.orphans.iter().map(|backup| (backup, None));
        chained
            .chain(orphans)
            .filter(|(backup, _)| backup.is_available())
            .max_by(|(a, _), (b, _)| a.age_key().cmp(&b.age_key()))
    }
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use std::collections::BTreeMap;

    /// Backup `id` with data of second `at`: `f…` is full, `i…` an increment; upper case is not Freezer's; `!` behind
    /// the name is the status error.
    pub fn backup(name: &str, at: i64) -> CinderBackup {
        let id = name.trim_end_matches('!');
        let mut metadata = BTreeMap::new();
        if id.chars().all(|letter| !letter.is_uppercase()) {
            metadata.insert(MARK_KEY.to_owned(), MARK_VALUE.to_owned());
            metadata.insert(RECORD_KEY.to_owned(), format!("record-{id}"));
        }
        CinderBackup {
            id: id.to_owned(),
            name: None,
            description: None,
            status: if name.ends_with('!') { "error" } else { "available" }.to_owned(),
            volume_id: "v".to_owned(),
            container: None,
            is_incremental: id.to_lowercase().starts_with('i'),
            fail_reason: None,
            size_gib: 1,
            object_count: 1,
            created_secs: at,
            data_secs: at,
            metadata,
        }
    }

    pub fn chains(names: &[&str]) -> Chains {
        Chains::of(names.iter().zip(1..).map(|(name, at)| backup(name, at * 100)).collect())
    }

    fn shape(chains: &Chains) -> Vec<String> {
        chains
            .chains
            .iter()
            .map(|chain| chain.members().map(|b| b.id.as_str()).collect::<Vec<_>>().join(" "))
            .collect()
    }

    #[test]
    fn increments_belong_to_the_full_backup_before_them() {
        let found = chains(&["i0", "f1", "i2", "i3", "f4", "f5", "i6"]);
        assert_eq!(shape(&found), ["f1 i2 i3", "f4", "f5 i6"]);
        assert_eq!(found.orphans[0].id, "i0");
        assert_eq!(found.base().unwrap().0.id, "i6");
        // In whatever order Cinder lists them.
        let mut reversed: Vec<_> = found.chains.iter().flat_map(|chain| chain.members().cloned()).collect();
        reversed.reverse();
        assert_eq!(shape(&Chains::of(reversed)), ["f1 i2 i3", "f4", "f5 i6"]);
    }

    #[test]
    fn what_failed_is_no_parent() {
        let found = chains(&["f1", "f2!", "i3", "i4!"]);
        assert_eq!(shape(&found), ["f1 i3 i4", "f2"]);
        assert_eq!(found.base().unwrap().0.id, "i3");
        assert_eq!(found.chains[0].available_increments(), 1);
        assert!(chains(&["f1!"]).base().is_none());
    }

    #[test]
    fn freezers_own_are_known_by_metadata_or_description() {
        assert!(is_freezers(&backup("f1", 0)));
        let mut other = backup("F1", 0);
        assert!(!is_freezers(&other));
        other.description = Some(description("v"));
        assert!(is_freezers(&other));
        other.description = Some(description("another"));
        assert!(!is_freezers(&other));
    }
}
