//! Directories: making them, replaying their dumpdirs, and giving them their metadata when nothing in them will
//! change any more.

use super::Existing;
use super::extract::{Extractor, Target, safe_path, split, unsafe_member};
use super::member::Member;
use super::metadata::{Metadata, Stale};
use super::remove::remove;
use super::selection::{Part, is_within};
use crate::tar::descent::sorted_names;
use crate::tar::facts::{Facts, Kind};
use crate::tar::index::compare_paths;
use crate::tar::{ProblemKind, TarError};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Mode, fstat, mkdirat, renameat, statat, unlinkat};
use rustix::io::Errno;
use std::collections::BTreeMap;

/// A directory that waits for its metadata.
pub(super) struct Pending {
    path: Vec<u8>,
    metadata: Metadata,
}

impl Extractor<'_> {
    pub(super) fn directory(&mut self, mut member: Member, path: Vec<u8>) -> Result<(), TarError> {
        let dumpdir = member.dumpdir.take().filter(|_| self.options.incremental);
        let existed = match self.make_directory(&path) {
            Ok(Some(existed)) => existed,
            Ok(None) => return Ok(()),
            Err(Obstacle::Fatal(error)) => return Err(error),
            Err(Obstacle::Disk(errno)) => return self.failed(&member, &path, errno),
        };
        if let Some(dumpdir) = dumpdir {
            self.rename_directories(&member, &path, &dumpdir)?;
            self.purge(&path, &dumpdir);
        }
        if !(existed && self.options.existing == Existing::Keep && !self.ledger.owns(&path)) {
            // The later word about the same directory counts.
            if self.pending.last().is_some_and(|last| last.path == path) {
                self.pending.pop();
            }
            self.pending.push(Pending { path, metadata: Metadata::new(member) });
        }
        Ok(())
    }

    /// Whether it existed; `None` if something is in its way and stays there.
    fn make_directory(&mut self, path: &[u8]) -> Result<Option<bool>, Obstacle> {
        if path.is_empty() {
            return Ok(Some(true));
        }
        let target = self.target(path.to_vec())?;
        let Target { parent, name, .. } = &target;
        let found = match statat(parent, name.as_slice(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Facts::new(&stat),
            Err(Errno::NOENT) => None,
            Err(error) => return Err(error.into()),
        };
        match found {
            Some(facts) if facts.kind == Kind::Directory => {
                self.open_up(path, &facts);
                return Ok(Some(true));
            }
            Some(_) => {
                if !self.may_write(&target, None).map_err(Obstacle::Fatal)? {
                    return Ok(None);
                }
                self.ledger.announce(path);
                unlinkat(parent, name.as_slice(), AtFlags::empty())?;
            }
            None => self.ledger.announce(path),
        }
        mkdirat(parent, name.as_slice(), Mode::RWXU)?;
        Ok(Some(false))
    }

    /// An ordinary user could not write into his own read-only directory.
    fn open_up(&mut self, path: &[u8], facts: &Facts) {
        if facts.mode & 0o700 != 0o700
            && !rustix::process::geteuid().is_root()
            && let Ok(target) = self.target(path.to_vec())
        {
            let mode = Mode::from_raw_mode(facts.mode | 0o700);
            // If this fails, writing says why.
            let _ = rustix::fs::chmodat(&target.parent, target.name.as_slice(), mode, AtFlags::empty());
        }
    }

    /// Deletes what the dumpdir does not list, or lists as something else; notices what is missing.
    fn purge(&mut self, path: &[u8], dumpdir: &[(u8, Vec<u8>)]) {
        let listing =
            self.descent.go(path).and_then(|dir| Ok((sorted_names(&dir)?, fstat(&dir)?.st_dev, dir)));
        let (names, dev, dir) = match listing {
            Ok(listing) => listing,
            Err(errno) => return self.problems.add(path, ProblemKind::Undeleted, errno),
        };
        let mut listed: BTreeMap<&[u8], u8> = BTreeMap::new();
        let wanted = |name: &[u8]| self.options.only.part(&below(path, name)) != Part::Nothing;
        for (code, name) in dumpdir.iter().filter(|(code, _)| matches!(code, b'Y' | b'N' | b'D')) {
            if !wanted(name) {
                continue;
            }
            listed.insert(name, *code);
        }
        for name in names {
            let code = listed.remove(&*name);
            if self.is_right(&dir, dev, &name, code) {
                continue;
            }
            self.ledger.announce(&below(path, &name));
            match remove(&dir, &name) {
                Ok(count) => {
                    self.restored.deleted += count;
                    self.links.reset();
                }
                Err(errno) => {
                    let below = below(path, &name);
                    self.problems.add(&below, ProblemKind::Undeleted, errno);
                }
            }
        }
        for (name, _) in listed.into_iter().filter(|(_, code)| *code == b'N') {
            let reason = "unchanged since a level that was not restored here";
            self.problems.add(&below(path, name), ProblemKind::Missing, reason);
        }
    }

    /// Whether what is there may stay until it is replaced.
    fn is_right(&self, dir: &OwnedFd, dev: u64, name: &[u8], code: Option<u8>) -> bool {
        let Ok(stat) = statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) else { return true };
        let Some(facts) = Facts::new(&stat) else { return true };
        match code {
            // No archive holds sockets, so none of them can tell that one is gone.
            None => facts.kind == Kind::Socket || (facts.kind == Kind::Directory && facts.dev != dev),
            Some(b'D') => facts.kind == Kind::Directory,
            Some(b'Y') => facts.kind != Kind::Directory,
            Some(_) => true,
        }
    }

    /// Replays GNU tar's renames: `R` source, `T` target; `X` announces a directory for a temporary name that is
    /// then written as an empty one.
    fn rename_directories(
        &mut self,
        member: &Member,
        path: &[u8],
        dumpdir: &[(u8, Vec<u8>)],
    ) -> Result<(), TarError> {
        let mut renames: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        let mut temporary = below(path, &self.temporary_name());
        let mut source = None;
        for (code, name) in dumpdir {
            let safe = |name: &[u8]| safe_path(name).map_err(|reason| unsafe_member(member, reason));
            match code {
                b'X' => temporary = below(&safe(name)?, &self.temporary_name()),
                b'R' => source = Some(if name.is_empty() { temporary.clone() } else { safe(name)? }),
                b'T' => {
                    let to = if name.is_empty() { temporary.clone() } else { safe(name)? };
                    let from = source.take().filter(|from| !from.is_empty() && !to.is_empty());
                    let from =
                        from.ok_or_else(|| unsafe_member(member, "a rename without source or target"))?;
                    renames.push((from, to));
                }
                _ => {}
            }
        }
        self.refuse_half_renames(&renames)?;
        // GNU tar names some renames twice.
        let mut done: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        while !renames.is_empty() {
            let next = self.first_possible(&renames);
            let pair = renames.remove(next);
            if !done.contains(&pair) {
                let source = self.present_name(&pair.0, &renames);
                self.rename_directory(member, &source, &pair.1)?;
                done.push(pair);
            }
        }
        Ok(())
    }

    /// A folder that comes from outside of what is wanted was not restored by the levels below.
    fn refuse_half_renames(&self, renames: &[(Vec<u8>, Vec<u8>)]) -> Result<(), TarError> {
        let only = &self.options.only;
        let is_half = |(from, to): &&(Vec<u8>, Vec<u8>)| {
            let parts = (only.part(from), only.part(to));
            parts != (Part::All, Part::All) && parts != (Part::Nothing, Part::Nothing)
        };
        match renames.iter().find(is_half) {
            Some((from, to)) => Err(TarError::Renamed {
                from: from.escape_ascii().to_string(),
                to: to.escape_ascii().to_string(),
            }),
            None => Ok(()),
        }
    }

    /// GNU tar does not always give renames in an order that works: a target that is still in use as the source
    /// of a later rename has to be moved away first.
    fn first_possible(&mut self, renames: &[(Vec<u8>, Vec<u8>)]) -> usize {
        let mut at = 0;
        for _ in 0..renames.len() {
            let Some((_, target)) = renames.get(at) else { return 0 };
            if !self.exists(target) {
                return at;
            }
            let blocking = renames.iter().position(|(source, _)| source == target);
            match blocking {
                Some(next) if next != at => at = next,
                _ => return at,
            }
        }
        at
    }

    /// GNU tar may name a source by what it will be called after a rename that comes later.
    fn present_name(&mut self, source: &[u8], later: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
        if !self.exists(source) {
            for (from, to) in later.iter().filter(|(_, to)| is_within(source, to)) {
                let rest = source.get(to.len()..).unwrap_or_default();
                let name = [from.as_slice(), rest].concat();
                if self.exists(&name) {
                    return name;
                }
            }
        }
        source.to_vec()
    }

    fn exists(&mut self, path: &[u8]) -> bool {
        let (parent, name) = split(path);
        self.links.go(parent).is_ok_and(|dir| statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW).is_ok())
    }

    fn rename_directory(&mut self, member: &Member, from: &[u8], to: &[u8]) -> Result<(), TarError> {
        let (from_parent, from_name) = split(from);
        let (to_parent, to_name) = split(to);
        if !self.exists(from) {
            // Its content comes as new members, or is reported missing one by one.
            return Ok(());
        }
        let aside = self.temporary_name();
        let renamed = self.links.go(from_parent).and_then(|from_dir| {
            let to_dir = self.descent.go_with(to_parent, &mut |dir, name| mkdirat(dir, name, Mode::RWXU))?;
            if statat(&to_dir, to_name, AtFlags::SYMLINK_NOFOLLOW).is_err() {
                return renameat(&from_dir, from_name, &to_dir, to_name);
            }
            // What is in the way may hold the source, so that goes aside first.
            renameat(&from_dir, from_name, &to_dir, aside.as_slice())?;
            match remove(&to_dir, to_name) {
                Ok(count) => self.restored.deleted += count,
                Err(errno) => {
                    // Back to where it was, if that is still there.
                    let _ = renameat(&to_dir, aside.as_slice(), &from_dir, from_name);
                    return Err(errno);
                }
            }
            renameat(&to_dir, aside.as_slice(), &to_dir, to_name)
        });
        self.descent.reset();
        self.links.reset();
        match renamed {
            Ok(()) => Ok(()),
            Err(errno) => self.failed(member, to, errno),
        }
    }

    /// Sets the metadata of waiting directories, deepest first: all, or those that `next` is not below.
    pub(super) fn finish_directories(&mut self, next: Option<&[u8]>) {
        if next.is_none() {
            // Of several words about one directory the last one is set last.
            self.pending.reverse();
            self.pending.sort_by(|left, right| compare_paths(&left.path, &right.path));
        }
        while let Some(last) = self.pending.last() {
            if next.is_some_and(|next| is_within(next, &last.path)) {
                return;
            }
            let Some(Pending { path, metadata }) = self.pending.pop() else { return };
            let stale = if self.promised { Stale::Directory } else { Stale::None };
            match self.descent.go(&path) {
                Ok(dir) => {
                    if let Some(reason) = metadata.apply_open(&dir, self.options, &mut self.owners, stale) {
                        self.problems.add(&path, ProblemKind::Metadata, reason);
                    }
                }
                Err(errno) => self.problems.add(&path, ProblemKind::Metadata, errno),
            }
        }
    }
}

/// Why a directory could not be made.
enum Obstacle {
    Fatal(TarError),
    Disk(Errno),
}

impl From<Errno> for Obstacle {
    fn from(errno: Errno) -> Self {
        Self::Disk(errno)
    }
}

fn below(path: &[u8], name: &[u8]) -> Vec<u8> {
    if path.is_empty() { name.to_vec() } else { [path, b"/", name].concat() }
}
