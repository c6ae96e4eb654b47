//! Microsoft SQL Server: each database's own backup is level 0 of a chain, backups of its log are the levels above it, all of them made
//! and checked by the server, through the vendor's `sqlcmd`.
//!
//! The server writes into a folder that it shares with the agent. A file lies there until it is stored, and goes however that ends.

mod conf;
mod load;
mod save;
mod sqlcmd;
mod staged;

pub(crate) use conf::SqlServerConf;
pub(crate) use load::{Load, load};
pub(crate) use save::Databases;
pub(crate) use staged::Area;
