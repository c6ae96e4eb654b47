//! Restoring: choose the levels, prove that all of them are there, replay them in order.
//!
//! Invariants: no byte of one of our backups is used before the SHA-256 (and, when encrypted, the HMAC)
//! of its piece was checked; a wrong pass phrase is recognised before anything is written; a chain with
//! a hole is refused as a whole. Where only parts are wanted and a level has a table of contents, only what holds them is
//! read, and checked by the hashes in that table, which is itself checked like a piece. Upstream's backups are restored too; they carry nothing to check.
//! A restore that was interrupted goes on when it is started again (`journal`).

mod carry;
mod facts;
mod fetch;
mod foreign;
mod ground;
mod head;
mod journal;
mod merge;
mod opener;
mod parts;
mod plan;
mod preview;
mod replay;
mod report;
mod staging;
mod stream;
mod work;

pub(crate) use fetch::{Arrival, Payload, fetch_piece, name_chunks};
pub(crate) use head::{Head, read_head, upstream_head};
pub(crate) use plan::plan_of;
pub use plan::{PlannedLevel, RestorePlan, plan};
pub use replay::restore;
pub(crate) use stream::{ArrivalReader, open_payload, sniff_upstream};

use crate::codecs::Compression;
use crate::encryption::PassPhrase;
use crate::layout::Engine;
use crate::problem::FileProblem;
use crate::tar::Extract;
pub use crate::tar::LeftOut;
pub use crate::tar::{Existing, OwnerMap, Selection};
use serde::Serialize;
use std::path::PathBuf;

/// Which backups may be restored as far as authentication goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Authenticity {
    /// Check what is recorded; upstream's backups and unencrypted ones have nothing.
    #[default]
    WhenRecorded,
    /// Refuse every level without a valid authentication code.
    Required,
}

/// Everything [`restore`] needs to know. Start from [`RestoreRequest::new`].
#[derive(Clone, Debug)]
pub struct RestoreRequest {
    pub hostname: String,
    pub backup_name: String,
    /// Other spellings of the backup name, tried in order when the first has no backup: upstream
    /// stores under the unresolved template.
    pub also_named: Vec<String>,
    /// Only backups of this folder or file, and those that do not say what they are of.
    pub source: Option<PathBuf>,
    /// What backups that are of no folder say that they are of: of these nothing is restored, as they come back in another way.
    pub not_of: Vec<&'static str>,
    /// Created when missing.
    pub target: PathBuf,
    /// Allow a target that is not empty. Files the backup does not know are left alone even then.
    pub overwrite: bool,
    /// How members are placed: parts, owners, what happens to names that are taken. `incremental` is decided by the levels.
    pub extract: Extract,
    /// Delete what is in the target and not in the backup. Not with parts only. What is mounted in the target stays, what the
    /// backup says it could not save, and what of it could not be restored.
    pub delete_foreign: bool,
    /// What the backup was told to leave out: `delete_foreign` spares it.
    pub left_out: LeftOut,
    /// Let `delete_foreign` delete what the backup was told to leave out. Without this or `left_out`, it is refused where the
    /// backup has left anything out.
    pub delete_excluded: bool,
    /// Newest state not after this time (seconds since 1970, UTC); `None`: the newest.
    pub not_after_secs: Option<i64>,
    pub pass_phrase: Option<PassPhrase>,
    pub authenticity: Authenticity,
    /// Taken when a backup of upstream does not say how it is compressed and its bytes do not tell either.
    pub compression_fallback: Compression,
    /// Look for backups of this engine first: one of upstream's for files (rsync and rsyncv2 are [`Engine::Rsync`]), or its images
    /// and [`Engine::Osbrick`], which are found in no other way; those of [`Engine::Cinder`] by the volume's id as `backup_name`, whatever the host.
    pub engine: Engine,
    /// Read whole archives, even if only parts of them are wanted and their tables of contents say where these are.
    pub reads_whole: bool,
    /// Choose and check, and read everything, but write nothing.
    pub dry_run: bool,
}

impl RestoreRequest {
    pub fn new(hostname: &str, backup_name: &str, target: impl Into<PathBuf>) -> Self {
        Self {
            hostname: hostname.into(),
            backup_name: backup_name.into(),
            also_named: Vec::new(),
            source: None,
            not_of: Vec::new(),
            target: target.into(),
            overwrite: false,
            extract: Extract::default(),
            delete_foreign: false,
            left_out: LeftOut::default(),
            delete_excluded: false,
            not_after_secs: None,
            pass_phrase: None,
            authenticity: Authenticity::WhenRecorded,
            compression_fallback: Compression::Gzip,
            engine: Engine::Tar,
            reads_whole: false,
            dry_run: false,
        }
    }
}

/// What was restored.
#[derive(Clone, Debug, Serialize)]
pub struct RestoreReport {
    pub hbn: String,
    pub chain_timestamp: i64,
    /// Timestamp of the state that was restored.
    pub timestamp: i64,
    /// Timestamps of the levels replayed, level 0 first.
    pub levels: Vec<i64>,
    pub files: u64,
    /// Files that an interrupted run of this restore had left here, and that were not written again.
    pub already_there: u64,
    pub bytes_written: u64,
    pub bytes_fetched: u64,
    /// Objects in the target that the backup does not know and that were deleted.
    pub deleted: u64,
    /// Objects that the backup does not hold and that `delete_foreign` left alone all the same.
    pub spared: u64,
    /// Something of the backup is not in the target; `problems` says what.
    pub is_partial: bool,
    /// Members that could not be restored, or not wholly.
    pub problems: Vec<FileProblem>,
    pub problem_count: u64,
    /// Things worth knowing: unfinished newer backups that were passed over, levels without checksums.
    pub warnings: Vec<String>,
    pub dry_run: bool,
}
