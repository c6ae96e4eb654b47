//! freezer-agent: does the work on a host.
//!
//! Three ways to start it (and `freezer-scheduler`, the daemon under upstream's command line, in [`scheduler`]): `freezer-agent --action …` does one action and ends; `freezer-agent serve` is the
//! daemon of a host, fed by the conductor; `freezer-agent run-step` is the child in which the daemon runs
//! one action. All three meet in [`actions::perform`]. Never touches the service's database and never
//! holds another tenant's credentials.

pub mod actions;
pub mod command;
pub mod config;
pub mod daemon;
pub mod databases;
pub mod links;
pub mod logins;
mod metrics;
pub mod one_shot;
pub mod openstack;
pub mod options;
mod progress;
pub mod scheduler;
pub mod serve;
pub mod snapshots;
pub mod step;
pub mod step_process;
pub mod storages;
