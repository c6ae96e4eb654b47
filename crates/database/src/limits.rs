//! Column lengths. SQLite would take anything and MySQL would refuse with a statement error;
//! checking here gives both back ends one typed answer.

use crate::DbError;

pub(crate) const PROJECT_ID: usize = 64;
pub(crate) const USER_ID: usize = 64;
/// Ids of jobs, actions, backups, runs, sessions, and a client's uuid.
pub(crate) const ID: usize = 64;
pub(crate) const CLIENT_ID: usize = 255;
pub(crate) const SHORT_TEXT: usize = 255;
/// Containers and backup names.
pub(crate) const NAME: usize = 512;

/// Refuses a text of more than `max` characters.
pub(crate) fn fits(field: &'static str, text: &str, max: usize) -> Result<(), DbError> {
    // Bytes are at least as many as characters: the cheap test settles nearly every call.
    if text.len() <= max {
        return Ok(());
    }
    let length = text.chars().count();
    if length <= max {
        return Ok(());
    }
    Err(DbError::TooLong { field, length, max })
}

pub(crate) fn fits_if_any(field: &'static str, text: Option<&str>, max: usize) -> Result<(), DbError> {
    text.map_or(Ok(()), |text| fits(field, text, max))
}
