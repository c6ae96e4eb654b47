//! Placing and releasing holds.

use super::read::object_name;
use super::{Hold, list};
use crate::VaultError;
use crate::catalogue::{self, Level, Standing};
use crate::layout::{Engine, Hbn, LevelId};
use crate::lock::Lock;
use crate::manifest::MemberLink;
use bytes::Bytes;
use freezer_model::clock::time_text;
use freezer_storage::Store;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Duration;

/// Which backup is held or let go. Start from [`HoldRequest::new`].
#[derive(Clone, Debug)]
pub struct HoldRequest {
    pub hbn: Hbn,
    /// The newest not after this time (seconds since 1970, UTC); `None`: the newest to hold, all that are held to release.
    pub not_after_secs: Option<i64>,
    pub by: String,
    pub reason: String,
    pub until_secs: Option<i64>,
    pub now_secs: i64,
    pub lock_expiry: Duration,
}

impl HoldRequest {
    pub fn new(hbn: Hbn, now_secs: i64) -> Self {
        Self {
            hbn,
            not_after_secs: None,
            by: String::new(),
            reason: String::new(),
            until_secs: None,
            now_secs,
            lock_expiry: crate::backup::USUAL_LOCK_EXPIRY,
        }
    }
}

/// A backup that was held or let go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HoldReport {
    pub hbn: String,
    pub chain_timestamp: i64,
    pub timestamp: i64,
    pub level: u32,
    /// Backups of a set that went with it.
    pub members: u64,
}

/// Holds a backup that is there. A hold on the same backup is replaced.
pub async fn place(store: &Arc<dyn Store>, request: &HoldRequest) -> Result<HoldReport, VaultError> {
    if request.until_secs.is_some_and(|until| until <= request.now_secs) {
        return Err(VaultError::BadRequest { cause: "the end of the hold is not in the future".into() });
    }
    let hbn = &request.hbn;
    under_lock(store, request, hbn, async {
        let level = choose(store, request).await?;
        let links = members(&level);
        let hold = Hold {
            by: request.by.clone(),
            reason: request.reason.clone(),
            since_secs: request.now_secs,
            until_secs: request.until_secs,
            of_set: None,
        };
        // Members first: what the set names is never free while the set is held.
        for link in links {
            hold_member(store, request, link, &level.id, &hold).await?;
        }
        write(store, hbn, &level.id, None, &hold).await?;
        Ok(report(hbn, &level.id, links.len()))
    })
    .await
}

/// Lets go what is held: the backup of a time, or every one. Says so when nothing is.
pub async fn release(store: &Arc<dyn Store>, request: &HoldRequest) -> Result<Vec<HoldReport>, VaultError> {
    let hbn = &request.hbn;
    under_lock(store, request, hbn, async {
        let held = list(store, hbn).await?.0;
        // A member goes with its set.
        let own = held.into_iter().filter(|held| held.hold.as_ref().is_none_or(|hold| hold.of_set.is_none()));
        let mut ids: Vec<LevelId> = own.map(|held| held.id).collect();
        ids.sort_by_key(|id| id.timestamp);
        if let Some(limit) = request.not_after_secs {
            ids.retain(|id| id.timestamp <= limit);
            ids = ids.pop().into_iter().collect();
        }
        if ids.is_empty() {
            return Err(VaultError::BadRequest {
                cause: format!("nothing of {hbn} is held{}", before(request)),
            });
        }
        let mut reports = Vec::new();
        for id in ids {
            let level = catalogue::read_level(store, hbn, id).await?;
            store.delete(&object_name(hbn, &id, None)?).await?;
            let links = members(&level);
            for link in links {
                let mark = set_mark(hbn, &id);
                store.delete(&object_name(&link.hbn()?, &link.id(), Some(&mark))?).await?;
            }
            reports.push(report(hbn, &id, links.len()));
        }
        Ok(reports)
    })
    .await
}

async fn under_lock<T>(
    store: &Arc<dyn Store>,
    request: &HoldRequest,
    hbn: &Hbn,
    work: impl Future<Output = Result<T, VaultError>>,
) -> Result<T, VaultError> {
    let lock = Lock::take(store, hbn, "hold", request.now_secs, request.lock_expiry).await?;
    let result = work.await;
    lock.release().await;
    result
}

async fn choose(store: &Arc<dyn Store>, request: &HoldRequest) -> Result<Level, VaultError> {
    let hbn = &request.hbn;
    let catalogue = catalogue::list(store, hbn).await?;
    let finished = catalogue.chains.iter().flat_map(|chain| &chain.levels);
    let finished = finished.filter(|level| level.standing != Standing::Uncommitted);
    let in_time =
        finished.filter(|level| request.not_after_secs.is_none_or(|limit| level.id.timestamp <= limit));
    let chosen = in_time.max_by_key(|level| level.id.timestamp).cloned();
    chosen.ok_or_else(|| VaultError::NoBackup {
        hbn: hbn.to_string(),
        before: before(request),
        store: store.describe(),
    })
}

fn before(request: &HoldRequest) -> String {
    request.not_after_secs.map(|secs| format!(" up to {}", time_text(secs))).unwrap_or_default()
}

fn members(level: &Level) -> &[MemberLink] {
    level.manifest().map(|manifest| manifest.members.as_slice()).unwrap_or_default()
}

/// Under the member's own lock, and only if it is there.
async fn hold_member(
    store: &Arc<dyn Store>,
    request: &HoldRequest,
    link: &MemberLink,
    set: &LevelId,
    hold: &Hold,
) -> Result<(), VaultError> {
    let member = link.hbn()?;
    under_lock(store, request, &member, async {
        let level = catalogue::read_level(store, &member, link.id()).await?;
        if level.standing == Standing::Uncommitted {
            // The set stays held for what is left of it.
            tracing::warn!(%member, id = %link.id(), "a member of the set is not there any more");
            return Ok(());
        }
        let hold = Hold { of_set: Some(request.hbn.to_string()), ..hold.clone() };
        let mark = set_mark(&request.hbn, set);
        write(store, &member, &link.id(), Some(&mark), &hold).await
    })
    .await
}

/// Tells sets apart in the names of their members' holds.
fn set_mark(set: &Hbn, id: &LevelId) -> String {
    let digest = hex::encode(Sha256::digest(format!("{}\0{set}\0{}", Engine::Set, id.timestamp)));
    digest.get(..16).unwrap_or_default().to_owned()
}

async fn write(
    store: &Arc<dyn Store>,
    hbn: &Hbn,
    id: &LevelId,
    of_set: Option<&str>,
    hold: &Hold,
) -> Result<(), VaultError> {
    let body = serde_json::to_vec(hold)
        .map_err(|error| VaultError::Internal { what: "the hold", cause: error.to_string() })?;
    Ok(store.put(&object_name(hbn, id, of_set)?, Bytes::from(body)).await?)
}

fn report(hbn: &Hbn, id: &LevelId, members: usize) -> HoldReport {
    HoldReport {
        hbn: hbn.to_string(),
        chain_timestamp: id.chain_timestamp,
        timestamp: id.timestamp,
        level: id.level,
        members: members as u64,
    }
}
