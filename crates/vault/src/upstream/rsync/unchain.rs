//! zlib under AES-256-CFB128 that may begin anew with its initial vector in the middle, at places nobody recorded.
//!
//! Freezer 7 encrypted each piece that its compressor gave as a stream of its own. The compressor gives something whenever a
//! block of its is complete: all bytes but the last incomplete one, which begins the next piece. So the places to look at are
//! the ends of blocks, and a wrong guess is seen by the head of the next block, which is full of redundancy. What was encrypted
//! in one piece (Freezer 6) is the same without such places.

use super::huffman::{Block, Tables, head};
use crate::encryption::{HEADER_BYTES, KeyDerivation, PassPhrase};
use aes::cipher::{BlockCipherEncrypt, KeyInit};
use aes::{Aes256, Block as Mask};
use std::io::{self, Read};

const READ_BYTES: usize = 64 * 1024;
/// A distance reaches so far back.
const WINDOW_BYTES: usize = 32 * 1024;
/// So much is unpacked at once.
const GIVEN_BYTES: usize = 64 * 1024;
/// A last block with fixed codes, whose head tells nothing, is searched in the last bytes only.
const TAIL_BYTES: u64 = 16 * 1024;

/// A place in the stream, in bits, and the byte where the encryption that holds there began.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spot {
    pub at: u64,
    run: u64,
}

/// Encrypted bytes that can be looked at from any beginning of the encryption.
pub(super) struct Stored {
    inner: Box<dyn Read + Send>,
    bytes: Vec<u8>,
    /// Place in the stream of the first of `bytes`.
    base: u64,
    ended: bool,
    cipher: Aes256,
    iv: Mask,
    /// The last mask: beginning, number of the block, mask.
    last: Option<(u64, u64, Mask)>,
}

pub(super) struct Unchained {
    stored: Stored,
    spot: Spot,
    state: State,
    /// Unpacked bytes: those that distances may reach, and those not yet given.
    out: Vec<u8>,
    given: usize,
    /// Bytes of `out` that are in the checksum.
    counted: usize,
    adler: (u32, u32),
    /// Told when all that came before it was given.
    failed: Option<io::Error>,
}

enum State {
    Start,
    Head,
    Codes(Box<Tables>, bool),
    Plain(u64, bool),
    Trailer,
    Done,
}

fn damaged(cause: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, cause.to_owned())
}

impl Stored {
    /// The clear byte at `at`, if there is one.
    fn byte(&mut self, at: u64, run: u64) -> io::Result<Option<u8>> {
        let index = usize::try_from(at.saturating_sub(self.base)).map_err(io::Error::other)?;
        while index >= self.bytes.len() && !self.ended {
            let mut piece = vec![0; READ_BYTES];
            let count = self.inner.read(&mut piece)?;
            self.ended = count == 0;
            self.bytes.extend_from_slice(piece.get(..count).unwrap_or_default());
        }
        let Some(byte) = self.bytes.get(index).copied() else { return Ok(None) };
        let (block, offset) = ((at - run) / 16, ((at - run) % 16) as usize);
        let mask = match &self.last {
            Some((of_run, of_block, mask)) if (*of_run, *of_block) == (run, block) => *mask,
            _ => self.mask(run, block),
        };
        Ok(Some(byte ^ mask.get(offset).copied().unwrap_or_default()))
    }

