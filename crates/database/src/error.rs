//! What can go wrong with the database, in words an operator can act on.
//!
//! Never holds the connection's password: URLs are shown without user information.

use thiserror::Error;

#[derive(Debug, Error)]
pub enum DbError {
    #[error(
        "database URL {url:?}: {reason}; expected mysql+pymysql://user:password@host:port/database or sqlite:///path"
    )]
    Url { url: String, reason: String },
    #[error(
        "database URL {url:?} names MySQL, but this program was built without it; \
         use a build with the cargo feature `mysql`, or a sqlite:/// URL"
    )]
    NeedsMysqlBuild { url: String },
    #[error(
        "cannot connect to the database {url}: {reason}; check [database] connection and that the server answers"
    )]
    Connect { url: String, reason: String },
    /// The connection was lost or no connection became free in time.
    #[error("the database is unavailable: {reason}; try again")]
    Unavailable { reason: String },
    /// A deadlock or lock timeout that stayed after all retries.
    #[error("the database is busy: {reason}; try again")]
    Contention { reason: String },
    /// A row with this key is already there.
    #[error("{noun} {id:?} already exists")]
    Conflict { noun: &'static str, id: String },
    /// The row to be changed, or a row it refers to, is not there.
    #[error("{noun} {id:?} does not exist")]
    Missing { noun: &'static str, id: String },
    #[error("{field} is too long: {length} characters, at most {max} are kept")]
    TooLong { field: &'static str, length: usize, max: usize },
    #[error("{field} {value} is out of range")]
    OutOfRange { field: &'static str, value: String },
    /// A stored value that this program cannot read.
    #[error(
        "{noun} {id:?}: stored {field} is not readable: {reason}; was the row written by a newer version?"
    )]
    Corrupt { noun: &'static str, id: String, field: &'static str, reason: String },
    #[error("database migration failed: {reason}; repair the cause and run the sync again")]
    Migration { reason: String },
    /// What a list was to be taken from, after it was read.
    #[error("a list's temporary file cannot be read: {reason}; check the disk of TMPDIR, or /var/tmp")]
    Spool { reason: String },
    #[error("database statement on {noun} failed: {reason}")]
    Statement { noun: &'static str, reason: String },
}

impl DbError {
    /// Whether the same call may succeed a moment later without any change.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Contention { .. })
    }
}

/// Puts an error of diesel into our words. `id` names the row the statement was about.
pub(crate) fn translate(noun: &'static str, id: &str, error: diesel::result::Error) -> DbError {
    use diesel::result::{DatabaseErrorKind as Kind, Error};
    let id = id.to_owned();
    match error {
        Error::NotFound => DbError::Missing { noun, id },
        Error::DatabaseError(Kind::UniqueViolation, _) => DbError::Conflict { noun, id },
        Error::DatabaseError(Kind::ForeignKeyViolation, _) => {
            DbError::Missing { noun: "a row referred to by", id: format!("{noun} {id}") }
        }
        Error::DatabaseError(Kind::SerializationFailure, info) => {
            DbError::Contention { reason: info.message().to_owned() }
        }
        Error::DatabaseError(Kind::ClosedConnection, info) => {
            DbError::Unavailable { reason: info.message().to_owned() }
        }
        Error::DatabaseError(_, info) => by_message(noun, info.message()),
        Error::BrokenTransactionManager => {
            DbError::Unavailable { reason: "the connection was lost in a transaction".to_owned() }
        }
        other => DbError::Statement { noun, reason: other.to_string() },
    }
}

/// The MySQL client library and SQLite tell some conditions only by their text
/// (the session's language is set to English for that).
fn by_message(noun: &'static str, message: &str) -> DbError {
    const LOST: [&str; 4] = ["gone away", "Lost connection", "Can't connect", "server is shutting down"];
    const LOCKED: [&str; 4] = [
        "try restarting transaction",
        "database is locked",
        "database table is locked",
        "Record has changed since last read",
    ];
    let reason = message.to_owned();
    if LOST.iter().any(|text| message.contains(text)) {
        return DbError::Unavailable { reason };
    }
    if LOCKED.iter().any(|text| message.contains(text)) {
        return DbError::Contention { reason };
    }
    DbError::Statement { noun, reason }
}
