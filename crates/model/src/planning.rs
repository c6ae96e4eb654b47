//! What a look at one job leads to: the user's event is obeyed, the plan is read, the next firing is fixed.
//!
//! The caller (the conductor, or `freezer-scheduler --no-api`) holds the job and writes what is decided here.
//!
//! | event | no run | a run goes on |
//! |---|---|---|
//! | start | planned (again, when the plan changed or is over) | dropped |
//! | stop | unplanned, `stop` | unplanned; kept until the run has ended, then `completed` |
//! | abort | as stop | the run is asked to abort, `aborting`; then `completed` |
//! | remove | unplanned, `removed` | kept until the run has ended |
//!
//! A job without an event that was never planned starts by itself (upstream's scheduler does so), unless its status says
//! that it was stopped, completed or removed.

use crate::schedule::Schedule;
use crate::{Epoch, Job, JobEvent, JobResult, JobStatus, Progress, Run, RunId, RunState, Timestamp};

/// A job whose time has come, held by whoever looks at it.
#[derive(Clone, Debug, PartialEq)]
pub struct DueJob {
    pub job: Job,
    /// The `plan_version` that `next_run_at` was computed from; `None` = never planned.
    pub planned_version: Option<i64>,
    /// When a conductor wanted, or was asked, to look at it.
    pub attention_at: Option<Timestamp>,
    /// Since when nothing was heard of a job whose scheduler polls; `None` where nobody waits for its word.
    pub heard_at: Option<Timestamp>,
}

/// What was decided about a job's future.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planning {
    pub planned_version: Option<i64>,
    pub next_run_at: Option<Timestamp>,
    pub attention_at: Option<Timestamp>,
}

/// What is to be done beyond writing the job's state and planning.
#[derive(Debug, Default, PartialEq)]
pub struct Orders {
    /// Ask the job's active runs to abort.
    pub abort_runs: bool,
    pub fire: Option<Run>,
    pub missed: Option<Missed>,
}

/// A firing that came to nothing.
#[derive(Debug, PartialEq)]
pub struct Missed {
    pub due_at: Timestamp,
    pub why: String,
}

/// Changes `job.state` and returns the planning to write.
pub fn look_at(due: &mut DueJob, is_running: bool, now: Timestamp) -> (Planning, Orders) {
    let mut orders = Orders::default();
    let mut plan = Planning {
        planned_version: due.planned_version,
        next_run_at: due.job.next_run_at,
        attention_at: None,
    };
    obey(&mut due.job, &mut plan, is_running, &mut orders);
    if due.job.state.event == JobEvent::None && is_alive(due.job.state.status) {
        match Schedule::parse(&due.job.plan) {
            Ok(schedule) => {
                read_plan(&mut due.job, &mut plan, &schedule, is_running, now);
                orders.missed = plan
                    .next_run_at
                    .filter(|at| is_running && *at <= now)
                    .map(|due_at| Missed { due_at, why: "the run before it was still at work".to_owned() });
                orders.fire = fire(&mut due.job, &mut plan, &schedule, is_running, now);
            }
            Err(error) => {
                let why = format!("the job's plan cannot be followed: {error}");
                refuse_plan(&mut due.job, &mut plan, is_running);
                orders.missed = Some(Missed { due_at: now, why });
            }
        }
    }
    plan.attention_at = plan.next_run_at;
    (plan, orders)
}

/// Whether a job of this status is planned without an event.
pub fn is_alive(status: JobStatus) -> bool {
    !matches!(status, JobStatus::Stop | JobStatus::Completed | JobStatus::Removed)
}

fn obey(job: &mut Job, plan: &mut Planning, is_running: bool, orders: &mut Orders) {
    let unplan = |plan: &mut Planning| {
        plan.next_run_at = None;
        plan.planned_version = None;
    };
    match job.state.event {
        JobEvent::None => {}
        JobEvent::Start => {
            job.state.event = JobEvent::None;
            if is_running {
                job.state.status = JobStatus::Running;
            } else {
                job.state.status = JobStatus::Scheduled;
                if plan.next_run_at.is_none() {
                    plan.planned_version = None;
                }
            }
        }
        JobEvent::Stop | JobEvent::Abort | JobEvent::Remove if is_running => {
            unplan(plan);
            if job.state.event == JobEvent::Abort {
                job.state.status = JobStatus::Aborting;
                orders.abort_runs = true;
            }
        }
        event => {
            unplan(plan);
            job.state.event = JobEvent::None;
            job.state.status = if event == JobEvent::Remove { JobStatus::Removed } else { JobStatus::Stop };
        }
    }
}

