//! Slots: what a run occupies while one of its steps is out, under the names that conductors count by.
//!
//! Every limit is a number of slots. A target has one (two runs never work on the same backups at once), an agent as
//! many as it works on at a time, a storage and a project what the operator allows. Where projects meet (storages,
//! central agents) a share caps what one project may occupy, so that one that fills everything leaves room for others.

use crate::{Action, ClientId, ProjectId, Run};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// The agent's own defaults, for options that were not given.
const STORAGE: &str = "swift";
const CONTAINER: &str = "freezer_backups";
/// Longest name of a storage that is kept as it is.
const STORAGE_NAME: usize = 200;

/// One limit's name. Its key is stored with runs that wait for it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Slot {
    Target(String),
    Project(ProjectId),
    Agent(ClientId),
    /// What one project may have of a central agent.
    AgentShare(ProjectId, ClientId),
    Storage(String),
    /// What one project may have of a storage.
    StorageShare(ProjectId, String),
}

impl Slot {
    pub fn key(&self) -> String {
        match self {
            Self::Target(target) => format!("target {target}"),
            Self::Project(project) => format!("project {project}"),
            Self::Agent(client) => format!("agent {client}"),
            Self::AgentShare(project, client) => format!("agent-share {project} {client}"),
            Self::Storage(storage) => format!("storage {storage}"),
            Self::StorageShare(project, storage) => format!("storage-share {project} {storage}"),
        }
    }
}

/// The reason to wait, in words for the run's owner.
pub fn waiting_text(key: &str) -> String {
    let (kind, name) = key.split_once(' ').unwrap_or((key, ""));
    let without_project = name.split_once(' ').map_or(name, |(_, rest)| rest);
    match kind {
        "target" => "another run works on the same backups".to_owned(),
        "project" => "the project has as many runs at work as its quota allows".to_owned(),
        "agent" => format!("agent {name} has as many steps as it works on at a time"),
        "agent-share" => format!("the project has its share of agent {without_project}"),
        "storage" => format!("storage {name} has as many runs at work as it may have"),
        "storage-share" => format!("the project has its share of storage {without_project}"),
        _ => key.to_owned(),
    }
}

fn current(run: &Run) -> Option<&Map<String, Value>> {
    let options = run.actions.get(run.action_index).map(|action: &Action| &action.freezer_action)?;
    // Others touch no stored backup.
    match text(options, "action").unwrap_or("backup") {
        "backup" | "restore" | "admin" => Some(options),
        _ => None,
    }
}

fn text<'a>(options: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    options.get(key).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// The storage that the run's current action uses: a cloud's Swift, one server, one agent's disk.
pub fn storage(run: &Run) -> Option<String> {
    let options = current(run)?;
    let kind = text(options, "storage").unwrap_or(STORAGE);
    let name = match kind {
        "local" => format!("local:{}", hashed(&[run.project_id.as_str(), run.client_id.as_str()])),
        "ssh" => format!("ssh:{}", text(options, "ssh_host").unwrap_or_default()),
        "ftp" | "ftps" => format!("ftp:{}", text(options, "ftp_host").unwrap_or_default()),
        "s3" => format!("s3:{}", text(options, "endpoint").unwrap_or_default()),
        other => other.to_owned(),
    };
    Some(if name.chars().count() > STORAGE_NAME { hashed(&[&name]) } else { name })
}

/// The backups that the run's current action works on: those of one client, storage, container and name.
/// `None` when it names none.
pub fn target(run: &Run) -> Option<String> {
    let options = current(run)?;
    let name = text(options, "backup_name")?;
    let container = text(options, "container").unwrap_or(CONTAINER);
    let storage = storage(run)?;
    Some(hashed(&[run.project_id.as_str(), run.client_id.as_str(), &storage, container, name]))
}

/// One short name for several texts; no two lists of texts share one.
fn hashed(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().iter().take(20).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_readable() {
        let share = Slot::StorageShare(ProjectId::from("p"), "ssh:backup host".to_owned());
        assert_eq!(waiting_text(&share.key()), "the project has its share of storage ssh:backup host");
        assert!(waiting_text(&Slot::Agent(ClientId::from("n 1")).key()).contains("agent n 1 has"));
        assert_eq!(waiting_text("of a newer version"), "of a newer version");
    }
}
