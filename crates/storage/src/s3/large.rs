//! Large objects: parts of a multipart upload, several on their way at once.
//!
//! A part is uploaded when it is complete, with its length and MD5 in the request, so that a slow source never lets a request
//! time out and the server checks what arrived. What fits one part is a plain object. An object has at most 10,000 parts and
//! 5 TiB: after the first [`EVEN_PARTS`] parts they grow with what is written, so that the number does not end before the size.

use super::S3Store;
use super::client::Request;
use crate::http::Pieces;
use crate::store::{LargeWriter, ObjectName, StoreError};
use async_trait::async_trait;
use bytes::Bytes;
use reqwest::StatusCode;
use rusty_s3::actions::{CompleteMultipartUploadResponse, CreateMultipartUpload};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// What S3 takes as a part that is not the last.
pub(super) const LEAST_PART_BYTES: usize = 5 << 20;
/// Larger ones are not kept in memory.
const MOST_PART_BYTES: u64 = 1 << 30;
const MOST_PARTS: usize = 10_000;
const EVEN_PARTS: u64 = 1_500;
/// How long giving up may take: somebody waits for the abort.
const CLEAN_TIME: Duration = Duration::from_secs(30);

pub(super) struct S3Writer {
    store: S3Store,
    key: String,
    /// Once there is more than one part.
    upload_id: Option<String>,
    current: Vec<Bytes>,
    current_bytes: usize,
    /// Each answers its place and its ETag. Dropping the set stops them.
    uploads: JoinSet<Result<(usize, String), StoreError>>,
    /// ETags by part.
    etags: Vec<String>,
    /// In parts that were begun.
    begun_bytes: u64,
}

impl S3Writer {
    pub fn new(store: S3Store, name: &ObjectName) -> Self {
        let key = store.root.full(name);
        Self {
            store,
            key,
            upload_id: None,
            current: Vec::new(),
            current_bytes: 0,
            uploads: JoinSet::new(),
            etags: Vec::new(),
            begun_bytes: 0,
        }
    }

    fn part_bytes(&self) -> usize {
        let grown = (self.begun_bytes / EVEN_PARTS).min(MOST_PART_BYTES);
        self.store.part_bytes.max(usize::try_from(grown).unwrap_or(usize::MAX))
    }

    async fn wait_for_one(&mut self) -> Result<bool, StoreError> {
        let Some(joined) = self.uploads.join_next().await else { return Ok(false) };
        self.took_off(joined)?;
        Ok(true)
    }

    fn took_off(
        &mut self,
        joined: Result<Result<(usize, String), StoreError>, tokio::task::JoinError>,
    ) -> Result<(), StoreError> {
        let failed = |error| self.store.client.other(&self.key, format!("upload task: {error}"));
        let (place, etag) = joined.map_err(failed)??;
        if let Some(kept) = self.etags.get_mut(place) {
            *kept = etag;
        }
        Ok(())
    }

    /// Sends what has gathered as the next part.
    async fn begin_part(&mut self) -> Result<(), StoreError> {
        if self.etags.len() == MOST_PARTS {
            let cause = format!("it has more than {MOST_PARTS} parts; raise max_segment_size and save again");
            return Err(self.store.client.other(&self.key, cause));
        }
        let upload_id = self.upload_id().await?;
        while self.uploads.len() >= self.store.parts_in_flight {
            self.wait_for_one().await?;
        }
        self.begun_bytes += std::mem::take(&mut self.current_bytes) as u64;
        let pieces: Pieces = Arc::new(std::mem::take(&mut self.current));
        let (place, store, key) = (self.etags.len(), self.store.clone(), self.key.clone());
        self.etags.push(String::new());
        self.uploads.spawn(async move {
            let number = u16::try_from(place + 1).unwrap_or(u16::MAX);
            let put = || async {
                let client = &store.client;
                let action = client.bucket.upload_part(Some(&client.credentials), &key, number, &upload_id);
                store.put_checked(client.sign(&action), &key, pieces.clone()).await
            };
            store.retry.run(put).await.map(|etag| (place, etag))
        });
        Ok(())
    }

