//! AES-256-GCM over a stream, in sealed chunks.
//!
//! ```text
//! header, 43 bytes:
//!     "FZSEAL" 0 1 (the last byte is the version)
//!     8 bytes: salt of the key derivation
//!     4 bytes: clear bytes of a chunk, highest byte first
//!     16 bytes: salt of this stream's own key
//!     7 bytes: how its nonces begin
//! chunks: each as many bytes as the header says, the last one 0 up to so many, each with a tag of 16 bytes behind it
//! ```
//! The derivation gives 32 bytes from pass phrase and salt (what it gives for an initial vector is not used); the stream's key is
//! HMAC-SHA-256 with them as the key over the 43 bytes of the header. So no two streams have a key in common, and a changed
//! header opens nothing. A chunk's nonce is the 7 bytes, its number from 0 on in 4 bytes, highest first, and one byte that is 1
//! for the last chunk and 0 for all others: what is left out, cut off, moved, doubled or added does not open (the STREAM
//! construction of Hoang, Reyhanitabar, Rogaway and Vizár).

use super::{KeyDerivation, PassPhrase, SALT_BYTES, random_bytes};
use crate::VaultError;
use aes_gcm::{AeadInOut, Aes256Gcm, Nonce, Tag};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::ops::Range;
use zeroize::Zeroizing;

/// Clear bytes in a chunk of what is written here.
pub(crate) const USUAL_CHUNK_BYTES: u32 = 64 << 10;
/// What stands before the first chunk.
pub const CHUNK_HEADER_BYTES: usize = 43;
/// What stands behind each.
pub const TAG_BYTES: usize = 16;

const MAGIC: &[u8; 8] = b"FZSEAL\x00\x01";
/// A header that says less or more is damaged: chunks are held in memory whole.
const CHUNK_BYTES_ACCEPTED: std::ops::RangeInclusive<u32> = 1 << 10..=16 << 20;
const STREAM_SALT_BYTES: usize = 16;
const NONCE_START_BYTES: usize = 7;

/// A header taken apart.
struct Header {
    salt: [u8; SALT_BYTES],
    chunk_bytes: u32,
    nonce_start: [u8; NONCE_START_BYTES],
}

impl Header {
    /// Errors are causes.
    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let fail = || "it does not begin as sealed chunks do".to_owned();
        let rest = bytes.strip_prefix(MAGIC.as_slice()).ok_or_else(fail)?;
        let (salt, rest) = rest.split_first_chunk::<SALT_BYTES>().ok_or_else(fail)?;
        let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(fail)?;
        let (_, rest) = rest.split_first_chunk::<STREAM_SALT_BYTES>().ok_or_else(fail)?;
        let nonce_start = <[u8; NONCE_START_BYTES]>::try_from(rest).map_err(|_| fail())?;
        let chunk_bytes = u32::from_be_bytes(*length);
        if !CHUNK_BYTES_ACCEPTED.contains(&chunk_bytes) {
            return Err(format!("its header says that a chunk has {chunk_bytes} bytes"));
        }
        Ok(Self { salt: *salt, chunk_bytes, nonce_start })
    }
}

/// The stream's key, and what its nonces begin with.
struct StreamKey {
    cipher: Aes256Gcm,
    nonce_start: [u8; NONCE_START_BYTES],
    chunk_bytes: usize,
}

impl StreamKey {
    /// Errors are causes. Slow with a slow derivation.
    fn derive(pass: &PassPhrase, derivation: KeyDerivation, header: &[u8]) -> Result<Self, String> {
        let parsed = Header::parse(header)?;
        let base = derivation.derive(pass, &parsed.salt);
        let mut code = Hmac::<Sha256>::new_from_slice(base.key()).map_err(|error| error.to_string())?;
        code.update(header);
        let key: Zeroizing<[u8; 32]> = Zeroizing::new(code.finalize().into_bytes().into());
        let cipher = Aes256Gcm::new_from_slice(key.as_slice()).map_err(|error| error.to_string())?;
        let chunk_bytes = usize::try_from(parsed.chunk_bytes).map_err(|error| error.to_string())?;
        Ok(Self { cipher, nonce_start: parsed.nonce_start, chunk_bytes })
    }

