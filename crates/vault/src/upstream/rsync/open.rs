//! From the stored bytes of a level to its stream: which engine, which cipher, which compression.
//!
//! The key is always derived with MD5, and the pass phrase is the first line of its file with the end of that line, if it has
//! one. Freezer 4 and 5 wrote CFB8, 6 CFB128, 7 CFB128 that begins anew at places that a search finds in streams of zlib
//! ([`super::unchain`]), and that segments on Swift tell in those of bzip2 ([`super::pieces`]).

use super::Flavour;
use super::pieces;
use super::unchain::Unchained;
use crate::VaultError;
use crate::catalogue::Level;
use crate::codecs::Compression;
use crate::encryption::{Cfb8Decryptor, Decryptor, HEADER_BYTES, KeyDerivation, PassPhrase};
use crate::layout::{DATA, Hbn};
use crate::restore::{Head, upstream_head};
use freezer_storage::Store;
use std::io::{self, BufReader, Read};
use std::sync::Arc;

const BUFFER_BYTES: usize = 128 * 1024;
/// Larger blocks would be held in memory as a whole.
const MOST_BLOCK_BYTES: u64 = 64 << 20;

/// How to read a level.
#[derive(Clone, Debug)]
pub(crate) struct Opening {
    pub(super) flavour: Flavour,
    codec: Codec,
    cipher: Option<Cipher>,
    /// Lengths of what was encrypted piece by piece; empty where nothing tells them.
    pieces: Vec<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codec {
    /// RFC 1950, which upstream calls gzip here.
    Zlib,
    Bzip2,
}

#[derive(Clone, Debug)]
struct Cipher {
    /// With the end of line or without, whichever fits.
    pass: PassPhrase,
    mode: Mode,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Cfb8,
    Cfb128,
}

impl Codec {
    pub(super) fn sniff(head: &[u8]) -> Option<Self> {
        let zlib = |pair: &[u8; 2]| pair[0] == 0x78 && u16::from_be_bytes(*pair).is_multiple_of(31);
        if head.first_chunk().is_some_and(zlib) {
            return Some(Self::Zlib);
        }
        let is_bzip2 =
            head.starts_with(b"BZh") && head.get(3).is_some_and(|level| (b'1'..=b'9').contains(level));
        is_bzip2.then_some(Self::Bzip2)
    }

    pub(super) fn reader(self, input: Box<dyn Read + Send>) -> Box<dyn Read + Send> {
        let input = BufReader::with_capacity(BUFFER_BYTES, input);
        match self {
            Self::Zlib => Box::new(flate2::bufread::ZlibDecoder::new(input)),
            Self::Bzip2 => Box::new(bzip2::bufread::BzDecoder::new(input)),
        }
    }
}

impl Opening {
    pub(crate) fn compression(&self) -> Compression {
        match self.codec {
            Codec::Zlib => Compression::Gzip,
            Codec::Bzip2 => Compression::Bzip2,
        }
    }

    pub(crate) fn is_encrypted(&self) -> bool {
        self.cipher.is_some()
    }

