//! Action backup of a folder that is read from a snapshot, which is gone when the action ends, however it ends.

use super::{ActionError, Done, backup};
use crate::options::snapshot::SnapshotOptions;
use crate::options::typed::ActionOptions;
use crate::snapshots;
use crate::storages::Surroundings;
use freezer_vault::Monitor;
use serde_json::json;
use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// What is broken off may take so long to tidy up in its storage.
const BREAKING_OFF: Duration = Duration::from_secs(60);

pub(super) async fn backup(
    options: &ActionOptions,
    wanted: &SnapshotOptions,
    around: &Surroundings,
    monitor: Arc<Monitor>,
) -> Result<Done, ActionError> {
    let path = options.path_to_backup.as_deref();
    let path = path.ok_or_else(|| ActionError::Failed("path_to_backup is not set".to_owned()))?;
    // First, as a freeze that was left would hold up all that follows.
    snapshots::tidy_up(&around.state_dir).await;
    if options.sync {
        sync(path).await;
    }
    let held = snapshots::take(wanted, path, &around.state_dir).await;
    let held = held.map_err(|cause| ActionError::Failed(format!("snapshot: {cause}")))?;
    let told = held.told();
    let limit = Duration::from_secs(wanted.lifetime_secs);
    let work = backup::read(options, around, monitor.clone(), Some(&held));
    let done = within(limit, &monitor, work).await;
    let removed = held.remove().await;
    if let Err(cause) = &removed {
        tracing::error!("{cause}");
    }
    match done {
        Ok(mut done) => {
            done.summary.push(format!("Read from    {told}"));
            done.result
                .insert("snapshot".to_owned(), json!({"read_from": told, "left": removed.as_ref().err()}));
            if let Err(cause) = removed {
                done.summary.push(format!("WARNING      {cause}"));
            }
            Ok(done)
        }
        Err(ActionError::Failed(text)) if removed.is_err() => {
            Err(ActionError::Failed(format!("{text}; {}", removed.err().unwrap_or_default())))
        }
        Err(error) => Err(error),
    }
}

/// So that the file system stands still for a shorter time. A wish, not a condition.
async fn sync(path: &Path) {
    let path = path.to_path_buf();
    let work = move || std::fs::File::open(&path).ok().and_then(|file| rustix::fs::syncfs(&file).ok());
    let _ = tokio::task::spawn_blocking(work).await;
}

/// Breaks the work off when the snapshot has become too old.
async fn within(
    limit: Duration,
    monitor: &Monitor,
    work: impl Future<Output = Result<Done, ActionError>>,
) -> Result<Done, ActionError> {
    tokio::pin!(work);
    tokio::select! {
        done = &mut work => return done,
        () = tokio::time::sleep(limit) => monitor.cancel(),
    }
    match tokio::time::timeout(BREAKING_OFF, work).await {
        // It was being committed just then.
        Ok(Ok(done)) => Ok(done),
        _ => Err(ActionError::Failed(format!(
            "the snapshot was {} s old (snapshot_timeout) before all of it was read; the backup was broken off",
            limit.as_secs()
        ))),
    }
}