    /// Errors are causes.
    fn nonce(&self, number: u64, is_last: bool) -> Result<[u8; 12], String> {
        let number = u32::try_from(number)
            .map_err(|_| format!("it has more than {} chunks", u64::from(u32::MAX) + 1))?;
        let bytes = self
            .nonce_start
            .into_iter()
            .chain(number.to_be_bytes())
            .chain(std::iter::once(u8::from(is_last)));
        let mut nonce = [0; 12];
        for (to, from) in nonce.iter_mut().zip(bytes) {
            *to = from;
        }
        Ok(nonce)
    }
}

/// Seals a stream piece by piece.
pub struct ChunkSealer {
    key: StreamKey,
    header: [u8; CHUNK_HEADER_BYTES],
    /// Number of the chunk that is being filled.
    number: u64,
    /// What is in it. A full one waits until it is known whether it is the last.
    waiting: Vec<u8>,
}

impl ChunkSealer {
    /// Starts a stream with salts of its own.
    pub fn new(pass: &PassPhrase, derivation: KeyDerivation) -> Result<Self, VaultError> {
        let salts = random_bytes::<{ SALT_BYTES + STREAM_SALT_BYTES + NONCE_START_BYTES }>();
        let (salt, own) = salts.split_at(SALT_BYTES);
        let length = USUAL_CHUNK_BYTES.to_be_bytes();
        let bytes = MAGIC.iter().chain(salt).chain(&length).chain(own);
        let mut header = [0; CHUNK_HEADER_BYTES];
        for (to, from) in header.iter_mut().zip(bytes) {
            *to = *from;
        }
        Self::with_header(pass, derivation, header)
    }

    pub(super) fn with_header(
        pass: &PassPhrase,
        derivation: KeyDerivation,
        header: [u8; CHUNK_HEADER_BYTES],
    ) -> Result<Self, VaultError> {
        let key = StreamKey::derive(pass, derivation, &header).map_err(internal)?;
        let waiting = Vec::with_capacity(key.chunk_bytes);
        Ok(Self { key, header, number: 0, waiting })
    }

    /// What stands before the chunks.
    pub fn header(&self) -> [u8; CHUNK_HEADER_BYTES] {
        self.header
    }

    /// Takes the next bytes of the stream, and appends the chunks that are full.
    pub fn seal(&mut self, mut clear: &[u8], out: &mut Vec<u8>) -> Result<(), VaultError> {
        while !clear.is_empty() {
            if self.waiting.len() == self.key.chunk_bytes {
                self.end_chunk(false, out)?;
            }
            let room = self.key.chunk_bytes.saturating_sub(self.waiting.len());
            let (now, later) = clear.split_at(room.min(clear.len()));
            self.waiting.extend_from_slice(now);
            clear = later;
        }
        Ok(())
    }

    /// Appends the last chunk.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<(), VaultError> {
        self.end_chunk(true, out)
    }

    fn end_chunk(&mut self, is_last: bool, out: &mut Vec<u8>) -> Result<(), VaultError> {
        let nonce = Nonce::from(self.key.nonce(self.number, is_last).map_err(too_long)?);
        let chunk = self.waiting.as_mut_slice();
        let tag = self.key.cipher.encrypt_inout_detached(&nonce, b"", chunk.into());
        let tag = tag.map_err(|error| internal(error.to_string()))?;
        out.extend_from_slice(&self.waiting);
        out.extend_from_slice(tag.as_slice());
        self.waiting.clear();
        self.number += 1;
        Ok(())
    }
}

/// Opens chunks, in whatever order.
pub struct ChunkOpener(StreamKey);

impl ChunkOpener {
    /// Takes the first [`CHUNK_HEADER_BYTES`] of a stream. Errors are causes.
    pub fn new(
        pass: &PassPhrase,
        derivation: KeyDerivation,
        header: &[u8; CHUNK_HEADER_BYTES],
    ) -> Result<Self, String> {
        StreamKey::derive(pass, derivation, header).map(Self)
    }

