//! What the service remembers: clients, actions, jobs, sessions, runs and backup records, on MySQL or SQLite.
//!
//! One schema, two migration folders, one repository per noun; both back ends pass the same tests.
//! Every statement names the project, except where a method's name says otherwise. Everything here blocks:
//! asynchronous callers go through a blocking thread.
//!
//! ```no_run
//! # use freezer_database::*;
//! # use freezer_model::*;
//! let db = Database::connect(&DatabaseOptions::new("sqlite:////var/lib/freezer/freezer.sqlite"))?;
//! db.sync()?;
//! let job = db.read(|tx| tx.jobs().get(&ProjectId::from("p"), &JobId::from("j")))?;
//! # Ok::<(), DbError>(())
//! ```

mod actions;
mod backups;
mod beats;
mod clients;
mod connect;
mod database;
mod dispatch;
mod error;
mod imported;
mod jobs;
mod json;
mod limits;
mod options;
mod outbox;
mod page;
mod purge;
mod quotas;
mod reader;
mod run_lists;
mod runs;
mod schema;
mod sessions;
mod set_aside;
mod spool;
mod sync;
mod tables;
mod target;
mod trusts;
pub mod upstream;

pub use actions::Actions;
pub use backups::{BackupFilter, Backups, ShownBackup};
pub use beats::{Holding, Known};
pub use clients::{ClientFilter, Clients};
pub use database::{Database, DatabaseOptions, Tx};
pub use dispatch::{ActiveRuns, Occupied, Shares, Worker, Workers};
pub use error::DbError;
pub use imported::Imported;
pub use jobs::{DueJob, JobFilter, JobList, Jobs, LargePage, Planning, Scope, SeenJob, ShownJob};
pub use options::{default_limits, options, quota_options};
pub use outbox::{Letter, Outbox};
pub use page::{Cursor, Page, Residual};
pub use purge::PurgePlan;
pub use quotas::Quotas;
pub use run_lists::HandedRun;
pub use runs::{RunFilter, Runs};
pub use sessions::{SessionFilter, Sessions};
pub use set_aside::Claimed;
pub use sync::SchemaVersion;
pub use trusts::Trusts;
