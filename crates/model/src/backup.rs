//! A backup record: metadata of a finished or announced backup. The data themselves are the vault's.

use crate::{BackupId, JobId, ProjectId, Timestamp, UserId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BackupStatus {
    Creating,
    #[default]
    Available,
    Error,
    Deleting,
    Deleted,
}

impl BackupStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Available => "available",
            Self::Error => "error",
            Self::Deleting => "deleting",
            Self::Deleted => "deleted",
        }
    }
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Creating, Self::Available, Self::Error, Self::Deleting, Self::Deleted]
            .into_iter()
            .find(|status| status.as_str() == word)
    }
}

/// The last second that clients can show: the end of the year 9999.
pub const TIME_STAMP_MAX: i64 = 253_402_300_799;

/// `D` is how the metadata are held: as a tree, or as [`StoredObject`](crate::document::StoredObject) where they are only shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Backup<D = Map<String, Value>> {
    pub project_id: ProjectId,
    pub backup_id: BackupId,
    pub user_id: UserId,
    pub job_id: Option<JobId>,
    pub status: BackupStatus,
    /// Whether a client ever set the status itself; shown only then (or when not `available`).
    pub status_is_explicit: bool,
    /// `backup_metadata` as sent, without `status`.
    pub metadata: D,
    pub created_at: Timestamp,
}

impl Backup {
    /// Key of the metadata with the size that counts for the quota.
    pub const STORED_BYTES: &str = "bytes_stored";

    /// What metadata say about a size; without it nothing is counted. Bounded, so that a few records cannot make a sum
    /// that no database can hold.
    pub fn stored_bytes(metadata: &Map<String, Value>) -> i64 {
        metadata.get(Self::STORED_BYTES).and_then(Value::as_i64).unwrap_or(0).clamp(0, STORED_BYTES_MAX)
    }
}

/// More than any storage has, and exact as a number of any kind.
const STORED_BYTES_MAX: i64 = 1 << 53;

/// Key of a step's result with descriptions of backups that are on a storage: what has no record gets one.
pub const ADOPTED: &str = "adopted_backups";

/// Backups that a step has removed from a storage: key [`RemovedBackups::KEY`] of its result. Their records go too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovedBackups {
    pub storage: String,
    /// Empty but for the storage `ssh`.
    #[serde(default)]
    /// The machine of storages that are one, whatever they speak.
    pub ssh_host: String,
    pub container: String,
    /// Of the records: of a backup of several resources, which each have a chain named after it.
    pub hostname: String,
    pub backup_name: String,
    /// Further names of records: of an action that named none and was about several.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub also_named: BTreeSet<String>,
    /// `<hostname>_<backup_name>` → (time stamp of the chain, time stamp of the backup).
    pub levels: BTreeMap<String, BTreeSet<(i64, i64)>>,
    /// The same of further storages, of an action that was about several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub elsewhere: Vec<Self>,
}

impl RemovedBackups {
    pub const KEY: &str = "removed_backups";

    /// Key of a record with the storages that hold its backup, when they are several.
    pub const STORAGES: &str = "storages";

    /// Whether this `backup_metadata` describes one of them.
    pub fn has(&self, metadata: &Map<String, Value>) -> bool {
        self.is_from(metadata) && self.is_of(metadata)
    }

    /// Whether this `backup_metadata` is of such a backup, on whatever storage.
    pub fn is_of(&self, metadata: &Map<String, Value>) -> bool {
        let text = |key: &str| metadata.get(key).and_then(Value::as_str).unwrap_or_default();
        let time = |key: &str| metadata.get(key).and_then(Value::as_i64);
        let (Some(chain), Some(own)) = (time("chain_time_stamp"), time("time_stamp")) else { return false };
        let name = format!("{}_{}", text("hostname"), text("backup_name"));
        self.levels.get(&name).is_some_and(|levels| levels.contains(&(chain, own)))
    }

    /// Whether a record, or what it says of one of its storages, names the storage that they are gone from.
    pub fn is_from(&self, place: &Map<String, Value>) -> bool {
        let text = |key: &str| place.get(key).and_then(Value::as_str).unwrap_or_default();
        // A record of storage ftp names its machine under a key of its own.
        let machine = [text("ssh_host"), text("ftp_host")].into_iter().find(|text| !text.is_empty());
        [text("storage"), machine.unwrap_or_default(), text("container")]
            == [&self.storage, &self.ssh_host, &self.container]
    }
}
