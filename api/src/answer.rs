//! JSON answers that are written where their rows were read, on the blocking thread, without a tree of values between.

use crate::error::ApiError;
use actix_web::HttpResponse;
use actix_web::http::header::ContentType;
use serde::Serialize;

/// The document as bytes.
pub fn text(document: &impl Serialize) -> Result<Vec<u8>, ApiError> {
    serde_json::to_vec(document)
        .map_err(|error| ApiError::internal(format!("an answer cannot be written: {error}")))
}

/// 200 with such bytes.
pub fn json(text: Vec<u8>) -> HttpResponse {
    HttpResponse::Ok().content_type(ContentType::json()).body(text)
}
