//! Resources that are made only for the work: each is known to the ledger of its action, bears a tag, and is removed when
//! the action ends, however it ends. What a killed agent leaves, the next one finds by the tag and removes.
//!
//! The tag is in the name from the moment a resource is asked for, and in its metadata where its service has some: so
//! also a resource whose making was under way when the agent died is found. It says which process works with it: only
//! what no living process works with is removed. A server also names what was made for it, which may bear a name of its own
//! before the server is anybody's: all of it goes with the server, or none.

mod find;
mod tag;

pub use tag::{PROCESS_KEY, RUN_KEY, is_gone, is_left, is_left_by_name, is_temporary, own_name};

use super::barbican;
use super::cinder::backups::Backups;
use super::cinder::{groups, snapshots, volumes};
use super::cloud::Cloud;
use super::error::CloudError;
use super::glance::images;
use super::neutron::ports;
use super::nova::servers;
use super::volume::finish_left;
use super::waiting::{Look, Wanted};
use find::find;
use freezer_vault::Monitor;
use keystone::{Session, SessionOptions};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use tag::{Process, parts_metadata, tagged, text};

/// Default of the option `temp_resource_prefix`.
const USUAL_PREFIX: &str = "freezer_";
const TIDYING_SECS: u64 = 300;
/// In Cinder's refusal to remove a backup that increments need.
const HAS_DEPENDANTS: &str = "Incremental backups exist";

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Temporary {
    Server(String),
    Port(String),
    Image(String),
    /// A backup of Cinder's that nobody waited for to the end.
    Backup(String),
    Volume(String),
    Snapshot(String),
    /// A key, for what is made with it to have a copy of. One that is left expires.
    Secret(String),
    /// With the snapshots of all volumes of a group.
    GroupSnapshot(String),
}

impl Temporary {
    /// What depends on others goes first.
    fn rank(&self) -> u8 {
        match self {
            Self::Server(_) => 0,
            Self::Port(_) => 1,
            Self::Image(_) => 2,
            Self::Backup(_) => 3,
            Self::Volume(_) => 4,
            Self::Snapshot(_) | Self::GroupSnapshot(_) => 5,
            Self::Secret(_) => 6,
        }
    }
}

impl Temporary {
    /// As the record of a run calls it.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Server(_) => "server",
            Self::Port(_) => "port",
            Self::Image(_) => "image",
            Self::Backup(_) => "cinder_backup",
            Self::Volume(_) => "volume",
            Self::Snapshot(_) => "snapshot",
            Self::GroupSnapshot(_) => "group_snapshot",
            Self::Secret(_) => "secret",
        }
    }

    pub(super) fn id(&self) -> &str {
        match self {
            Self::Server(id)
            | Self::Port(id)
            | Self::Image(id)
            | Self::Backup(id)
            | Self::Volume(id)
            | Self::Snapshot(id)
            | Self::GroupSnapshot(id)
            | Self::Secret(id) => id,
        }
    }
}

impl fmt::Display for Temporary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(id) => write!(f, "server {id}"),
            Self::Port(id) => write!(f, "port {id}"),
            Self::Image(id) => write!(f, "image {id}"),
            Self::Backup(id) => write!(f, "Cinder backup {id}"),
            Self::Volume(id) => write!(f, "volume {id}"),
            Self::Snapshot(id) => write!(f, "snapshot {id}"),
            Self::GroupSnapshot(id) => write!(f, "group snapshot {id}"),
            Self::Secret(id) => write!(f, "secret {id}"),
        }
    }
}

/// What the names of keys begin with that are made for volumes that come back. Not as those of other temporary resources: Cinder gives
/// the name to the key that the volume has in the end.
const KEYS: &str = "key of volume ";

/// The temporary resources of one action.
pub struct Ledger {
    cloud: Cloud,
    prefix: String,
    run_id: String,
    process: Process,
    entries: Mutex<Vec<Temporary>>,
}

impl Ledger {
    pub fn new(cloud: &Cloud, prefix: &str, run_id: &str) -> Self {
        Self {
            cloud: cloud.undisturbed(),
            prefix: prefix.to_owned(),
            run_id: run_id.to_owned(),
            process: Process::next_part(),
            entries: Mutex::default(),
        }
    }

