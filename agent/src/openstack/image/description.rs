//! What is known of an image beside its content.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ImageDescription {
    pub id: String,
    pub name: String,
    /// What Glance is told when the image is made: formats, limits, tags and every property.
    pub fields: Map<String, Value>,
    pub visibility: String,
    pub is_protected: bool,
    /// Ids of the projects it is shared with.
    pub members: Vec<String>,
    /// Glance's own hashes of the content.
    pub hashes: Map<String, Value>,
}

const HASHES: [&str; 3] = ["os_hash_algo", "os_hash_value", "checksum"];

/// What Glance says of an image and does not take back, or takes back in another way.
const NOT_TO_BE_SET: [&str; 24] = [
    "id",
    "name",
    "owner",
    "status",
    "size",
    "virtual_size",
    "checksum",
    "os_hash_algo",
    "os_hash_value",
    "created_at",
    "updated_at",
    "visibility",
    "protected",
    "self",
    "file",
    "schema",
    "locations",
    "direct_url",
    "stores",
    "is_public",
    "deleted",
    "deleted_at",
    "signature_verified",
    // With it the key of the image that was saved would be deleted together with the restored one.
    "cinder_encryption_key_deletion_policy",
];

impl ImageDescription {
    pub fn of(image: &Value, members: Vec<String>) -> Self {
        let text = |key: &str| image.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut fields = image.as_object().cloned().unwrap_or_default();
        fields.retain(|key, value| {
            let is_glances = NOT_TO_BE_SET.contains(&key.as_str()) || key.starts_with("os_glance_");
            !is_glances && !value.is_null()
        });
        let hash = |key: &str| Some((key.to_owned(), image.get(key)?.clone()));
        Self {
            id: text("id"),
            name: text("name"),
            fields,
            visibility: text("visibility"),
            is_protected: image.get("protected").and_then(Value::as_bool).unwrap_or_default(),
            members,
            hashes: HASHES.into_iter().filter_map(hash).collect(),
        }
    }

    /// Whether `made`, as Glance shows it, has the content of this one; `None` when it cannot be told.
    pub fn is_content_of(&self, made: &Value) -> Option<bool> {
        let same = |key: &str| match (self.hashes.get(key), made.get(key)) {
            (Some(Value::String(old)), Some(Value::String(new))) => Some(old == new),
            _ => None,
        };
        match same("os_hash_algo") {
            Some(true) => same("os_hash_value"),
            _ => None,
        }
        .or_else(|| same("checksum"))
    }

    pub fn to_value(&self) -> Value {
        json!({"kind": "image", "image": self})
    }

    pub fn from_value(description: &Value) -> Option<Self> {
        serde_json::from_value(description.get("image")?.clone()).ok()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn properties_of_the_user_come_back_and_those_of_glance_do_not() {
        let image = json!({
            "id": "i", "name": "old", "status": "active", "visibility": "shared", "size": 5, "owner": "p",
            "disk_format": "qcow2", "container_format": "bare", "min_disk": 1, "protected": true, "tags": ["a"],
            "hw_disk_bus": "scsi", "os_glance_importing_to_stores": "", "ramdisk_id": null,
            "cinder_encryption_key_deletion_policy": "on_image_deletion", "file": "/v2/images/i/file",
        });
        let saved = ImageDescription::of(&image, vec!["q".to_owned()]);
        let fields = json!({
            "disk_format": "qcow2", "container_format": "bare", "min_disk": 1, "tags": ["a"], "hw_disk_bus": "scsi",
        });
        assert_eq!(Value::Object(saved.fields.clone()), fields);
        assert_eq!(ImageDescription::from_value(&saved.to_value()), Some(saved));
    }

    #[test]
    fn content_is_compared_by_the_hash_both_have() {
        let saved = |image: Value| ImageDescription::of(&image, Vec::new());
        let old = saved(json!({"os_hash_algo": "sha512", "os_hash_value": "a", "checksum": "c"}));
        for (made, wanted) in [
            (json!({"os_hash_algo": "sha512", "os_hash_value": "a", "checksum": "x"}), Some(true)),
            (json!({"os_hash_algo": "sha512", "os_hash_value": "b", "checksum": "c"}), Some(false)),
            (json!({"os_hash_algo": "sha256", "os_hash_value": "b", "checksum": "c"}), Some(true)),
            (json!({"os_hash_algo": "sha256", "os_hash_value": "b", "checksum": null}), None),
        ] {
            assert_eq!(old.is_content_of(&made), wanted, "{made}");
        }
        assert_eq!(saved(json!({})).is_content_of(&json!({"checksum": "c"})), None);
    }
}
