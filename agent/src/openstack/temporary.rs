//! Resources that are made only for the work: each is known to the ledger of its action, bears a tag, and is removed when
//! the action ends, however it ends. What a killed agent leaves, the next one finds by the tag and removes.
//!
//! The tag is in the name from the moment a resource is asked for, and in its metadata where its service has some: so
//! also a resource whose making was under way when the agent died is found. It says which process works with it: only
//! what no living process works with is removed.

use super::barbican;
use super::cinder::backups::Backups;
use super::cinder::{groups, snapshots, volumes};
use super::cloud::{Cloud, Service};
use super::error::CloudError;
use super::glance::images;
use super::neutron::ports;
use super::nova::servers;
use super::volume::finish_left;
use super::waiting::{Look, Wanted};
use crate::daemon::child::start_ticks;
use chrono::{DateTime, NaiveDateTime, Utc};
use freezer_vault::Monitor;
use keystone::{Session, SessionOptions};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Metadata keys of every temporary resource.
pub const RUN_KEY: &str = "freezer_run";
pub const PROCESS_KEY: &str = "freezer_process";
/// Default of the option `temp_resource_prefix`.
const USUAL_PREFIX: &str = "freezer_";
const TIDYING_SECS: u64 = 300;
/// In Cinder's refusal to remove a backup that increments need.
const HAS_DEPENDANTS: &str = "Incremental backups exist";
/// Between what a name says and the tag.
const MARK: char = '~';
/// Nobody works on one resource for longer on another host, whose processes cannot be seen from here.
const FOREIGN_LIMIT_SECS: i64 = 7 * 86_400;

/// A process for good: an id alone is used again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    host: String,
    pid: i32,
    ticks: u64,
    /// Which of the ledgers of the process; resources that are saved at the same time have one each.
    part: u32,
}

/// Ledgers that this process has opened.
static PARTS: AtomicU32 = AtomicU32::new(0);

impl Process {
    pub fn this() -> Self {
        let pid = rustix::process::getpid().as_raw_nonzero().get();
        Self { host: host_mark(), pid, ticks: start_ticks(pid).unwrap_or_default(), part: 0 }
    }

    /// This process with a part that no other ledger has.
    fn next_part() -> Self {
        Self { part: PARTS.fetch_add(1, Ordering::Relaxed), ..Self::this() }
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let (host, pid, ticks) = (parts.next()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let is_host = host.len() == 8 && host.bytes().all(|byte| byte.is_ascii_hexdigit());
        let part = parts.next().map_or(Some(0), |part| part.parse().ok())?;
        (is_host && parts.next().is_none()).then(|| Self { host: host.to_owned(), pid, ticks, part })
    }

    /// Whether it may still work with a resource that was made `age_secs` ago.
    fn may_be_at_work(&self, age_secs: i64) -> bool {
        if self.host != host_mark() {
            return age_secs < FOREIGN_LIMIT_SECS;
        }
        start_ticks(self.pid) == Some(self.ticks)
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.host, self.pid, self.ticks)?;
        if self.part > 0 { write!(f, ".{}", self.part) } else { Ok(()) }
    }
}

