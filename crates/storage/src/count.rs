//! Counts requests and bytes by method. Changes nothing.

use crate::stamp::Stamp;
use crate::store::{ByteStream, Entry, LargeWriter, ObjectInfo, ObjectName, Skips, Store, StoreError};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// The calls of a store and of its large writers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Method {
    Prepare,
    Put,
    /// Several objects at once: one request on Swift, elsewhere one for each.
    PutAll,
    Get,
    Head,
    List,
    ListTree,
    Delete,
    /// Several objects at once: one request on S3, elsewhere one for each.
    DeleteAll,
    DeleteTree,
    CreateLarge,
    WritePiece,
    EndSegment,
    Finish,
    Abandon,
}

/// What was counted so far. Clones share the numbers.
#[derive(Clone, Default)]
pub struct Counts(Arc<Numbers>);

#[derive(Default)]
struct Numbers {
    calls: Mutex<BTreeMap<Method, u64>>,
    /// Objects given to `put_all`.
    together: AtomicU64,
    sent_bytes: AtomicU64,
    received_bytes: AtomicU64,
}

impl Counts {
    /// How often `method` was called.
    pub fn calls(&self, method: Method) -> u64 {
        crate::clock::lock(&self.0.calls).get(&method).copied().unwrap_or(0)
    }
    /// All calls of all methods.
    pub fn all(&self) -> BTreeMap<Method, u64> {
        crate::clock::lock(&self.0.calls).clone()
    }
    /// All calls, where each object of a `put_all` is one: the requests of a store that takes one object at a time.
    pub fn one_by_one(&self) -> u64 {
        let calls: u64 = self.all().values().sum();
        calls - self.calls(Method::PutAll) + self.0.together.load(Ordering::Relaxed)
    }
    /// Bytes given to `put`, `put_all` and to large writers.
    pub fn sent_bytes(&self) -> u64 {
        self.0.sent_bytes.load(Ordering::Relaxed)
    }
    /// Bytes that came out of `get` streams.
    pub fn received_bytes(&self) -> u64 {
        self.0.received_bytes.load(Ordering::Relaxed)
    }
    fn call(&self, method: Method) {
        *crate::clock::lock(&self.0.calls).entry(method).or_insert(0) += 1;
    }
    fn sent(&self, bytes: usize) {
        self.0.sent_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// A store whose use is counted.
pub struct Counted {
    inner: Arc<dyn Store>,
    counts: Counts,
}

impl Counted {
    pub fn new(inner: Arc<dyn Store>, counts: Counts) -> Self {
        Self { inner, counts }
    }
}

#[async_trait]
impl Store for Counted {
    fn describe(&self) -> String {
        self.inner.describe()
    }
    async fn prepare(&self) -> Result<(), StoreError> {
        self.counts.call(Method::Prepare);
        self.inner.prepare().await
    }
    async fn put(&self, name: &ObjectName, body: Bytes) -> Result<(), StoreError> {
        self.counts.call(Method::Put);
        self.counts.sent(body.len());
        self.inner.put(name, body).await
    }
    async fn put_stamped(&self, name: &ObjectName, body: Bytes) -> Result<Option<Stamp>, StoreError> {
        self.counts.call(Method::Put);
        self.counts.sent(body.len());
        self.inner.put_stamped(name, body).await
    }
    async fn put_all(&self, objects: &[(ObjectName, Bytes)]) -> Result<(), StoreError> {
        self.counts.call(Method::PutAll);
        self.counts.0.together.fetch_add(objects.len() as u64, Ordering::Relaxed);
        self.counts.sent(objects.iter().map(|(_, body)| body.len()).sum());
        self.inner.put_all(objects).await
    }
    async fn get(&self, name: &ObjectName, range: Option<Range<u64>>) -> Result<ByteStream, StoreError> {
        self.counts.call(Method::Get);
        let body = self.inner.get(name, range).await?;
        let counts = self.counts.clone();
        let count = move |piece: &Result<Bytes, StoreError>| {
            if let Ok(piece) = piece {
                counts.0.received_bytes.fetch_add(piece.len() as u64, Ordering::Relaxed);
            }
        };
        Ok(body.inspect(count).boxed())
    }
    async fn head(&self, name: &ObjectName) -> Result<Option<ObjectInfo>, StoreError> {
        self.counts.call(Method::Head);
        self.inner.head(name).await
    }
    async fn list(&self, folder: Option<&ObjectName>) -> Result<Vec<Entry>, StoreError> {
        self.counts.call(Method::List);
        self.inner.list(folder).await
    }
    async fn list_tree_without(
        &self,
        folder: &ObjectName,
        most: usize,
        skips: Skips<'_>,
    ) -> Result<Option<Vec<Entry>>, StoreError> {
        self.counts.call(Method::ListTree);
        self.inner.list_tree_without(folder, most, skips).await
    }
    async fn delete(&self, name: &ObjectName) -> Result<(), StoreError> {
        self.counts.call(Method::Delete);
        self.inner.delete(name).await
    }
    async fn delete_all(&self, names: &[ObjectName]) -> Result<(), StoreError> {
        self.counts.call(Method::DeleteAll);
        self.inner.delete_all(names).await
    }
    fn spares_requests(&self) -> bool {
        self.inner.spares_requests()
    }
    fn refuses_wrong_clocks(&self) -> bool {
        self.inner.refuses_wrong_clocks()
    }
    async fn delete_tree(&self, folder: &ObjectName) -> Result<u64, StoreError> {
        self.counts.call(Method::DeleteTree);
        self.inner.delete_tree(folder).await
    }
    async fn create_large(&self, name: &ObjectName) -> Result<Box<dyn LargeWriter>, StoreError> {
        self.counts.call(Method::CreateLarge);
        let inner = self.inner.create_large(name).await?;
        Ok(Box::new(CountedWriter { inner, counts: self.counts.clone() }))
    }
}

struct CountedWriter {
    inner: Box<dyn LargeWriter>,
    counts: Counts,
}

#[async_trait]
impl LargeWriter for CountedWriter {
    async fn write(&mut self, piece: Bytes) -> Result<(), StoreError> {
        self.counts.call(Method::WritePiece);
        self.counts.sent(piece.len());
        self.inner.write(piece).await
    }
    async fn end_segment(&mut self) -> Result<(), StoreError> {
        self.counts.call(Method::EndSegment);
        self.inner.end_segment().await
    }
    async fn settle(&mut self) -> Result<(), StoreError> {
        self.inner.settle().await
    }
    async fn finish(self: Box<Self>) -> Result<Vec<ObjectName>, StoreError> {
        self.counts.call(Method::Finish);
        self.inner.finish().await
    }
    async fn abandon(self: Box<Self>) {
        self.counts.call(Method::Abandon);
        self.inner.abandon().await;
    }
}
