//! zlib under AES-256-CFB128 that may begin anew with its initial vector in the middle, at places nobody recorded.
//!
//! Freezer 7 encrypted each piece that its compressor gave as a stream of its own. The compressor gives something whenever a
//! block of its is complete: all bytes but the last incomplete one, which begins the next piece. So the places to look at are
//! the ends of blocks, and a wrong guess is seen by the head of the next block, which is full of redundancy, or by what comes
//! behind that block. What was encrypted in one piece (Freezer 6) is the same without such places.

use super::huffman::{Block, Content, Tables, head};
use super::stored::{Spot, Stored};
use crate::encryption::{HEADER_BYTES, PassPhrase};
use std::io::{self, Read};

/// A distance reaches so far back.
const WINDOW_BYTES: usize = 32 * 1024;
/// So much is unpacked at once.
const GIVEN_BYTES: usize = 64 * 1024;
/// A last block with fixed codes, whose head tells nothing, is searched in the last bytes only.
const TAIL_BYTES: u64 = 16 * 1024;
/// A shorter code of a block's end may begin behind the first bit of the byte it ends in, others before it in that byte.
const WHOLE_BYTE_BITS: u32 = 7;
/// So many bytes may begin in a symbol with what belongs to it (48 bits), or where it does.
const BYTES_OF_SYMBOL: u64 = 7;

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
    /// An error was met, and there is nothing to go on with.
    Broken,
}

fn damaged(cause: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, cause.to_owned())
}

