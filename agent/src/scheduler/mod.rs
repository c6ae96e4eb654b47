//! `freezer-scheduler`: upstream's command line over this agent. `start stop restart status reload` run the daemon of
//! [`crate::serve`] on the HTTPS link; the other verbs are thin calls of the REST API.
//!
//! The daemon does not poll and keeps no schedule: the service decides what is due. So there is nothing that could run from job
//! files alone, and `--no-api` is refused.

mod command;
mod config;
mod daemon;
mod exit;
mod flags;
mod pid_file;
mod serve;
mod table;
mod verbs;

pub use command::run;

use std::path::PathBuf;

/// The user's folder.
fn home() -> PathBuf {
    std::env::var_os("HOME").filter(|home| !home.is_empty()).map_or_else(|| PathBuf::from("/"), PathBuf::from)
}
