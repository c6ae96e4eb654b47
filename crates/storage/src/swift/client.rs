//! One request to Swift: address, token, body, stall watch, and what the answer means.
//!
//! A refused token is renewed here and the request repeated once with the new one; all other repeats
//! are made by [`crate::Retry`].

use super::access::{AccessError, SwiftAccess};
use super::names::escape_path;
use crate::store::StoreError;
use crate::throttle::Limits;
use bytes::Bytes;
use futures_util::{Stream, stream};
use reqwest::header::{CONTENT_LENGTH, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Body, Method, Response, StatusCode, Url};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// The most bytes handed to the connection at once: small enough to show that a slow line still moves.
const PART_BYTES: usize = 64 << 10;

/// A body that can be sent again.
pub(super) type Pieces = Arc<Vec<Bytes>>;

pub(super) struct Client {
    pub access: Arc<dyn SwiftAccess>,
    /// For messages.
    pub label: String,
    pub stall_timeout: Duration,
    pub limits: Limits,
}

/// One request, not yet sent.
#[derive(Clone)]
pub(super) struct Request<'a> {
    pub method: Method,
    /// Empty for the account itself.
    pub container: &'a str,
    /// Full object name; `None` for the container itself.
    pub object: Option<&'a str>,
    pub query: Vec<(&'a str, String)>,
    pub headers: HeaderMap,
    pub body: Option<Pieces>,
}

impl<'a> Request<'a> {
    pub fn new(method: Method, container: &'a str, object: Option<&'a str>) -> Self {
        Self { method, container, object, query: Vec::new(), headers: HeaderMap::new(), body: None }
    }
    pub fn query(mut self, key: &'a str, value: impl Into<String>) -> Self {
        self.query.push((key, value.into()));
        self
    }
    pub fn header(mut self, name: &'static str, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }
    pub fn body(mut self, pieces: Pieces) -> Self {
        self.body = Some(pieces);
        self
    }
    /// For messages.
    pub fn what(&self) -> &'a str {
        self.object.unwrap_or(self.container)
    }
}

impl Client {
    /// Sends a request and gives back whatever Swift answered, 401 excepted.
    pub async fn send(&self, request: &Request<'_>) -> Result<Response, StoreError> {
        let url = self.url(request).await?;
        let token = self.token().await?;
        let answer = self.send_once(request, url.clone(), &token).await?;
        if answer.status() != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        tracing::info!(store = %self.label, "Swift refused the token; logging in again");
        self.access.refuse(&token).await;
        let answer = self.send_once(request, url, &self.token().await?).await?;
        if answer.status() != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        Err(StoreError::Refused {
            store: self.label.clone(),
            cause: "Swift refuses even a new token (401)".into(),
        })
    }

    /// Sends a request that only a 2xx answers well.
    pub async fn send_ok(&self, request: &Request<'_>) -> Result<Response, StoreError> {
        let answer = self.send(request).await?;
        if answer.status().is_success() {
            Ok(answer)
        } else {
            Err(self.failure(request.what(), answer).await)
        }
    }

    async fn token(&self) -> Result<String, StoreError> {
        self.access.token().await.map_err(|error| self.no_access("token", error))
    }

    fn no_access(&self, what: &str, error: AccessError) -> StoreError {
        let store = self.label.clone();
        match error {
            AccessError::Refused(cause) => StoreError::Refused { store, cause },
            AccessError::Unavailable(cause) => {
                StoreError::Unavailable { store, name: what.to_string(), cause, retry_after: None }
            }
        }
    }