    /// Name of a temporary resource, with the tag in it: `freezer_backup_<id>~<process>`.
    pub fn name(&self, what: &str) -> String {
        tagged(&self.prefix, what, &self.process)
    }

    /// Name of a key that is made for a volume that comes back.
    pub fn key_name(&self, volume_id: &str) -> String {
        tagged(KEYS, volume_id, &self.process)
    }

    pub fn metadata(&self) -> Value {
        json!({ RUN_KEY: self.run_id, PROCESS_KEY: self.process.to_string() })
    }

    /// The same for what is made of all volumes, ports and images in the ledger: if it is left, they go with it, whatever they are
    /// called by then.
    pub fn metadata_with_parts(&self) -> Map<String, Value> {
        let is_part = |entry: &&Temporary| {
            matches!(entry, Temporary::Volume(_) | Temporary::Port(_) | Temporary::Image(_))
        };
        let ids: Vec<String> =
            self.entries().iter().filter(is_part).map(|entry| entry.id().to_owned()).collect();
        let mut metadata = self.metadata().as_object().cloned().unwrap_or_default();
        metadata.extend(parts_metadata(&ids));
        metadata
    }

    pub fn run_id(&self) -> &str {
        &self.run_id
    }

    /// As it stands in tags, for [`is_gone`].
    pub fn process(&self) -> String {
        self.process.to_string()
    }

    pub fn note(&self, made: Temporary) {
        self.cloud.trail().made(&made);
        self.entries().push(made);
    }

    /// It is the user's from now on.
    pub fn release(&self, kept: &Temporary) {
        self.cloud.trail().kept(kept);
        self.forget(kept);
    }

    /// A service still works with it and would fail without: the next agent removes it.
    pub fn leave(&self, used: &Temporary) {
        self.cloud
            .trail()
            .ended(used, Some("a service still works with it; the next agent removes it".to_owned()));
        self.forget(used);
    }

    fn forget(&self, known: &Temporary) {
        self.entries().retain(|entry| entry != known);
    }

    fn entries(&self) -> std::sync::MutexGuard<'_, Vec<Temporary>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes one before the end of the action.
    pub async fn remove(&self, entry: &Temporary) -> Result<(), CloudError> {
        remove(&self.cloud, entry).await?;
        self.cloud.trail().ended(entry, None);
        self.forget(entry);
        Ok(())
    }

    /// Removes all of them, the ones that depend on others first. Answers what stays behind, and why.
    pub async fn remove_all(&self) -> Vec<String> {
        let mut entries = std::mem::take(&mut *self.entries());
        // The latest of a kind first: it may have been made from an earlier one.
        entries.reverse();
        entries.sort_by_key(Temporary::rank);
        remove_each(&self.cloud, entries).await
    }

    /// As [`Ledger::remove_all`], after a failure: also what was asked for and never answered is looked for.
    pub async fn remove_all_and_lost(&self) -> Vec<String> {
        let own = |process: &Process, _age: i64| *process == self.process;
        match find(&self.cloud, &self.prefix, own).await {
            Ok(found) => {
                let mut entries = self.entries();
                for entry in found {
                    if !entries.contains(&entry) {
                        entries.push(entry);
                    }
                }
            }
            Err(error) => tracing::warn!("looking for temporary resources: {error}"),
        }
        self.remove_all().await
    }
}

/// What the image is called that Cinder writes over a volume, for [`Ledger::name`].
pub fn written_over(volume_id: &str) -> String {
    format!("over_{volume_id}")
}

/// Removes what agents that are gone left in the project of the login. Answers what was removed and what could not be.
pub async fn remove_leftovers(cloud: &Cloud, prefix: &str) -> Result<(Vec<String>, Vec<String>), CloudError> {
    let gone = |process: &Process, age: i64| !process.may_be_at_work(age);
    let found = find(cloud, prefix, gone).await?;
    let names: Vec<String> = found.iter().map(ToString::to_string).collect();
    let left = remove_each(cloud, found).await;
    Ok((names, left))
}

