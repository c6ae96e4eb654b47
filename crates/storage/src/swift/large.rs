//! Large objects: segments beside the object, several on their way at once, and a manifest at the end (see [`super::manifest`]).
//!
//! A segment is uploaded when it is complete, with its length and MD5 in the request, so that a slow
//! source never lets a request time out and Swift itself checks what arrived. Its pieces are kept until Swift
//! acknowledged them; it is sent again as often as [`crate::Retry`] allows.

use super::SwiftStore;
use super::client::Request;
use super::list::Listed;
use super::manifest::Segment;
use super::names::segments_folder;
use crate::http::{Pieces, header};
use crate::store::{LargeWriter, ObjectName, StoreError};
use async_trait::async_trait;
use bytes::Bytes;
use md5::{Digest, Md5};
use reqwest::header::HeaderValue;
use reqwest::{Method, StatusCode};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// How long uploads may take to end when their object is given up.
const SETTLE_TIME: Duration = Duration::from_secs(5);

/// How long deleting the segments of an object that was given up may take: somebody waits for the abort.
const CLEAN_TIME: Duration = Duration::from_secs(30);

pub(super) struct SwiftWriter {
    store: SwiftStore,
    name: ObjectName,
    folder: ObjectName,
    current: Vec<Bytes>,
    current_bytes: usize,
    /// Each answers the place of its segment, and what Swift acknowledged. Dropping the set stops them.
    uploads: JoinSet<Result<(usize, String), StoreError>>,
    in_flight_bytes: usize,
    /// Without their MD5 as long as they are on their way.
    segments: Vec<Segment>,
}

impl SwiftWriter {
    /// Clears away what an earlier attempt left under the same name, or its segments would be read
    /// as part of this one. Segments that belong to another object are never touched.
    pub(super) async fn create(store: SwiftStore, name: &ObjectName) -> Result<Self, StoreError> {
        let folder = segments_folder(name)?;
        let leftovers = store.objects_page(&store.root.container, &store.root.full(&folder), "").await?;
        if !leftovers.is_empty() {
            store.refuse_if_owned_by_another(name, &folder).await?;
            store.delete_object(&store.root.full(name)).await?;
            store.delete_below(&folder).await?;
        }
        Ok(Self {
            store,
            name: name.clone(),
            folder,
            current: Vec::new(),
            current_bytes: 0,
            uploads: JoinSet::new(),
            in_flight_bytes: 0,
            segments: Vec::new(),
        })
    }

    /// Waits for any of the uploads; answers whether there was one.
    async fn wait_for_one(&mut self) -> Result<bool, StoreError> {
        let Some(joined) = self.uploads.join_next().await else { return Ok(false) };
        self.took_off(joined)?;
        Ok(true)
    }

    fn took_off(
        &mut self,
        joined: Result<Result<(usize, String), StoreError>, tokio::task::JoinError>,
    ) -> Result<(), StoreError> {
        let (place, md5) = joined.map_err(|error| {
            self.store.client.other(self.name.as_str(), format!("upload task: {error}"))
        })??;
        if let Some(segment) = self.segments.get_mut(place) {
            self.in_flight_bytes =
                self.in_flight_bytes.saturating_sub(usize::try_from(segment.bytes).unwrap_or(usize::MAX));
            segment.md5 = md5;
        }
        Ok(())
    }

    /// Tells of a failed upload at the next call, not only at the end.
    fn reap(&mut self) -> Result<(), StoreError> {
        while let Some(joined) = self.uploads.try_join_next() {
            self.took_off(joined)?;
        }
        Ok(())
    }

    async fn drain(&mut self) -> Result<(), StoreError> {
        while self.wait_for_one().await? {}
        Ok(())
    }
}

#[async_trait]
impl LargeWriter for SwiftWriter {
    async fn write(&mut self, piece: Bytes) -> Result<(), StoreError> {
        self.reap()?;
        while self.in_flight_bytes + self.current_bytes + piece.len() > self.store.buffer_bytes {
            if !self.wait_for_one().await? {
                // A segment larger than the budget still has to be kept whole.
                break;
            }
        }
        if !piece.is_empty() {
            self.current_bytes += piece.len();
            self.current.push(piece);
        }
        Ok(())
    }

    async fn end_segment(&mut self) -> Result<(), StoreError> {
        self.reap()?;
        if self.current.is_empty() {
            return Ok(());
        }
        while self.uploads.len() >= self.store.segments_in_flight {
            self.wait_for_one().await?;
        }
        let bytes = std::mem::take(&mut self.current_bytes);
        let pieces: Pieces = Arc::new(std::mem::take(&mut self.current));
        let place = self.segments.len();
        let name = self.folder.join(&format!("{place:08}"))?;
        let full = self.store.root.full(&name);
        let store = self.store.clone();
        self.segments.push(Segment { name, bytes: bytes as u64, md5: String::new() });
        self.in_flight_bytes += bytes;
        self.uploads
            .spawn(async move { store.put_again_and_again(&full, pieces).await.map(|md5| (place, md5)) });
        Ok(())
    }

