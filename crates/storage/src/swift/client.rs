//! One request to Swift: address, token, body, stall watch, and what the answer means.
//!
//! A refused token is renewed here and the request repeated once with the new one; all other repeats
//! are made by [`crate::Retry`].

use super::access::{AccessError, SwiftAccess};
use super::names::escape_path;
use crate::http::{Peer, Pieces, Progress, body_stream, header, short_text};
use crate::store::StoreError;
use bytes::Bytes;
use reqwest::header::{CONTENT_LENGTH, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Body, Method, Response, StatusCode, Url};
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

pub(super) struct Client {
    pub access: Arc<dyn SwiftAccess>,
    pub peer: Peer,
}

impl Deref for Client {
    type Target = Peer;
    fn deref(&self) -> &Peer {
        &self.peer
    }
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
        self.watched(request.what(), builder, progress).await
    }

    /// What an answer says to people, if it comes soon.
    pub async fn text(answer: Response) -> String {
        tokio::time::timeout(Duration::from_secs(5), short_text(answer)).await.unwrap_or_default()
    }

    /// What an answer that is no success means.
    pub async fn failure(&self, name: &str, answer: Response) -> StoreError {
        let status = answer.status();
        let retry_after = header(&answer, RETRY_AFTER.as_str()).and_then(|text| text.trim().parse().ok());
        let transaction = header(&answer, "x-trans-id").unwrap_or("none").to_string();
        let text = Self::text(answer).await;
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
