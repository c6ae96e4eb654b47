//! How long a request waits for the database, and how many may.
//!
//! A connection may stay open and silent for ever: packets vanish, a host stops. Whoever waits for it is answered with 503 when
//! `[api] database_timeout` is over. The thread that does the work cannot be called back, it stays until the connection breaks;
//! so no more of them are let in than there are connections, and while the database is silent nobody queues for a place.

use crate::error::ApiError;
use actix_web::web;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
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
        let (place, span) = (self.place().await?, Span::current());
        let work = web::block(move || {
            let _place = place;
            span.in_scope(work)
        });
        match self.answered(work).await? {
            Ok(outcome) => outcome,
            Err(_) => Err(ApiError::internal("a database task was cancelled: is the service shutting down?")),
        }
    }

    /// What the database says through `work`, or 503 when it says nothing.
    pub(crate) async fn answered<T>(&self, work: impl Future<Output = T>) -> Result<T, ApiError> {
        let answer = timeout(self.limit, work).await;
        self.is_silent.store(answer.is_err(), Ordering::Relaxed);
        answer.map_err(|_| self.silent())
    }

    async fn place(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        if let Ok(place) = self.places.clone().try_acquire_owned() {
            return Ok(place);
        }
        if self.is_silent.load(Ordering::Relaxed) {
            return Err(self.silent());
        }
        match timeout(self.limit, self.places.clone().acquire_owned()).await {
            Ok(Ok(place)) => Ok(place),
            _ => Err(self.silent()),
        }
    }

    fn silent(&self) -> ApiError {
        let seconds = self.limit.as_secs();
        ApiError::unavailable(format!("the database has not answered for {seconds} s ([api] database_timeout)"))
    }
}
