//! One listing of everything below an HBN: which levels there are, of what objects, and who is at work.
//!
//! It tells names and sizes, and on object stores a tag of each object's content, in stores of files a stamp of each file's last change.
//! What is decided by it must be read before it is believed, or have been read when it was listed just so. A stamp counts only when it is
//! settled ([`freezer_storage::stamp`]): past for the clock of the files' server, which is seen by the run's own lock, that it wrote
//! just before it listed. Where folders are listed one by one, those of levels of older chains are
//! not entered: they are many, and only the newest chain is built on here.

use super::ancestry::payload_objects;
use super::read::{committed, read_committed};
use super::{Level, Memory};
use crate::VaultError;
use crate::layout::{Hbn, LOCKS, LevelId, MANIFEST, parse_timestamp};
use freezer_storage::{Entry, ObjectName, Stamp, Store};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};

/// With more objects than this one listing is no cheaper than to look at what matters.
const MOST_OBJECTS: usize = 5000;

/// An object as it is listed.
#[derive(Debug)]
struct Part {
    size_bytes: u64,
    tag: Option<String>,
    stamp: Option<Stamp>,
}

#[derive(Debug, Default)]
pub(crate) struct Tree {
    /// Objects of each level's data folder; of levels of older chains perhaps none.
    levels: BTreeMap<LevelId, BTreeMap<String, Part>>,
    chains: BTreeSet<i64>,
    /// Objects in the folder of locks.
    pub locks: Vec<ObjectName>,
    /// When the locks were written, by the clock of the server, where it tells that.
    lock_secs: BTreeMap<ObjectName, i64>,
    /// That clock, before the listing was asked for.
    server_secs: Option<i64>,
    /// Whether it tells what is in the objects.
    pub tells_content: bool,
    /// Where a manifest may be that need not be fetched.
    memory: Option<Memory>,
    /// The first level whose manifest was read: who looks at the locks and who looks for a level to build on read the same.
    first: OnceLock<Level>,
}

impl Tree {
    /// `None` when there is too much for one listing.
    pub async fn read(store: &Arc<dyn Store>, hbn: &Hbn) -> Result<Option<Self>, VaultError> {
        let folder = hbn.data_folder()?;
        let newest = AtomicI64::new(i64::MIN);
        let skips = |name: &str| is_of_no_matter(name, &newest);
        match store.list_tree_without(&folder, MOST_OBJECTS, &skips).await? {
            Some(entries) => Self::parse(&folder, &entries).map(Some),
            None => Ok(None),
        }
    }

    /// What belongs to another HBN, whose name begins like this one and has a `/`, is passed over.
    fn parse(folder: &ObjectName, entries: &[Entry]) -> Result<Self, VaultError> {
        let tells_content = entries.iter().any(|entry| entry.tag.is_some());
        let mut tree = Self { tells_content, ..Self::default() };
        for entry in entries {
            let Some((first, rest)) = entry.name.split_once('/') else { continue };
            if entry.is_folder {
                if let Some(id) = parse_timestamp(first).and_then(|chain| LevelId::parse(chain, rest)) {
                    tree.chains.insert(id.chain_timestamp);
                    tree.levels.entry(id).or_default();
                }
                continue;
            }
            if first == LOCKS && !rest.contains('/') {
                let name = folder.join(&entry.name)?;
                let written = entry.stamp.as_ref().map(|stamp| (name.clone(), stamp.modified_secs));
                tree.lock_secs.extend(written);
                tree.locks.push(name);
                continue;
            }
            let level = parse_timestamp(first).and_then(|chain| {
                let (level, part) = rest.split_once('/')?;
                Some((LevelId::parse(chain, level)?, part))
            });
            if let Some((id, part)) = level {
                tree.chains.insert(id.chain_timestamp);
                let (tag, stamp) = (entry.tag.clone(), entry.stamp.clone());
                let listed = Part { size_bytes: entry.size_bytes, tag, stamp };
                tree.levels.entry(id).or_default().insert(part.to_owned(), listed);
            }
        }
        Ok(tree)
    }

