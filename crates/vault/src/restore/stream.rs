//! From fetched bytes to the tar stream: decryption and decompression as `Read`s, for a thread.

use super::PlannedLevel;
use super::fetch::Arrival;
use super::head::{Head, upstream_head};
use crate::VaultError;
use crate::catalogue::Level;
use crate::codecs::{Compression, decompressor};
use crate::encryption::{Decryptor, KeyDerivation, PassPhrase, open_stream};
use crate::layout::{DATA, Hbn};
use bytes::{Buf, Bytes};
use freezer_storage::Store;
use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Reads what a fetching task sends. For threads that may block.
pub(crate) struct ArrivalReader {
    arrivals: mpsc::Receiver<Arrival>,
    waiting: VecDeque<Bytes>,
    ended: bool,
}

impl ArrivalReader {
    pub(crate) fn new(arrivals: mpsc::Receiver<Arrival>) -> Self {
        Self { arrivals, waiting: VecDeque::new(), ended: false }
    }
}

impl Read for ArrivalReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        loop {
            if let Some(front) = self.waiting.front_mut() {
                if front.is_empty() {
                    self.waiting.pop_front();
                    continue;
                }
                let count = front.len().min(out.len());
                let (part, _) = out.split_at_mut(count);
                front.copy_to_slice(part);
                return Ok(count);
            }
            if self.ended {
                return Ok(0);
            }
            match self.arrivals.blocking_recv() {
                Some(Arrival::Bytes(bytes)) => self.waiting.extend(bytes),
                Some(Arrival::End) => self.ended = true,
                None => {
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "fetching the backup failed"));
                }
            }
        }
    }
}

/// The tar stream of a level. Blocks for its first bytes when it is encrypted.
pub(crate) fn open_payload(
    arrivals: mpsc::Receiver<Arrival>,
    level: &PlannedLevel,
    pass: Option<&PassPhrase>,
) -> Result<Box<dyn Read + Send>, VaultError> {
    let backup = level.id.to_string();
    let unreadable = |cause: String| VaultError::Unreadable { backup: backup.clone(), cause };
    let reader = ArrivalReader::new(arrivals);
    let reader: Box<dyn Read + Send> = match (level.scheme, pass) {
        (None, _) => Box::new(reader),
        (Some(_), None) => return Err(VaultError::PassPhraseMissing { backup }),
        (Some(scheme), Some(pass)) => {
            let opened = open_stream(reader, scheme, pass, "object data: ");
            opened.map_err(|cause| unreadable(format!("object {DATA}: {cause}")))?
        }
    };
    decompressor(level.compression, reader).map_err(|error| unreadable(error.to_string()))
}

/// What the first bytes of one of upstream's backups tell.
pub(crate) struct Sniffed {
    /// `Some`: encrypted, and this derivation of the given pass phrase fits.
    pub derivation: Option<KeyDerivation>,
    pub compression: Option<Compression>,
}

/// Upstream records neither the digest (it depends on the openssl of its host) nor, at times, the
/// compression. Both digests are tried; the one that gives a known format is right.
pub(crate) async fn sniff_upstream(
    store: &Arc<dyn Store>,
    hbn: &Hbn,
    level: &Level,
    pass: Option<&PassPhrase>,
) -> Result<Sniffed, VaultError> {
    let (header, body) = match upstream_head(store, hbn, level).await? {
        Head::Encrypted { header, body } => (header, body),
        Head::Clear(head) => {
            let compression = Compression::sniff(&head).or(level.compression());
            return Ok(Sniffed { derivation: None, compression });
        }
    };
    let backup = format!("{hbn}, {}", level.id);
    let Some(pass) = pass else { return Err(VaultError::PassPhraseMissing { backup }) };
    for derivation in [KeyDerivation::EvpSha256, KeyDerivation::EvpMd5] {
        let Some(mut decryptor) = Decryptor::new(pass, derivation, &header)? else { continue };
        let mut clear = body.clone();
        decryptor.decrypt(&mut clear);
        if let Some(found) = Compression::sniff(&clear) {
            return Ok(Sniffed { derivation: Some(derivation), compression: Some(found) });
        }
    }
    Err(VaultError::WrongPassPhrase { backup })
}
