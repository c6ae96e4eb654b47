//! Objects in a bucket of S3, or of a server that speaks its protocol.
//!
//! Names are kept as they are below the bucket's prefix. A large object is one object, written as a multipart upload: nothing is
//! seen under its name before it is complete. What a killed process had begun stays invisible and takes room until the bucket's
//! own rule removes unfinished uploads.

mod client;
mod delete;
mod large;
mod list;
mod read;

use crate::config::S3Config;
use crate::http::Pieces;
use crate::retry::Retry;
use crate::root::Root;
use crate::store::{ByteStream, Entry, LargeWriter, ObjectInfo, ObjectName, Skips, Store, StoreError};
use crate::throttle::Limits;
use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use client::{Client, Request};
use md5::{Digest, Md5};
use reqwest::StatusCode;
use reqwest::header::HeaderValue;
use std::ops::Range;
use std::sync::Arc;

/// A bucket, or a prefix in it. Clones share everything.
#[derive(Clone)]
pub struct S3Store {
    client: Arc<Client>,
    root: Arc<Root>,
    retry: Retry,
    page_names: Option<usize>,
    part_bytes: usize,
    parts_in_flight: usize,
}

impl S3Store {
    /// `retry` is used for parts and the steps of `delete_tree`; the other calls try once, so wrap the store in
    /// [`crate::Retrying`] ([`crate::open_with`] does).
    pub fn new(config: S3Config, limits: Limits, retry: Retry) -> Result<Self, StoreError> {
        let root = Root::parse(&config.container)?;
        Ok(Self {
            page_names: config.page_names,
            part_bytes: config.part_bytes.max(large::LEAST_PART_BYTES),
            parts_in_flight: config.parts_in_flight.max(1),
            client: Arc::new(Client::new(config, &root.container, limits)?),
            root: Arc::new(root),
            retry,
        })
    }

    fn not_found(&self, name: &str) -> StoreError {
        StoreError::NotFound { store: self.client.label.clone(), name: name.to_owned() }
    }

    async fn create_bucket(&self) -> Result<(), StoreError> {
        let action = self.client.bucket.create_bucket(&self.client.credentials);
        let body = Arc::new(vec![Bytes::from(action.body())]);
        let answer =
            self.client.send(Request::put(self.client.sign(&action), &self.root.container, body)).await?;
        // Somebody else was quicker, or it was there all the time.
        let is_there = answer.status() == StatusCode::CONFLICT;
        if answer.status().is_success() || is_there {
            return Ok(());
        }
        Err(self.client.failure(&self.root.container, answer).await)
    }

    /// One PUT of an object by its key, with its MD5 checked on both sides.
    async fn put_object(&self, key: &str, pieces: Pieces) -> Result<(), StoreError> {
        let url = self.client.sign(&self.client.bucket.put_object(Some(&self.client.credentials), key));
        self.put_checked(url, key, pieces).await.map(|_| ())
    }

    /// Answers the ETag.
    async fn put_checked(&self, url: url::Url, name: &str, pieces: Pieces) -> Result<String, StoreError> {
        let digest = self.md5(name, pieces.clone()).await?;
        let mut request = Request::put(url, name, pieces);
        if let Ok(value) = HeaderValue::from_str(&STANDARD.encode(digest)) {
            request = request.header("content-md5", value);
        }
        let answer = self.client.send(request).await?;
        if !answer.status().is_success() {
            return Err(self.client.failure(name, answer).await);
        }
        let etag = crate::http::header(&answer, "etag").unwrap_or_default().to_owned();
        let bare = etag.trim_matches('"');
        // The server has checked the header; what it says it has is compared where it is an MD5.
        if crate::http::is_md5(&answer, bare) && !bare.eq_ignore_ascii_case(&hex::encode(digest)) {
            let cause = format!("the server stored MD5 {bare} instead of {}", hex::encode(digest));
            return Err(self.client.damaged(name, cause));
        }
        Ok(etag)
    }

    /// On a thread of its own kind: a part of 32 MiB takes tens of milliseconds.
    async fn md5(&self, name: &str, pieces: Pieces) -> Result<[u8; 16], StoreError> {
        let digest = tokio::task::spawn_blocking(move || {
            let mut md5 = Md5::new();
            pieces.iter().for_each(|piece| md5.update(piece));
            md5.finalize().into()
        });
        digest.await.map_err(|error| self.client.other(name, format!("checksum task: {error}")))
    }
}

#[async_trait]
impl Store for S3Store {
    fn describe(&self) -> String {
        self.client.label.clone()
    }

    async fn prepare(&self) -> Result<(), StoreError> {
        let bucket = self.root.container.as_str();
        let url = self.client.sign(&self.client.bucket.head_bucket(Some(&self.client.credentials)));
        let answer = self.client.send(Request::head(url, bucket)).await?;
        match answer.status() {
            StatusCode::NOT_FOUND => self.create_bucket().await,
            status if status.is_success() => Ok(()),
            // The answer to this question has no text.
            StatusCode::BAD_REQUEST => {
                let cause = format!(
                    "'{bucket}' may be no name for a bucket (3 to 63 of a-z, 0-9, '-' and '.'), or the region is wrong"
                );
                Err(StoreError::Refused { store: self.describe(), cause })
            }
            _ => Err(self.client.failure(bucket, answer).await),
        }
    }

    async fn put(&self, name: &ObjectName, body: Bytes) -> Result<(), StoreError> {
        let pieces = if body.is_empty() { Vec::new() } else { vec![body] };
        self.put_object(&self.root.full(name), Arc::new(pieces)).await
    }

    async fn get(&self, name: &ObjectName, range: Option<Range<u64>>) -> Result<ByteStream, StoreError> {
        self.read(name, range).await
    }

    async fn head(&self, name: &ObjectName) -> Result<Option<ObjectInfo>, StoreError> {
        self.info(&self.root.full(name)).await
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
        self.delete_object(&self.root.full(name)).await
    }

    async fn delete_all(&self, names: &[ObjectName]) -> Result<(), StoreError> {
        self.delete_objects(names).await
    }

    fn spares_requests(&self) -> bool {
        true
    }

    fn refuses_wrong_clocks(&self) -> bool {
        true
    }

    async fn delete_tree(&self, folder: &ObjectName) -> Result<u64, StoreError> {
        self.delete_below(folder).await
    }

    async fn create_large(&self, name: &ObjectName) -> Result<Box<dyn LargeWriter>, StoreError> {
        Ok(Box::new(large::S3Writer::new(self.clone(), name)))
    }
}
