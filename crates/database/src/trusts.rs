//! Keystone trusts: which ones jobs may still begin to use, and which ones nobody uses any more.
//!
//! Invariant: a trust that was given up is never used again. A job that begins to use a trust and the last one that ceases to
//! use it both lock the trust's row first, so one of them sees the other. Whoever gave a trust up ends it in Keystone after
//! the commit; until that has worked, it is found among those to be ended.
//!
//! Ids of trusts stay out of errors: those are logged.

use crate::schema::trusts;
use crate::{DbError, Tx, limits, limits::fits};
use diesel::prelude::*;
use freezer_model::{ProjectId, Timestamp, TrustCredentials, UserId};
use std::time::Duration;

const NOUN: &str = "trust";

/// Ended trusts are remembered for writers that began to use them before they ended.
const REMEMBERED: Duration = Duration::from_secs(24 * 60 * 60);

/// Repository of one transaction; see [`Tx::trusts`].
pub struct Trusts<'t> {
    pub(crate) tx: &'t mut Tx,
}

impl Trusts<'_> {
    /// Says that this transaction's job uses the trust. False when it was given up or is another project's: then it must not.
    pub fn claim(&mut self, project: &ProjectId, trust: &TrustCredentials) -> Result<bool, DbError> {
        self.lock(project, trust)?;
        let found: Option<Option<i64>> = self.tx.run(NOUN, "", |conn| {
            let of_project =
                trusts::table.find(&trust.trust_id).filter(trusts::project_id.eq(project.as_str()));
            of_project.select(trusts::unused_since).first::<Option<i64>>(conn).optional()
        })?;
        Ok(matches!(found, Some(None)))
    }

    /// Gives the trust up unless a job still uses it: call it after this transaction's job has ceased to. True when the caller
    /// is to end it in Keystone after the commit.
    pub fn release(
        &mut self,
        project: &ProjectId,
        trust: &TrustCredentials,
        now: Timestamp,
    ) -> Result<bool, DbError> {
        self.lock(project, trust)?;
        if self.tx.jobs().is_trust_used(&trust.trust_id)? {
            return Ok(false);
        }
        let id = trust.trust_id.as_str();
        self.tx.run(NOUN, "", |conn| {
            let of_project = trusts::table.find(id).filter(trusts::project_id.eq(project.as_str()));
            diesel::update(of_project.filter(trusts::unused_since.is_null()))
                .set(trusts::unused_since.eq(Some(now.0)))
                .execute(conn)
        })?;
        Ok(true)
    }

    /// Notes that Keystone has ended the trust, and forgets those that ended long ago.
    pub fn ended(&mut self, trust_id: &str, now: Timestamp) -> Result<(), DbError> {
        let remembered_ms = i64::try_from(REMEMBERED.as_millis()).unwrap_or(i64::MAX);
        self.tx.run(NOUN, "", |conn| {
            diesel::update(trusts::table.find(trust_id))
                .set(trusts::ended_at.eq(Some(now.0)))
                .execute(conn)?;
            diesel::delete(trusts::table.filter(trusts::ended_at.lt(now.0.saturating_sub(remembered_ms))))
                .execute(conn)
        })?;
        Ok(())
    }

    /// Trusts of this user that were given up and not ended yet, longest waiting first.
    pub fn to_end(
        &mut self,
        project: &ProjectId,
        trustor: &UserId,
        limit: u32,
    ) -> Result<Vec<TrustCredentials>, DbError> {
        let ids: Vec<String> = self.tx.run(NOUN, "", |conn| {
            trusts::table
                .filter(trusts::project_id.eq(project.as_str()))
                .filter(trusts::trustor_user_id.eq(trustor.as_str()))
                .filter(trusts::unused_since.is_not_null())
                .filter(trusts::ended_at.is_null())
                .order((trusts::unused_since, trusts::trust_id))
                .limit(i64::from(limit))
                .select(trusts::trust_id)
                .load(conn)
        })?;
        let whole = |trust_id| TrustCredentials { trust_id, trustor_user_id: trustor.clone() };
        Ok(ids.into_iter().map(whole).collect())
    }

    /// Those of `ids` that were given up.
    pub fn given_up(&mut self, ids: &[String]) -> Result<Vec<String>, DbError> {
        self.tx.run(NOUN, "", |conn| {
            trusts::table
                .filter(trusts::trust_id.eq_any(ids))
                .filter(trusts::unused_since.is_not_null())
                .select(trusts::trust_id)
                .load(conn)
        })
    }

    /// Keeps other transactions from the trust's row, which is made when it is not there.
    fn lock(&mut self, project: &ProjectId, trust: &TrustCredentials) -> Result<(), DbError> {
        if self.touch(project, trust)? {
            return Ok(());
        }
        fits("trust_id", &trust.trust_id, limits::SHORT_TEXT)?;
        let inserted = self.tx.run(NOUN, "", |conn| {
            diesel::insert_into(trusts::table)
                .values((
                    trusts::trust_id.eq(&trust.trust_id),
                    trusts::project_id.eq(project.as_str()),
                    trusts::trustor_user_id.eq(trust.trustor_user_id.as_str()),
                ))
                .execute(conn)
        });
        match inserted {
            // Somebody wrote it in between.
            Err(DbError::Conflict { .. }) => self.touch(project, trust).map(|_| ()),
            outcome => outcome.map(|_| ()),
        }
    }

    fn touch(&mut self, project: &ProjectId, trust: &TrustCredentials) -> Result<bool, DbError> {
        let id = trust.trust_id.as_str();
        let found = self.tx.run(NOUN, "", |conn| {
            diesel::update(trusts::table.find(id).filter(trusts::project_id.eq(project.as_str())))
                .set(trusts::trustor_user_id.eq(trust.trustor_user_id.as_str()))
                .execute(conn)
        })?;
        Ok(found > 0)
    }
}
