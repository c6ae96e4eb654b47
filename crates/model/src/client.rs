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

/// Actions of every Freezer.
pub const ALL_ACTIONS: [&str; 5] = ["backup", "restore", "info", "admin", "exec"];
/// Those and ours, which only a client has that names them.
pub const KNOWN_ACTIONS: [&str; 9] =
    ["backup", "restore", "info", "admin", "exec", "verify", "hold", "release", "adopt"];
/// Modes of every Freezer.
pub const ALL_MODES: [&str; 8] =
    ["fs", "mongo", "mysql", "sqlserver", "cinder", "glance", "cindernative", "nova"];
/// Those and ours, which only a client has that names them.
pub const KNOWN_MODES: [&str; 13] = [
    "fs",
    "mongo",
    "mysql",
    "sqlserver",
    "cinder",
    "glance",
    "cindernative",
    "nova",
    "rbd",
    "cloud",
    "project",
    "stream",
    "postgresql",
];
pub const ALL_STORAGES: [&str; 6] = ["local", "swift", "ssh", "s3", "ftp", "ftps"];
/// Engines of every Freezer.
pub const ALL_ENGINES: [&str; 6] = ["tar", "rsync", "rsyncv2", "nova", "osbrick", "glance"];
/// Those and ours.
pub const KNOWN_ENGINES: [&str; 9] =
    ["tar", "rsync", "rsyncv2", "nova", "osbrick", "glance", "cinder", "image", "set"];

impl Default for Capabilities {
    /// What every Freezer knows: what a registration without lists means.
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

/// Whose a client's name is on the HTTPS link: the user's who registered it, and from its agent's first hello on only the
/// login's that said it. A guest's credential speaks for its own host and for no other of the project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    pub user_id: UserId,
    /// Id of the application credential the agent speaks with; empty for the user's own login. `None` until it has spoken.
    pub bound_to: Option<String>,
}

impl Holder {
    /// What a login that came with this application credential (or none) is bound as.
    pub fn binding(credential: Option<&str>) -> &str {
        credential.unwrap_or_default()
    }

    /// Whether this login may speak as the client.
    pub fn admits(&self, user: &UserId, credential: Option<&str>) -> bool {
        let is_bound = |bound: &String| bound == Self::binding(credential);
        self.user_id == *user && self.bound_to.as_ref().is_none_or(is_bound)
    }

    /// Whether this login may give the name away by deleting the client. A client that no agent of ours speaks for is
    /// anybody's of the project.
    pub fn may_release(&self, user: &UserId, credential: Option<&str>) -> bool {
        self.bound_to.is_none()
            || self.admits(user, credential)
            || (self.user_id == *user && credential.is_none())
    }

    /// Why another login is refused.
    pub fn refusal(client: &ClientId) -> String {
        format!(
            "client id {client} belongs to another login of this project; its owner or an administrator can delete the \
             client to release the name, or give this agent another client_id"
        )
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_its_logins() {
        let (ann, bob) = (UserId::from("ann"), UserId::from("bob"));
        let holder =
            |bound: Option<&str>| Holder { user_id: ann.clone(), bound_to: bound.map(str::to_owned) };
        for (bound, user, credential, admits, releases) in [
            (None, &ann, None, true, true),
            (None, &ann, Some("c1"), true, true),
            (None, &bob, None, false, true),
            (Some(""), &ann, None, true, true),
            (Some(""), &ann, Some("c1"), false, false),
            (Some(""), &bob, None, false, false),
            (Some("c1"), &ann, Some("c1"), true, true),
            (Some("c1"), &ann, Some("c2"), false, false),
            (Some("c1"), &ann, None, false, true),
            (Some("c1"), &bob, Some("c1"), false, false),
        ] {
            let holder = holder(bound);
            assert_eq!(holder.admits(user, credential), admits, "{bound:?} {user} {credential:?}");
            assert_eq!(holder.may_release(user, credential), releases, "{bound:?} {user} {credential:?}");
        }
    }
}
