//! The record of a backup that a step has made: written with the step's end, in the same transaction.

use freezer_database::{DbError, Tx};
use freezer_model::{Backup, BackupId, BackupStatus, Run, StepOutcome, Timestamp};
use serde_json::{Map, Value};

/// Key of the step's result that holds the metadata.
const KEY: &str = "backup_metadata";

/// Writes a record when the step's result describes a backup. What the database refuses for good (a container's name
/// that is too long, …) is returned as a text for the step: the data are saved all the same.
pub(crate) fn record_backup(
    tx: &mut Tx,
    run: &Run,
    outcome: StepOutcome,
    result: &Map<String, Value>,
    now: Timestamp,
) -> Result<Option<String>, DbError> {
    let metadata = match (outcome, result.get(KEY)) {
        (StepOutcome::Success | StepOutcome::Partial, Some(Value::Object(metadata))) => metadata,
        _ => return Ok(None),
    };
    // Nothing was stored, so there is nothing to restore.
    if metadata.get("dry_run") == Some(&Value::Bool(true)) {
        return Ok(None);
    }
    let mut metadata = metadata.clone();
    metadata.insert("job_id".to_owned(), run.job_id.as_str().into());
    if !metadata.get("time_stamp").is_some_and(Value::is_i64) {
        metadata.insert("time_stamp".to_owned(), now.secs().into());
    }
    let Some(action) = run.actions.get(run.action_index) else { return Ok(None) };
    let backup = Backup {
        project_id: run.project_id.clone(),
        backup_id: record_id(tx, run, &mut metadata)?,
        user_id: action.user_id.clone(),
        job_id: Some(run.job_id.clone()),
        status: BackupStatus::Available,
        status_is_explicit: false,
        metadata,
        created_at: now,
    };
    match tx.backups().insert(&backup) {
        Ok(()) => Ok(None),
        Err(error @ (DbError::TooLong { .. } | DbError::OutOfRange { .. })) => {
            tracing::error!(run = %run.run_id, "the backup is saved, but its record could not be written: {error}");
            Ok(Some(format!("the backup is saved, but its record could not be written: {error}")))
        }
        Err(error) => Err(error),
    }
}

/// The id under which the agent has marked the backup in Cinder, if it is a fresh one; else a new one.
fn record_id(tx: &mut Tx, run: &Run, metadata: &mut Map<String, Value>) -> Result<BackupId, DbError> {
    let Some(Value::String(text)) = metadata.remove("backup_id") else { return Ok(BackupId::random()) };
    let is_id = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let id = BackupId::from(text.as_str());
    let is_fresh = is_id && tx.backups().get(&run.project_id, &id)?.is_none();
    Ok(if is_fresh { id } else { BackupId::random() })
}
