//! The one error type at the edge: status, title, description for the user, next step for the operator.
//!
//! Bodies are `{"title": …, "description": …}`, which is what every client of this API shows. What a database or
//! Keystone said never gets into a body; it goes to the log together with the next step.

use crate::validate::Refusal;
use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER, VARY};
use actix_web::{HttpResponse, ResponseError};
use freezer_database::DbError;
use freezer_model::search::SearchError;
use serde_json::{Map, Value, json};
use std::fmt;

/// Seconds after which a client may try again when a part behind this service is away, or has no room.
pub const RETRY_AFTER_SECS: u64 = 10;

#[derive(Debug)]
pub struct ApiError {
    pub status: StatusCode,
    pub title: String,
    pub description: Option<String>,
    /// For the log only: what went wrong inside and what an operator can do about it.
    pub next_step: Option<String>,
    allow: Option<String>,
    is_bare: bool,
}

impl ApiError {
    fn new(status: StatusCode, title: &str, description: impl Into<String>) -> Self {
        Self {
            status,
            title: title.to_owned(),
            description: Some(description.into()),
            next_step: None,
            allow: None,
            is_bare: false,
        }
    }

    pub fn bad_request(description: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "Bad request format", description)
    }

    pub fn malformed_json(why: impl fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "Malformed JSON", format!("The body is not JSON: {why}"))
    }

    pub fn invalid_parameter(name: &str, why: &str) -> Self {
        let text = format!("The \"{name}\" parameter is invalid. {why}");
        Self::new(StatusCode::BAD_REQUEST, "Invalid parameter", text)
    }

    pub fn forbidden() -> Self {
        let text = "You are not allowed to access this resource";
        Self::new(StatusCode::FORBIDDEN, "Access Forbidden", text)
    }

    /// As [`Self::forbidden`], with the reason.
    pub fn not_theirs(description: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "Access Forbidden", description)
    }

    pub fn over_quota(description: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "Quota exceeded", description)
    }

    /// GET of an item that is not there, or not in this project: an empty body.
    pub fn absent() -> Self {
        Self { is_bare: true, description: None, ..Self::new(StatusCode::NOT_FOUND, "Not Found", "") }
    }

    /// Any other verb on an item that is not there.
    pub fn not_found(kind: &str, id: impl fmt::Display) -> Self {
        Self::new(StatusCode::NOT_FOUND, "Not Found", format!("{kind} {id} not found"))
    }

    pub fn unknown_route() -> Self {
        Self { description: None, ..Self::new(StatusCode::NOT_FOUND, "404 Not Found", "") }
    }

    /// `allow` is the header's text.
    pub fn wrong_method(allow: String) -> Self {
        let error = Self::new(StatusCode::METHOD_NOT_ALLOWED, "405 Method Not Allowed", "");
        Self { description: None, allow: Some(allow), ..error }
    }

    pub fn not_acceptable() -> Self {
        let error = Self::new(StatusCode::NOT_ACCEPTABLE, "Not Acceptable", "");
        Self { is_bare: true, description: None, ..error }
    }

    pub fn conflict(description: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "Document already existing", description)
    }

    pub fn too_large(limit_bytes: usize) -> Self {
        let text = format!("The body is larger than {limit_bytes} bytes, the most this service takes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "Request body too large", text)
    }

    pub fn too_slow(patience: std::time::Duration) -> Self {
        let text = format!("The body did not arrive within {} seconds", patience.as_secs());
        Self::new(StatusCode::REQUEST_TIMEOUT, "Request Timeout", text)
    }

    /// Others' large bodies are in the way.
    pub fn no_room() -> Self {
        let text = "Too many large bodies are being sent at the moment; try again later.";
        Self::new(StatusCode::TOO_MANY_REQUESTS, "Too Many Requests", text)
    }

    pub fn unprocessable(description: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Unprocessable Entity", description)
    }

    /// A part behind this service is away for the moment.
    pub fn unavailable(next_step: impl Into<String>) -> Self {
        let text = "The service cannot reach its database at the moment; try again later.";
        let error = Self::new(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable", text);
        Self { next_step: Some(next_step.into()), ..error }
    }

    /// Keystone is away for the moment.
    pub fn identity_away(next_step: impl Into<String>) -> Self {
        let text = "The service cannot reach the identity service at the moment; try again later.";
        let error = Self::new(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable", text);
        Self { next_step: Some(next_step.into()), ..error }
    }

    /// What was read of a list cannot be had back from its temporary file.
    fn no_temporary_file(next_step: impl Into<String>) -> Self {
        let text = "The service cannot read its temporary files at the moment; try again later.";
        let error = Self::new(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable", text);
        Self { next_step: Some(next_step.into()), ..error }
    }

    /// Nobody decides at the moment.
    pub fn no_conductor(next_step: impl Into<String>) -> Self {
        let text = "No conductor answers at the moment; try again later.";
        let error = Self::new(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable", text);
        Self { next_step: Some(next_step.into()), ..error }
    }

    /// A trust cannot be had.
    pub fn missing_credentials(description: impl Into<String>, next_step: impl Into<String>) -> Self {
        let error = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Missing required credentials", description);
        Self { next_step: Some(next_step.into()), ..error }
    }

    pub fn internal(next_step: impl Into<String>) -> Self {
        let text = "An unexpected error occurred on the server.";
        let error = Self::new(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error", text);
        Self { next_step: Some(next_step.into()), ..error }
    }

    fn storage(inside: &DbError) -> Self {
        let text = "Database operation failed.";
        let error = Self::new(StatusCode::INTERNAL_SERVER_ERROR, "Internal Storage Error", text);
        Self { next_step: Some(inside.to_string()), ..error }
    }

    /// A row that is there and says something this program does not understand.
    fn unreadable(inside: &DbError) -> Self {
        let text = format!(
            "{inside} Nothing was changed. An operator can upgrade this service, or repair or delete the row."
        );
        let error = Self::new(StatusCode::INTERNAL_SERVER_ERROR, "Unreadable record", text);
        Self { next_step: Some(inside.to_string()), ..error }
    }

    fn body(&self) -> Value {
        let mut body = Map::new();
        body.insert("title".to_owned(), json!(self.title));
        if let Some(description) = &self.description {
            body.insert("description".to_owned(), json!(description));
        }
        Value::Object(body)
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status.as_u16(), self.title)?;
        if let Some(description) = &self.description {
            write!(f, ": {description}")?;
        }
        if let Some(next_step) = &self.next_step {
            write!(f, " ({next_step})")?;
        }
        Ok(())
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        if self.status.is_server_error() {
            tracing::error!("{self}");
        } else if self.next_step.is_some() {
            tracing::warn!("{self}");
        } else {
            tracing::debug!("{self}");
        }
        let mut response = HttpResponse::build(self.status);
        response.insert_header((CONTENT_TYPE, HeaderValue::from_static("application/json")));
        if let Some(allow) = &self.allow {
            response.insert_header((ALLOW, allow.as_str()));
        }
        if matches!(self.status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            response.insert_header((RETRY_AFTER, RETRY_AFTER_SECS));
        }
        if self.is_bare {
            return response.finish();
        }
        response.insert_header((VARY, HeaderValue::from_static("Accept")));
        response.body(self.body().to_string())
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        Self::bad_request(refusal.0)
    }
}

impl From<SearchError> for ApiError {
    fn from(error: SearchError) -> Self {
        Self::bad_request(error.to_string())
    }
}

impl From<DbError> for ApiError {
    /// Conflicts and missing rows are mostly known by their place in a handler; here is what they mean otherwise.
    fn from(error: DbError) -> Self {
        match &error {
            DbError::TooLong { .. } | DbError::OutOfRange { .. } => Self::bad_request(error.to_string()),
            DbError::Conflict { noun, id } => {
                Self::conflict(format!("{} already registered with ID {id}", title_case(noun)))
            }
            DbError::Missing { noun, id } => Self::not_found(&title_case(noun), id),
            DbError::Corrupt { .. } => Self::unreadable(&error),
            DbError::Spool { .. } => Self::no_temporary_file(error.to_string()),
            DbError::Connect { .. } => Self::unavailable(error.to_string()),
            _ if error.is_transient() => Self::unavailable(error.to_string()),
            _ => Self::storage(&error),
        }
    }
}

fn title_case(noun: &str) -> String {
    let mut letters = noun.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unreadable_row_is_named_with_what_can_be_done() {
        let (id, reason) = ("j1".to_owned(), "frozen".to_owned());
        let error = ApiError::from(DbError::Corrupt { noun: "job", id, field: "status", reason });
        assert_eq!((error.status.as_u16(), error.title.as_str()), (500, "Unreadable record"));
        let text = error.description.unwrap_or_default();
        for words in ["job \"j1\"", "status", "frozen", "upgrade this service", "repair or delete"] {
            assert!(text.contains(words), "{words}: {text}");
        }
    }
}
