//! Sets: several backups that belong together, as one document that names them.
//!
//! A set is a backup of its own (engine `set`) without increments. Its payload is JSON: the members with their roles, and
//! what the caller must know to put them together again. Which backups it names stands in its manifest as well, in clear, so
//! that retention and verification need no pass phrase to know what belongs to whom.
//!
//! Invariants: a set is written when all its members are committed, and pins each by the hash of its manifest; a member is
//! never removed while another set names it.

mod prune;
mod read;
mod save;
mod verify;

pub use prune::{MemberPlan, SetPrunePlan, SetPruneReport, apply, plan as plan_prune};
pub(crate) use read::Finder;
pub use read::{MissingMember, SetContent, SetReadRequest, read};
pub use save::save;
pub use verify::{MemberVerdict, SetVerifyReport, verify};

use crate::BackupReport;
use crate::backup::USUAL_LOCK_EXPIRY;
use crate::encryption::EncryptionOptions;
use crate::layout::{Engine, Hbn, LevelId};
use crate::manifest::MemberLink;
use crate::problem::FileProblem;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::{Duration, Instant};

/// A backup to be named by a set.
#[derive(Clone, Debug)]
pub struct NewMember {
    pub hbn: Hbn,
    pub id: LevelId,
    /// What it is in the set, such as `volume /dev/vdb of web1`.
    pub role: String,
}

impl NewMember {
    /// The backup that `report` tells of.
    ///
    /// # Errors
    /// When the report's names cannot be names.
    pub fn of(engine: Engine, report: &BackupReport, role: &str) -> Result<Self, crate::VaultError> {
        let BackupReport { level, timestamp, chain_timestamp, .. } = *report;
        let hbn = Hbn::from_text(engine, report.hbn.clone())?;
        Ok(Self { hbn, id: LevelId { chain_timestamp, timestamp, level }, role: role.to_owned() })
    }
}

/// Everything [`save`] needs to know. Start from [`SetRequest::new`].
#[derive(Clone, Debug)]
pub struct SetRequest {
    pub hostname: String,
    /// Templates already resolved.
    pub backup_name: String,
    pub members: Vec<NewMember>,
    /// How the members belong together: servers, networks, attachments. Encrypted when the set is.
    pub topology: Value,
    /// What should be in the set and is not. One of weight `partial` makes the set partial.
    pub problems: Vec<FileProblem>,
    pub encryption: Option<EncryptionOptions>,
    /// Seconds since 1970, UTC.
    pub now_secs: i64,
    /// When `now_secs` was read. Locks are of the time at which they are taken, however long that is after; `None`: of `now_secs`.
    pub began: Option<Instant>,
    pub lock_expiry: Duration,
}

impl SetRequest {
    pub fn new(hostname: &str, backup_name: &str, now_secs: i64) -> Self {
        Self {
            hostname: hostname.into(),
            backup_name: backup_name.into(),
            members: Vec::new(),
            topology: Value::Null,
            problems: Vec::new(),
            encryption: None,
            now_secs,
            began: None,
            lock_expiry: USUAL_LOCK_EXPIRY,
        }
    }
}

/// A member as the set names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    #[serde(flatten)]
    pub link: MemberLink,
    pub role: String,
}

/// The payload.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Document {
    members: Vec<Member>,
    topology: Value,
}
