//! Domain types of Freezer: what the services say to each other and what the database remembers.
//!
//! Pure: no I/O, no clock of its own (time comes in as [`Timestamp`] or through a [`Clock`]).
//! JSON shapes of the REST API are made in [`document`]; everything else is plain data.

pub mod action;
pub mod backup;
pub mod bytes;
pub mod client;
pub mod clock;
pub mod document;
pub mod ids;
pub mod job;
pub mod naming;
pub mod outcome;
pub mod planning;
pub mod quota;
pub mod rate_limits;
pub mod retention;
pub mod rpc;
pub mod run;
pub mod schedule;
pub mod search;
pub mod session;
pub mod slot;
pub mod unheard;

pub use action::Action;
pub use backup::{Backup, BackupStatus, RemovedBackups, TIME_STAMP_MAX};
pub use client::{Capabilities, Client, Holder, Link};
pub use clock::{Clock, ManualClock, SystemClock, Timestamp};
pub use ids::{ActionId, BackupId, ClientId, Epoch, JobId, ProjectId, RunId, SessionId, UserId};
pub use job::{Job, JobEvent, JobResult, JobState, JobStatus, TrustCredentials};
pub use quota::{Limits, Quota};
pub use rate_limits::RateLimits;
pub use retention::Retention;
pub use run::{Progress, Run, RunState, RunSummary, Step, StepOutcome};
pub use session::{Member, Session};
pub use unheard::Unheard;
