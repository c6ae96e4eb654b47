//! The time of day, as an argument: expiry is decided by it, and tests turn it by hand.

use chrono::{DateTime, Utc};
use std::sync::Arc;

/// Tells the time by which tokens expire.
pub trait Clock: Send + Sync + 'static {
    fn now(&self) -> DateTime<Utc>;
}

pub type SharedClock = Arc<dyn Clock>;

/// The machine's own clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }
}
