//! What handing out needs: the queue of ready runs, the turn, occupied slots, those who wait for one, fair shares.
//!
//! Conductors take turns: whoever holds the one row of `dispatch_turn` hands out a batch, and counts what is occupied.
//! Runs only ever leave slots outside of it, so a limit is never overrun. Occupied are the slots of runs that are
//! `dispatched` or `running`; nothing else is kept about them, and nothing can go out of step.

use crate::clients::ClientRow;
use crate::connect::AnyConnection;
use crate::runs::{ACTIVE, HELD, NOUN, RunRow};
use crate::schema::{clients, dispatch_turn, quotas, runs, shares};
use crate::set_aside::Claimed;
use crate::{DbError, Runs, Tx};
use diesel::prelude::*;
use freezer_model::{Client, ClientId, Epoch, JobId, ProjectId, Run, RunId, RunState, Timestamp};
use std::collections::{BTreeMap, HashMap, HashSet};

/// The turn's row.
const TURN: i32 = 1;
/// What one run costs a project of weight 1, in virtual time.
const COST: i64 = 1 << 20;

/// How many runs occupy something, by project.
pub type Occupied = HashMap<String, HashMap<ProjectId, i64>>;

/// Runs that are not over, by job.
pub type ActiveRuns = HashMap<(ProjectId, JobId), Vec<Result<Run, DbError>>>;

