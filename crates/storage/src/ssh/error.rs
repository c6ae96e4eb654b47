//! What the server's answers mean for a store.

use super::connect::Link;
use super::{SshStore, Wrong};
use crate::store::StoreError;
use russh_sftp::client::error::Error;
use russh_sftp::protocol::StatusCode;

/// Less room than this and a failed write is put down to a full disk.
const FULL_BYTES: u64 = 1 << 20;

/// True when the file or folder is not there.
pub(super) fn is_missing(error: &Error) -> bool {
    matches!(error, Error::Status(status) if status.status_code == StatusCode::NoSuchFile)
}

pub(super) fn is_end(error: &Error) -> bool {
    matches!(error, Error::Status(status) if status.status_code == StatusCode::Eof)
}

/// SFTP's word for everything it has no word for.
pub(super) fn is_failure(error: &Error) -> bool {
    matches!(error, Error::Status(status) if status.status_code == StatusCode::Failure)
}

impl SshStore {
    pub(super) fn missing(&self, name: &str) -> StoreError {
        StoreError::NotFound { store: self.inner.label.clone(), name: name.to_string() }
    }
    pub(super) fn other(&self, name: &str, cause: impl Into<String>) -> StoreError {
        StoreError::Other { store: self.inner.label.clone(), name: name.to_string(), cause: cause.into() }
    }
    pub(super) fn unavailable(&self, name: &str, cause: impl Into<String>) -> StoreError {
        let (store, name) = (self.inner.label.clone(), name.to_string());
        StoreError::Unavailable { store, name, cause: cause.into(), retry_after: None }
    }

    /// Turns an answer into an error of the store. A connection that is of no more use is forgotten, so that
    /// the next call makes a new one.
    pub(super) async fn wrong(&self, link: &Wrong<'_>, doing: &str, error: Error) -> StoreError {
        let (store, name) = (self.inner.label.clone(), link.name.to_string());
        let cause = format!("{doing}: {error}");
        match &error {
            Error::Status(status) => match status.status_code {
                StatusCode::NoSuchFile => StoreError::NotFound { store, name },
                StatusCode::PermissionDenied => StoreError::Refused {
                    store,
                    cause: format!("{name}: {cause}; check owner and mode there"),
                },
                StatusCode::NoConnection | StatusCode::ConnectionLost => {
                    self.forget(link.link).await;
                    self.unavailable(&name, cause)
                }
                StatusCode::Failure if is_full(link.link).await => StoreError::Full { store, name, cause },
                _ => StoreError::Other { store, name, cause },
            },
            Error::Limited(_) => StoreError::Other { store, name, cause },
            Error::IO(_) | Error::Timeout | Error::UnexpectedPacket | Error::UnexpectedBehavior(_) => {
                self.forget(link.link).await;
                self.unavailable(&name, cause)
            }
        }
    }
}

/// SFTP tells a full disk only as "failure": ask how much room there is.
async fn is_full(link: &Link) -> bool {
    if !link.statvfs {
        return false;
    }
    match link.sftp.statvfs(link.root.as_str()).await {
        Ok(room) => {
            room.blocks_avail.saturating_mul(room.fragment_size) < FULL_BYTES || room.inodes_avail == 0
        }
        Err(_) => false,
    }
}
