//! What heartbeats need, for many agents with few statements.

use crate::clients::ClientRow;
use crate::connect::AnyConnection;
use crate::limits::{self, fits};
use crate::runs::{HELD, NOUN};
use crate::schema::{clients, runs};
use crate::{Clients, DbError, Runs, Worker};
use diesel::prelude::*;
use freezer_model::{ClientId, Epoch, Holder, ProjectId, RunId, RunState, Timestamp};
use std::collections::{HashMap, HashSet};

/// What a run's row says to an agent that holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct Holding {
    pub project_id: ProjectId,
    pub client_id: ClientId,
    pub epoch: Epoch,
    /// It is handed out or being done; else nobody holds it any more.
    pub is_held: bool,
    pub abort_requested: bool,
}

/// A client as heartbeats are compared with it.
#[derive(Clone, Debug, PartialEq)]
pub struct Known {
    pub worker: Worker,
    pub holder: Holder,
}

type HoldingRow = (String, String, String, i64, String, bool);

/// A statement has a limited number of parameters.
const RUNS_IN_ONE_STATEMENT: usize = 500;

impl Clients<'_> {
    /// All rows of these client ids, whatever the project. One statement.
    pub fn namesakes(
        &mut self,
        ids: &HashSet<&str>,
    ) -> Result<HashMap<ClientId, Vec<Result<Known, DbError>>>, DbError> {
        let ids: Vec<&str> = ids.iter().copied().collect();
        let rows: Vec<(ClientRow, Option<i32>, Option<String>)> = self.tx.run("client", "", |conn| {
            clients::table
                .filter(clients::client_id.eq_any(ids))
                .select((ClientRow::as_select(), clients::concurrent_steps, clients::bound_to))
                .load(conn)
        })?;
        let mut found: HashMap<_, Vec<_>> = HashMap::new();
        for (row, steps, bound_to) in rows {
            let id = ClientId::from(row.client_id.as_str());
            let known = row.into_model().map(|client| Known {
                holder: Holder { user_id: client.user_id.clone(), bound_to },
                worker: Worker { client, concurrent_steps: steps.map(i64::from) },
            });
            found.entry(id).or_default().push(known);
        }
        Ok(found)
    }

    /// Notes a sign of life of the project's clients. One statement.
    pub fn touch_of(
        &mut self,
        project: &ProjectId,
        clients: &[&ClientId],
        seen_at: Timestamp,
    ) -> Result<usize, DbError> {
        let mut ids: Vec<&str> = clients.iter().map(|id| id.as_str()).collect();
        ids.sort_unstable();
        self.tx.run("client", "", |conn| {
            let those = clients::table
                .filter(clients::client_id.eq_any(ids))
                .filter(clients::project_id.eq(project.as_str()));
            diesel::update(those).set(clients::last_seen_at.eq(Some(seen_at.0))).execute(conn)
        })
    }

    /// Notes a sign of life of clients that have no namesake. One statement.
    pub fn touch_many(
        &mut self,
        clients: &[(&ProjectId, &ClientId)],
        seen_at: Timestamp,
    ) -> Result<usize, DbError> {
        let projects: HashSet<&str> = clients.iter().map(|(project, _)| project.as_str()).collect();
        // In one order, so that two conductors do not wait for each other.
        let mut ids: Vec<&str> = clients.iter().map(|(_, id)| id.as_str()).collect();
        ids.sort_unstable();
        self.tx.run("client", "", |conn| {
            let those = clients::table
                .filter(clients::client_id.eq_any(ids))
                .filter(clients::project_id.eq_any(projects));
            diesel::update(those).set(clients::last_seen_at.eq(Some(seen_at.0))).execute(conn)
        })
    }
}

