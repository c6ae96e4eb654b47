//! PostgreSQL: a base backup is level 0 of a chain, the write-ahead log that came since is each level above it. A restore makes a
//! data directory that the server recovers by itself, to the end of the log or to a point in time.
//!
//! Nothing is staged on disk. A replication slot keeps the log on the server until a level is committed, so a backup that fails
//! loses nothing, and a log with a gap is seen and starts a new chain.

mod cluster;
mod conf;
mod log;
mod lsn;
mod restore;
mod server;

pub(crate) use cluster::Cluster;
pub(crate) use conf::PostgresqlConf;
pub use lsn::Lsn;
pub(crate) use restore::{Recovery, Target, aim};
