//! Slots: what a run occupies while one of its steps is out, under the names that conductors count by.
//!
//! Every limit is a number of slots. A target has one (two runs never work on the same backups at once), an agent as
//! many as it works on at a time, a storage and a project what the operator allows. Where projects meet (storages,
//! central agents) a share caps what one project may occupy, so that one that fills everything leaves room for others.

use crate::{Action, ClientId, ProjectId, Run, naming};
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
    /// An agent of the project's own.
    Agent(ProjectId, ClientId),
    /// A central agent, whoever's run it is; for all projects its name means this one.
    Central(ClientId),
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
            Self::Agent(project, client) => format!("agent-of {project} {client}"),
            Self::Central(client) => format!("agent {client}"),
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
        "agent-of" => format!("agent {without_project} has as many steps as it works on at a time"),
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
        "backup" | "restore" | "admin" | "verify" | "hold" | "release" | "adopt" => Some(options),
        _ => None,
    }
}

fn text<'a>(options: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    options.get(key).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// What says where the backups are: of several storages the first stands for all.
fn first_storage(options: &Map<String, Value>) -> &Map<String, Value> {
    let several = options.get("storages").and_then(Value::as_array);
    several.and_then(|several| several.first()?.as_object()).unwrap_or(options)
}

/// The storage that the run's current action uses: a cloud's Swift, one server, one agent's disk.
pub fn storage(run: &Run) -> Option<String> {
    let options = first_storage(current(run)?);
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
/// Without a name, those of the resource. `None` when it is about several resources or all of the host.
pub fn target(run: &Run) -> Option<String> {
    let options = current(run)?;
    let name = backups_of(options)?;
    let container = text(first_storage(options), "container").unwrap_or(CONTAINER);
    let storage = storage(run)?;
    Some(hashed(&[run.project_id.as_str(), run.client_id.as_str(), &storage, container, &name]))
}

/// The name of its backups; of the default name only as much as one client needs.
fn backups_of(options: &Map<String, Value>) -> Option<String> {
    match text(options, "backup_name").filter(|name| *name != naming::TEMPLATE) {
        Some(name) => Some(name.to_owned()),
        None => naming::default_of(options),
    }
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
    use serde_json::json;

    #[test]
    fn reasons_are_readable() {
        let share = Slot::StorageShare(ProjectId::from("p"), "ssh:backup host".to_owned());
        assert_eq!(waiting_text(&share.key()), "the project has its share of storage ssh:backup host");
        let client = || ClientId::from("n 1");
        for slot in [Slot::Agent(ProjectId::from("p"), client()), Slot::Central(client())] {
            assert!(waiting_text(&slot.key()).starts_with("agent n 1 has"), "{slot:?}");
        }
        assert_eq!(waiting_text("of a newer version"), "of a newer version");
    }

    #[test]
    fn runs_without_a_name_wait_for_those_of_the_same_folder() {
        let name = |options: Value| backups_of(options.as_object().unwrap());
        let etc = name(json!({"path_to_backup": "/etc"}));
        assert!(etc.is_some());
        assert_eq!(name(json!({"path_to_backup": "/etc/", "backup_name": naming::TEMPLATE})), etc);
        assert_ne!(name(json!({"path_to_backup": "/srv"})), etc);
        assert_eq!(name(json!({"action": "admin"})), None);
        assert_eq!(name(json!({"cinder_vol_id": "v"})).as_deref(), Some("freezer_cinder_v"));
        assert_eq!(name(json!({"cinder_vol_id": "v", "backup_name": "daily"})).as_deref(), Some("daily"));
    }
}
