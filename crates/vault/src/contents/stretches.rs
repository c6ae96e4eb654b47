//! Writing down from where the payload can be read, while it is made.

use super::bytes::put;
use super::lead_of;
use crate::encryption::{Cipher, StreamSealer};
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
    /// Of the payload, lead or whole chunks included.
    pub stored: Range<u64>,
    /// Bytes before the stretch's own: stored ones that only serve to decrypt the others, or those of the first chunk when it is
    /// opened.
    pub lead_bytes: usize,
    pub proof: Proof,
}

/// What shows that a stretch is as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// SHA-256 of what is stored.
    Hash([u8; 32]),
    /// The tags of the chunks it lies in.
    Chunks {
        /// Number of the first of them.
        first: u64,
        /// Whether the payload's last chunk is among them.
        has_last: bool,
        /// Bytes of the stretch when they are opened.
        packed_bytes: usize,
    },
}

/// How the payload is encrypted, as far as stretches are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Clear,
    /// With a lead.
    Cfb,
    /// Chunks have proofs of their own.
    Chunks,
}

/// The second part of the table, compressed as it grows.
pub(crate) struct StretchWriter {
    out: Encoder<'static, Vec<u8>>,
    form: Form,
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
    /// `encryption`: what encrypts the payload, before it has begun.
    pub(crate) fn start(encryption: Option<&StreamSealer>) -> io::Result<Self> {
        let mut out = Encoder::new(Vec::new(), 0)?;
        let header = encryption.map(StreamSealer::header).unwrap_or_default();
        let mut row = Vec::new();
        put(&mut row, header.len() as u64);
        row.extend_from_slice(&header);
        out.write_all(&row)?;
        let form = match encryption.map(StreamSealer::cipher) {
            None => Form::Clear,
            Some(Cipher::Aes256Cfb) => Form::Cfb,
            Some(Cipher::Aes256Gcm) => Form::Chunks,
        };
        Ok(Self { out, form, tail: Vec::new(), place: 0, count: 0, current: None })
    }

    /// The next frame: as it is stored (in chunks that does not matter), its length before encryption, and how many bytes of the
    /// archive are in it.
    pub(crate) fn frame(&mut self, stored: &[u8], packed_bytes: u64, clear_bytes: u64) -> io::Result<()> {
        let mut current = self.current.take().unwrap_or_else(|| self.begin());
        if self.form != Form::Chunks {
            current.hash.update(stored);
        }
        current.stored += packed_bytes;
        current.clear += clear_bytes;
        current.frames += 1;
        self.place += packed_bytes;
        if self.form == Form::Cfb {
            self.keep_tail(stored);
        }
        self.current = Some(current);
        self.end_if(|stretch, count| stretch.frames >= frames_in(count))
    }

    fn begin(&self) -> Current {
        let mut hash = Sha256::new();
        if self.form == Form::Cfb {
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
        if self.form != Form::Chunks {
            row.extend_from_slice(&done.hash.finalize());
        }
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
