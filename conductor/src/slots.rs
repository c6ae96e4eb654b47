//! Slots: what a run needs free before a step of it is handed out, and who may go on when it has ended.
//!
//! | slot | how many |
//! |---|---|
//! | target (client, storage, container, backup name) | 1 |
//! | project | quota `runs` |
//! | agent | what it says in its hello, at most `max_steps_per_agent` |
//! | storage | `max_runs_per_storage` |
//! | one project's share of a storage or of a central agent | `largest_share` percent of those |
//!
//! A run that finds one full waits for it by name: it leaves the queue, so that however many wait, none is looked at
//! again before a slot of that name is free. The end of a step wakes the first of those who wait for its slots; who
//! hands out a batch wakes more where slots stayed free.

use crate::ConductorOptions;
use freezer_database::{DbError, Occupied, Tx, Worker, Workers};
use freezer_model::slot::{self, Slot};
use freezer_model::{ClientId, Limits, ProjectId, Run, Timestamp};
use std::collections::{BTreeMap, HashMap, HashSet};

/// A slot and how many of it there are.
pub(crate) type Need = (Slot, i64);

/// How many are woken at a time for one slot, at most.
const WOKEN: i64 = 16;

/// What the run needs. Slots without a limit are left out.
pub(crate) fn needed(options: &ConductorOptions, run: &Run, worker: &Worker, limits: &Limits) -> Vec<Need> {
    let mut needs = Vec::new();
    let project = run.project_id.clone();
    needs.extend(slot::target(run).map(|target| (Slot::Target(target), 1)));
    needs.extend(limits.runs.map(|most| (Slot::Project(project.clone()), most)));
    let agent = smaller(options.max_steps_per_agent, worker.concurrent_steps);
    if let Some(most) = agent {
        let client = run.client_id.clone();
        if worker.client.is_central {
            needs.push((Slot::Central(client.clone()), most));
            needs.push((Slot::AgentShare(project.clone(), client), share(options, most)));
        } else {
            needs.push((Slot::Agent(project.clone(), client), most));
        }
    }
    if let (Some(most), Some(storage)) = (options.max_runs_per_storage, slot::storage(run)) {
        needs.push((Slot::Storage(storage.clone()), most));
        needs.push((Slot::StorageShare(project, storage), share(options, most)));
    }
    needs
}

fn smaller(one: Option<i64>, other: Option<i64>) -> Option<i64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

fn share(options: &ConductorOptions, most: i64) -> i64 {
    (most.saturating_mul(options.largest_share) / 100).max(1)
}

/// Since when the run could have been handed out, as far as it knows.
pub(crate) fn ready_since(run: &Run) -> Timestamp {
    run.steps.iter().rev().find_map(|step| step.finished_at).unwrap_or(run.created_at)
}

/// Everything that the run may occupy with its current action, each once.
pub(crate) fn of(run: &Run) -> BTreeMap<String, i64> {
    let (project, client) = (&run.project_id, &run.client_id);
    let mut slots = vec![
        Slot::Project(project.clone()),
        Slot::Agent(project.clone(), client.clone()),
        Slot::Central(client.clone()),
        Slot::AgentShare(project.clone(), client.clone()),
    ];
    slots.extend(slot::target(run).map(Slot::Target));
    if let Some(storage) = slot::storage(run) {
        slots.push(Slot::StorageShare(project.clone(), storage.clone()));
        slots.push(Slot::Storage(storage));
    }
    slots.iter().map(|slot| (slot.key(), 1)).collect()
}

/// What is occupied while a batch is handed out. Only who has the turn may count.
#[derive(Default)]
pub(crate) struct Ledger {
    taken: HashMap<Slot, i64>,
    /// Those that were asked for, and their number.
    limits: HashMap<Slot, i64>,
}

