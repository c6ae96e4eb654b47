//! Reading file content, gently: no access time is changed, and what was not in the host's cache before is
//! not left there.

use crate::tar::attributes::{Attributes, Holder};
use crate::tar::facts::{Facts, Kind};
use rustix::fd::OwnedFd;
use rustix::fs::{Advice, Mode, OFlags, SeekFrom, fadvise, fstat, openat, seek};
use rustix::io::{Errno, ReadWriteFlags, Result, pread, preadv2};
use std::io::IoSliceMut;
use std::num::NonZeroU64;

/// A file opened for reading.
#[derive(Debug)]
pub(super) struct OpenFile {
    pub fd: OwnedFd,
    pub facts: Facts,
    /// Its first bytes were not cached when we came.
    cold: bool,
}

/// Why a file could not be opened as the file it was.
#[derive(Debug)]
pub(super) enum Refusal {
    Failed(Errno),
    /// It is no regular file any more.
    OtherKind,
}

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Self {
        Self::Failed(errno)
    }
}

impl OpenFile {
    /// Does not wait (a fifo in the place of a file) and does not follow a link unless asked.
    pub fn open(dir: &OwnedFd, name: &[u8], follow: bool) -> std::result::Result<Self, Refusal> {
        let mut flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        if !follow {
            flags |= OFlags::NOFOLLOW;
        }
        let opened = match openat(dir, name, flags | OFlags::NOATIME, Mode::empty()) {
            // Only the owner may leave the access time alone.
            Err(Errno::PERM) => openat(dir, name, flags, Mode::empty()),
            other => other,
        };
        match opened {
            Ok(fd) => Self::adopt(fd),
            // A link or a socket took its place.
            Err(Errno::LOOP | Errno::NXIO) => Err(Refusal::OtherKind),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes over an open descriptor.
    pub fn adopt(fd: OwnedFd) -> std::result::Result<Self, Refusal> {
        let facts =
            Facts::new(&fstat(&fd)?).filter(|facts| facts.kind == Kind::File).ok_or(Refusal::OtherKind)?;
        Ok(Self { fd, facts, cold: false })
    }

    /// What it is now; the same as `facts` if the disk cannot say.
    pub fn facts_now(&self) -> Facts {
        fstat(&self.fd).ok().and_then(|stat| Facts::new(&stat)).unwrap_or(self.facts)
    }

    pub fn attributes(&self) -> Attributes {
        Holder::Open(&self.fd).read()
    }

    /// Fills as much of `buffer` as the file has at `offset`; fewer bytes mean the end of the file.
    pub fn fill(&mut self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let at = offset.saturating_add(filled as u64);
            let count =
                if at == 0 { self.first_read(rest)? } else { retry(|| pread(&self.fd, &mut *rest, at))? };
            if count == 0 {
                break;
            }
            filled += count;
        }
        Ok(filled)
    }

    /// Finds out whether the file is cached, on the way to its first bytes.
    fn first_read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        match preadv2(&self.fd, &mut [IoSliceMut::new(buffer)], 0, ReadWriteFlags::NOWAIT) {
            Ok(count) if count > 0 => return Ok(count),
            Ok(_) | Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {}
            Err(_) => self.cold = true,
        }
        retry(|| pread(&self.fd, &mut *buffer, 0))
    }

    /// Forgets cached pages that only we needed; best effort.
    pub fn drop_cache(&self, offset: u64, length: u64) {
        if self.cold
            && let Some(length) = NonZeroU64::new(length)
        {
            let _ = fadvise(&self.fd, offset, Some(length), Advice::DontNeed);
        }
    }

    /// The data regions of a file with holes, ending at its size; `None` for a file without.
    pub fn holes(&self) -> Option<Vec<(u64, u64)>> {
        let size = self.facts.size;
        if self.facts.allocated >= size {
            return None;
        }
        let mut map = Vec::new();
        let mut at = 0;
        while at < size {
            let start = match seek(&self.fd, SeekFrom::Data(at)) {
                Ok(start) => start.min(size),
                Err(Errno::NXIO) => break,
                Err(_) => return None,
            };
            let end = if map.len() < MAX_REGIONS {
                seek(&self.fd, SeekFrom::Hole(start)).ok()?.min(size)
            } else {
                size
            };
            if end <= start {
                break;
            }
            map.push((start, end - start));
            at = end;
        }
        if map.as_slice() == [(0, size)] {
            return None;
        }
        // GNU tar learns the size of a file that ends in a hole from an empty last region.
        if at < size || map.is_empty() {
            map.push((size, 0));
        }
        Some(map)
    }
}

/// After so many regions the rest of the file counts as one: a map must not eat the memory.
const MAX_REGIONS: usize = 100_000;

fn retry<T>(mut call: impl FnMut() -> Result<T>) -> Result<T> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}
