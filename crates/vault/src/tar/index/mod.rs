//! What one level saw of the tree: the base that decides what the next level has to save.
//!
//! Rows (directories) are sorted so that a parent comes before its children; the entries of all rows lie in one
//! byte string, because ten million entries must fit into memory. Paths are relative to the root without a
//! leading `./`; the root is the empty path. Says nothing about owners and modes: a change of those changes the
//! entry's ctime, and the archive has them.

mod bytes;
mod entry;
mod snar;

pub(super) use entry::Entry;
pub use entry::Kept;

use super::facts::{Facts, Kind};
use super::{Stamp, TarError};
use std::cmp::Ordering;
use std::time::Duration;

/// The state of a tree at one level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    started_at: Stamp,
    /// The source was one file, not a directory.
    single: bool,
    rows: Vec<Row>,
    blob: Vec<u8>,
}

/// One directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub path: Box<[u8]>,
    pub dev: u64,
    pub ino: u64,
    pub mtime: Stamp,
    /// It lies on a network file system (SNAR wants to know).
    pub network: bool,
    /// Where its entries lie in the blob.
    start: usize,
    end: usize,
}

/// So close to the start of the level a change may hide behind an equal time stamp: kernels stamp files with a
/// clock that ticks every 1-10 ms, old file systems keep whole (FAT: even) seconds.
const FINE_CLOCK: Duration = Duration::from_millis(50);
const COARSE_CLOCK: Duration = Duration::from_secs(2);

/// The entries of one directory. Whoever asks for each of a million must not read all before it each time.
pub struct KnownFolder<'a> {
    entries: &'a [u8],
    /// Where every so many-th entry lies.
    marks: Vec<usize>,
}

const ENTRIES_A_MARK: usize = 64;

impl KnownFolder<'_> {
    pub fn find(&self, name: &[u8]) -> Option<Kept> {
        let from = |at: usize| {
            let mut rest = self.entries.get(at..).unwrap_or_default();
            std::iter::from_fn(move || Entry::decode(&mut rest))
        };
        let after = self.marks.partition_point(|&at| from(at).next().is_some_and(|entry| entry.name <= name));
        let start = *self.marks.get(after.checked_sub(1)?)?;
        let found = from(start).find(|entry| entry.name >= name)?;
        (found.name == name).then(|| found.kept())
    }
}

/// Orders paths by component: `a` < `a/b` < `a.b`.
pub(super) fn compare_paths(left: &[u8], right: &[u8]) -> Ordering {
    left.iter()
        .map(|&byte| if byte == b'/' { 0 } else { byte })
        .cmp(right.iter().map(|&byte| if byte == b'/' { 0 } else { byte }))
}

impl Index {
    /// When the level began; files changed since then are saved again.
    pub fn started_at(&self) -> Stamp {
        self.started_at
    }

    /// Number of directories.
    pub fn directories(&self) -> usize {
        self.rows.len()
    }

    /// What the level knew about this path (relative to the root, no leading `./`). The root has no entry.
    pub fn find(&self, path: &[u8]) -> Option<Kept> {
        let slash = path.iter().rposition(|&byte| byte == b'/');
        let (parent, name) = match slash {
            Some(at) => (path.get(..at)?, path.get(at + 1..)?),
            None => (&b""[..], path),
        };
        self.folder(parent)?.find(name)
    }

