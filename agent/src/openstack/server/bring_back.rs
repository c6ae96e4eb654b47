//! Bringing one server back as a new one, in the project of the login: disks, ports, then the server, then its names.
//!
//! Everything that is made is the ledger's until the server runs and bears its names: a failure half way removes all of it. The
//! server's metadata are set last and commit: before, it bears the tag and names what was made for it, and all goes or nothing.
//! The image of an image-booted server's disk stays, as Nova needs it to rebuild, rescue or move the server.

use super::boot::{Parts, boot, other_devices};
use super::description::{ROOT, ServerDescription};
use super::place::{self, NetworkChoice, Place};
use super::plug::plug;
use crate::actions::ActionError;
use crate::openstack::ceph::{Ceph, CephAccess};
use crate::openstack::cloud::Cloud;
use crate::openstack::error::CloudError;
use crate::openstack::glance::images;
use crate::openstack::image::{ImageDescription, upload};
use crate::openstack::neutron::ports;
use crate::openstack::nova::servers;
use crate::openstack::temporary::{Ledger, Temporary};
use crate::openstack::volume::{NewVolume, VolumeDescription, with_leftovers};
use freezer_storage::Store;
use freezer_vault::Monitor;
use freezer_vault::encryption::PassPhrase;
use freezer_vault::image::{self, ImagePlan, ImageRestoreRequest};
use freezer_vault::set::Member;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What bringing servers back works with.
pub struct BringingBack {
    pub cloud: Cloud,
    pub store: Arc<dyn Store>,
    pub monitor: Arc<Monitor>,
    pub ceph: Option<CephAccess>,
    /// Host part of the backups' names.
    pub hostname: String,
    pub pass_phrase: Option<PassPhrase>,
    pub temp_prefix: String,
    pub run_id: String,
}

/// What shall be otherwise than it was.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    pub name: String,
    /// Ends the names of restored volumes.
    pub suffix: String,
    /// By id or name.
    pub flavor: Option<String>,
    pub networks: NetworkChoice,
    /// Put into its metadata.
    pub marks: Map<String, Value>,
    /// Set when the server comes back with its whole project.
    pub given: Option<Given>,
}

/// What is there for a server already and takes the place of what it had, by the old ids: none of it is made, and none is removed
/// if the server fails. What is not among it the server lacks.
#[derive(Clone, Debug, Default)]
pub struct Given {
    pub ports: BTreeMap<String, String>,
    pub volumes: BTreeMap<String, String>,
    /// Names.
    pub keypairs: BTreeMap<String, String>,
    pub server_groups: BTreeMap<String, String>,
}

/// The level that holds a disk.
#[derive(Clone, Debug)]
pub struct DiskLevel {
    pub role: String,
    /// `<hostname>_<backup_name>` of its chain.
    pub hbn: String,
    /// Seconds since 1970: the level's id.
    pub timestamp: i64,
}

impl DiskLevel {
    pub fn of(member: &Member) -> Self {
        let Member { role, link } = member;
        Self { role: role.clone(), hbn: link.hbn.clone(), timestamp: link.timestamp }
    }
}

/// What was made.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Restored {
    pub server_id: String,
    pub server_of_backup: String,
    pub name: String,
    /// Image of the server's disk, which stays.
    pub image_id: Option<String>,
    /// New volumes by the ids of the old ones.
    pub volumes: BTreeMap<String, String>,
    pub ports: Vec<String>,
    /// What is otherwise than it was.
    pub notes: Vec<String>,
    /// What the server had and has not.
    pub missing: Vec<String>,
    /// Temporary resources that could not be removed.
    pub left: Vec<String>,
}

/// A new server with what `disks` hold; volumes that are given need none.
pub async fn bring_back(
    work: &BringingBack,
    saved: &ServerDescription,
    disks: &[DiskLevel],
    wishes: &Wishes,
) -> Result<Restored, ActionError> {
    let plans = plans(work, saved, disks, wishes.given.is_some()).await?;
    let place = place::find(&work.cloud, saved, wishes).await?;
    let ledger = Arc::new(Ledger::new(&work.cloud, &work.temp_prefix, &work.run_id));
    let making = Making { work, saved, wishes, place, ledger: ledger.clone() };
    let made = match making.make(plans).await {
        Err(_) if work.monitor.is_cancelled() => Err(ActionError::Aborted),
        other => other,
    };
    let left = match &made {
        Ok(_) => ledger.remove_all().await,
        Err(_) => ledger.remove_all_and_lost().await,
    };
    let (mut restored, left) = with_leftovers(made, left)?;
    restored.left = left;
    Ok(restored)
}

