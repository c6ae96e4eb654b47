//! Reading request bodies: any content type, chunked or not, up to a size and a depth.

use crate::error::ApiError;
use crate::room::{Place, Room, SMALL_BYTES};
use actix_web::HttpRequest;
use actix_web::dev::Payload;
use actix_web::http::header::CONTENT_LENGTH;
use bytes::BytesMut;
use futures_util::StreamExt;
use serde_json::{Map, Value};
use std::time::Duration;

/// Nesting that is taken. JSON functions of MariaDB stop at 32 too, and no document of this API has more than a few.
const MAX_DEPTH: usize = 32;

/// A body that is too large is still read (and thrown away) up to here: a client that is cut off while it sends
/// sees a broken connection instead of the answer.
const DRAINED_BYTES: usize = 64 << 20;

/// A request's body as JSON; `None` when there is none (also on GET, where searches travel).
pub struct JsonBody(pub Option<Value>);

impl JsonBody {
    /// The body as the object it must be.
    pub fn into_object(self) -> Result<Map<String, Value>, ApiError> {
        match self.0 {
            Some(Value::Object(map)) => Ok(map),
            Some(other) => {
                let found = crate::validate::object::kind(&other);
                Err(ApiError::bad_request(format!("The body must be a JSON object, not {found}")))
            }
            None => Err(ApiError::bad_request("The body is empty; a JSON object is needed")),
        }
    }
}

/// How much of a body is taken, and how long that may take.
#[derive(Clone, Copy)]
pub struct Limits {
    pub bytes: usize,
    pub patience: Duration,
}

/// Reads and parses the body, whatever its content type says. A sender that dawdles does not hold its connection for ever. A large
/// body comes with the place that it takes in the room of its project, to be held as long as the body.
pub async fn take(
    request: &HttpRequest,
    payload: Payload,
    limits: Limits,
    (room, project): (&Room, &str),
) -> Result<(JsonBody, Option<Place>), ApiError> {
    let collected = collect(request, payload, limits, (room, project));
    let arrived = tokio::time::timeout(limits.patience, collected).await;
    arrived.unwrap_or_else(|_| Err(ApiError::too_slow(limits.patience)))
}

async fn collect(
    request: &HttpRequest,
    mut payload: Payload,
    limits: Limits,
    (room, project): (&Room, &str),
) -> Result<(JsonBody, Option<Place>), ApiError> {
    let limit = limits.bytes;
    let announced = request
        .headers()
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse::<usize>().ok());
    let mut body = BytesMut::new();
    let mut place = None;
    let mut seen = 0_usize;
    let mut is_too_large = announced.is_some_and(|length| length > limit);
    while let Some(chunk) = payload.next().await {
        let chunk =
            chunk.map_err(|error| ApiError::bad_request(format!("The body could not be read: {error}")))?;
        seen = seen.saturating_add(chunk.len());
        is_too_large |= seen > limit;
        if !is_too_large {
            if seen > SMALL_BYTES && place.is_none() {
                // Half of the time, so that it is not the sender who is told that he is slow.
                let entered = room.enter(project, announced.unwrap_or(limit).min(limit));
                let entered = tokio::time::timeout(limits.patience / 2, entered).await;
                place = Some(entered.ok().flatten().ok_or_else(ApiError::no_room)?);
            }
            body.extend_from_slice(&chunk);
        } else if seen > DRAINED_BYTES {
            break;
        }
    }
    if is_too_large {
        return Err(ApiError::too_large(limit));
    }
    Ok((parse(&body).map(JsonBody)?, place))
}

fn parse(body: &[u8]) -> Result<Option<Value>, ApiError> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    let value: Value = serde_json::from_slice(body).map_err(ApiError::malformed_json)?;
    if depth_exceeds(&value, MAX_DEPTH) {
        return Err(ApiError::bad_request(format!("The body is nested more than {MAX_DEPTH} levels deep")));
    }
    Ok(Some(value))
}

fn depth_exceeds(value: &Value, left: usize) -> bool {
    let deeper = |inner: &Value| left == 0 || depth_exceeds(inner, left - 1);
    match value {
        Value::Object(map) => left == 0 || map.values().any(deeper),
        Value::Array(items) => left == 0 || items.iter().any(deeper),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn depth_and_shape() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(parse(nested(MAX_DEPTH).as_bytes()).is_ok());
        assert!(parse(nested(MAX_DEPTH + 1).as_bytes()).is_err());
        assert_eq!(parse(nested(100_000).as_bytes()).unwrap_err().status, 400);
        assert!(parse(b" \r\n").unwrap().is_none());
        for broken in ["{", "{\"a\": 1e999}", "\"\\ud800\"", "{} {}", "nul", "\u{feff}{}"] {
            assert_eq!(parse(broken.as_bytes()).unwrap_err().title, "Malformed JSON", "{broken}");
        }
        assert_eq!(parse(&[0xff, 0xfe]).unwrap_err().status, 400);
    }
}
