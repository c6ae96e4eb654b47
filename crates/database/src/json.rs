//! JSON kept in text columns, with the order of its keys.

use crate::DbError;
use serde::{Serialize, de::DeserializeOwned};

pub(crate) fn to_text<T: Serialize>(noun: &'static str, value: &T) -> Result<String, DbError> {
    serde_json::to_string(value).map_err(|error| DbError::Statement { noun, reason: error.to_string() })
}

pub(crate) fn from_text<T: DeserializeOwned>(
    noun: &'static str,
    id: &str,
    field: &'static str,
    text: &str,
) -> Result<T, DbError> {
    serde_json::from_str(text).map_err(|error| corrupt(noun, id, field, &error.to_string()))
}

pub(crate) fn corrupt(noun: &'static str, id: &str, field: &'static str, reason: &str) -> DbError {
    DbError::Corrupt { noun, id: id.to_owned(), field, reason: reason.to_owned() }
}

/// A number that the database keeps with a sign.
pub(crate) fn stored_index(field: &'static str, value: usize) -> Result<i32, DbError> {
    i32::try_from(value).map_err(|_| DbError::OutOfRange { field, value: value.to_string() })
}