    /// The same for the run whose lock is `own`, knowing of what this machine keeps.
    pub fn of_run(self, own: &ObjectName, memory: Option<Memory>) -> Self {
        let server_secs = self.lock_secs.get(own).copied();
        Self { memory, server_secs, ..self }
    }

    /// The greatest timestamp in use by anything, finished or not.
    pub fn greatest_timestamp(&self) -> Option<i64> {
        self.levels.keys().map(|id| id.timestamp).chain(self.chains.iter().copied()).max()
    }

    /// Levels of the chain that the newest level is in, if that is the newest chain.
    pub fn newest_chain(&self) -> Vec<LevelId> {
        let newest = self.levels.keys().max_by_key(|id| id.timestamp).map(|id| id.chain_timestamp);
        let Some(chain) = newest.filter(|chain| self.chains.last() == Some(chain)) else { return Vec::new() };
        self.levels.keys().filter(|id| id.chain_timestamp == chain).copied().collect()
    }

    pub fn has(&self, id: &LevelId, part: &str) -> bool {
        self.levels.get(id).is_some_and(|parts| parts.contains_key(part))
    }

    /// The newest level that has a manifest.
    pub fn newest_committed(&self) -> Option<LevelId> {
        let with_manifest = self.levels.keys().filter(|id| self.has(id, MANIFEST));
        with_manifest.max_by_key(|id| id.timestamp).copied()
    }

    /// A level whose manifest is there, whole; `None` when it is not, or is damaged. It is not fetched when this machine has what is
    /// listed.
    pub async fn committed(
        &self,
        store: &Arc<dyn Store>,
        hbn: &Hbn,
        id: LevelId,
    ) -> Result<Option<Level>, VaultError> {
        if let Some(level) = self.first.get().filter(|level| level.id == id) {
            return Ok(Some(level.clone()));
        }
        let level = match self.recalled(hbn, id).await {
            Some(level) => Some(level),
            None => read_committed(store, hbn, id).await?,
        };
        if let Some(level) = &level {
            let _ = self.first.set(level.clone());
        }
        Ok(level)
    }

    /// The manifest that was read first: it may be long, and who has planned needs it no more.
    pub fn forget(&mut self) {
        self.first = OnceLock::new();
    }

    async fn recalled(&self, hbn: &Hbn, id: LevelId) -> Option<Level> {
        let listed = self.levels.get(&id)?.get(MANIFEST)?;
        let (memory, size_bytes) = (self.memory.as_ref()?, listed.size_bytes);
        let body = match (&listed.tag, &listed.stamp) {
            (Some(tag), _) => memory.recall(size_bytes, tag).await?,
            (None, Some(stamp)) => memory.recall_stamped(size_bytes, stamp).await?,
            (None, None) => return None,
        };
        committed(&body, hbn, id)
    }

    /// Whether the payload is there with the recorded sizes. A listing that lags behind says no.
    pub fn has_payload(&self, level: &Level) -> bool {
        let Some((manifest, parts)) = level.manifest().zip(self.levels.get(&level.id)) else { return false };
        let is_there =
            |(object, size): (&str, u64)| parts.get(object).is_some_and(|part| part.size_bytes == size);
        payload_objects(manifest).into_iter().all(is_there)
    }

    /// One hash over everything that is listed of these levels: the same again means the same objects with the same content, in
    /// stores of files the same manifests and all else in the same size, which is all that is looked at without it. `None` where the
    /// listing does not tell that.
    pub fn listing_sha256(&self, levels: &[LevelId]) -> Option<String> {
        let mut hash = Sha256::new();
        for id in levels {
            hash.update(format!("{}_{}\n", id.level, id.timestamp));
            let parts = self.levels.get(id).filter(|parts| !parts.is_empty())?;
            if !self.tells_content && !parts.contains_key(MANIFEST) {
                return None;
            }
            for (name, part) in parts {
                let told = self.told_of(name, part)?;
                hash.update(format!("{name}\0{}\0{told}\n", part.size_bytes));
            }
        }
        Some(hex::encode(hash.finalize()))
    }

