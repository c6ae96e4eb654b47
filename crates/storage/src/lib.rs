//! Where backups are kept: the [`Store`] trait and its implementations.
//!
//! A store knows objects, names and bytes; it knows nothing of backups. Decorators add retry,
//! throttling, counting and (in tests) faults at its edge.

pub mod store;

pub use store::{ByteStream, Entry, LargeWriter, ObjectInfo, ObjectName, Store, StoreError};
