//! Writing sessions.

use super::row::{MemberRow, SessionRow};
use super::{NOUN, Sessions};
use crate::schema::{session_jobs, sessions};
use crate::{DbError, json};
use diesel::prelude::*;
use freezer_model::{JobId, ProjectId, Session, SessionId, Timestamp};

impl Sessions<'_> {
    /// [`DbError::Conflict`] when the id is taken in this project.
    pub fn insert(&mut self, session: &Session) -> Result<(), DbError> {
        let row = SessionRow::of(session)?;
        self.tx.run(NOUN, session.session_id.as_str(), |conn| {
            diesel::insert_into(sessions::table).values(row).execute(conn)
        })?;
        self.save_members(session)
    }

    /// Writes a session that exists, and those of its members that have changed. Read it with
    /// [`Self::get_for_update`] before, in the same transaction.
    pub fn save(&mut self, session: &Session) -> Result<(), DbError> {
        let row = SessionRow::of(session)?;
        let (project, id) = (row.project_id.clone(), row.session_id.clone());
        let changed = self.tx.run(NOUN, &id, |conn| {
            diesel::update(sessions::table.find((project, id.as_str()))).set(row).execute(conn)
        })?;
        if changed == 0 {
            return Err(DbError::Missing { noun: NOUN, id });
        }
        self.save_members(session)
    }

    fn save_members(&mut self, session: &Session) -> Result<(), DbError> {
        let stored: Vec<MemberRow> = self.tx.run(NOUN, session.session_id.as_str(), |conn| {
            session_jobs::table
                .filter(session_jobs::project_id.eq(session.project_id.as_str()))
                .filter(session_jobs::session_id.eq(session.session_id.as_str()))
                .order((session_jobs::position, session_jobs::job_id))
                .select(MemberRow::as_select())
                .load(conn)
        })?;
        for gone in stored.iter().filter(|row| session.member(&JobId::from(row.job_id.as_str())).is_none()) {
            let key = (gone.project_id.as_str(), gone.session_id.as_str(), gone.job_id.as_str());
            self.tx.run(NOUN, key.1, |conn| diesel::delete(session_jobs::table.find(key)).execute(conn))?;
        }
        for (position, member) in session.members.iter().enumerate() {
            let row = MemberRow::of(session, json::stored_index("session_jobs", position)?, member)?;
            match stored.iter().find(|known| known.job_id == row.job_id) {
                Some(known) if *known == row => {}
                Some(_) => self.update_member(row)?,
                None => self.insert_member(row)?,
            }
        }
        Ok(())
    }

    fn insert_member(&mut self, row: MemberRow) -> Result<(), DbError> {
        let job = row.job_id.clone();
        self.tx.run("member of session", &job, |conn| {
            diesel::insert_into(session_jobs::table).values(row).execute(conn)
        })?;
        Ok(())
    }

    fn update_member(&mut self, row: MemberRow) -> Result<(), DbError> {
        let (project, session, job) = (row.project_id.clone(), row.session_id.clone(), row.job_id.clone());
        self.tx.run("member of session", &job, |conn| {
            diesel::update(session_jobs::table.find((&project, &session, &job))).set(row).execute(conn)
        })?;
        Ok(())
    }

    /// Takes a job out of every session that lists it, but `except`; rounds that only waited for it are over.
    pub fn leave_all(
        &mut self,
        project: &ProjectId,
        job: &JobId,
        except: Option<&SessionId>,
        now: Timestamp,
    ) -> Result<(), DbError> {
        for id in self.of_job(project, job)? {
            if Some(&id) == except {
                continue;
            }
            let Some(mut session) = self.get_for_update(project, &id)? else { continue };
            if session.detach(job, now) {
                self.save(&session)?;
            }
        }
        Ok(())
    }

    /// Deletes a session with its list of members; their jobs stay. Returns whether it was there.
    pub fn delete(&mut self, project: &ProjectId, id: &SessionId) -> Result<bool, DbError> {
        let deleted = self.tx.run(NOUN, id.as_str(), |conn| {
            diesel::delete(
                session_jobs::table
                    .filter(session_jobs::project_id.eq(project.as_str()))
                    .filter(session_jobs::session_id.eq(id.as_str())),
            )
            .execute(conn)?;
            diesel::delete(sessions::table.find((project.as_str(), id.as_str()))).execute(conn)
        })?;
        Ok(deleted > 0)
    }
}
