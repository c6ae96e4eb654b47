//! The jobs of the files, in memory and in their state files: what is due, what is handed out, what came of it.
//!
//! Each change is made on a copy, written, and only then taken over: what is not on the disk has not happened.

use super::filed::Filed;
use super::files::Found;
use super::state::States;
use freezer_model::clock::time_text;
use freezer_model::outcome::{current_step, hand_out, settle, take_back};
use freezer_model::planning::look_at;
use freezer_model::rpc::{HeldStep, RunAction, StepFinished, StepStarted, Verdict};
use freezer_model::{Clock, Epoch, JobId, Run, RunId, RunState, Step, StepOutcome, Timestamp, slot};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// How often a run may lose its daemon and be begun again before it fails; the conductor's default.
const MAX_LOSSES: i32 = 2;
/// Before a state or a journal that could not be written is tried again.
const STUCK: Duration = Duration::from_secs(10);
/// The clock may be set: nobody waits longer without a look at it.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

pub struct Desk {
    clock: Arc<dyn Clock>,
    states: States,
    jobs: Mutex<BTreeMap<JobId, Filed>>,
    changed: Notify,
}

impl Desk {
    /// With the states that are kept in this folder.
    pub fn open(state_dir: &Path, clock: Arc<dyn Clock>) -> std::io::Result<Self> {
        let states = States::open(state_dir)?;
        Ok(Self { clock, states, jobs: Mutex::default(), changed: Notify::new() })
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn jobs(&self) -> MutexGuard<'_, BTreeMap<JobId, Filed>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a step has ended.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Takes over what was read; answers the jobs that were not known before.
    pub fn take_over(&self, found: Found) -> Vec<JobId> {
        for (path, why) in &found.refused {
            tracing::error!("job file {} is passed over: {why}", path.display());
        }
        let mut jobs = self.jobs();
        let mut seen = BTreeSet::new();
        let mut fresh = Vec::new();
        for file in found.jobs {
            let id = file.job.job_id.clone();
            seen.insert(id.clone());
            let record = match jobs.get(&id) {
                Some(known) => Some(known.record()),
                None => match self.states.read(&id) {
                    Ok(record) => record,
                    Err(why) => {
                        tracing::error!("job file {} is passed over: {why}", file.path.display());
                        continue;
                    }
                },
            };
            let filed = Filed::new(file, record);
            if !jobs.contains_key(&id) {
                tell_new(&filed);
                fresh.push(id.clone());
            }
            jobs.insert(id, filed);
        }
        jobs.retain(|id, filed| {
            if seen.contains(id) {
                return true;
            }
            if found.refused.iter().any(|(path, _)| *path == filed.path) {
                tracing::warn!("job {id} goes on as its file was before");
                return true;
            }
            tracing::info!("job {id} has no file any more");
            filed.is_gone = true;
            filed.run.is_some()
        });
        if jobs.is_empty() {
            tracing::warn!("there is no job to run until one is put into the folder and reload is said");
        }
        fresh
    }

    /// Takes back the steps of these jobs that were handed out and that no executor holds: the daemon ended in between.
    pub fn take_back(&self, ids: &[JobId], held: &[HeldStep]) {
        let mut jobs = self.jobs();
        for id in ids {
            let Some(filed) = jobs.get_mut(id) else { continue };
            let is_held =
                |run: &Run| held.iter().any(|step| step.run_id == run.run_id && step.epoch == run.epoch);
            if filed.at_work().is_some_and(|run| !is_held(run))
                && let Some(run) = filed.run.as_mut()
            {
                tracing::warn!("job {id}: a step of run {} never began; it is handed out again", run.run_id);
                take_back(run);
            }
        }
    }

    /// Looks at every job; answers the orders for the executor, and how long there is nothing to do by itself.
    pub fn look(&self) -> (Vec<RunAction>, Duration) {
        let now = self.now();
        let mut jobs = self.jobs();
        for filed in jobs.values_mut().filter(|filed| filed.wants_a_look(now)) {
            self.plan(filed, now);
        }
        // Two runs never work on the same backups at once.
        let mut taken: BTreeSet<String> =
            jobs.values().filter_map(Filed::at_work).filter_map(slot::target).collect();
        let mut orders = Vec::new();
        for filed in jobs.values_mut() {
            let Some(target) = filed.ready(now).map(slot::target) else { continue };
            if target.as_ref().is_some_and(|target| taken.contains(target)) {
                continue;
            }
            if let Some(order) = self.hand_out(filed, now) {
                taken.extend(target);
                orders.push(order);
            }
        }
        // What was due and is not done waits for another run's end.
        let first = jobs.values().filter_map(Filed::wakes_at).filter(|at| *at > now).min();
        (orders, first.map_or(LONGEST_PAUSE, |at| at.since(now).min(LONGEST_PAUSE)))
    }

    fn plan(&self, filed: &mut Filed, now: Timestamp) {
        let mut next = filed.clone();
        let (planning, orders) = look_at(&mut next.due, next.run.is_some(), now);
        next.note(planning);
        let begun = orders.fire.as_ref().map(|run| run.run_id.clone());
        next.run = next.run.or(orders.fire);
        if !self.save(filed, next, now) {
            return;
        }
        let job = filed.job();
        let id = &job.job_id;
        if let Some(missed) = orders.missed {
            tracing::warn!("job {id}: not run at {}: {}", time_text(missed.due_at.secs()), missed.why);
        }
        if let Some(run_id) = begun {
            tracing::info!("job {id} run {run_id} begins, {} actions", job.actions.len());
        }
        match job.next_run_at {
            Some(at) => tracing::info!("job {id}: the next run is at {}", time_text(at.secs())),
            None if filed.run.is_none() => tracing::info!("job {id} is {}", job.state.status.as_str()),
            None => {}
        }
    }

    fn hand_out(&self, filed: &mut Filed, now: Timestamp) -> Option<RunAction> {
        let mut next = filed.clone();
        let run = next.run.as_mut()?;
        hand_out(run);
        let order = RunAction::of(run, None)?;
        self.save(filed, next, now).then_some(order)
    }

    /// Writes and takes over.
    fn save(&self, filed: &mut Filed, mut next: Filed, now: Timestamp) -> bool {
        let id = &filed.due.job.job_id;
        if let Err(error) = self.states.write(id, &next.record()) {
            tracing::error!("job {id} waits: its state cannot be written: {error}");
            filed.stuck_until = Some(now.plus(STUCK));
            return false;
        }
        next.stuck_until = None;
        *filed = next;
        true
    }

    /// An order that the executor could not take.
    pub fn give_back(&self, order: &RunAction) {
        let until = self.now().plus(STUCK);
        let mut jobs = self.jobs();
        let run = jobs.get_mut(&order.job_id).and_then(|filed| filed.run.as_mut());
        if let Some(run) = run.filter(|run| run.run_id == order.run_id && run.epoch == order.epoch) {
            take_back(run);
            run.attention_at = Some(until);
        }
    }

    /// The child of a step runs.
    pub fn started(&self, report: &StepStarted) -> Verdict {
        let now = self.now();
        let mut jobs = self.jobs();
        let Some((id, filed)) = of_run(&mut jobs, &report.run_id) else { return Verdict::Stale };
        if !is_out(filed, report.epoch) {
            return Verdict::Stale;
        }
        begin(id, filed, now);
        Verdict::Continue
    }

    /// A step has ended. An error means that the state is not written, and the report has to be repeated.
    pub fn finished(&self, report: &StepFinished) -> std::io::Result<Verdict> {
        let now = self.now();
        let mut jobs = self.jobs();
        let Some((id, filed)) = of_run(&mut jobs, &report.run_id) else { return Ok(Verdict::Stale) };
        let id = id.clone();
        if !is_out(filed, report.epoch) {
            let is_that = |step: &Step| step.epoch == report.epoch && step.outcome == Some(report.outcome);
            let is_known = filed.run.as_ref().is_some_and(|run| run.steps.iter().any(is_that));
            return Ok(if is_known { Verdict::Continue } else { Verdict::Stale });
        }
        begin(&id, filed, now);
        let mut next = filed.clone();
        next.stuck_until = None;
        let mut lines = step_ended(&id, &mut next, report, now);
        let is_over = next.run.as_ref().is_some_and(|run| run.action_index >= run.actions.len());
        if is_over && let Some((state, error)) = next.end_run(now) {
            lines.push(run_ended(&id, &report.run_id, state, error.as_deref()));
        }
        self.states.write(&id, &next.record())?;
        let is_done = next.is_gone && next.run.is_none();
        *filed = next;
        if is_done {
            jobs.remove(&id);
        }
        for (is_well, line) in lines {
            if is_well { tracing::info!("{line}") } else { tracing::error!("{line}") }
        }
        self.changed.notify_one();
        Ok(Verdict::Continue)
    }
}

fn tell_new(filed: &Filed) {
    let (job, file) = (filed.job(), filed.path.display());
    let id = &job.job_id;
    tracing::info!("job {id} is in {file}");
    if let Some(status) = filed.rests() {
        tracing::info!("job {id} is {status}: event start in its file, or another plan, lets it run");
    }
    if let Some(session) = job.session() {
        tracing::warn!(
            "job {id} belongs to session {session}: only the service holds sessions together, so it runs on its own"
        );
    }
}

fn of_run<'j>(jobs: &'j mut BTreeMap<JobId, Filed>, run_id: &RunId) -> Option<(&'j JobId, &'j mut Filed)> {
    jobs.iter_mut().find(|(_, filed)| filed.run.as_ref().is_some_and(|run| run.run_id == *run_id))
}

