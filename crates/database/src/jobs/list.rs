//! Lists of jobs.

use super::read::{Line, LinesOf, SeenJob, WholeRow, columns, looking, together};
use super::row::JobRow;
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

/// Lines of rows that nobody has weighed: each action of a job is one. A page of a hundred jobs with three actions each stays below;
/// more lines, each as long as an action may be, would be too much memory.
const LINES_UNWEIGHED: i64 = 300;
/// Bytes of an action's options that such a line has at most.
const LONGEST_UNWEIGHED: i64 = 8 << 10;

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
        collect(page, residual, |cut| Ok(Piece::of(listed.cut(&cut)?, place, WholeRow::read)))
    }

    /// Reads the next piece of the list, to be shown to the project `viewer`; see [`Cursor`]. A hundred jobs with 300 actions together
    /// cost one statement, if none has options of more than 8 KiB; else three, and one more for each 2 MiB of their text, which
    /// [`Database::advance_jobs`](crate::Database::advance_jobs) spares.
    pub fn advance<E: From<DbError>>(
        &mut self,
        scope: Scope<'_>,
        filter: &JobFilter,
        viewer: Option<&ProjectId>,
        residual: Residual<'_, SeenJob>,
        cursor: &mut Cursor,
        take: &mut dyn FnMut(SeenJob) -> Result<(), E>,
    ) -> Result<(), E> {
        Listed { tx: self.tx, sought: JobList { scope, filter, viewer } }.advance(residual, cursor, take)
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

/// Those jobs, as many as `$cut` says, with `$columns` of each.
macro_rules! page {
    ($sought:expr, $cut:expr, $columns:expr) => {{
        let (filter, cut) = ($sought.filter, $cut);
        let mut page = jobs::table.select($columns).into_boxed();
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
    ($conn:ident, $sought:expr, $cut:expr, $most:expr, $longest:expr) => {{
        let page = page!($sought, $cut, (jobs::project_id, jobs::job_id));
        let viewer = looking($sought.viewer).to_owned();
        let lines = LinesOf { columns: columns!(), page, viewer, most: $most, longest: $longest };
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

    /// Puts the rows into a file as they come. SQLite gives them one by one; the client library of MySQL has all of them first, and
    /// none is copied in memory once more.
    pub fn spool(&mut self, cut: &Cut<'_>, into: &mut Sorted) -> Result<io::Result<()>, DbError> {
        let sought = self.sought;
        self.tx.run(NOUN, "", |conn| {
            either!(conn => {
                for line in lines!(conn, sought, cut, i64::MAX, i64::MAX)? {
                    if let Err(error) = into.add(line?) {
                        return Ok(Err(error));
                    }
                }
                Ok(Ok(()))
            })
        })
    }
}

fn place(row: &WholeRow) -> Place {
    let job = &row.job;
    Place { created_at: job.created_at, id: job.job_id.clone(), project: job.project_id.clone() }
}

impl Rows for Listed<'_> {
    type Row = WholeRow;
    type Item = SeenJob;

    fn weigh(&mut self, cut: &Cut<'_>) -> Result<Vec<i64>, DbError> {
        let sought = self.sought;
        self.tx.run(NOUN, "", |conn| either!(conn => page!(sought, cut, sql::<BigInt>(SIZE)).load(conn)))
    }

    fn cut(&mut self, cut: &Cut<'_>) -> Result<Vec<WholeRow>, DbError> {
        let sought = self.sought;
        let lines: Vec<Line> = self.tx.run(
            NOUN,
            "",
            |conn| either!(conn => lines!(conn, sought, cut, i64::MAX, i64::MAX)?.collect()),
        )?;
        Ok(together(lines))
    }

    fn cut_unweighed(&mut self, cut: &Cut<'_>) -> Result<Option<Vec<WholeRow>>, DbError> {
        let sought = self.sought;
        let is_all = |count: usize| count as i64 <= LINES_UNWEIGHED;
        let is_long = |(_, position, action, _): &Line| position.is_some() && action.is_none();
        let lines: Option<Vec<Line>> = self.tx.run(NOUN, "", |conn| {
            either!(conn => {
                let lines = lines!(conn, sought, cut, LINES_UNWEIGHED + 1, LONGEST_UNWEIGHED)?;
                // MySQL knows beforehand how many there are: those that are too many are not copied.
                let known = lines.size_hint().0;
                if !is_all(known) {
                    return Ok(None);
                }
                let mut all = Vec::with_capacity(known);
                for line in lines {
                    all.push(line?);
                }
                Ok(Some(all))
            })
        })?;
        Ok(lines.filter(|lines| is_all(lines.len()) && !lines.iter().any(is_long)).map(together))
    }

    fn place(row: &WholeRow) -> Place {
        place(row)
    }

    fn read(row: WholeRow) -> Result<SeenJob, DbError> {
        row.seen()
    }
}
