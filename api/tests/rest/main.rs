#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
//! The REST contract over real HTTP: a server on a port of its own, SQLite below it, identities as headers say.

mod actions;
mod agents;
mod attention;
mod backups;
mod bad_input;
mod clients;
mod fields;
mod harness;
mod isolation;
mod isolation_matrix;
mod job_actions;
mod job_events;
mod job_writes;
mod jobs;
mod lists;
mod look_alikes;
mod openapi;
mod policy;
mod quotas;
mod retention_plans;
mod runs;
mod search;
mod session_rounds;
mod sessions;
mod slow_senders;
mod surface;
mod wrong_types;
