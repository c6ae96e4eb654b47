//! The key of a volume that Cinder encrypts.
//!
//! Such a volume is read as it is stored: encrypted. What can be restored is that together with its key, so the key stands in
//! the description of each level; and as a backup must not tell more than the volume did, only an encrypted backup takes it.
//! Cinder may give a copy of a volume a key of its own: each level has the key of what was read.

use crate::openstack::barbican::{self, Key};
use crate::openstack::cinder::volumes::{self, Volume};
use crate::openstack::cloud::Cloud;
use crate::openstack::error::CloudError;
use serde_json::{Map, Value, json};

/// Where Cinder names the key in the properties of an image.
pub const PROPERTY: &str = "cinder_encryption_key_id";
/// What Cinder's properties about keys begin with: they speak of one volume or image and never of its restored one.
const PROPERTIES: &str = "cinder_encryption_key_";

/// The key of a volume as it is; none when it is not encrypted.
pub async fn of_volume(cloud: &Cloud, volume: &Volume) -> Result<Option<Key>, CloudError> {
    if !volume.is_encrypted() {
        return Ok(None);
    }
    match volumes::key_id(cloud, volume.id()).await? {
        Some(id) => barbican::read(cloud, &id).await.map(Some),
        None => Err(unknown(volume)),
    }
}

/// The key of an image that Cinder made of a volume.
pub async fn of_image(cloud: &Cloud, volume: &Volume, image: &Value) -> Result<Option<Key>, CloudError> {
    match image.get(PROPERTY).and_then(Value::as_str) {
        Some(id) => barbican::read(cloud, id).await.map(Some),
        None if volume.is_encrypted() => Err(unknown(volume)),
        None => Ok(None),
    }
}

fn unknown(volume: &Volume) -> CloudError {
    CloudError::Choice {
        what: format!("volume {}", volume.id()),
        cause: "is encrypted, and Cinder does not tell with which key; use mode cindernative".to_owned(),
    }
}

/// A description with the key in it.
pub fn put(mut description: Value, key: Option<&Key>) -> Value {
    if let (Some(fields), Some(key)) = (description.as_object_mut(), key) {
        fields.insert("key".to_owned(), json!(key));
    }
    description
}

/// The key in a description.
pub fn get(description: &Value) -> Option<Key> {
    serde_json::from_value(description.get("key")?.clone()).ok()
}

/// Leaves out what Cinder says of keys.
pub fn strip(image_metadata: &mut Map<String, Value>) {
    image_metadata.retain(|name, _| !name.starts_with(PROPERTIES));
}
