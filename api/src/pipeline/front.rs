//! The outermost layer: settles the path, names the request, measures it, and writes one log line about it.

use super::origin::Origin;
use super::paths;
use crate::call::RequestId;
use crate::error::RETRY_AFTER_SECS;
use crate::state::ApiState;
use actix_web::body::{BodySize, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderName, HeaderValue, RETRY_AFTER};
use actix_web::middleware::Next;
use actix_web::{HttpMessage, web};
use oslo_log::RequestContext;
use std::time::Instant;
use tracing::Instrument;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-openstack-request-id");

/// Middleware around everything else.
pub async fn around(
    mut request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let started = Instant::now();
    let state = request.app_data::<web::Data<ApiState>>().cloned();
    let id = request_id(&request);
    if let Some(state) = &state {
        let options = &state.options;
        let origin = Origin::of(&request, options.trusts_proxy_headers, &options.url_prefix);
        request.extensions_mut().insert(origin);
        paths::settle(&mut request, &options.url_prefix);
    }
    request.extensions_mut().insert(RequestId(id.clone()));
    let span = oslo_log::span(&RequestContext::new(&id));
    let _in_progress = state.as_ref().map(|state| state.metrics.begin());
    let asked = Asked::of(&request);
    let mut response = next.call(request).instrument(span.clone()).await?;
    settle_headers(&mut response, &id);
    let took = started.elapsed();
    let status = response.status().as_u16();
    if let Some(state) = &state {
        let route = response.request().match_pattern().unwrap_or_else(|| "unknown".to_owned());
        state.metrics.answered(&route, asked.counted_method(), status, took);
    }
    let length = match response.response().body().size() {
        BodySize::Sized(bytes) => bytes,
        _ => 0,
    };
    span.in_scope(|| {
        tracing::info!(
            "{} \"{} {}\" status: {status} len: {length} time: {:.4}",
            asked.source,
            asked.method,
            asked.path,
            took.as_secs_f64(),
        );
    });
    Ok(response)
}

fn settle_headers(response: &mut ServiceResponse<impl MessageBody>, id: &str) {
    let is_away = response.status() == StatusCode::SERVICE_UNAVAILABLE;
    let is_named = is_named(response);
    let headers = response.headers_mut();
    if is_named && let Ok(value) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, value);
    }
    if is_away && !headers.contains_key(RETRY_AFTER) {
        headers.insert(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECS));
    }
}

/// Upstream names what has passed authentication: not the root, not the health check, not a refused token. The log names them all.
fn is_named(response: &ServiceResponse<impl MessageBody>) -> bool {
    let path = response.request().path();
    let is_open = path == "/" || path == "/healthcheck" || path.starts_with("/healthcheck/");
    !is_open && response.status() != StatusCode::UNAUTHORIZED
}

/// What the log line says about the request. Never the query string or a header: either may hold a secret.
struct Asked {
    source: String,
    method: String,
    path: String,
}

impl Asked {
    fn of(request: &ServiceRequest) -> Self {
        Self {
            source: request.peer_addr().map_or_else(|| "-".to_owned(), |address| address.ip().to_string()),
            method: request.method().to_string(),
            // A path is percent-encoded, so it cannot break the line; a very long one is cut.
            path: request.path().chars().take(512).collect(),
        }
    }

    /// A method is any word a client likes to send; unknown ones share a series.
    fn counted_method(&self) -> &str {
        match self.method.as_str() {
            known @ ("GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS") => known,
            _ => "other",
        }
    }
}

/// The id a client sent, if it can be one; else a new one.
fn request_id(request: &ServiceRequest) -> String {
    let sent = request.headers().get(REQUEST_ID).and_then(|value| value.to_str().ok());
    sent.and_then(oslo_log::adopt_inbound).unwrap_or_else(oslo_log::new_request_id)
}
