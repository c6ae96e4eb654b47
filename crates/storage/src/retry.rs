//! Tries again what may go away by itself, with jittered, growing pauses.
//!
//! [`Retrying`] repeats whole small operations and resumes reads at the byte where they broke. It
//! repeats neither `delete_tree` (the store does, request by request, so that the count is right) nor the
//! pieces of a large object (only the store still has them).
//!
//! A server that asks one of its clients to come back later (`Retry-After`) is left alone until then by all that share the
//! [`Retry`]: segments that are sent at the same time would each have to be told.

use crate::clock::{Clock, lock};
use crate::stamp::Stamp;
use crate::store::{ByteStream, Entry, LargeWriter, ObjectInfo, ObjectName, Skips, Store, StoreError};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use std::future::Future;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How often and how patiently.
#[derive(Clone, Debug)]
pub struct RetryPolicy {
    /// Tries in all, the first one included.
    pub tries: u32,
    /// The pause after the first failure; it doubles with each failure.
    pub first_pause: Duration,
    pub longest_pause: Duration,
}

impl Default for RetryPolicy {
    /// Ten tries over about three minutes: as long as a proxy takes to come back.
    fn default() -> Self {
        Self { tries: 10, first_pause: Duration::from_millis(500), longest_pause: Duration::from_secs(60) }
    }
}

/// A policy with its clock, the count of repetitions so far and what the server has asked for. Clones share them.
#[derive(Clone)]
pub struct Retry {
    policy: RetryPolicy,
    clock: Arc<dyn Clock>,
    repeated: Arc<AtomicU64>,
    /// Before this time of the clock nobody begins anything.
    held_until: Arc<Mutex<Duration>>,
}

/// A server that asks for more patience than this is not obeyed to the letter.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(300);

impl Retry {
    pub fn new(policy: RetryPolicy, clock: Arc<dyn Clock>) -> Self {
        Self { policy, clock, repeated: Arc::default(), held_until: Arc::default() }
    }

    /// How many repetitions there were.
    pub fn repeated(&self) -> u64 {
        self.repeated.load(Ordering::Relaxed)
    }

    /// Runs `operation` until it succeeds, fails for good, or the tries are used up.
    pub async fn run<T, F, Fut>(&self, mut operation: F) -> Result<T, StoreError>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T, StoreError>>,
    {
        let mut failures = 0;
        loop {
            self.wait_while_held().await;
            match operation().await {
                Ok(value) => return Ok(value),
                Err(error) => self.pause(&mut failures, error).await?,
            }
        }
    }

    /// Whoever waits comes back a little later than was asked, and not with all the others.
    async fn wait_while_held(&self) {
        let left = lock(&self.held_until).saturating_sub(self.clock.now());
        if !left.is_zero() {
            self.clock.sleep(left + jittered(self.policy.first_pause)).await;
        }
    }

    fn hold(&self, error: &StoreError) {
        if let StoreError::Unavailable { retry_after: Some(asked), .. } = error {
            let until = self.clock.now() + (*asked).min(LONGEST_RETRY_AFTER);
            let mut held = lock(&self.held_until);
            *held = until.max(*held);
        }
    }

    /// Waits after a failure; gives the error back when there is no point in another try.
    pub(crate) async fn pause(&self, failures: &mut u32, error: StoreError) -> Result<(), StoreError> {
        *failures += 1;
        self.hold(&error);
        if !error.is_transient() || *failures >= self.policy.tries {
            return Err(error);
        }
        let pause = self.length_of_pause(*failures, &error);
        tracing::warn!(%error, failures = *failures, pause_ms = pause.as_millis() as u64, "trying again");
        self.repeated.fetch_add(1, Ordering::Relaxed);
        self.clock.sleep(pause).await;
        Ok(())
    }

    fn length_of_pause(&self, failures: u32, error: &StoreError) -> Duration {
        let doublings = failures.saturating_sub(1).min(20);
        let full = self.policy.first_pause.saturating_mul(1 << doublings).min(self.policy.longest_pause);
        let jittered = jittered(full);
        match error {
            StoreError::Unavailable { retry_after: Some(asked), .. } => {
                // The server said when; jitter is added, never taken off.
                (*asked).min(LONGEST_RETRY_AFTER) + (jittered / 4)
            }
            _ => jittered,
        }
    }
}

/// Between half and all of it, so that many agents do not come back in step.
fn jittered(full: Duration) -> Duration {
    let share = (uuid::Uuid::new_v4().as_u128() & 0xffff) as u32;
    full / 2 + (full / 2).saturating_mul(share) / 0xffff
}

/// A store whose operations are repeated as [`Retry`] says.
pub struct Retrying {
    inner: Arc<dyn Store>,
    retry: Retry,
}

impl Retrying {
    pub fn new(inner: Arc<dyn Store>, retry: Retry) -> Self {
        Self { inner, retry }
    }
}

