//! Time as the services see it: milliseconds since the Unix epoch, UTC, and a clock that tests can move.

use serde::{Deserialize, Serialize};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    pub fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(1000))
    }
    /// Whole seconds since the epoch, rounded down: what the REST API shows.
    pub fn secs(self) -> i64 {
        self.0.div_euclid(1000)
    }
    pub fn plus(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)))
    }
    /// Time from `earlier` to `self`; zero when the clock went back.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// Where "now" comes from. Services take an `Arc<dyn Clock>`; tests hand in a [`ManualClock`].
pub trait Clock: Send + Sync {
    fn now(&self) -> Timestamp;
    /// Time since some moment in the past that is the same for the life of this clock. It never goes back and is not
    /// moved when the wall clock is set, so that the two together show that somebody did set it.
    fn steady(&self) -> Duration;
}

/// The machine's wall clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp(chrono::Utc::now().timestamp_millis())
    }
    fn steady(&self) -> Duration {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        START.elapsed()
    }
}

/// A clock that stands still until it is told to move.
#[derive(Debug, Default)]
pub struct ManualClock {
    now: AtomicI64,
    /// What `now` was set off by.
    stepped: AtomicI64,
}

impl ManualClock {
    pub fn at(start: Timestamp) -> Self {
        Self { now: AtomicI64::new(start.0), stepped: AtomicI64::new(0) }
    }
    pub fn set(&self, to: Timestamp) {
        self.now.store(to.0, Ordering::SeqCst);
    }
    pub fn advance(&self, by: Duration) {
        self.now.fetch_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX), Ordering::SeqCst);
    }
    /// Sets the wall clock off by so many milliseconds while no time passes.
    pub fn step(&self, by_ms: i64) {
        self.stepped.fetch_add(by_ms, Ordering::SeqCst);
        self.now.fetch_add(by_ms, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.now.load(Ordering::SeqCst))
    }
    fn steady(&self) -> Duration {
        let passed = self.now.load(Ordering::SeqCst).saturating_sub(self.stepped.load(Ordering::SeqCst));
        Duration::from_millis(u64::try_from(passed).unwrap_or(0))
    }
}

/// Seconds since 1970 as `2026-01-31T12:00:00Z`; what no calendar has stays a number.
pub fn time_text(secs: i64) -> String {
    chrono::DateTime::from_timestamp(secs, 0)
        .map_or_else(|| secs.to_string(), |time| time.format("%Y-%m-%dT%H:%M:%SZ").to_string())
}
