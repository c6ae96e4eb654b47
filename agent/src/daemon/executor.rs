//! Which steps this agent holds: accepting, refusing repeats, aborting, and what is left of a former life.

use super::child;
use super::journal::{Entry, Journal};
use super::run_logins::RunLogins;
use super::run_step;
use crate::links::ConductorLink;
use crate::openstack::ceph::CephAccess;
use freezer_model::rpc::{AbortRun, HeldStep, LimitRun, Reporter, RunAction, StepFinished, WorkRequest};
use freezer_model::{
    Capabilities, ClientId, Epoch, Link, Progress, ProjectId, RateLimits, RunId, StepOutcome,
};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore, watch};

/// What the daemon is told once, at its start.
#[derive(Clone)]
pub struct ExecutorOptions {
    pub client_id: ClientId,
    pub project_id: ProjectId,
    pub hostname: String,
    pub is_central: bool,
    /// Which link this agent is on.
    pub link: Link,
    pub capabilities: Capabilities,
    /// Those of its lists that somebody has set, by the name of their option: they hold whatever an order says.
    pub narrowed: Vec<&'static str>,
    /// Steps at a time; further ones wait.
    pub concurrency: usize,
    /// Program and arguments of the child of a step.
    pub step_program: Vec<OsString>,
    pub state_dir: PathBuf,
    /// `OS_…` variables for the children, handed over on their standard input.
    pub auth: BTreeMap<String, String>,
    pub disable_exec: bool,
    pub upload_limit: Option<u64>,
    pub download_limit: Option<u64>,
    /// Resources that one action moves at the same time.
    pub parallel_limit: usize,
    /// Time between two progress reports of one step.
    pub progress_interval: Duration,
    /// How this host reaches a Ceph cluster, if it does.
    pub ceph: Option<CephAccess>,
    /// Log options of the children; see [`crate::step::StepInput`].
    pub log: BTreeMap<String, String>,
}

#[cfg(test)]
impl ExecutorOptions {
    /// Of an agent of nobody's, for tests of what it takes.
    pub(super) fn of_a_test(capabilities: Capabilities) -> Self {
        Self {
            client_id: ClientId::from("node1"),
            project_id: ProjectId::from("p"),
            hostname: "h".to_owned(),
            is_central: false,
            link: Link::Amqp,
            capabilities,
            narrowed: Vec::new(),
            concurrency: 1,
            step_program: Vec::new(),
            state_dir: PathBuf::new(),
            auth: BTreeMap::new(),
            disable_exec: false,
            upload_limit: None,
            download_limit: None,
            parallel_limit: 4,
            progress_interval: Duration::from_secs(1),
            ceph: None,
            log: BTreeMap::new(),
        }
    }
}

/// Why a step goes on or ends early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    GoOn,
    /// Abort and report it.
    Abort,
    /// Kill and forget: somebody else has the run, or nobody wants it.
    Drop,
}

pub(super) struct Held {
    pub epoch: Epoch,
    /// A later order for the run, which begins when this step has ended.
    pub next: Option<Epoch>,
    pub order: watch::Sender<Order>,
    /// What users have changed since the order came.
    pub limits: watch::Sender<RateLimits>,
}

/// Steps that are over. A conductor that was given up for dead may send its order after all: late, when the run was done
/// under a higher epoch already. It would be refused at its first report, and must not begin at all.
#[derive(Default)]
struct Ended {
    epochs: HashMap<RunId, Epoch>,
    /// Oldest first.
    order: VecDeque<RunId>,
}

/// So many ended steps are remembered.
const REMEMBERED: usize = 1000;

impl Ended {
    fn note(&mut self, run_id: &RunId, epoch: Epoch) {
        if self.epochs.insert(run_id.clone(), epoch).is_none() {
            self.order.push_back(run_id.clone());
        }
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.epochs.remove(&oldest);
        }
    }

    fn knows(&self, order: &RunAction) -> bool {
        self.epochs.get(&order.run_id).is_some_and(|epoch| *epoch >= order.epoch)
    }
}

/// Answer to `run_action`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    New,
    /// Held or done already under this or a later epoch.
    Repeat,
    /// Not for this agent.
    Refused,
}