    fn mask(&mut self, run: u64, block: u64) -> Mask {
        let mut mask = self.iv;
        if block > 0 {
            let start =
                usize::try_from((run + (block - 1) * 16).saturating_sub(self.base)).unwrap_or(usize::MAX);
            let before = self.bytes.get(start..start.saturating_add(16)).unwrap_or_default();
            for (to, from) in mask.iter_mut().zip(before) {
                *to = *from;
            }
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
            value |= u32::from(self.byte(first + index, spot.run)?.unwrap_or(0)) << (8 * index);
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
        if count > 0 && self.byte((spot.at - 1) / 8, spot.run)?.is_none() {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ends too early"));
        }
        Ok(())
    }

    /// Lets go of what is behind.
    fn forget(&mut self, spot: Spot) {
        let keep = (spot.at / 8).saturating_sub(64);
        let behind = usize::try_from(keep.saturating_sub(self.base)).unwrap_or(0).min(self.bytes.len());
        if behind >= READ_BYTES {
            self.bytes.drain(..behind);
            self.base += behind as u64;
        }
    }
}

impl Unchained {
    /// `None` when the header is none.
    pub(super) fn new(
        inner: Box<dyn Read + Send>,
        pass: &PassPhrase,
        header: &[u8; HEADER_BYTES],
    ) -> Option<Self> {
        let keys = KeyDerivation::EvpMd5.derive_for(pass, header)?;
        let mut iv = Mask::default();
        for (to, from) in iv.iter_mut().zip(keys.iv()) {
            *to = *from;
        }
        let cipher = Aes256::new_from_slice(keys.key()).ok()?;
        let stored = Stored { inner, bytes: Vec::new(), base: 0, ended: false, cipher, iv, last: None };
        let spot = Spot { at: 0, run: 0 };
        Some(Self {
            stored,
            spot,
            state: State::Start,
            out: Vec::new(),
            given: 0,
            counted: 0,
            adler: (1, 0),
            failed: None,
        })
    }

    /// Unpacks until there is something to give, or the end.
    fn work(&mut self) -> io::Result<()> {
        while self.out.len() - self.given < GIVEN_BYTES {
            self.stored.forget(self.spot);
            match std::mem::replace(&mut self.state, State::Done) {
                State::Start => {
                    if self.stored.take(&mut self.spot, 16)? != 0xda78 {
                        return Err(damaged("it does not begin like zlib"));
                    }
                    self.state = State::Head;
                }
                State::Head => self.next_block()?,
                State::Codes(tables, is_last) => self.codes(tables, is_last)?,
                State::Plain(left, is_last) => self.plain(left, is_last)?,
                State::Trailer => return self.trailer(),
                State::Done => return Ok(()),
            }
        }
        Ok(())
    }

    /// At the end of a block: goes on where the head of the next one makes sense.
    fn next_block(&mut self) -> io::Result<()> {
        let same = self.spot;
        let anew = Spot { at: same.at, run: same.at / 8 };
        let as_it_is = head(&mut self.stored, same);
        let weak = match as_it_is {
            Ok(Some(found)) if found.is_telling() => return self.enter(found),
            Ok(weak) => weak,
            // There is nothing behind: that is no question of the key.
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => return Err(error),
            Err(_) => None,
        };
        if let Ok(Some(found)) = head(&mut self.stored, anew)
            && (found.is_telling() || self.ends_well(&found)?)
        {
            return self.enter(found);
        }
        match weak {
            Some(found) => self.enter(found),
            None if self.stored.byte(same.at / 8, same.run)?.is_none() => {
                Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ends too early"))
            }
            None => Err(damaged("a block begins with nonsense")),
        }
    }

    fn enter(&mut self, block: Block) -> io::Result<()> {
        self.spot = block.spot;
        self.state = match (block.tables, block.plain) {
            (Some(tables), _) => State::Codes(tables, block.is_last),
            (None, Some(length)) => State::Plain(length, block.is_last),
            (None, None) => return Err(damaged("a block of no kind")),
        };
        Ok(())
    }

    fn after(&mut self, is_last: bool) {
        self.state = if is_last { State::Trailer } else { State::Head };
    }

    fn plain(&mut self, mut left: u64, is_last: bool) -> io::Result<()> {
        while left > 0 && self.out.len() - self.given < GIVEN_BYTES {
            let byte = self.stored.take(&mut self.spot, 8)?;
            self.out.push(byte as u8);
            left -= 1;
        }
        if left > 0 {
            self.state = State::Plain(left, is_last);
        } else {
            self.after(is_last);
        }
        Ok(())
    }

    fn codes(&mut self, tables: Box<Tables>, is_last: bool) -> io::Result<()> {
        while self.out.len() - self.given < GIVEN_BYTES {
            if !is_last && let Some(next) = self.ends_anew(&tables)? {
                return self.enter(next);
            }
            match tables.symbol(&mut self.stored, &mut self.spot)? {
                literal @ 0..=255 => self.out.push(literal as u8),
                256 => {
                    self.after(is_last);
                    return Ok(());
                }
                length => self.repeat(&tables, length)?,
            }
        }
        self.state = State::Codes(tables, is_last);
        Ok(())
    }