impl Runs<'_> {
    /// Takes the turn until this transaction ends. Answers the virtual time, or nothing when another conductor has it.
    pub fn take_turn(&mut self) -> Result<Option<i64>, DbError> {
        macro_rules! turn {
            () => {
                dispatch_turn::table.find(TURN).select(dispatch_turn::virtual_time)
            };
        }
        self.tx.run("turn", "", |conn| match conn {
            #[cfg(feature = "mysql")]
            AnyConnection::Mysql(mysql) => turn!().for_update().skip_locked().first(mysql).optional(),
            AnyConnection::Sqlite(sqlite) => turn!().first(sqlite).optional(),
        })
    }

    /// Moves the virtual time on. Only with the turn.
    pub fn set_virtual_time(&mut self, to: i64) -> Result<(), DbError> {
        self.tx.run("turn", "", |conn| {
            diesel::update(dispatch_turn::table.find(TURN))
                .set(dispatch_turn::virtual_time.eq(to))
                .execute(conn)
        })?;
        Ok(())
    }

    /// Up to `limit` ready runs, those of the projects that had least first. Only with the turn.
    pub fn claim_ready(&mut self, now: Timestamp, limit: u32) -> Result<Claimed<Run>, DbError> {
        let ids: Vec<String> = self.tx.run(NOUN, "", |conn| {
            runs::table
                .filter(runs::queue_tag.ge(0))
                .order((runs::queue_tag, runs::run_id))
                .limit(i64::from(limit))
                .select(runs::run_id)
                .load(conn)
        })?;
        let mut claimed = Claimed::default();
        let rows = self.lock_free(&ids)?;
        self.read_or_set_aside(rows.into_iter(), now, &mut claimed)?;
        claimed.rows.retain(|run| run.state == RunState::Queued && run.attention_at.is_none());
        Ok(claimed)
    }

    /// Whether any run is ready.
    pub fn is_any_ready(&mut self) -> Result<bool, DbError> {
        let found: Option<String> = self.tx.run(NOUN, "", |conn| {
            runs::table.filter(runs::queue_tag.ge(0)).select(runs::run_id).first(conn).optional()
        })?;
        Ok(found.is_some())
    }

    /// Which of the targets somebody works on.
    pub fn held_targets(&mut self, targets: &[String]) -> Result<Vec<String>, DbError> {
        if targets.is_empty() {
            return Ok(Vec::new());
        }
        let found: Vec<Option<String>> = self.tx.run(NOUN, "", |conn| {
            runs::table
                .filter(runs::target_key.eq_any(targets))
                .filter(runs::state.eq_any(HELD))
                .select(runs::target_key)
                .load(conn)
        })?;
        Ok(found.into_iter().flatten().collect())
    }

    /// Runs at work on the storages, by storage and project.
    pub fn held_by_storage(&mut self, storages: &[String]) -> Result<Occupied, DbError> {
        if storages.is_empty() {
            return Ok(Occupied::new());
        }
        let rows: Vec<(Option<String>, String, i64)> = self.tx.run(NOUN, "", |conn| {
            runs::table
                .filter(runs::storage_key.eq_any(storages))
                .filter(runs::state.eq_any(HELD))
                .group_by((runs::storage_key, runs::project_id))
                .select((runs::storage_key, runs::project_id, diesel::dsl::count_star()))
                .load(conn)
        })?;
        Ok(occupied(rows.into_iter().filter_map(|(key, project, count)| Some((key?, project, count)))))
    }

    /// Runs at work at the agents, by client id and project.
    pub fn held_by_agent(&mut self, agents: &[String]) -> Result<Occupied, DbError> {
        if agents.is_empty() {
            return Ok(Occupied::new());
        }
        let rows: Vec<(String, String, i64)> = self.tx.run(NOUN, "", |conn| {
            runs::table
                .filter(runs::client_id.eq_any(agents))
                .filter(runs::state.eq_any(HELD))
                .group_by((runs::client_id, runs::project_id))
                .select((runs::client_id, runs::project_id, diesel::dsl::count_star()))
                .load(conn)
        })?;
        Ok(occupied(rows.into_iter()))
    }

    /// Runs at work of the projects.
    pub fn held_by_project(&mut self, projects: &[String]) -> Result<HashMap<ProjectId, i64>, DbError> {
        if projects.is_empty() {
            return Ok(HashMap::new());
        }
        let rows: Vec<(String, i64)> = self.tx.run(NOUN, "", |conn| {
            runs::table
                .filter(runs::project_id.eq_any(projects))
                .filter(runs::state.eq_any(HELD))
                .group_by(runs::project_id)
                .select((runs::project_id, diesel::dsl::count_star()))
                .load(conn)
        })?;
        Ok(rows.into_iter().map(|(project, count)| (ProjectId::from(project), count)).collect())
    }

    /// For each of the slots: so many of those who wait for it become ready, the ones in front first. One statement
    /// when nobody waits.
    pub fn wake_waiting(&mut self, slots: &BTreeMap<String, i64>) -> Result<usize, DbError> {
        if slots.is_empty() {
            return Ok(0);
        }
        let keys: Vec<&str> = slots.keys().map(String::as_str).collect();
        let waited_for: Vec<Option<String>> = self.tx.run(NOUN, "", |conn| {
            runs::table
                .filter(runs::waiting_for.eq_any(keys))
                .group_by(runs::waiting_for)
                .select(runs::waiting_for)
                .load(conn)
        })?;
        let mut woken: Vec<String> = Vec::new();
        for key in waited_for.into_iter().flatten() {
            let count = slots.get(&key).copied().unwrap_or(1);
            let ids: Vec<String> = self.tx.run(NOUN, "", |conn| {
                runs::table
                    .filter(runs::waiting_for.eq(key))
                    .order((runs::share_tag, runs::run_id))
                    .limit(count)
                    .select(runs::run_id)
                    .load(conn)
            })?;
            woken.extend(ids);
        }
        if woken.is_empty() {
            return Ok(0);
        }
        self.tx.run(NOUN, "", |conn| {
            diesel::update(
                runs::table
                    .filter(runs::run_id.eq_any(woken))
                    .filter(runs::state.eq(RunState::Queued.as_str()))
                    .filter(runs::waiting_for.is_not_null()),
            )
            .set((
                runs::attention_at.eq(None::<i64>),
                runs::waiting_for.eq(None::<String>),
                runs::queue_tag.eq(runs::share_tag.nullable()),
            ))
            .execute(conn)
        })
    }

    /// The runs of the jobs that are not over, oldest first. One that cannot be read is active all the same.
    pub fn active_for_jobs(&mut self, jobs: &[(ProjectId, JobId)]) -> Result<ActiveRuns, DbError> {
        if jobs.is_empty() {
            return Ok(ActiveRuns::new());
        }
        let ids: Vec<&str> = jobs.iter().map(|(_, id)| id.as_str()).collect();
        let rows: Vec<RunRow> = self.tx.run(NOUN, "", |conn| {
            runs::table
                .filter(runs::job_id.eq_any(ids))
                .filter(runs::state.eq_any(ACTIVE))
                .order((runs::created_at, runs::run_id))
                .select(RunRow::as_select())
                .load(conn)
        })?;
        let mut active = ActiveRuns::new();
        for row in rows {
            let key = (ProjectId::from(row.project_id.as_str()), JobId::from(row.job_id.as_str()));
            active.entry(key).or_default().push(row.into_model());
        }
        Ok(active)
    }

    /// Notes that the broker took these orders: their agents have until `lease_end` to be heard. An order that has been
    /// begun, taken back or handed out anew since is passed over. One statement for each epoch among them.
    pub fn note_sent(&mut self, orders: &[(RunId, Epoch)], lease_end: Timestamp) -> Result<usize, DbError> {
        let mut by_epoch: BTreeMap<i64, Vec<&str>> = BTreeMap::new();
        for (run, epoch) in orders {
            by_epoch.entry(epoch.0).or_default().push(run.as_str());
        }
        let mut noted = 0;
        for (epoch, ids) in by_epoch {
            noted += self.tx.run(NOUN, "", |conn| {
                let those = runs::table
                    .filter(runs::run_id.eq_any(ids))
                    .filter(runs::epoch.eq(epoch))
                    .filter(runs::state.eq(RunState::Dispatched.as_str()))
                    .filter(runs::is_unsent.eq(true));
                diesel::update(those)
                    .set((runs::is_unsent.eq(false), runs::attention_at.eq(Some(lease_end.0))))
                    .execute(conn)
            })?;
        }
        Ok(noted)
    }

    /// No lease ends later than `at`: after the clock was set back, those made before would last too long.
    pub fn shorten_leases(&mut self, at: Timestamp) -> Result<usize, DbError> {
        self.tx.run(NOUN, "", |conn| {
            diesel::update(runs::table.filter(runs::state.eq_any(HELD)).filter(runs::attention_at.gt(at.0)))
                .set(runs::attention_at.eq(Some(at.0)))
                .execute(conn)
        })
    }
}

