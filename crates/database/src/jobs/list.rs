//! Lists of jobs.

use super::read::{Line, LinesOf, SeenJob, WholeRow, columns, looking, together};
use super::row::JobRow;
use super::shown::{ShownLine, ShownRow, shown_columns, with_clients};
use super::whole::Sorted;
use super::{JobFilter, Jobs, NOUN, Scope};
use crate::actions::ActionRow;
use crate::connect::{AnyConnection, either};
use crate::page::{Cursor, Cut, Piece, Place, Rows, advance, collect};
use crate::schema::{clients, job_actions, jobs};
use crate::{DbError, Page, Residual, Tx};
use diesel::connection::DefaultLoadingMode;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use freezer_model::{Job, JobStatus, ProjectId};
use std::io;

/// What a job takes: each of its actions comes with the job's row once more.
const SIZE: &str = "CAST(1000 + (SELECT COALESCE(SUM(1000 + LENGTH(jobs.plan) + LENGTH(one.freezer_action)), 0) FROM job_actions AS its \
                    JOIN actions AS one ON one.project_id = its.project_id AND one.action_id = its.action_id \
                    WHERE its.project_id = jobs.project_id AND its.job_id = jobs.job_id) AS SIGNED)";

impl Jobs<'_> {
    /// Oldest first. One statement, or one for each 1000 rows looked at with a residual condition.
    pub fn list(
        &mut self,
        scope: Scope<'_>,
        filter: &JobFilter,
        residual: Residual<'_, Job>,
        page: Page,
    ) -> Result<Vec<Job>, DbError> {
        let mut listed = Listed { tx: self.tx, sought: JobList { scope, filter, viewer: None } };
        collect(page, residual, |cut| {
            Ok(Piece::of(listed.whole(&cut)?, |row| place(&row.job), WholeRow::read))
        })
    }
}

/// Which jobs a list shows, and to whom.
#[derive(Clone, Copy, Debug)]
pub struct JobList<'t> {
    pub scope: Scope<'t>,
    pub filter: &'t JobFilter,
    /// Whose clients are looked for.
    pub viewer: Option<&'t ProjectId>,
}

/// The rows of one list.
pub(super) struct Listed<'t> {
    pub tx: &'t mut Tx,
    pub sought: JobList<'t>,
}

/// Those jobs of `$from`, as many as `$cut` says, with `$columns` of each.
macro_rules! page {
    ($sought:expr, $cut:expr, $columns:expr) => {
        page!($sought, $cut, $columns, jobs::table)
    };
    ($sought:expr, $cut:expr, $columns:expr, $from:expr) => {{
        let (filter, cut) = ($sought.filter, $cut);
        let mut page = $from.select($columns).into_boxed();
        if let Scope::Project(project) = $sought.scope {
            page = page.filter(jobs::project_id.eq(project.as_str()));
        }
        if let Some(id) = &filter.job_id {
            page = page.filter(jobs::job_id.eq(id.as_str()));
        }
        if let Some(client) = &filter.client_id {
            page = page.filter(jobs::client_id.eq(client.as_str()));
        }
        if let Some(session) = &filter.session_id {
            page = page.filter(jobs::session_id.eq(session.as_str()));
        }
        if let Some(status) = filter.status {
            page = page.filter(jobs::status.eq(status.as_str()));
        }
        // Each on its own: the text of a statement with a list of any length is not kept prepared.
        for status in &filter.status_not {
            page = page.filter(jobs::status.ne(JobStatus::as_str(*status)));
        }
        if let Some(last) = cut.after {
            let (at, id, project) = (last.created_at, last.id.as_str(), last.project.as_str());
            page = page.filter(
                jobs::created_at.gt(at).or(jobs::created_at
                    .eq(at)
                    .and(jobs::job_id.gt(id).or(jobs::job_id.eq(id).and(jobs::project_id.gt(project))))),
            );
        }
        page.order((jobs::created_at, jobs::job_id, jobs::project_id)).offset(cut.offset).limit(cut.limit)
    }};
}

