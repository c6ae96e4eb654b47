//! An action: one thing an agent can be told to do, saved under an id and shared by jobs.

use crate::{ActionId, ProjectId, Timestamp, UserId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub const DEFAULT_MAX_RETRIES: i32 = 5;
pub const DEFAULT_MAX_RETRIES_INTERVAL_SECS: i32 = 6;

/// `D` is how its options are held: as a tree, or as [`StoredObject`](crate::document::StoredObject) where they are only shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Action<D = Map<String, Value>> {
    pub project_id: ProjectId,
    pub action_id: ActionId,
    pub user_id: UserId,
    /// The agent's options exactly as the user sent them (types and order kept).
    pub freezer_action: D,
    /// Extra attempts after the first one failed.
    pub max_retries: i32,
    /// Seconds between attempts.
    pub max_retries_interval: i32,
    /// Runs even when an earlier action of the job failed.
    pub mandatory: bool,
    pub created_at: Timestamp,
}
