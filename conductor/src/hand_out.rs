//! Hands out what is ready: one batch, in the order of fair shares, as far as slots allow.
//!
//! **Fair shares.** Ready runs of all projects form one queue, ordered by `share_tag` (start-time fair queueing). A run gets
//! its tag when it is fired: the tag at which its project's run before it ends, but never one before the virtual time, which
//! is the largest tag handed out so far. A run moves its project's end on by one unit divided by the project's weight.
//! Ten thousand runs of one project thus stand far apart in the queue, and the first run of any other project stands in
//! front of nearly all of them; a project that was idle has saved nothing up. Later actions and attempts of a run keep its
//! tag. The queue is an index, and a batch reads its head only: runs that wait for a time, an agent or a slot are not in it.
//!
//! **Slots** are in [`crate::slots`]. **Turns**: conductors hand out one after the other, under one locked row; a
//! conductor that dies loses the turn with its connection. All else they do side by side.

use crate::claim_jobs::is_driven;
use crate::claim_runs::next_step;
use crate::desk::Desk;
use crate::dispatch::{Errand, is_away, wait_for_agent};
use crate::finish_run::{finish, finish_as};
use crate::slots::{Ledger, needed};
use crate::{ConductorError, slots};
use freezer_database::{DbError, Tx, Workers};
use freezer_model::{Limits, ProjectId, Run, RunState, Timestamp};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Runs handed out in one transaction.
const BATCH: u32 = 200;
/// A waiting run is looked at after so long even if nobody woke it: limits may have been raised.
const RECHECK: Duration = Duration::from_secs(60);
/// Before a client that cannot be read is asked for again.
const UNREADABLE: Duration = Duration::from_secs(600);

/// What came of an attempt to hand out.
#[derive(Debug)]
pub(crate) enum Turn {
    /// Another conductor is handing out.
    Elsewhere,
    Mine {
        looked: usize,
        errands: Vec<Errand>,
    },
}

/// Hands out one batch; says what is to be sent now that it is committed.
pub(crate) async fn hand_out(desk: &Arc<Desk>) -> Result<Turn, ConductorError> {
    let (turn, latencies) = desk.transaction(attempt).await?;
    for latency in latencies {
        desk.metrics.dispatched(latency);
    }
    Ok(turn)
}

fn attempt(desk: &Desk, tx: &mut Tx) -> Result<(Turn, Vec<Duration>), DbError> {
    let nothing = Turn::Mine { looked: 0, errands: Vec::new() };
    if !tx.runs().is_any_ready()? {
        return Ok((nothing, Vec::new()));
    }
    let Some(virtual_time) = tx.runs().take_turn()? else { return Ok((Turn::Elsewhere, Vec::new())) };
    let now = desk.clock.now();
    let until = Instant::now() + desk.sending_time();
    let claimed = tx.runs().claim_ready(now, BATCH)?;
    desk.note_set_aside(&claimed.set_aside);
    let looked = claimed.rows.len() + claimed.set_aside.len();
    let mut batch = Batch::load(desk, tx, &claimed.rows, now, until)?;
    for run in claimed.rows {
        batch.place(tx, run)?;
    }
    tx.runs().save_many(&batch.changed)?;
    tx.runs().wake_waiting(&batch.ledger.free())?;
    if batch.furthest > virtual_time {
        tx.runs().set_virtual_time(batch.furthest)?;
    }
    Ok((Turn::Mine { looked, errands: batch.errands }, batch.latencies))
}

struct Batch<'d> {
    desk: &'d Desk,
    now: Timestamp,
    /// Until when orders are sent.
    until: Instant,
    workers: Workers,
    limits: HashMap<ProjectId, Limits>,
    /// Bytes stored, of projects that may only store so many.
    stored: HashMap<ProjectId, i64>,
    ledger: Ledger,
    changed: Vec<Run>,
    errands: Vec<Errand>,
    latencies: Vec<Duration>,
    /// The largest tag handed out.
    furthest: i64,
}

