//! The life of one step: wait for a slot, run the child, pass on its progress, report its end.

use super::central;
use super::child::{Ended, LastWords, StepChild};
use super::executor::{Executor, Order};
use super::journal::Entry;
use super::narrowed;
use crate::openstack::temporary;
use crate::snapshots;
use crate::step::{StepInput, StepLine};
use freezer_model::rpc::{HeldStep, LimitRun, ReportReply, StepFinished, StepProgress, StepStarted, Verdict};
use freezer_model::{Progress, RateLimits, RemovedBackups, RunId, StepOutcome};
use serde_json::{Map, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Longest pause between two tries at reporting an outcome.
const REPORT_PAUSE_MAX: Duration = Duration::from_secs(30);
/// Progress that stays as it is is reported again after this: over HTTPS the answer is where new limits are heard of.
const UNCHANGED_MAX: Duration = Duration::from_secs(20);

pub(super) async fn run_step(agent: Arc<Executor>, mut entry: Entry, mut order: watch::Receiver<Order>) {
    let (ended, progress) = wait_and_run(&agent, &mut entry, &mut order).await;
    if *order.borrow() == Order::Drop {
        tracing::info!("run {} epoch {} was dropped", entry.order.run_id, entry.order.epoch);
        agent.forget(&entry.order.run_id);
        return;
    }
    entry.outcome = Some(StepFinished {
        run_id: entry.order.run_id.clone(),
        epoch: entry.order.epoch,
        outcome: ended.outcome,
        exit_code: ended.exit_code,
        error: ended.error,
        progress,
        result: ended.result,
        reporter: Some(agent.reporter()),
    });
    if let Err(error) = agent.journal.write(&entry) {
        // Still reported below; only a crash before the answer would now count the step as lost.
        tracing::error!("cannot journal the outcome of run {}: {error}", entry.order.run_id);
    }
    report_outcome(agent, entry, order).await;
}

async fn wait_and_run(
    agent: &Arc<Executor>,
    entry: &mut Entry,
    order: &mut watch::Receiver<Order>,
) -> (Ended, Progress) {
    let slot = tokio::select! {
        slot = agent.slots.acquire() => slot.ok(),
        _ = order.wait_for(|now| *now != Order::GoOn) => None,
    };
    match slot {
        Some(_slot) => run_child(agent, entry, order).await,
        None => never_ran(StepOutcome::Aborted, "aborted before it started"),
    }
}

fn never_ran(outcome: StepOutcome, why: &str) -> (Ended, Progress) {
    let ended = Ended { outcome, exit_code: None, error: Some(why.to_owned()), result: Map::new() };
    (ended, Progress::default())
}

async fn run_child(
    agent: &Arc<Executor>,
    entry: &mut Entry,
    order: &mut watch::Receiver<Order>,
) -> (Ended, Progress) {
    let options = agent.options();
    let refusal = central::refusal(&options, &entry.order);
    if let Some(why) = refusal.or_else(|| narrowed::refusal(&options, &entry.order)) {
        tracing::warn!("run {} is refused: {why}", entry.order.run_id);
        return never_ran(StepOutcome::Fail, &why);
    }
    let input = StepInput {
        freezer_action: entry.order.freezer_action.clone(),
        auth: options.auth.clone(),
        request_id: entry.order.request_id.clone(),
        trust_id: entry.order.trust_id.clone(),
        project_id: options.is_central.then(|| entry.order.project_id.to_string()),
        disable_exec: options.disable_exec,
        upload_limit: options.upload_limit,
        download_limit: options.download_limit,
        parallel_limit: Some(options.parallel_limit),
        run_id: entry.order.run_id.to_string(),
        ceph: options.ceph.clone(),
        state_dir: options.state_dir.clone(),
        log: options.log.clone(),
        login: agent.logins.of(&entry.order.run_id, &options.auth),
        takes_login: true,
    };
    let child = match StepChild::start(&options.step_program, &input).await {
        Ok(child) => child,
        Err(error) => {
            return never_ran(StepOutcome::Fail, &format!("the step could not be started: {error}"));
        }
    };
    entry.child = Some((child.pid, child.start_ticks));
    if let Err(error) = agent.journal.write(entry) {
        tracing::error!("cannot journal the child of run {}: {error}", entry.order.run_id);
    }
    tracing::info!(
        "run {} action {} attempt {} started as process {}",
        entry.order.run_id,
        entry.order.action_index,
        entry.order.attempt,
        child.pid
    );
    let report = StepStarted {
        run_id: entry.order.run_id.clone(),
        epoch: entry.order.epoch,
        pid: i64::from(child.pid),
        reporter: Some(agent.reporter()),
    };
    let starter = agent.clone();
    let started = tokio::spawn(async move {
        obey(&starter, &report.run_id.clone(), report.epoch, starter.link.step_started(report).await.ok())
    });
    let ended = follow(agent, entry, order, child, &options.auth).await;
    started.abort();
    ended
}

/// The progress of a step on its way to a conductor.
#[derive(Default)]
struct Reports {
    sending: Option<tokio::task::JoinHandle<()>>,
    last: Option<(Progress, Instant)>,
}

impl Reports {
    /// Sends it, unless a report is under way still or this one is known there.
    fn send(&mut self, agent: &Arc<Executor>, entry: &Entry, progress: &Progress) {
        let idle = self.sending.as_ref().is_none_or(tokio::task::JoinHandle::is_finished);
        let is_known =
            self.last.as_ref().is_some_and(|(last, at)| last == progress && at.elapsed() < UNCHANGED_MAX);
        if idle && !is_known {
            self.last = Some((progress.clone(), Instant::now()));
            self.sending =
                Some(tokio::spawn(report_progress(agent.clone(), entry.clone(), progress.clone())));
        }
    }
}

impl Drop for Reports {
    fn drop(&mut self) {
        if let Some(task) = &self.sending {
            task.abort();
        }
    }
}

/// What a child has told.
#[derive(Default)]
struct Heard {
    progress: Progress,
    last: LastWords,
    removed: Option<RemovedBackups>,
}

impl Heard {
    /// Takes one more line in. A login is kept for the next steps of the run.
    fn line(&mut self, agent: &Executor, run_id: &RunId, auth: &BTreeMap<String, String>, line: StepLine) {
        match line {
            StepLine::Progress(news) => self.progress = news,
            StepLine::Login(login) => agent.logins.keep(run_id, auth, *login),
            StepLine::Removed(more) => self.removed = Some(more),
            StepLine::Result(result) => self.last.result = result,
            StepLine::Error(error) => self.last.error = Some(error),
        }
    }
}

/// Reads the child's lines to their end, reporting progress now and then.
async fn follow(
    agent: &Arc<Executor>,
    entry: &Entry,
    order: &mut watch::Receiver<Order>,
    mut child: StepChild,
    auth: &BTreeMap<String, String>,
) -> (Ended, Progress) {
    let mut heard = Heard::default();
    let mut stopping = false;
    let mut limits = agent.limits_of(&entry.order.run_id);
    if let Some(limits) = &mut limits {
        // Users may have changed them while the step waited for its turn.
        limits.mark_changed();
    }
    let mut report_timer = tokio::time::interval(agent.options().progress_interval);
    report_timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut reports = Reports::default();
    loop {
        let mut fresh = None;
        tokio::select! {
            line = child.next() => match line {
                Some(line) => heard.line(agent, &entry.order.run_id, auth, line),
                None => break,
            },
            _ = report_timer.tick() => reports.send(agent, entry, &heard.progress),
            changed = next_limits(&mut limits), if limits.is_some() => match changed {
                Some(changed) => fresh = Some(changed),
                None => limits = None,
            },
            changed = order.wait_for(|now| *now != Order::GoOn), if !stopping => {
                if changed.is_ok() {
                    tracing::info!("stopping run {}", entry.order.run_id);
                    child.terminate();
                }
                stopping = true;
            }
        }
        if let Some(limits) = fresh {
            child.limit(&limits).await;
        }
    }
    drop(reports);
    let aborted = *order.borrow() != Order::GoOn;
    let Heard { progress, last, removed } = heard;
    let mut ended = child.wait(last, aborted).await;
    if ended.exit_code.is_none() {
        tidy_up(agent);
    }
    // However it has ended: what is gone is gone.
    if let Some(removed) = removed {
        ended.result.insert(RemovedBackups::KEY.to_owned(), json!(removed));
    }
    (ended, progress)
}

/// After a step that was killed: snapshots of this host's, and what it was at in the cloud.
fn tidy_up(agent: &Executor) {
    let options = agent.options();
    tokio::spawn(snapshots::tidy_up_after_a_kill(options.state_dir.clone()));
    // A central agent has a login of the tenant's only while it works for one: its next action there tidies up.
    if !options.is_central {
        tokio::spawn(temporary::tidy_up_after_a_crash(options.auth.clone()));
    }
}

/// `None` when there will be no more.
async fn next_limits(limits: &mut Option<watch::Receiver<RateLimits>>) -> Option<RateLimits> {
    let limits = limits.as_mut()?;
    limits.changed().await.ok()?;
    Some(*limits.borrow_and_update())
}

async fn report_progress(agent: Arc<Executor>, entry: Entry, progress: Progress) {
    let report = StepProgress {
        run_id: entry.order.run_id.clone(),
        epoch: entry.order.epoch,
        progress,
        reporter: Some(agent.reporter()),
    };
    match agent.link.step_progress(report).await {
        Ok(reply) => obey(&agent, &entry.order.run_id, entry.order.epoch, Some(reply)),
        Err(error) => tracing::debug!("{error}"),
    }
}

fn obey(agent: &Executor, run_id: &RunId, epoch: freezer_model::Epoch, reply: Option<ReportReply>) {
    let Some(reply) = reply else { return };
    let step = HeldStep { run_id: run_id.clone(), epoch };
    match reply.verdict {
        Verdict::Abort => {
            agent.send(&step, Order::Abort);
        }
        Verdict::Stale => {
            agent.send(&step, Order::Drop);
        }
        Verdict::Continue => {
            agent.limit(&LimitRun { run_id: run_id.clone(), epoch, limits: reply.limits });
        }
    }
}

/// Repeats `step_finished` until a conductor has answered, then forgets the step.
pub(super) async fn report_outcome(agent: Arc<Executor>, entry: Entry, mut order: watch::Receiver<Order>) {
    let Some(outcome) = entry.outcome.clone() else { return };
    let mut pause = Duration::from_millis(200);
    loop {
        match agent.link.step_finished(outcome.clone()).await {
            Ok(reply) => {
                tracing::info!(
                    "run {} action {} ended as {:?} ({:?})",
                    outcome.run_id,
                    entry.order.action_index,
                    outcome.outcome,
                    reply.verdict
                );
                break;
            }
            Err(error) => tracing::warn!("outcome of run {} not reported yet: {error}", outcome.run_id),
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(REPORT_PAUSE_MAX),
            dropped = order.wait_for(|now| *now == Order::Drop) => if dropped.is_ok() { break },
        }
    }
    agent.forget(&outcome.run_id);
}
