//! The threads of a backup: tar and compression on one side, encryption and hashing on the other.
//!
//! Each stage ends when its neighbour goes away, so an error anywhere stops all of them; a stream that
//! was not written to its end never looks like one that was.

use crate::VaultError;
use crate::codecs::{CompressionOptions, Compressor, Packed};
use crate::encryption::{Encryptor, MacKey};
use crate::monitor::Monitor;
use crate::problem::readable;
use crate::tar::{Fed, Feed, Index, Source, TarError, Watch, Written, write_archive, write_feed};
use bytes::Bytes;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::SystemTime;
use tokio::sync::mpsc;

/// Longest run of bytes handed to the store at once.
const MOST_WRITE_BYTES: usize = 1 << 20;

/// What goes to the store.
#[derive(Debug)]
pub(super) enum Part {
    Bytes(Bytes),
    EndSegment,
}

/// A piece of the payload, with its hashes; which object it is in is known later.
#[derive(Debug)]
pub(super) struct HashedPiece {
    pub segment: usize,
    pub offset_in_segment: u64,
    pub offset_in_payload: u64,
    pub size_bytes: u64,
    pub sha256: String,
    pub hmac: Option<String>,
}

/// Lets a [`Monitor`] watch the tar engine.
pub(crate) struct MonitorWatch(pub Arc<Monitor>);

impl Watch for MonitorWatch {
    fn on_bytes(&mut self, count: u64) {
        self.0.add_read(count);
    }
    fn on_file(&mut self, path: &[u8]) {
        self.0.add_file();
        self.0.set_current(&readable(path));
    }
    fn cancelled(&mut self) -> bool {
        self.0.is_cancelled()
    }
}

/// First thread: archives `source` into the compressor.
pub(super) fn archive(
    source: &Source,
    base: Option<&Index>,
    mut compressor: Compressor,
    monitor: Arc<Monitor>,
) -> Result<Written, VaultError> {
    // The one place that reads a clock: file times are compared with this, and they come from the
    // kernel's clock, whatever time the caller believes it is.
    let started_at = source.snapshot.as_ref().map_or_else(SystemTime::now, |snapshot| snapshot.taken_after);
    let mut watch = MonitorWatch(monitor);
    let written = write_archive(source, base, started_at, &mut compressor, &mut watch)?;
    compressor.finish().map_err(|error| VaultError::from(TarError::Output(error)))?;
    Ok(written)
}

/// The same of what a feed gives.
pub(super) fn archive_feed(
    feed: &dyn Feed,
    base: Option<&[u8]>,
    mut compressor: Compressor,
    monitor: Arc<Monitor>,
) -> Result<Fed, VaultError> {
    let mut watch = MonitorWatch(monitor);
    let fed = write_feed(feed, base, SystemTime::now(), &mut compressor, &mut watch)?;
    compressor.finish().map_err(|error| VaultError::from(TarError::Output(error)))?;
    Ok(fed)
}

/// Starts the compressor for [`archive`] and [`seal`].
pub(super) fn start_compressor(options: &CompressionOptions) -> Result<(Compressor, Packed), VaultError> {
    Compressor::start(options)
}

/// Second thread: encrypts, hashes and cuts what the compressor made, and passes it on.
pub(super) struct Sealer {
    encryptor: Option<Encryptor>,
    key: Option<MacKey>,
    segment_bytes: u64,
    piece_bytes: u64,
    parts: mpsc::Sender<Part>,
    pieces: Vec<HashedPiece>,
    segment: usize,
    offset_in_segment: u64,
    offset_in_payload: u64,
    current: PieceState,
}

struct PieceState {
    hash: Sha256,
    mac: Option<crate::encryption::MacState>,
    size_bytes: u64,
}

impl PieceState {
    fn new(key: Option<&MacKey>) -> Result<Self, VaultError> {
        let mac = key.map(MacKey::start).transpose()?;
        Ok(Self { hash: Sha256::new(), mac, size_bytes: 0 })
    }
}

impl Sealer {
    pub(super) fn new(
        encryptor: Option<Encryptor>,
        key: Option<MacKey>,
        (segment_bytes, piece_bytes): (u64, u64),
        parts: mpsc::Sender<Part>,
    ) -> Result<Self, VaultError> {
        let current = PieceState::new(key.as_ref())?;
        let (segment, offset_in_segment, offset_in_payload) = (0, 0, 0);
        let pieces = Vec::new();
        Ok(Self {
            encryptor,
            key,
            segment_bytes,
            piece_bytes,
            parts,
            pieces,
            segment,
            offset_in_segment,
            offset_in_payload,
            current,
        })
    }

    /// Runs to the end of `packed`; answers the pieces in order.
    pub(super) fn run(mut self, packed: Packed) -> Result<Vec<HashedPiece>, VaultError> {
        if let Some(encryptor) = &self.encryptor {
            let header = Bytes::copy_from_slice(&encryptor.header());
            self.pass(header)?;
        }
        for block in packed {
            let mut block = block.map_err(|error| VaultError::Codec { cause: error.to_string() })?;
            if let Some(encryptor) = &mut self.encryptor {
                encryptor.encrypt(&mut block);
            }
            self.pass(Bytes::from(block))?;
        }
        self.end_piece()?;
        if self.offset_in_segment > 0 {
            self.send(Part::EndSegment)?;
        }
        Ok(self.pieces)
    }

    /// Hashes and sends `block`, ending pieces and segments where they are full.
    fn pass(&mut self, mut block: Bytes) -> Result<(), VaultError> {
        while !block.is_empty() {
            let room_in_segment = self.segment_bytes.saturating_sub(self.offset_in_segment);
            let room_in_piece = self.piece_bytes.saturating_sub(self.current.size_bytes);
            let room = usize::try_from(room_in_segment.min(room_in_piece)).unwrap_or(usize::MAX);
            let part = block.split_to(room.min(MOST_WRITE_BYTES).min(block.len()));
            let size = part.len() as u64;
            self.current.hash.update(&part);
            if let Some(mac) = &mut self.current.mac {
                mac.update(&part);
            }
            self.current.size_bytes += size;
            self.offset_in_segment += size;
            self.offset_in_payload += size;
            self.send(Part::Bytes(part))?;
            if self.offset_in_segment == self.segment_bytes {
                self.end_piece()?;
                self.send(Part::EndSegment)?;
                self.segment += 1;
                self.offset_in_segment = 0;
            } else if self.current.size_bytes == self.piece_bytes {
                self.end_piece()?;
            }
        }
        Ok(())
    }

    fn end_piece(&mut self) -> Result<(), VaultError> {
        if self.current.size_bytes == 0 {
            return Ok(());
        }
        let next = PieceState::new(self.key.as_ref())?;
        let done = std::mem::replace(&mut self.current, next);
        self.pieces.push(HashedPiece {
            segment: self.segment,
            offset_in_segment: self.offset_in_segment - done.size_bytes,
            offset_in_payload: self.offset_in_payload - done.size_bytes,
            size_bytes: done.size_bytes,
            sha256: hex::encode(done.hash.finalize()),
            hmac: done.mac.map(crate::encryption::MacState::finish),
        });
        Ok(())
    }

    fn send(&self, part: Part) -> Result<(), VaultError> {
        // The other end only goes away when the upload failed or was cancelled, and then says why itself.
        self.parts.blocking_send(part).map_err(|_| VaultError::Cancelled)
    }
}
