//! The record of a backup that a step has made: written with the step's end, in the same transaction.

use crate::shorten;
use freezer_database::{DbError, Tx};
use freezer_model::{Backup, BackupId, BackupStatus, JobId, Run, StepOutcome, TIME_STAMP_MAX, Timestamp};
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
    let is_time = |secs: i64| (0..=TIME_STAMP_MAX).contains(&secs);
    if !metadata.get("time_stamp").and_then(Value::as_i64).is_some_and(is_time) {
        metadata.insert("time_stamp".to_owned(), now.secs().into());
    }
    let backup_id = record_id(tx, run, &mut metadata)?;
    let refused = write(tx, run, Some(run.job_id.clone()), backup_id, metadata, now)?;
    Ok(refused.map(|cause| {
        tracing::error!(run = %run.run_id, "the backup is saved, but its record could not be written: {cause}");
        format!("the backup is saved, but its record could not be written: {cause}")
    }))
}

/// Writes a record in the name of who has made the run's action; answers why the database refuses it for good.
fn write(
    tx: &mut Tx,
    run: &Run,
    job_id: Option<JobId>,
    backup_id: BackupId,
    metadata: Map<String, Value>,
    now: Timestamp,
) -> Result<Option<String>, DbError> {
    let Some(backup) = made(run, job_id, backup_id, metadata, now) else { return Ok(None) };
    refusal(tx.backups().insert(&backup))
}

/// The record, in the name of who has made the run's action.
pub(crate) fn made(
    run: &Run,
    job_id: Option<JobId>,
    backup_id: BackupId,
    mut metadata: Map<String, Value>,
    now: Timestamp,
) -> Option<Backup> {
    shorten::metadata(&mut metadata);
    let action = run.actions.get(run.action_index)?;
    Some(Backup {
        project_id: run.project_id.clone(),
        backup_id,
        user_id: action.user_id.clone(),
        job_id,
        status: BackupStatus::Available,
        status_is_explicit: false,
        metadata,
        created_at: now,
    })
}

/// Why the database refuses a record for good.
pub(crate) fn refusal(outcome: Result<(), DbError>) -> Result<Option<String>, DbError> {
    match outcome {
        Ok(()) => Ok(None),
        Err(error @ (DbError::TooLong { .. } | DbError::OutOfRange { .. })) => Ok(Some(error.to_string())),
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
