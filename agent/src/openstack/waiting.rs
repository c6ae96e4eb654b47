//! Waiting until a resource is what it should be: its real outcome, with a limit, ended by an abort.

use super::cloud::Cloud;
use super::error::CloudError;
use async_trait::async_trait;
use std::time::{Duration, Instant};

/// Pauses between two looks grow from the first to the last, so that what is ready is seen within a sixth of its time.
const FIRST_PAUSE: Duration = Duration::from_millis(300);
const LAST_PAUSE: Duration = Duration::from_secs(5);
/// Seconds for each GiB, where data are moved: slower than any back end in good health.
const SECS_FOR_GIB: u64 = 120;

/// Time as waiting sees it; tests turn it by hand.
#[async_trait]
pub trait Timer: Send + Sync {
    /// Since some fixed moment.
    fn now(&self) -> Duration;
    async fn sleep(&self, pause: Duration);
}

pub struct TokioTimer(Instant);

impl TokioTimer {
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Self(Instant::now())
    }
}

#[async_trait]
impl Timer for TokioTimer {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }
    async fn sleep(&self, pause: Duration) {
        tokio::time::sleep(pause).await;
    }
}

/// What a look at a resource shows.
#[derive(Debug)]
pub enum Look<T> {
    Ready(T),
    /// Its state at the moment.
    NotYet(String),
    /// It will not get there: its state and what is known of the cause.
    Never {
        state: String,
        detail: String,
    },
}

/// For what one waits.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// `volume <id>`.
    pub resource: String,
    /// `available`.
    pub state: &'static str,
    /// Bytes that are moved on the way there, in GiB.
    pub moves_gib: u64,
    /// Moment of the timer at which the waiting ends, the limit reached or not: for what others have to do.
    pub until: Option<Duration>,
}

impl Wanted {
    pub fn new(resource: impl Into<String>, state: &'static str) -> Self {
        Self { resource: resource.into(), state, moves_gib: 0, until: None }
    }
    pub fn moving(self, moves_gib: u64) -> Self {
        Self { moves_gib, ..self }
    }
    pub fn until(self, until: Option<Duration>) -> Self {
        Self { until, ..self }
    }
}

impl Cloud {
    /// Looks until the resource is ready, will never be, or the limit has passed.
    pub async fn wait_for<T, L, F>(&self, wanted: Wanted, look: L) -> Result<T, CloudError>
    where
        L: Fn() -> F,
        F: Future<Output = Result<Look<T>, CloudError>>,
    {
        let limit = Duration::from_secs(self.timeout_secs() + wanted.moves_gib.saturating_mul(SECS_FOR_GIB));
        let begun = self.timer().now();
        let end = begun + limit;
        let mut pause = FIRST_PAUSE;
        loop {
            let state = match look().await? {
                Look::Ready(found) => return Ok(found),
                Look::NotYet(state) => state,
                Look::Never { state, detail } => {
                    let detail = if detail.is_empty() { detail } else { format!(" ({detail})") };
                    let Wanted { resource, state: wanted, .. } = wanted;
                    return Err(CloudError::BadState { resource, state, wanted: wanted.to_owned(), detail });
                }
            };
            if wanted.until.is_some_and(|until| self.timer().now() >= until.min(end)) {
                let secs = self.timer().now().saturating_sub(begun).as_secs();
                let Wanted { resource, state: wanted, .. } = wanted;
                let detail = format!(" (looked at for {secs} s)");
                return Err(CloudError::BadState { resource, state, wanted: wanted.to_owned(), detail });
            }
            if self.timer().now() >= end {
                let Wanted { resource, state: wanted, .. } = wanted;
                let secs = limit.as_secs();
                return Err(CloudError::TooSlow { resource, state, wanted: wanted.to_owned(), secs });
            }
            tokio::select! {
                () = self.timer().sleep(pause) => {}
                () = self.monitor().token().cancelled() => return Err(CloudError::Aborted),
            }
            pause = (pause * 6 / 5).min(LAST_PAUSE);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use freezer_vault::Monitor;
    use keystone::{Auth, Session, SessionOptions};
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::{Arc, Mutex};

    #[derive(Default)]
    struct HandTurned(Mutex<Duration>, AtomicU64);

    #[async_trait]
    impl Timer for HandTurned {
        fn now(&self) -> Duration {
            *self.0.lock().unwrap()
        }
        async fn sleep(&self, pause: Duration) {
            *self.0.lock().unwrap() += pause;
            self.1.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn cloud(timer: Arc<HandTurned>) -> Cloud {
        let auth = Auth::None { user_id: "u".into(), project_id: "p".into() };
        let session = Session::new(SessionOptions::new("", auth)).unwrap();
        Cloud::new(session, Arc::new(Monitor::new()), 120).with_timer(timer)
    }

    #[tokio::test]
    async fn the_limit_is_told_with_the_state() {
        let timer = Arc::new(HandTurned::default());
        let look = || async move { Ok(Look::<()>::NotYet("creating".into())) };
        let error =
            cloud(timer.clone()).wait_for(Wanted::new("volume v", "available"), look).await.unwrap_err();
        let said = error.to_string();
        assert!(said.contains("volume v was not available within 120 s (it is creating)"), "{said}");
        // Pauses grow: a look every 300 ms would be 400 looks.
        assert!(timer.1.load(Ordering::Relaxed) < 40);
    }

    #[tokio::test]
    async fn what_others_do_is_waited_for_until_a_moment_that_several_share() {
        let timer = Arc::new(HandTurned::default());
        let cloud = cloud(timer.clone());
        let until = Some(Duration::from_secs(30));
        let looked = async || {
            let look = || async move { Ok(Look::<()>::NotYet("detaching".into())) };
            cloud
                .wait_for(Wanted::new("volume v", "at rest").until(until), look)
                .await
                .unwrap_err()
                .to_string()
        };
        let said = looked().await;
        assert!(said.contains("volume v is detaching instead of at rest (looked at for 3"), "{said}");
        let spent = timer.now();
        assert!(spent >= Duration::from_secs(30) && spent < Duration::from_secs(36), "{spent:?}");
        assert!(looked().await.contains("(looked at for 0 s)"));
        assert_eq!(timer.now(), spent);
    }

    #[tokio::test]
    async fn a_bad_state_and_an_abort_end_the_waiting() {
        let timer = Arc::new(HandTurned::default());
        let look =
            || async move { Ok(Look::<()>::Never { state: "error".into(), detail: "no room".into() }) };
        let error =
            cloud(timer.clone()).wait_for(Wanted::new("snapshot s", "available"), look).await.unwrap_err();
        assert!(error.to_string().contains("snapshot s is error instead of available (no room)"), "{error}");
        let cloud = cloud(timer);
        cloud.monitor().cancel();
        let look = || async move { Ok(Look::<()>::NotYet("creating".into())) };
        let waited = tokio::time::timeout(
            Duration::from_secs(60),
            cloud.wait_for(Wanted::new("s", "available").moving(1 << 40), look),
        );
        assert!(matches!(waited.await.unwrap(), Err(CloudError::Aborted | CloudError::TooSlow { .. })));
    }
}
