//! Mode project: everything a project consists of, saved as one set and restored as a whole or in parts.
//!
//! ```text
//! backup    discover ─▶ topology ─▶ members (several at a time) ─▶ set
//! restore   set ─▶ topology ─▶ target ─▶ plan ─▶ quotas ─▶ execute
//! ```

mod container;
mod discover;
mod execute;
mod make;
mod marks;
mod members;
pub mod needs;
pub mod options;
pub mod plan;
mod quotas;
pub mod requests;
mod restore;
mod save;
mod servers;
mod target;
pub mod topology;

pub use restore::restore;
pub use save::backup;