    async fn settle(&mut self) -> Result<(), StoreError> {
        self.end_segment().await?;
        self.drain().await
    }

    async fn finish(mut self: Box<Self>) -> Result<Vec<ObjectName>, StoreError> {
        self.end_segment().await?;
        self.drain().await?;
        self.store.put_manifest(&self.name, &self.folder, &self.segments).await?;
        Ok(self.segments.into_iter().map(|segment| segment.name).collect())
    }

    async fn abandon(mut self: Box<Self>) {
        // A body that has arrived in full is stored even if nobody waits for the answer, and perhaps only after
        // the delete: give those the time to end. One that is cut off is thrown away by Swift.
        let settle = async { while self.uploads.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(SETTLE_TIME, settle).await;
        self.uploads.shutdown().await;
        // By name: a listing may lag behind.
        let full = |segment: &Segment| Listed::new(self.store.root.full(&segment.name), 0);
        let segments: Vec<Listed> = self.segments.iter().map(full).collect();
        match tokio::time::timeout(CLEAN_TIME, self.store.delete_page(&segments)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                tracing::warn!(%error, name = %self.name, "segments of an abandoned object stay")
            }
            Err(_) => {
                tracing::warn!(name = %self.name, "segments of an abandoned object stay: no answer in time")
            }
        }
    }
}

impl SwiftStore {
    /// Two large objects in one folder would share their segments: the second is refused.
    async fn refuse_if_owned_by_another(
        &self,
        name: &ObjectName,
        segments: &ObjectName,
    ) -> Result<(), StoreError> {
        let segments = self.root.full(segments);
        let beside = match name.as_str().rsplit_once('/') {
            Some((folder, _)) => Some(ObjectName::new(folder)?),
            None => None,
        };
        for entry in self.entries(beside.as_ref()).await? {
            let full = format!("{}{}", self.root.folder_prefix(beside.as_ref()), entry.name);
            if entry.is_folder || full == self.root.full(name) {
                continue;
            }
            if self.has_segments_in(&full, &segments).await? {
                let cause = format!("its folder holds the segments of {full}: one large object per folder");
                return Err(self.client.other(name.as_str(), cause));
            }
        }
        Ok(())
    }

    /// Answers the MD5 of what is stored now.
    async fn put_again_and_again(&self, full: &str, pieces: Pieces) -> Result<String, StoreError> {
        let put = || async {
            let result = self.put_object(full, pieces.clone(), None).await;
            if let Err(StoreError::Unavailable { .. }) = &result {
                // A proxy that refuses the token may close the connection while the body is still being
                // sent, and the 401 is never seen. A small question shows it and renews the token.
                let _ = self.client.send(&Request::new(Method::HEAD, &self.root.container, None)).await;
            }
            result
        };
        self.retry.run(put).await
    }

    /// One PUT of an object by its full name, with its MD5 checked on both sides; answers that. A missing container is
    /// made on the way.
    pub(super) async fn put_object(
        &self,
        full: &str,
        pieces: Pieces,
        manifest: Option<HeaderValue>,
    ) -> Result<String, StoreError> {
        let digest = self.md5(full, pieces.clone()).await?;
        let mut request = Request::new(Method::PUT, &self.root.container, Some(full))
            .header("content-type", HeaderValue::from_static("application/octet-stream"))
            .body(pieces);
        if let Ok(etag) = HeaderValue::from_str(&digest) {
            request = request.header("etag", etag);
        }
        if let Some(manifest) = manifest {
            request = request.header("x-object-manifest", manifest);
        }
        let mut answer = self.client.send(&request).await?;
        if answer.status() == StatusCode::NOT_FOUND {
            self.create_container().await?;
            answer = self.client.send(&request).await?;
        }
        match answer.status() {
            StatusCode::NOT_FOUND => {
                let cause = format!("container {} was just made and is not yet seen", self.root.container);
                Err(self.client.unavailable(full, cause))
            }
            status if status.is_success() => self.compare(full, &answer, &digest).map(|()| digest),
            _ => Err(self.client.failure(full, answer).await),
        }
    }

    pub(super) fn compare(
        &self,
        full: &str,
        answer: &reqwest::Response,
        digest: &str,
    ) -> Result<(), StoreError> {
        match header(answer, "etag").map(|etag| etag.trim_matches('"')) {
            Some(etag) if etag.eq_ignore_ascii_case(digest) => Ok(()),
            Some(etag) => {
                Err(self.client.damaged(full, format!("Swift stored MD5 {etag} instead of {digest}")))
            }
            // The request's own ETag header was checked by the server.
            None => Ok(()),
        }
    }

    /// On a thread of its own kind: a segment of 32 MiB takes tens of milliseconds.
    async fn md5(&self, full: &str, pieces: Pieces) -> Result<String, StoreError> {
        let digest = tokio::task::spawn_blocking(move || {
            let mut md5 = Md5::new();
            pieces.iter().for_each(|piece| md5.update(piece));
            hex::encode(md5.finalize())
        });
        digest.await.map_err(|error| self.client.other(full, format!("checksum task: {error}")))
    }
}