    /// Bytes of a whole chunk with its tag.
    pub fn sealed_bytes(&self) -> usize {
        self.0.chunk_bytes + TAG_BYTES
    }

    /// Opens a chunk where it is, and cuts off its tag. Errors are causes, and name the chunk; the bytes are to be thrown away then.
    pub fn open(&self, number: u64, is_last: bool, sealed: &mut Vec<u8>) -> Result<(), String> {
        let about = |cause: &str| format!("chunk {number} {cause}");
        let Some(length) = sealed.len().checked_sub(TAG_BYTES) else {
            return Err(about("is cut off: the rest is missing"));
        };
        let (chunk, tag) = sealed.split_at_mut(length);
        let tag = <Tag>::try_from(&*tag).map_err(|_| about("has no tag"))?;
        if !self.fits(number, is_last, chunk, &tag)? {
            // A chunk that opens at another place of the same stream says what happened.
            let cause = match self.fits(number, !is_last, chunk, &tag)? {
                true if is_last => "is not the last one: the rest is missing",
                true => "is the last one, but something follows it",
                false => "does not fit its tag: it was changed, moved or cut, or the key is another one",
            };
            return Err(about(cause));
        }
        sealed.truncate(length);
        Ok(())
    }

    /// Decrypts when the tag fits; else the bytes stay as they are.
    fn fits(&self, number: u64, is_last: bool, chunk: &mut [u8], tag: &Tag) -> Result<bool, String> {
        let nonce = Nonce::from(self.0.nonce(number, is_last)?);
        Ok(self.0.cipher.decrypt_inout_detached(&nonce, b"", chunk.into(), tag).is_ok())
    }
}

/// Where bytes of the clear stream lie in the sealed one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChunkGrid {
    chunk_bytes: u64,
}

impl ChunkGrid {
    /// As the stream's header says. Errors are causes.
    pub(crate) fn of(header: &[u8]) -> Result<Self, String> {
        Header::parse(header).map(|header| Self { chunk_bytes: header.chunk_bytes.into() })
    }

    pub(crate) fn of_length(chunk_bytes: u32) -> Self {
        Self { chunk_bytes: u64::from(chunk_bytes).max(1) }
    }

    /// Length of the sealed stream, header included, of so many clear bytes.
    pub(crate) fn stored_bytes(self, clear_bytes: u64) -> Option<u64> {
        let tags = clear_bytes.div_ceil(self.chunk_bytes).max(1).checked_mul(TAG_BYTES as u64)?;
        clear_bytes.checked_add(tags)?.checked_add(CHUNK_HEADER_BYTES as u64)
    }

    /// Numbers of the chunks that hold these clear bytes.
    pub(crate) fn holding(self, clear: &Range<u64>) -> Range<u64> {
        clear.start / self.chunk_bytes..clear.end.div_ceil(self.chunk_bytes)
    }

    /// Numbers of the chunks that these stored bytes have something of. Of the header alone none.
    pub(crate) fn touched(self, stored: &Range<u64>) -> Range<u64> {
        let header = CHUNK_HEADER_BYTES as u64;
        let sealed = self.chunk_bytes + TAG_BYTES as u64;
        stored.start.saturating_sub(header) / sealed..stored.end.saturating_sub(header).div_ceil(sealed)
    }

    /// Where a chunk begins in the sealed stream. Those behind the last one begin behind its end.
    pub(crate) fn start_of(self, number: u64) -> u64 {
        let sealed = self.chunk_bytes + TAG_BYTES as u64;
        number.saturating_mul(sealed).saturating_add(CHUNK_HEADER_BYTES as u64)
    }

    pub(crate) fn clear_start_of(self, number: u64) -> u64 {
        number.saturating_mul(self.chunk_bytes)
    }
}

fn internal(cause: String) -> VaultError {
    VaultError::Internal { what: "encryption", cause }
}