fn is_out(filed: &Filed, epoch: Epoch) -> bool {
    filed.at_work().is_some_and(|run| run.epoch == epoch)
}

/// `action 1 (restore) attempt 2`
fn named(run: &Run, index: usize, attempt: i32) -> String {
    let options = run.actions.get(index).map(|action| &action.freezer_action);
    let verb = options.and_then(|options| options.get("action")?.as_str()).unwrap_or("backup");
    format!("run {} action {index} ({verb}) attempt {attempt}", run.run_id)
}

/// Notes that the step at work has begun; the first time it is told.
fn begin(id: &JobId, filed: &mut Filed, now: Timestamp) {
    let Some(run) = filed.run.as_mut() else { return };
    run.state = RunState::Running;
    run.started_at.get_or_insert(now);
    let is_new = current_step(run)
        .is_some_and(|step| step.started_at.replace(step.started_at.unwrap_or(now)).is_none());
    if is_new {
        tracing::info!("job {id} {} starts", named(run, run.action_index, run.attempt));
    }
}

/// Moves the run on; answers what the log shall say, and whether that is good news.
fn step_ended(id: &JobId, filed: &mut Filed, report: &StepFinished, now: Timestamp) -> Vec<(bool, String)> {
    let Some(run) = filed.run.as_mut() else { return Vec::new() };
    let name = named(run, run.action_index, run.attempt);
    if let Some(step) = current_step(run) {
        step.exit_code = report.exit_code;
        step.error.clone_from(&report.error);
    }
    // An agent does not skip by itself: whatever it means, the work was not done.
    let outcome = if report.outcome == StepOutcome::Skipped { StepOutcome::Fail } else { report.outcome };
    let known = run.steps.len();
    settle(run, outcome, now, MAX_LOSSES);
    let mut line = format!("job {id} {name} ended: {}, {}", word(outcome), done(report));
    if let Some(error) = &report.error {
        line.push_str(": ");
        line.push_str(error);
    }
    if let Some(at) = run.attention_at {
        line.push_str(&format!("; tried again at {}", time_text(at.secs())));
    }
    let mut lines = vec![(matches!(outcome, StepOutcome::Success), line)];
    for step in run.steps.iter().skip(known) {
        let why = step.error.as_deref().unwrap_or_default();
        lines.push((false, format!("job {id} {}: {why}", named(run, step.action_index, step.attempt))));
    }
    lines
}

