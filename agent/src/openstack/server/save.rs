//! Saving one server: its point in time, each disk as the next level of its own chain, and its description. The set that
//! names them is made by whoever asked, so that a project's backup can name the disks of many servers.
//!
//! A server is saved whole or not at all: when a disk fails, the levels that were made before are taken back.

use super::describe::describe;
use super::description::{Consistency, ROOT, ServerDescription};
use super::freeze::{Freezing, Frozen, Source};
use super::pick;
use crate::actions::ActionError;
use crate::openstack::ceph::CephAccess;
use crate::openstack::cloud::Cloud;
use crate::openstack::error::CloudError;
use crate::openstack::image::{ImageDescription, opener};
use crate::openstack::nova::servers::{self, Server};
use crate::openstack::temporary::Ledger;
use crate::openstack::volume::{
    Kept, VolumeDescription, check, key_of_volume, put_key, snapshot_opener, with_leftovers,
};
use crate::openstack::waiting::{Look, Wanted};
use freezer_storage::Store;
use freezer_vault::image::{self, ImageRequest, OpenImage};
use freezer_vault::prune::withdraw;
use freezer_vault::set::NewMember;
use freezer_vault::{BackupReport, Engine, FileProblem, Monitor, VaultError, Weight, present_secs};
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;

/// States in which disks hold what the guest wrote, and Nova makes images.
const SOUND: [&str; 4] = ["ACTIVE", "SHUTOFF", "PAUSED", "SUSPENDED"];
/// What Nova writes into an image of a server and another server's image must not have.
const OF_THE_OLD_SERVER: [&str; 9] = [
    "base_image_ref",
    "boot_roles",
    "image_location",
    "image_state",
    "instance_uuid",
    "owner_id",
    "owner_project_name",
    "owner_user_name",
    "user_id",
];

/// What saving servers works with.
pub struct Saving {
    pub cloud: Cloud,
    pub store: Arc<dyn Store>,
    pub monitor: Arc<Monitor>,
    pub ceph: Option<CephAccess>,
    /// How each disk is saved; under which name, `chain_of` says.
    pub disks: ImageRequest,
    /// The chain of a disk by its role.
    pub chain_of: Box<dyn Fn(&str) -> DiskChain + Send + Sync>,
    pub temp_prefix: String,
    pub run_id: String,
    /// Names of the types of Cinder's groups whose volumes are all snapshotted at one instant.
    pub group_types: Vec<String>,
}

/// Where the levels of a disk are.
#[derive(Clone, Debug)]
pub struct DiskChain {
    pub backup_name: String,
    /// Names it among all that may have a snapshot in the cluster: project, storage, container, host, name.
    pub in_cluster: String,
}

/// Which volumes of a server are saved with it.
#[derive(Clone, Debug)]
pub enum Volumes {
    All,
    /// These; somebody else sees to the others, which are only described.
    Only(BTreeSet<String>),
}

impl Volumes {
    fn has(&self, id: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(ids) => ids.contains(id),
        }
    }
}

/// A server that is saved but not named by a set yet.
pub struct Saved {
    pub description: ServerDescription,
    /// Role and level of each disk.
    pub disks: Vec<(String, BackupReport)>,
    /// What is not in the backup.
    pub problems: Vec<FileProblem>,
    /// Temporary resources that could not be removed.
    pub left: Vec<String>,
}

impl Saved {
    pub fn members(&self) -> Result<Vec<NewMember>, VaultError> {
        self.disks.iter().map(|(role, report)| NewMember::of(Engine::Image, report, role)).collect()
    }
}

