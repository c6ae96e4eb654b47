//! Where backups are kept: the [`Store`] trait and its implementations.
//!
//! A store knows objects, names and bytes; it knows nothing of backups. [`open`] turns a
//! [`StoreConfig`] into a ready store. Decorators add retry, throttling, counting and (in tests)
//! faults at its edge; each of them is a [`Store`] itself.
//!
//! What this crate never does: follow a symbolic link out of a root, put a secret in a message, or
//! answer success before the bytes are durable.

pub mod clock;
pub mod config;
pub mod count;
pub mod fault;
pub mod ftp;
mod http;
pub mod local;
pub mod retry;
mod root;
pub mod s3;
pub mod ssh;
pub mod stamp;
pub mod store;
pub mod suite;
pub mod swift;
pub mod throttle;
mod walk;

pub use clock::{Clock, ManualClock, SystemClock};
pub use config::{
    FtpConfig, FtpTls, S3Config, SshAuth, SshConfig, StoreConfig, SwiftConfig, open, open_with,
};
pub use count::{Counted, Counts, Method};
pub use fault::{Fault, FaultKind, Faulty};
pub use ftp::FtpStore;
pub use keystone::Secret;
pub use local::LocalStore;
pub use retry::{Retry, RetryPolicy, Retrying};
pub use s3::S3Store;
pub use ssh::SshStore;
pub use stamp::Stamp;
pub use store::{ByteStream, Entry, LargeWriter, ObjectInfo, ObjectName, Skips, Store, StoreError};
pub use swift::{SessionAccess, SwiftAccess, SwiftStore};
pub use throttle::{Limiter, Limits, Throttled};
