//! A request to a service of the cloud: found in the catalogue, sent with the session's token.
//!
//! One new login when the token is refused (401), repetitions when the server is busy, ill or gone. A body that
//! is a stream can be sent once only: then a refused token is noted for the next request, and the answer is
//! handed back for the caller to start over.

use crate::error::KeystoneError;
use crate::options::{Interface, RetryPolicy};
use crate::retry::retry_after;
use crate::session::Session;
use bytes::Bytes;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Response, StatusCode};
use serde::Serialize;
use std::time::Duration;

/// Built by [`Session::request`], sent by [`ServiceRequest::send`].
#[must_use = "nothing is sent before send()"]
pub struct ServiceRequest {
    session: Session,
    method: Method,
    target: Target,
    interface: Option<Interface>,
    region: Option<String>,
    headers: HeaderMap,
    query: Vec<(String, String)>,
    body: Body,
    timeout: Option<Duration>,
    /// Instead of the session's.
    retries: Option<RetryPolicy>,
    /// The first thing that could not be put into the request; told by `send`.
    problem: Option<KeystoneError>,
}

enum Target {
    Service { service_type: String, path: String },
    Address(String),
}

enum Body {
    Empty,
    Bytes(Bytes),
    Stream(reqwest::Body),
    /// A stream that was sent.
    Spent,
}

impl Session {
    /// A request for `path` (begins with `/`, already percent-encoded) below the endpoint of a service.
    pub fn request(&self, method: Method, service_type: &str, path: &str) -> ServiceRequest {
        let target = Target::Service { service_type: service_type.to_owned(), path: path.to_owned() };
        ServiceRequest::new(self.clone(), method, target)
    }

    /// A request for a whole address, for instance the next page a service pointed to. The token is sent
    /// there: never pass an address that a stranger chose.
    pub fn request_address(&self, method: Method, address: &str) -> ServiceRequest {
        ServiceRequest::new(self.clone(), method, Target::Address(address.to_owned()))
    }
}

impl ServiceRequest {
    fn new(session: Session, method: Method, target: Target) -> Self {
        Self {
            session,
            method,
            target,
            interface: None,
            region: None,
            headers: HeaderMap::new(),
            query: Vec::new(),
            body: Body::Empty,
            timeout: None,
            retries: None,
            problem: None,
        }
    }

    pub fn method(&self) -> &Method {
        &self.method
    }

    /// Another interface than the session's.
    pub fn interface(mut self, interface: Interface) -> Self {
        self.interface = Some(interface);
        self
    }

    /// Another region than the session's.
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.region = Some(region.into());
        self
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        match (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value)) {
            (Ok(name), Ok(value)) => {
                self.headers.append(name, value);
            }
            (Err(error), _) => self.note_problem(format!("header {name}"), error.to_string()),
            // The value may be secret: only its name is told.
            (_, Err(error)) => self.note_problem(format!("the value of header {name}"), error.to_string()),
        }
        self
    }

    /// Sends `X-OpenStack-Request-ID`, so that the logs of all services can be joined.
    pub fn request_id(self, id: &str) -> Self {
        self.header("X-OpenStack-Request-ID", id)
    }

    pub fn query(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.query.push((key.into(), value.into()));
        self
    }

    pub fn json(mut self, value: &impl Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(bytes) => self.body = Body::Bytes(bytes.into()),
            Err(error) => self.note_problem("the JSON body".to_owned(), error.to_string()),
        }
        self.header("Content-Type", "application/json")
    }

    /// A body that can be sent again.
    pub fn bytes(mut self, bytes: impl Into<Bytes>) -> Self {
        self.body = Body::Bytes(bytes.into());
        self
    }

    /// A body that can be sent only once: no repetition of any kind.
    pub fn stream(mut self, body: impl Into<reqwest::Body>) -> Self {
        self.body = Body::Stream(body.into());
        self
    }

    /// Whether the body comes from somewhere while it is sent.
    pub fn is_stream(&self) -> bool {
        matches!(self.body, Body::Stream(_))
    }

    /// Limit for the whole exchange, the answer's body included. None by default.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// Other repetitions than the session's.
    pub fn retries(mut self, policy: RetryPolicy) -> Self {
        self.retries = Some(policy);
        self
    }

    fn note_problem(&mut self, what: String, cause: String) {
        self.problem.get_or_insert(KeystoneError::Unsendable { what, cause });
    }

    /// Sends. Any answer with a status is `Ok`, also 4xx and, after the repetitions, 5xx and 401.
    pub async fn send(mut self) -> Result<Response, KeystoneError> {
        if let Some(problem) = self.problem.take() {
            return Err(problem);
        }
        let policy = self.retries.unwrap_or(self.session.options().retries);
        let may_repeat = !matches!(self.body, Body::Stream(_));
        let mut logged_in_again = false;
        let mut repetition = 0;
        loop {
            let url = self.url().await?;
            let token = self.session.token().await?;
            let outcome = self.send_once(&url, token.expose()).await;
            let refused = matches!(&outcome, Ok(answer) if answer.status() == StatusCode::UNAUTHORIZED);
            if refused && !logged_in_again {
                self.session.refuse(&token);
                if may_repeat {
                    logged_in_again = true;
                    continue;
                }
            }
            let again = may_repeat && repetition < policy.max_retries && self.worth_repeating(&outcome);
            if !again {
                return outcome.map_err(|error| KeystoneError::unreachable(&url, &error));
            }
            let asked = outcome.as_ref().ok().and_then(|a| retry_after(a.headers(), self.session.now()));
            let pause = policy.pause(repetition, asked);
            tracing::debug!(method = %self.method, url, ?pause, "trying again");
            tokio::time::sleep(pause).await;
            repetition += 1;
        }
    }

    async fn url(&self) -> Result<String, KeystoneError> {
        match &self.target {
            Target::Address(address) => Ok(address.clone()),
            Target::Service { service_type, path } => {
                let base =
                    self.session.endpoint(service_type, self.interface, self.region.as_deref()).await?;
                let slash = if path.is_empty() || path.starts_with('/') { "" } else { "/" };
                Ok(format!("{base}{slash}{path}"))
            }
        }
    }

    async fn send_once(&mut self, url: &str, token: &str) -> reqwest::Result<Response> {
        let mut request = self.session.http().request(self.method.clone(), url).headers(self.headers.clone());
        if let Ok(mut value) = HeaderValue::from_str(token) {
            value.set_sensitive(true);
            request = request.header("X-Auth-Token", value);
        }
        if !self.query.is_empty() {
            request = request.query(&self.query);
        }
        if let Some(limit) = self.timeout {
            request = request.timeout(limit);
        }
        request = match std::mem::replace(&mut self.body, Body::Spent) {
            Body::Bytes(bytes) => {
                self.body = Body::Bytes(bytes.clone());
                request.body(bytes)
            }
            Body::Stream(stream) => request.body(stream),
            empty @ (Body::Empty | Body::Spent) => {
                self.body = empty;
                request
            }
        };
        request.send().await
    }

    /// A request that may have been carried out is repeated only if doing it twice is doing it once.
    fn worth_repeating(&self, outcome: &reqwest::Result<Response>) -> bool {
        let harmless_twice = matches!(self.method.as_str(), "GET" | "HEAD" | "OPTIONS" | "PUT" | "DELETE");
        match outcome {
            Ok(answer) => match answer.status().as_u16() {
                429 | 503 => true,
                500 | 502 | 504 => harmless_twice,
                _ => false,
            },
            Err(error) if error.is_connect() => true,
            Err(error) => harmless_twice && error.is_request() && !error.is_timeout(),
        }
    }
}
