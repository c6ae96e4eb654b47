//! The server itself: what Nova is asked for, and what has to be right afterwards.

use super::description::{DiskDescription, ServerDescription};
use super::place::Place;
use crate::openstack::cloud::{Cloud, Service};
use crate::openstack::error::CloudError;
use crate::openstack::nova::servers;
use crate::openstack::temporary::{Ledger, Temporary};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Since then the name that the guest sees may be given.
const HOSTNAME_SINCE: (u32, u32) = (2, 90);

/// The parts that were made for it.
pub struct Parts<'a> {
    /// Image of the disk that comes from an image.
    pub image: Option<&'a str>,
    /// New volumes by the role of their disk.
    pub volumes: &'a BTreeMap<String, String>,
    /// New ports by the ids of the old ones.
    pub ports: &'a BTreeMap<String, String>,
    /// Nova must not delete the volumes with it, as long as it may be removed again.
    pub spares_volumes: bool,
}

/// Orders the server and waits until it runs. It is the ledger's.
pub async fn boot(
    cloud: &Cloud,
    ledger: &Ledger,
    name: &str,
    saved: &ServerDescription,
    place: &Place,
    parts: &Parts<'_>,
) -> Result<String, CloudError> {
    let knows_hostname = cloud.version(Service::Nova).await? >= HOSTNAME_SINCE;
    let mut body = body(name, saved, place, parts);
    if let Some(server) = body.get_mut("server").and_then(Value::as_object_mut) {
        let mut metadata = saved.metadata.clone();
        metadata.extend(ledger.metadata_with_parts());
        server.insert("metadata".into(), Value::Object(metadata));
        if let Some(hostname) = saved.hostname.as_ref().filter(|_| knows_hostname) {
            server.insert("hostname".into(), json!(hostname));
        }
    }
    let id = servers::create(cloud, &body).await?;
    ledger.note(Temporary::Server(id.clone()));
    let gib = saved.flavor.get("disk").and_then(Value::as_u64).unwrap_or_default();
    servers::wait(cloud, &id, "ACTIVE", gib).await?;
    Ok(id)
}

fn body(name: &str, saved: &ServerDescription, place: &Place, parts: &Parts<'_>) -> Value {
    let mut server = Map::new();
    let mut set = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            server.insert(key.to_owned(), value);
        }
    };
    set("name", Some(json!(name)));
    set("flavorRef", Some(json!(place.flavor_id)));
    set("imageRef", parts.image.map(|id| json!(id)));
    set("networks", Some(networks(saved, parts.ports)));
    set("availability_zone", place.zone.as_ref().map(|zone| json!(zone)));
    set("key_name", place.key_name.as_ref().map(|name| json!(name)));
    set("user_data", saved.user_data.as_ref().map(|data| json!(data)));
    set("description", saved.description.as_ref().map(|text| json!(text)));
    set("config_drive", saved.has_config_drive.then(|| json!(true)));
    set("tags", (!saved.tags.is_empty()).then(|| json!(saved.tags)));
    let disks: Vec<Value> = saved.disks.iter().filter_map(|disk| mapping(disk, parts)).collect();
    set("block_device_mapping_v2", Some(json!(disks)));
    let mut body = json!({ "server": server });
    if let (Some(group), Some(body)) = (&place.server_group, body.as_object_mut()) {
        body.insert("os:scheduler_hints".into(), json!({ "group": group }));
    }
    body
}

fn networks(saved: &ServerDescription, ports: &BTreeMap<String, String>) -> Value {
    if ports.is_empty() {
        return json!("none");
    }
    let known = saved.ports.iter().filter_map(|old| Some((old, ports.get(&old.id)?)));
    let rows = known.map(|(old, port)| match &old.tag {
        Some(tag) => json!({"port": port, "tag": tag}),
        None => json!({ "port": port }),
    });
    Value::Array(rows.collect())
}

/// Nova names devices by itself, in the order of this list.
fn mapping(disk: &DiskDescription, parts: &Parts<'_>) -> Option<Value> {
    let mut row = match &disk.volume_id {
        None => json!({"uuid": parts.image?, "source_type": "image", "destination_type": "local"}),
        Some(_) => json!({
            "uuid": parts.volumes.get(&disk.role)?, "source_type": "volume", "destination_type": "volume",
        }),
    };
    let fields = row.as_object_mut()?;
    fields.insert("boot_index".into(), if disk.is_boot { json!(0) } else { Value::Null });
    let is_spared = parts.spares_volumes && disk.volume_id.is_some();
    fields.insert("delete_on_termination".into(), json!(disk.delete_on_termination && !is_spared));
    if let Some(tag) = &disk.tag {
        fields.insert("tag".into(), json!(tag));
    }
    Some(row)
}

/// Devices that came out with another name than they had.
pub async fn other_devices(
    cloud: &Cloud,
    id: &str,
    saved: &ServerDescription,
    volumes: &BTreeMap<String, String>,
) -> Result<Vec<String>, CloudError> {
    let mut notes = Vec::new();
    for row in servers::volumes(cloud, id).await? {
        let text = |key: &str| row.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (volume, device) = (text("volumeId"), text("device"));
        let old = saved.disks.iter().find(|disk| volumes.get(&disk.role) == Some(&volume));
        if let Some(was) = old.and_then(|disk| disk.device.as_ref()).filter(|was| **was != device) {
            notes.push(format!("volume {volume} is {device} and was {was}"));
        }
    }
    Ok(notes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::openstack::server::description::{PortDescription, ROOT};

    #[test]
    fn disks_keep_their_order_and_the_guest_its_interfaces() {
        let disk = |role: &str, is_boot: bool| DiskDescription {
            role: role.into(),
            volume_id: (role != ROOT).then(|| role.to_owned()),
            is_boot,
            tag: (role == "v1").then(|| "db".to_owned()),
            delete_on_termination: true,
            ..DiskDescription::default()
        };
        let saved = ServerDescription {
            disks: vec![disk(ROOT, true), disk("v1", false)],
            ports: vec![PortDescription {
                id: "old".into(),
                tag: Some("eth".into()),
                ..PortDescription::default()
            }],
            user_data: Some("Zm9v".into()),
            has_config_drive: true,
            ..ServerDescription::default()
        };
        let place = Place { flavor_id: "f".into(), server_group: Some("g".into()), ..Place::default() };
        let volumes = [("v1".to_owned(), "new1".to_owned())].into();
        let ports = [("old".to_owned(), "p".to_owned())].into();
        let parts = Parts { image: Some("i"), volumes: &volumes, ports: &ports, spares_volumes: true };
        assert_eq!(
            body("n", &saved, &place, &parts),
            json!({
                "server": {
                    "name": "n", "flavorRef": "f", "imageRef": "i", "networks": [{"port": "p", "tag": "eth"}],
                    "user_data": "Zm9v", "config_drive": true,
                    "block_device_mapping_v2": [
                        {"uuid": "i", "source_type": "image", "destination_type": "local", "boot_index": 0,
                         "delete_on_termination": true},
                        {"uuid": "new1", "source_type": "volume", "destination_type": "volume", "boot_index": null,
                         "delete_on_termination": false, "tag": "db"},
                    ],
                },
                "os:scheduler_hints": {"group": "g"},
            })
        );
        assert_eq!(networks(&saved, &BTreeMap::new()), json!("none"));
    }
}
