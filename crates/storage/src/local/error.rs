//! What the kernel's errors mean for a store.

use crate::store::StoreError;
use std::io;

/// Where something happened: the store and the object, for messages.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub store: String,
    pub name: String,
}

impl Place {
    pub fn other(&self, cause: impl Into<String>) -> StoreError {
        StoreError::Other { store: self.store.clone(), name: self.name.clone(), cause: cause.into() }
    }

    pub fn not_found(&self) -> StoreError {
        StoreError::NotFound { store: self.store.clone(), name: self.name.clone() }
    }

    /// `doing` is a few words: "opening", "renaming".
    pub fn io(&self, doing: &str, error: &io::Error) -> StoreError {
        let (store, name) = (self.store.clone(), self.name.clone());
        let cause = format!("{doing}: {error}");
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                StoreError::Full { store, name, cause }
            }
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => StoreError::Refused {
                store,
                cause: format!("{name}: {cause}; check owner, mode and mount options"),
            },
            io::ErrorKind::NotFound => StoreError::NotFound { store, name },
            _ => StoreError::Other { store, name, cause },
        }
    }

    /// For a closure in `map_err`.
    pub fn doing<'a>(&'a self, doing: &'a str) -> impl Fn(io::Error) -> StoreError + 'a {
        move |error| self.io(doing, &error)
    }
}