fn occupied(rows: impl Iterator<Item = (String, String, i64)>) -> Occupied {
    let mut all = Occupied::new();
    for (key, project, count) in rows {
        *all.entry(key).or_default().entry(ProjectId::from(project)).or_default() += count;
    }
    all
}

/// Places in the queue of all projects; see [`Tx::shares`].
pub struct Shares<'t> {
    pub(crate) tx: &'t mut Tx,
}

impl Shares<'_> {
    /// Gives so many new runs of each project their tags. A project's runs follow each other at a distance of one run's
    /// cost, divided by its weight, and never begin before the virtual time: start-time fair queueing.
    pub fn tags(
        &mut self,
        wanted: &BTreeMap<ProjectId, usize>,
    ) -> Result<HashMap<ProjectId, Vec<i64>>, DbError> {
        if wanted.is_empty() {
            return Ok(HashMap::new());
        }
        let projects: Vec<&str> = wanted.keys().map(ProjectId::as_str).collect();
        let now: i64 = self.tx.run("turn", "", |conn| {
            dispatch_turn::table.find(TURN).select(dispatch_turn::virtual_time).first(conn)
        })?;
        let weights: HashMap<String, Option<i32>> = self.tx.run("quota", "", |conn| {
            let rows: Vec<(String, Option<i32>)> = quotas::table
                .filter(quotas::project_id.eq_any(&projects))
                .select((quotas::project_id, quotas::weight))
                .load(conn)?;
            Ok(rows.into_iter().collect())
        })?;
        let ends = self.ends(&projects)?;
        let (mut tags, mut rows) = (HashMap::new(), Vec::new());
        for (project, count) in wanted {
            let weight = i64::from(weights.get(project.as_str()).copied().flatten().unwrap_or(1).max(1));
            let mut end = ends.get(project.as_str()).copied().unwrap_or(0).max(now);
            let mut own = Vec::with_capacity(*count);
            for _ in 0..*count {
                own.push(end);
                end = end.saturating_add((COST / weight).max(1));
            }
            rows.push((shares::project_id.eq(project.as_str()), shares::finish_tag.eq(end)));
            tags.insert(project.clone(), own);
        }
        self.tx.run("share", "", |conn| match conn {
            #[cfg(feature = "mysql")]
            AnyConnection::Mysql(mysql) => diesel::replace_into(shares::table).values(&rows).execute(mysql),
            AnyConnection::Sqlite(sqlite) => {
                diesel::replace_into(shares::table).values(&rows).execute(sqlite)
            }
        })?;
        Ok(tags)
    }

    /// Where each project's last run ends, kept from others.
    fn ends(&mut self, projects: &[&str]) -> Result<HashMap<String, i64>, DbError> {
        macro_rules! those {
            () => {
                shares::table
                    .filter(shares::project_id.eq_any(projects))
                    .order(shares::project_id)
                    .select((shares::project_id, shares::finish_tag))
            };
        }
        let rows: Vec<(String, i64)> = self.tx.run("share", "", |conn| match conn {
            #[cfg(feature = "mysql")]
            AnyConnection::Mysql(mysql) => those!().for_update().load(mysql),
            AnyConnection::Sqlite(sqlite) => those!().load(sqlite),
        })?;
        Ok(rows.into_iter().collect())
    }
}