impl<'d> Batch<'d> {
    fn load(
        desk: &'d Desk,
        tx: &mut Tx,
        runs: &[Run],
        now: Timestamp,
        until: Instant,
    ) -> Result<Self, DbError> {
        let wanted = runs.iter().map(|run| (run.project_id.clone(), run.client_id.clone())).collect();
        let workers = tx.clients().workers(&wanted)?;
        let projects: HashSet<&ProjectId> = runs.iter().map(|run| &run.project_id).collect();
        let names: Vec<&str> = projects.iter().map(|project| project.as_str()).collect();
        let own = tx.quotas().of(&names)?;
        let mut limits = HashMap::new();
        let mut stored = HashMap::new();
        for project in projects {
            let quota = own.get(project).cloned().unwrap_or_default();
            let in_force = desk.options.quota.of(&quota);
            if in_force.stored_bytes.is_some() {
                stored.insert(project.clone(), tx.quotas().stored_bytes(project)?);
            }
            limits.insert(project.clone(), in_force);
        }
        let ledger = Ledger::load(&desk.options, tx, runs, &workers, &limits)?;
        Ok(Self {
            desk,
            now,
            until,
            workers,
            limits,
            stored,
            ledger,
            changed: Vec::new(),
            errands: Vec::new(),
            latencies: Vec::new(),
            furthest: 0,
        })
    }

    /// What becomes of one run that is ready.
    fn place(&mut self, tx: &mut Tx, mut run: Run) -> Result<(), DbError> {
        if run.abort_requested || run.action_index >= run.actions.len() {
            return finish(self.desk, tx, &mut run, self.now);
        }
        let key = (run.project_id.clone(), run.client_id.clone());
        let worker = match self.workers.get(&key) {
            Some(Ok(worker)) if is_driven(&worker.client) => worker,
            Some(Err(error)) => {
                tracing::error!(run = %run.run_id, "the run waits, its client is not readable: {error}");
                run.error = Some(error.to_string());
                run.attention_at = Some(self.now.plus(UNREADABLE));
                self.changed.push(run);
                return Ok(());
            }
            found => return self.refuse_client(tx, run, found.is_some()),
        };
        if let Some(error) = self.over_quota(&run) {
            return finish_as(self.desk, tx, &mut run, RunState::Fail, Some(error), self.now);
        }
        if is_away(self.desk, &worker.client, self.now) {
            next_step(self.desk, tx, &mut run, &worker.client, self.now)?;
            return wait_for_agent(self.desk, tx, &mut run, self.now);
        }
        let limits = self.limits.get(&run.project_id).copied().unwrap_or_default();
        let needs = needed(&self.desk.options, &run, worker, &limits);
        if let Err(full) = self.ledger.take(&needs) {
            run.waiting_for = Some(full.key());
            run.attention_at = Some(self.now.plus(RECHECK));
            self.changed.push(run);
            return Ok(());
        }
        self.furthest = self.furthest.max(run.share_tag);
        self.latencies.push(self.now.since(slots::ready_since(&run)));
        let order = next_step(self.desk, tx, &mut run, &worker.client, self.now)?;
        self.errands.extend(order.map(|order| Errand::run(order, &worker.client, self.until)));
        self.changed.push(run);
        Ok(())
    }

    fn refuse_client(&self, tx: &mut Tx, mut run: Run, is_registered: bool) -> Result<(), DbError> {
        let why = if is_registered { "polls for its jobs by itself" } else { "is not registered any more" };
        let error =
            format!("client {} {why}; start an agent for it or give the job another client", run.client_id);
        finish_as(self.desk, tx, &mut run, RunState::Fail, Some(error), self.now)
    }

    /// A backup is refused before it starts when the project stores all that it may.
    fn over_quota(&self, run: &Run) -> Option<String> {
        let most = self.limits.get(&run.project_id)?.stored_bytes?;
        let stored = self.stored.get(&run.project_id).copied().unwrap_or(0);
        let action = run.actions.get(run.action_index)?.freezer_action.get("action");
        let is_backup = action.and_then(serde_json::Value::as_str).unwrap_or("backup") == "backup";
        (is_backup && stored >= most).then(|| {
            format!(
                "quota exceeded for stored_bytes: {stored} of {most} bytes are used; delete backups or ask for more, then \
                 start the job again"
            )
        })
    }
}
