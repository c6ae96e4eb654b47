//! Lists of jobs.

use super::{JobFilter, JobRow, Jobs, NOUN, Scope};
use crate::page::{Cut, collect};
use crate::schema::jobs;
use crate::{DbError, Page, Residual};
use diesel::prelude::*;
use freezer_model::{Job, JobStatus};

impl Jobs<'_> {
    /// Oldest first. Two statements, or two for each 1000 rows looked at with a residual condition.
    pub fn list(
        &mut self,
        scope: Scope<'_>,
        filter: &JobFilter,
        residual: Residual<'_, Job>,
        page: Page,
    ) -> Result<Vec<Job>, DbError> {
        collect(page, residual, |cut| {
            let rows = self.cut(scope, filter, &cut)?;
            self.with_actions(rows, scope)
        })
    }

    fn cut(
        &mut self,
        scope: Scope<'_>,
        filter: &JobFilter,
        cut: &Cut<'_, Job>,
    ) -> Result<Vec<JobRow>, DbError> {
        self.tx.run(NOUN, "", |conn| {
            let mut query = jobs::table.into_boxed();
            if let Scope::Project(project) = scope {
                query = query.filter(jobs::project_id.eq(project.as_str()));
            }
            if let Some(id) = &filter.job_id {
                query = query.filter(jobs::job_id.eq(id.as_str()));
            }
            if let Some(client) = &filter.client_id {
                query = query.filter(jobs::client_id.eq(client.as_str()));
            }
            if let Some(session) = &filter.session_id {
                query = query.filter(jobs::session_id.eq(session.as_str()));
            }
            if let Some(status) = filter.status {
                query = query.filter(jobs::status.eq(status.as_str()));
            }
            if !filter.status_not.is_empty() {
                let words = filter.status_not.iter().map(|status: &JobStatus| status.as_str());
                query = query.filter(jobs::status.ne_all(words));
            }
            if let Some(last) = cut.after {
                let (at, id, project) = (last.created_at.0, last.job_id.as_str(), last.project_id.as_str());
                query = query.filter(
                    jobs::created_at.gt(at).or(jobs::created_at
                        .eq(at)
                        .and(jobs::job_id.gt(id).or(jobs::job_id.eq(id).and(jobs::project_id.gt(project))))),
                );
            }
            query
                .order((jobs::created_at, jobs::job_id, jobs::project_id))
                .offset(cut.offset)
                .limit(cut.limit)
                .select(JobRow::as_select())
                .load(conn)
        })
    }
}
