//! Putting one object that is not a directory into the archive.

use super::content::{OpenFile, Refusal};
use super::member::{self, Head};
use super::prefetch::{Answer, SmallFile};
use super::scan::Changed;
use super::walk::join;
use super::{FirstName, Writer};
use crate::tar::attributes::{Attributes, Holder};
use crate::tar::facts::{Facts, Kind};
use crate::tar::index::Place;
use crate::tar::{MemberForm, ProblemKind, TarError};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, readlinkat, statat};
use rustix::io::Errno;

const CHUNK: usize = 1024 * 1024;
/// Cached pages are given back in pieces of this size.
const DROP_BYTES: u64 = 8 * 1024 * 1024;

impl Writer<'_> {
    /// A small file that a reader thread has read.
    pub(super) fn store_small(
        &mut self,
        dir: &OwnedFd,
        parent: &[u8],
        file: Changed,
        answer: Answer,
    ) -> Result<(), TarError> {
        self.check_cancelled()?;
        let path = join(parent, &file.name);
        let small = match answer {
            Ok(small) => small,
            Err(refusal) => {
                self.refused(&path, file.place, refusal);
                return Ok(());
            }
        };
        let SmallFile { facts, after, attributes, data: Some(data), failure } = small else {
            // It has grown out of what is read ahead.
            return self.store_other(dir, parent, file);
        };
        self.watch.on_file(&path);
        let name = member_name(&path);
        let attributes = self.checked(attributes, &path);
        self.head(&Head { attributes: Some(&attributes), ..plain(&name, &facts, b'0', facts.size) })?;
        self.out.write(&data)?;
        self.count(data.len() as u64);
        self.out.zeros(facts.size.saturating_sub(data.len() as u64))?;
        self.out.pad()?;
        if let Some(error) = failure {
            self.index.retry(file.place);
            self.problems.add(&path, ProblemKind::Unreadable, error);
        } else {
            self.compare(&path, file.place, &facts, &after, data.len() as u64);
        }
        Ok(())
    }

    /// Anything that was not read ahead.
    pub(super) fn store_other(
        &mut self,
        dir: &OwnedFd,
        parent: &[u8],
        file: Changed,
    ) -> Result<(), TarError> {
        self.check_cancelled()?;
        let path = join(parent, &file.name);
        self.watch.on_file(&path);
        let follow = self.source.dereference.soft() && file.kind != Kind::Symlink;
        let flags = if follow { AtFlags::empty() } else { AtFlags::SYMLINK_NOFOLLOW };
        let facts = match statat(dir, &*file.name, flags) {
            Ok(stat) => Facts::new(&stat).filter(|facts| facts.kind == file.kind).ok_or(Refusal::OtherKind),
            Err(error) => Err(Refusal::Failed(error)),
        };
        let facts = match facts {
            Ok(facts) => facts,
            Err(refusal) => {
                self.refused(&path, file.place, refusal);
                return Ok(());
            }
        };
        let name = member_name(&path);
        if self.link_to_first_name(&name, &facts)? {
            return Ok(());
        }
        let stored = match facts.kind {
            Kind::File => match OpenFile::open(dir, &file.name, follow) {
                Ok(open) => self.store_large(open, &path, &name, file.place)?,
                Err(refusal) => {
                    self.refused(&path, file.place, refusal);
                    false
                }
            },
            _ => self.store_special(dir, &file, &path, &name, &facts)?,
        };
        if stored && facts.links > 1 && !self.source.dereference.hard() {
            let awaited = facts.links - 1;
            self.links.insert((facts.dev, facts.ino), FirstName { member: name, awaited });
        }
        Ok(())
    }

    /// Stores another name of a file that is in the archive already.
    fn link_to_first_name(&mut self, name: &[u8], facts: &Facts) -> Result<bool, TarError> {
        let identity = (facts.dev, facts.ino);
        let Some(first) = self.links.get_mut(&identity).filter(|_| facts.links > 1) else { return Ok(false) };
        first.awaited = first.awaited.saturating_sub(1);
        let last = first.awaited == 0;
        let target = first.member.clone();
        if last {
            self.links.remove(&identity);
        }
        self.head(&Head { link: &target, ..plain(name, facts, b'1', 0) })?;
        Ok(true)
    }

    /// A symbolic link, fifo or device.
    fn store_special(
        &mut self,
        dir: &OwnedFd,
        file: &Changed,
        path: &[u8],
        name: &[u8],
        facts: &Facts,
    ) -> Result<bool, TarError> {
        let target = if facts.kind == Kind::Symlink {
            match readlinkat(dir, &*file.name, Vec::new()) {
                Ok(target) => target.into_bytes(),
                Err(Errno::INVAL) => {
                    self.refused(path, file.place, Refusal::OtherKind);
                    return Ok(false);
                }
                Err(error) => {
                    self.refused(path, file.place, error.into());
                    return Ok(false);
                }
            }
        } else {
            Vec::new()
        };
        let attributes = self.checked(Holder::at(dir, &file.name).read(), path);
        let typeflag = member::typeflag(facts.kind);
        self.head(&Head { link: &target, attributes: Some(&attributes), ..plain(name, facts, typeflag, 0) })?;
        Ok(true)
    }

    /// A file of any size, read here. True when its content is in the archive, whole as far as it was readable.
    pub(super) fn store_large(
        &mut self,
        mut file: OpenFile,
        path: &[u8],
        name: &[u8],
        place: Place,
    ) -> Result<bool, TarError> {
        let facts = file.facts;
        let attributes = self.checked(file.attributes(), path);
        let map = file.holes();
        let blocks = map.as_deref().map(member::sparse_map).unwrap_or_default();
        let regions = map.as_deref().map_or_else(|| vec![(0, facts.size)], <[_]>::to_vec);
        let stored = blocks.len() as u64 + regions.iter().map(|(_, length)| length).sum::<u64>();
        let sparse = map.is_some();
        self.head(&Head { attributes: Some(&attributes), sparse, ..plain(name, &facts, b'0', stored) })?;
        self.out.write(&blocks)?;
        let mut outcome = Outcome::default();
        for (offset, length) in regions {
            self.copy(&mut file, offset, length, &mut outcome)?;
        }
        self.out.pad()?;
        if let Some(error) = outcome.failure {
            self.index.retry(place);
            let reason = format!("{error}; filled with zeros from byte {}", outcome.read_to);
            self.problems.add(path, ProblemKind::Unreadable, reason);
        } else {
            let read_to = if outcome.short { outcome.read_to } else { facts.size };
            self.compare(path, place, &facts, &file.facts_now(), read_to);
        }
        Ok(true)
    }

    /// Copies a region; what cannot be read is filled with zeros, so that the archive stays valid.
    fn copy(
        &mut self,
        file: &mut OpenFile,
        offset: u64,
        length: u64,
        outcome: &mut Outcome,
    ) -> Result<(), TarError> {
        let mut done = 0;
        let mut dropped = 0;
        while done < length && outcome.failure.is_none() && !outcome.short {
            self.check_cancelled()?;
            let wanted = usize::try_from(length - done).unwrap_or(CHUNK).min(CHUNK);
            let mut buffer = std::mem::take(&mut self.buffer);
            buffer.resize(CHUNK, 0);
            let chunk = buffer.get_mut(..wanted).unwrap_or_default();
            match file.fill(chunk, offset + done) {
                Ok(filled) => {
                    outcome.short = filled < wanted;
                    self.out.write(chunk.get(..filled).unwrap_or_default())?;
                    done += filled as u64;
                    outcome.read_to = offset + done;
                    self.count(filled as u64);
                }
                Err(error) => outcome.failure = Some(error),
            }
            self.buffer = buffer;
            if done - dropped >= DROP_BYTES {
                file.drop_cache(offset + dropped, done - dropped);
                dropped = done;
            }
        }
        file.drop_cache(offset + dropped, done - dropped);
        self.out.zeros(length - done)
    }

    fn head(&mut self, head: &Head<'_>) -> Result<(), TarError> {
        let mut blocks = Vec::with_capacity(2048);
        member::encode(&mut blocks, head, &mut self.owners);
        self.members += 1;
        let path = head.name.strip_prefix(b"./").unwrap_or(head.name);
        self.watch.on_member(path, MemberForm::of(head.typeflag), self.out.written());
        self.out.write(&blocks)
    }

    fn count(&mut self, bytes: u64) {
        self.content_bytes += bytes;
        self.watch.on_bytes(bytes);
    }

    /// Reports attributes that could not be read, and takes the rest.
    pub(super) fn checked(&mut self, mut attributes: Attributes, path: &[u8]) -> Attributes {
        if let Some(failure) = attributes.failure.take() {
            self.problems.add(path, ProblemKind::Metadata, failure);
        }
        attributes
    }

    /// Reports a file that did not hold still. The next level sees other facts than those in the index, or is
    /// told to try again.
    fn compare(&mut self, path: &[u8], place: Place, before: &Facts, after: &Facts, read_to: u64) {
        let (kind, reason) = if read_to < before.size || after.size < before.size {
            (ProblemKind::Shrunk, format!("{} bytes became {read_to} while it was read", before.size))
        } else if after.size > before.size {
            (ProblemKind::Grew, format!("{} bytes became {} while it was read", before.size, after.size))
        } else if !before.same_content(after) {
            (ProblemKind::Changed, "it changed while it was read".to_owned())
        } else {
            return;
        };
        self.index.retry(place);
        self.problems.add(path, kind, reason);
    }
}

/// How reading went.
#[derive(Debug, Default)]
struct Outcome {
    /// The end of the last piece read.
    read_to: u64,
    /// The file ended too early.
    short: bool,
    failure: Option<Errno>,
}

fn plain<'a>(name: &'a [u8], facts: &'a Facts, typeflag: u8, stored: u64) -> Head<'a> {
    Head { name, link: b"", typeflag, facts, stored, attributes: None, sparse: false }
}

fn member_name(path: &[u8]) -> Vec<u8> {
    [b"./", path].concat()
}
