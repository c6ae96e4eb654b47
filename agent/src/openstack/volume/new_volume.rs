//! A new volume with the content of a backup: the ledger's, until whoever asked for it takes it over.

use super::description::VolumeDescription;
use super::restore::feed;
use crate::actions::ActionError;
use crate::openstack::ceph::{Ceph, RbdImage};
use crate::openstack::cinder::{volume_actions, volumes};
use crate::openstack::cloud::Cloud;
use crate::openstack::error::CloudError;
use crate::openstack::glance::images;
use crate::openstack::pipe;
use crate::openstack::temporary::{Ledger, Temporary};
use freezer_storage::Store;
use freezer_vault::Monitor;
use freezer_vault::image::{ImageOutput, ImagePlan, ImageReport};
use serde_json::{Map, Value, json};
use std::sync::Arc;

pub(super) const GIB: u64 = 1 << 30;
/// Image metadata that describe the image the volume was made from and not what a guest needs.
const OF_THE_IMAGE: [&str; 8] =
    ["image_id", "image_name", "checksum", "container_format", "disk_format", "min_disk", "min_ram", "size"];

/// Everything that making it takes.
pub(in crate::openstack) struct NewVolume {
    pub cloud: Cloud,
    pub monitor: Arc<Monitor>,
    pub store: Arc<dyn Store>,
    pub ledger: Arc<Ledger>,
    pub ceph: Option<Ceph>,
    pub plan: ImagePlan,
    pub saved: VolumeDescription,
    /// The name it gets in the end.
    pub name: String,
}

impl NewVolume {
    pub fn gib(&self) -> u64 {
        self.saved.size_gib.max(self.plan.size_bytes.div_ceil(GIB))
    }

    /// What Cinder is asked for; the name is a temporary's until the content is in.
    fn body(&self, name: &str) -> Value {
        let mut metadata = self.saved.metadata.clone();
        metadata.extend(self.ledger.metadata().as_object().cloned().unwrap_or_default());
        json!({
            "name": name,
            "size": self.gib(),
            "description": self.saved.description,
            "volume_type": self.saved.volume_type,
            "availability_zone": self.saved.availability_zone,
            "metadata": metadata,
        })
    }

    /// A volume with the content, under a temporary's name.
    pub async fn make(&self) -> Result<(String, ImageReport), ActionError> {
        let name = self.ledger.name(&format!("restore_{}", self.saved.id));
        let Some(ceph) = &self.ceph else { return self.through_image(&name).await };
        let id = volumes::create(&self.cloud, self.body(&name)).await?;
        self.ledger.note(Temporary::Volume(id.clone()));
        volumes::wait(&self.cloud, &id, &["available"], 0).await?;
        let image = ceph.image_of_volume(&id);
        let Some(facts) = ceph.facts(&image).await? else {
            // Its type is kept elsewhere.
            self.ledger.remove(&Temporary::Volume(id)).await?;
            return self.through_image(&name).await;
        };
        let report = self.import(ceph, &image).await?;
        if facts.size_bytes != self.plan.size_bytes {
            ceph.resize(&image, facts.size_bytes).await?;
        }
        Ok((id, report))
    }

    async fn through_image(&self, name: &str) -> Result<(String, ImageReport), ActionError> {
        let (image_id, report) = self.upload(name).await?;
        let mut body = self.body(name);
        if let Some(fields) = body.as_object_mut() {
            fields.insert("imageRef".into(), json!(image_id));
        }
        let id = volumes::create(&self.cloud, body).await?;
        self.ledger.note(Temporary::Volume(id.clone()));
        volumes::wait(&self.cloud, &id, &["available"], self.gib()).await?;
        Ok((id, report))
    }

    /// Streams the backup into a raw image that is removed in the end.
    pub(super) async fn upload(&self, name: &str) -> Result<(String, ImageReport), ActionError> {
        // Its tag is in the name alone: Cinder would copy properties to the volume that is made from it.
        let body = json!({
            "name": name, "disk_format": "raw", "container_format": "bare", "visibility": "private",
        });
        let id = images::create(&self.cloud, &body).await?;
        self.ledger.note(Temporary::Image(id.clone()));
        let (writer, stream) = pipe::writer();
        let sending = images::upload(&self.cloud, &id, reqwest::Body::wrap_stream(stream));
        let report = self.feed(ImageOutput::Raw(writer), sending).await?;
        images::wait(&self.cloud, &id, 0).await?;
        Ok((id, report))
    }

    pub(super) async fn import(&self, ceph: &Ceph, image: &RbdImage) -> Result<ImageReport, ActionError> {
        let (writer, stream) = pipe::writer();
        self.feed(ImageOutput::Diff(writer), ceph.import_diff(image, stream)).await
    }

    async fn feed(
        &self,
        output: ImageOutput,
        taking: impl Future<Output = Result<(), CloudError>>,
    ) -> Result<ImageReport, ActionError> {
        feed(&self.store, &self.plan, output, &self.monitor, taking).await
    }

    /// Flags and image metadata of the old one, which a server needs that boots from it. What Cinder does not take is
    /// said, not hidden.
    pub async fn prepare(&self, id: &str) -> Result<Vec<String>, CloudError> {
        let mut notes = Vec::new();
        volume_actions::set_bootable(&self.cloud, id, self.saved.is_bootable).await?;
        let mut wanted: Map<String, Value> = self.saved.image_metadata.clone();
        wanted.retain(|_, value| value.is_string());
        if !wanted.is_empty()
            && let Err(error) = volume_actions::set_image_metadata(&self.cloud, id, &wanted).await
        {
            wanted.retain(|key, _| !OF_THE_IMAGE.contains(&key.as_str()));
            volume_actions::set_image_metadata(&self.cloud, id, &wanted).await?;
            notes.push(format!("image metadata that describe the image itself are not restored: {error}"));
        }
        Ok(notes)
    }

    /// Its own name and metadata. It is still the ledger's.
    pub async fn dress(&self, id: &str) -> Result<(), CloudError> {
        volume_actions::rename(&self.cloud, id, &self.name, &self.saved.metadata).await
    }
}
