//! Runs: the history of firings, and the queue of those that are not over.

use crate::connect::AnyConnection;
use crate::jobs::CANDIDATES_FOR_ONE;
use crate::limits::{self, fits, fits_if_any};
use crate::schema::{jobs, runs};
use crate::set_aside::{Claimed, UNTIL};
use crate::{DbError, Tx, json};
use diesel::prelude::*;
use freezer_model::{ClientId, Epoch, JobId, ProjectId, Run, RunId, RunState, Timestamp, slot};

pub(crate) const NOUN: &str = "run";
pub(crate) const ACTIVE: [&str; 3] = ["queued", "dispatched", "running"];
pub(crate) const HELD: [&str; 2] = ["dispatched", "running"];
const CAUSE: usize = 32;

/// A statement has a limited number of parameters.
const ROWS_IN_ONE_STATEMENT: usize = 500;

/// Repository of one transaction; see [`Tx::runs`].
pub struct Runs<'t> {
    pub(crate) tx: &'t mut Tx,
}

/// Conditions that an index decides; `None` = any.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunFilter {
    pub job_id: Option<JobId>,
    pub client_id: Option<ClientId>,
    pub state: Option<RunState>,
}

#[derive(Queryable, Selectable, Insertable, AsChangeset, Clone)]
#[diesel(table_name = runs, primary_key(run_id), treat_none_as_null = true)]
pub(crate) struct RunRow {
    pub(crate) run_id: String,
    pub(crate) project_id: String,
    pub(crate) job_id: String,
    client_id: String,
    state: String,
    epoch: i64,
    action_index: i32,
    attempt: i32,
    losses: i32,
    actions: String,
    steps: String,
    progress: String,
    error: Option<String>,
    abort_requested: bool,
    cause: String,
    request_id: Option<String>,
    due_at: i64,
    pub(crate) created_at: i64,
    started_at: Option<i64>,
    finished_at: Option<i64>,
    attention_at: Option<i64>,
    share_tag: i64,
    queue_tag: Option<i64>,
    storage_key: Option<String>,
    target_key: Option<String>,
    waiting_for: Option<String>,
    is_unsent: bool,
}

impl RunRow {
    pub(crate) fn of(run: &Run) -> Result<Self, DbError> {
        fits("run_id", run.run_id.as_str(), limits::ID)?;
        fits("project_id", run.project_id.as_str(), limits::PROJECT_ID)?;
        fits("job_id", run.job_id.as_str(), limits::ID)?;
        fits("client_id", run.client_id.as_str(), limits::CLIENT_ID)?;
        fits("cause", &run.cause, CAUSE)?;
        fits_if_any("request_id", run.request_id.as_deref(), limits::SHORT_TEXT)?;
        Ok(Self {
            run_id: run.run_id.to_string(),
            project_id: run.project_id.to_string(),
            job_id: run.job_id.to_string(),
            client_id: run.client_id.to_string(),
            state: run.state.as_str().to_owned(),
            epoch: run.epoch.0,
            action_index: json::stored_index("action_index", run.action_index)?,
            attempt: run.attempt,
            losses: run.losses,
            actions: json::to_text(NOUN, &run.actions)?,
            steps: json::to_text(NOUN, &run.steps)?,
            progress: json::to_text(NOUN, &run.progress)?,
            error: run.error.clone(),
            abort_requested: run.abort_requested,
            cause: run.cause.clone(),
            request_id: run.request_id.clone(),
            due_at: run.due_at.0,
            created_at: run.created_at.0,
            started_at: run.started_at.map(|at| at.0),
            finished_at: run.finished_at.map(|at| at.0),
            attention_at: run.attention_at.map(|at| at.0),
            share_tag: run.share_tag,
            queue_tag: is_ready(run).then_some(run.share_tag),
            storage_key: slot::storage(run),
            target_key: slot::target(run),
            waiting_for: run.waiting_for.clone(),
            is_unsent: run.is_unsent,
        })
    }