    /// What is another one when the content of an object that matters is.
    fn told_of(&self, name: &str, part: &Part) -> Option<String> {
        if self.tells_content {
            return part.tag.clone();
        }
        if name != MANIFEST {
            return Some(String::new());
        }
        let server_secs = self.server_secs?;
        let settled = part.stamp.as_ref().filter(|stamp| stamp.is_settled_at(server_secs));
        settled.map(|stamp| format!("stamp {stamp}"))
    }
}

/// Whether a folder of an HBN need not be entered. `newest` is the newest chain that was seen so far: all are before the first level.
fn is_of_no_matter(name: &str, newest: &AtomicI64) -> bool {
    let Some((first, rest)) = name.split_once('/') else {
        return match parse_timestamp(name) {
            Some(chain) => {
                newest.fetch_max(chain, Ordering::Relaxed);
                false
            }
            None => name != LOCKS,
        };
    };
    match parse_timestamp(first) {
        // Within a level that was entered.
        Some(_) if rest.contains('/') => false,
        Some(chain) => chain < newest.load(Ordering::Relaxed) || LevelId::parse(chain, rest).is_none(),
        None => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(name: &str, size_bytes: u64, tag: Option<&str>, modified_secs: Option<i64>) -> Entry {
        Entry {
            name: name.into(),
            is_folder: false,
            size_bytes,
            tag: tag.map(str::to_owned),
            stamp: modified_secs.map(|modified_secs| Stamp { modified_secs, more: String::new() }),
        }
    }

    #[test]
    fn only_what_is_of_this_name_counts() {
        let entry = |name: &str| listed(name, 7, None, None);
        let names = [
            "10/0_10/data",
            "10/0_10/manifest",
            "10/1_20/segments/00000000",
            "10/x/0_99/data",
            "10/0_99",
            "other/30/0_30/data",
            "010/0_40/data",
            "locks/abc",
            "locks/50/0_50/data",
        ];
        let folder = ObjectName::new("data/tar/h_n").unwrap();
        let tree = Tree::parse(&folder, &names.map(entry)).unwrap();
        let id = |level, timestamp| LevelId { chain_timestamp: 10, timestamp, level };
        assert_eq!(tree.newest_chain(), [id(0, 10), id(1, 20)]);
        assert_eq!(tree.greatest_timestamp(), Some(20));
        assert_eq!(tree.locks, [ObjectName::new("data/tar/h_n/locks/abc").unwrap()]);
        assert!(tree.has(&id(0, 10), "manifest") && !tree.has(&id(1, 20), "manifest"));
    }

    #[test]
    fn levels_of_older_chains_are_not_entered() {
        let newest = AtomicI64::new(i64::MIN);
        let entered = |names: &[&str]| -> Vec<bool> {
            names.iter().map(|name| !is_of_no_matter(name, &newest)).collect()
        };
        assert_eq!(
            entered(&["10", "30", "20", "locks", "holds", "more"]),
            [true, true, true, true, false, false]
        );
        assert_eq!(
            entered(&["10/0_10", "30/0_30", "30/1_40", "20/x", "30/x"]),
            [false, true, true, false, false]
        );
        assert_eq!(entered(&["30/0_30/segments", "locks/50"]), [true, false]);

        // Their names count all the same.
        let entry = |name: &str, is_folder| Entry { is_folder, ..listed(name, 0, None, None) };
        let folder = ObjectName::new("data/tar/h_n").unwrap();
        let chains = [entry("10/0_10", true), entry("30/0_30/manifest", false), entry("10/1_40", true)];
        let tree = Tree::parse(&folder, &chains).unwrap();
        assert_eq!(tree.greatest_timestamp(), Some(40));
        assert!(tree.newest_chain().is_empty(), "the newest level is of an older chain");
        let tree = Tree::parse(&folder, &chains[..2]).unwrap();
        assert_eq!(tree.newest_chain(), [LevelId { chain_timestamp: 30, timestamp: 30, level: 0 }]);
    }

    #[test]
    fn one_hash_for_what_is_listed() {
        let entry = |name: &str, size_bytes: u64, tag: Option<&str>| listed(name, size_bytes, tag, None);
        let folder = ObjectName::new("data/tar/h_n").unwrap();
        let id = |level, timestamp| LevelId { chain_timestamp: 10, timestamp, level };
        let both = [id(1, 20), id(0, 10)];
        let of = |entries: &[Entry]| Tree::parse(&folder, entries).unwrap().listing_sha256(&both);
        let data = || entry("10/0_10/data", 7, Some("a"));
        let above = || entry("10/1_20/data", 7, Some("b"));
        let usual = of(&[data(), above()]);
        assert!(usual.is_some());
        assert_eq!(
            of(&[data(), above(), entry("10/2_30/data", 1, None)]),
            usual,
            "of others nothing matters"
        );
        for other in [
            vec![entry("10/0_10/data", 8, Some("a")), above()],
            vec![entry("10/0_10/data", 7, Some("c")), above()],
            vec![data(), above(), entry("10/0_10/more", 0, Some("d"))],
            vec![entry("10/0_10/atad", 7, Some("a")), above()],
        ] {
            assert!(of(&other).is_some_and(|hash| Some(hash) != usual), "{other:?}");
        }
        assert_eq!(of(&[data(), entry("10/1_20/data", 7, None)]), None, "without a tag nobody knows");
        assert_eq!(of(&[data()]), None, "a level that is not there");
    }

    #[test]
    fn stamps_count_when_they_are_past_for_the_server() {
        let entry = |name: &str, size_bytes, at: i64| listed(name, size_bytes, None, Some(at));
        let folder = ObjectName::new("data/tar/h_n").unwrap();
        let own = folder.join("locks/own").unwrap();
        let below = [LevelId { chain_timestamp: 10, timestamp: 10, level: 0 }];
        let of = |entries: &[Entry]| {
            let tree = Tree::parse(&folder, entries).unwrap().of_run(&own, None);
            tree.listing_sha256(&below)
        };
        let lock = || entry("locks/own", 1, 100);
        let (data, manifest) = (|at| entry("10/0_10/data", 7, at), |at| entry("10/0_10/manifest", 9, at));
        let usual = of(&[data(90), lock(), manifest(90)]);
        assert!(usual.is_some());
        assert_eq!(of(&[data(99), lock(), manifest(90)]), usual, "it is its size that is looked at");
        assert_eq!(of(&[data(90), entry("locks/own", 1, 200), manifest(90)]), usual, "it stays past");
        for other in [
            vec![data(90), lock(), manifest(91)],
            vec![data(90), lock(), entry("10/0_10/manifest", 8, 90)],
            vec![entry("10/0_10/data", 6, 90), lock(), manifest(90)],
            vec![lock(), manifest(90)],
        ] {
            assert!(of(&other).is_some_and(|hash| Some(hash) != usual), "{other:?}");
        }
        assert!(of(&[data(90), lock(), manifest(96)]).is_some());
        for nothing in [
            vec![data(90), lock(), manifest(97)],
            vec![data(90), lock(), manifest(101)],
            vec![data(90), lock(), listed("10/0_10/manifest", 9, None, None)],
            vec![data(90), listed("locks/own", 1, None, None), manifest(90)],
            vec![data(90), entry("locks/other", 1, 100), manifest(90)],
            vec![data(90), lock()],
        ] {
            assert_eq!(of(&nothing), None, "{nothing:?}");
        }
    }

    #[test]
    fn a_new_level_of_an_old_chain_is_no_newest_chain() {
        let entry = |name: &str| listed(name, 7, None, None);
        let folder = ObjectName::new("data/tar/h_n").unwrap();
        let tree = Tree::parse(&folder, &["10/1_30/data", "20/0_20/data"].map(entry)).unwrap();
        assert!(tree.newest_chain().is_empty());
    }
}
