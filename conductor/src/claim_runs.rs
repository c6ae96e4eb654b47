//! Looks at the runs whose attention time has come: hands out what is queued, and what was held by an agent that fell silent.

use crate::claim_jobs::is_driven;
use crate::dispatch::{Errand, is_away, wait_for_agent};
use crate::finish_run::{finish, finish_as};
use crate::outcome::{current_step, settle};
use crate::{ConductorError, desk::Desk};
use freezer_database::{DbError, Tx};
use freezer_model::rpc::RunAction;
use freezer_model::{Client, Run, RunState, Step, StepOutcome, Timestamp};
use std::sync::Arc;

/// Runs looked at in one transaction.
const BATCH: u32 = 32;

/// Looks at one batch; returns how many runs there were and what is to be sent now that it is committed.
pub(crate) async fn claim_runs(desk: &Arc<Desk>) -> Result<(usize, Vec<Errand>), ConductorError> {
    desk.transaction(|desk, tx| {
        let now = desk.clock.now();
        let due = tx.runs().claim_due(now, BATCH)?;
        let count = due.len();
        let mut errands = Vec::new();
        for run in due {
            errands.extend(look(desk, tx, run, now)?);
        }
        Ok((count, errands))
    })
    .await
}

fn look(desk: &Desk, tx: &mut Tx, mut run: Run, now: Timestamp) -> Result<Option<Errand>, DbError> {
    match run.state {
        RunState::Queued => hand_out(desk, tx, run, now),
        RunState::Dispatched | RunState::Running if now < desk.silence_counts_from() => {
            run.attention_at = Some(desk.silence_counts_from());
            tx.runs().save(&run)?;
            Ok(None)
        }
        RunState::Dispatched => {
            // Nobody said that it began: the message was never sent, or waits for an agent that is not there.
            wait_for_agent(desk, tx, &mut run, now)?;
            Ok(None)
        }
        RunState::Running => {
            lose(desk, tx, &mut run, now)?;
            Ok(None)
        }
        RunState::Success | RunState::Partial | RunState::Fail | RunState::Aborted => {
            run.attention_at = None;
            tx.runs().save(&run)?;
            Ok(None)
        }
    }
}

/// The lease of a running step has ended.
pub(crate) fn lose(desk: &Desk, tx: &mut Tx, run: &mut Run, now: Timestamp) -> Result<(), DbError> {
    tracing::warn!(run = %run.run_id, client = %run.client_id, epoch = %run.epoch, "the agent was lost");
    settle(run, StepOutcome::Lost, now, &desk.options);
    if run.action_index >= run.actions.len() { finish(desk, tx, run, now) } else { tx.runs().save(run) }
}

fn hand_out(desk: &Desk, tx: &mut Tx, mut run: Run, now: Timestamp) -> Result<Option<Errand>, DbError> {
    if run.abort_requested || run.action_index >= run.actions.len() {
        finish(desk, tx, &mut run, now)?;
        return Ok(None);
    }
    let client = match tx.clients().get(&run.project_id, &run.client_id)? {
        Some(client) if is_driven(&client) => client,
        found => {
            let why =
                if found.is_some() { "polls for its jobs by itself" } else { "is not registered any more" };
            let error = format!(
                "client {} {why}; start an agent for it or give the job another client",
                run.client_id
            );
            finish_as(desk, tx, &mut run, RunState::Fail, Some(error), now)?;
            return Ok(None);
        }
    };
    let Some(order) = next_step(desk, tx, &mut run, &client, now)? else {
        finish(desk, tx, &mut run, now)?;
        return Ok(None);
    };
    if is_away(desk, &client, now) {
        wait_for_agent(desk, tx, &mut run, now)?;
        return Ok(None);
    }
    tx.runs().save(&run)?;
    Ok(Some(Errand::run(order, &client)))
}

/// Puts the run under a new epoch and makes the message for it.
fn next_step(
    desk: &Desk,
    tx: &mut Tx,
    run: &mut Run,
    client: &Client,
    now: Timestamp,
) -> Result<Option<RunAction>, DbError> {
    if run.action_index >= run.actions.len() {
        return Ok(None);
    }
    let trust_id = if client.is_central {
        let job = tx.jobs().get(&run.project_id, &run.job_id)?;
        job.and_then(|job| job.credentials).map(|trust| trust.trust_id)
    } else {
        None
    };
    if let Some(ready_since) = run.attention_at {
        desk.metrics.dispatched(now.since(ready_since));
    }
    run.epoch = run.epoch.next();
    run.attempt += 1;
    run.state = RunState::Dispatched;
    run.attention_at = Some(now.plus(desk.options.lease));
    run.error = None;
    run.steps.push(Step {
        action_index: run.action_index,
        attempt: run.attempt,
        epoch: run.epoch,
        started_at: None,
        finished_at: None,
        outcome: None,
        exit_code: None,
        error: None,
        result: serde_json::Map::new(),
    });
    Ok(RunAction::of(run, trust_id))
}

/// Takes back a step that never began, as if it had not been handed out; the epoch stays used.
pub(crate) fn take_back(run: &mut Run) {
    if current_step(run).is_some_and(|step| step.outcome.is_none()) {
        run.steps.pop();
    }
    run.attempt = (run.attempt - 1).max(0);
    run.state = RunState::Queued;
}