/// The lines of those jobs, one after the other.
macro_rules! lines {
    ($conn:ident, $sought:expr, $cut:expr) => {{
        let page = page!($sought, $cut, (jobs::project_id, jobs::job_id));
        let viewer = looking($sought.viewer).to_owned();
        let lines = LinesOf { columns: columns!(), page, viewer, has_actions: true };
        lines.load_iter::<Line, DefaultLoadingMode>($conn)
    }};
}

impl Listed<'_> {
    pub fn advance<E: From<DbError>>(
        &mut self,
        residual: Residual<'_, SeenJob>,
        cursor: &mut Cursor,
        take: &mut dyn FnMut(SeenJob) -> Result<(), E>,
    ) -> Result<(), E> {
        advance(self, cursor, residual, take)
    }

    fn whole(&mut self, cut: &Cut<'_>) -> Result<Vec<WholeRow>, DbError> {
        let sought = self.sought;
        let lines: Vec<Line> =
            self.tx.run(NOUN, "", |conn| either!(conn => lines!(conn, sought, cut)?.collect()))?;
        Ok(together(lines))
    }

    /// Puts the rows into a file as they come. SQLite gives them one by one; the client library of MySQL has all of them first, and
    /// none is copied in memory once more.
    pub fn spool(&mut self, cut: &Cut<'_>, into: &mut Sorted) -> Result<io::Result<()>, DbError> {
        let sought = self.sought;
        self.tx.run(NOUN, "", |conn| {
            either!(conn => {
                for line in lines!(conn, sought, cut)? {
                    if let Err(error) = into.add(line?) {
                        return Ok(Err(error));
                    }
                }
                Ok(Ok(()))
            })
        })
    }
}

/// One of a list.
pub(super) enum Listable {
    Whole(WholeRow),
    Shown(ShownRow),
}

impl Listable {
    fn seen(self) -> Result<SeenJob, DbError> {
        match self {
            Self::Whole(row) => row.seen(),
            Self::Shown(row) => row.seen(),
        }
    }
}

fn place(job: &JobRow) -> Place {
    Place { created_at: job.created_at, id: job.job_id.clone(), project: job.project_id.clone() }
}

impl Rows for Listed<'_> {
    type Row = Listable;
    type Item = SeenJob;

    fn weigh(&mut self, cut: &Cut<'_>) -> Result<Vec<i64>, DbError> {
        let sought = self.sought;
        self.tx.run(NOUN, "", |conn| either!(conn => page!(sought, cut, sql::<BigInt>(SIZE)).load(conn)))
    }

    fn cut(&mut self, cut: &Cut<'_>) -> Result<Vec<Listable>, DbError> {
        Ok(self.whole(cut)?.into_iter().map(Listable::Whole).collect())
    }

    /// None when one of them has no text.
    fn cut_unweighed(&mut self, cut: &Cut<'_>) -> Result<Option<Vec<Listable>>, DbError> {
        let sought = self.sought;
        let mut lines: Vec<ShownLine> = self.tx.run(NOUN, "", |conn| {
            either!(conn => if cut.offset == 0 {
                page!(sought, cut, shown_columns!(), with_clients!(looking(sought.viewer))).load(conn)
            } else {
                // Rows that are skipped are not looked at: the index is enough to count them.
                let page = page!(sought, cut, (jobs::project_id, jobs::job_id));
                let viewer = looking(sought.viewer).to_owned();
                LinesOf { columns: shown_columns!(), page, viewer, has_actions: false }.load(conn)
            })
        })?;
        if cut.offset > 0 {
            lines.sort_by(|(one, ..), (other, ..)| one.place().cmp(&other.place()));
        }
        Ok(lines.into_iter().map(|line| ShownRow::of(line).map(Listable::Shown)).collect())
    }

    fn place(row: &Listable) -> Place {
        match row {
            Listable::Whole(row) => place(&row.job),
            Listable::Shown(row) => place(&row.job),
        }
    }

    fn read(row: Listable) -> Result<SeenJob, DbError> {
        row.seen()
    }
}