    /// To look for many entries of one directory.
    pub fn folder(&self, path: &[u8]) -> Option<KnownFolder<'_>> {
        let row = self.row(path)?;
        let entries = self.blob.get(row.start..row.end)?;
        let (mut rest, mut marks) = (entries, Vec::new());
        while !rest.is_empty() {
            marks.push(entries.len() - rest.len());
            for _ in 0..ENTRIES_A_MARK {
                Entry::decode(&mut rest);
            }
        }
        Some(KnownFolder { entries, marks })
    }

    /// Shows every entry with its path, parents before children.
    pub fn for_each(&self, show: &mut dyn FnMut(&[u8], Kept)) {
        let mut path = Vec::new();
        for row in &self.rows {
            for entry in self.entries(row) {
                path.clear();
                path.extend_from_slice(&row.path);
                if !path.is_empty() {
                    path.push(b'/');
                }
                path.extend_from_slice(entry.name);
                show(&path, entry.kept());
            }
        }
    }

    pub(super) fn is_single(&self) -> bool {
        self.single
    }

    pub(super) fn row(&self, path: &[u8]) -> Option<&Row> {
        let at = self.rows.binary_search_by(|row| compare_paths(&row.path, path)).ok()?;
        self.rows.get(at)
    }

    /// The entries of a directory, sorted by name.
    pub(super) fn entries<'a>(&'a self, row: &Row) -> impl Iterator<Item = Entry<'a>> + use<'a> {
        let mut rest = self.blob.get(row.start..row.end).unwrap_or_default();
        std::iter::from_fn(move || Entry::decode(&mut rest))
    }

    /// Whether the archive of this level (or an earlier one) still holds the truth about an entry.
    /// `row` is the directory it was in; `dir_ino` is the inode of that directory now.
    pub(super) fn still_true(&self, row: &Row, entry: &Entry<'_>, dir_ino: u64, now: &Facts) -> bool {
        let clock = if now.ctime.nanos == 0 { COARSE_CLOCK } else { FINE_CLOCK };
        let horizon = self.started_at.earlier_by(clock);
        if entry.retry || now.ctime >= horizon || now.mtime >= horizon {
            return false;
        }
        if !entry.known {
            // From a SNAR: names only. A directory that was moved here brings files that were never saved here, and
            // directories of two file systems may have one number: all roots of ext4 are 2.
            return row.ino == dir_ino && row.dev == now.dev && entry.kind != Kind::Directory;
        }
        entry.kind == now.kind
            && entry.inode == now.ino
            && entry.size == now.size
            && entry.mtime == now.mtime
            && entry.ctime == now.ctime
    }

    fn check(self) -> Result<Self, TarError> {
        let damaged = || TarError::Index("its content is inconsistent".into());
        let mut last: Option<&[u8]> = None;
        for row in &self.rows {
            if last.is_some_and(|last| compare_paths(last, &row.path) != Ordering::Less) {
                return Err(damaged());
            }
            last = Some(&row.path);
            let mut rest = self.blob.get(row.start..row.end).ok_or_else(damaged)?;
            let mut last_name: Option<&[u8]> = None;
            while !rest.is_empty() {
                let entry = Entry::decode(&mut rest).ok_or_else(damaged)?;
                if last_name.is_some_and(|last| last >= entry.name) {
                    return Err(damaged());
                }
                last_name = Some(entry.name);
            }
        }
        Ok(self)
    }
}

/// Collects an index while a tree is walked; directories must come in order.
#[derive(Debug)]
pub(super) struct Builder {
    index: Index,
}

/// Where an entry was put, to mark it later.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place(usize);

impl Builder {
    pub fn new(started_at: Stamp, single: bool) -> Self {
        Self { index: Index { started_at, single, rows: Vec::new(), blob: Vec::new() } }
    }

    /// The entries added next belong to this directory.
    pub fn directory(&mut self, path: &[u8], facts: &Facts, network: bool) {
        let (start, end) = (self.index.blob.len(), self.index.blob.len());
        let path = path.into();
        let Facts { dev, ino, mtime, .. } = *facts;
        self.index.rows.push(Row { path, dev, ino, mtime, network, start, end });
    }

    /// Names must come sorted.
    pub fn add(&mut self, entry: &Entry<'_>) -> Place {
        let place = Place(self.index.blob.len());
        entry.encode(&mut self.index.blob);
        if let Some(row) = self.index.rows.last_mut() {
            row.end = self.index.blob.len();
        }
        place
    }

    /// The entry did not get into the archive whole: the next level has to try again.
    pub fn retry(&mut self, place: Place) {
        if let Some(flags) = self.index.blob.get_mut(place.0) {
            *flags |= entry::RETRY;
        }
    }

    pub fn finish(mut self) -> Index {
        self.index.blob.shrink_to_fit();
        self.index
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// All that a GNU snapshot has of a file is its name: roots of two file systems have one number, and trees made alike
    /// have files of one name in them.
    #[test]
    fn a_root_of_another_device_is_another_root() {
        let snapshot = b"GNU tar-1.34-2\n1700000000\x000\x000\x001\x000\x005\x002\x00.\x00Yfile\x00\0\0";
        let index = Index::from_snar(snapshot).unwrap();
        let row = index.row(b"").unwrap();
        let entry = index.entries(row).next().unwrap();
        let old = Stamp::new(1, 1);
        let file = |dev| Facts {
            kind: Kind::File,
            mode: 0o100_644,
            dev,
            ino: 12,
            links: 1,
            uid: 0,
            gid: 0,
            size: 1,
            allocated: 1,
            rdev: (0, 0),
            mtime: old,
            ctime: old,
        };
        assert!(index.still_true(row, &entry, 2, &file(5)));
        assert!(!index.still_true(row, &entry, 2, &file(6)));
        assert!(!index.still_true(row, &entry, 3, &file(5)));
    }
}