    async fn upload_id(&mut self) -> Result<String, StoreError> {
        if let Some(id) = &self.upload_id {
            return Ok(id.clone());
        }
        let client = &self.store.client;
        let begin = || async {
            let action = client.bucket.create_multipart_upload(Some(&client.credentials), &self.key);
            let request = Request::post(client.sign(&action), &self.key, String::new());
            let text = client.text(&self.key, client.send_ok(request).await?).await?;
            CreateMultipartUpload::parse_response(&text)
                .map(|answer| answer.upload_id().to_owned())
                .map_err(|error| client.damaged(&self.key, format!("the answer to a new upload: {error}")))
        };
        let id = self.store.retry.run(begin).await?;
        self.upload_id = Some(id.clone());
        Ok(id)
    }

    async fn end(&mut self) -> Result<(), StoreError> {
        if self.upload_id.is_none() {
            // It fits one request.
            let pieces: Pieces = Arc::new(std::mem::take(&mut self.current));
            let (store, key) = (&self.store, &self.key);
            return store.retry.run(|| store.put_object(key, pieces.clone())).await;
        }
        self.settle().await?;
        let upload_id = self.upload_id().await?;
        let retry = self.store.retry.clone();
        retry.run(|| self.complete(&upload_id)).await
    }

    async fn complete(&self, upload_id: &str) -> Result<(), StoreError> {
        let (client, key) = (&self.store.client, &self.key);
        let etags = || self.etags.iter().map(String::as_str);
        let action =
            client.bucket.complete_multipart_upload(Some(&client.credentials), key, upload_id, etags());
        let url = client.sign(&action);
        let answer = client.send(Request::post(url, key, action.body())).await?;
        match answer.status() {
            // An earlier try, whose answer was lost, has made the object of it.
            StatusCode::NOT_FOUND => return self.see_all().await,
            status if status.is_success() => {}
            _ => return Err(client.failure(key, answer).await),
        }
        let text = client.text(key, answer).await?;
        if CompleteMultipartUploadResponse::parse(text.trim()).is_err() {
            return Err(client.meaning(key, StatusCode::OK, &text, None, None));
        }
        self.see_all().await
    }

    async fn see_all(&self) -> Result<(), StoreError> {
        let found = self.store.info(&self.key).await?.map(|info| info.size_bytes);
        if found == Some(self.begun_bytes) {
            return Ok(());
        }
        let cause = format!("{} bytes were written, the server has {found:?}", self.begun_bytes);
        Err(self.store.client.unavailable(&self.key, cause))
    }

    /// Takes back what was uploaded.
    async fn give_up(&mut self) {
        self.uploads.shutdown().await;
        let Some(id) = self.upload_id.take() else { return };
        let client = &self.store.client;
        let action = client.bucket.abort_multipart_upload(Some(&client.credentials), &self.key, &id);
        let request = Request::delete(client.sign(&action), &self.key);
        match tokio::time::timeout(CLEAN_TIME, client.send(request)).await {
            Ok(Ok(answer)) if answer.status().is_success() || answer.status() == StatusCode::NOT_FOUND => {}
            Ok(Ok(answer)) => {
                let error = client.failure(&self.key, answer).await;
                tracing::warn!(%error, key = %self.key, "parts of an abandoned object stay");
            }
            Ok(Err(error)) => tracing::warn!(%error, key = %self.key, "parts of an abandoned object stay"),
            Err(_) => tracing::warn!(key = %self.key, "parts of an abandoned object stay: no answer in time"),
        }
    }
}

#[async_trait]
impl LargeWriter for S3Writer {
    async fn write(&mut self, piece: Bytes) -> Result<(), StoreError> {
        while let Some(joined) = self.uploads.try_join_next() {
            // Told at the next call, not only at the end.
            self.took_off(joined)?;
        }
        if !piece.is_empty() {
            self.current_bytes += piece.len();
            self.current.push(piece);
        }
        if self.current_bytes >= self.part_bytes() {
            self.begin_part().await?;
        }
        Ok(())
    }

    /// Parts have sizes of their own.
    async fn end_segment(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    /// What fits one part waits for [`Self::finish`]: a plain object is seen as soon as it is sent.
    async fn settle(&mut self) -> Result<(), StoreError> {
        if self.upload_id.is_some() && self.current_bytes > 0 {
            self.begin_part().await?;
        }
        while self.wait_for_one().await? {}
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<Vec<ObjectName>, StoreError> {
        let ended = self.end().await;
        if ended.is_err() {
            self.give_up().await;
        }
        ended.map(|()| Vec::new())
    }

    async fn abandon(mut self: Box<Self>) {
        self.give_up().await;
    }
}
