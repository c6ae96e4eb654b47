//! One signed request to S3, and what the answer means.

use crate::config::S3Config;
use crate::http::{Peer, Pieces, Progress, body_stream, header};
use crate::store::StoreError;
use crate::throttle::Limits;
use bytes::Bytes;
use reqwest::header::{CONTENT_LENGTH, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Body, Method, Response, StatusCode};
use rusty_s3::{Bucket, Credentials, S3Action, UrlStyle};
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// How long a signature is good for: as long as one request may take to be begun.
pub(super) const VALID: Duration = Duration::from_secs(900);

pub(super) struct Client {
    pub bucket: Bucket,
    pub credentials: Credentials,
    http: reqwest::Client,
    peer: Peer,
}

impl Deref for Client {
    type Target = Peer;
    fn deref(&self) -> &Peer {
        &self.peer
    }
}

/// One request, signed and not yet sent.
pub(super) struct Request<'a> {
    method: Method,
    url: Url,
    /// For messages.
    what: &'a str,
    headers: HeaderMap,
    body: Option<Pieces>,
}

impl<'a> Request<'a> {
    pub fn get(url: Url, what: &'a str) -> Self {
        Self { method: Method::GET, url, what, headers: HeaderMap::new(), body: None }
    }
    pub fn head(url: Url, what: &'a str) -> Self {
        Self { method: Method::HEAD, ..Self::get(url, what) }
    }
    pub fn delete(url: Url, what: &'a str) -> Self {
        Self { method: Method::DELETE, ..Self::get(url, what) }
    }
    pub fn put(url: Url, what: &'a str, body: Pieces) -> Self {
        Self { method: Method::PUT, body: Some(body), ..Self::get(url, what) }
    }
    pub fn post(url: Url, what: &'a str, body: String) -> Self {
        let body = Arc::new(if body.is_empty() { Vec::new() } else { vec![Bytes::from(body)] });
        Self { method: Method::POST, body: Some(body), ..Self::get(url, what) }
    }
    pub fn header(mut self, name: &'static str, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }
}

impl Client {
    pub fn new(config: S3Config, bucket: &str, limits: Limits) -> Result<Self, StoreError> {
        let label = format!("s3:{}", config.container.trim_matches('/'));
        let bad = |cause: String| StoreError::Refused { store: label.clone(), cause };
        let endpoint = Url::parse(&config.endpoint)
            .map_err(|error| bad(format!("endpoint '{}' is no address: {error}", config.endpoint)))?;
        let style = if config.has_bucket_in_host { UrlStyle::VirtualHost } else { UrlStyle::Path };
        let bucket = Bucket::new(endpoint, style, bucket.to_owned(), config.region.clone())
            .map_err(|error| bad(format!("endpoint '{}': {error}", config.endpoint)))?;
        let http = keystone::plain_client(config.cafile.as_deref(), config.insecure)
            .map_err(|error| bad(error.to_string()))?;
        let secret = config.secret_key.expose();
        let credentials = match &config.session_token {
            Some(token) => Credentials::new_with_token(config.access_key, secret, token.expose()),
            None => Credentials::new(config.access_key, secret),
        };
        let peer = Peer { label, stall_timeout: config.stall_timeout, limits };
        Ok(Self { bucket, credentials, http, peer })
    }

    /// The address with its signature. It is a secret while it is valid.
    pub fn sign<'a>(&self, action: &impl S3Action<'a>) -> Url {
        action.sign(VALID)
    }

    /// Sends a request and gives back whatever the server answered.
    pub async fn send(&self, request: Request<'_>) -> Result<Response, StoreError> {
        let Request { method, url, what, headers, body } = request;
        let progress = Arc::new(Progress::default());
        let mut builder = self.http.request(method, url).headers(headers);
        if let Some(pieces) = body {
            let bytes: usize = pieces.iter().map(Bytes::len).sum();
            builder = builder.header(CONTENT_LENGTH, bytes);
            if bytes > 0 {
                let stream = body_stream(pieces, self.limits.clone(), progress.clone());
                builder = builder.body(Body::wrap_stream(stream));
            }
        }
        self.watched(what, builder, progress).await
    }

    /// Sends a request that only a 2xx answers well.
    pub async fn send_ok(&self, request: Request<'_>) -> Result<Response, StoreError> {
        let what = request.what;
        let answer = self.send(request).await?;
        if answer.status().is_success() { Ok(answer) } else { Err(self.failure(what, answer).await) }
    }

    /// The whole text of a (short) answer.
    pub async fn text(&self, what: &str, answer: Response) -> Result<String, StoreError> {
        tokio::time::timeout(self.stall_timeout, answer.text())
            .await
            .map_err(|_| self.unavailable(what, "the answer stalled".into()))?
            .map_err(|error| self.transport(what, &error))
    }

    /// What an answer that is no success means.
    pub async fn failure(&self, name: &str, answer: Response) -> StoreError {
        let status = answer.status();
        let retry_after = header(&answer, RETRY_AFTER.as_str()).and_then(|text| text.trim().parse().ok());
        let region = header(&answer, "x-amz-bucket-region").map(str::to_owned);
        let text = tokio::time::timeout(Duration::from_secs(5), answer.text()).await;
        let text = text.ok().and_then(Result::ok).unwrap_or_default();
        self.meaning(name, status, &text, region, retry_after.map(Duration::from_secs))
    }

    /// What an error document means; its status is 200 where the server had begun to answer before it knew.
    pub fn meaning(
        &self,
        name: &str,
        status: StatusCode,
        document: &str,
        region: Option<String>,
        retry_after: Option<Duration>,
    ) -> StoreError {
        let code = element(document, "Code").unwrap_or_default();
        let said = element(document, "Message").unwrap_or_default();
        let mut cause = format!("HTTP {status} {code}: {said}");
        let (store, name) = (self.label.clone(), name.to_owned());
        match (status.as_u16(), code) {
            (_, "QuotaExceeded" | "EntityTooLarge") | (413 | 507, _) => {
                StoreError::Full { store, name, cause }
            }
            (_, "BadDigest" | "InvalidDigest" | "XAmzContentSHA256Mismatch" | "IncompleteBody") => {
                StoreError::Damaged { store, name, cause }
            }
            (
                _,
                "RequestTimeout" | "SlowDown" | "InternalError" | "ServiceUnavailable" | "OperationAborted",
            ) => StoreError::Unavailable { store, name, cause, retry_after },
            (_, "RequestTimeTooSkewed") => {
                cause.push_str("; the clocks of this host and of the server differ, check NTP");
                StoreError::Refused { store, cause }
            }
            (_, "NoSuchBucket") => {
                cause.push_str("; make the bucket, or check container and endpoint");
                StoreError::Refused { store, cause }
            }
            (301 | 307 | 308 | 400, _) if region.is_some() => {
                let region = region.unwrap_or_default();
                StoreError::Refused {
                    store,
                    cause: format!("{cause}; the bucket is in region {region}: set s3_region"),
                }
            }
            (401 | 403, _) => {
                let cause = format!("{name}: {cause}; check the keys, and what they may do with the bucket");
                StoreError::Refused { store, cause }
            }
            (404, _) => StoreError::NotFound { store, name },
            (501, _) => StoreError::Other { store, name, cause },
            (408 | 409 | 429 | 500..=599, _) => StoreError::Unavailable { store, name, cause, retry_after },
            _ => StoreError::Other { store, name, cause },
        }
    }
}

/// The text of the first element of this name in an error document, which are flat.
pub(super) fn element<'a>(document: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = document.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once("</")?;
    Some(text.get(..200).unwrap_or(text))
}
