//! Jobs with their actions, read with one statement.
//!
//! A job is read as a tree of values where its contents count, or as the stored text where it is only shown.

use super::row::JobRow;
use super::{Jobs, NOUN};
use crate::actions::ActionRow;
use crate::connect::{AnyConnection, either};
use crate::json::Stored;
use crate::schema::{clients, job_actions, jobs};
use crate::{DbError, json};
use diesel::backend::Backend;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::serialize::ToSql;
use diesel::sql_types::{HasSqlType, Text};
use freezer_model::document::StoredObject;
use freezer_model::{Job, JobId, ProjectId};
use std::collections::HashSet;

/// A job that is only shown.
pub type ShownJob = Job<StoredObject>;

/// A job as somebody looks at it.
pub struct SeenJob {
    /// Without actions where `actions` has them.
    pub job: ShownJob,
    /// What documents show of its actions.
    pub actions: Option<String>,
    /// Its client is one of the project that looks: for a job of another project that is a central one. Clients of two projects may
    /// have the same id.
    pub has_own_client: bool,
}

/// A job's row beside each of its actions and that one's position, beside none when it has none; and its client's id when that is
/// one of the project that looks.
pub(super) type Line = (JobRow, Option<i32>, Option<ActionRow>, Option<String>);

/// The project that looks, as statements have it: the id of none where nobody does.
pub(super) fn looking(viewer: Option<&ProjectId>) -> &str {
    viewer.map_or("", ProjectId::as_str)
}

/// What makes a [`Line`].
macro_rules! columns {
    () => {
        (
            JobRow::as_select(),
            job_actions::position.nullable(),
            Option::<ActionRow>::as_select(),
            clients::client_id.nullable(),
        )
    };
}
pub(super) use columns;

/// The lines of the jobs whose keys `page` selects, in no order that could be relied on. Sorting them there would copy all of
/// them once more, texts included.
#[derive(QueryId)]
pub(super) struct LinesOf<C, P> {
    pub columns: C,
    pub page: P,
    /// Whose clients are looked for.
    pub viewer: String,
    /// With a line for each action, of which there are columns then.
    pub has_actions: bool,
}

impl<C: Expression, P> Query for LinesOf<C, P> {
    type SqlType = C::SqlType;
}

impl<C, P, Conn> diesel::RunQueryDsl<Conn> for LinesOf<C, P> {}

impl<C, P, DB> QueryFragment<DB> for LinesOf<C, P>
where
    C: QueryFragment<DB>,
    P: QueryFragment<DB>,
    DB: Backend + HasSqlType<Text>,
    String: ToSql<Text, DB>,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        out.push_sql("SELECT ");
        self.columns.walk_ast(out.reborrow())?;
        out.push_sql(" FROM (");
        self.page.walk_ast(out.reborrow())?;
        // Each of them is found by its primary key; left joins keep the database from looking for another way. The client is looked
        // for once for a job, not for each of its actions.
        out.push_sql(
            ") AS page LEFT JOIN jobs ON jobs.project_id = page.project_id AND jobs.job_id = page.job_id \
             LEFT JOIN clients ON clients.client_id = jobs.client_id AND clients.project_id = ",
        );
        out.push_bind_param::<Text, _>(&self.viewer)?;
        out.push_sql(" AND (clients.project_id = jobs.project_id OR clients.is_central = TRUE)");
        if !self.has_actions {
            return Ok(());
        }
        out.push_sql(
            " LEFT JOIN job_actions ON job_actions.project_id = page.project_id AND job_actions.job_id = page.job_id \
             LEFT JOIN actions ON actions.project_id = job_actions.project_id AND actions.action_id = job_actions.action_id",
        );
        Ok(())
    }
}

/// Loads all lines of the jobs whose keys `$page` selects, as the project `$viewer` looks at them.
macro_rules! load {
    ($conn:ident, $page:expr, $viewer:expr) => {{
        let viewer = looking($viewer).to_owned();
        LinesOf { columns: columns!(), page: $page, viewer, has_actions: true }.load($conn)
    }};
}

/// A job's row and those of its actions.
pub(super) struct WholeRow {
    pub job: JobRow,
    pub actions: Vec<ActionRow>,
    pub has_own_client: bool,
}

/// Puts the lines of each job together, in the order of lists.
pub(super) fn together(mut lines: Vec<Line>) -> Vec<WholeRow> {
    lines.sort_by(|(one, one_at, ..), (other, other_at, ..)| {
        one.place().cmp(&other.place()).then_with(|| one_at.cmp(other_at))
    });
    let mut rows: Vec<WholeRow> = Vec::with_capacity(lines.len());
    for (job, _, action, own_client) in lines {
        match rows.last_mut() {
            Some(last) if last.job.place() == job.place() => last.actions.extend(action),
            _ => {
                let (actions, has_own_client) = (Vec::from_iter(action), own_client.is_some());
                rows.push(WholeRow { job, actions, has_own_client });
            }
        }
    }
    rows
}

/// The job that the rows make.
pub(super) fn read<D: Stored>(row: JobRow, actions: Vec<ActionRow>) -> Result<Job<D>, DbError> {
    let actions = actions.into_iter().map(ActionRow::into_model).collect::<Result<_, _>>();
    let actions =
        actions.map_err(|error| json::corrupt(NOUN, &row.job_id, "job_actions", &error.to_string()))?;
    row.into_model(actions)
}

impl WholeRow {
    pub fn read<D: Stored>(self) -> Result<Job<D>, DbError> {
        read(self.job, self.actions)
    }

    pub fn seen(self) -> Result<SeenJob, DbError> {
        let has_own_client = self.has_own_client;
        Ok(SeenJob { job: self.read()?, actions: None, has_own_client })
    }
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
        self.one(project, id, None)?.map(WholeRow::read).transpose()
    }

    /// A job of whatever project: for callers that policy allows it. Ids are unique within a project only; of several
    /// the oldest is returned.
    pub fn show_any_project(&mut self, id: &JobId) -> Result<Option<SeenJob>, DbError> {
        let lines: Vec<Line> = self.tx.run(NOUN, id.as_str(), |conn| {
            let page =
                jobs::table.filter(jobs::job_id.eq(id.as_str())).select((jobs::project_id, jobs::job_id));
            either!(conn => load!(conn, page, None))
        })?;
        together(lines).into_iter().next().map(WholeRow::seen).transpose()
    }

    pub(super) fn one(
        &mut self,
        project: &ProjectId,
        id: &JobId,
        viewer: Option<&ProjectId>,
    ) -> Result<Option<WholeRow>, DbError> {
        let lines: Vec<Line> = self.tx.run(NOUN, id.as_str(), |conn| {
            let page =
                jobs::table.find((project.as_str(), id.as_str())).select((jobs::project_id, jobs::job_id));
            either!(conn => load!(conn, page, viewer))
        })?;
        Ok(together(lines).into_iter().next())
    }
}
