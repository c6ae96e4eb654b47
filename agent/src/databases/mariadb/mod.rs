//! MariaDB's files: a physical backup is level 0 of a chain, the binary logs that came since are each level above it. A restore makes a
//! data directory and brings it to the end of the logs, to a time, or to a place in them.
//!
//! Nothing is staged on disk. The server keeps its logs by its own rules; one that is missing starts a new chain.

mod places;
mod restore;
mod server;
mod source;

pub use places::LogPlace;
pub(crate) use restore::{Replay, restore};
pub(crate) use source::Files;
