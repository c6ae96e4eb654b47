//! What is known of a volume beside its content, kept with each level and used by restores.

use super::{exchange, restoring};
use crate::openstack::cinder::volumes::Volume;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct VolumeDescription {
    pub id: String,
    pub name: String,
    pub description: Option<String>,
    pub size_gib: u64,
    pub volume_type: Option<String>,
    pub availability_zone: Option<String>,
    pub is_bootable: bool,
    pub is_multiattach: bool,
    pub is_encrypted: bool,
    pub metadata: Map<String, Value>,
    pub image_metadata: Map<String, Value>,
    /// `server_id` and `device` of each attachment at the time of the backup.
    pub attachments: Vec<Value>,
    pub project_id: Option<String>,
    /// The backup that was being written over the volume: its content is half that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restoring: Option<String>,
}

/// Metadata that Cinder makes itself, or a restore for as long as it takes.
const NOT_ONES_OWN: [&str; 4] = ["readonly", "attached_mode", "src_backup_id", restoring::KEY];

impl VolumeDescription {
    pub fn of(volume: &Volume) -> Self {
        let text = |key: &str| {
            let text = volume.document.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
            text.map(str::to_owned)
        };
        let mut metadata = volume.map("metadata");
        metadata.retain(|key, _| !NOT_ONES_OWN.contains(&key.as_str()) && !exchange::is_mark(key));
        Self {
            id: volume.id().to_owned(),
            name: volume.name().to_owned(),
            description: text("description"),
            size_gib: volume.size_gib(),
            volume_type: text("volume_type"),
            availability_zone: text("availability_zone"),
            is_bootable: volume.is_bootable(),
            is_multiattach: volume.is_multiattach(),
            is_encrypted: volume.is_encrypted(),
            metadata,
            image_metadata: volume.map("volume_image_metadata"),
            attachments: volume
                .attachments()
                .iter()
                .map(|row| json!({"server_id": row.get("server_id"), "device": row.get("device")}))
                .collect(),
            project_id: text("os-vol-tenant-attr:tenant_id"),
            restoring: restoring::of(volume),
        }
    }

    /// As it stands in a backup's description.
    pub fn to_value(&self) -> Value {
        json!({"kind": "volume", "volume": self})
    }

    pub fn from_value(description: &Value) -> Option<Self> {
        serde_json::from_value(description.get("volume")?.clone()).ok()
    }
}
