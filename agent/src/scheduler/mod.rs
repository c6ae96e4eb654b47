//! `freezer-scheduler`: upstream's command line over this agent. `start stop restart status reload` run the daemon of
//! [`crate::serve`] on the HTTPS link; the other verbs are thin calls of the REST API.
//!
//! The daemon does not poll and keeps no schedule: the service decides what is due. Only with `--no-api` ([`alone`]) it
//! decides itself, by the service's rules, over the jobs of a folder.

mod alone;
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
