//! Writing down from where the payload can be read, while it is made.

use super::bytes::put;
use super::lead_of;
use crate::encryption::HEADER_BYTES;
use sha2::{Digest, Sha256};
use std::io::{self, Write};
use std::ops::Range;
use zstd::stream::write::Encoder;

/// After so many stretches they become twice as long, so that the table of an archive of any size stays small.
const STRETCHES_OF_A_LENGTH: u64 = 16_384;
/// They are doubled at most so often: a stretch is held in memory whole before it is used.
const MOST_DOUBLINGS: u64 = 5;

/// A part of the payload that can be read by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    /// Of the archive.
    pub clear: Range<u64>,
    /// Of the payload, lead included.
    pub stored: Range<u64>,
    /// Stored bytes that only serve to decrypt the others.
    pub lead_bytes: usize,
    pub sha256: [u8; 32],
}

/// The second part of the table, compressed as it grows.
pub(crate) struct StretchWriter {
    out: Encoder<'static, Vec<u8>>,
    is_encrypted: bool,
    /// The end of the ciphertext so far, as much of it as a lead may have.
    tail: Vec<u8>,
    place: u64,
    count: u64,
    current: Option<Current>,
}

struct Current {
    hash: Sha256,
    stored: u64,
    clear: u64,
    frames: u64,
}

impl StretchWriter {
    /// `header`: what stands before the ciphertext of an encrypted payload.
    pub(crate) fn start(header: Option<&[u8; HEADER_BYTES]>) -> io::Result<Self> {
        let mut out = Encoder::new(Vec::new(), 0)?;
        let header: &[u8] = header.map_or(&[], |header| header);
        let mut row = Vec::new();
        put(&mut row, header.len() as u64);
        row.extend_from_slice(header);
        out.write_all(&row)?;
        let is_encrypted = !header.is_empty();
        Ok(Self { out, is_encrypted, tail: Vec::new(), place: 0, count: 0, current: None })
    }

    /// The next frame as it is stored, and how many bytes of the archive are in it.
    pub(crate) fn frame(&mut self, stored: &[u8], clear_bytes: u64) -> io::Result<()> {
        let mut current = self.current.take().unwrap_or_else(|| self.begin());
        current.hash.update(stored);
        current.stored += stored.len() as u64;
        current.clear += clear_bytes;
        current.frames += 1;
        self.place += stored.len() as u64;
        if self.is_encrypted {
            self.keep_tail(stored);
        }
        self.current = Some(current);
        self.end_if(|stretch, count| stretch.frames >= frames_in(count))
    }

    fn begin(&self) -> Current {
        let mut hash = Sha256::new();
        if self.is_encrypted {
            // The tail is as long as any lead, or all there is.
            let lead = usize::try_from(lead_of(self.place)).unwrap_or(usize::MAX);
            hash.update(self.tail.get(self.tail.len().saturating_sub(lead)..).unwrap_or_default());
        }
        Current { hash, stored: 0, clear: 0, frames: 0 }
    }

    fn keep_tail(&mut self, stored: &[u8]) {
        const LONGEST_LEAD: usize = 31;
        self.tail
            .extend_from_slice(stored.get(stored.len().saturating_sub(LONGEST_LEAD)..).unwrap_or_default());
        let surplus = self.tail.len().saturating_sub(LONGEST_LEAD);
        self.tail.drain(..surplus);
    }

    fn end_if(&mut self, is_full: impl Fn(&Current, u64) -> bool) -> io::Result<()> {
        let Some(done) = self.current.take_if(|current| is_full(current, self.count)) else { return Ok(()) };
        self.count += 1;
        let mut row = Vec::with_capacity(64);
        put(&mut row, done.stored);
        put(&mut row, done.clear);
        row.extend_from_slice(&done.hash.finalize());
        self.out.write_all(&row)
    }

    /// The packed part; `None` for a payload that is read in one go anyway.
    pub(crate) fn finish(mut self) -> io::Result<Option<Vec<u8>>> {
        self.end_if(|_, _| true)?;
        if self.count < 2 {
            return Ok(None);
        }
        self.out.write_all(&[0])?;
        self.out.finish().map(Some)
    }
}

/// Frames of the stretch of this number.
fn frames_in(number: u64) -> u64 {
    1 << (number / STRETCHES_OF_A_LENGTH).min(MOST_DOUBLINGS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_of_large_archives_are_longer() {
        let numbers = [0, 16_383, 16_384, 40_000, 100_000, u64::MAX];
        assert_eq!(numbers.map(frames_in), [1, 1, 2, 4, 32, 32]);
    }
}
