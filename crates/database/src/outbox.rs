//! Messages that are to leave the service: written with what they tell of, removed when they have arrived.
//!
//! A letter that somebody is sending is claimed for a while by its attention time; when that process dies, it is sent
//! again: at least once.

use crate::connect::AnyConnection;
use crate::schema::outbox;
use crate::{DbError, Tx, json};
use diesel::prelude::*;
use freezer_model::{ProjectId, Timestamp};
use serde_json::Value;
use std::time::Duration;

const NOUN: &str = "letter";

/// Repository of one transaction; see [`Tx::outbox`].
pub struct Outbox<'t> {
    pub(crate) tx: &'t mut Tx,
}

/// A message on its way.
#[derive(Clone, Debug, PartialEq)]
pub struct Letter {
    pub id: String,
    /// By what it goes, at most 16 characters.
    pub kind: String,
    pub body: Value,
    pub created_at: Timestamp,
    /// Attempts so far, with the one that it was claimed for.
    pub attempts: i32,
}

impl Letter {
    /// Kind of a letter whose body is an event for webhooks, written by who does not know their addresses: a conductor that has
    /// some makes one letter for each of it.
    pub const EVENT: &str = "event";
}

type Row = (String, String, String, i64, i32);

impl Outbox<'_> {
    /// Writes a new letter of no project, due at once.
    pub fn put(&mut self, kind: &str, body: &Value, now: Timestamp) -> Result<(), DbError> {
        self.insert(kind, None, body, now)
    }

    /// Writes a new letter, due at once, that counts as one of the project's.
    pub fn put_of(
        &mut self,
        project: &ProjectId,
        kind: &str,
        body: &Value,
        now: Timestamp,
    ) -> Result<(), DbError> {
        self.insert(kind, Some(project.as_str()), body, now)
    }

    /// Writes a new letter of kind [`Letter::EVENT`], due at once, that counts as one of the project's.
    pub fn put_event(&mut self, project: &ProjectId, body: &Value, now: Timestamp) -> Result<(), DbError> {
        self.put_of(project, Letter::EVENT, body, now)
    }

    fn insert(
        &mut self,
        kind: &str,
        project: Option<&str>,
        body: &Value,
        now: Timestamp,
    ) -> Result<(), DbError> {
        let id = uuid::Uuid::new_v4().simple().to_string();
        let body = json::to_text(NOUN, body)?;
        self.tx.run(NOUN, &id, |conn| {
            diesel::insert_into(outbox::table)
                .values((
                    outbox::id.eq(&id),
                    outbox::kind.eq(kind),
                    outbox::body.eq(body),
                    outbox::created_at.eq(now.0),
                    outbox::attempts.eq(0),
                    outbox::attention_at.eq(Some(now.0)),
                    outbox::project_id.eq(project),
                ))
                .execute(conn)
        })?;
        Ok(())
    }

    /// How many of the project's letters of this kind wait, counted by index.
    pub fn count_of(&mut self, project: &ProjectId, kind: &str) -> Result<i64, DbError> {
        self.tx.run(NOUN, project.as_str(), |conn| {
            let of_project = outbox::table.filter(outbox::project_id.eq(project.as_str()));
            of_project.filter(outbox::kind.eq(kind)).count().get_result(conn)
        })
    }

    /// How many letters of this kind wait that count as some project's.
    pub fn count_of_projects(&mut self, kind: &str) -> Result<i64, DbError> {
        self.tx.run(NOUN, "", |conn| {
            let of_projects = outbox::table.filter(outbox::project_id.is_not_null());
            of_projects.filter(outbox::kind.eq(kind)).count().get_result(conn)
        })
    }

    /// How many of the project's events wait.
    pub fn count_events(&mut self, project: &ProjectId) -> Result<i64, DbError> {
        self.count_of(project, Letter::EVENT)
    }

    /// Removes events that have been due since before then: nobody has addresses to send them to.
    pub fn forget_events(&mut self, before: Timestamp) -> Result<(), DbError> {
        self.tx.run(NOUN, "", |conn| {
            let old = outbox::table.filter(outbox::attention_at.lt(before.0));
            diesel::delete(old.filter(outbox::kind.eq(Letter::EVENT))).execute(conn)
        })?;
        Ok(())
    }

    /// Ids of up to `limit` letters of these kinds that are due at `now`, oldest first.
    fn due(&mut self, kinds: &[&str], now: Timestamp, limit: u32) -> Result<Vec<String>, DbError> {
        self.tx.run(NOUN, "", |conn| {
            outbox::table
                .filter(outbox::attention_at.le(now.0))
                .filter(outbox::kind.eq_any(kinds.to_vec()))
                .order((outbox::attention_at, outbox::id))
                .limit(i64::from(limit))
                .select(outbox::id)
                .load(conn)
        })
    }

    /// Removes up to `limit` letters of these kinds that have been due since then or longer, oldest first, and returns how many:
    /// nobody sends what they go by.
    pub fn drop_unsent(&mut self, kinds: &[&str], since: Timestamp, limit: u32) -> Result<usize, DbError> {
        let ids = self.due(kinds, since, limit)?;
        if ids.is_empty() {
            return Ok(0);
        }
        self.tx.run(NOUN, "", |conn| {
            // One that somebody has begun to send in the meantime is theirs.
            let left = outbox::table.filter(outbox::id.eq_any(&ids));
            diesel::delete(left.filter(outbox::attention_at.le(since.0))).execute(conn)
        })
    }

    /// Up to `limit` due letters of these kinds, oldest first; nobody else gets them for `hold`.
    pub fn claim_due(
        &mut self,
        kinds: &[&str],
        now: Timestamp,
        limit: u32,
        hold: Duration,
    ) -> Result<Vec<Letter>, DbError> {
        let ids = self.due(kinds, now, limit)?;
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        macro_rules! those {
            () => {
                outbox::table.filter(outbox::id.eq_any(&ids)).filter(outbox::attention_at.le(now.0)).select((
                    outbox::id,
                    outbox::kind,
                    outbox::body,
                    outbox::created_at,
                    outbox::attempts,
                ))
            };
        }
        let rows: Vec<Row> = self.tx.run(NOUN, "", |conn| match conn {
            #[cfg(feature = "mysql")]
            AnyConnection::Mysql(mysql) => those!().for_update().skip_locked().load(mysql),
            AnyConnection::Sqlite(sqlite) => those!().load(sqlite),
        })?;
        let held: Vec<&str> = rows.iter().map(|row| row.0.as_str()).collect();
        self.tx.run(NOUN, "", |conn| {
            diesel::update(outbox::table.filter(outbox::id.eq_any(held)))
                .set((
                    outbox::attention_at.eq(Some(now.plus(hold).0)),
                    outbox::attempts.eq(outbox::attempts + 1),
                ))
                .execute(conn)
        })?;
        // One that cannot be read can never be sent.
        let letter = |(id, kind, body, created_at, attempts): Row| Letter {
            body: serde_json::from_str(&body).unwrap_or(Value::Null),
            id,
            kind,
            created_at: Timestamp(created_at),
            attempts: attempts.saturating_add(1),
        };
        Ok(rows.into_iter().map(letter).collect())
    }

    /// To be sent again at `at`.
    pub fn postpone(&mut self, id: &str, at: Timestamp, error: &str) -> Result<(), DbError> {
        self.tx.run(NOUN, id, |conn| {
            diesel::update(outbox::table.find(id))
                .set((outbox::attention_at.eq(Some(at.0)), outbox::last_error.eq(Some(error))))
                .execute(conn)
        })?;
        Ok(())
    }

    /// It has arrived, or never will. Returns whether it was there.
    pub fn remove(&mut self, id: &str) -> Result<bool, DbError> {
        let removed = self.tx.run(NOUN, id, |conn| diesel::delete(outbox::table.find(id)).execute(conn))?;
        Ok(removed > 0)
    }

    /// When the next letter is due.
    pub fn next_attention(&mut self) -> Result<Option<Timestamp>, DbError> {
        let at: Option<i64> = self
            .tx
            .run(NOUN, "", |conn| outbox::table.select(diesel::dsl::min(outbox::attention_at)).first(conn))?;
        Ok(at.map(Timestamp))
    }
}
