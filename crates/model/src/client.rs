//! A client: a host (agent or upstream scheduler) that is registered in a project.

use crate::{ClientId, ProjectId, Timestamp, UserId};
use serde::{Deserialize, Serialize};

/// What a client can do; the words of the REST API (`backup`, `fs`, `swift`, `tar`, …).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    pub actions: Vec<String>,
    pub modes: Vec<String>,
    pub storages: Vec<String>,
    pub engines: Vec<String>,
}

pub const ALL_ACTIONS: [&str; 5] = ["backup", "restore", "info", "admin", "exec"];
pub const ALL_MODES: [&str; 8] =
    ["fs", "mongo", "mysql", "sqlserver", "cinder", "glance", "cindernative", "nova"];
pub const ALL_STORAGES: [&str; 6] = ["local", "swift", "ssh", "s3", "ftp", "ftps"];
pub const ALL_ENGINES: [&str; 6] = ["tar", "rsync", "rsyncv2", "nova", "osbrick", "glance"];

impl Default for Capabilities {
    /// Everything the REST API knows: what a registration without lists means.
    fn default() -> Self {
        let own = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Self {
            actions: own(&ALL_ACTIONS),
            modes: own(&ALL_MODES),
            storages: own(&ALL_STORAGES),
            engines: own(&ALL_ENGINES),
        }
    }
}

/// How work reaches a client. Only a client with a link of ours is driven by the conductor;
/// one that polls (upstream's scheduler) drives itself through the REST API.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Link {
    #[default]
    Poll,
    Amqp,
    Http,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Client {
    pub project_id: ProjectId,
    pub client_id: ClientId,
    /// Primary key upstream; 32 hex digits when made by the server.
    pub uuid: String,
    pub user_id: UserId,
    pub hostname: Option<String>,
    pub description: Option<String>,
    pub capabilities: Capabilities,
    pub is_central: bool,
    pub link: Link,
    /// Version text of the agent, from its hello.
    pub agent_version: Option<String>,
    pub created_at: Timestamp,
    /// Last hello or heartbeat of the agent; `None` for a client that polls.
    pub last_seen_at: Option<Timestamp>,
}
