//! What agents report about a step. Each report is fenced: an old epoch, an ended or an unknown run, or one of another
//! client is answered `stale`.

use crate::ConductorError;
use crate::adopt::adopt;
use crate::announce::{step_began, step_ended};
use crate::desk::Desk;
use crate::finish_run::finish;
use crate::forget_removed::forget_removed;
use crate::limit_run::limits;
use crate::record_backup::record_backup;
use crate::reporter::may_report;
use crate::{shorten, slots};
use freezer_database::{DbError, Tx};
use freezer_model::outcome::{current_step, settle};
use freezer_model::rpc::{ReportReply, Reporter, StepFinished, StepProgress, StepStarted, Verdict};
use freezer_model::{Epoch, Run, RunId, RunState, StepOutcome, Timestamp};
use std::sync::Arc;

pub(crate) async fn step_started(
    desk: &Arc<Desk>,
    report: StepStarted,
) -> Result<ReportReply, ConductorError> {
    desk.transaction(move |desk, tx| {
        let now = desk.clock.now();
        let run = held(tx, &report.run_id, report.epoch)?;
        let Some(mut run) = its_own(tx, run, report.reporter.as_ref())? else { return Ok(stale()) };
        begin(desk, tx, &mut run, now)?;
        run.attention_at = Some(now.plus(desk.options.lease));
        tx.runs().save(&run)?;
        tx.jobs().set_pid(&run.project_id, &run.job_id, report.pid)?;
        Ok(noted(&run))
    })
    .await
}

pub(crate) async fn step_progress(
    desk: &Arc<Desk>,
    report: StepProgress,
) -> Result<ReportReply, ConductorError> {
    desk.transaction(move |desk, tx| {
        let now = desk.clock.now();
        let run = held(tx, &report.run_id, report.epoch)?;
        let Some(mut run) = its_own(tx, run, report.reporter.as_ref())? else { return Ok(stale()) };
        begin(desk, tx, &mut run, now)?;
        run.progress = shorten::progress(report.progress.clone());
        run.attention_at = Some(now.plus(desk.options.lease));
        tx.runs().save(&run)?;
        Ok(noted(&run))
    })
    .await
}

pub(crate) async fn step_finished(
    desk: &Arc<Desk>,
    report: StepFinished,
) -> Result<ReportReply, ConductorError> {
    let reply = desk
        .transaction(move |desk, tx| {
            let now = desk.clock.now();
            let run = held(tx, &report.run_id, report.epoch)?;
            let Some(mut run) = its_own(tx, run, report.reporter.as_ref())? else {
                return repeated(tx, &report);
            };
            begin(desk, tx, &mut run, now)?;
            let error = shorten::error(report.error.clone());
            let unrecorded = record_backup(tx, &run, report.outcome, &report.result, now)?;
            let unadopted = adopt(tx, &run, report.outcome, &report.result, now)?;
            let unforgotten = forget_removed(tx, &run, &report.result)?;
            let mut progress = shorten::progress(report.progress.clone());
            if let Some(step) = current_step(&mut run) {
                step.log = std::mem::take(&mut progress.log);
                step.exit_code = report.exit_code;
                step.error = error.clone().or(unrecorded).or(unadopted).or(unforgotten);
                step.result = shorten::result(&report.result);
            }
            shorten::steps(&mut run);
            run.progress = progress;
            // An agent does not skip by itself: whatever it means, the work was not done.
            let outcome =
                if report.outcome == StepOutcome::Skipped { StepOutcome::Fail } else { report.outcome };
            step_ended(desk, tx, &run, outcome, error.as_deref(), now)?;
            let freed = slots::of(&run);
            settle(&mut run, outcome, now, desk.options.max_losses);
            if run.action_index >= run.actions.len() {
                finish(desk, tx, &mut run, now)?;
            } else {
                tx.runs().save(&run)?;
            }
            tx.runs().wake_waiting(&freed)?;
            Ok(Verdict::Continue.into())
        })
        .await?;
    desk.wake.notify_one();
    Ok(reply)
}

/// The run, locked, when this epoch is the one that may speak for it.
pub(crate) fn held(tx: &mut Tx, id: &RunId, epoch: Epoch) -> Result<Option<Run>, DbError> {
    let run = tx.runs().get_for_update(id)?;
    Ok(run.filter(|run| run.epoch == epoch && matches!(run.state, RunState::Dispatched | RunState::Running)))
}

/// The run, if it is this agent's.
fn its_own(tx: &mut Tx, run: Option<Run>, reporter: Option<&Reporter>) -> Result<Option<Run>, DbError> {
    let Some(run) = run else { return Ok(None) };
    let is_its_own = may_report(tx, &run, reporter)?;
    if !is_its_own {
        tracing::warn!(run = %run.run_id, client = %run.client_id, ?reporter, "a report of somebody else was refused");
    }
    Ok(is_its_own.then_some(run))
}

/// An agent repeats the end of a step until it got an answer; the second time it is known already.
fn repeated(tx: &mut Tx, report: &StepFinished) -> Result<ReportReply, DbError> {
    let run = tx.runs().get_for_update(&report.run_id)?;
    let run = its_own(tx, run, report.reporter.as_ref())?;
    let is_known = run.is_some_and(|run| {
        let mut steps = run.steps.iter().filter(|step| step.epoch == report.epoch);
        steps.any(|step| step.outcome.is_some_and(|outcome| outcome == report.outcome))
    });
    Ok(if is_known { Verdict::Continue.into() } else { stale() })
}

fn begin(desk: &Desk, tx: &mut Tx, run: &mut Run, now: Timestamp) -> Result<(), DbError> {
    run.state = RunState::Running;
    run.is_unsent = false;
    run.started_at.get_or_insert(now);
    let is_new = current_step(run)
        .is_some_and(|step| step.started_at.replace(step.started_at.unwrap_or(now)).is_none());
    if is_new { step_began(desk, tx, run, now) } else { Ok(()) }
}

fn noted(run: &Run) -> ReportReply {
    let verdict = if run.abort_requested { Verdict::Abort } else { Verdict::Continue };
    ReportReply { verdict, limits: limits(run) }
}

fn stale() -> ReportReply {
    Verdict::Stale.into()
}