    pub(crate) fn into_model(self) -> Result<Run, DbError> {
        let id = self.run_id.as_str();
        let unreadable = |field, reason: &str| json::corrupt(NOUN, id, field, reason);
        Ok(Run {
            state: RunState::parse(&self.state).ok_or_else(|| unreadable("state", &self.state))?,
            actions: json::from_text(NOUN, id, "actions", &self.actions)?,
            steps: json::from_text(NOUN, id, "steps", &self.steps)?,
            progress: json::from_text(NOUN, id, "progress", &self.progress)?,
            action_index: usize::try_from(self.action_index)
                .map_err(|_| unreadable("action_index", "negative"))?,
            run_id: RunId::from(self.run_id),
            project_id: ProjectId::from(self.project_id),
            job_id: JobId::from(self.job_id),
            client_id: ClientId::from(self.client_id),
            epoch: Epoch(self.epoch),
            attempt: self.attempt,
            losses: self.losses,
            error: self.error,
            abort_requested: self.abort_requested,
            cause: self.cause,
            request_id: self.request_id,
            due_at: Timestamp(self.due_at),
            created_at: Timestamp(self.created_at),
            started_at: self.started_at.map(Timestamp),
            finished_at: self.finished_at.map(Timestamp),
            attention_at: self.attention_at.map(Timestamp),
            share_tag: self.share_tag,
            waiting_for: self.waiting_for,
            is_unsent: self.is_unsent,
        })
    }
}

/// Whether a run is in the queue of those to be handed out.
fn is_ready(run: &Run) -> bool {
    run.state == RunState::Queued && run.attention_at.is_none()
}

/// One statement for all rows. They exist, so that nothing is inserted; the table has no other unique key.
#[cfg(feature = "mysql")]
fn overwrite(mysql: &mut diesel::MysqlConnection, rows: &[RunRow]) -> diesel::QueryResult<usize> {
    use diesel::dsl::{DuplicatedKeys, sql};
    use diesel::sql_types::{BigInt, Bool, Integer, Nullable, Text};
    diesel::insert_into(runs::table)
        .values(rows)
        .on_conflict(DuplicatedKeys)
        .do_update()
        .set((
            runs::state.eq(sql::<Text>("VALUES(state)")),
            runs::epoch.eq(sql::<BigInt>("VALUES(epoch)")),
            runs::action_index.eq(sql::<Integer>("VALUES(action_index)")),
            runs::attempt.eq(sql::<Integer>("VALUES(attempt)")),
            runs::losses.eq(sql::<Integer>("VALUES(losses)")),
            runs::steps.eq(sql::<Text>("VALUES(steps)")),
            runs::progress.eq(sql::<Text>("VALUES(progress)")),
            runs::error.eq(sql::<Nullable<Text>>("VALUES(error)")),
            runs::abort_requested.eq(sql::<Bool>("VALUES(abort_requested)")),
            runs::started_at.eq(sql::<Nullable<BigInt>>("VALUES(started_at)")),
            runs::finished_at.eq(sql::<Nullable<BigInt>>("VALUES(finished_at)")),
            runs::attention_at.eq(sql::<Nullable<BigInt>>("VALUES(attention_at)")),
            runs::queue_tag.eq(sql::<Nullable<BigInt>>("VALUES(queue_tag)")),
            runs::storage_key.eq(sql::<Nullable<Text>>("VALUES(storage_key)")),
            runs::target_key.eq(sql::<Nullable<Text>>("VALUES(target_key)")),
            runs::waiting_for.eq(sql::<Nullable<Text>>("VALUES(waiting_for)")),
            runs::is_unsent.eq(sql::<Bool>("VALUES(is_unsent)")),
        ))
        .execute(mysql)
}

