//! JSON kept in text columns, with the order of its keys.

use crate::DbError;
use freezer_model::document::StoredObject;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

/// What the stored text of an object is read into.
pub trait Stored: Sized {
    fn read(text: String) -> serde_json::Result<Self>;
}

impl Stored for Map<String, Value> {
    fn read(text: String) -> serde_json::Result<Self> {
        serde_json::from_str(&text)
    }
}

impl Stored for StoredObject {
    fn read(text: String) -> serde_json::Result<Self> {
        Self::parse(text)
    }
}

/// An object of the row.
pub(crate) fn object<D: Stored>(
    noun: &'static str,
    id: &str,
    field: &'static str,
    text: String,
) -> Result<D, DbError> {
    D::read(text).map_err(|error| corrupt(noun, id, field, &error.to_string()))
}

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