/// The very level of each disk; nothing else will do.
async fn plans(
    work: &BringingBack,
    saved: &ServerDescription,
    levels: &[DiskLevel],
    has_volumes: bool,
) -> Result<BTreeMap<String, ImagePlan>, ActionError> {
    let mut plans = BTreeMap::new();
    for disk in saved.disks.iter().filter(|disk| disk.volume_id.is_none() || !has_volumes) {
        let lacks =
            |what: &str| ActionError::Failed(format!("disk {} of server {}: {what}", disk.role, saved.id));
        let level = levels.iter().find(|level| level.role == disk.role);
        let DiskLevel { hbn, timestamp, .. } = level.ok_or_else(|| lacks("the backup names none"))?;
        let name = hbn.strip_prefix(&format!("{}_", work.hostname));
        let name = name.ok_or_else(|| lacks(&format!("its backup {hbn} is another host's")))?;
        let mut request = ImageRestoreRequest::new(&work.hostname, name);
        request.not_after_secs = Some(*timestamp);
        request.pass_phrase = work.pass_phrase.clone();
        let plan = image::plan(&work.store, &request).await?;
        if plan.timestamp != *timestamp {
            return Err(lacks(&format!("its backup {hbn} at {timestamp} is not there")));
        }
        plans.insert(disk.role.clone(), plan);
    }
    Ok(plans)
}

struct Making<'a> {
    work: &'a BringingBack,
    saved: &'a ServerDescription,
    wishes: &'a Wishes,
    place: Place,
    ledger: Arc<Ledger>,
}

