//! What every part of the conductor has at hand.

use crate::heartbeats::Beat;
use crate::{ConductorError, ConductorOptions, Metrics};
use freezer_database::{Database, DbError, Tx};
use freezer_model::rpc::AgentHello;
use freezer_model::{Clock, Link, Timestamp};
use oslo_messaging::Transport;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinHandle;

pub(crate) struct Desk {
    pub db: Database,
    pub transport: Transport,
    pub clock: Arc<dyn Clock>,
    pub options: ConductorOptions,
    pub metrics: Metrics,
    /// Where heartbeats are gathered.
    pub beats: mpsc::UnboundedSender<Beat>,
    /// Pieces of work that the database may have at a time; a place is kept until its thread is back, however long
    /// that takes.
    places: Arc<Semaphore>,
    /// The database was given up on and has not answered since.
    is_silent: AtomicBool,
    /// Somebody changed something: look now rather than at the next poll.
    pub wake: Notify,
    /// Since when agents can reach this process; leases that ended before anybody listened say nothing about the agent.
    listening_since: AtomicI64,
    /// Wall clock minus steady clock, in milliseconds.
    clock_offset: AtomicI64,
    was_clock_set: AtomicBool,
}

/// From the commit that hands a step out to the note that the broker took its order. When it is over, the order is not sent
/// any more and another conductor hands the step out anew.
const SENDING: Duration = Duration::from_secs(4);
// Nothing that a killed conductor held is left lying for five seconds.
const _: () = assert!(SENDING.as_secs() < 5);
/// What is told of schedulers that poll is told by those who could have heard of them for so long: after an outage their reports come
/// first.
const POLLERS_ARE_HEARD_IN: Duration = Duration::from_secs(3600);
/// More at a time make no database faster.
const PLACES: usize = 24;
/// A difference between two looks that is more than slewing.
const CLOCK_STEP_MS: i64 = 2000;