    /// The unpacked stream. Blocks for its first bytes when it is encrypted.
    pub(super) fn open(&self, mut stored: Box<dyn Read + Send>) -> io::Result<Box<dyn Read + Send>> {
        let Some(cipher) = &self.cipher else { return Ok(self.codec.reader(stored)) };
        let mut header = [0; HEADER_BYTES];
        stored.read_exact(&mut header)?;
        if (self.codec, cipher.mode) == (Codec::Zlib, Mode::Cfb128) {
            return Ok(Box::new(Unchained::new(stored, &cipher.pass, &header).ok_or_else(no_header)?));
        }
        let decryptor = cipher.start(&header).ok_or_else(no_header)?;
        let pieces = (!self.pieces.is_empty()).then(|| Pieces {
            cipher: cipher.clone(),
            header,
            left: 0,
            following: self.pieces.clone().into_iter(),
        });
        Ok(self.codec.reader(Box::new(Decrypting { inner: stored, decryptor, pieces })))
    }
}

fn no_header() -> io::Error {
    io::Error::other("it has no encryption header")
}

impl Cipher {
    fn start(&self, header: &[u8; HEADER_BYTES]) -> Option<AnyDecryptor> {
        match self.mode {
            Mode::Cfb8 => Cfb8Decryptor::new(&self.pass, KeyDerivation::EvpMd5, header)
                .map(Box::new)
                .map(AnyDecryptor::Cfb8),
            Mode::Cfb128 => Decryptor::new(&self.pass, KeyDerivation::EvpMd5, header)
                .ok()
                .flatten()
                .map(Box::new)
                .map(AnyDecryptor::Cfb128),
        }
    }
}

enum AnyDecryptor {
    Cfb8(Box<Cfb8Decryptor>),
    Cfb128(Box<Decryptor>),
}

impl AnyDecryptor {
    fn decrypt(&mut self, data: &mut [u8]) {
        match self {
            Self::Cfb8(decryptor) => decryptor.decrypt(data),
            Self::Cfb128(decryptor) => decryptor.decrypt(data),
        }
    }
}

struct Decrypting {
    inner: Box<dyn Read + Send>,
    decryptor: AnyDecryptor,
    pieces: Option<Pieces>,
}

/// What was encrypted from the beginning again and again.
struct Pieces {
    cipher: Cipher,
    header: [u8; HEADER_BYTES],
    /// Bytes of the piece that is read.
    left: u64,
    following: std::vec::IntoIter<u64>,
}

impl Decrypting {
    /// How many bytes the decryption that has begun is good for.
    fn good_for(&mut self) -> io::Result<u64> {
        let Some(pieces) = &mut self.pieces else { return Ok(u64::MAX) };
        if pieces.left == 0
            && let Some(length) = pieces.following.next()
        {
            self.decryptor = pieces.cipher.start(&pieces.header).ok_or_else(no_header)?;
            pieces.left = length;
        }
        // Behind the last one there is nothing.
        Ok(if pieces.left == 0 { u64::MAX } else { pieces.left })
    }
}

impl Read for Decrypting {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.good_for()?).unwrap_or(usize::MAX).min(out.len());
        let part = out.get_mut(..most).unwrap_or_default();
        let count = self.inner.read(part)?;
        self.decryptor.decrypt(part.get_mut(..count).unwrap_or_default());
        if let Some(pieces) = &mut self.pieces {
            pieces.left = pieces.left.saturating_sub(count as u64);
        }
        Ok(count)
    }
}

/// Finds out by the first bytes what the metadata do not say.
pub(crate) async fn sniff(
    store: &Arc<dyn Store>,
    hbn: &Hbn,
    level: &Level,
    pass: Option<&PassPhrase>,
) -> Result<Opening, VaultError> {
    let backup = format!("{hbn}, {}", level.id);
    let unreadable = |cause: String| VaultError::Unreadable { backup: backup.clone(), cause };
    let flavour = match level.metadata.as_ref().and_then(|metadata| metadata.rsync_block_bytes) {
        None => Flavour::V1,
        Some(block_bytes) if (1..=MOST_BLOCK_BYTES).contains(&block_bytes) => Flavour::V2 { block_bytes },
        Some(other) => return Err(unreadable(format!("its metadata name blocks of {other} bytes"))),
    };
    let (header, body) = match upstream_head(store, hbn, level).await? {
        Head::Encrypted { header, body } => (header, body),
        Head::Clear(head) => {
            let name = level.id.object(hbn, DATA)?;
            let codec = Codec::sniff(&head).ok_or_else(|| {
                unreadable(format!("{name} begins neither like zlib nor like bzip2 (byte 0)"))
            })?;
            return Ok(Opening { flavour, codec, cipher: None, pieces: Vec::new() });
        }
    };
    let Some(pass) = pass else { return Err(VaultError::PassPhraseMissing { backup }) };
    let with_end_of_line = PassPhrase::new([pass.bytes(), b"\n"].concat());
    for pass in with_end_of_line.into_iter().chain([pass.clone()]) {
        for mode in [Mode::Cfb128, Mode::Cfb8] {
            let cipher = Cipher { pass: pass.clone(), mode };
            let mut clear = body.clone();
            if let Some(mut decryptor) = cipher.start(&header) {
                decryptor.decrypt(&mut clear);
            }
            if let Some(codec) = Codec::sniff(&clear).filter(|codec| is_best(*codec, &clear)) {
                let pieces = match (flavour, codec, mode) {
                    (Flavour::V2 { .. }, Codec::Bzip2, Mode::Cfb128) => {
                        pieces::lengths(store, hbn, level).await?
                    }
                    _ => Vec::new(),
                };
                return Ok(Opening { flavour, codec, cipher: Some(cipher), pieces });
            }
        }
    }
    Err(VaultError::WrongPassPhrase { backup })
}

/// Upstream compresses as well as it can (78 DA, `BZh9`), which makes a wrong key stand out.
fn is_best(codec: Codec, clear: &[u8]) -> bool {
    match codec {
        Codec::Zlib => clear.starts_with(&[0x78, 0xda]),
        Codec::Bzip2 => clear.starts_with(b"BZh9"),
    }
}
