//! Makes a store misbehave on command, for tests of everything above it.

use crate::clock::{Clock, SystemClock, lock};
use crate::count::Method;
use crate::stamp::Stamp;
use crate::store::{ByteStream, Entry, LargeWriter, ObjectInfo, ObjectName, Skips, Store, StoreError};
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Which call goes wrong, and how.
#[derive(Clone, Debug)]
pub struct Fault {
    pub method: Method,
    /// The first call of the method is 1.
    pub nth: u64,
    pub kind: FaultKind,
}

/// How a call goes wrong.
#[derive(Clone, Debug)]
pub enum FaultKind {
    /// A transient failure, before anything is done.
    Unavailable,
    Refused,
    Full,
    /// The operation is done, but the answer is a transient failure.
    LostAnswer,
    /// The body of a `get` breaks off with a transient failure after so many bytes, a `put_all` after so many objects.
    CutBody(u64),
    /// The body of a `get` ends after so many bytes as if that were all.
    ShortBody(u64),
    /// The byte of a `get` body at this offset arrives with all its bits turned.
    FlipByte(u64),
    /// The operation takes so much longer.
    Slow(Duration),
}

struct Plan {
    faults: Mutex<Vec<Fault>>,
    calls: Mutex<BTreeMap<Method, u64>>,
    clock: Arc<dyn Clock>,
    store: String,
}

impl Plan {
    /// Counts a call; fails it, slows it, or says what to do with its body or answer.
    async fn enter(&self, method: Method, name: &str) -> Result<Option<FaultKind>, StoreError> {
        let nth = {
            let mut calls = lock(&self.calls);
            let nth = calls.entry(method).or_insert(0);
            *nth += 1;
            *nth
        };
        let found = lock(&self.faults).iter().find(|f| f.method == method && f.nth == nth).cloned();
        let (store, name) = (self.store.clone(), name.to_string());
        let cause = "fault on command".to_string();
        match found.map(|fault| fault.kind) {
            Some(FaultKind::Unavailable) => {
                Err(StoreError::Unavailable { store, name, cause, retry_after: None })
            }
            Some(FaultKind::Refused) => Err(StoreError::Refused { store, cause }),
            Some(FaultKind::Full) => Err(StoreError::Full { store, name, cause }),
            Some(FaultKind::Slow(time)) => {
                self.clock.sleep(time).await;
                Ok(None)
            }
            other => Ok(other),
        }
    }

    fn broken(&self, name: &str, cause: &str) -> StoreError {
        StoreError::Unavailable {
            store: self.store.clone(),
            name: name.to_string(),
            cause: cause.to_string(),
            retry_after: None,
        }
    }

    fn answer<T>(&self, kind: Option<FaultKind>, name: &str, value: T) -> Result<T, StoreError> {
        match kind {
            Some(FaultKind::LostAnswer) => Err(self.broken(name, "the answer was lost on command")),
            _ => Ok(value),
        }
    }
}

/// A store with faults.
pub struct Faulty {
    inner: Arc<dyn Store>,
    plan: Arc<Plan>,
}

impl Faulty {
    pub fn new(inner: Arc<dyn Store>, faults: Vec<Fault>) -> Self {
        Self::with_clock(inner, faults, Arc::new(SystemClock::default()))
    }
    pub fn with_clock(inner: Arc<dyn Store>, faults: Vec<Fault>, clock: Arc<dyn Clock>) -> Self {
        let store = inner.describe();
        let plan = Plan { faults: Mutex::new(faults), calls: Mutex::default(), clock, store };
        Self { inner, plan: Arc::new(plan) }
    }
    /// Adds a fault while the store is in use.
    pub fn add(&self, fault: Fault) {
        lock(&self.plan.faults).push(fault);
    }
    /// Makes the next call of a method go wrong, however many there have been.
    pub fn fail_next(&self, method: Method, kind: FaultKind) {
        let nth = 1 + lock(&self.plan.calls).get(&method).copied().unwrap_or(0);
        self.add(Fault { method, nth, kind });
    }
}

