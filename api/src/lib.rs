//! freezer-api: the REST service.
//!
//! Authenticates, authorizes, validates, and reads and writes what users write: jobs, actions, clients, backup records. It
//! never runs work, never talks to agents and never computes when a job is due: it marks a job for the conductors'
//! attention in the transaction that writes it, and tells them afterwards.
//!
//! A request's way: [`pipeline`] → [`routes`] → one verb's file (`jobs/create.rs`, …) → [`validate`] → the database.

pub mod body;
pub mod call;
pub mod caller;
pub mod error;
pub mod manage;
pub mod notices;
pub mod options;
pub mod pipeline;
pub mod policy;
pub mod query;
pub mod quotas;
pub mod routes;
pub mod serve;
pub mod state;
pub mod validate;

mod actions;
mod backups;
mod clients;
mod jobs;
mod runs;
mod versions;

pub use serve::{ApiParts, Listening, ServeError, app, listen, serve};
pub use state::{ApiOptions, ApiState};
