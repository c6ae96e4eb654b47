//! Executing a plan.

use super::{Decision, PrunePlan, PruneReport, PruneRequest, Subject, plan};
use crate::VaultError;
use crate::layout::{Hbn, LevelId, MANIFEST};
use crate::lock::Lock;
use crate::monitor::{Monitor, Phase};
use freezer_storage::{ObjectName, Store};
use std::sync::Arc;

/// Removes what `plan` says, as far as it still holds: the plan is computed again under the lock, and
/// what both agree on goes. Cancelling takes effect between chains.
pub async fn apply(
    store: &Arc<dyn Store>,
    request: &PruneRequest,
    agreed: &PrunePlan,
    monitor: &Monitor,
) -> Result<PruneReport, VaultError> {
    monitor.set_phase(Phase::Planning);
    if agreed.hbn != request.hbn.as_str() {
        return Err(VaultError::BadRequest {
            cause: format!("the plan is for {}, not {}", agreed.hbn, request.hbn),
        });
    }
    let now_secs = request.present_secs();
    let lock = Lock::take(store, &request.hbn, "prune", now_secs, request.lock_expiry).await?;
    let result = under_lock(store, request, agreed, monitor, &lock).await;
    lock.release().await;
    monitor.set_phase(Phase::Finished);
    result
}

async fn under_lock(
    store: &Arc<dyn Store>,
    request: &PruneRequest,
    agreed: &PrunePlan,
    monitor: &Monitor,
    lock: &Lock,
) -> Result<PruneReport, VaultError> {
    let current = plan(store, request).await?;
    let mut report = PruneReport::default();
    monitor.set_phase(Phase::Committing);
    for decision in &agreed.remove {
        let same = |other: &&Decision| (other.subject, &other.levels) == (decision.subject, &decision.levels);
        if !current.remove.iter().any(|other| same(&other)) {
            let chain = decision.chain_timestamp;
            report.skipped.push(format!("chain {chain}: things changed since the plan was made; plan again"));
            continue;
        }
        if monitor.is_cancelled() {
            return Err(VaultError::Cancelled);
        }
        lock.still_held().await?;
        remove(store, &request.hbn, decision, monitor, &mut report).await?;
    }
    Ok(report)
}

pub(crate) async fn remove(
    store: &Arc<dyn Store>,
    hbn: &Hbn,
    decision: &Decision,
    monitor: &Monitor,
    report: &mut PruneReport,
) -> Result<(), VaultError> {
    let mut levels = decision.levels.clone();
    // Newest first: at every moment what is still visible has all it is built on.
    levels.sort_by_key(|id| std::cmp::Reverse((id.timestamp, id.level)));
    for id in &levels {
        report.objects += remove_markers(store, hbn, id, monitor).await?;
    }
    for id in &levels {
        report.objects += store.delete_tree(&id.data_folder(hbn)?).await?;
    }
    let chain = decision.chain_timestamp.to_string();
    for folder in [hbn.metadata_folder()?.join(&chain)?, hbn.data_folder()?.join(&chain)?] {
        remove_if_empty(store, &folder).await?;
    }
    match decision.subject {
        Subject::Chain => {
            report.chains += 1;
            report.levels += levels.len() as u64;
        }
        Subject::Orphan => report.orphans += levels.len() as u64,
    }
    Ok(())
}

/// After this the level does not exist, for us and for upstream.
async fn remove_markers(
    store: &Arc<dyn Store>,
    hbn: &Hbn,
    id: &LevelId,
    monitor: &Monitor,
) -> Result<u64, VaultError> {
    let manifest = id.object(hbn, MANIFEST)?;
    let had_manifest = store.head(&manifest).await?.is_some();
    store.delete(&manifest).await?;
    monitor.note_removed(hbn, *id);
    Ok(u64::from(had_manifest) + store.delete_tree(&id.metadata_folder(hbn)?).await?)
}

/// Folders exist by themselves on some stores. Backup names may hold `/`, so that a chain's folder may
/// hold another HBN's chains.
async fn remove_if_empty(store: &Arc<dyn Store>, folder: &ObjectName) -> Result<(), VaultError> {
    if store.list(Some(folder)).await?.is_empty() {
        store.delete_tree(folder).await?;
    }
    Ok(())
}
