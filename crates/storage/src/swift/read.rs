//! Reading objects: whole ones checked against length and ETag, parts of them, and large ones segment by
//! segment.
//!
//! Large objects are not read through their manifest: Swift slows that down to one segment per second after the first ten, stops
//! it after a day and checks no checksum. The segments are read one after the other, each verified. Those of a dynamic manifest are
//! listed; a static one names them.

use super::SwiftStore;
use super::client::{Client, Request};
use super::list::Listed;
use super::names::unescape;
use crate::http::{Check, checked_body, header, range_header, window};
use crate::store::{ByteStream, ObjectInfo, ObjectName, StoreError};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use reqwest::header::{CONTENT_LENGTH, RANGE};
use reqwest::{Method, Response, StatusCode};
use serde::Deserialize;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

/// Where the segments of a dynamic large object are.
struct SegmentsAt {
    container: String,
    prefix: String,
}

/// A segment as a static manifest shows it.
#[derive(Deserialize)]
struct StaticSegment {
    /// `/container/object`.
    #[serde(default)]
    name: String,
    #[serde(default)]
    bytes: u64,
    /// A manifest itself.
    #[serde(default)]
    sub_slo: bool,
    /// A part of an object.
    range: Option<String>,
}

impl SwiftStore {
    /// Whether an object, by its full name, is a large one with segments in that folder of this container.
    pub(super) async fn has_segments_in(&self, full: &str, folder: &str) -> Result<bool, StoreError> {
        let Some(answer) = self.head_raw(full).await? else { return Ok(false) };
        if let Some(at) = segments_at(&answer) {
            return Ok(at.container == self.root.container && at.prefix.trim_end_matches('/') == folder);
        }
        if !is_static(&answer) {
            return Ok(false);
        }
        let below = format!("/{}/{folder}/", self.root.container);
        Ok(self.static_manifest(full).await?.iter().any(|segment| segment.name.starts_with(&below)))
    }

    async fn static_manifest(&self, full: &str) -> Result<Vec<StaticSegment>, StoreError> {
        let request =
            Request::new(Method::GET, &self.root.container, Some(full)).query("multipart-manifest", "get");
        let answer = self.client.send_ok(&request).await?;
        let body = tokio::time::timeout(self.client.stall_timeout, answer.bytes())
            .await
            .map_err(|_| self.client.unavailable(full, "its manifest stalled".into()))?
            .map_err(|error| self.client.transport(full, &error))?;
        serde_json::from_slice(&body)
            .map_err(|error| self.client.damaged(full, format!("its manifest is none: {error}")))
    }

    pub(super) async fn read(
        &self,
        name: &ObjectName,
        range: Option<Range<u64>>,
    ) -> Result<ByteStream, StoreError> {
        let full = self.root.full(name);
        if range.as_ref().is_some_and(|range| range.start >= range.end) {
            return match self.info(name).await? {
                Some(_) => Ok(stream::empty().boxed()),
                None => Err(self.not_found(name.as_str())),
            };
        }
        let mut request =
            Request::new(Method::GET, &self.root.container, Some(&full)).query("multipart-manifest", "get");
        if let Some(range) = &range {
            request = request.header(RANGE.as_str(), range_header(range));
        }
        let answer = self.client.send(&request).await?;
        match answer.status() {
            StatusCode::NOT_FOUND => return Err(self.not_found(name.as_str())),
            StatusCode::RANGE_NOT_SATISFIABLE => return self.read_past_the_end(name, range).await,
            status if status.is_success() => {}
            _ => return Err(self.client.failure(&full, answer).await),
        }
        if let Some(at) = segments_at(&answer) {
            return self.read_dynamic(at, range).await;
        }
        if is_static(&answer) {
            return self.read_static(full, range).await;
        }
        Ok(self.body(answer, full, range))
    }

    /// Segment by segment, when all are whole objects of one container; whatever else others have made is left to Swift.
    async fn read_static(&self, full: String, range: Option<Range<u64>>) -> Result<ByteStream, StoreError> {
        let manifest = self.static_manifest(&full).await?;
        let mut containers = manifest.iter().map(|segment| split(&segment.name).map(|(first, _)| first));
        if let Some(Some(container)) = containers.next()
            && containers.all(|other| other == Some(container))
            && manifest.iter().all(|segment| !segment.sub_slo && segment.range.is_none())
        {
            let listed = |segment: &StaticSegment| {
                split(&segment.name).map(|(_, name)| Listed::new(name.to_owned(), segment.bytes))
            };
            let segments = manifest.iter().filter_map(listed).collect();
            return Ok(self.read_segments(container.to_owned(), segments, range));
        }
        let mut request = Request::new(Method::GET, &self.root.container, Some(&full));
        if let Some(range) = &range {
            request = request.header(RANGE.as_str(), range_header(range));
        }
        let answer = self.client.send(&request).await?;
        match answer.status() {
            StatusCode::RANGE_NOT_SATISFIABLE => Ok(stream::empty().boxed()),
            status if status.is_success() => Ok(self.body(answer, full, range)),
            _ => Err(self.client.failure(&full, answer).await),
        }
    }

    /// A range beyond the end of a plain object is empty, but the manifest of a large object is short, and
    /// a range beyond its end may well be inside of the object.
    async fn read_past_the_end(
        &self,
        name: &ObjectName,
        range: Option<Range<u64>>,
    ) -> Result<ByteStream, StoreError> {
        let full = self.root.full(name);
        let answer = self.head_raw(&full).await?.ok_or_else(|| self.not_found(name.as_str()))?;
        if let Some(at) = segments_at(&answer) {
            return self.read_dynamic(at, range).await;
        }
        if is_static(&answer) {
            return self.read_static(full, range).await;
        }
        Ok(stream::empty().boxed())
    }