impl Runs<'_> {
    /// Those of the runs that exist, kept from others until the transaction ends. One statement for each 500.
    pub fn holdings(&mut self, ids: &HashSet<&RunId>) -> Result<HashMap<RunId, Holding>, DbError> {
        // Agents may name what they like: what is longer is no run's id, and need not be sent to the database.
        let is_id = |id: &&str| fits("run_id", id, limits::ID).is_ok();
        let mut ids: Vec<&str> = ids.iter().map(|id| id.as_str()).filter(is_id).collect();
        // In one order, so that two conductors do not wait for each other.
        ids.sort_unstable();
        let mut found = HashMap::new();
        for ids in ids.chunks(RUNS_IN_ONE_STATEMENT) {
            found.extend(self.hold(ids)?);
        }
        Ok(found)
    }

    fn hold(&mut self, ids: &[&str]) -> Result<Vec<(RunId, Holding)>, DbError> {
        macro_rules! those {
            () => {
                runs::table.filter(runs::run_id.eq_any(ids)).order(runs::run_id).select((
                    runs::run_id,
                    runs::project_id,
                    runs::client_id,
                    runs::epoch,
                    runs::state,
                    runs::abort_requested,
                ))
            };
        }
        let rows: Vec<HoldingRow> = self.tx.run(NOUN, "", |conn| match conn {
            #[cfg(feature = "mysql")]
            AnyConnection::Mysql(mysql) => those!().for_update().load(mysql),
            AnyConnection::Sqlite(sqlite) => those!().load(sqlite),
        })?;
        let holding = |(run, project, client, epoch, state, abort_requested): HoldingRow| {
            let holding = Holding {
                project_id: ProjectId::from(project),
                client_id: ClientId::from(client),
                epoch: Epoch(epoch),
                is_held: HELD.contains(&state.as_str()),
                abort_requested,
            };
            (RunId::from(run), holding)
        };
        Ok(rows.into_iter().map(holding).collect())
    }

    /// Their agents hold these runs, which this transaction has kept from others: the leases last until then. One statement for
    /// each 500.
    pub fn renew(&mut self, ids: &[&RunId], lease_end: Timestamp) -> Result<usize, DbError> {
        let mut renewed = 0;
        for ids in ids.chunks(RUNS_IN_ONE_STATEMENT) {
            let ids: Vec<&str> = ids.iter().map(|id| id.as_str()).collect();
            renewed += self.tx.run(NOUN, "", |conn| {
                diesel::update(runs::table.filter(runs::run_id.eq_any(ids)))
                    .set((runs::attention_at.eq(Some(lease_end.0)), runs::is_unsent.eq(false)))
                    .execute(conn)
            })?;
        }
        Ok(renewed)
    }

    /// Those of the runs that wait for this client for this reason are ready again; of one project, or of any for a central client.
    /// Changed by their keys, so that no more are kept from others than are changed. One statement, and one for each 500.
    pub fn go_on(
        &mut self,
        project: Option<&ProjectId>,
        client: &ClientId,
        reason: &str,
    ) -> Result<usize, DbError> {
        let waiting: Vec<String> = self.tx.run(NOUN, "", |conn| {
            let mut query = runs::table
                .select(runs::run_id)
                .filter(runs::client_id.eq(client.as_str()))
                .filter(runs::state.eq(RunState::Queued.as_str()))
                .filter(runs::error.eq(reason))
                .into_boxed();
            if let Some(project) = project {
                query = query.filter(runs::project_id.eq(project.as_str()));
            }
            query.order(runs::run_id).load(conn)
        })?;
        let mut changed = 0;
        for ids in waiting.chunks(RUNS_IN_ONE_STATEMENT) {
            changed += self.tx.run(NOUN, "", |conn| {
                let those = runs::table
                    .filter(runs::run_id.eq_any(ids))
                    .filter(runs::state.eq(RunState::Queued.as_str()))
                    .filter(runs::error.eq(reason));
                diesel::update(those)
                    .set((runs::attention_at.eq(None::<i64>), runs::queue_tag.eq(runs::share_tag.nullable())))
                    .execute(conn)
            })?;
        }
        Ok(changed)
    }

    /// What is being done at this client, oldest first; of one project, or of any for a central client. One statement.
    pub fn running_at(
        &mut self,
        project: Option<&ProjectId>,
        client: &ClientId,
    ) -> Result<Vec<(RunId, Epoch)>, DbError> {
        let rows: Vec<(String, i64)> = self.tx.run(NOUN, "", |conn| {
            let mut query = runs::table
                .select((runs::run_id, runs::epoch))
                .filter(runs::client_id.eq(client.as_str()))
                .filter(runs::state.eq(RunState::Running.as_str()))
                .into_boxed();
            if let Some(project) = project {
                query = query.filter(runs::project_id.eq(project.as_str()));
            }
            query.order((runs::created_at, runs::run_id)).load(conn)
        })?;
        Ok(rows.into_iter().map(|(id, epoch)| (RunId::from(id), Epoch(epoch))).collect())
    }
}
