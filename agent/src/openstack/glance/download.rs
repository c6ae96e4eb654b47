//! Content of an image or an object as a stream that goes on where it broke off.

use crate::openstack::cloud::{Cloud, Service, checked_id, good};
use crate::openstack::error::CloudError;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use reqwest::{Method, StatusCode};
use std::time::Duration;

/// How often in a row a broken stream may bring nothing before it counts as lost.
const FRUITLESS_TRIES: u32 = 5;
/// Seconds without a byte after which a connection counts as broken.
const SILENCE: Duration = Duration::from_secs(60);

/// Where content is.
pub struct Content {
    pub service: Service,
    /// Percent-encoded.
    pub path: String,
    pub query: Vec<(&'static str, &'static str)>,
    /// Only while it is this very content.
    pub etag: Option<String>,
    /// For people: `image <id>`.
    pub what: String,
}

struct Download {
    cloud: Cloud,
    content: Content,
    size: u64,
    offset: u64,
    tries: u32,
    body: Option<BoxStream<'static, reqwest::Result<Bytes>>>,
}

/// The `size` bytes of an image, in pieces. An end before that is an error, never a short stream.
pub async fn download(
    cloud: &Cloud,
    image_id: &str,
    size: u64,
) -> Result<BoxStream<'static, Result<Bytes, CloudError>>, CloudError> {
    let id = checked_id(Service::Glance, "image", image_id)?;
    let content = Content {
        service: Service::Glance,
        path: format!("/images/{id}/file"),
        query: Vec::new(),
        etag: None,
        what: format!("image {id}"),
    };
    stream(cloud, content, size).await
}

/// The `size` bytes of `content`, in the same way.
pub async fn stream(
    cloud: &Cloud,
    content: Content,
    size: u64,
) -> Result<BoxStream<'static, Result<Bytes, CloudError>>, CloudError> {
    let mut download = Download { cloud: cloud.clone(), content, size, offset: 0, tries: 0, body: None };
    // The first request is made here, so that a refusal is told before anything begins.
    download.open().await?;
    Ok(futures_util::stream::try_unfold(download, step).boxed())
}

async fn step(mut download: Download) -> Result<Option<(Bytes, Download)>, CloudError> {
    loop {
        if download.offset >= download.size {
            return Ok(None);
        }
        match download.piece().await {
            Ok(Some(piece)) => {
                download.offset += piece.len() as u64;
                download.tries = 0;
                if download.offset > download.size {
                    return Err(download.lost("it sent more than there is"));
                }
                return Ok(Some((piece, download)));
            }
            Ok(None) => download.again("the connection ended too early").await?,
            Err(cause @ (CloudError::Session { .. } | CloudError::Answer { .. })) => {
                download.again(&cause.to_string()).await?;
            }
            Err(cause) => return Err(cause),
        }
    }
}

impl Download {
    async fn piece(&mut self) -> Result<Option<Bytes>, CloudError> {
        if self.body.is_none() {
            self.open().await?;
        }
        let Some(body) = self.body.as_mut() else { return Ok(None) };
        tokio::select! {
            piece = tokio::time::timeout(SILENCE, body.try_next()) => match piece {
                Ok(Ok(piece)) => Ok(piece),
                Ok(Err(error)) => Err(self.lost(&error.to_string())),
                Err(_) => Err(self.lost("nothing came for a minute")),
            },
            () = self.cloud.monitor().token().cancelled() => Err(CloudError::Aborted),
        }
    }

    async fn open(&mut self) -> Result<(), CloudError> {
        let Content { service, path, query, etag, what } = &self.content;
        let mut request = self.cloud.request(*service, Method::GET, path, None).await?;
        for (key, value) in query {
            request = request.query(*key, *value);
        }
        if let Some(etag) = etag {
            request = request.header("If-Match", etag);
        }
        if self.offset > 0 {
            request = request.header("Range", &format!("bytes={}-", self.offset));
        }
        let answer = self.cloud.send(*service, request).await?;
        let answer = good(*service, answer, &format!("the content of {what}")).await?;
        if answer.status() == StatusCode::NO_CONTENT && self.size > 0 {
            return Err(self.refused("it has no content"));
        }
        if self.offset > 0 && answer.status() != StatusCode::PARTIAL_CONTENT {
            return Err(self.refused("it cannot go on in the middle"));
        }
        self.body = Some(answer.bytes_stream().boxed());
        Ok(())
    }

    async fn again(&mut self, cause: &str) -> Result<(), CloudError> {
        self.body = None;
        self.tries += 1;
        if self.tries > FRUITLESS_TRIES {
            return Err(self.refused(cause));
        }
        let Content { what, .. } = &self.content;
        tracing::warn!("{what} at byte {} of {}: {cause}; going on", self.offset, self.size);
        tokio::select! {
            () = self.cloud.timer().sleep(Duration::from_secs(1 << self.tries.min(4))) => Ok(()),
            () = self.cloud.monitor().token().cancelled() => Err(CloudError::Aborted),
        }
    }

    fn lost(&self, cause: &str) -> CloudError {
        CloudError::Answer {
            service: self.content.service.name(),
            what: format!("the content of {} at byte {} of {}", self.content.what, self.offset, self.size),
            cause: cause.to_owned(),
            request: String::new(),
        }
    }

    fn refused(&self, cause: &str) -> CloudError {
        CloudError::BadState {
            resource: format!("the download of {}", self.content.what),
            state: format!("broken at byte {} of {}", self.offset, self.size),
            wanted: "whole".to_owned(),
            detail: format!(" ({cause})"),
        }
    }
}