/// Saves the server of this id, which must be the login's project's.
pub async fn save(work: &Saving, server_id: &str, wanted: &Volumes) -> Result<Saved, ActionError> {
    let server = sound(&work.cloud, server_id).await?;
    let (description, mut volumes) = describe(&work.cloud, &server, work.disks.now_secs).await?;
    let attached = volumes.len();
    volumes.retain(|volume| wanted.has(volume.id()));
    let is_whole = volumes.len() == attached;
    let project = work.cloud.project_id().await?;
    for volume in &volumes {
        check(volume, &project, &work.disks)?;
    }
    let ledger = Arc::new(Ledger::new(&work.cloud, &work.temp_prefix, &work.run_id));
    let mut kept = Vec::new();
    let frozen = Freezing {
        cloud: &work.cloud,
        ledger: &ledger,
        ceph: work.ceph.as_ref(),
        chain_of: work.chain_of.as_ref(),
        now_secs: work.disks.now_secs,
        group_types: &work.group_types,
    }
    .freeze(&server, volumes, &mut kept)
    .await;
    let made = match frozen {
        Ok(mut frozen) => {
            if !is_whole {
                // Of what is saved at another time nothing is known here.
                frozen.consistency = Consistency::PerVolume;
            }
            disks(work, description, frozen).await
        }
        Err(error) => Err(error.into()),
    };
    let made = match made {
        Err(_) if work.monitor.is_cancelled() => Err(ActionError::Aborted),
        other => other,
    };
    let mut left = match &made {
        Ok(_) => ledger.remove_all().await,
        Err(_) => ledger.remove_all_and_lost().await,
    };
    for kept in &kept {
        left.extend(settle(kept, made.is_ok(), work.disks.levels.incremental).await);
    }
    let (mut saved, left) = with_leftovers(made, left)?;
    saved.left.extend(left);
    Ok(saved)
}

/// The snapshot that the next level starts from is kept, if there will be one.
async fn settle(kept: &Kept, is_saved: bool, is_incremental: bool) -> Vec<String> {
    match (is_saved, is_incremental) {
        (true, true) => kept.settle(Some(&kept.fresh)).await,
        (true, false) => kept.settle(None).await,
        (false, _) => kept.forget_fresh().await,
    }
}

/// The server when nothing is done with it and its disks hold what they should.
async fn sound(cloud: &Cloud, id: &str) -> Result<Server, CloudError> {
    pick::by_id(cloud, id).await?;
    let order = Wanted::new(format!("server {id}"), "at rest");
    cloud
        .wait_for(order, || async move {
            let server = servers::show(cloud, id).await?;
            let state = server.status().to_owned();
            if server.task() == "deleting" || !SOUND.contains(&state.as_str()) {
                let doing =
                    if server.task().is_empty() { String::new() } else { format!(", {}", server.task()) };
                let detail = match server.fault() {
                    "" => "a server is saved when it is active, shut off, paused or suspended".to_owned(),
                    fault => fault.to_owned(),
                };
                return Ok(Look::Never { state: format!("{state}{doing}"), detail });
            }
            match server.task() {
                "" => Ok(Look::Ready(server)),
                task => Ok(Look::NotYet(format!("{state}, {task}"))),
            }
        })
        .await
}

/// Each disk becomes the next level of its chain.
async fn disks(
    work: &Saving,
    mut description: ServerDescription,
    frozen: Frozen,
) -> Result<Saved, ActionError> {
    description.consistency = frozen.consistency;
    let passed_over = frozen.passed_over.as_deref().map(|group| not_one_instant(&description, group));
    let mut made = Vec::new();
    match each(work, frozen, &mut made).await {
        Ok(left) => {
            let problems = problems(&description).into_iter().chain(passed_over).collect();
            Ok(Saved { description, disks: made, problems, left })
        }
        Err(error) => {
            take_back(work, &made).await;
            Err(error)
        }
    }
}

async fn each(
    work: &Saving,
    frozen: Frozen,
    made: &mut Vec<(String, BackupReport)>,
) -> Result<Vec<String>, ActionError> {
    let mut left = Vec::new();
    if let Some(image) = frozen.root {
        let open = open_root(work, &image)?;
        made.push((ROOT.to_owned(), level(work, ROOT, open).await?));
    }
    for (volume, source) in frozen.volumes {
        let role = volume.id().to_owned();
        // What a disk is copied through is needed no longer than for this disk.
        let own = Arc::new(Ledger::new(&work.cloud, &work.temp_prefix, &work.run_id));
        let open = match source {
            Source::Cluster(kept) => {
                let key = key_of_volume(&work.cloud, &volume).await?;
                kept.opener(put_key(VolumeDescription::of(&volume).to_value(), key.as_ref()))
            }
            Source::Snapshot(id) => snapshot_opener(work.cloud.clone(), own.clone(), volume, Some(id)),
        };
        let report = level(work, &role, open).await;
        left.extend(match &report {
            Ok(_) => own.remove_all().await,
            Err(_) => own.remove_all_and_lost().await,
        });
        made.push((role, report?));
    }
    Ok(left)
}

