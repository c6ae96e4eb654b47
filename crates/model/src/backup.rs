//! A backup record: metadata of a finished or announced backup. The data themselves are the vault's.

use crate::{BackupId, JobId, ProjectId, Timestamp, UserId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

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

#[derive(Clone, Debug, PartialEq)]
pub struct Backup {
    pub project_id: ProjectId,
    pub backup_id: BackupId,
    pub user_id: UserId,
    pub job_id: Option<JobId>,
    pub status: BackupStatus,
    /// Whether a client ever set the status itself; shown only then (or when not `available`).
    pub status_is_explicit: bool,
    /// `backup_metadata` as sent, without `status`.
    pub metadata: Map<String, Value>,
    pub created_at: Timestamp,
}
