//! Runs: the firings of jobs, as the conductor wrote them down; only how fast they may go is for users to change. One verb per file.

mod list;
mod show;
mod update;

pub use list::{list, list_of_job};
pub use show::show;
pub use update::{RATE_MAX, update};
