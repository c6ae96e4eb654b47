//! `--no-api`: the jobs of a folder run without a service and without Keystone.
//!
//! What a conductor does for the agents of a cloud is done here for one machine, by the same rules: [`desk`] holds the jobs of
//! the files and decides with `freezer_model::planning` and `freezer_model::outcome`; the steps are those of the usual
//! [`Executor`](crate::daemon::Executor), whose link ends at the desk.
//!
//! Invariants: nothing is handed out, and no outcome is answered, before the job's state is on the disk; a file that somebody
//! else could have written is not obeyed.

mod desk;
mod document;
mod filed;
mod files;
mod link;
mod serve;
mod state;
#[cfg(test)]
mod tests;

pub use serve::{check, serve};