    async fn url(&self, request: &Request<'_>) -> Result<Url, StoreError> {
        let base = self.access.endpoint().await.map_err(|error| self.no_access("endpoint", error))?;
        let mut text = base.trim_end_matches('/').to_string();
        if !request.container.is_empty() {
            text.push('/');
            text.push_str(&escape_path(request.container));
        }
        if let Some(object) = request.object {
            text.push('/');
            text.push_str(&escape_path(object));
        }
        let mut url =
            Url::parse(&text).map_err(|error| self.other(request.what(), format!("{text}: {error}")))?;
        if !request.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&request.query);
        }
        Ok(url)
    }

    async fn send_once(&self, request: &Request<'_>, url: Url, token: &str) -> Result<Response, StoreError> {
        let progress = Arc::new(Progress::default());
        let mut secret = HeaderValue::from_str(token)
            .map_err(|_| self.other(request.what(), "the token is no header value".into()))?;
        secret.set_sensitive(true);
        let mut builder = self
            .access
            .http()
            .request(request.method.clone(), url)
            .headers(request.headers.clone())
            .header("X-Auth-Token", secret);
        if let Some(pieces) = &request.body {
            let bytes: usize = pieces.iter().map(Bytes::len).sum();
            builder = builder.header(CONTENT_LENGTH, bytes);
            if bytes > 0 {
                let stream = body_stream(pieces.clone(), self.limits.clone(), progress.clone());
                builder = builder.body(Body::wrap_stream(stream));
            }
        }
        let answer = tokio::select! {
            answer = builder.send() => answer,
            () = progress.stalled(self.stall_timeout) => {
                let cause = format!("nothing moved for {} s", self.stall_timeout.as_secs_f32());
                return Err(self.unavailable(request.what(), cause));
            }
        };
        answer.map_err(|error| self.transport(request.what(), &error))
    }

    /// A connection that did not come up or broke.
    pub fn transport(&self, name: &str, error: &reqwest::Error) -> StoreError {
        let cause = with_causes(error);
        if error.is_builder() { self.other(name, cause) } else { self.unavailable(name, cause) }
    }

    pub fn unavailable(&self, name: &str, cause: String) -> StoreError {
        StoreError::Unavailable {
            store: self.label.clone(),
            name: name.to_string(),
            cause,
            retry_after: None,
        }
    }
    pub fn other(&self, name: &str, cause: String) -> StoreError {
        StoreError::Other { store: self.label.clone(), name: name.to_string(), cause }
    }
    pub fn damaged(&self, name: &str, cause: String) -> StoreError {
        StoreError::Damaged { store: self.label.clone(), name: name.to_string(), cause }
    }

    /// What an answer that is no success means.
    pub async fn failure(&self, name: &str, answer: Response) -> StoreError {
        let status = answer.status();
        let retry_after = header(&answer, RETRY_AFTER.as_str()).and_then(|text| text.trim().parse().ok());
        let transaction = header(&answer, "x-trans-id").unwrap_or("none").to_string();
        let text = tokio::time::timeout(Duration::from_secs(5), short_text(answer)).await.unwrap_or_default();
        let cause = format!("HTTP {status}, transaction {transaction}{text}");
        self.meaning(name, status, cause, retry_after.map(Duration::from_secs))
    }

    /// What a status (of an answer, or of one line of a bulk answer) means.
    pub fn meaning(
        &self,
        name: &str,
        status: StatusCode,
        cause: String,
        retry_after: Option<Duration>,
    ) -> StoreError {
        let (store, name) = (self.label.clone(), name.to_string());
        match status.as_u16() {
            401 | 403 => {
                let cause =
                    format!("{name}: {cause}; check the credentials, and the user's role in the project");
                StoreError::Refused { store, cause }
            }
            404 => StoreError::NotFound { store, name },
            413 | 507 => StoreError::Full { store, name, cause },
            422 => StoreError::Damaged { store, name, cause },
            501 => StoreError::Other { store, name, cause },
            // 498 and 499 are Swift's own: rate limited, and body broke off.
            408 | 409 | 429 | 498 | 499 | 500..=599 => {
                StoreError::Unavailable { store, name, cause, retry_after }
            }
            _ => StoreError::Other { store, name, cause },
        }
    }
}

pub(super) fn header<'a>(answer: &'a Response, name: &str) -> Option<&'a str> {
    answer.headers().get(name).and_then(|value| value.to_str().ok())
}

/// The first words of an error page, without its markup.
async fn short_text(answer: Response) -> String {
    let page = answer.text().await.unwrap_or_default();
    let mut text = String::new();
    let mut in_tag = false;
    for c in page.chars() {
        match c {
            '<' => in_tag = true,
            '>' => {
                in_tag = false;
                text.push(' ');
            }
            c if !in_tag && !c.is_control() => text.push(c),
            _ => {}
        }
    }
    let text: String = text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(200).collect();
    if text.is_empty() { text } else { format!(": {text}") }
}

fn with_causes(error: &reqwest::Error) -> String {
    use std::error::Error as _;
    let mut text = match error.url() {
        Some(url) => format!("connection to {}", url.host_str().unwrap_or("?")),
        None => "connection".to_string(),
    };
    let mut cause = error.source();
    if cause.is_none() {
        text.push_str(": broke");
    }
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

/// Whether bytes of a request still move.
#[derive(Default)]
struct Progress {
    pieces: AtomicU64,
    /// Waiting for a rate limit is no stall.
    held_back: AtomicBool,
}

impl Progress {
    /// Ends when nothing moved for `limit`.
    async fn stalled(&self, limit: Duration) {
        let mut seen = self.pieces.load(Ordering::Relaxed);
        loop {
            tokio::time::sleep(limit).await;
            let now = self.pieces.load(Ordering::Relaxed);
            if now == seen && !self.held_back.load(Ordering::Relaxed) {
                return;
            }
            seen = now;
        }
    }
}

/// Sends the pieces, charged to the limits quantum by quantum.
fn body_stream(
    pieces: Pieces,
    limits: Limits,
    progress: Arc<Progress>,
) -> impl Stream<Item = Result<Bytes, std::io::Error>> + Send + 'static {
    let state = (pieces, 0usize, Bytes::new(), limits, progress);
    stream::unfold(state, |(pieces, mut next, mut rest, limits, progress)| async move {
        while rest.is_empty() {
            rest = pieces.get(next)?.clone();
            next += 1;
        }
        let quantum = limits.split_upload(&mut rest, PART_BYTES);
        progress.held_back.store(true, Ordering::Relaxed);
        limits.charge_upload(quantum.len()).await;
        progress.held_back.store(false, Ordering::Relaxed);
        progress.pieces.fetch_add(1, Ordering::Relaxed);
        Some((Ok(quantum), (pieces, next, rest, limits, progress)))
    })
}
