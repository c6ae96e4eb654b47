//! Looks at the runs whose attention time has come: those that waited are ready again, those that were held by an agent
//! that fell silent are taken back, and so are those whose conductor died before their order was sent. What is ready is
//! handed out by [`crate::hand_out`].

use crate::announce::step_ended;
use crate::claim_jobs::is_driven;
use crate::desk::Desk;
use crate::dispatch::wait_for_agent;
use crate::finish_run::finish;
use crate::{ConductorError, slots};
use freezer_database::{DbError, Tx};
use freezer_model::outcome::{hand_out, settle, take_back};
use freezer_model::rpc::RunAction;
use freezer_model::{Client, Link, Run, RunState, StepOutcome, Timestamp};
use std::sync::Arc;

/// Runs looked at in one transaction.
const BATCH: u32 = 100;

/// Looks at one batch; returns how many runs there were.
pub(crate) async fn claim_runs(desk: &Arc<Desk>) -> Result<usize, ConductorError> {
    desk.transaction(|desk, tx| {
        let now = desk.now();
        let claimed = tx.runs().claim_due(now, BATCH)?;
        desk.note_set_aside(&claimed.set_aside);
        let count = claimed.rows.len() + claimed.set_aside.len();
        let mut ready = Vec::new();
        for run in claimed.rows {
            look(desk, tx, run, now, &mut ready)?;
        }
        tx.runs().save_many(&ready)?;
        Ok(count)
    })
    .await
}

fn look(desk: &Desk, tx: &mut Tx, mut run: Run, now: Timestamp, ready: &mut Vec<Run>) -> Result<(), DbError> {
    match run.state {
        RunState::Queued if run.abort_requested => finish(desk, tx, &mut run, now),
        RunState::Queued => {
            run.attention_at = None;
            run.waiting_for = None;
            ready.push(run);
            Ok(())
        }
        RunState::Dispatched if run.is_unsent => take_over(desk, tx, run, now),
        RunState::Dispatched | RunState::Running if now < desk.silence_counts_from() => {
            run.attention_at = Some(desk.silence_counts_from());
            tx.runs().save(&run)
        }
        // Nobody said that it began. The message was never sent (its conductor died between commit and send) when the agent
        // is well; else it waits for an agent that is not there.
        RunState::Dispatched if is_heard(desk, tx, &run, now)? => hand_out_again(tx, run),
        RunState::Dispatched => wait_for_agent(desk, tx, &mut run, now),
        RunState::Running => lose(desk, tx, &mut run, now),
        RunState::Success | RunState::Partial | RunState::Fail | RunState::Aborted => {
            run.attention_at = None;
            tx.runs().save(&run)
        }
    }
}

/// Nobody has noted in time that the broker took the order: the conductor that handed it out is gone or stuck, and sends
/// it no more. An agent that has it all the same gets it again under the higher epoch, and works under that one only.
fn take_over(desk: &Desk, tx: &mut Tx, mut run: Run, now: Timestamp) -> Result<(), DbError> {
    let patience = desk.takes_over_from();
    if now < patience {
        // Reports that say that it began may be waiting to be read.
        run.attention_at = Some(patience);
        return tx.runs().save(&run);
    }
    hand_out_again(tx, run)
}

fn is_heard(desk: &Desk, tx: &mut Tx, run: &Run, now: Timestamp) -> Result<bool, DbError> {
    let client = tx.clients().get(&run.project_id, &run.client_id)?;
    let seen = client.filter(is_driven).and_then(|client| client.last_seen_at);
    Ok(!run.abort_requested
        && seen.is_some_and(|at| now.since(at) < desk.options.lease)
        && now.since(slots::ready_since(run)) < desk.options.offline_timeout)
}

fn hand_out_again(tx: &mut Tx, mut run: Run) -> Result<(), DbError> {
    let why = if run.is_unsent { "its order was perhaps never sent" } else { "it never began" };
    tracing::warn!(run = %run.run_id, client = %run.client_id, epoch = %run.epoch, "the step is handed out again: {why}");
    let freed = slots::of(&run);
    take_back(&mut run);
    run.attention_at = None;
    tx.runs().save(&run)?;
    tx.runs().wake_waiting(&freed)?;
    Ok(())
}

/// The lease of a running step has ended.
pub(crate) fn lose(desk: &Desk, tx: &mut Tx, run: &mut Run, now: Timestamp) -> Result<(), DbError> {
    tracing::warn!(run = %run.run_id, client = %run.client_id, epoch = %run.epoch, "the agent was lost");
    let freed = slots::of(run);
    step_ended(desk, tx, run, StepOutcome::Lost, Some("the agent was lost"), now)?;
    settle(run, StepOutcome::Lost, now, desk.options.max_losses);
    if run.action_index >= run.actions.len() {
        finish(desk, tx, run, now)?;
    } else {
        tx.runs().save(run)?;
    }
    tx.runs().wake_waiting(&freed)?;
    Ok(())
}

/// Puts the run under a new epoch and makes the message for it; the caller saves the run.
pub(crate) fn next_step(
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
    hand_out(run);
    // Over HTTPS the row is the order.
    run.is_unsent = client.link != Link::Http;
    run.attention_at = Some(now.plus(if run.is_unsent { desk.sending_time() } else { desk.options.lease }));
    Ok(RunAction::of(run, trust_id))
}
