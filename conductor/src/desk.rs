//! What every part of the conductor has at hand.

use crate::{ConductorError, ConductorOptions, Metrics};
use freezer_database::{Database, DbError, Tx};
use freezer_model::{Clock, Timestamp};
use oslo_messaging::Transport;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

pub(crate) struct Desk {
    pub db: Database,
    pub transport: Transport,
    pub clock: Arc<dyn Clock>,
    pub options: ConductorOptions,
    pub metrics: Metrics,
    /// Somebody changed something: look now rather than at the next poll.
    pub wake: Notify,
    /// Since when agents can reach this process; leases that ended before anybody listened say nothing about the agent.
    listening_since: AtomicI64,
    /// Wall clock minus steady clock, in milliseconds.
    clock_offset: AtomicI64,
}

/// A difference between two looks that is more than slewing.
const CLOCK_STEP_MS: i64 = 2000;

impl Desk {
    pub(crate) fn new(
        db: Database,
        transport: Transport,
        clock: Arc<dyn Clock>,
        options: ConductorOptions,
    ) -> Self {
        let now = clock.now();
        let steady = i64::try_from(clock.steady().as_millis()).unwrap_or(i64::MAX);
        Self {
            db,
            transport,
            clock,
            options,
            metrics: Metrics::default(),
            wake: Notify::new(),
            listening_since: AtomicI64::new(now.0),
            clock_offset: AtomicI64::new(now.0.saturating_sub(steady)),
        }
    }

    /// The bus is there (again): agents get a whole lease to be heard.
    pub(crate) fn is_listening_from(&self, now: Timestamp) {
        self.listening_since.store(now.0, Ordering::Relaxed);
    }

    /// The earliest moment at which silence means that an agent is lost.
    pub(crate) fn silence_counts_from(&self) -> Timestamp {
        Timestamp(self.listening_since.load(Ordering::Relaxed)).plus(self.options.lease)
    }

    /// Runs a transaction on a thread that may block.
    pub(crate) async fn transaction<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnMut(&Desk, &mut Tx) -> Result<T, DbError> + Send + 'static,
    ) -> Result<T, ConductorError> {
        let desk = self.clone();
        let mut work = work;
        tokio::task::spawn_blocking(move || desk.db.transaction(|tx| work(&desk, tx)))
            .await
            .map_err(|error| ConductorError::Worker(error.to_string()))?
            .map_err(ConductorError::from)
    }

    /// Reads on a thread that may block.
    pub(crate) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&mut Tx) -> Result<T, DbError> + Send + 'static,
    ) -> Result<T, ConductorError> {
        let db = self.db.clone();
        tokio::task::spawn_blocking(move || db.read(work))
            .await
            .map_err(|error| ConductorError::Worker(error.to_string()))?
            .map_err(ConductorError::from)
    }

    /// Says which rows could not be read. They are looked at again later; the others of their batch go on.
    pub(crate) fn note_set_aside(&self, errors: &[DbError]) {
        for error in errors {
            tracing::error!("set aside for ten minutes: {error}");
        }
        self.metrics.set_aside(errors.len() as u64);
    }

    /// Notices that the wall clock was set: leases then say nothing about agents, and get a new start.
    pub(crate) async fn watch_clock(self: &Arc<Self>) -> Result<(), ConductorError> {
        let (now, steady) = (self.clock.now(), self.clock.steady());
        let offset = now.0.saturating_sub(i64::try_from(steady.as_millis()).unwrap_or(i64::MAX));
        let stepped = offset.saturating_sub(self.clock_offset.swap(offset, Ordering::Relaxed));
        if stepped.abs() < CLOCK_STEP_MS {
            return Ok(());
        }
        tracing::warn!("the clock was set by {} s: agents get a whole lease to be heard", stepped / 1000);
        self.is_listening_from(now);
        let latest = now.plus(self.options.lease);
        self.transaction(move |_, tx| tx.runs().shorten_leases(latest)).await?;
        Ok(())
    }

    /// The time to the next look at the database.
    pub(crate) fn pause(&self, next_attention: Option<Timestamp>) -> Duration {
        next_attention.map_or(self.options.poll_interval, |at| {
            at.since(self.clock.now()).clamp(Duration::from_millis(1), self.options.poll_interval)
        })
    }
}
