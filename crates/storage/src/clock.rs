//! Time as the decorators see it. Injected, so that a test of a ten-minute retry takes no time.

use async_trait::async_trait;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// A monotonic clock that can also wait.
#[async_trait]
pub trait Clock: Send + Sync {
    /// Time since an arbitrary fixed point; never goes back.
    fn now(&self) -> Duration;
    async fn sleep(&self, time: Duration);
}

/// The machine's clock.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self { start: Instant::now() }
    }
}

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }
    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

/// A clock for tests: it stands still until somebody sleeps, and then jumps to the end of that sleep.
#[derive(Debug, Default)]
pub struct ManualClock {
    now: Mutex<Duration>,
    slept: Mutex<Vec<Duration>>,
}

impl ManualClock {
    pub fn advance(&self, time: Duration) {
        *lock(&self.now) += time;
    }
    /// Every sleep so far, in order.
    pub fn slept(&self) -> Vec<Duration> {
        lock(&self.slept).clone()
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> Duration {
        *lock(&self.now)
    }
    async fn sleep(&self, time: Duration) {
        self.advance(time);
        lock(&self.slept).push(time);
        tokio::task::yield_now().await;
    }
}

/// A poisoned lock here guards plain numbers only: the value is as good as before.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
