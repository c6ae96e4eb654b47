//! Sessions, with their members in the order in which they came.
//!
//! Read with two statements: the rows, then all their members. Who changes a session holds its row
//! ([`Sessions::get_for_update`]), and the rows of jobs before it: always in that order.

mod row;
mod write;

use crate::connect::AnyConnection;
use crate::page::{Cursor, Cut, Piece, Place, Rows, advance, collect};
use crate::schema::{session_jobs, sessions};
use crate::{DbError, Page, Residual, Tx};
use diesel::dsl::sql;
use diesel::helper_types::IntoBoxed;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
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

/// Members of sessions that nobody has weighed: as many as ten of the largest sessions have.
const MEMBERS_UNWEIGHED: i64 = 5000;

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
        let mut listed = Listed { tx: self.tx, project, filter };
        collect(page, residual, |cut| Ok(Piece::of(listed.cut(&cut)?, Listed::place, Listed::read)))
    }

    /// Reads the next piece of the list; see [`Cursor`].
    pub fn advance<E: From<DbError>>(
        &mut self,
        project: &ProjectId,
        filter: &SessionFilter,
        residual: Residual<'_, Session>,
        cursor: &mut Cursor,
        take: &mut dyn FnMut(Session) -> Result<(), E>,
    ) -> Result<(), E> {
        advance(&mut Listed { tx: self.tx, project, filter }, cursor, residual, take)
    }

    fn whole(&mut self, project: &ProjectId, row: Option<SessionRow>) -> Result<Option<Session>, DbError> {
        let rows: Vec<SessionRow> = row.into_iter().collect();
        let found = members(self.tx, project, &rows, i64::MAX)?;
        together(rows, found).into_iter().next().map(Listed::read).transpose()
    }
}

/// The members of those rows, whatever their number with one statement; at most `most` of them.
fn members(
    tx: &mut Tx,
    project: &ProjectId,
    rows: &[SessionRow],
    most: i64,
) -> Result<Vec<MemberRow>, DbError> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    tx.run(NOUN, "", |conn| {
        let mut query =
            session_jobs::table.filter(session_jobs::project_id.eq(project.as_str())).into_boxed();
        if rows.len() <= IDS_IN_ONE_STATEMENT {
            let ids: Vec<&str> = rows.iter().map(|row| row.session_id.as_str()).collect();
            query = query.filter(session_jobs::session_id.eq_any(ids));
        }
        query
            .order((session_jobs::session_id, session_jobs::position, session_jobs::job_id))
            .select(MemberRow::as_select())
            .limit(most)
            .load(conn)
    })
}

/// Puts the members to their rows.
fn together(rows: Vec<SessionRow>, members: Vec<MemberRow>) -> Vec<WholeRow> {
    let mut of_session: HashMap<String, Vec<Member>> = HashMap::new();
    for member in members {
        of_session.entry(member.session_id.clone()).or_default().push(member.into_model());
    }
    let whole = |row: SessionRow| {
        let members = of_session.remove(&row.session_id).unwrap_or_default();
        (row, members)
    };
    rows.into_iter().map(whole).collect()
}

/// A session's row and its members.
type WholeRow = (SessionRow, Vec<Member>);

/// The rows of one list.
struct Listed<'t> {
    tx: &'t mut Tx,
    project: &'t ProjectId,
    filter: &'t SessionFilter,
}

type Query<'q> = IntoBoxed<'q, sessions::table, <AnyConnection as Connection>::Backend>;

fn query<'q>(project: &'q ProjectId, filter: &'q SessionFilter, cut: &'q Cut<'_>) -> Query<'q> {
    let mut query = sessions::table.into_boxed().filter(sessions::project_id.eq(project.as_str()));
    if let Some(id) = &filter.session_id {
        query = query.filter(sessions::session_id.eq(id.as_str()));
    }
    if let Some(last) = cut.after {
        let (at, id) = (last.created_at, last.id.as_str());
        query = query.filter(
            sessions::created_at.gt(at).or(sessions::created_at.eq(at).and(sessions::session_id.gt(id))),
        );
    }
    query.order((sessions::created_at, sessions::session_id)).offset(cut.offset).limit(cut.limit)
}

/// What a session takes: its row, and so much for each of its members.
const SIZE: &str = "2000 + 1000 * (SELECT COUNT(*) FROM session_jobs AS member WHERE member.project_id = sessions.project_id \
                    AND member.session_id = sessions.session_id)";

impl Listed<'_> {
    fn rows(&mut self, cut: &Cut<'_>) -> Result<Vec<SessionRow>, DbError> {
        let query = query(self.project, self.filter, cut).select(SessionRow::as_select());
        self.tx.run(NOUN, "", |conn| query.load(conn))
    }
}

impl Rows for Listed<'_> {
    type Row = WholeRow;
    type Item = Session;

    fn weigh(&mut self, cut: &Cut<'_>) -> Result<Vec<i64>, DbError> {
        let query = query(self.project, self.filter, cut).select(sql::<BigInt>(SIZE));
        self.tx.run(NOUN, "", |conn| query.load(conn))
    }

    fn cut(&mut self, cut: &Cut<'_>) -> Result<Vec<WholeRow>, DbError> {
        let rows = self.rows(cut)?;
        let found = members(self.tx, self.project, &rows, i64::MAX)?;
        Ok(together(rows, found))
    }

    fn cut_unweighed(&mut self, cut: &Cut<'_>) -> Result<Option<Vec<WholeRow>>, DbError> {
        let rows = self.rows(cut)?;
        let found = members(self.tx, self.project, &rows, MEMBERS_UNWEIGHED + 1)?;
        let is_all = found.len() as i64 <= MEMBERS_UNWEIGHED;
        Ok(is_all.then(|| together(rows, found)))
    }

    fn place((row, _): &WholeRow) -> Place {
        Place { created_at: row.created_at, id: row.session_id.clone(), project: row.project_id.clone() }
    }

    fn read((row, members): WholeRow) -> Result<Session, DbError> {
        row.into_model(members)
    }
}