#[async_trait]
impl Store for Faulty {
    fn describe(&self) -> String {
        self.inner.describe()
    }
    async fn prepare(&self) -> Result<(), StoreError> {
        let kind = self.plan.enter(Method::Prepare, "").await?;
        self.inner.prepare().await?;
        self.plan.answer(kind, "", ())
    }
    async fn put(&self, name: &ObjectName, body: Bytes) -> Result<(), StoreError> {
        let kind = self.plan.enter(Method::Put, name.as_str()).await?;
        self.inner.put(name, body).await?;
        self.plan.answer(kind, name.as_str(), ())
    }
    async fn put_stamped(&self, name: &ObjectName, body: Bytes) -> Result<Option<Stamp>, StoreError> {
        let kind = self.plan.enter(Method::Put, name.as_str()).await?;
        let stamp = self.inner.put_stamped(name, body).await?;
        self.plan.answer(kind, name.as_str(), stamp)
    }
    async fn put_all(&self, objects: &[(ObjectName, Bytes)]) -> Result<(), StoreError> {
        let name = objects.first().map_or("", |(name, _)| name.as_str());
        let kind = self.plan.enter(Method::PutAll, name).await?;
        if let Some(FaultKind::CutBody(count)) = kind {
            let stored =
                usize::try_from(count).ok().and_then(|count| objects.get(..count)).unwrap_or(objects);
            self.inner.put_all(stored).await?;
            return Err(self.plan.broken(name, "the objects were cut on command"));
        }
        self.inner.put_all(objects).await?;
        self.plan.answer(kind, name, ())
    }
    async fn get(&self, name: &ObjectName, range: Option<Range<u64>>) -> Result<ByteStream, StoreError> {
        let kind = self.plan.enter(Method::Get, name.as_str()).await?;
        let body = self.inner.get(name, range).await?;
        match kind {
            Some(FaultKind::CutBody(at)) => {
                let error = self.plan.broken(name.as_str(), "the body was cut on command");
                Ok(shorten(body, at).chain(stream::once(async { Err(error) })).boxed())
            }
            Some(FaultKind::ShortBody(at)) => Ok(shorten(body, at)),
            Some(FaultKind::FlipByte(at)) => Ok(flip(body, at)),
            kind => self.plan.answer(kind, name.as_str(), body),
        }
    }
    async fn head(&self, name: &ObjectName) -> Result<Option<ObjectInfo>, StoreError> {
        let kind = self.plan.enter(Method::Head, name.as_str()).await?;
        let info = self.inner.head(name).await?;
        self.plan.answer(kind, name.as_str(), info)
    }
    async fn list(&self, folder: Option<&ObjectName>) -> Result<Vec<Entry>, StoreError> {
        let name = folder.map_or("", ObjectName::as_str);
        let kind = self.plan.enter(Method::List, name).await?;
        let entries = self.inner.list(folder).await?;
        self.plan.answer(kind, name, entries)
    }
    async fn list_tree_without(
        &self,
        folder: &ObjectName,
        most: usize,
        skips: Skips<'_>,
    ) -> Result<Option<Vec<Entry>>, StoreError> {
        let kind = self.plan.enter(Method::ListTree, folder.as_str()).await?;
        let entries = self.inner.list_tree_without(folder, most, skips).await?;
        self.plan.answer(kind, folder.as_str(), entries)
    }
    async fn delete(&self, name: &ObjectName) -> Result<(), StoreError> {
        let kind = self.plan.enter(Method::Delete, name.as_str()).await?;
        self.inner.delete(name).await?;
        self.plan.answer(kind, name.as_str(), ())
    }
    async fn delete_all(&self, names: &[ObjectName]) -> Result<(), StoreError> {
        let name = names.first().map_or("", ObjectName::as_str);
        let kind = self.plan.enter(Method::DeleteAll, name).await?;
        self.inner.delete_all(names).await?;
        self.plan.answer(kind, name, ())
    }
    fn spares_requests(&self) -> bool {
        self.inner.spares_requests()
    }
    fn refuses_wrong_clocks(&self) -> bool {
        self.inner.refuses_wrong_clocks()
    }
    async fn delete_tree(&self, folder: &ObjectName) -> Result<u64, StoreError> {
        let kind = self.plan.enter(Method::DeleteTree, folder.as_str()).await?;
        let gone = self.inner.delete_tree(folder).await?;
        self.plan.answer(kind, folder.as_str(), gone)
    }
    async fn create_large(&self, name: &ObjectName) -> Result<Box<dyn LargeWriter>, StoreError> {
        let kind = self.plan.enter(Method::CreateLarge, name.as_str()).await?;
        let inner = self.inner.create_large(name).await?;
        let writer = FaultyWriter { inner, plan: self.plan.clone(), name: name.to_string() };
        let writer: Box<dyn LargeWriter> = Box::new(writer);
        self.plan.answer(kind, name.as_str(), writer)
    }
}

struct FaultyWriter {
    inner: Box<dyn LargeWriter>,
    plan: Arc<Plan>,
    name: String,
}

#[async_trait]
impl LargeWriter for FaultyWriter {
    async fn write(&mut self, piece: Bytes) -> Result<(), StoreError> {
        let kind = self.plan.enter(Method::WritePiece, &self.name).await?;
        self.inner.write(piece).await?;
        self.plan.answer(kind, &self.name, ())
    }
    async fn end_segment(&mut self) -> Result<(), StoreError> {
        let kind = self.plan.enter(Method::EndSegment, &self.name).await?;
        self.inner.end_segment().await?;
        self.plan.answer(kind, &self.name, ())
    }
    async fn settle(&mut self) -> Result<(), StoreError> {
        self.inner.settle().await
    }
    async fn finish(self: Box<Self>) -> Result<Vec<ObjectName>, StoreError> {
        let kind = self.plan.enter(Method::Finish, &self.name).await?;
        let names = self.inner.finish().await?;
        self.plan.answer(kind, &self.name, names)
    }
    async fn abandon(self: Box<Self>) {
        let _ = self.plan.enter(Method::Abandon, &self.name).await;
        self.inner.abandon().await;
    }
}

/// The first `bytes` of a body.
fn shorten(body: ByteStream, bytes: u64) -> ByteStream {
    let state = (body, bytes);
    stream::unfold(state, |(mut body, left)| async move {
        if left == 0 {
            return None;
        }
        match body.next().await? {
            Ok(mut piece) => {
                piece.truncate(usize::try_from(left).unwrap_or(usize::MAX));
                let left = left - piece.len() as u64;
                Some((Ok(piece), (body, left)))
            }
            Err(error) => Some((Err(error), (body, 0))),
        }
    })
    .boxed()
}

/// The body with one byte turned.
fn flip(body: ByteStream, at: u64) -> ByteStream {
    let mut offset = 0u64;
    body.map(move |piece| {
        let piece = piece?;
        let (start, end) = (offset, offset + piece.len() as u64);
        offset = end;
        if !(start..end).contains(&at) {
            return Ok(piece);
        }
        let mut damaged = BytesMut::from(piece.as_ref());
        if let Some(byte) = usize::try_from(at - start).ok().and_then(|i| damaged.get_mut(i)) {
            *byte = !*byte;
        }
        Ok(damaged.freeze())
    })
    .boxed()
}
