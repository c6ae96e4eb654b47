//! Sessions, with their members in the order in which they came.
//!
//! Read with two statements: the rows, then all their members. Who changes a session holds its row
//! ([`Sessions::get_for_update`]), and the rows of jobs before it: always in that order.

mod row;
mod write;

use crate::connect::AnyConnection;
use crate::page::{Cut, Piece, Place, collect};
use crate::schema::{session_jobs, sessions};
use crate::{DbError, Page, Residual, Tx};
use diesel::prelude::*;
use freezer_model::{JobId, Member, ProjectId, Session, SessionId};
use row::{MemberRow, SessionRow};
use std::collections::HashMap;

const NOUN: &str = "session";

/// Repository of one transaction; see [`Tx::sessions`].
pub struct Sessions<'t> {
    pub(crate) tx: &'t mut Tx,
}

/// Conditions that an index decides; `None` = any.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SessionFilter {
    pub session_id: Option<SessionId>,
}

/// Above this many sessions their members are fetched by project instead of by id: the number of bind parameters of a
/// statement is limited.
const IDS_IN_ONE_STATEMENT: usize = 5000;

impl Sessions<'_> {
    pub fn get(&mut self, project: &ProjectId, id: &SessionId) -> Result<Option<Session>, DbError> {
        let row = self.tx.run(NOUN, id.as_str(), |conn| {
            sessions::table
                .find((project.as_str(), id.as_str()))
                .select(SessionRow::as_select())
                .first(conn)
                .optional()
        })?;
        self.whole(project, row)
    }

    /// As [`Self::get`], and keeps others from changing the session until the transaction ends.
    pub fn get_for_update(
        &mut self,
        project: &ProjectId,
        id: &SessionId,
    ) -> Result<Option<Session>, DbError> {
        macro_rules! one {
            () => {
                sessions::table.find((project.as_str(), id.as_str())).select(SessionRow::as_select())
            };
        }
        let row = self.tx.run(NOUN, id.as_str(), |conn| match conn {
            #[cfg(feature = "mysql")]
            AnyConnection::Mysql(mysql) => one!().for_update().first(mysql).optional(),
            AnyConnection::Sqlite(sqlite) => one!().first(sqlite).optional(),
        })?;
        self.whole(project, row)
    }

    /// The sessions that list this job, by id.
    pub fn of_job(&mut self, project: &ProjectId, job: &JobId) -> Result<Vec<SessionId>, DbError> {
        let ids: Vec<String> = self.tx.run(NOUN, "", |conn| {
            session_jobs::table
                .filter(session_jobs::project_id.eq(project.as_str()))
                .filter(session_jobs::job_id.eq(job.as_str()))
                .order(session_jobs::session_id)
                .select(session_jobs::session_id)
                .load(conn)
        })?;
        Ok(ids.into_iter().map(SessionId::from).collect())
    }

    /// Oldest first. Two statements, or two for each 1000 rows looked at with a residual condition.
    pub fn list(
        &mut self,
        project: &ProjectId,
        filter: &SessionFilter,
        residual: Residual<'_, Session>,
        page: Page,
    ) -> Result<Vec<Session>, DbError> {
        collect(page, residual, |cut| {
            let rows = self.cut(project, filter, &cut)?;
            let last = rows.last().map(|row| Place {
                created_at: row.created_at,
                id: row.session_id.clone(),
                project: row.project_id.clone(),
            });
            Ok(Piece { rows: self.with_members(project, rows)?, last })
        })
    }

    fn cut(
        &mut self,
        project: &ProjectId,
        filter: &SessionFilter,
        cut: &Cut<'_>,
    ) -> Result<Vec<SessionRow>, DbError> {
        self.tx.run(NOUN, "", |conn| {
            let mut query = sessions::table.filter(sessions::project_id.eq(project.as_str())).into_boxed();
            if let Some(id) = &filter.session_id {
                query = query.filter(sessions::session_id.eq(id.as_str()));
            }
            if let Some(last) = cut.after {
                let (at, id) = (last.created_at, last.id.as_str());
                query = query.filter(
                    sessions::created_at
                        .gt(at)
                        .or(sessions::created_at.eq(at).and(sessions::session_id.gt(id))),
                );
            }
            query
                .order((sessions::created_at, sessions::session_id))
                .offset(cut.offset)
                .limit(cut.limit)
                .select(SessionRow::as_select())
                .load(conn)
        })
    }

    fn whole(&mut self, project: &ProjectId, row: Option<SessionRow>) -> Result<Option<Session>, DbError> {
        let sessions = self.with_members(project, row.into_iter().collect())?;
        sessions.into_iter().next().transpose()
    }

    /// Puts the members to the rows, whatever their number with one statement.
    fn with_members(
        &mut self,
        project: &ProjectId,
        rows: Vec<SessionRow>,
    ) -> Result<Vec<Result<Session, DbError>>, DbError> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let found: Vec<MemberRow> = self.tx.run(NOUN, "", |conn| {
            let mut query =
                session_jobs::table.filter(session_jobs::project_id.eq(project.as_str())).into_boxed();
            if rows.len() <= IDS_IN_ONE_STATEMENT {
                let ids: Vec<&str> = rows.iter().map(|row| row.session_id.as_str()).collect();
                query = query.filter(session_jobs::session_id.eq_any(ids));
            }
            query
                .order((session_jobs::session_id, session_jobs::position, session_jobs::job_id))
                .select(MemberRow::as_select())
                .load(conn)
        })?;
        let mut of_session: HashMap<String, Vec<Member>> = HashMap::new();
        for member in found {
            of_session.entry(member.session_id.clone()).or_default().push(member.into_model());
        }
        let whole = |row: SessionRow| {
            let members = of_session.remove(&row.session_id).unwrap_or_default();
            row.into_model(members)
        };
        Ok(rows.into_iter().map(whole).collect())
    }
}
