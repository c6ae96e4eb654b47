//! Jobs with their actions, read with one statement.
//!
//! A job is read as a tree of values where its contents count, or as the stored text where it is only shown.

use super::row::JobRow;
use super::{Jobs, NOUN};
use crate::actions::ActionRow;
use crate::connect::{AnyConnection, either};
use crate::json::Stored;
use crate::schema::{actions, job_actions, jobs};
use crate::{DbError, json};
use diesel::backend::Backend;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::serialize::ToSql;
use diesel::sql_types::{BigInt, HasSqlType};
use freezer_model::document::StoredObject;
use freezer_model::{Job, JobId, ProjectId};
use std::collections::HashSet;

/// A job that is only shown.
pub type ShownJob = Job<StoredObject>;

/// A job's row beside each of its actions and that one's position; beside none when it has none.
pub(super) type Line = (JobRow, Option<i32>, Option<ActionRow>);

/// What makes a [`Line`].
macro_rules! columns {
    () => {
        (JobRow::as_select(), job_actions::position.nullable(), Option::<ActionRow>::as_select())
    };
}
pub(super) use columns;

/// The lines of jobs.
macro_rules! lines {
    () => {
        jobs::table
            .left_join(
                job_actions::table.on(job_actions::project_id
                    .eq(jobs::project_id)
                    .and(job_actions::job_id.eq(jobs::job_id))),
            )
            .left_join(
                actions::table.on(actions::project_id
                    .eq(job_actions::project_id)
                    .and(actions::action_id.eq(job_actions::action_id))),
            )
            .select(columns!())
    };
}

/// The lines of the jobs whose keys `page` selects, in no order that could be relied on. Sorting them there would copy all of
/// them once more, texts included.
#[derive(QueryId)]
pub(super) struct LinesOf<C, P> {
    pub columns: C,
    pub page: P,
    /// Most lines; more than that come from jobs with very many actions.
    pub most: i64,
}

impl<C: Expression, P> Query for LinesOf<C, P> {
    type SqlType = C::SqlType;
}

impl<C, P, Conn> diesel::RunQueryDsl<Conn> for LinesOf<C, P> {}

impl<C, P, DB> QueryFragment<DB> for LinesOf<C, P>
where
    C: QueryFragment<DB>,
    P: QueryFragment<DB>,
    DB: Backend + HasSqlType<BigInt>,
    i64: ToSql<BigInt, DB>,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        out.push_sql("SELECT ");
        self.columns.walk_ast(out.reborrow())?;
        out.push_sql(" FROM (");
        self.page.walk_ast(out.reborrow())?;
        // Each of them is found by its primary key; left joins keep the database from looking for another way.
        out.push_sql(
            ") AS page LEFT JOIN jobs ON jobs.project_id = page.project_id AND jobs.job_id = page.job_id \
             LEFT JOIN job_actions ON job_actions.project_id = page.project_id AND job_actions.job_id = page.job_id \
             LEFT JOIN actions ON actions.project_id = job_actions.project_id AND actions.action_id = job_actions.action_id \
             LIMIT ",
        );
        out.push_bind_param::<BigInt, _>(&self.most)?;
        Ok(())
    }
}

/// A job's row and those of its actions.
pub(super) type WholeRow = (JobRow, Vec<ActionRow>);

/// Puts the lines of each job together, in the order of lists.
pub(super) fn together(mut lines: Vec<Line>) -> Vec<WholeRow> {
    lines.sort_by(|(one, one_at, _), (other, other_at, _)| {
        one.place().cmp(&other.place()).then_with(|| one_at.cmp(other_at))
    });
    let mut jobs: Vec<WholeRow> = Vec::with_capacity(lines.len());
    for (row, _, action) in lines {
        match jobs.last_mut() {
            Some((last, actions)) if last.place() == row.place() => actions.extend(action),
            _ => jobs.push((row, Vec::from_iter(action))),
        }
    }
    jobs
}

/// The job that the rows make.
pub(super) fn read<D: Stored>((row, actions): WholeRow) -> Result<Job<D>, DbError> {
    let actions = actions.into_iter().map(ActionRow::into_model).collect::<Result<_, _>>();
    let actions =
        actions.map_err(|error| json::corrupt(NOUN, &row.job_id, "job_actions", &error.to_string()))?;
    row.into_model(actions)
}

impl Jobs<'_> {
    /// Those of `ids` that are jobs of the project. One statement.
    pub fn which_exist(&mut self, project: &ProjectId, ids: &[&JobId]) -> Result<HashSet<JobId>, DbError> {
        if ids.is_empty() {
            return Ok(HashSet::new());
        }
        let ids: Vec<&str> = ids.iter().map(|id| id.as_str()).collect();
        let found: Vec<String> = self.tx.run(NOUN, "", |conn| {
            jobs::table
                .filter(jobs::project_id.eq(project.as_str()))
                .filter(jobs::job_id.eq_any(ids))
                .select(jobs::job_id)
                .load(conn)
        })?;
        Ok(found.into_iter().map(JobId::from).collect())
    }

    pub fn get(&mut self, project: &ProjectId, id: &JobId) -> Result<Option<Job>, DbError> {
        self.one(project, id)
    }

    /// As [`Self::get`], to be shown.
    pub fn show(&mut self, project: &ProjectId, id: &JobId) -> Result<Option<ShownJob>, DbError> {
        self.one(project, id)
    }

    /// A job of whatever project: for callers that policy allows it. Ids are unique within a project only; of several
    /// the oldest is returned.
    pub fn show_any_project(&mut self, id: &JobId) -> Result<Option<ShownJob>, DbError> {
        let lines: Vec<Line> = self.tx.run(
            NOUN,
            id.as_str(),
            |conn| either!(conn => lines!().filter(jobs::job_id.eq(id.as_str())).load(conn)),
        )?;
        together(lines).into_iter().next().map(read).transpose()
    }

    fn one<D: Stored>(&mut self, project: &ProjectId, id: &JobId) -> Result<Option<Job<D>>, DbError> {
        let lines: Vec<Line> = self.tx.run(NOUN, id.as_str(), |conn| {
            either!(conn => lines!()
                .filter(jobs::project_id.eq(project.as_str()))
                .filter(jobs::job_id.eq(id.as_str()))
                .load(conn))
        })?;
        together(lines).into_iter().next().map(read).transpose()
    }
}
