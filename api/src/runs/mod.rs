//! Runs: the firings of jobs, as the conductor wrote them down. Read only. One verb per file.

mod list;
mod show;

pub use list::{list, list_of_job};
pub use show::show;
