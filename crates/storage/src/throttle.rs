//! Limits of bytes per second.
//!
//! A [`Limiter`] is one token bucket; handles of it are cloned freely and its rate can be changed while
//! bytes flow. [`Limits`] stacks several (of the run, of the host). Bytes are charged before they move,
//! in quanta of at most 32 KiB. In the worst window of one second there is the limit, one quantum that was saved
//! up while nothing moved, and one that was charged before and had to wait for another limiter: 64 KiB.

use crate::clock::{Clock, SystemClock, lock};
use crate::stamp::Stamp;
use crate::store::{ByteStream, Entry, LargeWriter, ObjectInfo, ObjectName, Skips, Store, StoreError};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use std::num::{NonZeroU32, NonZeroU64};
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The most bytes that are charged, and then moved, at once.
pub const QUANTUM_BYTES: usize = 32 << 10;

/// Governor's view of our clock.
#[derive(Clone)]
struct BucketClock(Arc<dyn Clock>);

impl governor::clock::Clock for BucketClock {
    type Instant = Duration;
    fn now(&self) -> Duration {
        self.0.now()
    }
}

type Governor = RateLimiter<NotKeyed, InMemoryState, BucketClock, NoOpMiddleware<Duration>>;

/// A bucket for one rate. Governor counts cells with periods in whole nanoseconds; one byte per cell would
/// be off by a third at 300 MB/s, so a cell is as many bytes as make its period at least 1 µs.
struct Bucket {
    governor: Governor,
    cell_bytes: u64,
    burst_cells: u32,
    /// Bytes paid for but not yet taken: the rest of a cell.
    change_bytes: Mutex<u64>,
}

impl Bucket {
    fn new(bytes_per_sec: NonZeroU64, clock: &Arc<dyn Clock>) -> Option<Self> {
        let rate = bytes_per_sec.get();
        let cell_bytes = (rate / 1_000_000).clamp(1, QUANTUM_BYTES as u64 / 2);
        // Rounded up: never faster than asked for.
        let period_nanos = (u128::from(cell_bytes) * 1_000_000_000).div_ceil(u128::from(rate)).max(1);
        let period = Duration::from_nanos(u64::try_from(period_nanos).unwrap_or(u64::MAX));
        // A quarter of a second's worth on slow lines, so that they flow instead of jumping.
        let burst_bytes = (rate / 4).clamp(1, QUANTUM_BYTES as u64 - cell_bytes);
        let burst_cells = u32::try_from((burst_bytes / cell_bytes).max(1)).unwrap_or(1);
        let quota = Quota::with_period(period)?.allow_burst(NonZeroU32::new(burst_cells)?);
        let governor = RateLimiter::direct_with_clock(quota, BucketClock(clock.clone()));
        Some(Self { governor, cell_bytes, burst_cells, change_bytes: Mutex::new(0) })
    }

    fn quantum_bytes(&self) -> u64 {
        u64::from(self.burst_cells) * self.cell_bytes
    }

    /// Takes `bytes` (at most a quantum) or says how long to wait.
    fn take(&self, bytes: u64, now: Duration) -> Option<Duration> {
        let mut change = lock(&self.change_bytes);
        let cells = bytes.saturating_sub(*change).div_ceil(self.cell_bytes);
        let Some(whole) = u32::try_from(cells).ok().and_then(NonZeroU32::new) else {
            *change -= bytes;
            return None;
        };
        match self.governor.check_n(whole) {
            Ok(Err(not_until)) => Some(not_until.wait_time_from(now)),
            // More than the bucket holds is never asked for.
            Ok(Ok(())) | Err(_) => {
                *change = (*change + cells * self.cell_bytes).saturating_sub(bytes);
                None
            }
        }
    }
}

struct Shared {
    clock: Arc<dyn Clock>,
    /// `None`: no limit.
    bucket: Mutex<Option<Arc<Bucket>>>,
    rate: Mutex<Option<NonZeroU64>>,
    /// First come, first served: large quanta must not starve behind small ones.
    turn: tokio::sync::Mutex<()>,
    changed: tokio::sync::Notify,
}

/// A rate that several streams share. Clones are handles of the same limiter.
#[derive(Clone)]
pub struct Limiter(Arc<Shared>);

impl Limiter {
    /// `None` means without limit; it can be set later.
    pub fn new(bytes_per_sec: Option<u64>) -> Self {
        Self::with_clock(bytes_per_sec, Arc::new(SystemClock::default()))
    }

