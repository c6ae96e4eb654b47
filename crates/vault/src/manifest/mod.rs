//! The manifest: the one object that makes a backup of ours exist, naming every other object of it with
//! size, SHA-256 and (when encrypted) HMAC-SHA-256.
//!
//! It is compact JSON. Its last keys, `sha256` and `hmac`, are computed over the same text without
//! these two keys (the canonical form), so that later versions may add keys and stay verifiable.

mod metadata;
mod seal;

pub(crate) use metadata::{Metadata, MetadataKind};
pub(crate) use seal::{Sealed, seal};

use crate::VaultError;
use crate::codecs::Compression;
use crate::encryption::{Beside, ChunkGrid, Cipher, KeyDerivation, MacParameters, Scheme};
use crate::layout::{Engine, Hbn, LevelId};
use crate::problem::FileProblem;
use serde::{Deserialize, Serialize};

/// Newest version of the manifest that this program reads.
pub const MANIFEST_VERSION: u32 = 3;
/// Version of most manifests. What needs a newer program says so: sealed chunks are read since version 2, `beside` since version 3.
const USUAL_VERSION: u32 = 1;

/// Longest piece that has hashes of its own, in bytes: what a restore holds in memory before using it.
pub const MOST_PIECE_BYTES: u64 = 33_554_432;

/// The backup a level is built on, pinned by the hash of its manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParentLink {
    pub level: u32,
    pub timestamp: i64,
    /// `sha256` of the parent's manifest; missing when the parent is a backup of upstream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest_sha256: Option<String>,
}

/// A backup that a set names, pinned by the hash of its manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberLink {
    pub engine: Engine,
    /// `<hostname>_<backup_name>`.
    pub hbn: String,
    pub chain_timestamp: i64,
    pub timestamp: i64,
    pub level: u32,
    pub manifest_sha256: String,
}

impl MemberLink {
    pub fn id(&self) -> LevelId {
        LevelId { chain_timestamp: self.chain_timestamp, timestamp: self.timestamp, level: self.level }
    }
    pub fn hbn(&self) -> Result<Hbn, VaultError> {
        Hbn::from_text(self.engine, self.hbn.clone())
    }
}

/// A run of bytes of the payload that is hashed as one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// Object below the level's data folder; missing when the payload is one object, `data`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// Where the piece starts in that object.
    pub offset_bytes: u64,
    pub size_bytes: u64,
    pub sha256: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hmac: Option<String>,
}

/// A small object beside the payload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    pub size_bytes: u64,
    pub sha256: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hmac: Option<String>,
}

/// How payload and objects beside it are encrypted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EncryptionRecord {
    /// `aes-256-cfb`, in the framing of `openssl enc`, or `aes-256-gcm`, in sealed chunks.
    pub cipher: Cipher,
    /// Clear bytes of a sealed chunk, as the header of the payload says too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chunk_size_bytes: Option<u32>,
    pub derivation: KeyDerivation,
    /// Nothing when the objects beside the payload are encrypted with the same pass phrase as that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beside: Option<Beside>,
    pub mac: MacParameters,
}

impl EncryptionRecord {
    pub(crate) fn scheme(&self) -> Scheme {
        Scheme { cipher: self.cipher, derivation: self.derivation }
    }
}

/// Sums over the payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    pub files: u64,
    /// File content read from the source.
    pub read_bytes: u64,
    /// Length of the tar stream.
    pub tar_bytes: u64,
    /// Payload as stored.
    pub stored_bytes: u64,
}

/// What could not be backed up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProblemSummary {
    pub count: u64,
    /// The first of them.
    pub first: Vec<FileProblem>,
    /// Of a folder: whether options (`exclude`, `exclude_rules`, `include_rules`) left anything to be left out. Missing of other
    /// backups, and of those of before there was such a record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaves_out: Option<bool>,
}

/// What was saved, so that nothing is built on a backup of something else that has the same name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceRecord {
    /// SHA-256 of HBN and source; of an encrypted backup its code under the authentication key, which tells nobody what it is.
    pub id: String,
    /// In words; only of a backup that is not encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Of an encrypted backup: `id` of clear ones of the same source that were there under the same HBN when its chain began, so that
    /// rotation, which has no pass phrase, counts them together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub succeeds: Option<String>,
}

