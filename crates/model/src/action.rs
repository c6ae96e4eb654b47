//! An action: one thing an agent can be told to do, saved under an id and shared by jobs.

use crate::{ActionId, ProjectId, Timestamp, UserId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub const DEFAULT_MAX_RETRIES: i32 = 5;
pub const DEFAULT_MAX_RETRIES_INTERVAL_SECS: i32 = 6;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Action {
    pub project_id: ProjectId,
    pub action_id: ActionId,
    pub user_id: UserId,
    /// The agent's options exactly as the user sent them (types and order kept).
    pub freezer_action: Map<String, Value>,
    /// Extra attempts after the first one failed.
    pub max_retries: i32,
    /// Seconds between attempts.
    pub max_retries_interval: i32,
    /// Runs even when an earlier action of the job failed.
    pub mandatory: bool,
    pub created_at: Timestamp,
}
