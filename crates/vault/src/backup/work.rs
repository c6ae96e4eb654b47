//! What an engine adds to the course of a backup, which is the same for all of them.

use crate::VaultError;
use crate::codecs::{CompressionOptions, Compressor};
use crate::encryption::EncryptionOptions;
use crate::layout::{Engine, Hbn};
use crate::levels::LevelPolicy;
use crate::manifest::{MemberLink, ProblemSummary};
use crate::monitor::Monitor;
use std::future::Future;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// One engine's part of one backup.
pub(crate) trait Work: Send + 'static {
    /// What the next level compares with.
    type Index: Send + 'static;
    /// Whether `engine_metadata` is stored as the index is, compressed and encrypted.
    const PACKS_METADATA: bool;

    /// Whether the payload is an archive with members, which can be found again one by one.
    const LISTS_MEMBERS: bool = false;

    /// Longest piece of a level's payload with hashes of its own: what a restore holds in memory before using it.
    fn piece_bytes(level: u32) -> u64;

    /// Reads the index of the level to build on. Errors are causes, and start a new chain.
    fn read_index(stored: StoredIndex) -> Result<Self::Index, String>;

    /// Why this source cannot be continued from the level of this index, although that is sound. Starts a new chain.
    fn refuses(&self, _: &Self::Index) -> Option<String> {
        None
    }

    /// Opens the source, when the level is decided and nothing is stored yet. Ends by itself soon after the monitor is cancelled.
    fn open(&mut self, base: Option<&Self::Index>) -> impl Future<Output = Result<(), VaultError>> + Send;

    /// Writes the payload and finishes `out`. Runs in a thread that may block; stops soon after the monitor is cancelled.
    fn write(
        self,
        base: Option<Self::Index>,
        out: Compressor,
        monitor: Arc<Monitor>,
    ) -> Result<Outcome, VaultError>;
}

/// What the base has to compare with.
pub(crate) enum StoredIndex {
    /// Of ours, unpacked.
    Ours(Vec<u8>),
    /// The engine metadata of a backup that another Freezer made.
    Upstream(Vec<u8>),
}

/// What is stored beside the payload: made when that has been sent, because of a large tree each takes much memory.
pub(crate) trait BesidePayload: Send + Sync {
    /// Writes what the next level compares with; not packed yet. Comes first, and once.
    fn write_index(&mut self, out: &mut dyn Write) -> io::Result<()>;
    fn engine_metadata(self: Box<Self>) -> Vec<u8>;
}

/// Both, as they are.
#[derive(Default)]
pub(crate) struct Made {
    pub index: Vec<u8>,
    pub engine_metadata: Vec<u8>,
}

impl BesidePayload for Made {
    fn write_index(&mut self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(&self.index)
    }

    fn engine_metadata(self: Box<Self>) -> Vec<u8> {
        self.engine_metadata
    }
}

/// What was written.
pub(crate) struct Outcome {
    pub members: u64,
    /// Content read from the source.
    pub content_bytes: u64,
    /// Length of the payload before compression.
    pub archive_bytes: u64,
    pub problems: ProblemSummary,
    pub is_partial: bool,
    pub beside: Box<dyn BesidePayload>,
    /// Where the members lie, packed; see [`crate::contents`].
    pub members_list: Option<Vec<u8>>,
    /// Length of a disk image.
    pub image_bytes: Option<u64>,
    /// Backups that a set names.
    pub set_members: Vec<MemberLink>,
}

/// What the course of a backup needs to know, whatever the engine.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub hbn: Hbn,
    pub compression: CompressionOptions,
    pub encryption: Option<EncryptionOptions>,
    pub max_segment_size_bytes: u64,
    pub levels: LevelPolicy,
    pub now_secs: i64,
    /// When that was read.
    pub began: Option<Instant>,
    pub lock_expiry: Duration,
    pub dry_run: bool,
    /// Folder in which this machine keeps the manifests that it wrote last.
    pub memory: Option<PathBuf>,
    /// HBN of the set that will name it.
    pub part_of: Option<String>,
    /// What is saved, for people; says too which chains may be continued. `None`: all of the HBN.
    pub source: Option<String>,
}

impl Settings {
    pub(crate) fn engine(&self) -> Engine {
        self.hbn.engine()
    }
}
