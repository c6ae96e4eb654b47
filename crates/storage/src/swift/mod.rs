//! Objects in a container of OpenStack Swift.
//!
//! Names are kept as they are below the container's prefix. A large object is a manifest and segments beside it, where upstream has
//! them: deleting the manifest alone leaves the segments; delete the folder to be rid of both. A folder can hold one large object.
//! In a listing a manifest has size 0.

mod abilities;
mod access;
mod bulk;
mod client;
mod delete;
mod large;
mod list;
mod manifest;
mod names;
mod read;
mod session;
mod together;

pub use access::{AccessError, SwiftAccess};
pub use session::SessionAccess;

use crate::config::SwiftConfig;
use crate::http::Peer;
use crate::retry::Retry;
use crate::root::Root;
use crate::store::{ByteStream, Entry, LargeWriter, ObjectInfo, ObjectName, Skips, Store, StoreError};
use crate::throttle::Limits;
use abilities::Abilities;
use async_trait::async_trait;
use bytes::Bytes;
use client::{Client, Request};
use reqwest::{Method, StatusCode};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use tokio::sync::OnceCell;

/// A container, or a prefix in it. Clones share everything.
#[derive(Clone)]
pub struct SwiftStore {
    client: Arc<Client>,
    root: Arc<Root>,
    retry: Retry,
    page_names: Option<usize>,
    segments_in_flight: usize,
    buffer_bytes: usize,
    abilities: Arc<OnceCell<Abilities>>,
    /// Whether archives of objects are still worth a try.
    takes_archives: Arc<AtomicBool>,
}

impl SwiftStore {
    /// `retry` is used for segments and the steps of `delete_tree`; the other calls try once, so wrap the
    /// store in [`crate::Retrying`] ([`crate::open_with`] does).
    pub fn new(config: SwiftConfig, limits: Limits, retry: Retry) -> Result<Self, StoreError> {
        let root = Root::parse(&config.container)?;
        let label = format!("swift:{}", config.container.trim_matches('/'));
        let peer = Peer { label, stall_timeout: config.stall_timeout, limits };
        let client = Client { access: config.access, peer };
        Ok(Self {
            client: Arc::new(client),
            root: Arc::new(root),
            retry,
            page_names: config.page_names,
            segments_in_flight: config.segments_in_flight.max(1),
            buffer_bytes: config.buffer_bytes,
            abilities: Arc::default(),
            takes_archives: Arc::new(AtomicBool::new(true)),
        })
    }

    fn not_found(&self, name: &str) -> StoreError {
        StoreError::NotFound { store: self.client.label.clone(), name: name.to_string() }
    }

    async fn create_container(&self) -> Result<(), StoreError> {
        let request = Request::new(Method::PUT, &self.root.container, None).body(Arc::default());
        self.client.send_ok(&request).await.map(|_| ())
    }
}

#[async_trait]
impl Store for SwiftStore {
    fn describe(&self) -> String {
        self.client.label.clone()
    }

    async fn prepare(&self) -> Result<(), StoreError> {
        let request = Request::new(Method::HEAD, &self.root.container, None);
        let answer = self.client.send(&request).await?;
        match answer.status() {
            StatusCode::NOT_FOUND => self.create_container().await,
            status if status.is_success() => Ok(()),
            _ => Err(self.client.failure(&self.root.container, answer).await),
        }
    }

    async fn put(&self, name: &ObjectName, body: Bytes) -> Result<(), StoreError> {
        let pieces = if body.is_empty() { Vec::new() } else { vec![body] };
        self.put_object(&self.root.full(name), Arc::new(pieces), None).await.map(|_| ())
    }

    async fn put_all(&self, objects: &[(ObjectName, Bytes)]) -> Result<(), StoreError> {
        self.put_together(objects).await
    }

    async fn get(&self, name: &ObjectName, range: Option<Range<u64>>) -> Result<ByteStream, StoreError> {
        self.read(name, range).await
    }

    async fn head(&self, name: &ObjectName) -> Result<Option<ObjectInfo>, StoreError> {
        self.info(name).await
    }

    async fn list(&self, folder: Option<&ObjectName>) -> Result<Vec<Entry>, StoreError> {
        self.entries(folder).await
    }

    async fn list_tree_without(
        &self,
        folder: &ObjectName,
        most: usize,
        _skips: Skips<'_>,
    ) -> Result<Option<Vec<Entry>>, StoreError> {
        self.entries_below(folder, most).await
    }

    async fn delete(&self, name: &ObjectName) -> Result<(), StoreError> {
        self.delete_object(&self.root.full(name)).await.map(|_| ())
    }

    async fn delete_tree(&self, folder: &ObjectName) -> Result<u64, StoreError> {
        self.delete_below(folder).await
    }

    async fn create_large(&self, name: &ObjectName) -> Result<Box<dyn LargeWriter>, StoreError> {
        Ok(Box::new(large::SwiftWriter::create(self.clone(), name).await?))
    }
}
