//! Tools for tests against real parts: where the services are, databases and vhosts of one test,
//! daemons as processes that can be killed, and servers of one's own to break.
//!
//! A missing service is a failed test with a message that says how to start it, never a skipped one.

#![allow(clippy::expect_used, clippy::panic)]

pub mod bank;
pub mod daemon;
pub mod private;
pub mod said;
pub mod services;
pub mod stored;
pub mod venv;
pub mod wire;

pub use daemon::{Daemon, program};
pub use said::Said;
pub use services::{TestDatabase, TestVhost};
pub use stored::archive_files;
pub use wire::Wire;

/// A short random text for names, lower-case hex.
pub fn random_name() -> String {
    uuid::Uuid::new_v4().simple().to_string().chars().take(12).collect()
}
