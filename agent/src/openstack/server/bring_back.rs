//! Bringing one server back as a new one, in the project of the login: disks, ports, then the server, then its names.
//!
//! Everything that is made is the ledger's until the server runs and bears its names: a failure half way removes all of it.
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
use serde_json::json;
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

/// A new server with what `members` of its set hold.
pub async fn bring_back(
    work: &BringingBack,
    saved: &ServerDescription,
    members: &[Member],
    wishes: &Wishes,
) -> Result<Restored, ActionError> {
    let plans = plans(work, saved, members).await?;
    let place = place::find(&work.cloud, saved, wishes.flavor.as_deref(), &wishes.networks).await?;
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

/// The level of each disk that the set names; nothing else will do.
async fn plans(
    work: &BringingBack,
    saved: &ServerDescription,
    members: &[Member],
) -> Result<BTreeMap<String, ImagePlan>, ActionError> {
    let mut plans = BTreeMap::new();
    for disk in &saved.disks {
        let lacks =
            |what: &str| ActionError::Failed(format!("disk {} of server {}: {what}", disk.role, saved.id));
        let member = members.iter().find(|member| member.role == disk.role);
        let member = member.ok_or_else(|| lacks("the backup names none"))?;
        let name = member.link.hbn.strip_prefix(&format!("{}_", work.hostname));
        let name = name.ok_or_else(|| lacks(&format!("its backup {} is another host's", member.link.hbn)))?;
        let mut request = ImageRestoreRequest::new(&work.hostname, name);
        request.not_after_secs = Some(member.link.timestamp);
        request.pass_phrase = work.pass_phrase.clone();
        let plan = image::plan(&work.store, &request).await?;
        if plan.timestamp != member.link.timestamp {
            return Err(lacks(&format!("its backup {} at {} is not there", plan.hbn, member.link.timestamp)));
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
        for (old, place) in self.saved.ports.iter().zip(&self.place.ports) {
            let plugged = plug(cloud, ledger, old, place).await?;
            restored.ports.push(plugged.id);
            restored.notes.extend(plugged.notes);
            restored.missing.extend(plugged.missing);
        }
        let parts =
            Parts { image: restored.image_id.as_deref(), volumes: &restored.volumes, ports: &restored.ports };
        restored.server_id = boot(cloud, ledger, &self.wishes.name, self.saved, &self.place, &parts).await?;
        restored
            .notes
            .extend(other_devices(cloud, &restored.server_id, self.saved, &restored.volumes).await?);
        if self.saved.status == "SHUTOFF" {
            servers::stop(cloud, &restored.server_id).await?;
        }
        self.dress(&restored, &volumes).await?;
        self.hand_over(&restored);
        Ok(restored)
    }

    async fn volumes(
        &self,
        plans: BTreeMap<String, ImagePlan>,
        restored: &mut Restored,
    ) -> Result<Vec<(String, NewVolume)>, ActionError> {
        let mut made = Vec::new();
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

    /// Everything gets the name and the metadata that it had.
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
        servers::set_metadata(cloud, &restored.server_id, &self.saved.metadata).await
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
