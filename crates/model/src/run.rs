//! A run: one firing of a job, with the attempts (steps) at its actions.
//!
//! States: `queued` (to be dispatched when due) → `dispatched` (handed to the bus under an epoch) →
//! `running` (the agent said so) → `queued` again for the next action or attempt, or one of the ends
//! `success`, `partial`, `fail`, `aborted`. A dispatched or running run whose lease ends is handed out
//! again under a higher epoch, or ended as `fail` when its agent was lost too often.

use crate::{ClientId, Epoch, JobId, ProjectId, RunId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunState {
    Queued,
    Dispatched,
    Running,
    Success,
    /// Saved, but not everything could be read; the run's steps list what is missing.
    Partial,
    Fail,
    Aborted,
}

impl RunState {
    pub const ALL: [Self; 7] = [
        Self::Queued,
        Self::Dispatched,
        Self::Running,
        Self::Success,
        Self::Partial,
        Self::Fail,
        Self::Aborted,
    ];
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Dispatched => "dispatched",
            Self::Running => "running",
            Self::Success => "success",
            Self::Partial => "partial",
            Self::Fail => "fail",
            Self::Aborted => "aborted",
        }
    }
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
    pub fn is_final(self) -> bool {
        matches!(self, Self::Success | Self::Partial | Self::Fail | Self::Aborted)
    }
}

/// How one attempt at one action ended, as the agent saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepOutcome {
    Success,
    Partial,
    Fail,
    Aborted,
    /// The agent (or its host) went away in the middle; says nothing about the data.
    Lost,
    /// Not run: an earlier action failed and this one is not mandatory.
    Skipped,
}

/// Where a piece of work stands. Sizes in bytes, `None` where not known (yet).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Progress {
    /// `scan`, `read`, `commit`, `restore`, `prune`, `exec`, …
    pub phase: String,
    pub bytes_done: u64,
    pub bytes_total: Option<u64>,
    pub bytes_stored: u64,
    pub files_done: u64,
    pub files_total: Option<u64>,
    /// Files that could not be saved whole.
    pub errors: u64,
    /// Bytes a second over the last few seconds.
    pub rate: u64,
    pub current_path: Option<String>,
    /// The last lines of the step's log, oldest first: time (UTC), level, message.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<String>,
}

/// One attempt at one action of the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    pub action_index: usize,
    pub attempt: i32,
    pub epoch: Epoch,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    pub outcome: Option<StepOutcome>,
    /// Exit status of the agent's child process, when it ended by itself.
    pub exit_code: Option<i32>,
    pub error: Option<String>,
    /// What the action gave: `backup_metadata`, restored totals, files that could not be read, …
    #[serde(default)]
    pub result: Map<String, Value>,
    /// The last lines of its log, as in [`Progress::log`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    pub run_id: RunId,
    pub project_id: ProjectId,
    pub job_id: JobId,
    pub client_id: ClientId,
    pub state: RunState,
    pub epoch: Epoch,
    /// Index into `actions` of what is to be done, or is being done.
    pub action_index: usize,
    /// Attempts already made at that action, 0 before the first.
    pub attempt: i32,
    /// How often an agent was lost in this run.
    pub losses: i32,
    /// The job's actions as they were at the firing; later edits do not touch a run.
    pub actions: Vec<crate::Action>,
    pub steps: Vec<Step>,
    pub progress: Progress,
    pub error: Option<String>,
    pub abort_requested: bool,
    /// `schedule`, `start` (a user's event), or `retry`.
    pub cause: String,
    pub request_id: Option<String>,
    /// When the firing was due.
    pub due_at: Timestamp,
    pub created_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    /// When a conductor must look at this run again: lease end, retry. `None` for a queued run that is ready to be handed
    /// out, and once final.
    pub attention_at: Option<Timestamp>,
    /// Its place among the queued runs of all projects; the smallest goes first.
    pub share_tag: i64,
    /// The slot that it waits for; see [`crate::slot`].
    pub waiting_for: Option<String>,
    /// Handed out, and nobody has noted yet that the broker took the order. `attention_at` is then the time at which
    /// another conductor takes the run over.
    pub is_unsent: bool,
}

/// A run as a list shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct RunSummary {
    /// Without actions and steps.
    pub run: Run,
    pub actions_total: usize,
}