/// Everything about one backup.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    pub version: u32,
    pub tool: String,
    pub engine: String,
    pub hbn: String,
    pub level: u32,
    pub timestamp: i64,
    pub chain_timestamp: i64,
    pub parent: Option<ParentLink>,
    /// How all levels it is built on were listed when their manifests had been read and proved. As long as they are listed like that,
    /// who takes the next level need not read them again. Missing where listings tell neither what is in objects nor when they were
    /// written to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ancestors_sha256: Option<String>,
    pub compression: Compression,
    pub encryption: Option<EncryptionRecord>,
    pub segment_size_bytes: u64,
    pub pieces: Vec<Piece>,
    pub engine_metadata: Attachment,
    pub index: Attachment,
    /// The index itself in Base64 when it is short; then there is no such object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index_body: Option<String>,
    /// Where each member of the archive lies in the payload. Missing where the payload is read in one go, of other engines,
    /// and in backups of before there was such a table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contents: Option<Attachment>,
    /// As `index_body`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contents_body: Option<String>,
    pub metadata: Attachment,
    pub totals: Totals,
    pub problems: ProblemSummary,
    /// Of a set: the backups it consists of. In clear, so that retention needs no pass phrase.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<MemberLink>,
    /// The HBN of the set that it was made for, in clear for the same reason: without that set nobody knows of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part_of: Option<String>,
    /// Missing where nobody said, and in backups of before there was such a record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceRecord>,
    /// Locks in the HBN's folder whose runs are over now that this manifest is there. They lie there until somebody removes a lock.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub locks_over: Vec<String>,
}

impl Manifest {
    pub fn id(&self) -> LevelId {
        LevelId { chain_timestamp: self.chain_timestamp, timestamp: self.timestamp, level: self.level }
    }
    /// The version that a manifest needs.
    pub(crate) fn version_for(encryption: Option<&EncryptionRecord>) -> u32 {
        match encryption.map(|record| (record.beside, record.cipher)) {
            Some((Some(_), _)) => 3,
            Some((None, Cipher::Aes256Gcm)) => 2,
            Some((None, Cipher::Aes256Cfb)) | None => USUAL_VERSION,
        }
    }

    /// The sealed chunks that lie in one of its pieces, first and last one, where the payload is in such chunks.
    pub(crate) fn chunks_in(&self, piece: &Piece) -> Option<(u64, u64)> {
        let chunk_bytes = self.encryption.as_ref()?.chunk_size_bytes?;
        let place = self.pieces.iter().position(|known| known == piece)?;
        let start: u64 = self.pieces.iter().take(place).map(|piece| piece.size_bytes).sum();
        let touched = ChunkGrid::of_length(chunk_bytes).touched(&(start..start + piece.size_bytes));
        Some((touched.start, touched.end.saturating_sub(1).max(touched.start)))
    }

    /// Faults in what the manifest says about itself, beyond its hash.
    pub(crate) fn fault(&self) -> Option<String> {
        if self.version > MANIFEST_VERSION {
            return Some(format!("version {} is newer than this program; update it", self.version));
        }
        let stored: Option<u64> =
            self.pieces.iter().try_fold(0u64, |sum, piece| sum.checked_add(piece.size_bytes));
        if stored != Some(self.totals.stored_bytes) {
            return Some("the sizes of its pieces do not add up".into());
        }
        if self.pieces.iter().any(|piece| piece.size_bytes == 0 || piece.size_bytes > MOST_PIECE_BYTES) {
            return Some("it has a piece of an impossible size".into());
        }
        if (self.level == 0) != self.parent.is_none() {
            return Some("level and parent contradict each other".into());
        }
        let unsigned = |hmac: &Option<String>| hmac.is_none();
        let contents_unsigned = self.contents.as_ref().is_some_and(|contents| unsigned(&contents.hmac));
        if self.encryption.is_some()
            && (self.pieces.iter().any(|piece| unsigned(&piece.hmac))
                || unsigned(&self.index.hmac)
                || contents_unsigned)
        {
            return Some("it is encrypted but a piece has no authentication code".into());
        }
        self.piece_fault()
    }

    /// Pieces must follow each other without gaps, object by object.
    fn piece_fault(&self) -> Option<String> {
        let mut object: Option<&Option<String>> = None;
        let mut end = 0u64;
        for piece in &self.pieces {
            let continues = object == Some(&piece.object);
            let expected = if continues { end } else { 0 };
            if piece.offset_bytes != expected || (object.is_some() && !continues && piece.object.is_none()) {
                return Some("its pieces leave a gap".into());
            }
            object = Some(&piece.object);
            end = piece.offset_bytes.saturating_add(piece.size_bytes);
        }
        None
    }
}