/// A client as those see it who hand out work.
#[derive(Clone, Debug, PartialEq)]
pub struct Worker {
    pub client: Client,
    /// Steps that it works on at a time, if it has said so.
    pub concurrent_steps: Option<i64>,
}

/// Whom a project means by a client id.
pub type Workers = HashMap<(ProjectId, ClientId), Result<Worker, DbError>>;

impl crate::Clients<'_> {
    /// Notes how many steps the agent works on at a time; `None` when it does not say.
    pub fn set_concurrent_steps(
        &mut self,
        project: &ProjectId,
        id: &ClientId,
        steps: Option<u32>,
    ) -> Result<(), DbError> {
        let steps = steps.map(|steps| i32::try_from(steps).unwrap_or(i32::MAX));
        self.tx.run("client", id.as_str(), |conn| {
            diesel::update(clients::table.find((project.as_str(), id.as_str())))
                .set(clients::concurrent_steps.eq(steps))
                .execute(conn)
        })?;
        Ok(())
    }

    /// As [`Self::get`] for many at once; those that do not exist are left out. One statement.
    pub fn workers(&mut self, wanted: &HashSet<(ProjectId, ClientId)>) -> Result<Workers, DbError> {
        if wanted.is_empty() {
            return Ok(Workers::new());
        }
        let projects: HashSet<&str> = wanted.iter().map(|(project, _)| project.as_str()).collect();
        let ids: HashSet<&str> = wanted.iter().map(|(_, id)| id.as_str()).collect();
        let rows: Vec<(ClientRow, Option<i32>)> = self.tx.run("client", "", |conn| {
            clients::table
                .filter(clients::client_id.eq_any(ids))
                .filter(clients::project_id.eq_any(projects).or(clients::is_central.eq(true)))
                .order((clients::created_at, clients::project_id))
                .select((ClientRow::as_select(), clients::concurrent_steps))
                .load(conn)
        })?;
        let mut workers = Workers::new();
        for (project, id) in wanted {
            let named = || rows.iter().filter(|(row, _)| row.client_id == id.as_str());
            let own = named().find(|(row, _)| row.project_id == project.as_str());
            let Some((row, steps)) = own.or_else(|| named().find(|(row, _)| row.is_central)) else {
                continue;
            };
            let worker = row.clone().into_model();
            let worker = worker.map(|client| Worker { client, concurrent_steps: steps.map(i64::from) });
            workers.insert((project.clone(), id.clone()), worker);
        }
        Ok(workers)
    }
}