/// This host among others: its machine and its name, since containers share the first and clones the second.
fn host_mark() -> String {
    let machine = std::fs::read_to_string("/etc/machine-id").unwrap_or_default();
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let digest = Sha256::digest(format!("{}/{name}", machine.trim()));
    digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

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

    pub fn metadata(&self) -> Value {
        json!({ RUN_KEY: self.run_id, PROCESS_KEY: self.process.to_string() })
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

fn tagged(prefix: &str, what: &str, process: &Process) -> String {
    let what: String = what.chars().take(120).collect();
    format!("{prefix}{what}{MARK}{process}")
}

/// A name as of [`Ledger::name`], for what no ledger knows: images of a Ceph cluster.
pub fn own_name(prefix: &str, what: &str) -> String {
    tagged(prefix, what, &Process::next_part())
}

/// Whether something of this name, made `age_secs` ago, bears the tag of a process that is gone.
pub fn is_left_by_name(name: &str, prefix: &str, age_secs: i64) -> bool {
    tag_in(name, prefix).is_some_and(|process| !process.may_be_at_work(age_secs))
}

/// Removes what agents that are gone left in the project of the login. Answers what was removed and what could not be.
pub async fn remove_leftovers(cloud: &Cloud, prefix: &str) -> Result<(Vec<String>, Vec<String>), CloudError> {
    let gone = |process: &Process, age: i64| !process.may_be_at_work(age);
    let found = find(cloud, prefix, gone).await?;
    let names: Vec<String> = found.iter().map(ToString::to_string).collect();
    let left = remove_each(cloud, found).await;
    Ok((names, left))
}

/// At the start of an agent that was at work when it ended: what it left in the project of its own login. A login that
/// reaches no such services has nothing there.
pub async fn tidy_up_after_a_crash(auth: BTreeMap<String, String>) {
    let Ok(session) = SessionOptions::from_env(&|name| auth.get(name).cloned()).and_then(Session::new) else {
        return;
    };
    let cloud = Cloud::new(session, Arc::new(Monitor::new()), TIDYING_SECS);
    if let Err(error) = finish_left(&cloud).await {
        tracing::debug!("looking for exchanges of volumes that a former start has begun: {error}");
    }
    match remove_leftovers(&cloud, USUAL_PREFIX).await {
        Ok((removed, left)) => {
            for what in removed {
                tracing::warn!("{what} was left by a former start; removed");
            }
            for what in left {
                tracing::warn!("left by a former start, and still there: {what}");
            }
        }
        Err(error) => tracing::debug!("looking for what a former start has left: {error}"),
    }
}

pub(super) async fn remove_each(cloud: &Cloud, entries: Vec<Temporary>) -> Vec<String> {
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

/// Whether a process that is written down in the resource `row` is gone.
pub fn is_gone(process: &str, row: &Value) -> bool {
    Process::parse(process).is_some_and(|process| !process.may_be_at_work(age_secs(row, Utc::now())))
}

/// Whether the tags of a resource name a process that is gone.
pub fn is_left(tags: &BTreeMap<String, String>, age_secs: i64) -> bool {
    let process = tags.get(PROCESS_KEY).filter(|_| tags.contains_key(RUN_KEY));
    process.and_then(|text| Process::parse(text)).is_some_and(|process| !process.may_be_at_work(age_secs))
}

fn status(shown: Result<Value, CloudError>) -> Result<Option<String>, CloudError> {
    match shown {
        Ok(document) => Ok(Some(text(&document, "status").to_owned())),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Temporary resources of the project whose process fits, the ones that depend on others first.
async fn find(
    cloud: &Cloud,
    prefix: &str,
    fits: impl Fn(&Process, i64) -> bool,
) -> Result<Vec<Temporary>, CloudError> {
    let project = cloud.project_id().await?;
    let now = Utc::now();
    let wanted = |row: &Value, tags: &Map<String, Value>| {
        let process = process_of(row, tags, prefix)?;
        fits(&process, age_secs(row, now)).then(|| text(row, "id").to_owned())
    };
    let of_images = [("owner", project.as_str()), ("visibility", "private")];
    let (mut found, images, backups, volumes, snapshots, of_groups) = tokio::join!(
        of_servers(cloud, &project, &wanted),
        images::list(cloud, &of_images),
        of_backups(cloud, &wanted),
        volumes::list(cloud),
        snapshots::list(cloud),
        of_groups(cloud, &wanted),
    );
    let volumes = volumes?;
    // Without the image that is just being written over a volume, that would end in error.
    let under_way = volumes.iter().filter(|volume| volume.status() == "downloading");
    let read_now: Vec<String> =
        under_way.map(|volume| format!("{prefix}{}{MARK}", written_over(volume.id()))).collect();
    let is_read = |row: &Value| read_now.iter().any(|start| text(row, "name").starts_with(start));
    for row in images?.into_iter().filter(|row| !is_read(row)) {
        let tags = row.as_object().cloned().unwrap_or_default();
        found.extend(wanted(&row, &tags).map(Temporary::Image));
    }
    found.extend(backups);
    for volume in volumes {
        found.extend(wanted(&volume.document, &volume.map("metadata")).map(Temporary::Volume));
    }
    found.extend(of_groups);
    // Those of a group go with it.
    let is_alone = |row: &Value| row.get("group_snapshot_id").is_none_or(Value::is_null);
    for row in snapshots?.into_iter().filter(is_alone) {
        let tags = row.get("metadata").and_then(Value::as_object).cloned().unwrap_or_default();
        found.extend(wanted(&row, &tags).map(Temporary::Snapshot));
    }
    Ok(found)
}

/// Backups of Cinder's whose agent was gone or had to go before they were done. Those that are still being made are left alone:
/// Cinder removes none of these.
async fn of_backups(
    cloud: &Cloud,
    wanted: impl Fn(&Value, &Map<String, Value>) -> Option<String>,
) -> Vec<Temporary> {
    match cloud.rows(Service::Cinder, ("/backups/detail", "backups"), &[]).await {
        Ok(rows) => {
            let done = rows.iter().filter(|row| matches!(text(row, "status"), "available" | "error"));
            let ids = done.filter_map(|row| wanted(row, row.get("metadata")?.as_object()?));
            ids.map(Temporary::Backup).collect()
        }
        Err(error) => {
            tracing::debug!("looking for backups that were left: {error}");
            Vec::new()
        }
    }
}

/// Snapshots of groups. A Cinder that knows no groups has none.
async fn of_groups(
    cloud: &Cloud,
    wanted: impl Fn(&Value, &Map<String, Value>) -> Option<String>,
) -> Vec<Temporary> {
    match groups::list_snapshots(cloud).await {
        Ok(rows) => {
            let ids = rows.iter().filter_map(|row| wanted(row, &Map::new()));
            ids.map(Temporary::GroupSnapshot).collect()
        }
        Err(error) => {
            tracing::debug!("looking for snapshots of groups that were left: {error}");
            Vec::new()
        }
    }
}

/// Servers and ports that were made for a restore. A cloud that has neither Nova nor Neutron has none.
async fn of_servers(
    cloud: &Cloud,
    project: &str,
    wanted: impl Fn(&Value, &Map<String, Value>) -> Option<String>,
) -> Vec<Temporary> {
    let mut found = Vec::new();
    let of_ports = [("project_id", project)];
    let (servers, ports) = tokio::join!(servers::list(cloud, &[]), ports::list(cloud, &of_ports));
    match servers {
        Ok(rows) => {
            let rows = rows.iter().filter(|server| server.project_id() == project);
            let ids = rows.filter_map(|server| wanted(&server.document, &server.map("metadata")));
            found.extend(ids.map(Temporary::Server));
        }
        Err(error) => tracing::debug!("looking for servers that were left: {error}"),
    }
    match ports {
        Ok(rows) => found.extend(rows.iter().filter_map(|row| wanted(row, &Map::new())).map(Temporary::Port)),
        Err(error) => tracing::debug!("looking for ports that were left: {error}"),
    }
    found
}

/// Whether a row of a list is somebody's temporary resource. Images have their tags among their fields, others apart.
pub fn is_temporary(row: &Value, prefix: &str) -> bool {
    let mut tags = [Some(row), row.get("metadata")].into_iter().flatten().filter_map(Value::as_object);
    tags.any(|tags| process_of(row, tags, prefix).is_some())
}

/// The process in a resource's tag, by metadata or by name.
fn process_of(row: &Value, tags: &Map<String, Value>, prefix: &str) -> Option<Process> {
    if tags.contains_key(RUN_KEY)
        && let Some(process) = tags.get(PROCESS_KEY).and_then(Value::as_str).and_then(Process::parse)
    {
        return Some(process);
    }
    let name = text(row, "name");
    // So Nova names the snapshots of an image of a server that boots from a volume.
    let name = name.strip_prefix("snapshot for ").unwrap_or(name);
    tag_in(name, prefix)
}

fn tag_in(name: &str, prefix: &str) -> Option<Process> {
    let (_, tag) = name.strip_prefix(prefix)?.rsplit_once(MARK)?;
    Process::parse(tag)
}

fn age_secs(row: &Value, now: DateTime<Utc>) -> i64 {
    let made = ["created_at", "created"].map(|key| text(row, key).trim_end_matches('Z'));
    let made = made.into_iter().find(|time| !time.is_empty()).unwrap_or_default();
    let made = NaiveDateTime::parse_from_str(made, "%Y-%m-%dT%H:%M:%S%.f");
    made.map_or(0, |made| (now - made.and_utc()).num_seconds())
}

fn text<'a>(row: &'a Value, key: &str) -> &'a str {
    row.get(key).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_tag_is_found_in_name_or_metadata_and_nowhere_else() {
        let own = Process::this();
        let none = Map::new();
        let named = json!({"name": format!("freezer_backup_v~{own}")});
        assert_eq!(process_of(&named, &none, "freezer_"), Some(own.clone()));
        assert_eq!(process_of(&named, &none, "other_"), None);
        let tags = json!({RUN_KEY: "r", PROCESS_KEY: own.to_string()});
        assert_eq!(process_of(&json!({"name": "x"}), tags.as_object().unwrap(), "freezer_"), Some(own));
        for name in
            ["freezer_backup_v", "freezer_backup~2026-01-01T00:00:00", "my~volume", "freezer_x~abc.1.2"]
        {
            assert_eq!(process_of(&json!({ "name": name }), &none, "freezer_"), None, "{name}");
        }
    }

    #[test]
    fn ledgers_at_work_side_by_side_know_their_own() {
        let (one, other) = (Process::next_part(), Process::next_part());
        assert_ne!(one, other);
        for process in [one, other] {
            let named = json!({"name": format!("freezer_restore_v~{process}")});
            assert_eq!(process_of(&named, &Map::new(), "freezer_"), Some(process.clone()));
            assert!(process.may_be_at_work(0));
        }
    }

    #[test]
    fn only_what_nobody_works_with_is_left_over() {
        let own = Process::this();
        assert!(own.may_be_at_work(0));
        let dead = Process { ticks: own.ticks + 1, ..own.clone() };
        assert!(!dead.may_be_at_work(0));
        let elsewhere = Process { host: "00000000".into(), ..own };
        assert!(elsewhere.may_be_at_work(0) && !elsewhere.may_be_at_work(FOREIGN_LIMIT_SECS));
        let is_left = |name: &str, age| is_left_by_name(name, "freezer_", age);
        assert!(!is_left(&own_name("freezer_", "restore_image"), i64::MAX));
        assert!(is_left(&tagged("freezer_", "restore_image", &dead), 0));
        let far = tagged("freezer_", "restore_image~1700000000", &elsewhere);
        assert!(!is_left(&far, 0) && is_left(&far, FOREIGN_LIMIT_SECS));
        for name in ["image~1700000000", "freezer_restore_image", "other_restore_image~00000000.1.2"] {
            assert!(!is_left(name, i64::MAX), "{name}");
        }
        assert_eq!(
            age_secs(
                &json!({"created_at": "2026-01-01T00:00:00.000000"}),
                "2026-01-01T00:01:00Z".parse().unwrap()
            ),
            60
        );
    }
}
