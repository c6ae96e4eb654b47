//! `freezer-standalone demo`: the whole service in one process, and its story told through the real API.
//!
//! Nothing here is a short cut: clients, jobs and runs go through REST, the conductor fires by its own
//! schedule, the agent runs each action as a process of its own. Exit 0 only if both restored trees are
//! equal to what they are to be.

mod rest;
mod story;
mod tree;
mod watch;

use std::path::PathBuf;

/// What the command line asked for.
#[derive(Debug, clap::Args)]
pub struct DemoArgs {
    /// A folder to back up (a copy of it is used; default: a real tree of this machine)
    pub path: Option<PathBuf>,
    /// Keep the service running afterwards, until Ctrl-C
    #[arg(long)]
    pub serve: bool,
    /// Where everything is put (default: a new folder under the temporary directory)
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Port of the REST API on 127.0.0.1 (default: a free one; 9090 with --serve)
    #[arg(long)]
    pub port: Option<u16>,
    /// Largest amount of data to copy from PATH
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    pub limit_mib: u64,
}

pub use story::tell;
