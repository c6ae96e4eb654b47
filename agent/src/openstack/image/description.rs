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
}

/// What Glance says of an image and does not take back, or takes back in another way.
const NOT_TO_BE_SET: [&str; 25] = [
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
    "os_glance_importing_to_stores",
    "os_glance_failed_import",
    "os_glance_import_task",
];

impl ImageDescription {
    pub fn of(image: &Value, members: Vec<String>) -> Self {
        let text = |key: &str| image.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut fields = image.as_object().cloned().unwrap_or_default();
        fields.retain(|key, value| !NOT_TO_BE_SET.contains(&key.as_str()) && !value.is_null());
        Self {
            id: text("id"),
            name: text("name"),
            fields,
            visibility: text("visibility"),
            is_protected: image.get("protected").and_then(Value::as_bool).unwrap_or_default(),
            members,
        }
    }

    pub fn to_value(&self) -> Value {
        json!({"kind": "image", "image": self})
    }

    pub fn from_value(description: &Value) -> Option<Self> {
        serde_json::from_value(description.get("image")?.clone()).ok()
    }
}
