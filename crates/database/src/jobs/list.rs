//! Lists of jobs.

use super::read::{Line, LinesOf, ShownJob, columns, read, together};
use super::row::JobRow;
use super::{JobFilter, Jobs, NOUN, Scope};
use crate::actions::ActionRow;
use crate::connect::{AnyConnection, either};
use crate::json::Stored;
use crate::page::{Cut, Piece, Place, collect};
use crate::schema::{job_actions, jobs};
use crate::{DbError, Page, Residual};
use diesel::prelude::*;
use freezer_model::{Job, JobStatus};

impl Jobs<'_> {
    /// Oldest first. One statement, or one for each 1000 rows looked at with a residual condition.
    pub fn list(
        &mut self,
        scope: Scope<'_>,
        filter: &JobFilter,
        residual: Residual<'_, Job>,
        page: Page,
    ) -> Result<Vec<Job>, DbError> {
        collect(page, residual, |cut| self.piece(scope, filter, &cut))
    }

    /// As [`Self::list`], to be shown.
    pub fn list_shown(
        &mut self,
        scope: Scope<'_>,
        filter: &JobFilter,
        residual: Residual<'_, ShownJob>,
        page: Page,
    ) -> Result<Vec<ShownJob>, DbError> {
        collect(page, residual, |cut| self.piece(scope, filter, &cut))
    }

    fn piece<D: Stored>(
        &mut self,
        scope: Scope<'_>,
        filter: &JobFilter,
        cut: &Cut<'_>,
    ) -> Result<Piece<Job<D>>, DbError> {
        let rows = together(self.lines(scope, filter, cut)?);
        let place = |(row, _): &(JobRow, _)| Place {
            created_at: row.created_at,
            id: row.job_id.clone(),
            project: row.project_id.clone(),
        };
        Ok(Piece::of(rows, place, read))
    }

    fn lines(&mut self, scope: Scope<'_>, filter: &JobFilter, cut: &Cut<'_>) -> Result<Vec<Line>, DbError> {
        self.tx.run(NOUN, "", |conn| either!(conn => {
            let mut page = jobs::table.select((jobs::project_id, jobs::job_id)).into_boxed();
            if let Scope::Project(project) = scope {
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
            let page = page
                .order((jobs::created_at, jobs::job_id, jobs::project_id))
                .offset(cut.offset)
                .limit(cut.limit);
            LinesOf { columns: columns!(), page }.load(conn)
        }))
    }
}