impl Runs<'_> {
    pub fn insert(&mut self, run: &Run) -> Result<(), DbError> {
        let row = RunRow::of(run)?;
        self.tx.run(NOUN, run.run_id.as_str(), |conn| {
            diesel::insert_into(runs::table).values(row).execute(conn)
        })?;
        Ok(())
    }

    /// Several at once. Check each with [`Self::check`] before: one that does not fit undoes all.
    pub fn insert_many(&mut self, runs: &[Run]) -> Result<(), DbError> {
        let rows: Vec<RunRow> = runs.iter().map(RunRow::of).collect::<Result<_, _>>()?;
        for rows in rows.chunks(ROWS_IN_ONE_STATEMENT) {
            self.tx.run(NOUN, "", |conn| match conn {
                #[cfg(feature = "mysql")]
                AnyConnection::Mysql(mysql) => diesel::insert_into(runs::table).values(rows).execute(mysql),
                AnyConnection::Sqlite(sqlite) => rows.iter().try_fold(0, |sum, row| {
                    Ok(sum + diesel::insert_into(runs::table).values(row).execute(sqlite)?)
                }),
            })?;
        }
        Ok(())
    }

    /// Whether the database can hold the run.
    pub fn check(run: &Run) -> Result<(), DbError> {
        RunRow::of(run).map(drop)
    }

    /// Writes what changes while runs are handed out and come back, of runs that exist and are held by this transaction.
    pub fn save_many(&mut self, runs: &[Run]) -> Result<(), DbError> {
        let rows: Vec<RunRow> = runs.iter().map(RunRow::of).collect::<Result<_, _>>()?;
        for rows in rows.chunks(ROWS_IN_ONE_STATEMENT) {
            self.tx.run(NOUN, "", |conn| match conn {
                #[cfg(feature = "mysql")]
                AnyConnection::Mysql(mysql) => overwrite(mysql, rows),
                AnyConnection::Sqlite(sqlite) => rows.iter().try_fold(0, |sum, row| {
                    let one = runs::table.find(row.run_id.as_str());
                    Ok(sum + diesel::update(one).set(row.clone()).execute(sqlite)?)
                }),
            })?;
        }
        Ok(())
    }

    /// Writes all fields of a run that exists. Read it with [`Self::get_for_update`] before, in the same transaction.
    pub fn save(&mut self, run: &Run) -> Result<(), DbError> {
        let row = RunRow::of(run)?;
        let changed = self.tx.run(NOUN, run.run_id.as_str(), |conn| {
            diesel::update(runs::table.find(run.run_id.as_str())).set(row).execute(conn)
        })?;
        if changed == 0 {
            return Err(DbError::Missing { noun: NOUN, id: run.run_id.to_string() });
        }
        Ok(())
    }

    pub fn get(&mut self, project: &ProjectId, id: &RunId) -> Result<Option<Run>, DbError> {
        let row = self.tx.run(NOUN, id.as_str(), |conn| {
            runs::table
                .find(id.as_str())
                .filter(runs::project_id.eq(project.as_str()))
                .select(RunRow::as_select())
                .first(conn)
                .optional()
        })?;
        row.map(RunRow::into_model).transpose()
    }

    /// A run of whatever project, kept from others until the transaction ends.
    pub fn get_for_update(&mut self, id: &RunId) -> Result<Option<Run>, DbError> {
        let row = self.tx.run(NOUN, id.as_str(), |conn| match conn {
            #[cfg(feature = "mysql")]
            AnyConnection::Mysql(mysql) => {
                runs::table.find(id.as_str()).select(RunRow::as_select()).for_update().first(mysql).optional()
            }
            AnyConnection::Sqlite(sqlite) => {
                runs::table.find(id.as_str()).select(RunRow::as_select()).first(sqlite).optional()
            }
        })?;
        row.map(RunRow::into_model).transpose()
    }

    /// Up to `limit` runs whose attention time has come, longest overdue first, kept from other conductors until
    /// this transaction ends. The caller must move their attention time. Unreadable ones are set aside.
    pub fn claim_due(&mut self, now: Timestamp, limit: u32) -> Result<Claimed<Run>, DbError> {
        let candidates: Vec<String> = self.tx.run(NOUN, "", |conn| {
            runs::table
                .filter(runs::attention_at.le(now.0))
                .order((runs::attention_at, runs::run_id))
                .limit(i64::from(limit).saturating_mul(CANDIDATES_FOR_ONE))
                .select(runs::run_id)
                .load(conn)
        })?;
        let mut claimed = Claimed::default();
        let wanted = usize::try_from(limit).unwrap_or(usize::MAX).max(1);
        for ids in candidates.chunks(wanted) {
            if claimed.rows.len() >= wanted {
                break;
            }
            let rows = self.lock_free(ids)?;
            let is_due = |row: &RunRow| row.attention_at.is_some_and(|at| at <= now.0);
            self.read_or_set_aside(rows.into_iter().filter(is_due), now, &mut claimed)?;
        }
        Ok(claimed)
    }

    /// Those of the rows that nobody else holds, locked. By key alone: locks along an index on a time or a state would be
    /// far more than are wanted.
    pub(crate) fn lock_free(&mut self, ids: &[String]) -> Result<Vec<RunRow>, DbError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        macro_rules! those {
            () => {
                runs::table.filter(runs::run_id.eq_any(ids)).select(RunRow::as_select())
            };
        }
        let mut rows: Vec<RunRow> = self.tx.run(NOUN, "", |conn| match conn {
            #[cfg(feature = "mysql")]
            AnyConnection::Mysql(mysql) => those!().for_update().skip_locked().load(mysql),
            AnyConnection::Sqlite(sqlite) => those!().load(sqlite),
        })?;
        let place = |id: &str| ids.iter().position(|wanted| wanted == id);
        rows.sort_by_cached_key(|row| place(&row.run_id));
        Ok(rows)
    }

    /// Makes runs of rows. One that this program cannot read (written by a newer one, or damaged) waits on its own.
    pub(crate) fn read_or_set_aside(
        &mut self,
        rows: impl Iterator<Item = RunRow>,
        now: Timestamp,
        claimed: &mut Claimed<Run>,
    ) -> Result<(), DbError> {
        for row in rows {
            let id = row.run_id.clone();
            match row.into_model() {
                Ok(run) => claimed.rows.push(run),
                Err(error) => {
                    self.tx.run(NOUN, &id, |conn| {
                        diesel::update(runs::table.find(id.as_str()))
                            .set((
                                runs::attention_at.eq(Some(now.plus(UNTIL).0)),
                                runs::queue_tag.eq(None::<i64>),
                                runs::error.eq(Some(error.to_string())),
                            ))
                            .execute(conn)
                    })?;
                    claimed.set_aside.push(error);
                }
            }
        }
        Ok(())
    }

    /// When each job that still exists had its last run without any failure.
    pub fn last_successes(&mut self) -> Result<Vec<(ProjectId, JobId, Timestamp)>, DbError> {
        let rows: Vec<(String, String, Option<i64>)> = self.tx.run(NOUN, "", |conn| {
            runs::table
                .filter(runs::state.eq(RunState::Success.as_str()))
                .filter(diesel::dsl::exists(
                    jobs::table
                        .filter(jobs::project_id.eq(runs::project_id))
                        .filter(jobs::job_id.eq(runs::job_id)),
                ))
                .group_by((runs::project_id, runs::job_id))
                .select((runs::project_id, runs::job_id, diesel::dsl::max(runs::finished_at)))
                .load(conn)
        })?;
        Ok(rows
            .into_iter()
            .filter_map(|(project, job, at)| {
                Some((ProjectId::from(project), JobId::from(job), Timestamp(at?)))
            })
            .collect())
    }

    /// How many runs there are in each state that is not over.
    pub fn count_active(&mut self) -> Result<Vec<(RunState, i64)>, DbError> {
        let mut counts = Vec::new();
        for state in [RunState::Queued, RunState::Dispatched, RunState::Running] {
            let count = self.tx.run(NOUN, "", |conn| {
                runs::table.filter(runs::state.eq(state.as_str())).count().get_result(conn)
            })?;
            counts.push((state, count));
        }
        Ok(counts)
    }

    /// The earliest attention time of any run; `None` when none waits.
    pub fn next_attention(&mut self) -> Result<Option<Timestamp>, DbError> {
        let at: Option<i64> = self
            .tx
            .run(NOUN, "", |conn| runs::table.select(diesel::dsl::min(runs::attention_at)).first(conn))?;
        Ok(at.map(Timestamp))
    }
}