fn run_ended(id: &JobId, run: &RunId, state: RunState, error: Option<&str>) -> (bool, String) {
    let mut line = format!("job {id} run {run} is over: {}", state.as_str());
    if let Some(error) = error {
        line.push_str(": ");
        line.push_str(error);
    }
    (state == RunState::Success, line)
}

fn word(outcome: StepOutcome) -> &'static str {
    match outcome {
        StepOutcome::Success => "success",
        StepOutcome::Partial => "partial",
        StepOutcome::Fail => "fail",
        StepOutcome::Aborted => "aborted",
        StepOutcome::Lost => "lost",
        StepOutcome::Skipped => "skipped",
    }
}

/// What was moved; of a backup also which one it is.
fn done(report: &StepFinished) -> String {
    let progress = &report.progress;
    let Some(metadata) = report.result.get("backup_metadata") else {
        return format!("{} bytes", progress.bytes_done);
    };
    let part = |key: &str| match metadata.get(key) {
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => "-".to_owned(),
    };
    // The service would give it an id; in the storage it is found by name and time.
    let backup = match metadata.get("backup_id") {
        Some(_) => part("backup_id"),
        None => format!("{}_{} of {}", part("hostname"), part("backup_name"), part("time_stamp")),
    };
    let (read, stored) = (progress.bytes_done, progress.bytes_stored);
    format!("backup {backup} level {}, {read} bytes read, {stored} stored", part("curr_backup_level"))
}