    async fn head_raw(&self, full: &str) -> Result<Option<Response>, StoreError> {
        let request =
            Request::new(Method::HEAD, &self.root.container, Some(full)).query("multipart-manifest", "get");
        let answer = self.client.send(&request).await?;
        match answer.status() {
            StatusCode::NOT_FOUND => Ok(None),
            status if status.is_success() => Ok(Some(answer)),
            _ => Err(self.client.failure(full, answer).await),
        }
    }

    pub(super) async fn info(&self, name: &ObjectName) -> Result<Option<ObjectInfo>, StoreError> {
        let full = self.root.full(name);
        let Some(answer) = self.head_raw(&full).await? else { return Ok(None) };
        if let Some(at) = segments_at(&answer) {
            let segments = self.names_below(&at.container, &at.prefix).await?;
            return Ok(Some(ObjectInfo { size_bytes: segments.iter().map(|segment| segment.bytes).sum() }));
        }
        if is_static(&answer) {
            let request = Request::new(Method::HEAD, &self.root.container, Some(&full));
            let answer = self.client.send_ok(&request).await?;
            return self.length(&answer, &full).map(|size_bytes| Some(ObjectInfo { size_bytes }));
        }
        self.length(&answer, &full).map(|size_bytes| Some(ObjectInfo { size_bytes }))
    }

    fn length(&self, answer: &Response, full: &str) -> Result<u64, StoreError> {
        // Not `Response::content_length`: that is the length of the (absent) body of a HEAD answer.
        header(answer, CONTENT_LENGTH.as_str())
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| self.client.other(full, "the answer has no length".into()))
    }

    fn body(&self, answer: Response, full: String, range: Option<Range<u64>>) -> ByteStream {
        let ignored_range = range.is_some() && answer.status() != StatusCode::PARTIAL_CONTENT;
        let check = if range.is_none() { Check::whole(&answer) } else { Check::part(&answer) };
        let body = checked_body(self.client.clone(), answer, full, check);
        let body = match range {
            Some(range) if ignored_range => window(body, range),
            _ => body,
        };
        self.client.limits.slow_download(body)
    }

    async fn read_dynamic(
        &self,
        at: SegmentsAt,
        range: Option<Range<u64>>,
    ) -> Result<ByteStream, StoreError> {
        let segments = self.names_below(&at.container, &at.prefix).await?;
        Ok(self.read_segments(at.container, segments, range))
    }

    fn read_segments(
        &self,
        container: String,
        segments: Vec<Listed>,
        range: Option<Range<u64>>,
    ) -> ByteStream {
        let wanted = range.unwrap_or(0..u64::MAX);
        let mut plan = VecDeque::new();
        let mut offset = 0u64;
        for segment in segments {
            let end = offset.saturating_add(segment.bytes);
            let (from, to) = (wanted.start.max(offset), wanted.end.min(end));
            if from < to {
                let part = (from > offset || to < end).then(|| from - offset..to - offset);
                plan.push_back((segment.name, part));
            }
            offset = end;
        }
        let state = SegmentReader { client: self.client.clone(), container, plan, current: None };
        let body = stream::unfold(Some(state), |state| async move {
            let mut state = state?;
            match state.next().await? {
                Ok(bytes) => Some((Ok(bytes), Some(state))),
                Err(error) => Some((Err(error), None)),
            }
        });
        self.client.limits.slow_download(body.boxed())
    }
}

struct SegmentReader {
    client: Arc<Client>,
    container: String,
    /// Full names, each with the part that is wanted (`None`: all of it).
    plan: VecDeque<(String, Option<Range<u64>>)>,
    current: Option<ByteStream>,
}

impl SegmentReader {
    async fn next(&mut self) -> Option<Result<Bytes, StoreError>> {
        loop {
            if let Some(current) = &mut self.current {
                match current.next().await {
                    Some(item) => return Some(item),
                    None => self.current = None,
                }
            }
            let (name, part) = self.plan.pop_front()?;
            match open_segment(&self.client, &self.container, &name, part).await {
                Ok(body) => self.current = Some(body),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

async fn open_segment(
    client: &Arc<Client>,
    container: &str,
    name: &str,
    part: Option<Range<u64>>,
) -> Result<ByteStream, StoreError> {
    let mut request = Request::new(Method::GET, container, Some(name));
    if let Some(part) = &part {
        request = request.header(RANGE.as_str(), range_header(part));
    }
    let answer = client.send_ok(&request).await?;
    if part.is_some() && answer.status() != StatusCode::PARTIAL_CONTENT {
        return Err(client.other(name, "the server ignores ranges".into()));
    }
    let check = if part.is_none() { Check::whole(&answer) } else { Check::part(&answer) };
    Ok(checked_body(client.clone(), answer, name.to_string(), check))
}

fn is_static(answer: &Response) -> bool {
    header(answer, "x-static-large-object").is_some()
}

/// Container and object of `/container/object`.
fn split(path: &str) -> Option<(&str, &str)> {
    path.strip_prefix('/')?.split_once('/')
}

/// Where the segments of the answered object are, if it is a dynamic manifest.
fn segments_at(answer: &Response) -> Option<SegmentsAt> {
    // Bytes, not text: Swift may send back names outside ASCII as they are.
    let value = answer.headers().get("x-object-manifest")?;
    let value = unescape(std::str::from_utf8(value.as_bytes()).ok()?)?;
    let (container, prefix) = value.split_once('/')?;
    Some(SegmentsAt { container: container.to_string(), prefix: prefix.to_string() })
}