impl Desk {
    pub(crate) fn new(
        db: Database,
        transport: Transport,
        clock: Arc<dyn Clock>,
        options: ConductorOptions,
        beats: mpsc::UnboundedSender<Beat>,
    ) -> Self {
        let now = clock.now();
        let steady = i64::try_from(clock.steady().as_millis()).unwrap_or(i64::MAX);
        Self {
            db,
            transport,
            clock,
            options,
            metrics: Metrics::default(),
            beats,
            places: Arc::new(Semaphore::new(PLACES)),
            is_silent: AtomicBool::new(false),
            wake: Notify::new(),
            listening_since: AtomicI64::new(now.0),
            clock_offset: AtomicI64::new(now.0.saturating_sub(steady)),
            was_clock_set: AtomicBool::new(false),
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

    /// The earliest moment at which the silence of a scheduler that polls means anything.
    pub(crate) fn silence_of_pollers_counts_from(&self) -> Timestamp {
        Timestamp(self.listening_since.load(Ordering::Relaxed)).plus(POLLERS_ARE_HEARD_IN)
    }

    /// Seconds to an agent's next heartbeat. One that holds nothing has no lease to lose and speaks less often; on the
    /// HTTPS link its heartbeats alone say that it is there.
    pub(crate) fn heartbeat_secs(&self, hello: &AgentHello) -> u64 {
        let usual = self.options.heartbeat;
        let is_idle = hello.held.is_empty() && hello.link != Link::Http;
        let pause = if is_idle { (usual * 2).min(self.options.lease / 2).max(usual) } else { usual };
        pause.as_secs().max(1)
    }

    /// How long an order may be under way to the broker.
    pub(crate) fn sending_time(&self) -> Duration {
        SENDING.min(self.options.lease)
    }

    /// The earliest moment at which an order that nobody noted as sent is taken over: what was reported while nobody
    /// listened is read first.
    pub(crate) fn takes_over_from(&self) -> Timestamp {
        Timestamp(self.listening_since.load(Ordering::Relaxed)).plus(self.sending_time())
    }

    /// Runs a transaction on a thread that may block.
    pub(crate) async fn transaction<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnMut(&Desk, &mut Tx) -> Result<T, DbError> + Send + 'static,
    ) -> Result<T, ConductorError> {
        let (desk, place) = (self.clone(), self.place().await?);
        let mut work = work;
        let work = tokio::task::spawn_blocking(move || {
            let _place = place;
            desk.db.transaction(|tx| work(&desk, tx))
        });
        self.answered(work).await
    }

    /// Reads on a thread that may block.
    pub(crate) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&mut Tx) -> Result<T, DbError> + Send + 'static,
    ) -> Result<T, ConductorError> {
        let (db, place) = (self.db.clone(), self.place().await?);
        let work = tokio::task::spawn_blocking(move || {
            let _place = place;
            db.read(work)
        });
        self.answered(work).await
    }

    /// A place among those who use the database. While it is silent nobody queues for one: after a network partition
    /// threads hang until TCP gives up, and no more than so many may.
    async fn place(&self) -> Result<OwnedSemaphorePermit, ConductorError> {
        let silent = || ConductorError::Silent(self.options.database_timeout);
        if let Ok(place) = self.places.clone().try_acquire_owned() {
            return Ok(place);
        }
        if self.is_silent.load(Ordering::Relaxed) {
            return Err(silent());
        }
        match tokio::time::timeout(self.options.database_timeout, self.places.clone().acquire_owned()).await {
            Ok(Ok(place)) => Ok(place),
            _ => Err(silent()),
        }
    }

    /// A connection may stay open and silent for ever; whoever waits for it does not. What came of the work is not known
    /// then, which every caller has to live with in any case.
    async fn answered<T>(&self, work: JoinHandle<Result<T, DbError>>) -> Result<T, ConductorError> {
        match tokio::time::timeout(self.options.database_timeout, work).await {
            Ok(Ok(outcome)) => {
                self.is_silent.store(false, Ordering::Relaxed);
                Ok(outcome?)
            }
            Ok(Err(error)) => Err(ConductorError::Worker(error.to_string())),
            Err(_) => {
                self.is_silent.store(true, Ordering::Relaxed);
                Err(ConductorError::Silent(self.options.database_timeout))
            }
        }
    }

    /// Says which rows could not be read. They are looked at again later; the others of their batch go on.
    pub(crate) fn note_set_aside(&self, errors: &[DbError]) {
        for error in errors {
            tracing::error!("set aside for ten minutes: {error}");
        }
        self.metrics.set_aside(errors.len() as u64);
    }

    /// The time for decisions about leases. Notices that the wall clock was set: leases then say nothing about agents,
    /// which get a new start.
    pub(crate) fn now(&self) -> Timestamp {
        let (now, steady) = (self.clock.now(), self.clock.steady());
        let offset = now.0.saturating_sub(i64::try_from(steady.as_millis()).unwrap_or(i64::MAX));
        let stepped = offset.saturating_sub(self.clock_offset.swap(offset, Ordering::SeqCst));
        if stepped.abs() >= CLOCK_STEP_MS {
            tracing::warn!("the clock was set by {} s: agents get a whole lease to be heard", stepped / 1000);
            self.is_listening_from(now);
            self.was_clock_set.store(true, Ordering::SeqCst);
        }
        now
    }

    /// After the clock was set back, leases made before would last too long.
    pub(crate) async fn mend_leases(self: &Arc<Self>) -> Result<(), ConductorError> {
        let latest = self.now().plus(self.options.lease);
        if self.was_clock_set.swap(false, Ordering::SeqCst) {
            self.transaction(move |_, tx| tx.runs().shorten_leases(latest)).await?;
        }
        Ok(())
    }

    /// The time to the next look at the database.
    pub(crate) fn pause(&self, next_attention: Option<Timestamp>) -> Duration {
        next_attention.map_or(self.options.poll_interval, |at| {
            at.since(self.clock.now()).clamp(Duration::from_millis(1), self.options.poll_interval)
        })
    }
}
