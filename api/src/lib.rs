//! freezer-api: the REST service.
//!
//! Authenticates, authorizes, validates, and reads and writes what users write: jobs, actions, sessions, clients, backup
//! records. It never runs work, never waits for agents and never computes when a job is due: it marks a job for the
//! conductors' attention in the transaction that writes it, and tells them afterwards.
//!
//! A request's way: [`pipeline`] → [`routes`] → one verb's file (`jobs/create.rs`, …) → [`validate`] → the database.

pub mod body;
pub mod call;
pub mod caller;
pub mod error;
pub mod manage;
pub mod notices;
pub mod openapi;
pub mod options;
pub mod patience;
pub mod pipeline;
pub mod policy;
pub mod query;
pub mod quotas;
pub mod room;
pub mod routes;
pub mod serve;
pub mod state;
pub mod together;
pub mod trusts;
pub mod validate;
pub mod work_signals;

mod actions;
mod agents;
mod answer;
mod backups;
mod clients;
mod jobs;
mod runs;
mod sessions;
mod versions;

pub use serve::{ApiParts, Listening, ServeError, app, listen, serve};
pub use state::{ApiOptions, ApiState};
