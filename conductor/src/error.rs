//! What can go wrong in a conductor.

use freezer_database::DbError;
use thiserror::Error;

#[derive(Debug, Error)]
pub enum ConductorError {
    #[error(transparent)]
    Database(#[from] DbError),
    #[error(transparent)]
    Messaging(#[from] oslo_messaging::Error),
    #[error("{trouble}")]
    Schema { trouble: String },
    #[error(
        "cannot serve metrics on {address}: {cause}; change [conductor] metrics_bind_host or metrics_bind_port"
    )]
    Metrics { address: String, cause: std::io::Error },
    #[error("the database has not answered for {0:?}")]
    Silent(std::time::Duration),
    #[error("a worker thread was lost: {0}")]
    Worker(String),
}

impl ConductorError {
    /// Whether this process has lost its way to the database.
    pub(crate) fn is_without_database(&self) -> bool {
        match self {
            Self::Database(error) => matches!(error, DbError::Unavailable { .. } | DbError::Connect { .. }),
            Self::Silent(_) => true,
            _ => false,
        }
    }
}
