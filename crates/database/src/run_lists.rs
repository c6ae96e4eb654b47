//! Lists of runs, without what only a single one shows: its actions' options and its steps' results can be large.

use crate::connect::AnyConnection;
use crate::page::{Cursor, Cut, Piece, Place, Rows, advance, collect};
use crate::runs::{HELD, NOUN, RunFilter, RunRow};
use crate::schema::runs;
use crate::{DbError, Page, Residual, Runs, Tx, json};
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};
use freezer_model::{ClientId, Epoch, ProjectId, Run, RunId, RunState, RunSummary};
use std::collections::HashMap;

/// What an agent's poll looks at of a run that is handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandedRun {
    pub run_id: RunId,
    pub project_id: ProjectId,
    pub epoch: Epoch,
    /// Nobody has reported its beginning under this epoch.
    pub is_to_begin: bool,
    pub abort_requested: bool,
}

/// The columns of a [`RunRow`] with something in the place of the actions and of the steps.
macro_rules! columns {
    ($actions:expr) => {
        (
            runs::run_id,
            runs::project_id,
            runs::job_id,
            runs::client_id,
            runs::state,
            runs::epoch,
            runs::action_index,
            runs::attempt,
            runs::losses,
            $actions,
            sql::<Text>("'[]'"),
            runs::progress,
            runs::error,
            runs::abort_requested,
            runs::cause,
            runs::request_id,
            runs::due_at,
            runs::created_at,
            runs::started_at,
            runs::finished_at,
            runs::attention_at,
            runs::share_tag,
            runs::queue_tag,
            runs::storage_key,
            runs::target_key,
            runs::waiting_for,
            runs::is_unsent,
        )
    };
}

/// How many actions a run has, where the database can tell: it does not read JSON of any depth.
#[cfg(feature = "mysql")]
const COUNT_MYSQL: &str = "CASE WHEN JSON_VALID(actions) THEN JSON_LENGTH(actions) END";
const COUNT_SQLITE: &str = "CASE WHEN json_valid(actions) THEN json_array_length(actions) END";

type SummaryRow = (RunRow, Option<i64>);

/// Those runs, as many as `$cut` says, newest first, with `$columns` of each.
macro_rules! page {
    ($sought:expr, $cut:expr, $columns:expr) => {{
        let (sought, cut) = ($sought, $cut);
        let mut query =
            runs::table.select($columns).filter(runs::project_id.eq(sought.project.as_str())).into_boxed();
        if let Some(job) = &sought.filter.job_id {
            query = query.filter(runs::job_id.eq(job.as_str()));
        }
        if let Some(client) = &sought.filter.client_id {
            query = query.filter(runs::client_id.eq(client.as_str()));
        }
        if let Some(state) = sought.filter.state {
            query = query.filter(runs::state.eq(state.as_str()));
        }
        if let Some(last) = cut.after {
            let (at, id) = (last.created_at, last.id.as_str());
            query =
                query.filter(runs::created_at.lt(at).or(runs::created_at.eq(at).and(runs::run_id.lt(id))));
        }
        query.order((runs::created_at.desc(), runs::run_id.desc())).offset(cut.offset).limit(cut.limit)
    }};
}

/// What a list asks for.
#[derive(Clone, Copy)]
struct Sought<'t> {
    project: &'t ProjectId,
    filter: &'t RunFilter,
}

struct Listed<'t> {
    tx: &'t mut Tx,
    sought: Sought<'t>,
}

fn place(row: &RunRow) -> Place {
    Place { created_at: row.created_at, id: row.run_id.clone(), project: row.project_id.clone() }
}

impl Listed<'_> {
    /// Counts the actions of those rows for which the database could not.
    fn count(&mut self, rows: &mut [SummaryRow]) -> Result<(), DbError> {
        let unknown = rows.iter().filter(|(_, count)| count.is_none());
        let ids: Vec<String> = unknown.map(|(row, _)| row.run_id.clone()).collect();
        let mut counts = HashMap::new();
        for id in ids {
            let text: Option<String> = self.tx.run(NOUN, &id, |conn| {
                runs::table.find(id.as_str()).select(runs::actions).first(conn).optional()
            })?;
            let count = text.and_then(|text| serde_json::from_str::<Vec<serde::de::IgnoredAny>>(&text).ok());
            counts.insert(id, count.map(|all| all.len() as i64));
        }
        for (row, count) in rows.iter_mut().filter(|(_, count)| count.is_none()) {
            *count = counts.get(&row.run_id).copied().flatten();
        }
        Ok(())
    }
}