    pub fn with_clock(bytes_per_sec: Option<u64>, clock: Arc<dyn Clock>) -> Self {
        let rate = bytes_per_sec.and_then(NonZeroU64::new);
        let bucket = rate.and_then(|rate| Bucket::new(rate, &clock)).map(Arc::new);
        Self(Arc::new(Shared {
            clock,
            bucket: Mutex::new(bucket),
            rate: Mutex::new(rate),
            turn: tokio::sync::Mutex::new(()),
            changed: tokio::sync::Notify::new(),
        }))
    }

    /// Bytes per second, `None` without limit.
    pub fn rate(&self) -> Option<u64> {
        lock(&self.0.rate).map(NonZeroU64::get)
    }

    /// Changes the rate at once, also for those who wait. `None` or 0 lifts the limit.
    pub fn set_rate(&self, bytes_per_sec: Option<u64>) {
        let rate = bytes_per_sec.and_then(NonZeroU64::new);
        let bucket = rate.and_then(|rate| Bucket::new(rate, &self.0.clock)).map(Arc::new);
        if let Some(bucket) = &bucket {
            // A new bucket is full; a change of rate is no reason for another burst.
            let _ = bucket.take(bucket.quantum_bytes(), self.0.clock.now());
        }
        *lock(&self.0.rate) = rate;
        *lock(&self.0.bucket) = bucket;
        self.0.changed.notify_waiters();
    }

    fn bucket(&self) -> Option<Arc<Bucket>> {
        lock(&self.0.bucket).clone()
    }

    /// The most bytes to charge, and then move, at once at the present rate.
    pub fn quantum_bytes(&self) -> u64 {
        self.bucket().map_or(QUANTUM_BYTES as u64, |bucket| bucket.quantum_bytes())
    }

    /// Waits until `bytes` may move. More than a quantum is charged quantum by quantum and then moves at
    /// once: better call this for each quantum.
    pub async fn charge(&self, bytes: u64) {
        let mut left = bytes;
        while left > 0 {
            left -= self.charge_quantum(left).await;
        }
    }

    /// Charges one quantum in its turn; answers how many bytes that were.
    async fn charge_quantum(&self, wanted: u64) -> u64 {
        let _turn = self.0.turn.lock().await;
        loop {
            let changed = self.0.changed.notified();
            tokio::pin!(changed);
            // Registered before the look at the bucket: no change of rate is missed.
            changed.as_mut().enable();
            let Some(bucket) = self.bucket() else { return wanted };
            let quantum = wanted.min(bucket.quantum_bytes());
            match bucket.take(quantum, self.0.clock.now()) {
                None => return quantum,
                Some(wait) => {
                    tokio::select! {
                        () = self.0.clock.sleep(wait.max(Duration::from_nanos(1))) => {}
                        () = changed => {}
                    }
                }
            }
        }
    }
}

/// The limiters that count for a store, per direction. Clones belong to the same run.
#[derive(Clone, Default)]
pub struct Limits {
    upload: Stack,
    download: Stack,
}

#[derive(Clone, Default)]
struct Stack {
    limiters: Vec<Limiter>,
    /// One stream at a time goes through the stack: of those that wait for the second limiter, only one
    /// has paid the first.
    gate: Arc<tokio::sync::Mutex<()>>,
}

impl Stack {
    async fn charge(&self, bytes: usize) {
        if self.limiters.is_empty() {
            return;
        }
        let _gate = self.gate.lock().await;
        for limiter in &self.limiters {
            limiter.charge(bytes as u64).await;
        }
    }
}

impl Limits {
    pub fn none() -> Self {
        Self::default()
    }
    /// Adds a limiter of what is sent to the store. The narrowest (that of the run) comes first.
    #[must_use]
    pub fn upload(mut self, limiter: Limiter) -> Self {
        self.upload.limiters.push(limiter);
        self
    }
    /// Adds a limiter of what comes from the store. The narrowest (that of the run) comes first.
    #[must_use]
    pub fn download(mut self, limiter: Limiter) -> Self {
        self.download.limiters.push(limiter);
        self
    }
    pub fn is_none(&self) -> bool {
        self.upload.limiters.is_empty() && self.download.limiters.is_empty()
    }

    /// Waits until `bytes` may be sent.
    pub async fn charge_upload(&self, bytes: usize) {
        self.upload.charge(bytes).await;
    }
    /// Waits until `bytes` may be taken.
    pub async fn charge_download(&self, bytes: usize) {
        self.download.charge(bytes).await;
    }

    /// The first part of `piece` that may be charged at once; the rest stays in `piece`.
    pub(crate) fn split_upload(&self, piece: &mut Bytes, most_bytes: usize) -> Bytes {
        split_quantum(&self.upload.limiters, piece, most_bytes)
    }
    pub(crate) fn split_download(&self, piece: &mut Bytes) -> Bytes {
        split_quantum(&self.download.limiters, piece, usize::MAX)
    }

