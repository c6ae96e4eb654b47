//! JSON answers that are written where their rows were read, on the blocking thread, without a tree of values between.

use crate::error::ApiError;
use actix_web::HttpResponse;
use actix_web::http::header::ContentType;

/// What most documents fit in: room made once costs less than room made again and again.
const USUAL_BYTES: usize = 1024;

/// One document as bytes.
pub fn item(write: impl FnOnce(&mut Vec<u8>) -> serde_json::Result<()>) -> Result<Vec<u8>, ApiError> {
    let mut out = Vec::with_capacity(USUAL_BYTES);
    write(&mut out).map_err(unwritable)?;
    Ok(out)
}

/// `{"name": [ … ]}` as bytes.
pub fn list<T>(
    name: &str,
    items: &[T],
    mut write: impl FnMut(&T, &mut Vec<u8>) -> serde_json::Result<()>,
) -> Result<Vec<u8>, ApiError> {
    let mut out = Vec::with_capacity(USUAL_BYTES.saturating_mul(items.len() + 1));
    out.extend_from_slice(format!("{{\"{name}\":[").as_bytes());
    for (index, one) in items.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(one, &mut out).map_err(unwritable)?;
    }
    out.extend_from_slice(b"]}");
    Ok(out)
}

fn unwritable(error: serde_json::Error) -> ApiError {
    ApiError::internal(format!("an answer cannot be written: {error}"))
}

/// 200 with such bytes.
pub fn json(text: Vec<u8>) -> HttpResponse {
    HttpResponse::Ok().content_type(ContentType::json()).body(text)
}
