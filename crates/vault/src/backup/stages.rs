//! The threads of a backup: tar and compression on one side, encryption and hashing on the other.
//!
//! Each stage ends when its neighbour goes away, so an error anywhere stops all of them; a stream that
//! was not written to its end never looks like one that was.

use crate::VaultError;
use crate::codecs::{CompressionOptions, Compressor, Packed};
use crate::contents::{MembersWriter, StretchWriter};
use crate::encryption::{MacKey, StreamSealer};
use crate::monitor::Monitor;
use crate::problem::readable;
use crate::tar::{Fed, Feed, Index, MemberForm, Source, TarError, Watch, Written, write_archive, write_feed};
use bytes::Bytes;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::SystemTime;
use tokio::sync::mpsc;

/// Longest run of bytes handed to the store at once.
const MOST_WRITE_BYTES: usize = 1 << 20;

/// What goes to the store.
#[derive(Clone, Debug)]
pub(super) enum Part {
    Bytes(Bytes),
    EndSegment,
}

/// A piece of the payload, with its hashes; which object it is in is known later.
#[derive(Clone, Debug)]
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

/// A [`MonitorWatch`] that also writes down where the members lie.
struct Recorder {
    monitor: MonitorWatch,
    members: MembersWriter,
}

impl Recorder {
    fn start(monitor: Arc<Monitor>) -> Result<Self, VaultError> {
        let members = MembersWriter::start().map_err(contents_error)?;
        Ok(Self { monitor: MonitorWatch(monitor), members })
    }
}

impl Watch for Recorder {
    fn on_bytes(&mut self, count: u64) {
        self.monitor.on_bytes(count);
    }
    fn on_file(&mut self, path: &[u8]) {
        self.monitor.on_file(path);
    }
    fn on_member(&mut self, path: &[u8], form: MemberForm, offset: u64) {
        self.members.add(path, form, offset);
    }
    fn cancelled(&mut self) -> bool {
        self.monitor.cancelled()
    }
}

fn contents_error(error: std::io::Error) -> VaultError {
    VaultError::Internal { what: "the table of contents", cause: error.to_string() }
}

/// What was archived, and the packed list of members.
pub(super) type Archived<T> = (T, Option<Vec<u8>>);

/// First thread: archives `source` into the compressor.
pub(super) fn archive(
    source: &Source,
    base: Option<&Index>,
    mut compressor: Compressor,
    monitor: Arc<Monitor>,
) -> Result<Archived<Written>, VaultError> {
    // The one place that reads a clock: file times are compared with this, and they come from the
    // kernel's clock, whatever time the caller believes it is.
    let started_at = source.snapshot.as_ref().map_or_else(SystemTime::now, |snapshot| snapshot.taken_after);
    let mut watch = Recorder::start(monitor)?;
    let written = write_archive(source, base, started_at, &mut compressor, &mut watch)?;
    compressor.finish().map_err(|error| VaultError::from(TarError::Output(error)))?;
    let members = watch.members.finish(written.archive_bytes).map_err(contents_error)?;
    Ok((written, members))
}

/// The same of what a feed gives.
pub(super) fn archive_feed(
    feed: &dyn Feed,
    base: Option<&[u8]>,
    mut compressor: Compressor,
    monitor: Arc<Monitor>,
) -> Result<Archived<Fed>, VaultError> {
    let mut watch = Recorder::start(monitor)?;
    let fed = write_feed(feed, base, SystemTime::now(), &mut compressor, &mut watch)?;
    compressor.finish().map_err(|error| VaultError::from(TarError::Output(error)))?;
    let members = watch.members.finish(fed.written.archive_bytes).map_err(contents_error)?;
    Ok((fed, members))
}

/// Starts the compressor for [`archive`] and [`seal`].
pub(super) fn start_compressor(options: &CompressionOptions) -> Result<(Compressor, Packed), VaultError> {
    Compressor::start(options)
}

/// Second thread: encrypts, hashes and cuts what the compressor made, and passes it on.
pub(super) struct Sealer {
    encryption: Option<StreamSealer>,
    key: Option<MacKey>,
    segment_bytes: u64,
    piece_bytes: u64,
    parts: mpsc::Sender<Part>,
    pieces: Vec<HashedPiece>,
    segment: usize,
    offset_in_segment: u64,
    offset_in_payload: u64,
    current: PieceState,
    /// When the engine lists members.
    stretches: Option<StretchWriter>,
}

/// What is known of the payload when all of it has passed.
pub(super) struct Sealed {
    pub pieces: Vec<HashedPiece>,
    /// The packed list of stretches.
    pub stretches: Option<Vec<u8>>,
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
        encryption: Option<StreamSealer>,
        key: Option<MacKey>,
        (segment_bytes, piece_bytes): (u64, u64),
        parts: mpsc::Sender<Part>,
        lists_stretches: bool,
    ) -> Result<Self, VaultError> {
        let stretches = lists_stretches.then(|| StretchWriter::start(encryption.as_ref()));
        let stretches = stretches.transpose().map_err(contents_error)?;
        let current = PieceState::new(key.as_ref())?;
        let (segment, offset_in_segment, offset_in_payload) = (0, 0, 0);
        let pieces = Vec::new();
        Ok(Self {
            encryption,
            key,
            segment_bytes,
            piece_bytes,
            parts,
            pieces,
            segment,
            offset_in_segment,
            offset_in_payload,
            current,
            stretches,
        })
    }

    /// Runs to the end of `packed`; answers the pieces in order.
    pub(super) fn run(mut self, packed: Packed) -> Result<Sealed, VaultError> {
        if let Some(encryption) = &self.encryption {
            let header = Bytes::from(encryption.header());
            self.pass(header)?;
        }
        for frame in packed {
            let frame = frame.map_err(|error| VaultError::Codec { cause: error.to_string() })?;
            let packed_bytes = frame.bytes.len() as u64;
            let stored = match &mut self.encryption {
                Some(encryption) => encryption.seal(frame.bytes)?,
                None => frame.bytes,
            };
            if let Some(stretches) = &mut self.stretches {
                stretches.frame(&stored, packed_bytes, frame.clear_bytes).map_err(contents_error)?;
            }
            self.pass(Bytes::from(stored))?;
        }
        if let Some(encryption) = self.encryption.take() {
            self.pass(Bytes::from(encryption.finish()?))?;
        }
        self.end_piece()?;
        if self.offset_in_segment > 0 {
            self.send(Part::EndSegment)?;
        }
        let stretches = self.stretches.map(StretchWriter::finish).transpose().map_err(contents_error)?;
        Ok(Sealed { pieces: self.pieces, stretches: stretches.flatten() })
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