impl Ledger {
    /// Counts what the runs of the batch may run into.
    pub(crate) fn load(
        options: &ConductorOptions,
        tx: &mut Tx,
        runs: &[Run],
        workers: &Workers,
        limits: &HashMap<ProjectId, Limits>,
    ) -> Result<Self, DbError> {
        let mut ledger = Self::default();
        let targets = distinct(runs.iter().filter_map(slot::target));
        for target in tx.runs().held_targets(&targets)? {
            ledger.taken.insert(Slot::Target(target), 1);
        }
        let limited =
            runs.iter().filter(|run| limits.get(&run.project_id).is_some_and(|own| own.runs.is_some()));
        let projects = distinct(limited.map(|run| run.project_id.to_string()));
        for (project, count) in tx.runs().held_by_project(&projects)? {
            ledger.taken.insert(Slot::Project(project), count);
        }
        let has_limit = |run: &&Run| {
            let worker = workers.get(&(run.project_id.clone(), run.client_id.clone()));
            let steps =
                worker.and_then(|worker| worker.as_ref().ok()).and_then(|worker| worker.concurrent_steps);
            options.max_steps_per_agent.is_some() || steps.is_some()
        };
        let agents = distinct(runs.iter().filter(has_limit).map(|run| run.client_id.to_string()));
        ledger.note_agents(tx, &agents, workers)?;
        if options.max_runs_per_storage.is_some() {
            let storages = distinct(runs.iter().filter_map(slot::storage));
            ledger.note(
                tx.runs().held_by_storage(&storages)?,
                |name| Slot::Storage(name.to_owned()),
                |project, name| Slot::StorageShare(project, name.to_owned()),
            );
        }
        Ok(ledger)
    }

    /// What agents have at work. A name means the project's own agent first, and a central one only to those who have none.
    fn note_agents(&mut self, tx: &mut Tx, agents: &[String], workers: &Workers) -> Result<(), DbError> {
        let of_workers = workers.values().filter_map(|worker| worker.as_ref().ok());
        let central: HashSet<&str> = of_workers
            .filter(|worker| worker.client.is_central)
            .map(|worker| worker.client.client_id.as_str())
            .collect();
        for (name, mut projects) in tx.runs().held_by_agent(agents)? {
            let client = ClientId::from(name.as_str());
            if central.contains(name.as_str()) {
                for other in tx.clients().of_any_project(&client)?.iter().filter(|other| !other.is_central) {
                    if let Some(count) = projects.remove(&other.project_id) {
                        self.taken.insert(Slot::Agent(other.project_id.clone(), client.clone()), count);
                    }
                }
                self.taken.insert(Slot::Central(client.clone()), projects.values().sum());
            }
            for (project, count) in projects {
                self.taken.insert(Slot::AgentShare(project.clone(), client.clone()), count);
                self.taken.insert(Slot::Agent(project, client.clone()), count);
            }
        }
        Ok(())
    }

    fn note(
        &mut self,
        occupied: Occupied,
        whole: impl Fn(&str) -> Slot,
        share: impl Fn(ProjectId, &str) -> Slot,
    ) {
        for (name, projects) in occupied {
            self.taken.insert(whole(&name), projects.values().sum());
            for (project, count) in projects {
                self.taken.insert(share(project, &name), count);
            }
        }
    }

    /// Takes all that is needed, or nothing; then answers the first slot that is full.
    pub(crate) fn take(&mut self, needs: &[Need]) -> Result<(), Slot> {
        for (slot, most) in needs {
            self.limits.insert(slot.clone(), *most);
        }
        let is_full = |slot: &Slot, most: i64| self.taken.get(slot).copied().unwrap_or(0) >= most;
        if let Some((slot, _)) = needs.iter().find(|(slot, most)| is_full(slot, *most)) {
            return Err(slot.clone());
        }
        for (slot, _) in needs {
            *self.taken.entry(slot.clone()).or_default() += 1;
        }
        Ok(())
    }

    /// What stayed free of what was asked for.
    pub(crate) fn free(&self) -> BTreeMap<String, i64> {
        let left = |(slot, most): (&Slot, &i64)| {
            let free = most - self.taken.get(slot).copied().unwrap_or(0);
            (free > 0).then(|| (slot.key(), free.min(WOKEN)))
        };
        self.limits.iter().filter_map(left).collect()
    }
}

fn distinct(names: impl Iterator<Item = String>) -> Vec<String> {
    let names: HashSet<String> = names.collect();
    names.into_iter().collect()
}
