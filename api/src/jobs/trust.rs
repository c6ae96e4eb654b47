//! Which trust a job acts under. A job of a central client has one, its maker's; others have none.
//!
//! Keystone is asked outside of transactions. A write is tried first; when it meets a job that needs a trust, it is undone, the
//! trust is found or made, and the write is tried again with the trust at hand. So a job of an ordinary client costs nothing, and
//! what the client is when the job is written is what counts.

use crate::call::Call;
use crate::error::ApiError;
use crate::trusts::{Offer, TrustOptions};
use actix_web::http::StatusCode;
use freezer_database::{DbError, Tx};
use freezer_model::{Client, ProjectId, Timestamp, TrustCredentials};
use std::sync::{Arc, Mutex, PoisonError};

/// How often a trust may turn out to be given up just before it is used.
const TRIES: usize = 4;

/// What a transaction that writes a job knows and tells about trusts.
#[derive(Clone)]
pub(super) struct TrustDesk {
    options: Option<TrustOptions>,
    at_hand: Option<TrustCredentials>,
    news: Arc<Mutex<News>>,
    now: Timestamp,
}

#[derive(Clone, Default)]
struct News {
    /// The job needs a trust that is not at hand; inside: the one it has, which must be looked at first.
    needed: Option<Option<TrustCredentials>>,
    /// Given up by this transaction.
    to_end: Vec<TrustCredentials>,
}

impl TrustDesk {
    fn new(call: &Call, at_hand: Option<TrustCredentials>) -> Self {
        let options = call.state.trusts.as_ref().map(|trusts| trusts.options.clone());
        Self { options, at_hand, news: Arc::default(), now: call.now }
    }

    /// The trust of a job whose client has just been chosen; `stored` is the one it has.
    pub fn choose(
        &self,
        tx: &mut Tx,
        project: &ProjectId,
        client: &Client,
        stored: Option<&TrustCredentials>,
    ) -> Result<Option<TrustCredentials>, ApiError> {
        // Without Keystone nobody can tell what a trust is worth.
        let Some(options) = &self.options else { return Ok(stored.cloned()) };
        match client.is_central || options.for_every_job {
            false => return Ok(None),
            true if !options.is_enabled => return Ok(stored.filter(|_| client.is_central).cloned()),
            true => {}
        }
        if let Some(trust) = &self.at_hand
            && tx.trusts().claim(project, trust)?
        {
            return Ok(Some(trust.clone()));
        }
        self.news().needed = Some(stored.cloned());
        Err(ApiError::identity_away("trusts for this job were given up as fast as they were found"))
    }

    /// Gives up the trust the job had, unless it still has it or others use it. Call it when the job is written.
    pub fn leave(
        &self,
        tx: &mut Tx,
        project: &ProjectId,
        before: Option<&TrustCredentials>,
        after: Option<&TrustCredentials>,
    ) -> Result<(), DbError> {
        let Some(left) = before.filter(|before| after.is_none_or(|after| after.trust_id != before.trust_id))
        else {
            return Ok(());
        };
        if tx.trusts().release(project, left, self.now)? {
            self.news().to_end.push(left.clone());
        }
        Ok(())
    }

    fn news(&self) -> std::sync::MutexGuard<'_, News> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a job gets into the database.
#[derive(Clone, Copy)]
pub(super) enum Lane {
    /// New: perhaps in one transaction with others.
    Insert,
    /// Rows that others may wait for are locked: in a transaction of its own.
    Change,
    /// The same, or new; see [`Call::upsert`].
    Upsert,
}

/// Runs a transaction that writes a job, with a trust if it needs one, and ends the trusts it gave up.
pub(super) async fn write<T: Send + 'static>(
    call: &Call,
    lane: Lane,
    work: impl FnMut(&mut Tx, &TrustDesk) -> Result<T, ApiError> + Clone + Send + 'static,
) -> Result<T, ApiError> {
    let mut offer: Option<Offer> = None;
    let mut tries = TRIES;
    loop {
        let desk = TrustDesk::new(call, offer.as_ref().map(|offer| offer.trust.clone()));
        let (told, mut work) = (desk.clone(), work.clone());
        let work = move |tx: &mut Tx| {
            // A transaction that lost a deadlock is run again from its start.
            *told.news() = News::default();
            work(tx, &told)
        };
        let outcome = match lane {
            // What it brings may have come from somebody else in between: then it is there to be meant.
            Lane::Insert => match call.insert(work.clone()).await {
                Err(error) if error.status == StatusCode::CONFLICT => call.write(work).await,
                outcome => outcome,
            },
            Lane::Change => call.write(work).await,
            Lane::Upsert => call.upsert(work).await,
        };
        let news = desk.news().clone();
        if let Some(made) = offer.take().filter(|offer| offer.is_new) {
            drop_unused(call, made.trust).await;
        }
        tries -= 1;
        match (&outcome, news.needed, &call.state.trusts) {
            (Err(_), Some(stored), Some(trusts)) if tries > 0 => {
                offer = Some(trusts.obtain(call, stored).await?);
            }
            (Err(_), _, _) => return outcome,
            (Ok(_), _, _) => {
                end(call, news.to_end).await;
                return outcome;
            }
        }
    }
}

/// A trust made for this request, of which nothing came.
async fn drop_unused(call: &Call, trust: TrustCredentials) {
    let (project, left, now) = (call.project.clone(), trust.clone(), call.now);
    match call.write(move |tx| Ok(tx.trusts().release(&project, &left, now)?)).await {
        Ok(true) => end(call, vec![trust]).await,
        Ok(false) => {}
        Err(error) => {
            tracing::warn!(project = %call.project, "a trust was made and perhaps not used: {error}")
        }
    }
}

async fn end(call: &Call, trusts: Vec<TrustCredentials>) {
    let Some(keystone) = &call.state.trusts else { return };
    for trust in trusts {
        keystone.end(call, trust).await;
    }
}
