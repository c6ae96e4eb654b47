//! The end of a run, and what it means for its job; in one transaction.

use crate::announce::run_ended;
use crate::desk::Desk;
use crate::session;
use freezer_database::{DbError, Tx};
use freezer_model::outcome::{final_state, job_result};
use freezer_model::planning::after_run;
use freezer_model::{Run, RunState, Timestamp};

/// Ends a run by its steps' outcomes.
pub(crate) fn finish(desk: &Desk, tx: &mut Tx, run: &mut Run, now: Timestamp) -> Result<(), DbError> {
    let (state, error) = final_state(run);
    finish_as(desk, tx, run, state, error, now)
}

/// Ends a run with a given state.
pub(crate) fn finish_as(
    desk: &Desk,
    tx: &mut Tx,
    run: &mut Run,
    state: RunState,
    error: Option<String>,
    now: Timestamp,
) -> Result<(), DbError> {
    run.state = state;
    run.error = error;
    run.finished_at = Some(now);
    run.attention_at = None;
    run.waiting_for = None;
    run.is_unsent = false;
    tx.runs().save(run)?;
    tracing::info!(
        project = %run.project_id, job = %run.job_id, run = %run.run_id, state = state.as_str(),
        reason = run.error.as_deref().unwrap_or("-"), "run ended"
    );
    run_ended(desk, tx, run, now)?;
    // A job that was deleted in the meantime has nothing to be told.
    let mut due = match tx.jobs().planning_for_update(&run.project_id, &run.job_id) {
        Ok(Some(due)) => due,
        Ok(None) => return Ok(()),
        // The run has ended all the same.
        Err(error @ DbError::Corrupt { .. }) => {
            tracing::error!(run = %run.run_id, "the run's end is not told to its job: {error}");
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    let result = job_result(state, desk.options.partial_result);
    let planning = after_run(&mut due, result, now);
    tx.jobs().set_state(&run.project_id, &run.job_id, &due.job.state)?;
    tx.jobs().set_planning(&run.project_id, &run.job_id, planning)?;
    session::leave(tx, &due.job, result, now)
}