    /// Charges what comes out of `body`, piece by piece.
    pub(crate) fn slow_download(&self, body: ByteStream) -> ByteStream {
        if self.download.limiters.is_empty() {
            return body;
        }
        let state = (self.clone(), body, Bytes::new());
        stream::unfold(state, |(limits, mut body, mut rest)| async move {
            while rest.is_empty() {
                match body.next().await? {
                    Ok(bytes) => rest = bytes,
                    Err(error) => return Some((Err(error), (limits, body, rest))),
                }
            }
            let quantum = limits.split_download(&mut rest);
            limits.charge_download(quantum.len()).await;
            Some((Ok(quantum), (limits, body, rest)))
        })
        .boxed()
    }
}

fn split_quantum(limiters: &[Limiter], piece: &mut Bytes, most_bytes: usize) -> Bytes {
    let quantum = |limiter: &Limiter| usize::try_from(limiter.quantum_bytes()).unwrap_or(QUANTUM_BYTES);
    let at = limiters.iter().map(quantum).fold(most_bytes.min(piece.len()), usize::min);
    piece.split_to(at)
}

/// A store whose bytes are charged to limits at its face. Stores that retry inside (Swift, SFTP) take
/// [`Limits`] themselves, at the socket; this one is for the others.
pub struct Throttled {
    inner: Arc<dyn Store>,
    limits: Limits,
}

impl Throttled {
    pub fn new(inner: Arc<dyn Store>, limits: Limits) -> Self {
        Self { inner, limits }
    }
}

#[async_trait]
impl Store for Throttled {
    fn describe(&self) -> String {
        self.inner.describe()
    }
    async fn prepare(&self) -> Result<(), StoreError> {
        self.inner.prepare().await
    }
    async fn put(&self, name: &ObjectName, body: Bytes) -> Result<(), StoreError> {
        self.limits.charge_upload(body.len()).await;
        self.inner.put(name, body).await
    }
    async fn put_stamped(&self, name: &ObjectName, body: Bytes) -> Result<Option<Stamp>, StoreError> {
        self.limits.charge_upload(body.len()).await;
        self.inner.put_stamped(name, body).await
    }
    async fn put_all(&self, objects: &[(ObjectName, Bytes)]) -> Result<(), StoreError> {
        self.limits.charge_upload(objects.iter().map(|(_, body)| body.len()).sum()).await;
        self.inner.put_all(objects).await
    }
    async fn get(&self, name: &ObjectName, range: Option<Range<u64>>) -> Result<ByteStream, StoreError> {
        let body = self.inner.get(name, range).await?;
        Ok(self.limits.slow_download(body))
    }
    async fn head(&self, name: &ObjectName) -> Result<Option<ObjectInfo>, StoreError> {
        self.inner.head(name).await
    }
    async fn list(&self, folder: Option<&ObjectName>) -> Result<Vec<Entry>, StoreError> {
        self.inner.list(folder).await
    }
    async fn list_tree_without(
        &self,
        folder: &ObjectName,
        most: usize,
        skips: Skips<'_>,
    ) -> Result<Option<Vec<Entry>>, StoreError> {
        self.inner.list_tree_without(folder, most, skips).await
    }
    async fn delete(&self, name: &ObjectName) -> Result<(), StoreError> {
        self.inner.delete(name).await
    }
    async fn delete_all(&self, names: &[ObjectName]) -> Result<(), StoreError> {
        self.inner.delete_all(names).await
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
        let inner = self.inner.create_large(name).await?;
        Ok(Box::new(ThrottledWriter { inner, limits: self.limits.clone() }))
    }
}

struct ThrottledWriter {
    inner: Box<dyn LargeWriter>,
    limits: Limits,
}

#[async_trait]
impl LargeWriter for ThrottledWriter {
    async fn write(&mut self, mut piece: Bytes) -> Result<(), StoreError> {
        while !piece.is_empty() {
            let quantum = self.limits.split_upload(&mut piece, usize::MAX);
            self.limits.charge_upload(quantum.len()).await;
            self.inner.write(quantum).await?;
        }
        Ok(())
    }
    async fn end_segment(&mut self) -> Result<(), StoreError> {
        self.inner.end_segment().await
    }
    async fn settle(&mut self) -> Result<(), StoreError> {
        self.inner.settle().await
    }
    async fn finish(self: Box<Self>) -> Result<Vec<ObjectName>, StoreError> {
        self.inner.finish().await
    }
    async fn abandon(self: Box<Self>) {
        self.inner.abandon().await;
    }
}