fn too_long(cause: String) -> VaultError {
    VaultError::BadRequest {
        cause: format!("aes-256-gcm: {cause}; save less in one backup, or with aes-256-cfb"),
    }
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use sha2::Digest;

    /// Chunks of 1 KiB, which no backup has.
    pub(in super::super) fn header() -> [u8; CHUNK_HEADER_BYTES] {
        let mut header: Vec<u8> = MAGIC.to_vec();
        header.extend(0..8u8);
        header.extend(1024u32.to_be_bytes());
        header.extend(8..31u8);
        header.try_into().unwrap()
    }

    pub(in super::super) fn sealed(clear: &[u8], pieces: usize) -> Vec<u8> {
        let pass = PassPhrase::new("secret").unwrap();
        let mut sealer = ChunkSealer::with_header(&pass, KeyDerivation::EvpSha256, header()).unwrap();
        let mut out = sealer.header().to_vec();
        for piece in clear.chunks(pieces) {
            sealer.seal(piece, &mut out).unwrap();
        }
        sealer.finish(&mut out).unwrap();
        out
    }

    /// Hashes of what Python's `cryptography` makes of the same, with the key that `openssl enc -P` shows.
    #[test]
    fn vectors_of_another_program() {
        for (length, expected) in [
            (0, "50f85c4431392fc3918f42f92e4842f41dcd74140490594be3d2e8b7d8473e1b"),
            (1024, "7c9bca3820a5a82d8fd03436389f297ffbf20a698a6506543de492adf66f6b62"),
            (2048, "bd6e2b68a2ce996dd400d7d9984ed1ef415cd32ed1455cd48f47ab342c565515"),
            (2500, "959b34fac00cb246ffc03de33a2649ecb6bd4da2582deb2b74024b05e1f874af"),
        ] {
            let clear: Vec<u8> = (0..length).map(|place| (place % 251) as u8).collect();
            for pieces in [1, 77, 1024, 5000] {
                let found = sealed(&clear, pieces);
                assert_eq!(hex::encode(Sha256::digest(&found)), expected, "{length} in pieces of {pieces}");
                let grid = ChunkGrid::of(&found).unwrap_err();
                assert!(grid.contains("does not begin"), "a header and more is none: {grid}");
                let grid = ChunkGrid::of(&header()).unwrap();
                assert_eq!(grid.stored_bytes(clear.len() as u64), Some(found.len() as u64));
            }
        }
    }

    #[test]
    fn a_grid_finds_the_chunks() {
        let grid = ChunkGrid::of_length(1024);
        let (holding, touched) = (|range| grid.holding(&range), |range| grid.touched(&range));
        assert_eq!((holding(0..1), holding(0..1024), holding(0..1025)), (0..1, 0..1, 0..2));
        assert_eq!((holding(1023..1024), holding(1024..2048), holding(1023..2049)), (0..1, 1..2, 0..3));
        assert_eq!((touched(0..43), touched(0..44), touched(43..1083)), (0..0, 0..1, 0..1));
        assert_eq!((touched(1082..1083), touched(1083..1084), touched(1000..4000)), (0..1, 1..2, 0..4));
        assert_eq!((grid.start_of(0), grid.start_of(2), grid.clear_start_of(2)), (43, 2123, 2048));
    }

    #[test]
    fn streams_have_nothing_in_common() {
        let pass = PassPhrase::new("secret").unwrap();
        let start = || ChunkSealer::new(&pass, KeyDerivation::EvpSha256).unwrap();
        let (one, other) = (start(), start());
        let salts = |sealer: &ChunkSealer| (sealer.header()[8..16].to_vec(), sealer.header()[20..].to_vec());
        let ((salt, own), (other_salt, other_own)) = (salts(&one), salts(&other));
        assert!(salt != other_salt && own != other_own);
        let mut sealed = [Vec::new(), Vec::new()];
        one.finish(&mut sealed[0]).unwrap();
        other.finish(&mut sealed[1]).unwrap();
        assert_ne!(sealed[0], sealed[1], "the same nothing, and other tags");
    }
}
