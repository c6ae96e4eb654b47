//! One entry of a directory, and its compact form.

use crate::tar::Stamp;
use crate::tar::facts::Kind;

/// One entry as an index remembers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    pub kind: Kind,
    /// The archive of this level holds it (otherwise that of an earlier one). False too when saving it failed.
    pub saved_here: bool,
    /// Inode, size in bytes and times; zero in an index that came from a SNAR, which has names only.
    pub inode: u64,
    pub size: u64,
    pub mtime: Stamp,
    pub ctime: Stamp,
}

/// The working form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::tar) struct Entry<'a> {
    pub name: &'a [u8],
    pub kind: Kind,
    pub saved_here: bool,
    /// It had other hard links.
    pub linked: bool,
    /// Inode, size and times are real.
    pub known: bool,
    /// Saving it failed or was not clean.
    pub retry: bool,
    pub inode: u64,
    pub size: u64,
    pub mtime: Stamp,
    pub ctime: Stamp,
}

const KIND: u8 = 0x07;
const SAVED_HERE: u8 = 0x08;
const LINKED: u8 = 0x10;
const KNOWN: u8 = 0x20;
pub(super) const RETRY: u8 = 0x40;

const KINDS: [Kind; 7] = [
    Kind::File,
    Kind::Directory,
    Kind::Symlink,
    Kind::Fifo,
    Kind::CharDevice,
    Kind::BlockDevice,
    Kind::Socket,
];

impl<'a> Entry<'a> {
    pub fn kept(&self) -> Kept {
        let Self { kind, inode, size, mtime, ctime, .. } = *self;
        Kept { kind, saved_here: self.saved_here && !self.retry, inode, size, mtime, ctime }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let kind = KINDS.iter().position(|&kind| kind == self.kind).unwrap_or(0) as u8;
        let flag = |on: bool, bit: u8| if on { bit } else { 0 };
        out.push(
            kind | flag(self.saved_here, SAVED_HERE)
                | flag(self.linked, LINKED)
                | flag(self.known, KNOWN)
                | flag(self.retry, RETRY),
        );
        put_bytes(out, self.name);
        if self.known {
            put(out, self.inode);
            put(out, self.size);
            put_time(out, self.mtime);
            put_time(out, self.ctime);
        }
    }

    /// `None` at the end, and for bytes that make no sense (checked once when an index is loaded).
    pub(super) fn decode(rest: &mut &'a [u8]) -> Option<Self> {
        let (&flags, tail) = rest.split_first()?;
        *rest = tail;
        let kind = *KINDS.get(usize::from(flags & KIND))?;
        let name = take_bytes(rest)?;
        let known = flags & KNOWN != 0;
        let (inode, size, mtime, ctime) = if known {
            (take(rest)?, take(rest)?, take_time(rest)?, take_time(rest)?)
        } else {
            (0, 0, Stamp::default(), Stamp::default())
        };
        let (saved_here, linked, retry) = (flags & SAVED_HERE != 0, flags & LINKED != 0, flags & RETRY != 0);
        Some(Self { name, kind, saved_here, linked, known, retry, inode, size, mtime, ctime })
    }
}

/// Seven bits a byte, lowest first.
pub(super) fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(super) fn take(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, tail) = rest.split_first()?;
        *rest = tail;
        value |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

pub(super) fn take_bytes<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(take(rest)?).ok()?;
    let (bytes, tail) = rest.split_at_checked(length)?;
    *rest = tail;
    Some(bytes)
}

pub(super) fn put_time(out: &mut Vec<u8>, time: Stamp) {
    // Small negative numbers stay small.
    put(out, ((time.secs << 1) ^ (time.secs >> 63)) as u64);
    put(out, u64::from(time.nanos));
}

pub(super) fn take_time(rest: &mut &[u8]) -> Option<Stamp> {
    let coded = take(rest)?;
    let secs = ((coded >> 1) as i64) ^ -((coded & 1) as i64);
    let nanos = u32::try_from(take(rest)?).ok().filter(|&nanos| nanos < 1_000_000_000)?;
    Some(Stamp { secs, nanos })
}
