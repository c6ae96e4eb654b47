//! The daemon of a host: takes steps from the conductor, runs each as one child process, reports.
//!
//! Invariants: a step is journaled before it runs and until its outcome was answered; one run has at
//! most one child at a time; a step of another project is refused unless this agent is central, and a central one refuses what
//! would reach its host. What the agent's own file does not admit is refused whoever asks.

mod central;
pub mod child;
mod executor;
mod heartbeat;
pub mod journal;
mod narrowed;
mod run_logins;
mod run_step;

pub use executor::{Accepted, Executor, ExecutorOptions};
pub use heartbeat::heartbeat_forever;
