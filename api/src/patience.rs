//! How long a request waits for the database, and how many may.
//!
//! A connection may stay open and silent for ever: packets vanish, a host stops. Whoever waits for it is answered with 503 when
//! `[api] database_timeout` is over. The thread that does the work cannot be called back, it stays until the connection breaks;
//! so no more of them are let in than there are connections, and while the database is silent nobody queues for a place.

use crate::error::ApiError;
use actix_web::http::StatusCode;
use actix_web::web;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};
use tracing::Span;

/// Even for a database that has one connection: its users are told by the pool what to do then.
const FEWEST_PLACES: usize = 8;

/// Clones share it.
#[derive(Clone)]
pub struct Patience {
    limit: Duration,
    places: Arc<Semaphore>,
    /// The last one who waited for an answer got none.
    is_silent: Arc<AtomicBool>,
}

impl Patience {
    /// For a database with at most so many connections.
    pub fn new(limit: Duration, connections: u32) -> Self {
        let places = usize::try_from(connections).unwrap_or(FEWEST_PLACES).max(FEWEST_PLACES);
        let places = Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS)));
        Self { limit, places, is_silent: Arc::default() }
    }

    /// Does `work` on a thread that may block. After a 503 it may still be going on, and what comes of it is not known.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let deadline = Instant::now() + self.limit;
        let (place, span) = (self.place(deadline).await?, Span::current());
        let work = web::block(move || {
            let _place = place;
            span.in_scope(work)
        });
        let cancelled = "a database task was cancelled: is the service shutting down?";
        let work = async { work.await.unwrap_or_else(|_| Err(ApiError::internal(cancelled))) };
        self.answered_by(deadline, work).await
    }

    /// What comes of work that is done elsewhere, or 503 when the database says nothing.
    pub(crate) async fn answered<T>(
        &self,
        work: impl Future<Output = Result<T, ApiError>>,
    ) -> Result<T, ApiError> {
        self.answered_by(Instant::now() + self.limit, work).await
    }

    async fn answered_by<T>(
        &self,
        deadline: Instant,
        work: impl Future<Output = Result<T, ApiError>>,
    ) -> Result<T, ApiError> {
        let Ok(outcome) = timeout_at(deadline, work).await else {
            self.is_silent.store(true, Ordering::Relaxed);
            return Err(self.silent());
        };
        // An answer of the pool, that no connection is free, is none of the database.
        if !is_unavailable(&outcome) {
            self.is_silent.store(false, Ordering::Relaxed);
        }
        outcome
    }

    async fn place(&self, deadline: Instant) -> Result<OwnedSemaphorePermit, ApiError> {
        if let Ok(place) = self.places.clone().try_acquire_owned() {
            return Ok(place);
        }
        if self.is_silent.load(Ordering::Relaxed) {
            return Err(self.silent());
        }
        match timeout_at(deadline, self.places.clone().acquire_owned()).await {
            Ok(Ok(place)) => Ok(place),
            _ => Err(self.silent()),
        }
    }

    fn silent(&self) -> ApiError {
        let seconds = self.limit.as_secs();
        ApiError::unavailable(format!(
            "the database has not answered for {seconds} s ([api] database_timeout)"
        ))
    }
}

pub(crate) fn is_unavailable<T>(outcome: &Result<T, ApiError>) -> bool {
    outcome.as_ref().is_err_and(|error| error.status == StatusCode::SERVICE_UNAVAILABLE)
}