    fn repeat(&mut self, tables: &Tables, symbol: u16) -> io::Result<()> {
        let (length, distance) = tables.copy(symbol, &mut self.stored, &mut self.spot)?;
        let start =
            self.out.len().checked_sub(distance).ok_or_else(|| damaged("a distance reaches too far"))?;
        for index in start..start + length {
            let byte = self.out.get(index).copied().unwrap_or_default();
            self.out.push(byte);
        }
        Ok(())
    }

    /// Whether the end of the block stands here, its last bits in the first byte of a new encryption: the next block then.
    fn ends_anew(&mut self, tables: &Tables) -> io::Result<Option<Block>> {
        let (code, length) = tables.end;
        let end = self.spot.at + u64::from(length);
        let run = end / 8;
        if end.is_multiple_of(8) || run <= self.spot.run {
            return Ok(None);
        }
        let before = (run * 8).saturating_sub(self.spot.at) as u32;
        let low = (1u32 << before) - 1;
        if (self.stored.peek(self.spot, length)? ^ code) & low != 0 {
            return Ok(None);
        }
        let anew = Spot { at: self.spot.at.max(run * 8), run };
        let rest = length - before.min(length);
        if self.stored.peek(anew, rest)? != code >> before.min(length) {
            return Ok(None);
        }
        match head(&mut self.stored, Spot { at: end, run }) {
            Ok(Some(found)) if found.is_telling() || self.ends_well(&found)? => Ok(Some(found)),
            _ => Ok(None),
        }
    }

    /// A block with fixed codes is believed when it is the last one and ends where the stream does.
    fn ends_well(&mut self, block: &Block) -> io::Result<bool> {
        let mut spot = block.spot;
        let Some(tables) = block.tables.as_ref().filter(|_| block.is_last) else { return Ok(false) };
        if self.stored.byte(spot.at / 8 + TAIL_BYTES, spot.run)?.is_some() {
            return Ok(false);
        }
        loop {
            match tables.symbol(&mut self.stored, &mut spot) {
                Ok(0..=255) => {}
                Ok(256) => break,
                Ok(length) if tables.copy(length, &mut self.stored, &mut spot).is_ok() => {}
                _ => return Ok(false),
            }
        }
        let trailer = spot.at.div_ceil(8);
        let (last, beyond) =
            (self.stored.byte(trailer + 3, spot.run)?, self.stored.byte(trailer + 4, spot.run)?);
        Ok(last.is_some() && beyond.is_none())
    }

    /// The checksum. What comes after it (Freezer 6 fills up to whole blocks) means nothing.
    fn trailer(&mut self) -> io::Result<()> {
        self.account();
        self.spot.at = self.spot.at.div_ceil(8) * 8;
        let mut wanted = 0u32;
        for _ in 0..4 {
            wanted = (wanted << 8) | self.stored.take(&mut self.spot, 8)?;
        }
        if wanted != (self.adler.1 << 16) | self.adler.0 {
            return Err(damaged("its content does not fit its checksum"));
        }
        Ok(())
    }

    /// Counts what was unpacked into the checksum.
    fn account(&mut self) {
        let (mut low, mut high) = self.adler;
        for byte in self.out.get(self.counted..).unwrap_or_default() {
            low = (low + u32::from(*byte)) % 65_521;
            high = (high + low) % 65_521;
        }
        self.adler = (low, high);
        self.counted = self.out.len();
    }

    /// Keeps only what distances may reach.
    fn trim(&mut self) {
        self.account();
        let behind = self.out.len().saturating_sub(WINDOW_BYTES);
        self.out.drain(..behind);
        self.given = self.out.len();
        self.counted = self.out.len();
    }
}

impl Read for Unchained {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.given == self.out.len() {
            if let Some(error) = self.failed.take() {
                return Err(error);
            }
            self.trim();
            self.failed = self.work().err();
        }
        let ready = self.out.get(self.given..).unwrap_or_default();
        if ready.is_empty()
            && let Some(error) = self.failed.take()
        {
            return Err(error);
        }
        let count = ready.len().min(out.len());
        for (to, from) in out.iter_mut().zip(ready) {
            *to = *from;
        }
        self.given += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encryption::{Encryptor, HEADER_BYTES};
    use flate2::{Compress, FlushCompress, Status};

