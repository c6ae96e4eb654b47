//! Looking at one directory: what it holds, what of it must be stored.

use super::prefetch::SMALL_FILE;
use super::{FirstName, Writer};
use crate::tar::ProblemKind;
use crate::tar::descent::sorted_names;
use crate::tar::facts::{Facts, Kind};
use crate::tar::index::{Entry, Index, Place, Row};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, statat};
use rustix::io::{Errno, Result};
use std::iter::Peekable;

/// A directory looked at.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// Code and name, NUL, for each entry; without the final NUL.
    pub dumpdir: Vec<u8>,
    /// What is to be stored, sub-directories apart, by name.
    pub changed: Vec<Changed>,
    pub directories: Vec<Box<[u8]>>,
    /// Mount points that are kept as empty directories.
    pub mounts: Vec<(Box<[u8]>, Facts)>,
}

/// An entry that has to be stored.
#[derive(Debug)]
pub(super) struct Changed {
    pub name: Box<[u8]>,
    pub kind: Kind,
    pub size: u64,
    pub place: Place,
    /// May be read ahead: a small file with one name and no holes.
    pub simple: bool,
}

/// An index entry made of facts.
pub(super) fn entry<'n>(name: &'n [u8], facts: &Facts, saved_here: bool, retry: bool) -> Entry<'n> {
    Entry {
        name,
        kind: facts.kind,
        saved_here,
        linked: facts.links > 1 && facts.kind != Kind::Directory,
        known: true,
        retry,
        inode: facts.ino,
        size: facts.size,
        mtime: facts.mtime,
        ctime: facts.ctime,
    }
}

/// What the base knows about the directory: its row, and its entries in order.
struct Before<'b, I: Iterator<Item = Entry<'b>>> {
    base: &'b Index,
    row: &'b Row,
    entries: Peekable<I>,
}

impl<'b, I: Iterator<Item = Entry<'b>>> Before<'b, I> {
    /// Names must be asked in order.
    fn find(&mut self, name: &[u8]) -> Option<Entry<'b>> {
        while self.entries.next_if(|entry| entry.name < name).is_some() {}
        self.entries.next_if(|entry| entry.name == name)
    }
}

impl Writer<'_> {
    /// Lists and judges a directory, and gives it its row in the index. An error means that it is unreadable.
    pub(super) fn scan(&mut self, dir: &OwnedFd, path: &[u8], facts: &Facts) -> Result<Scan> {
        let names = sorted_names(dir)?;
        self.index.directory(path, facts, false);
        let mut before = self.base.and_then(|base| {
            let row = base.row(path)?;
            Some(Before { base, row, entries: base.entries(row).peekable() })
        });
        let mut scan = Scan::default();
        let mut full = path.to_vec();
        for name in names {
            full.truncate(path.len());
            if !path.is_empty() {
                full.push(b'/');
            }
            full.extend_from_slice(&name);
            if self.excludes.matches(&[b"./", full.as_slice()].concat()) {
                continue;
            }
            let now = self.look(dir, &name);
            let is_folder = matches!(&now, Ok(Some(now)) if now.kind == Kind::Directory);
            let is_place = || self.source.places.iter().any(|place| place.as_bytes() == full.as_slice());
            if self.source.rules.leave_out(&full, is_folder) || (is_folder && is_place()) {
                continue;
            }
            self.entries += 1;
            let old = before.as_mut().and_then(|before| before.find(&name));
            match now {
                Ok(Some(now)) => {
                    let same = before.as_ref().zip(old).is_some_and(|(before, old)| {
                        before.base.still_true(before.row, &old, facts.ino, &now)
                    });
                    self.judge(&mut scan, name, &full, &now, old, same);
                }
                // Gone since the names were read.
                Err(Errno::NOENT) => self.entries -= 1,
                refused => {
                    let reason =
                        refused.err().map_or("of unknown kind".to_owned(), |error| error.to_string());
                    self.problems.add(&full, ProblemKind::Unreadable, reason);
                    let unknown = Facts { kind: Kind::File, links: 1, ..*facts };
                    self.index.add(&entry(&name, &unknown, false, true));
                    list(&mut scan.dumpdir, b'N', &name);
                }
            }
        }
        Ok(scan)
    }

    fn look(&self, dir: &OwnedFd, name: &[u8]) -> Result<Option<Facts>> {
        if self.source.dereference.soft()
            && let Ok(stat) = statat(dir, name, AtFlags::empty())
        {
            return Ok(Facts::new(&stat));
        }
        // A link that leads nowhere is kept as a link.
        statat(dir, name, AtFlags::SYMLINK_NOFOLLOW).map(|stat| Facts::new(&stat))
    }

    /// Decides what happens to one entry.
    fn judge(
        &mut self,
        scan: &mut Scan,
        name: Box<[u8]>,
        path: &[u8],
        now: &Facts,
        old: Option<Entry<'_>>,
        same: bool,
    ) {
        let mounted = self.source.one_file_system && now.dev != self.root_dev;
        match now.kind {
            Kind::Directory => {
                self.index.add(&entry(&name, now, true, false));
                list(&mut scan.dumpdir, b'D', &name);
                if mounted {
                    self.problems.add(path, ProblemKind::SkippedMount, "another file system is mounted here");
                    scan.mounts.push((name, *now));
                } else {
                    scan.directories.push(name);
                }
            }
            // Not in the dumpdir: what it replaced must go at restore.
            Kind::Socket => {
                self.problems.add(path, ProblemKind::SkippedSocket, "a socket holds no data");
                self.index.add(&entry(&name, now, false, false));
            }
            _ if mounted => {
                self.problems.add(path, ProblemKind::SkippedMount, "it is mounted from another file system");
                self.index.add(&entry(&name, now, false, true));
            }
            // A directory that was renamed brings a new name of a file whose other name is unchanged.
            _ if same && !self.linked.contains(&(now.dev, now.ino)) => {
                self.keep_name(path, now);
                self.index.add(&entry(&name, now, false, false));
                list(&mut scan.dumpdir, b'N', &name);
            }
            kind => {
                let place = self.index.add(&entry(&name, now, true, false));
                // GNU tar writes a file into what is there: other names of it would change too, and so would a
                // device. What is not listed is deleted first.
                if old.is_none_or(|old| old.kind == kind && !(old.linked && kind == Kind::File)) {
                    list(&mut scan.dumpdir, b'Y', &name);
                }
                if now.links > 1 && !self.source.dereference.hard() {
                    self.linked.insert((now.dev, now.ino));
                }
                let small = now.size <= SMALL_FILE && (now.size < 4096 || now.allocated >= now.size);
                let simple = kind == Kind::File && now.links == 1 && small;
                scan.changed.push(Changed { name, kind, size: now.size, place, simple });
            }
        }
    }
}

impl Writer<'_> {
    /// An unchanged file may be the target of a new hard link.
    fn keep_name(&mut self, path: &[u8], now: &Facts) {
        if now.links > 1 && !self.source.dereference.hard() {
            let identity = (now.dev, now.ino);
            match self.links.get_mut(&identity) {
                Some(first) if first.awaited <= 1 => drop(self.links.remove(&identity)),
                Some(first) => first.awaited -= 1,
                None => {
                    let first = FirstName { member: [b"./", path].concat(), awaited: now.links - 1 };
                    self.links.insert(identity, first);
                }
            }
        }
    }
}

fn list(dumpdir: &mut Vec<u8>, code: u8, name: &[u8]) {
    dumpdir.push(code);
    dumpdir.extend_from_slice(name);
    dumpdir.push(0);
}
