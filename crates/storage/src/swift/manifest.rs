//! The manifest of a large object. A static one (SLO) where the cluster has them: Swift takes it only when it has every segment with the
//! bytes and the MD5 that it names. Elsewhere, and for more segments than a static one may have, a dynamic one (DLO), which is nothing
//! but a prefix.

use super::SwiftStore;
use super::client::{Client, Request};
use super::names::manifest_header;
use crate::store::{ObjectName, StoreError};
use bytes::Bytes;
use md5::{Digest, Md5};
use reqwest::header::HeaderValue;
use reqwest::{Method, StatusCode};
use serde::Serialize;
use std::sync::Arc;

/// A segment that Swift has acknowledged.
pub(super) struct Segment {
    pub name: ObjectName,
    pub bytes: u64,
    /// In hexadecimal digits.
    pub md5: String,
}

/// A line of a static manifest.
#[derive(Serialize)]
struct Line<'a> {
    path: String,
    etag: &'a str,
    size_bytes: u64,
}

impl SwiftStore {
    /// Makes the object `name` visible, which consists of these segments below `folder`.
    pub(super) async fn put_manifest(
        &self,
        name: &ObjectName,
        folder: &ObjectName,
        segments: &[Segment],
    ) -> Result<(), StoreError> {
        let path = |segment: &Segment| format!("/{}/{}", self.root.container, self.root.full(&segment.name));
        let lines: Vec<Line<'_>> = segments
            .iter()
            .map(|segment| Line { path: path(segment), etag: &segment.md5, size_bytes: segment.bytes })
            .collect();
        let body = serde_json::to_vec(&lines)
            .map_err(|error| self.client.other(name.as_str(), format!("its manifest: {error}")))?;
        let sizes: Vec<u64> = segments.iter().map(|segment| segment.bytes).collect();
        if self.abilities().await.takes_static(&sizes, body.len()) {
            let body = Bytes::from(body);
            return self.retry.run(|| self.put_static(name, body.clone(), segments)).await;
        }
        self.retry.run(|| self.put_dynamic(name, folder)).await?;
        self.retry.run(|| self.see_all(name, folder, segments)).await
    }

    async fn put_static(
        &self,
        name: &ObjectName,
        body: Bytes,
        segments: &[Segment],
    ) -> Result<(), StoreError> {
        let full = self.root.full(name);
        let request = Request::new(Method::PUT, &self.root.container, Some(&full))
            .query("multipart-manifest", "put")
            .header("content-type", HeaderValue::from_static("application/octet-stream"))
            .body(Arc::new(vec![body]));
        let answer = self.client.send(&request).await?;
        match answer.status() {
            StatusCode::BAD_REQUEST => {
                // It names the segments that are not as the manifest says.
                let cause = format!("Swift does not take its manifest{}", Client::text(answer).await);
                Err(match cause.contains("Mismatch") {
                    true => self.client.damaged(name.as_str(), cause),
                    // A node that lags behind will find them.
                    false => self.client.unavailable(name.as_str(), cause),
                })
            }
            status if status.is_success() => {
                let mut all = Md5::new();
                segments.iter().for_each(|segment| all.update(&segment.md5));
                self.compare(&full, &answer, &hex::encode(all.finalize()))
            }
            _ => Err(self.client.failure(&full, answer).await),
        }
    }

    async fn put_dynamic(&self, name: &ObjectName, folder: &ObjectName) -> Result<(), StoreError> {
        let value = manifest_header(&self.root.container, &self.root.full(folder));
        let value =
            HeaderValue::from_str(&value).map_err(|_| StoreError::BadName { name: name.to_string() })?;
        self.put_object(&self.root.full(name), Arc::default(), Some(value)).await.map(|_| ())
    }

    /// Container listings may lag behind. What readers of a dynamic manifest go by must show all of the object before it is
    /// reported as written.
    async fn see_all(
        &self,
        name: &ObjectName,
        folder: &ObjectName,
        segments: &[Segment],
    ) -> Result<(), StoreError> {
        let prefix = format!("{}/", self.root.full(folder));
        let listed = self.names_below(&self.root.container, &prefix).await?;
        let found: u64 = listed.iter().map(|segment| segment.bytes).sum();
        let expected: u64 = segments.iter().map(|segment| segment.bytes).sum();
        if listed.len() == segments.len() && found == expected {
            return Ok(());
        }
        let cause = format!(
            "the container's listing shows {} segments with {found} bytes instead of {} with {expected}",
            listed.len(),
            segments.len(),
        );
        Err(self.client.unavailable(name.as_str(), cause))
    }
}