fn read_plan(job: &mut Job, plan: &mut Planning, schedule: &Schedule, is_running: bool, now: Timestamp) {
    if plan.planned_version == Some(job.plan_version) {
        return;
    }
    plan.planned_version = Some(job.plan_version);
    plan.next_run_at = schedule.first(now);
    job.state.status = match plan.next_run_at {
        _ if is_running => JobStatus::Running,
        Some(_) => JobStatus::Scheduled,
        None => JobStatus::Completed,
    };
}

/// A plan that nobody can follow must be seen by its owner: the job fails without a run.
fn refuse_plan(job: &mut Job, plan: &mut Planning, is_running: bool) {
    plan.planned_version = Some(job.plan_version);
    plan.next_run_at = None;
    if !is_running {
        job.state.status = JobStatus::Completed;
        job.state.result = JobResult::Fail;
    }
}

/// Makes the run when its time has come. A firing that comes due while an earlier run goes on, and all firings that
/// were missed, are one.
fn fire(
    job: &mut Job,
    plan: &mut Planning,
    schedule: &Schedule,
    is_running: bool,
    now: Timestamp,
) -> Option<Run> {
    let due_at = plan.next_run_at.filter(|at| *at <= now)?;
    // The next one of a continuous job depends on the end of this run.
    plan.next_run_at = if schedule.is_continuous() { None } else { schedule.next_after(due_at, now) };
    if is_running {
        return None;
    }
    job.state.status = JobStatus::Running;
    job.state.result = JobResult::None;
    job.state.time_started = now.secs();
    job.state.time_ended = -1;
    Some(new_run(job, if schedule.is_unplanned() { "start" } else { "schedule" }, due_at, now))
}

fn new_run(job: &Job, cause: &str, due_at: Timestamp, now: Timestamp) -> Run {
    Run {
        run_id: RunId::random(),
        project_id: job.project_id.clone(),
        job_id: job.job_id.clone(),
        client_id: job.client_id.clone(),
        state: RunState::Queued,
        epoch: Epoch::default(),
        action_index: 0,
        attempt: 0,
        losses: 0,
        actions: job.actions.clone(),
        steps: Vec::new(),
        progress: Progress::default(),
        error: None,
        abort_requested: false,
        cause: cause.to_owned(),
        request_id: Some(format!("req-{}", uuid::Uuid::new_v4())),
        due_at,
        created_at: now,
        started_at: None,
        finished_at: None,
        attention_at: None,
        share_tag: 0,
        waiting_for: None,
        is_unsent: false,
    }
}

/// What the end of a run means for its job. `attention_at` keeps an earlier request.
pub fn after_run(due: &mut DueJob, result: JobResult, now: Timestamp) -> Planning {
    let state = &mut due.job.state;
    state.result = result;
    state.time_ended = now.secs();
    let mut plan = Planning {
        planned_version: due.planned_version,
        next_run_at: due.job.next_run_at,
        attention_at: due.attention_at,
    };
    match state.event {
        JobEvent::Stop | JobEvent::Abort | JobEvent::Remove => {
            state.status =
                if state.event == JobEvent::Remove { JobStatus::Removed } else { JobStatus::Completed };
            state.event = JobEvent::None;
            plan.next_run_at = None;
            plan.planned_version = None;
        }
        JobEvent::Start | JobEvent::None => {
            let schedule = Schedule::parse(&due.job.plan).ok();
            if plan.next_run_at.is_none() && schedule.as_ref().is_some_and(Schedule::is_continuous) {
                plan.next_run_at = schedule.and_then(|schedule| schedule.next_after(now, now));
            }
            state.status =
                if plan.next_run_at.is_some() { JobStatus::Scheduled } else { JobStatus::Completed };
        }
    }
    plan.attention_at = match (plan.attention_at, plan.next_run_at) {
        (Some(asked), Some(next)) => Some(asked.min(next)),
        (asked, next) => asked.or(next),
    };
    plan
}
