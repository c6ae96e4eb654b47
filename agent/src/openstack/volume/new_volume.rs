//! A new volume with the content of a backup: the ledger's, until whoever asked for it takes it over.

use super::description::VolumeDescription;
use super::key;
use super::restore::feed;
use crate::actions::ActionError;
use crate::openstack::barbican::{self, Key};
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
const EMPTY_BYTES: usize = 1 << 20;
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
    fn body(&self, name: &str, gib: u64) -> Value {
        let mut metadata = self.saved.metadata.clone();
        metadata.extend(self.ledger.metadata().as_object().cloned().unwrap_or_default());
        json!({
            "name": name,
            "size": gib,
            "description": self.saved.description,
            "volume_type": self.saved.volume_type,
            "availability_zone": self.saved.availability_zone,
            "metadata": metadata,
        })
    }

    /// A volume with the content, under a temporary's name.
    pub async fn make(&self) -> Result<(String, ImageReport), ActionError> {
        let name = self.ledger.name(&format!("restore_{}", self.saved.id));
        if let Some(key) = key::get(&self.plan.description) {
            return self.encrypted(&name, &key).await;
        }
        let none = json!({});
        let Some(ceph) = &self.ceph else { return self.through_image(&name, none).await };
        let id = volumes::create(&self.cloud, self.body(&name, self.gib())).await?;
        self.ledger.note(Temporary::Volume(id.clone()));
        volumes::wait(&self.cloud, &id, &["available"], 0).await?;
        let image = ceph.image_of_volume(&id);
        let Some(facts) = ceph.facts(&image).await? else {
            // Its type is kept elsewhere.
            self.ledger.remove(&Temporary::Volume(id)).await?;
            return self.through_image(&name, none).await;
        };
        let report = self.import(ceph, &image).await?;
        if facts.size_bytes != self.plan.size_bytes {
            ceph.resize(&image, facts.size_bytes).await?;
        }
        Ok((id, report))
    }

    /// Cinder gives a volume the key that the image names which it is made from. The content follows through the cluster, where
    /// this host reaches it.
    async fn encrypted(&self, name: &str, key: &Key) -> Result<(String, ImageReport), ActionError> {
        let secret = barbican::create(&self.cloud, &self.ledger.key_name(&self.saved.id), key).await?;
        self.ledger.note(Temporary::Secret(secret.clone()));
        let named = json!({ key::PROPERTY: secret });
        let Some(ceph) = &self.ceph else { return self.through_image(name, named).await };
        // An image of no content: it is there for the key alone.
        let image_id = self.new_image(name, &named).await?;
        let empty = reqwest::Body::from(vec![0; EMPTY_BYTES]);
        images::upload(&self.cloud, &image_id, empty).await?;
        images::wait(&self.cloud, &image_id, 0).await?;
        let id = self.of_image(name, &image_id, self.saved.size_gib).await?;
        let image = ceph.image_of_volume(&id);
        if ceph.facts(&image).await?.is_none() {
            // Its type is kept elsewhere.
            self.ledger.remove(&Temporary::Volume(id)).await?;
            return self.through_image(name, named).await;
        }
        // The head that encryption needs may stand beside the size that Cinder tells: the image is as large as it was.
        let report = self.import(ceph, &image).await?;
        Ok((id, report))
    }

    async fn through_image(
        &self,
        name: &str,
        properties: Value,
    ) -> Result<(String, ImageReport), ActionError> {
        let (image_id, report) = self.upload(name, &properties).await?;
        Ok((self.of_image(name, &image_id, self.gib()).await?, report))
    }

    /// A volume of so many GiB, made by Cinder from an image.
    async fn of_image(&self, name: &str, image_id: &str, gib: u64) -> Result<String, CloudError> {
        let mut body = self.body(name, gib);
        if let Some(fields) = body.as_object_mut() {
            fields.insert("imageRef".into(), json!(image_id));
        }
        let id = volumes::create(&self.cloud, body).await?;
        self.ledger.note(Temporary::Volume(id.clone()));
        volumes::wait(&self.cloud, &id, &["available"], gib).await?;
        Ok(id)
    }

    /// Streams the backup into a raw image that is removed in the end.
    pub(super) async fn upload(
        &self,
        name: &str,
        properties: &Value,
    ) -> Result<(String, ImageReport), ActionError> {
        let id = self.new_image(name, properties).await?;
        let (writer, stream) = pipe::writer();
        let sending = images::upload(&self.cloud, &id, reqwest::Body::wrap_stream(stream));
        let report = self.feed(ImageOutput::Raw(writer), sending).await?;
        images::wait(&self.cloud, &id, 0).await?;
        Ok((id, report))
    }

    /// A raw image without content yet.
    async fn new_image(&self, name: &str, properties: &Value) -> Result<String, CloudError> {
        // Its tag is in the name alone: Cinder would copy properties to the volume that is made from it.
        let mut body = json!({
            "name": name, "disk_format": "raw", "container_format": "bare", "visibility": "private",
        });
        if let (Some(body), Some(properties)) = (body.as_object_mut(), properties.as_object()) {
            body.extend(properties.clone());
        }
        let id = images::create(&self.cloud, &body).await?;
        self.ledger.note(Temporary::Image(id.clone()));
        Ok(id)
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
        if key::get(&self.plan.description).is_some() {
            // It came with the image; the volume has a key of its own.
            volume_actions::unset_image_metadata(&self.cloud, id, key::PROPERTY).await?;
        }
        self.strip(id, &self.saved.image_metadata).await?;
        self.flag(id, self.saved.is_bootable, self.saved.image_metadata.clone()).await
    }

    /// Takes from a volume what else Cinder tells of the image that it was made of, or that was written over it.
    pub async fn strip(&self, id: &str, wanted: &Map<String, Value>) -> Result<(), CloudError> {
        let now = volumes::show(&self.cloud, id).await?.map("volume_image_metadata");
        for key in now.keys().filter(|key| !wanted.contains_key(*key)) {
            volume_actions::unset_image_metadata(&self.cloud, id, key).await?;
        }
        Ok(())
    }

    /// Has a volume boot or not, and adds metadata of images.
    pub async fn flag(
        &self,
        id: &str,
        is_bootable: bool,
        mut wanted: Map<String, Value>,
    ) -> Result<Vec<String>, CloudError> {
        let mut notes = Vec::new();
        volume_actions::set_bootable(&self.cloud, id, is_bootable).await?;
        wanted.retain(|_, value| value.is_string());
        key::strip(&mut wanted);
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
        self.rename(id).await?;
        self.describe(id, Map::new()).await
    }

    /// Its own name. It comes before the metadata: with them it becomes somebody's, and its name must not say otherwise then.
    pub async fn rename(&self, id: &str) -> Result<(), CloudError> {
        volumes::rename(&self.cloud, id, &self.name).await
    }

    /// Its own metadata, with `marks` among them from the moment on in which nothing tells any more that it is temporary.
    pub async fn describe(&self, id: &str, marks: Map<String, Value>) -> Result<(), CloudError> {
        let mut metadata = self.saved.metadata.clone();
        metadata.extend(marks);
        volume_actions::set_metadata(&self.cloud, id, &metadata).await
    }
}