    /// What a compressor gives for each call, as Python's does.
    fn bursts(pieces: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let mut packer = Compress::new(flate2::Compression::best(), true);
        let mut found = Vec::new();
        for piece in pieces {
            let (mut burst, before) = (Vec::with_capacity(piece.len() + 100_000), packer.total_in());
            packer.compress_vec(piece, &mut burst, FlushCompress::None).unwrap();
            assert_eq!(packer.total_in() - before, piece.len() as u64);
            found.push(burst);
        }
        let mut burst = Vec::with_capacity(1 << 20);
        assert_eq!(packer.compress_vec(&[], &mut burst, FlushCompress::Finish).unwrap(), Status::StreamEnd);
        found.push(burst);
        found
    }

    fn pieces(seed: u64, count: usize) -> Vec<Vec<u8>> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as usize
        };
        (0..count)
            .map(|_| {
                let size = next() % 9000 + 1;
                let range = [3, 30, 256][next() % 3];
                (0..size).map(|_| (next() % range) as u8).collect()
            })
            .collect()
    }

    /// Encrypts each of `parts` from the beginning again.
    fn encrypt(pass: &PassPhrase, parts: &[Vec<u8>]) -> ([u8; HEADER_BYTES], Vec<u8>) {
        let salt = [1, 2, 3, 4, 5, 6, 7, 8];
        let mut stored = Vec::new();
        for part in parts {
            let mut encryptor = Encryptor::with_salt(pass, KeyDerivation::EvpMd5, salt).unwrap();
            let mut part = part.clone();
            encryptor.encrypt(&mut part);
            stored.extend(part);
        }
        let header = Encryptor::with_salt(pass, KeyDerivation::EvpMd5, salt).unwrap().header();
        (header, stored)
    }

    fn unpack(
        pass: &PassPhrase,
        header: &[u8; HEADER_BYTES],
        stored: Vec<u8>,
    ) -> (Vec<u8>, io::Result<usize>) {
        let mut reader = Unchained::new(Box::new(io::Cursor::new(stored)), pass, header).unwrap();
        let mut out = Vec::new();
        let ended = reader.read_to_end(&mut out);
        (out, ended)
    }

    #[test]
    fn restarts_are_found() {
        let pass = PassPhrase::new("word\n").unwrap();
        for seed in 0..40 {
            let pieces = pieces(seed, 60);
            let mut parts = bursts(&pieces);
            if seed % 2 == 0 {
                // The head comes by itself, as Python 2's compressor gives it.
                let first = parts.iter().position(|part| !part.is_empty()).unwrap();
                let rest = parts[first].split_off(2);
                parts.insert(first + 1, rest);
            }
            let (header, stored) = encrypt(&pass, &parts);
            let (out, ended) = unpack(&pass, &header, stored);
            ended.unwrap();
            assert!(out == pieces.concat(), "seed {seed}");
        }
    }

    #[test]
    fn one_encryption_and_what_follows_it() {
        let pass = PassPhrase::new("word").unwrap();
        for seed in 0..10 {
            let pieces = pieces(seed, 30);
            let mut packed = bursts(&pieces).concat();
            packed.extend(b"filled up");
            let (header, stored) = encrypt(&pass, &[packed]);
            let (out, ended) = unpack(&pass, &header, stored);
            ended.unwrap();
            assert!(out == pieces.concat(), "seed {seed}");
        }
    }

    #[test]
    fn damage_is_an_error_after_what_is_good() {
        let pass = PassPhrase::new("word").unwrap();
        let pieces = pieces(3, 60);
        let (header, stored) = encrypt(&pass, &bursts(&pieces));
        let whole = pieces.concat();
        let (out, ended) = unpack(&pass, &header, stored[..stored.len() / 2].to_vec());
        assert!(ended.is_err() && whole.starts_with(&out) && out.len() > whole.len() / 4);
        let mut flipped = stored.clone();
        flipped[stored.len() / 2] ^= 0x40;
        assert!(unpack(&pass, &header, flipped).1.is_err());
        for length in 0..100 {
            assert!(unpack(&pass, &header, stored[..length].to_vec()).1.is_err(), "{length}");
        }
    }
}