#[async_trait]
impl Store for Retrying {
    fn describe(&self) -> String {
        self.inner.describe()
    }
    async fn prepare(&self) -> Result<(), StoreError> {
        self.retry.run(|| self.inner.prepare()).await
    }
    async fn put(&self, name: &ObjectName, body: Bytes) -> Result<(), StoreError> {
        self.retry.run(|| self.inner.put(name, body.clone())).await
    }
    async fn put_stamped(&self, name: &ObjectName, body: Bytes) -> Result<Option<Stamp>, StoreError> {
        self.retry.run(|| self.inner.put_stamped(name, body.clone())).await
    }
    async fn put_all(&self, objects: &[(ObjectName, Bytes)]) -> Result<(), StoreError> {
        match self.inner.put_all(objects).await {
            // One that fails must not begin the others again: of many, one may fail each time.
            Err(error) => {
                self.retry.pause(&mut 0, error).await?;
                for (name, body) in objects {
                    self.put(name, body.clone()).await?;
                }
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }
    async fn get(&self, name: &ObjectName, range: Option<Range<u64>>) -> Result<ByteStream, StoreError> {
        let first = self.retry.run(|| self.inner.get(name, range.clone())).await?;
        Ok(Resuming::stream(self.inner.clone(), self.retry.clone(), name.clone(), range, first))
    }
    async fn head(&self, name: &ObjectName) -> Result<Option<ObjectInfo>, StoreError> {
        self.retry.run(|| self.inner.head(name)).await
    }
    async fn list(&self, folder: Option<&ObjectName>) -> Result<Vec<Entry>, StoreError> {
        self.retry.run(|| self.inner.list(folder)).await
    }
    async fn list_tree_without(
        &self,
        folder: &ObjectName,
        most: usize,
        skips: Skips<'_>,
    ) -> Result<Option<Vec<Entry>>, StoreError> {
        self.retry.run(|| self.inner.list_tree_without(folder, most, skips)).await
    }
    async fn delete(&self, name: &ObjectName) -> Result<(), StoreError> {
        self.retry.run(|| self.inner.delete(name)).await
    }
    async fn delete_all(&self, names: &[ObjectName]) -> Result<(), StoreError> {
        // As with `put_all`: what fails for one is tried again for that one.
        if let Err(error) = self.inner.delete_all(names).await {
            self.retry.pause(&mut 0, error).await?;
            for name in names {
                self.delete(name).await?;
            }
        }
        Ok(())
    }
    fn spares_requests(&self) -> bool {
        self.inner.spares_requests()
    }
    fn refuses_wrong_clocks(&self) -> bool {
        self.inner.refuses_wrong_clocks()
    }
    async fn delete_tree(&self, folder: &ObjectName) -> Result<u64, StoreError> {
        self.inner.delete_tree(folder).await
    }
    async fn create_large(&self, name: &ObjectName) -> Result<Box<dyn LargeWriter>, StoreError> {
        self.retry.run(|| self.inner.create_large(name)).await
    }
}

/// A read on its way: knows how far it came, so that it can go on from there.
struct Resuming {
    inner: Arc<dyn Store>,
    retry: Retry,
    name: ObjectName,
    /// What is still to come; `end` is `u64::MAX` for "all of it".
    rest: Range<u64>,
    current: Option<ByteStream>,
    /// Failures since the last byte that arrived.
    failures: u32,
    done: bool,
}

impl Resuming {
    fn stream(
        inner: Arc<dyn Store>,
        retry: Retry,
        name: ObjectName,
        range: Option<Range<u64>>,
        first: ByteStream,
    ) -> ByteStream {
        let rest = range.unwrap_or(0..u64::MAX);
        let state = Self { inner, retry, name, rest, current: Some(first), failures: 0, done: false };
        stream::unfold(state, |mut state| async move {
            let item = state.next().await?;
            state.done |= item.is_err();
            Some((item, state))
        })
        .boxed()
    }

    async fn next(&mut self) -> Option<Result<Bytes, StoreError>> {
        while !self.done {
            let error = match &mut self.current {
                Some(current) => match current.next().await {
                    None => return None,
                    Some(Ok(bytes)) => {
                        self.rest.start = self.rest.start.saturating_add(bytes.len() as u64);
                        self.failures = 0;
                        return Some(Ok(bytes));
                    }
                    Some(Err(error)) => error,
                },
                None => match self.inner.get(&self.name, Some(self.rest.clone())).await {
                    Ok(current) => {
                        self.current = Some(current);
                        continue;
                    }
                    Err(error) => error,
                },
            };
            self.current = None;
            // A whole object that arrived in full but wrong cannot be mended by reading on.
            if matches!(error, StoreError::Damaged { .. }) {
                return Some(Err(error));
            }
            if let Err(error) = self.retry.pause(&mut self.failures, error).await {
                return Some(Err(error));
            }
        }
        None
    }
}