impl Unchained {
    /// `None` when the header is none.
    pub(super) fn new(
        inner: Box<dyn Read + Send>,
        pass: &PassPhrase,
        header: &[u8; HEADER_BYTES],
    ) -> Option<Self> {
        Some(Self {
            stored: Stored::new(inner, pass, header)?,
            spot: Spot::default(),
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
            match std::mem::replace(&mut self.state, State::Broken) {
                State::Start => {
                    if self.stored.take(&mut self.spot, 16)? != 0xda78 {
                        return Err(damaged("it does not begin like zlib"));
                    }
                    self.state = State::Head;
                }
                State::Head => self.next_block()?,
                State::Codes(tables, is_last) => self.codes(tables, is_last)?,
                State::Plain(left, is_last) => self.plain(left, is_last)?,
                State::Trailer => {
                    self.trailer()?;
                    self.state = State::Done;
                }
                State::Done => {
                    self.state = State::Done;
                    return Ok(());
                }
                State::Broken => return Err(damaged("what comes before is damaged")),
            }
        }
        Ok(())
    }

    /// At the end of a block: goes on where the head of the next one makes sense.
    fn next_block(&mut self) -> io::Result<()> {
        let same = self.spot;
        let anew = same.anew(same.at / 8);
        let weak = match head(&mut self.stored, same) {
            Ok(Some(found)) if self.is_proven(&found)? => {
                self.enter(found);
                return Ok(());
            }
            Ok(weak) => weak,
            // There is nothing behind: that is no question of the key.
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => return Err(error),
            Err(_) => None,
        };
        if let Ok(Some(found)) = head(&mut self.stored, anew)
            && self.is_proven(&found)?
        {
            self.enter(found);
            return Ok(());
        }
        match weak {
            Some(found) => {
                self.enter(found);
                Ok(())
            }
            None if self.stored.byte(same.at / 8, same)?.is_none() => {
                Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ends too early"))
            }
            None => Err(damaged("a block begins with nonsense")),
        }
    }

    fn enter(&mut self, block: Block) {
        self.spot = block.spot;
        self.state = match block.content {
            Content::Plain(length) => State::Plain(length, block.is_last),
            Content::Fixed(tables) | Content::Own(tables) => State::Codes(tables, block.is_last),
        };
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
            if !is_last && let Some(anew) = self.ends_anew(&tables)? {
                self.spot = anew;
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

    /// Whether the encryption begins anew in the byte where this block ends: this place under it then.
    fn ends_anew(&mut self, tables: &Tables) -> io::Result<Option<Spot>> {
        let here = self.spot;
        // That byte is still to come where it was found already.
        if here.at < here.run * 8 {
            return Ok(None);
        }
        let (code, length) = tables.end;
        if length < WHOLE_BYTE_BITS {
            return self.ends_anew_behind_others(tables);
        }
        let end = here.at + u64::from(length);
        let anew = here.anew(end / 8);
        if end.is_multiple_of(8) || anew.run <= here.run || self.stored.peek(anew, length)? != code {
            return Ok(None);
        }
        Ok(self.is_block(Spot { at: end, ..anew })?.then_some(anew))
    }

    /// The same where the code of the end is short. What stands before it in that byte is read under the new encryption too.
    fn ends_anew_behind_others(&mut self, tables: &Tables) -> io::Result<Option<Spot>> {
        let here = self.spot;
        let first = here.at.div_ceil(8).max(here.run + 1);
        for run in first..first + BYTES_OF_SYMBOL {
            let anew = here.anew(run);
            // Where the block may end: in the byte, but not with it.
            let ends = run * 8 + 1..run * 8 + 8;
            let (mut spot, mut is_end) = (anew, false);
            while !is_end && spot.at < ends.end {
                match tables.pass(&mut self.stored, &mut spot) {
                    // The next symbol is nearer to that byte.
                    Ok(_) if spot.at < ends.start => return Ok(None),
                    Ok(it_is) => is_end = it_is,
                    Err(_) => break,
                }
            }
            if is_end && ends.contains(&spot.at) && self.is_block(spot)? {
                return Ok(Some(anew));
            }
        }
        Ok(None)
    }

    /// Whether a block begins at `spot`.
    fn is_block(&mut self, spot: Spot) -> io::Result<bool> {
        match head(&mut self.stored, spot) {
            Ok(Some(found)) => self.is_proven(&found),
            // A guess may lead beyond the end.
            Ok(None) | Err(_) => Ok(false),
        }
    }

    /// Whether a block is none by chance. Codes of its own are proof enough. Bytes as they are have sixteen bits of check, which fit
    /// by chance once in some gigabytes, and fixed codes have none: what comes behind must fit too.
    fn is_proven(&mut self, block: &Block) -> io::Result<bool> {
        match block.content {
            Content::Own(_) => Ok(true),
            _ if block.is_last => self.ends_well(block),
            Content::Plain(length) => self.goes_on(Spot { at: block.spot.at + length * 8, ..block.spot }),
            Content::Fixed(_) => Ok(false),
        }
    }

    /// Whether the next block begins at `spot`, or the stream breaks off there.
    fn goes_on(&mut self, spot: Spot) -> io::Result<bool> {
        for spot in [spot, spot.anew(spot.at / 8)] {
            match head(&mut self.stored, spot) {
                Ok(Some(next)) if matches!(next.content, Content::Fixed(_)) && !self.ends_well(&next)? => {}
                Ok(Some(_)) | Err(_) => return Ok(true),
                Ok(None) => {}
            }
        }
        Ok(false)
    }

    /// A last block that does not prove itself is believed when it ends where the stream does.
    fn ends_well(&mut self, block: &Block) -> io::Result<bool> {
        let mut spot = block.spot;
        match &block.content {
            _ if !block.is_last => return Ok(false),
            Content::Plain(length) => spot.at += *length * 8,
            Content::Fixed(tables) | Content::Own(tables) => {
                if self.stored.byte(spot.at / 8 + TAIL_BYTES, spot)?.is_some() {
                    return Ok(false);
                }
                loop {
                    match tables.pass(&mut self.stored, &mut spot) {
                        Ok(true) => break,
                        Ok(false) => {}
                        Err(_) => return Ok(false),
                    }
                }
            }
        }
        let trailer = spot.at.div_ceil(8);
        let (last, beyond) = (self.stored.byte(trailer + 3, spot)?, self.stored.byte(trailer + 4, spot)?);
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
    use crate::encryption::{Decryptor, Encryptor, KeyDerivation, SALT_BYTES};
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

    fn encrypt(pass: &PassPhrase, parts: &[Vec<u8>]) -> ([u8; HEADER_BYTES], Vec<u8>) {
        encrypt_with([1, 2, 3, 4, 5, 6, 7, 8], pass, parts)
    }

    /// Encrypts each of `parts` from the beginning again.
    fn encrypt_with(
        salt: [u8; SALT_BYTES],
        pass: &PassPhrase,
        parts: &[Vec<u8>],
    ) -> ([u8; HEADER_BYTES], Vec<u8>) {
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

    /// What repeats itself has codes of so few bits that several stand in the byte where a block ends.
    #[test]
    fn restarts_are_found_in_what_repeats_itself() {
        let pass = PassPhrase::new("word").unwrap();
        for (seed, period) in [(0, 1), (1, 1), (2, 1), (3, 700), (4, 700), (5, 5), (6, 5), (7, 40)] {
            let mut pieces = pieces(seed, 1);
            let repeated: Vec<u8> = (0..9usize << 20).map(|at| (at % period) as u8).collect();
            pieces.extend(repeated.chunks(1 << 20).map(<[u8]>::to_vec));
            let (header, stored) = encrypt(&pass, &bursts(&pieces));
            let (out, ended) = unpack(&pass, &header, stored);
            ended.unwrap();
            assert!(out == pieces.concat(), "seed {seed}");
        }
    }

    /// The check of bytes that are stored as they are has sixteen bits. With this salt it fits by chance where the second encryption
    /// begins and is read as the first.
    #[test]
    fn a_check_that_fits_by_chance_leads_nowhere() {
        let plain = |bytes: &[u8], is_last: bool| {
            let length = u16::try_from(bytes.len()).unwrap();
            [&[u8::from(is_last)][..], &length.to_le_bytes(), &(!length).to_le_bytes(), bytes].concat()
        };
        let pass = PassPhrase::new("word").unwrap();
        let (short, long) = (vec![b'a'; 995], (0..60_000).map(|at| (at % 251) as u8).collect::<Vec<u8>>());
        let whole = [&short[..], &long, &long].concat();
        let sums = whole.iter().fold((1u32, 0u32), |(low, high), byte| {
            let low = (low + u32::from(*byte)) % 65_521;
            (low, (high + low) % 65_521)
        });
        let first = [b"\x78\xda".to_vec(), plain(&short, false)].concat();
        let sum = ((sums.1 << 16) | sums.0).to_be_bytes().to_vec();
        let second = [plain(&long, false), plain(&long, true), sum].concat();
        let (header, stored) = encrypt_with([0, 0, 0, 0, 0, 1, 0xe1, 0x22], &pass, &[first, second]);
        let mut as_first = stored.clone();
        Decryptor::new(&pass, KeyDerivation::EvpMd5, &header).unwrap().unwrap().decrypt(&mut as_first);
        assert_eq!(as_first[1002..1007], [0x30, 0xe0, 0x64, 0x1f, 0x9b], "the salt does what it is for");
        let (out, ended) = unpack(&pass, &header, stored);
        ended.unwrap();
        assert!(out == whole);
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
        let mut reader = Unchained::new(Box::new(io::empty()), &pass, &header).unwrap();
        for _ in 0..3 {
            assert!(reader.read(&mut [0; 8]).is_err(), "an error is not the end");
        }
        for length in 0..100 {
            assert!(unpack(&pass, &header, stored[..length].to_vec()).1.is_err(), "{length}");
        }
    }
}
