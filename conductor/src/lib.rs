//! The conductor: time and state of every job and run. It looks at jobs when their time has come or somebody asked, fires
//! runs, hands their steps to agents one at a time, notes what agents report and decides what comes next.
//!
//! Any number of conductors work side by side: all state is in the database, rows are claimed there, and a run's epoch tells
//! the current holder of a step from an older one. What is to be sent over the bus is sent after the commit; when a
//! process dies in between, another one hands the step out again within seconds.
//!
//! It never serves users, never moves backup data, and never drives a client that polls (upstream's scheduler).

mod adopt;
mod announce;
mod claim_jobs;
mod claim_runs;
mod conductor;
mod courier;
mod desk;
mod dispatch;
mod endpoint;
mod error;
mod finish_run;
mod forget_removed;
mod hand_out;
mod heartbeats;
mod hello;
mod leases;
mod limit_run;
mod metrics;
mod note_sent;
mod options;
mod record_backup;
mod reporter;
mod reports;
mod serve_metrics;
mod session;
mod shorten;
mod slots;
mod unheard;
mod webhook;

pub use conductor::{Conductor, ConductorParts, start};
pub use error::ConductorError;
pub use metrics::Metrics;
pub use options::{ConductorOptions, options, registry};
pub use webhook::WebhookOptions;
