//! Making a backup: from a folder or a file to a committed level of a chain.
//!
//! Invariants: nothing is visible before the manifest is written, and that is the last thing written;
//! whatever fails or is cancelled before, what was stored is removed again as well as possible.
//! Never reads a clock: the time comes with the request.

mod agree;
mod base;
mod commit;
mod fed;
mod folder;
mod index;
mod members;
mod quick;
mod run;
mod scan;
mod stages;
mod upload;
mod work;

pub use crate::tar::{
    Dereference, Feed, Members, Owner, Rules, SnapshotSource, Source, Streamed, TarError, Witness,
};
pub use folder::{backup, backup_to_all};
pub(crate) use index::{attachment_fault, contents_within, decrypt, index_within, unpack};
pub use members::StorageCopy;
pub(crate) use run::course;
pub(crate) use stages::MonitorWatch;
pub(crate) use work::{BesidePayload, Made, Outcome, Settings, StoredIndex, Work};

use crate::codecs::{Compression, CompressionOptions};
use crate::encryption::EncryptionOptions;
use crate::levels::LevelPolicy;
use crate::manifest::ParentLink;
use crate::problem::FileProblem;
use serde::Serialize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Upstream's `max_segment_size` when nothing is said.
pub const USUAL_SEGMENT_BYTES: u64 = 33_554_432;
/// A lock nobody renewed for so long is taken over.
pub const USUAL_LOCK_EXPIRY: Duration = Duration::from_secs(3600);

/// Everything [`backup`] needs to know. Start from [`BackupRequest::new`].
#[derive(Clone, Debug)]
pub struct BackupRequest {
    pub hostname: String,
    /// Templates already resolved.
    pub backup_name: String,
    pub source: Source,
    /// Gives the content instead of `source`. Whether there can be increments, it says itself.
    pub feed: Option<Arc<dyn Feed>>,
    /// What the feed gives: backups of something else under the same name are told apart by it. Of a folder it is its path.
    pub fed_from: String,
    pub compression: CompressionOptions,
    pub encryption: Option<EncryptionOptions>,
    pub max_segment_size_bytes: u64,
    pub levels: LevelPolicy,
    /// Seconds since 1970, UTC. The backup's id unless one as new exists already.
    pub now_secs: i64,
    /// When `now_secs` was read. Locks are of the time at which they are taken, however long that is after; `None`: of `now_secs`.
    pub began: Option<Instant>,
    pub lock_expiry: Duration,
    /// Count files and bytes in a thread of its own, so that progress has totals.
    pub scan_totals: bool,
    /// Read, compress and encrypt, but store nothing.
    pub dry_run: bool,
    /// Folder of this machine in which manifests are kept that it has written, so that the next run need not fetch the one it is
    /// built on from a store that lists it with its hash. Made when its parent is there; needs no care, and may go at any time.
    pub memory: Option<PathBuf>,
}

impl BackupRequest {
    pub fn new(hostname: &str, backup_name: &str, source: Source, now_secs: i64) -> Self {
        Self {
            hostname: hostname.into(),
            backup_name: backup_name.into(),
            source,
            feed: None,
            fed_from: String::new(),
            compression: CompressionOptions::default(),
            encryption: None,
            max_segment_size_bytes: USUAL_SEGMENT_BYTES,
            levels: LevelPolicy::default(),
            now_secs,
            began: None,
            lock_expiry: USUAL_LOCK_EXPIRY,
            scan_totals: false,
            dry_run: false,
            memory: None,
        }
    }
}

/// What was made.
#[derive(Clone, Debug, Serialize)]
pub struct BackupReport {
    /// `<hostname>_<backup_name>`.
    pub hbn: String,
    pub level: u32,
    /// Id of this backup.
    pub timestamp: i64,
    /// Id of the chain: timestamp of its level 0.
    pub chain_timestamp: i64,
    /// As the first storage has it that holds it.
    pub parent: Option<ParentLink>,
    /// Of a backup onto several storages what became of it on each, in their order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub copies: Vec<StorageCopy>,
    /// Why this level was chosen.
    pub level_reason: String,
    /// What whoever set this up should look at.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Folder of the data below the store's root.
    pub folder: String,
    pub compression: Compression,
    pub encrypted: bool,
    /// Bytes of file content read.
    pub bytes_read: u64,
    /// Bytes of the payload as stored.
    pub bytes_stored: u64,
    pub segments: u64,
    pub files: u64,
    /// Length of the disk image, when it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_bytes: Option<u64>,
    /// Something that should be in the backup is not; `problems` says what.
    pub is_partial: bool,
    /// Trouble with single files, notices included.
    pub problems: Vec<FileProblem>,
    /// How many there are; `problems` is cut at some length.
    pub problem_count: u64,
    pub dry_run: bool,
}