impl Making<'_> {
    async fn make(&self, mut plans: BTreeMap<String, ImagePlan>) -> Result<Restored, ActionError> {
        let (cloud, ledger) = (&self.work.cloud, &self.ledger);
        let mut restored = Restored {
            server_of_backup: self.saved.id.clone(),
            name: self.wishes.name.clone(),
            notes: self.place.notes.clone(),
            missing: self.place.missing.clone(),
            ..Restored::default()
        };
        if self.saved.user_data_is_hidden {
            restored.notes.push("user data were not saved, as Nova's policy hid them".to_owned());
        }
        let root = plans.remove(ROOT);
        let volumes = self.volumes(plans, &mut restored).await?;
        if let Some(plan) = root {
            restored.image_id = Some(self.image(&plan).await?);
        }
        let ports = self.ports(&mut restored).await?;
        let parts = Parts {
            image: restored.image_id.as_deref(),
            volumes: &restored.volumes,
            ports: &ports,
            spares_volumes: self.wishes.given.is_some(),
        };
        restored.server_id = boot(cloud, ledger, &self.wishes.name, self.saved, &self.place, &parts).await?;
        restored
            .notes
            .extend(other_devices(cloud, &restored.server_id, self.saved, &restored.volumes).await?);
        if self.saved.status == "SHUTOFF" {
            servers::stop(cloud, &restored.server_id).await?;
        }
        self.dress(&restored, &volumes).await?;
        self.hand_over(&restored);
        self.bind_volumes(&mut restored).await;
        Ok(restored)
    }

    /// Ports by the ids of the old ones.
    async fn ports(&self, restored: &mut Restored) -> Result<BTreeMap<String, String>, ActionError> {
        let mut ports = BTreeMap::new();
        let Some(given) = &self.wishes.given else {
            for (old, place) in self.saved.ports.iter().zip(&self.place.ports) {
                let plugged = plug(&self.work.cloud, &self.ledger, old, place).await?;
                ports.insert(old.id.clone(), plugged.id.clone());
                restored.ports.push(plugged.id);
                restored.notes.extend(plugged.notes);
                restored.missing.extend(plugged.missing);
            }
            return Ok(ports);
        };
        for old in &self.saved.ports {
            match given.ports.get(&old.id) {
                Some(id) => drop(ports.insert(old.id.clone(), id.clone())),
                None => restored.missing.push(format!("its interface in network {}", old.network.name)),
            }
        }
        Ok(ports)
    }

    async fn volumes(
        &self,
        plans: BTreeMap<String, ImagePlan>,
        restored: &mut Restored,
    ) -> Result<Vec<(String, NewVolume)>, ActionError> {
        let mut made = Vec::new();
        if let Some(given) = &self.wishes.given {
            for old in self.saved.disks.iter().filter_map(|disk| disk.volume_id.as_ref()) {
                match given.volumes.get(old) {
                    Some(id) => drop(restored.volumes.insert(old.clone(), id.clone())),
                    None => restored.missing.push(format!("its volume {old}")),
                }
            }
            return Ok(made);
        }
        for (role, plan) in plans {
            let saved = VolumeDescription::from_value(&plan.description).ok_or_else(|| {
                ActionError::Failed(format!(
                    "backup {} at {} is not that of a volume",
                    plan.hbn, plan.timestamp
                ))
            })?;
            let name = match saved.name.as_str() {
                "" => String::new(),
                name => format!("{name}{}", self.wishes.suffix),
            };
            let own = Arc::new(Monitor::with_token(self.work.monitor.token().child_token()));
            let new = NewVolume {
                cloud: self.work.cloud.clone(),
                monitor: own.clone(),
                store: self.work.store.clone(),
                ledger: self.ledger.clone(),
                ceph: self.work.ceph.clone().map(|access| Ceph::new(access, own.clone())),
                plan,
                saved,
                name,
            };
            let (id, _) = new.make().await?;
            self.work.monitor.include(&own.progress());
            restored.notes.extend(new.prepare(&id).await?);
            restored.volumes.insert(role, id.clone());
            made.push((id, new));
        }
        Ok(made)
    }

    async fn image(&self, plan: &ImagePlan) -> Result<String, ActionError> {
        let saved = ImageDescription::from_value(&plan.description).ok_or_else(|| {
            ActionError::Failed(format!("backup {} at {} is not that of an image", plan.hbn, plan.timestamp))
        })?;
        let own = Arc::new(Monitor::with_token(self.work.monitor.token().child_token()));
        let parts = (&self.work.store, plan, &saved);
        let (id, _) = upload(&self.work.cloud, &self.ledger, parts, &own).await?;
        self.work.monitor.include(&own.progress());
        Ok(id)
    }

    /// Volumes that went with the old server go with the new one; given ones only from now on, as it stays. What does not work is
    /// noted: the server is there, and an abort is no reason to leave it half.
    async fn bind_volumes(&self, restored: &mut Restored) {
        if self.wishes.given.is_none() {
            return;
        }
        let cloud = self.work.cloud.undisturbed();
        for disk in self.saved.disks.iter().filter(|disk| disk.delete_on_termination) {
            let Some(volume) = restored.volumes.get(&disk.role) else { continue };
            if let Err(error) = servers::bind_volume(&cloud, &restored.server_id, volume).await {
                restored.notes.push(format!("volume {volume} stays when the server is deleted: {error}"));
            }
        }
    }

    /// Everything gets the name and the metadata that it had, the server last.
    async fn dress(&self, restored: &Restored, volumes: &[(String, NewVolume)]) -> Result<(), CloudError> {
        let cloud = &self.work.cloud;
        for (id, volume) in volumes {
            volume.dress(id).await?;
        }
        if let Some(id) = &restored.image_id {
            let name = json!({"op": "replace", "path": "/name", "value": format!("{}~disk", restored.name)});
            images::update(cloud, id, &[name]).await?;
        }
        for (id, old) in restored.ports.iter().zip(&self.saved.ports) {
            ports::update(cloud, id, &json!({ "name": old.name })).await?;
        }
        let mut metadata = self.saved.metadata.clone();
        metadata.extend(self.wishes.marks.clone());
        servers::set_metadata(cloud, &restored.server_id, &metadata).await
    }

    /// It is all the user's from now on.
    fn hand_over(&self, restored: &Restored) {
        let volumes = restored.volumes.values().cloned().map(Temporary::Volume);
        let ports = restored.ports.iter().cloned().map(Temporary::Port);
        let image = restored.image_id.iter().cloned().map(Temporary::Image);
        let server = std::iter::once(Temporary::Server(restored.server_id.clone()));
        for kept in volumes.chain(ports).chain(image).chain(server) {
            self.ledger.release(&kept);
        }
    }
}
