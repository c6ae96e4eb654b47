//! A folder that is listed as other stores are.

use super::support::Room;
use async_trait::async_trait;
use bytes::Bytes;
use freezer_storage::{ByteStream, Entry, LargeWriter, ObjectInfo, ObjectName, Skips, Store, StoreError};
use md5::{Digest, Md5};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

/// A folder whose listings tell what is in its objects, and that spares requests, as S3 does; or one whose listings tell nothing of
/// objects but their size, as those of FTP may be, for somebody who knows of no locks that stay.
pub struct Telling {
    inner: Arc<dyn Store>,
    root: PathBuf,
    is_blind: bool,
}

impl Telling {
    pub fn of(room: &Room) -> Arc<dyn Store> {
        Arc::new(Self { inner: room.store.clone(), root: room.path("store"), is_blind: false })
    }
    pub fn blind(room: &Room) -> Arc<dyn Store> {
        Arc::new(Self { inner: room.store.clone(), root: room.path("store"), is_blind: true })
    }
}

#[async_trait]
impl Store for Telling {
    fn describe(&self) -> String {
        self.inner.describe()
    }
    async fn prepare(&self) -> Result<(), StoreError> {
        self.inner.prepare().await
    }
    async fn put(&self, name: &ObjectName, body: Bytes) -> Result<(), StoreError> {
        self.inner.put(name, body).await
    }
    async fn get(&self, name: &ObjectName, range: Option<Range<u64>>) -> Result<ByteStream, StoreError> {
        self.inner.get(name, range).await
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
        _skips: Skips<'_>,
    ) -> Result<Option<Vec<Entry>>, StoreError> {
        let tell = |entry: Entry| {
            // A lock may be gone already.
            let body = std::fs::read(self.root.join(folder.as_str()).join(&entry.name)).ok();
            let tag = body.map(|body| format!("\"{}\"", hex::encode(Md5::digest(body))));
            Entry { tag: tag.filter(|_| !self.is_blind), stamp: None, ..entry }
        };
        let entries = self.inner.list_tree(folder, most).await?;
        Ok(entries.map(|entries| entries.into_iter().map(tell).collect()))
    }
    async fn delete(&self, name: &ObjectName) -> Result<(), StoreError> {
        self.inner.delete(name).await
    }
    fn spares_requests(&self) -> bool {
        !self.is_blind
    }
    fn refuses_wrong_clocks(&self) -> bool {
        !self.is_blind
    }
    async fn delete_tree(&self, folder: &ObjectName) -> Result<u64, StoreError> {
        self.inner.delete_tree(folder).await
    }
    async fn create_large(&self, name: &ObjectName) -> Result<Box<dyn LargeWriter>, StoreError> {
        self.inner.create_large(name).await
    }
}
