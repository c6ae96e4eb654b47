//! Taking back a level that was made for something that did not come about.

use super::{Decision, PruneReport, Subject, remove};
use crate::VaultError;
use crate::catalogue;
use crate::hold;
use crate::layout::{Hbn, LevelId};
use crate::lock::Lock;
use crate::monitor::Monitor;
use freezer_storage::Store;
use std::sync::Arc;
use std::time::Duration;

/// Removes a level if it is the newest of its chain: nothing is built on it, and the next backup is what it would have
/// been without. Answers whether it was.
pub async fn withdraw(
    store: &Arc<dyn Store>,
    hbn: &Hbn,
    id: LevelId,
    now_secs: i64,
    lock_expiry: Duration,
) -> Result<bool, VaultError> {
    let lock = Lock::take(store, hbn, "prune", now_secs, lock_expiry).await?;
    let work = async {
        let catalogue = catalogue::list(store, hbn).await?;
        let chain = catalogue.chains.iter().find(|chain| chain.timestamp == id.chain_timestamp);
        let newest = chain.and_then(|chain| chain.levels.last());
        if newest.map(|level| level.id) != Some(id) {
            return Ok(false);
        }
        if hold::list(store, hbn).await?.of(&id, now_secs).is_some() {
            return Ok(false);
        }
        lock.still_held().await?;
        let reason = "it is part of nothing".to_owned();
        let row = Decision {
            subject: Subject::Orphan,
            chain_timestamp: id.chain_timestamp,
            levels: vec![id],
            reason,
        };
        // Nobody was told of it, so nobody needs to be told that it is gone.
        remove(store, hbn, &row, &Monitor::new(), &mut PruneReport::default()).await?;
        Ok(true)
    };
    let result = work.await;
    lock.release().await;
    result
}