fn open_root(work: &Saving, image: &Value) -> Result<OpenImage, CloudError> {
    let mut saved = ImageDescription::of(image, Vec::new());
    saved.fields.retain(|key, _| {
        !OF_THE_OLD_SERVER.contains(&key.as_str())
            && key != crate::openstack::temporary::RUN_KEY
            && key != crate::openstack::temporary::PROCESS_KEY
    });
    let size = image.get("size").and_then(Value::as_u64).unwrap_or_default();
    if size == 0 {
        return Err(CloudError::BadState {
            resource: format!("image {} of the server", saved.id),
            state: "empty".to_owned(),
            wanted: "full of its disk".to_owned(),
            detail: String::new(),
        });
    }
    Ok(opener(work.cloud.clone(), saved.id.clone(), size, saved.to_value()))
}

async fn level(work: &Saving, role: &str, open: OpenImage) -> Result<BackupReport, ActionError> {
    let mut request = work.disks.clone();
    request.backup_name = (work.chain_of)(role).backup_name;
    // Each has figures of its own; an abort ends them all.
    let own = Arc::new(Monitor::with_token(work.monitor.token().child_token()));
    let made = image::backup(work.store.clone(), request, open, own.clone()).await;
    work.monitor.include(&own.progress());
    match made {
        Err(_) if work.monitor.is_cancelled() => Err(ActionError::Aborted),
        Err(error) => Err(ActionError::Failed(format!("disk {role}: {error}"))),
        Ok(report) => Ok(report),
    }
}

/// Removes levels that are part of no backup of a server. What cannot be removed is no loss: it is a backup of its own.
pub async fn take_back(work: &Saving, made: &[(String, BackupReport)]) {
    for (role, report) in made {
        let taken = match NewMember::of(Engine::Image, report, role) {
            Ok(member) => {
                let now_secs = present_secs(work.disks.now_secs, work.disks.began);
                let expiry = work.disks.lock_expiry;
                withdraw(&work.store, &member.hbn, member.id, now_secs, expiry).await.map(|_| ())
            }
            Err(error) => Err(error),
        };
        if let Err(error) = taken {
            tracing::warn!("{} at {} is kept, though no set names it: {error}", report.hbn, report.timestamp);
        }
    }
}

/// A group of volumes that was to be taken at one instant, by an agent that reads them itself.
fn not_one_instant(server: &ServerDescription, group: &str) -> FileProblem {
    FileProblem {
        path: format!("server {}", server.id),
        kind: "consistency".to_owned(),
        weight: Weight::Warning,
        reason: format!(
            "its volumes are in group {group}, of a type that consistent_group_types names, and were taken each at an instant of its \
             own: this agent reads them from the Ceph cluster; one without [ceph] has the group snapshotted"
        ),
    }
}

/// What the backup does not hold, though one might think so.
fn problems(server: &ServerDescription) -> Vec<FileProblem> {
    let mut found = Vec::new();
    let mut say = |kind: &str, reason: String| {
        let (path, kind) = (format!("server {}", server.id), kind.to_owned());
        found.push(FileProblem { path, kind, weight: Weight::Warning, reason });
    };
    if server.user_data_is_hidden {
        say(
            "hidden",
            "its user data are not saved: Nova's policy os-extended-server-attributes hides them from this login; the operator \
             can show them (docs/servers.md)"
                .to_owned(),
        );
    }
    if server.ephemeral_gib() > 0 {
        let gib = server.ephemeral_gib();
        say("ephemeral", format!("its ephemeral disks ({gib} GiB) are not saved: the cloud snapshots none"));
    }
    found
}
