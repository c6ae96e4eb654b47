//! The engine for disk images: volumes, server disks, images, RBD.
//!
//! The payload of a level is an `rbd diff v1` stream, as `rbd export-diff` writes and `rbd import-diff` reads: level 0 holds
//! what is not zero, the others what has changed. A source either gives its bytes in order, which are compared with the
//! hashes in the base's index, or the changes themselves, or the objects that they are in, which are compared too.
//!
//! Invariants: nothing is staged on disk; memory does not grow with the image; a source that ends early is an error,
//! never a shorter image.

mod backup;
mod changes;
mod diff;
mod fine;
mod index;
mod merge;
mod records;
mod restore;
mod whole;

pub use backup::backup;
pub use restore::{ImageOutput, ImagePlan, ImageReport, describe, plan, read};

use crate::VaultError;
use crate::backup::{USUAL_LOCK_EXPIRY, USUAL_SEGMENT_BYTES};
use crate::codecs::CompressionOptions;
use crate::encryption::{EncryptionOptions, PassPhrase};
use crate::levels::LevelPolicy;
use futures_util::future::BoxFuture;
use serde_json::Value;
use std::io::Read;
use std::time::{Duration, Instant};

/// Everything [`backup`] needs to know. Start from [`ImageRequest::new`].
#[derive(Clone, Debug)]
pub struct ImageRequest {
    pub hostname: String,
    /// Templates already resolved.
    pub backup_name: String,
    pub compression: CompressionOptions,
    pub encryption: Option<EncryptionOptions>,
    pub max_segment_size_bytes: u64,
    pub levels: LevelPolicy,
    /// Seconds since 1970, UTC.
    pub now_secs: i64,
    /// When `now_secs` was read. Locks are of the time at which they are taken, however long that is after; `None`: of `now_secs`.
    pub began: Option<Instant>,
    pub lock_expiry: Duration,
    pub dry_run: bool,
    /// HBN of the set that will name it. Rotation of that set removes what no set has named after long.
    pub part_of: Option<String>,
}

impl ImageRequest {
    pub fn new(hostname: &str, backup_name: &str, now_secs: i64) -> Self {
        Self {
            hostname: hostname.into(),
            backup_name: backup_name.into(),
            compression: CompressionOptions::default(),
            encryption: None,
            max_segment_size_bytes: USUAL_SEGMENT_BYTES,
            levels: LevelPolicy::default(),
            now_secs,
            began: None,
            lock_expiry: USUAL_LOCK_EXPIRY,
            dry_run: false,
            part_of: None,
        }
    }
}

/// The level a new one is built on, for whoever opens the source.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageBase {
    /// What [`OpenedImage::source`] was when it was made.
    pub source: Value,
    pub size_bytes: u64,
}

/// Opens the source once it is known what the backup is built on; `None` for a level 0. It is not dropped when the monitor is
/// cancelled, and must end by itself then: it may have to hear what it asked others to make.
pub type OpenImage =
    Box<dyn FnOnce(Option<ImageBase>) -> BoxFuture<'static, Result<OpenedImage, VaultError>> + Send>;

pub struct OpenedImage {
    pub input: ImageInput,
    /// For the next level's [`ImageBase`], such as the name of the snapshot that was read.
    pub source: Value,
    /// What must be known to restore the resource the image belongs to. Encrypted as the payload is.
    pub description: Value,
}

/// Where the bytes come from. Readers are read in a thread that may block; they must end with an error when whatever
/// feeds them is cancelled.
pub enum ImageInput {
    /// All of the image, in order. A length that is known is checked.
    Whole { reader: Box<dyn Read + Send>, size_bytes: Option<u64> },
    /// An `rbd diff v1` stream: for a level 0 everything that is not zero, else what changed since the base. Extents in
    /// ascending order. It must name the snapshot it begins at (`f`) when there is a base and only then, as `rbd export-diff`
    /// does with and without `--from-snap`.
    Changes { stream: Box<dyn Read + Send> },
    /// Such a stream that names too much: whole objects of which any part may have changed, as with `--whole-object`. It is
    /// compared with the hashes in the base's index.
    Objects { stream: Box<dyn Read + Send> },
}

/// What to restore. Start from [`ImageRestoreRequest::new`].
#[derive(Clone, Debug)]
pub struct ImageRestoreRequest {
    pub hostname: String,
    pub backup_name: String,
    /// Newest state not after this time (seconds since 1970, UTC); `None`: the newest.
    pub not_after_secs: Option<i64>,
    pub pass_phrase: Option<PassPhrase>,
}

impl ImageRestoreRequest {
    pub fn new(hostname: &str, backup_name: &str) -> Self {
        Self {
            hostname: hostname.into(),
            backup_name: backup_name.into(),
            not_after_secs: None,
            pass_phrase: None,
        }
    }
}

/// What is kept beside the payload, for restores.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct Facts {
    size_bytes: u64,
    description: Value,
}
