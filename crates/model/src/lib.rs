//! Domain types of Freezer: what the services say to each other and what the database remembers.
//!
//! Pure: no I/O, no clock of its own (time comes in as [`Timestamp`] or through a [`Clock`]).
//! JSON shapes of the REST API are made in [`document`]; everything else is plain data.

pub mod action;
pub mod backup;
pub mod client;
pub mod clock;
pub mod document;
pub mod ids;
pub mod job;
pub mod quota;
pub mod rpc;
pub mod run;
pub mod schedule;
pub mod search;
pub mod session;
pub mod slot;

pub use action::Action;
pub use backup::{Backup, BackupStatus, RemovedBackups};
pub use client::{Capabilities, Client, Holder, Link};
pub use clock::{Clock, ManualClock, SystemClock, Timestamp};
pub use ids::{ActionId, BackupId, ClientId, Epoch, JobId, ProjectId, RunId, SessionId, UserId};
pub use job::{Job, JobEvent, JobResult, JobState, JobStatus, TrustCredentials};
pub use quota::{Limits, Quota};
pub use run::{Progress, Run, RunState, Step, StepOutcome};
pub use session::{Member, Session};
