//! Volumes: show, find, list, create, delete, wait.

use crate::openstack::cloud::{Cloud, Service, checked_id, text_at};
use crate::openstack::error::CloudError;
use crate::openstack::pages::PAGE;
use crate::openstack::waiting::{Look, Wanted};
use serde_json::{Map, Value, json};

const SERVICE: Service = Service::Cinder;

/// A volume as Cinder describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Volume {
    pub document: Value,
}

impl Volume {
    fn text(&self, key: &str) -> &str {
        self.document.get(key).and_then(Value::as_str).unwrap_or_default()
    }
    pub fn id(&self) -> &str {
        self.text("id")
    }
    pub fn name(&self) -> &str {
        self.text("name")
    }
    pub fn status(&self) -> &str {
        self.text("status")
    }
    pub fn volume_type(&self) -> &str {
        self.text("volume_type")
    }
    pub fn availability_zone(&self) -> &str {
        self.text("availability_zone")
    }
    pub fn created_at(&self) -> &str {
        self.text("created_at")
    }
    /// When the volume itself was changed last, as by any change of its state. Metadata are kept apart.
    pub fn updated_at(&self) -> &str {
        self.text("updated_at")
    }
    pub fn size_gib(&self) -> u64 {
        self.document.get("size").and_then(Value::as_u64).unwrap_or_default()
    }
    /// Cinder says `"true"` and `"false"`.
    pub fn is_bootable(&self) -> bool {
        self.text("bootable") == "true"
    }
    pub fn is_encrypted(&self) -> bool {
        self.document.get("encrypted").and_then(Value::as_bool).unwrap_or_default()
    }
    pub fn group_id(&self) -> Option<&str> {
        self.document.get("group_id").and_then(Value::as_str)
    }
    pub fn is_multiattach(&self) -> bool {
        self.document.get("multiattach").and_then(Value::as_bool).unwrap_or_default()
    }
    /// Cinder names the project of a volume unless its operator hides it.
    pub fn is_of(&self, project: &str) -> bool {
        let owner = self.text("os-vol-tenant-attr:tenant_id");
        owner.is_empty() || owner == project
    }
    pub fn map(&self, key: &str) -> Map<String, Value> {
        self.document.get(key).and_then(Value::as_object).cloned().unwrap_or_default()
    }
    /// Server, device and attachment of each attachment.
    pub fn attachments(&self) -> Vec<&Value> {
        self.document.get("attachments").and_then(Value::as_array).into_iter().flatten().collect()
    }
}

pub async fn show(cloud: &Cloud, id: &str) -> Result<Volume, CloudError> {
    let id = checked_id(SERVICE, "volume", id)?;
    let mut answer = cloud.get(SERVICE, &format!("/volumes/{id}"), &[], &format!("volume {id}")).await?;
    Ok(Volume { document: answer.get_mut("volume").map(Value::take).unwrap_or_default() })
}

/// Id of the key that an encrypted volume is read with.
pub async fn key_id(cloud: &Cloud, id: &str) -> Result<Option<String>, CloudError> {
    let id = checked_id(SERVICE, "volume", id)?;
    let what = format!("the encryption of volume {id}");
    let answer = cloud.get(SERVICE, &format!("/volumes/{id}/encryption"), &[], &what).await?;
    Ok(answer.get("encryption_key_id").and_then(Value::as_str).map(str::to_owned))
}

/// The one volume of this name.
pub async fn find(cloud: &Cloud, name: &str) -> Result<Volume, CloudError> {
    let query = [("name", name), ("limit", PAGE)];
    let mut answer = cloud.get(SERVICE, "/volumes/detail", &query, "the list of volumes").await?;
    let rows = answer.get_mut("volumes").map(Value::take);
    let mut found: Vec<Value> = rows.and_then(|rows| rows.as_array().cloned()).unwrap_or_default();
    found.retain(|row| row.get("name").and_then(Value::as_str) == Some(name));
    match (found.pop(), found.is_empty()) {
        (Some(document), true) => Ok(Volume { document }),
        (Some(_), false) => Err(CloudError::Choice {
            what: format!("volume name '{name}'"),
            cause: format!("{} volumes have it; name one by cinder_vol_id", found.len() + 1),
        }),
        (None, _) => Err(CloudError::NotFound {
            service: SERVICE.name(),
            what: format!("volume named '{name}'"),
            request: String::new(),
        }),
    }
}

/// All volumes of the project.
pub async fn list(cloud: &Cloud) -> Result<Vec<Volume>, CloudError> {
    let rows = cloud.rows(SERVICE, ("/volumes/detail", "volumes"), &[]).await?;
    Ok(rows.into_iter().map(|document| Volume { document }).collect())
}

/// Orders a volume; `body` is what stands in `volume`. Answers its id.
pub async fn create(cloud: &Cloud, body: Value) -> Result<String, CloudError> {
    let name = body.get("name").and_then(Value::as_str).unwrap_or_default();
    let what = format!("to create volume {name}");
    let answer = cloud.post(SERVICE, "/volumes", &json!({ "volume": body }), &what).await?;
    text_at(SERVICE, &answer, "/volume/id")
}

pub async fn delete(cloud: &Cloud, id: &str) -> Result<(), CloudError> {
    let id = checked_id(SERVICE, "volume", id)?;
    cloud.delete(SERVICE, &format!("/volumes/{id}"), &format!("to delete volume {id}")).await
}

pub async fn rename(cloud: &Cloud, id: &str, name: &str) -> Result<(), CloudError> {
    let id = checked_id(SERVICE, "volume", id)?;
    let body = json!({"volume": {"name": name}});
    cloud
        .put(SERVICE, &format!("/volumes/{id}"), &body, &format!("the name of volume {id}"))
        .await
        .map(|_| ())
}

/// Waits until a volume is in one of the states `wanted`. An error state ends the waiting.
pub async fn wait(
    cloud: &Cloud,
    id: &str,
    wanted: &[&'static str],
    moves_gib: u64,
) -> Result<Volume, CloudError> {
    let state = wanted.first().copied().unwrap_or("available");
    let order = Wanted::new(format!("volume {id}"), state).moving(moves_gib);
    cloud
        .wait_for(order, || async move {
            let volume = show(cloud, id).await?;
            let state = volume.status().to_owned();
            if wanted.contains(&state.as_str()) {
                return Ok(Look::Ready(volume));
            }
            if state.starts_with("error") {
                return Ok(Look::Never { state, detail: why(cloud, "VOLUME", id).await });
            }
            Ok(Look::NotYet(state))
        })
        .await
}

/// What Cinder tells its users about a failure of a resource; `""` when it tells nothing.
pub async fn why(cloud: &Cloud, kind: &str, id: &str) -> String {
    let query = [("resource_type", kind), ("resource_uuid", id), ("limit", "1")];
    let answer = cloud.get(SERVICE, "/messages", &query, "messages").await.unwrap_or_default();
    answer.pointer("/messages/0/user_message").and_then(Value::as_str).unwrap_or_default().to_owned()
}