impl Rows for Listed<'_> {
    type Row = SummaryRow;
    type Item = RunSummary;

    fn weigh(&mut self, cut: &Cut<'_>) -> Result<Vec<i64>, DbError> {
        let sought = self.sought;
        let size = || sql::<BigInt>("1000 + LENGTH(progress) + COALESCE(LENGTH(error), 0)");
        self.tx.run(NOUN, "", |conn| page!(sought, cut, size()).load(conn))
    }

    fn cut(&mut self, cut: &Cut<'_>) -> Result<Vec<SummaryRow>, DbError> {
        let sought = self.sought;
        macro_rules! rows {
            ($count:expr) => {
                page!(sought, cut, (columns!(sql::<Text>("'[]'")), sql::<Nullable<BigInt>>($count)))
            };
        }
        let mut rows: Vec<SummaryRow> = self.tx.run(NOUN, "", |conn| match conn {
            #[cfg(feature = "mysql")]
            AnyConnection::Mysql(mysql) => rows!(COUNT_MYSQL).load(mysql),
            AnyConnection::Sqlite(sqlite) => rows!(COUNT_SQLITE).load(sqlite),
        })?;
        self.count(&mut rows)?;
        Ok(rows)
    }

    fn place((row, _): &SummaryRow) -> Place {
        place(row)
    }

    fn read((row, count): SummaryRow) -> Result<RunSummary, DbError> {
        let count = count.and_then(|count| usize::try_from(count).ok());
        let actions_total =
            count.ok_or_else(|| json::corrupt(NOUN, &row.run_id, "actions", "is not a list"))?;
        Ok(RunSummary { run: row.into_model()?, actions_total })
    }
}

impl Runs<'_> {
    /// Newest first (the only list in this order), whole. One statement, or one for each 1000 rows looked at with a residual
    /// condition.
    pub fn list(
        &mut self,
        project: &ProjectId,
        filter: &RunFilter,
        residual: Residual<'_, Run>,
        page: Page,
    ) -> Result<Vec<Run>, DbError> {
        let sought = Sought { project, filter };
        collect(page, residual, |cut| {
            let rows = self.tx.run(NOUN, "", |conn| page!(sought, &cut, RunRow::as_select()).load(conn))?;
            Ok(Piece::of(rows, place, RunRow::into_model))
        })
    }

    /// Reads the next piece of the list, to be shown; see [`Cursor`].
    pub fn advance<E: From<DbError>>(
        &mut self,
        project: &ProjectId,
        filter: &RunFilter,
        residual: Residual<'_, RunSummary>,
        cursor: &mut Cursor,
        take: &mut dyn FnMut(RunSummary) -> Result<(), E>,
    ) -> Result<(), E> {
        advance(&mut Listed { tx: self.tx, sought: Sought { project, filter } }, cursor, residual, take)
    }

    /// Runs that are handed to the client of that id, oldest first, without what may be large; those of one project, or of any for a
    /// central client.
    pub fn handed_to(
        &mut self,
        project: Option<&ProjectId>,
        client: &ClientId,
    ) -> Result<Vec<HandedRun>, DbError> {
        let rows: Vec<(String, String, i64, String, bool)> = self.tx.run(NOUN, "", |conn| {
            let mut query = runs::table
                .select((runs::run_id, runs::project_id, runs::epoch, runs::state, runs::abort_requested))
                .filter(runs::client_id.eq(client.as_str()))
                .filter(runs::state.eq_any(HELD))
                .into_boxed();
            if let Some(project) = project {
                query = query.filter(runs::project_id.eq(project.as_str()));
            }
            query.order((runs::created_at, runs::run_id)).load(conn)
        })?;
        let handed = rows.into_iter().map(|(run_id, project_id, epoch, state, abort_requested)| HandedRun {
            run_id: RunId::from(run_id),
            project_id: ProjectId::from(project_id),
            epoch: Epoch(epoch),
            is_to_begin: state == RunState::Dispatched.as_str(),
            abort_requested,
        });
        Ok(handed.collect())
    }

    /// Those of the runs that can be read, in that order, without their steps. One that cannot costs the others nothing: it is told in
    /// the log, and found by the conductors when its lease ends.
    pub fn without_steps(&mut self, ids: &[RunId]) -> Result<Vec<Run>, DbError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let wanted: Vec<String> = ids.iter().map(RunId::to_string).collect();
        let mut rows: Vec<RunRow> = self.tx.run(NOUN, "", |conn| {
            let query = runs::table.select(columns!(runs::actions)).into_boxed();
            query.filter(runs::run_id.eq_any(&wanted)).load(conn)
        })?;
        rows.sort_by_cached_key(|row| wanted.iter().position(|id| *id == row.run_id));
        let read = rows.into_iter().map(RunRow::into_model);
        let told = |error: &DbError| tracing::warn!("left out of an agent's orders: {error}");
        Ok(read.filter_map(|run| run.inspect_err(told).ok()).collect())
    }
}
