//! Checking and decrypting stretches of a payload that were read by themselves.

use super::PlannedLevel;
use crate::VaultError;
use crate::contents::{Located, Proof, Stretch};
use crate::encryption::{
    BLOCK_BYTES, CHUNK_HEADER_BYTES, ChunkOpener, Cipher, HEADER_BYTES, PartDecryptor, PassPhrase,
};
use bytes::Bytes;
use sha2::{Digest, Sha256};

/// What it takes to read stretches of one payload.
pub(super) enum Opener {
    Clear,
    Cfb(PartDecryptor),
    Chunks(Box<ChunkOpener>),
}

impl Opener {
    /// Derives the key, if there is one. Slow with a slow derivation.
    pub(super) fn new(
        level: &PlannedLevel,
        located: &Located,
        pass: Option<&PassPhrase>,
    ) -> Result<Self, VaultError> {
        let Some(scheme) = level.scheme else { return Ok(Self::Clear) };
        let backup = level.id.to_string();
        let Some(pass) = pass else { return Err(VaultError::PassPhraseMissing { backup }) };
        let opened = match scheme.cipher {
            Cipher::Aes256Cfb => <[u8; HEADER_BYTES]>::try_from(located.header.as_slice())
                .ok()
                .and_then(|header| PartDecryptor::new(pass, scheme.derivation, &header))
                .map(Self::Cfb)
                .ok_or_else(|| "no encryption header".to_owned()),
            Cipher::Aes256Gcm => <[u8; CHUNK_HEADER_BYTES]>::try_from(located.header.as_slice())
                .map_err(|error| error.to_string())
                .and_then(|header| ChunkOpener::new(pass, scheme.derivation, &header))
                .map(|opener| Self::Chunks(Box::new(opener))),
        };
        let about = |cause: String| format!("its table of contents cannot be used for the payload: {cause}");
        opened.map_err(|cause| VaultError::Unreadable { backup, cause: about(cause) })
    }

    /// What [`Opener::packed`] takes: the stretch as it is stored, or opened where that is the check. Errors are causes.
    pub(super) fn check(&self, stretch: &Stretch, stored: Bytes) -> Result<Bytes, String> {
        match (&stretch.proof, self) {
            (Proof::Hash(hash), Self::Clear | Self::Cfb(_)) => {
                if Sha256::digest(&stored).as_slice() == hash.as_slice() {
                    return Ok(stored);
                }
                Err("its content does not fit the SHA-256 in the table of contents".to_owned())
            }
            (Proof::Chunks { first, has_last, packed_bytes }, Self::Chunks(opener)) => {
                let clear = open_run(opener, *first, *has_last, &stored)?;
                let end = stretch.lead_bytes.saturating_add(*packed_bytes);
                if end > clear.len() {
                    return Err("its chunks hold less than the table of contents says".to_owned());
                }
                Ok(Bytes::from(clear).slice(stretch.lead_bytes..end))
            }
            _ => Err("its table of contents is of another cipher".to_owned()),
        }
    }

    /// The stretch before it was encrypted, of what was checked.
    pub(super) fn packed(&self, stretch: &Stretch, checked: Bytes) -> Result<Vec<u8>, VaultError> {
        let mut packed = Vec::from(checked);
        if let Self::Cfb(decryptor) = self {
            // A lead that is not a whole block is all that comes before.
            let is_first = stretch.lead_bytes < BLOCK_BYTES;
            decryptor.decrypt(&mut packed, is_first)?;
            packed.drain(..stretch.lead_bytes.min(packed.len()));
        }
        Ok(packed)
    }
}

/// Chunks that lie one behind the other.
fn open_run(opener: &ChunkOpener, first: u64, has_last: bool, stored: &[u8]) -> Result<Vec<u8>, String> {
    let mut clear = Vec::with_capacity(stored.len());
    let mut chunks = (first..).zip(stored.chunks(opener.sealed_bytes())).peekable();
    while let Some((number, sealed)) = chunks.next() {
        let is_last = has_last && chunks.peek().is_none();
        let mut chunk = sealed.to_vec();
        opener.open(number, is_last, &mut chunk)?;
        clear.extend_from_slice(&chunk);
    }
    Ok(clear)
}
