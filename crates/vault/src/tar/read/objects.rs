//! Making files, links and special files: beside, then in place.

use super::extract::{Extractor, Target, safe_path, split, unsafe_member};
use super::ledger::{Mark, Placed};
use super::member::{Member, Members, Shape};
use super::metadata::{Metadata, Stale};
use super::remove::remove;
use super::selection::Part;
use crate::tar::facts::Kind;
use crate::tar::{ProblemKind, TarError};
use rustix::fd::OwnedFd;
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, ftruncate, linkat, makedev, mknodat, openat, renameat, statat,
    symlinkat, unlinkat,
};
use rustix::io::{Errno, pwrite};

const CHUNK: usize = 256 * 1024;

/// Why a file's content could not be written down.
enum Trouble {
    /// The archive, or the watch: this is the end.
    Fatal(TarError),
    Disk(Errno),
}

impl From<Errno> for Trouble {
    fn from(errno: Errno) -> Self {
        Self::Disk(errno)
    }
}

impl From<TarError> for Trouble {
    fn from(error: TarError) -> Self {
        Self::Fatal(error)
    }
}

impl Extractor<'_> {
    pub(super) fn file(
        &mut self,
        member: Member,
        target: &Target,
        members: &mut Members<'_>,
    ) -> Result<(), TarError> {
        if self.is_there(&member, target) {
            return Ok(());
        }
        let (temporary, fd) = match self.create(target) {
            Ok(created) => created,
            Err(errno) => return self.failed(&member, &target.path, errno),
        };
        let written = self.content(&member, &fd, members);
        let metadata = Metadata::new(member);
        let trouble = match written {
            Ok(()) => metadata.apply_open(&fd, self.options, &mut self.owners, Stale::File),
            Err(trouble) => {
                let _ = unlinkat(&target.parent, temporary.as_slice(), AtFlags::empty());
                return match trouble {
                    Trouble::Fatal(error) => Err(error),
                    Trouble::Disk(errno) => self.failed(metadata.member(), &target.path, errno),
                };
            }
        };
        drop(fd);
        self.put_in_place(metadata.member(), target, &temporary, trouble)
    }

    /// An earlier run has left the file here, and nobody has touched it since.
    fn is_there(&mut self, member: &Member, target: &Target) -> bool {
        if !self.ledger.expects(&target.path) {
            return false;
        }
        let found = statat(&target.parent, target.name.as_slice(), AtFlags::SYMLINK_NOFOLLOW);
        let Ok(placed) = found.map(|stat| Placed::of(&stat)) else { return false };
        let fits = placed.size == member.size && placed.mtime == member.mtime;
        if !fits || !self.ledger.holds(&target.path, &placed) {
            return false;
        }
        let regions = member.sparse.as_ref().map(|map| map.iter().map(|(_, length)| *length).sum::<u64>());
        self.watch.on_bytes(regions.unwrap_or(member.size));
        true
    }

    /// An empty file under a temporary name.
    fn create(&mut self, target: &Target) -> Result<(Vec<u8>, OwnedFd), Errno> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        loop {
            let temporary = self.temporary_name();
            match openat(&target.parent, temporary.as_slice(), flags, Mode::RUSR | Mode::WUSR) {
                Ok(fd) => return Ok((temporary, fd)),
                // Left by a process that had our number.
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn content(&mut self, member: &Member, fd: &OwnedFd, members: &mut Members<'_>) -> Result<(), Trouble> {
        match &member.sparse {
            None => self.region(fd, 0, member.size, members),
            Some(map) => {
                ftruncate(fd, member.size)?;
                for &(offset, length) in map {
                    self.region(fd, offset, length, members)?;
                }
                Ok(())
            }
        }
    }

    fn region(
        &mut self,
        fd: &OwnedFd,
        offset: u64,
        length: u64,
        members: &mut Members<'_>,
    ) -> Result<(), Trouble> {
        let mut at = offset;
        let end = offset.saturating_add(length);
        self.buffer.resize(CHUNK, 0);
        while at < end {
            if self.watch.cancelled() {
                return Err(TarError::Cancelled.into());
            }
            let wanted = usize::try_from(end - at).unwrap_or(CHUNK).min(CHUNK);
            let count = members.read(self.buffer.get_mut(..wanted).unwrap_or_default())?;
            if count == 0 {
                return Err(members.corrupt("its content is shorter than announced").into());
            }
            write_at(fd, self.buffer.get(..count).unwrap_or_default(), at)?;
            at += count as u64;
            self.restored.content_bytes += count as u64;
            self.watch.on_bytes(count as u64);
        }
        Ok(())
    }

    pub(super) fn hard_link(&mut self, member: &Member, target: &Target) -> Result<(), TarError> {
        let first = safe_path(&member.link).map_err(|reason| unsafe_member(member, reason))?;
        let (parent, name) = split(&first);
        let temporary = self.temporary_name();
        let linked = self
            .links
            .go(parent)
            .and_then(|parent| linkat(&parent, name, &target.parent, temporary.as_slice(), AtFlags::empty()));
        match linked {
            Ok(()) => {
                self.put_in_place(member, target, &temporary, None)?;
                if self.ledger.is_kept()
                    && let Ok(parent) = self.links.go(parent)
                {
                    self.note(&parent, (name, &first), Mark::Linked);
                }
            }
            Err(Errno::NOENT) => {
                let mut reason = format!("the file it is a link to is missing: '{}'", first.escape_ascii());
                if self.options.only.part(&first) != Part::All {
                    reason.push_str(", which was not asked for: restore both");
                }
                self.problems.add(&target.path, ProblemKind::Unwritable, reason);
            }
            Err(errno) => self.failed(member, &target.path, errno)?,
        }
        // A rename between two names of one file does nothing.
        let _ = unlinkat(&target.parent, temporary.as_slice(), AtFlags::empty());
        Ok(())
    }

    /// Symbolic links, fifos and devices.
    pub(super) fn special(&mut self, member: Member, kind: Kind, target: &Target) -> Result<(), TarError> {
        let temporary = self.temporary_name();
        let parent = &target.parent;
        let (major, minor) = member.rdev;
        let node = |file_type, device| {
            mknodat(parent, temporary.as_slice(), file_type, Mode::RUSR | Mode::WUSR, device)
        };
        let made = match kind {
            Kind::Symlink => symlinkat(member.link.as_slice(), parent, temporary.as_slice()),
            Kind::Fifo => node(FileType::Fifo, 0),
            Kind::CharDevice => node(FileType::CharacterDevice, makedev(major, minor)),
            Kind::BlockDevice => node(FileType::BlockDevice, makedev(major, minor)),
            Kind::File | Kind::Directory | Kind::Socket => Err(Errno::INVAL),
        };
        if let Err(errno) = made {
            return self.failed(&member, &target.path, errno);
        }
        let metadata = Metadata::new(member);
        let symlink = kind == Kind::Symlink;
        let trouble = metadata.apply_at(parent, &temporary, self.options, &mut self.owners, symlink);
        self.put_in_place(metadata.member(), target, &temporary, trouble)
    }

    /// Gives a complete object its name.
    fn put_in_place(
        &mut self,
        member: &Member,
        target: &Target,
        temporary: &[u8],
        trouble: Option<String>,
    ) -> Result<(), TarError> {
        let Target { parent, name, path } = target;
        self.ledger.announce_object(path);
        let rename = || renameat(parent, temporary, parent, name.as_slice());
        let placed = match rename() {
            Err(Errno::ISDIR | Errno::NOTEMPTY | Errno::EXIST) => {
                self.clear_directory(target).and_then(|()| rename())
            }
            other => other,
        };
        match placed {
            Ok(()) => {
                let mark = match (member.shape == Shape::HardLink, &trouble) {
                    (true, _) => Mark::Linked,
                    (false, Some(_)) => Mark::Troubled,
                    (false, None) => Mark::Whole,
                };
                if let Some(reason) = trouble {
                    self.problems.add(path, ProblemKind::Metadata, reason);
                }
                self.note(parent, (name, path), mark);
                Ok(())
            }
            Err(errno) => {
                let _ = unlinkat(parent, temporary, AtFlags::empty());
                if matches!(errno, Errno::ISDIR | Errno::NOTEMPTY) {
                    self.problems.add(
                        path,
                        ProblemKind::Unwritable,
                        "a directory that is not empty is in the way",
                    );
                    return Ok(());
                }
                self.failed(member, path, errno)
            }
        }
    }

    /// Writes down what has this name now.
    fn note(&mut self, parent: &OwnedFd, (name, path): (&[u8], &[u8]), mark: Mark) {
        if !self.ledger.is_kept() {
            return;
        }
        // What cannot be looked at is not noted, and so made again.
        if let Ok(stat) = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            self.ledger.note(path, &Placed::of(&stat), mark);
        }
    }

    /// Makes room where a directory is: only a replay may delete what is in it.
    fn clear_directory(&mut self, target: &Target) -> Result<(), Errno> {
        if self.options.incremental {
            self.restored.deleted += remove(&target.parent, &target.name)?;
            self.descent.reset();
            self.links.reset();
            return Ok(());
        }
        unlinkat(&target.parent, target.name.as_slice(), AtFlags::REMOVEDIR)
    }
}

fn write_at(fd: &OwnedFd, mut bytes: &[u8], mut offset: u64) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match pwrite(fd, bytes, offset) {
            Ok(0) => return Err(Errno::IO),
            Ok(count) => {
                bytes = bytes.get(count..).unwrap_or_default();
                offset += count as u64;
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