pub struct Executor {
    options: RwLock<Arc<ExecutorOptions>>,
    pub(super) link: Arc<dyn ConductorLink>,
    pub(super) journal: Journal,
    pub(super) logins: RunLogins,
    pub(super) slots: Semaphore,
    held: Mutex<HashMap<RunId, Held>>,
    ended: Mutex<Ended>,
    /// Told whenever a step is forgotten.
    forgotten: Notify,
    /// The next heartbeat is due now.
    pub(super) introduce: Notify,
}

impl Executor {
    pub fn new(options: ExecutorOptions, link: Arc<dyn ConductorLink>) -> std::io::Result<Arc<Self>> {
        let journal = Journal::open(&options.state_dir)?;
        let slots = Semaphore::new(options.concurrency.max(1));
        Ok(Arc::new(Self {
            options: RwLock::new(Arc::new(options)),
            link,
            journal,
            logins: RunLogins::default(),
            slots,
            held: Mutex::default(),
            ended: Mutex::default(),
            forgotten: Notify::new(),
            introduce: Notify::new(),
        }))
    }

    pub fn options(&self) -> Arc<ExecutorOptions> {
        self.options.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes over options for steps that begin from now on, and tells the conductor about what changed. Who the agent is,
    /// its folder and its number of slots stay.
    pub fn reconfigure(&self, fresh: ExecutorOptions) {
        let mut options = self.options.write().unwrap_or_else(PoisonError::into_inner);
        let now = &**options;
        *options = Arc::new(ExecutorOptions {
            client_id: now.client_id.clone(),
            project_id: now.project_id.clone(),
            is_central: now.is_central,
            link: now.link,
            concurrency: now.concurrency,
            state_dir: now.state_dir.clone(),
            ..fresh
        });
        drop(options);
        self.introduce.notify_one();
    }

    /// Who reports.
    pub(super) fn reporter(&self) -> Reporter {
        let options = self.options();
        Reporter { project_id: options.project_id.clone(), client_id: options.client_id.clone() }
    }

    fn held(&self) -> std::sync::MutexGuard<'_, HashMap<RunId, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ended(&self) -> std::sync::MutexGuard<'_, Ended> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes up what a former daemon left: owed outcomes are reported, interrupted steps reported lost.
    /// Their children died with the leash; one that has not yet is ended here first.
    pub async fn recover(self: &Arc<Self>) -> std::io::Result<usize> {
        let entries = self.journal.entries()?;
        let count = entries.len();
        for mut entry in entries {
            if let Some((pid, ticks)) = entry.child {
                child::end_leftover(pid, ticks).await;
            }
            if entry.outcome.is_none() {
                entry.outcome = Some(lost(&entry, self.reporter()));
                self.journal.write(&entry)?;
            }
            let order = self.hold(&entry.order);
            tokio::spawn(run_step::report_outcome(self.clone(), entry, order));
        }
        Ok(count)
    }

    fn hold(&self, order: &RunAction) -> watch::Receiver<Order> {
        let (sender, receiver) = watch::channel(Order::GoOn);
        let limits = watch::Sender::new(RateLimits::of(&order.freezer_action));
        self.held()
            .insert(order.run_id.clone(), Held { epoch: order.epoch, next: None, order: sender, limits });
        receiver
    }

    /// `run_action`: journals the step, then starts it as soon as there is a free slot.
    pub fn run_action(self: &Arc<Self>, order: RunAction) -> std::io::Result<Accepted> {
        let options = self.options();
        let ours = order.client_id == options.client_id
            && (options.is_central || order.project_id == options.project_id);
        if !ours {
            tracing::warn!(
                "refused run {} of project {} for client {}: this agent serves client {} of project {}",
                order.run_id,
                order.project_id,
                order.client_id,
                options.client_id,
                options.project_id
            );
            return Ok(Accepted::Refused);
        }
        if let Some(held) = self.held().get_mut(&order.run_id) {
            if held.next.unwrap_or(held.epoch) < order.epoch {
                // The conductor gave up on the older try: end that one, then start this.
                held.next = Some(order.epoch);
                held.order.send_replace(Order::Drop);
                tokio::spawn(self.clone().run_when_free(order));
                return Ok(Accepted::New);
            }
            return Ok(Accepted::Repeat);
        }
        if self.ended().knows(&order) {
            tracing::warn!("order for run {} epoch {} came too late", order.run_id, order.epoch);
            return Ok(Accepted::Repeat);
        }
        let entry = Entry { order, child: None, outcome: None };
        self.journal.write(&entry)?;
        let receiver = self.hold(&entry.order);
        tokio::spawn(run_step::run_step(self.clone(), entry, receiver));
        Ok(Accepted::New)
    }

    async fn run_when_free(self: Arc<Self>, order: RunAction) {
        loop {
            let forgotten = self.forgotten.notified();
            if !self.held().contains_key(&order.run_id) {
                break;
            }
            forgotten.await;
        }
        let run_id = order.run_id.clone();
        if let Err(error) = self.run_action(order) {
            tracing::error!("cannot journal run {run_id}, so it is not started: {error}");
        }
    }

    /// `abort_run`. Answers whether the run is here.
    pub fn abort(&self, abort: &AbortRun) -> bool {
        self.send(&HeldStep { run_id: abort.run_id.clone(), epoch: abort.epoch }, Order::Abort)
    }

    /// `limit_run`. Answers whether the run is here.
    pub fn limit(&self, limit: &LimitRun) -> bool {
        match self.held().get(&limit.run_id) {
            Some(held) if held.epoch == limit.epoch => {
                held.limits.send_if_modified(|now| {
                    let before = *now;
                    now.overlay(limit.limits);
                    *now != before
                });
                true
            }
            _ => false,
        }
    }

    /// How fast the step may go; told again when that changes.
    pub(super) fn limits_of(&self, run_id: &RunId) -> Option<watch::Receiver<RateLimits>> {
        self.held().get(run_id).map(|held| held.limits.subscribe())
    }

    pub(super) fn send(&self, step: &HeldStep, order: Order) -> bool {
        match self.held().get(&step.run_id) {
            Some(held) if held.epoch <= step.epoch => {
                held.order.send_if_modified(|now| {
                    let stronger = *now == Order::GoOn || order == Order::Drop;
                    if stronger {
                        *now = order;
                    }
                    stronger
                });
                true
            }
            _ => false,
        }
    }

    /// The steps whose leases a heartbeat renews.
    pub fn held_steps(&self) -> Vec<HeldStep> {
        self.held()
            .iter()
            .map(|(run_id, held)| HeldStep { run_id: run_id.clone(), epoch: held.epoch })
            .collect()
    }

    /// What a request for work says: the steps held, and those of them that are ending already.
    pub fn known_steps(&self) -> WorkRequest {
        let mut known = WorkRequest::default();
        for (run_id, held) in self.held().iter() {
            let step = HeldStep { run_id: run_id.clone(), epoch: held.epoch };
            if *held.order.borrow() != Order::GoOn {
                known.ending.push(step.clone());
            }
            known.held.push(step);
            known.held.extend(held.next.map(|epoch| HeldStep { run_id: run_id.clone(), epoch }));
        }
        known
    }

    pub(super) fn forget(&self, run_id: &RunId) {
        if let Err(error) = self.journal.remove(run_id.as_str()) {
            tracing::warn!("journal entry of run {run_id} stays: {error}");
        }
        if let Some(held) = self.held().remove(run_id) {
            self.ended().note(run_id, held.epoch);
        }
        self.forgotten.notify_waiters();
    }

    /// Steps that are running, waiting for a slot, or not reported yet.
    pub fn running(&self) -> usize {
        self.held().len()
    }
}

fn lost(entry: &Entry, reporter: Reporter) -> StepFinished {
    StepFinished {
        run_id: entry.order.run_id.clone(),
        epoch: entry.order.epoch,
        outcome: StepOutcome::Lost,
        exit_code: None,
        error: Some("the agent was restarted in the middle of this step".to_owned()),
        progress: Progress::default(),
        result: serde_json::Map::new(),
        reporter: Some(reporter),
    }
}
