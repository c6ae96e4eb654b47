//! Encrypted bytes, read bit by bit from any place where the encryption may have begun.

use crate::encryption::{HEADER_BYTES, KeyDerivation, PassPhrase};
use aes::cipher::{BlockCipherEncrypt, KeyInit};
use aes::{Aes256, Block as Mask};
use std::io::{self, Read};

const READ_BYTES: usize = 64 * 1024;

/// A place in the stream, in bits, and where the encryption began that holds there.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Spot {
    pub at: u64,
    /// The byte where it began.
    pub run: u64,
    /// The same of the encryption before it, which holds for the bytes before `run`.
    pub before: u64,
}

impl Spot {
    /// The same place, if the encryption begins anew in the byte `run`.
    pub(super) fn anew(self, run: u64) -> Self {
        Self { at: self.at, run, before: self.run }
    }
}

/// Encrypted bytes that can be looked at from any beginning of the encryption.
pub(super) struct Stored {
    inner: Box<dyn Read + Send>,
    bytes: Vec<u8>,
    /// Place in the stream of the first of `bytes`.
    base: u64,
    ended: bool,
    cipher: Aes256,
    /// The mask of the first sixteen bytes of each encryption.
    first: Mask,
    /// The last other mask: beginning, number of the block, mask.
    last: Option<(u64, u64, Mask)>,
}

impl Stored {
    /// `None` when the header is none.
    pub(super) fn new(
        inner: Box<dyn Read + Send>,
        pass: &PassPhrase,
        header: &[u8; HEADER_BYTES],
    ) -> Option<Self> {
        let keys = KeyDerivation::EvpMd5.derive_for(pass, header)?;
        let mut first = Mask::default();
        for (to, from) in first.iter_mut().zip(keys.iv()) {
            *to = *from;
        }
        let cipher = Aes256::new_from_slice(keys.key()).ok()?;
        cipher.encrypt_block(&mut first);
        Some(Self { inner, bytes: Vec::new(), base: 0, ended: false, cipher, first, last: None })
    }

    /// The clear byte at `at`, if there is one, under the encryption that holds at `spot`.
    pub(super) fn byte(&mut self, at: u64, spot: Spot) -> io::Result<Option<u8>> {
        let index = usize::try_from(at.saturating_sub(self.base)).map_err(io::Error::other)?;
        while index >= self.bytes.len() && !self.ended {
            let mut piece = vec![0; READ_BYTES];
            let count = self.inner.read(&mut piece)?;
            self.ended = count == 0;
            self.bytes.extend_from_slice(piece.get(..count).unwrap_or_default());
        }
        let Some(byte) = self.bytes.get(index).copied() else { return Ok(None) };
        let run = if at < spot.run { spot.before } else { spot.run };
        let behind = at.saturating_sub(run);
        let (block, offset) = (behind / 16, (behind % 16) as usize);
        let mask = match &self.last {
            _ if block == 0 => self.first,
            Some((of_run, of_block, mask)) if (*of_run, *of_block) == (run, block) => *mask,
            _ => self.mask(run, block),
        };
        Ok(Some(byte ^ mask.get(offset).copied().unwrap_or_default()))
    }

    /// Of a block that is not the first one: it comes from the stored bytes before it.
    fn mask(&mut self, run: u64, block: u64) -> Mask {
        let mut mask = Mask::default();
        let start = (run + block.saturating_sub(1) * 16).saturating_sub(self.base);
        let start = usize::try_from(start).unwrap_or(usize::MAX);
        let before = self.bytes.get(start..start.saturating_add(16)).unwrap_or_default();
        for (to, from) in mask.iter_mut().zip(before) {
            *to = *from;
        }
        self.cipher.encrypt_block(&mut mask);
        self.last = Some((run, block, mask));
        mask
    }

    /// The next `count` (up to 16) bits; beyond the end they are zeros.
    pub(super) fn peek(&mut self, spot: Spot, count: u32) -> io::Result<u32> {
        let (first, shift) = (spot.at / 8, spot.at % 8);
        let mut value = 0;
        for index in 0..3 {
            value |= u32::from(self.byte(first + index, spot)?.unwrap_or(0)) << (8 * index);
        }
        Ok((value >> shift) & ((1 << count) - 1))
    }

    /// The same, and goes on; beyond the end it is an error.
    pub(super) fn take(&mut self, spot: &mut Spot, count: u32) -> io::Result<u32> {
        let value = self.peek(*spot, count)?;
        self.advance(spot, count)?;
        Ok(value)
    }

    pub(super) fn advance(&mut self, spot: &mut Spot, count: u32) -> io::Result<()> {
        spot.at += u64::from(count);
        if count > 0 && self.byte((spot.at - 1) / 8, *spot)?.is_none() {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ends too early"));
        }
        Ok(())
    }

    /// Lets go of what is behind.
    pub(super) fn forget(&mut self, spot: Spot) {
        let keep = (spot.at / 8).saturating_sub(64);
        let behind = usize::try_from(keep.saturating_sub(self.base)).unwrap_or(0).min(self.bytes.len());
        if behind >= READ_BYTES {
            self.bytes.drain(..behind);
            self.base += behind as u64;
        }
    }
}
