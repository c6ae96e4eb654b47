//! A job: what to do (actions), where (client), when (plan), and what came of it (state).

use crate::{Action, ClientId, JobId, ProjectId, SessionId, Timestamp, UserId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        pub enum $name { #[default] $($(#[$vdoc])* $variant),+ }
        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];
            /// The word the REST API uses; `""` means "none".
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
            pub fn parse(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|known| known.as_str() == word)
            }
        }
    };
}

words!(/** A user's pending request: `job_schedule.event`. */ JobEvent {
    None = "", Stop = "stop", Start = "start", Abort = "abort", Remove = "remove",
});
words!(/** `job_schedule.status`. */ JobStatus {
    None = "", Completed = "completed", Stop = "stop", Scheduled = "scheduled",
    Running = "running", Aborting = "aborting", Removed = "removed",
});
words!(/** Outcome of the last run: `job_schedule.result`. */ JobResult {
    None = "", Success = "success", Fail = "fail", Aborted = "aborted",
});

/// The part of `job_schedule` that changes by itself. Times are epoch seconds, -1 = never.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobState {
    pub event: JobEvent,
    pub status: JobStatus,
    pub result: JobResult,
    pub time_created: i64,
    pub time_started: i64,
    pub time_ended: i64,
    /// Process id on the client, written by upstream's scheduler or our agent.
    pub current_pid: Option<i64>,
}

impl JobState {
    pub fn fresh(created: Timestamp) -> Self {
        Self {
            event: JobEvent::None,
            status: JobStatus::None,
            result: JobResult::None,
            time_created: created.secs(),
            time_started: -1,
            time_ended: -1,
            current_pid: None,
        }
    }
}

/// A Keystone trust that lets a central client act for the job's owner. Only the server writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustCredentials {
    pub trust_id: String,
    pub trustor_user_id: UserId,
}

/// `D` is how plan and options are held: as trees, or as [`StoredObject`](crate::document::StoredObject) where they are only
/// shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Job<D = Map<String, Value>> {
    pub project_id: ProjectId,
    pub job_id: JobId,
    pub user_id: UserId,
    pub client_id: ClientId,
    pub description: Option<String>,
    pub session_id: Option<String>,
    pub session_tag: i64,
    /// The plan keys of `job_schedule` (`schedule_date`, `schedule_interval`, cron fields, …) as sent, in the spelling that every
    /// scheduler reads.
    pub plan: D,
    pub state: JobState,
    /// In order; the same action may stand twice.
    pub actions: Vec<Action<D>>,
    pub credentials: Option<TrustCredentials>,
    pub created_at: Timestamp,
    /// Grows whenever the plan is changed; the conductor compares it with the one it planned from.
    pub plan_version: i64,
    /// When the conductor will fire the job next; `None` when it is not planned.
    pub next_run_at: Option<Timestamp>,
}

impl<D> Job<D> {
    /// The session it says it belongs to.
    pub fn session(&self) -> Option<SessionId> {
        self.session_id.as_deref().filter(|id| !id.is_empty()).map(SessionId::from)
    }
}