/// At the start of an agent that was at work when it ended, and after a step that was killed: what was left in the project of the
/// agent's own login. A login that reaches no such services has nothing there.
pub async fn tidy_up_after_a_crash(auth: BTreeMap<String, String>) {
    let Ok(session) = SessionOptions::from_env(&|name| auth.get(name).cloned()).and_then(Session::new) else {
        return;
    };
    let cloud = Cloud::new(session, Arc::new(Monitor::new()), TIDYING_SECS);
    if let Err(error) = finish_left(&cloud).await {
        tracing::debug!("looking for exchanges of volumes that processes which are gone have begun: {error}");
    }
    match remove_leftovers(&cloud, USUAL_PREFIX).await {
        Ok((removed, left)) => {
            for what in removed {
                tracing::warn!("{what} was left by a process that is gone; removed");
            }
            for what in left {
                tracing::warn!("left by a process that is gone, and still there: {what}");
            }
        }
        Err(error) => tracing::debug!("looking for what processes that are gone have left: {error}"),
    }
}

async fn remove_each(cloud: &Cloud, entries: Vec<Temporary>) -> Vec<String> {
    let mut left = Vec::new();
    for entry in entries {
        let error = remove(cloud, &entry).await.err().map(|error| error.to_string());
        left.extend(error.as_ref().map(|error| format!("{entry}: {error}")));
        cloud.trail().ended(&entry, error);
    }
    left
}

/// Asks for the removal until the service takes it, and waits until it is done.
async fn remove(cloud: &Cloud, entry: &Temporary) -> Result<(), CloudError> {
    cloud
        .wait_for(Wanted::new(entry.to_string(), "gone").moving(1), || async move {
            let (asked, state) = match entry {
                Temporary::Server(id) => {
                    let state = servers::show(cloud, id).await.map(|server| server.document);
                    (servers::delete(cloud, id).await, status(state)?)
                }
                Temporary::Port(id) => {
                    (ports::delete(cloud, id).await, status(ports::show(cloud, id).await)?)
                }
                Temporary::Image(id) => {
                    (images::delete(cloud, id).await, status(images::show(cloud, id).await)?)
                }
                Temporary::Backup(id) => {
                    let state = Backups::new(cloud).get(id).await?.map(|backup| backup.status);
                    (Backups::new(cloud).delete(id).await, state)
                }
                Temporary::Volume(id) => {
                    let state = volumes::show(cloud, id).await.map(|volume| volume.document);
                    (volumes::delete(cloud, id).await, status(state)?)
                }
                Temporary::GroupSnapshot(id) => {
                    let asked = groups::delete_snapshot(cloud, id).await;
                    (asked, status(groups::show_snapshot(cloud, id).await)?)
                }
                Temporary::Secret(id) => {
                    (barbican::delete(cloud, id).await, status(barbican::show(cloud, id).await)?)
                }
                Temporary::Snapshot(id) => {
                    (snapshots::delete(cloud, id).await, status(snapshots::show(cloud, id).await)?)
                }
            };
            match (state, asked) {
                (None, _) => Ok(Look::Ready(())),
                // Nova may keep what it has deleted in sight for a while.
                (Some(state), _) if matches!(state.as_str(), "DELETED" | "SOFT_DELETED") => {
                    Ok(Look::Ready(()))
                }
                // It is a part of somebody's chain by now, and goes with it.
                (Some(state), Err(error)) if error.to_string().contains(HAS_DEPENDANTS) => {
                    Ok(Look::Never { state, detail: error.to_string() })
                }
                (Some(state), _) if state == "error_deleting" => {
                    Ok(Look::Never { state, detail: String::new() })
                }
                (Some(state), Ok(())) => Ok(Look::NotYet(state)),
                (Some(_), Err(error)) if error.is_busy() => Ok(Look::NotYet(error.to_string())),
                (Some(_), Err(error)) => Err(error),
            }
        })
        .await
}

fn status(shown: Result<Value, CloudError>) -> Result<Option<String>, CloudError> {
    match shown {
        Ok(document) => Ok(Some(text(&document, "status").to_owned())),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}
