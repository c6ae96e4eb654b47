//! Where the objects of a container are in its image. Those that have not changed stay at their places.

use crate::openstack::swift::objects::{Facts, Listed};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    #[serde(flatten)]
    pub listed: Listed,
    #[serde(flatten)]
    pub facts: Facts,
    /// Offset in the image.
    pub at: u64,
}

impl Entry {
    pub fn end(&self) -> u64 {
        self.at.saturating_add(self.facts.bytes)
    }
}

/// By place.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Layout {
    pub entries: Vec<Entry>,
}

/// A part of the image that is new.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    Object(Entry),
    Zeros { at: u64, bytes: u64 },
}

impl Change {
    pub fn at(&self) -> u64 {
        match self {
            Self::Object(entry) => entry.at,
            Self::Zeros { at, .. } => *at,
        }
    }
}

impl Layout {
    /// From the document of a level. What cannot be read is no layout: then all is new.
    pub fn read(document: &Value) -> Self {
        let entries = document.get("objects").cloned().unwrap_or_default();
        let mut entries: Vec<Entry> = serde_json::from_value(entries).unwrap_or_default();
        entries.sort_by_key(|entry| entry.at);
        Self { entries }
    }

    /// Bytes of the image.
    pub fn size(&self) -> u64 {
        self.entries.iter().map(Entry::end).max().unwrap_or_default()
    }

    /// What of `listed` is as it was, and what is not.
    pub fn compare(self, listed: Vec<Listed>) -> (Self, Vec<Listed>) {
        let mut old: BTreeMap<String, Entry> =
            self.entries.into_iter().map(|entry| (entry.listed.name.clone(), entry)).collect();
        let (mut entries, mut fresh) = (Vec::new(), Vec::new());
        for row in listed {
            match old.remove(&row.name) {
                Some(entry) if entry.listed == row => entries.push(entry),
                _ => fresh.push(row),
            }
        }
        entries.sort_by_key(|entry| entry.at);
        (Self { entries }, fresh)
    }

    /// Gives places to `fresh`: the gaps in their order as far as they suffice, then the end. Answers the new layout and what
    /// is written, in ascending order.
    pub fn place(self, fresh: Vec<(Listed, Facts)>, old_size: u64) -> (Self, Vec<Change>) {
        let mut gaps = self.gaps(old_size).into_iter();
        let (mut entries, mut changes) = (self.entries, Vec::new());
        let mut end = entries.iter().map(Entry::end).max().unwrap_or_default().max(old_size);
        let mut gap = gaps.next();
        for (listed, facts) in fresh {
            let bytes = facts.bytes;
            while let Some((at, room)) = gap
                && room < bytes
            {
                changes.push(Change::Zeros { at, bytes: room });
                gap = gaps.next();
            }
            let at = match gap {
                Some((at, room)) => {
                    gap = (room > bytes).then_some((at + bytes, room - bytes)).or_else(|| gaps.next());
                    at
                }
                None => {
                    let at = end;
                    end = end.saturating_add(bytes);
                    at
                }
            };
            let entry = Entry { listed, facts, at };
            if bytes > 0 {
                changes.push(Change::Object(entry.clone()));
            }
            entries.push(entry);
        }
        let rest = gap.into_iter().chain(gaps);
        changes.extend(rest.map(|(at, bytes)| Change::Zeros { at, bytes }));
        entries.sort_by_key(|entry| entry.at);
        changes.sort_by_key(Change::at);
        (Self { entries }, changes)
    }

    /// Places below `size` where no object is, and their lengths.
    fn gaps(&self, size: u64) -> Vec<(u64, u64)> {
        let mut gaps = Vec::new();
        let mut reached = 0;
        for entry in &self.entries {
            if entry.at > reached {
                gaps.push((reached, entry.at - reached));
            }
            reached = reached.max(entry.end());
        }
        if size > reached {
            gaps.push((reached, size - reached));
        }
        gaps
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::{Map, json};

    fn listed(name: &str, hash: &str) -> Listed {
        Listed { name: name.into(), hash: hash.into(), last_modified: "t".into() }
    }
    fn facts(bytes: u64) -> Facts {
        Facts { bytes, etag: "e".into(), headers: Map::new(), is_list_of_parts: false }
    }
    fn first() -> Layout {
        let fresh = [("a", 10), ("b", 20), ("c", 5)].map(|(name, bytes)| (listed(name, "1"), facts(bytes)));
        Layout::default().place(fresh.to_vec(), 0).0
    }

    #[test]
    fn what_has_not_changed_is_not_read_and_stays() {
        let old = Layout::read(&json!({"objects": first().entries}));
        assert_eq!(old.size(), 35);
        let (kept, fresh) = old.compare(["a", "b", "c"].map(|name| listed(name, "1")).to_vec());
        assert!(fresh.is_empty());
        assert_eq!(kept.place(Vec::new(), 35).1, []);
    }

    #[test]
    fn places_that_became_free_are_used_again() {
        // b is gone, c is another, d and e are new.
        let rows = [listed("a", "1"), listed("c", "2"), listed("d", "1"), listed("e", "1")];
        let (kept, fresh) = first().compare(rows.to_vec());
        let sizes = BTreeMap::from([("c", 15), ("d", 50), ("e", 0)]);
        let fresh = fresh.into_iter().map(|row| (row.clone(), facts(sizes[row.name.as_str()]))).collect();
        let (layout, changes) = kept.place(fresh, 35);
        let place = |name: &str| layout.entries.iter().find(|entry| entry.listed.name == name).unwrap().at;
        assert_eq!((place("a"), place("c"), place("d")), (0, 10, 35));
        let said: Vec<(u64, bool)> =
            changes.iter().map(|change| (change.at(), matches!(change, Change::Object(_)))).collect();
        assert_eq!(said, [(10, true), (25, false), (35, true)]);
        let mut reached = 0;
        for entry in &layout.entries {
            assert!(entry.at >= reached, "objects overlap");
            reached = entry.end();
        }
    }
}
