//! Tools for tests against real parts: where the services are, databases and vhosts of one test,
//! daemons as processes that can be killed, and servers of one's own to break.
//!
//! A missing service is a failed test with a message that says how to start it, never a skipped one.

#![allow(clippy::expect_used, clippy::panic)]

pub mod adopted;
pub mod bank;
pub mod daemon;
pub mod private;
pub mod said;
pub mod services;
pub mod sshd;
pub mod stored;
pub mod venv;
pub mod wire;

pub use daemon::{Daemon, program};
pub use said::Said;
pub use services::{TestDatabase, TestVhost};
pub use sshd::PasswordSshd;
pub use stored::archive_files;
pub use wire::Wire;

/// A short random text for names, lower-case hex.
pub fn random_name() -> String {
    uuid::Uuid::new_v4().simple().to_string().chars().take(12).collect()
}

/// Bytes that no compressor shortens, the same for the same seed.
pub fn noise(seed: u64, size: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}
