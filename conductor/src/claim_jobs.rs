//! Looks at the jobs whose attention time has come.

use crate::announce::missed;
use crate::dispatch::Errand;
use crate::unheard::Watch;
use crate::{ConductorError, desk::Desk, session};
use freezer_database::{ActiveRuns, DbError, DueJob, Planning, Runs, Tx, Workers};
use freezer_model::planning::{Missed, look_at};
use freezer_model::{Client, Job, Link, ProjectId, Run, Timestamp};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

/// Jobs looked at in one transaction.
const BATCH: u32 = 100;
/// Before a job whose run cannot be stored is looked at again.
const UNSTORABLE: Duration = Duration::from_secs(600);

/// Looks at one batch; returns how many jobs there were and what is to be sent now that it is committed.
pub(crate) async fn claim_jobs(desk: &Arc<Desk>) -> Result<(usize, Vec<Errand>), ConductorError> {
    let (count, errands, watch) = desk.transaction(claim).await?;
    watch.log();
    Ok((count, errands))
}

fn claim(desk: &Desk, tx: &mut Tx) -> Result<(usize, Vec<Errand>, Watch), DbError> {
    let now = desk.clock.now();
    let claimed = tx.jobs().claim_due(now, BATCH)?;
    desk.note_set_aside(&claimed.set_aside);
    let count = claimed.rows.len() + claimed.set_aside.len();
    let keys: Vec<_> =
        claimed.rows.iter().map(|due| (due.job.project_id.clone(), due.job.job_id.clone())).collect();
    let wanted = claimed.rows.iter().map(|due| (due.job.project_id.clone(), due.job.client_id.clone()));
    let wanted: HashSet<_> = wanted.collect();
    let mut batch = Batch {
        desk,
        now,
        workers: tx.clients().workers(&wanted)?,
        active: tx.runs().active_for_jobs(&keys)?,
        plans: Vec::new(),
        fired: Vec::new(),
        errands: Vec::new(),
        watch: Watch::default(),
    };
    for due in claimed.rows {
        batch.look(tx, due)?;
    }
    batch.write(tx)?;
    Ok((count, batch.errands, batch.watch))
}

/// Whether the conductor hands work to this client. One that polls drives itself.
pub(crate) fn is_driven(client: &Client) -> bool {
    client.link != Link::Poll
}

/// What is known and decided about the jobs of one transaction.
struct Batch<'d> {
    desk: &'d Desk,
    now: Timestamp,
    workers: Workers,
    active: ActiveRuns,
    plans: Vec<(Job, Planning)>,
    fired: Vec<Run>,
    errands: Vec<Errand>,
    /// Of jobs that are not ours.
    watch: Watch,
}

impl Batch<'_> {
    fn look(&mut self, tx: &mut Tx, mut due: DueJob) -> Result<(), DbError> {
        let job = &due.job;
        let worker = match self.workers.get(&(job.project_id.clone(), job.client_id.clone())) {
            Some(Err(error)) => return self.leave_alone(tx, &due.job, &error.to_string()),
            found => found.and_then(|found| found.as_ref().ok()),
        };
        let Some(worker) = worker.filter(|worker| is_driven(&worker.client)) else {
            // Not ours (yet): its agent's hello brings the job back.
            let planning = Planning {
                planned_version: due.planned_version,
                next_run_at: due.job.next_run_at,
                attention_at: self.watch.look(self.desk, tx, &due, self.now)?,
            };
            self.plans.push((due.job, planning));
            return Ok(());
        };
        if due.heard_at.is_some() {
            // A scheduler's until now.
            tx.jobs().forget_heard(&job.project_id, &job.job_id)?;
        }
        let active = self.active.remove(&(job.project_id.clone(), job.job_id.clone())).unwrap_or_default();
        let (planning, orders) = look_at(&mut due, !active.is_empty(), self.now);
        if orders.abort_runs {
            for run in active.iter().flatten() {
                abort(tx, run, &worker.client, self.now, &mut self.errands)?;
            }
        }
        if let Some(firing) = &orders.missed {
            tracing::warn!(project = %due.job.project_id, job = %due.job.job_id, "not run: {}", firing.why);
            missed(self.desk, tx, &due.job, firing, self.now)?;
        }
        if let Some(run) = orders.fire {
            if let Err(error) = Runs::check(&run) {
                return self.leave_alone(tx, &due.job, &error.to_string());
            }
            session::enter(tx, &mut due.job, self.now)?;
            tracing::info!(project = %run.project_id, job = %run.job_id, run = %run.run_id, cause = %run.cause, "fired");
            self.fired.push(run);
        }
        self.plans.push((due.job, planning));
        Ok(())
    }

    /// One job that cannot be worked on must not stop the others.
    fn leave_alone(&self, tx: &mut Tx, job: &Job, why: &str) -> Result<(), DbError> {
        tracing::error!(project = %job.project_id, job = %job.job_id, "the job is set aside: {why}");
        self.desk.metrics.set_aside(1);
        let due_at = job.next_run_at.unwrap_or(self.now);
        missed(self.desk, tx, job, &Missed { due_at, why: why.to_owned() }, self.now)?;
        tx.jobs().set_attention(&job.project_id, &job.job_id, Some(self.now.plus(UNSTORABLE)))
    }

    fn write(&mut self, tx: &mut Tx) -> Result<(), DbError> {
        let mut counts: BTreeMap<ProjectId, usize> = BTreeMap::new();
        for run in &self.fired {
            *counts.entry(run.project_id.clone()).or_default() += 1;
        }
        let mut tags = tx.shares().tags(&counts)?;
        for run in self.fired.iter_mut().rev() {
            run.share_tag = tags.get_mut(&run.project_id).and_then(Vec::pop).unwrap_or_default();
        }
        tx.runs().insert_many(&self.fired)?;
        tx.jobs().set_plans(&self.plans)
    }
}

fn abort(
    tx: &mut Tx,
    run: &freezer_model::Run,
    client: &Client,
    now: Timestamp,
    errands: &mut Vec<Errand>,
) -> Result<(), DbError> {
    let Some(mut run) = tx.runs().get_for_update(&run.run_id)?.filter(|run| !run.state.is_final()) else {
        return Ok(());
    };
    if run.abort_requested {
        return Ok(());
    }
    run.abort_requested = true;
    if run.state == freezer_model::RunState::Queued {
        run.attention_at = Some(now);
    } else {
        errands.push(Errand::abort(&run, client));
    }
    tx.runs().save(&run)
}
