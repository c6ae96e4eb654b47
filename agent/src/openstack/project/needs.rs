//! Which resources another one cannot be created without.

use super::topology::{Kind, Resource, ResourceId, SAVED_SERVER, Topology};
use serde_json::Value;

/// Whether `resource` is made without something that is nowhere, and says so: keypairs are those of a user, who may be another
/// one; and volumes that a server does not boot from may have been left out of the backup.
pub fn can_be_done_without(topology: &Topology, resource: &Resource, need: &ResourceId) -> bool {
    let disks = resource.document.get(SAVED_SERVER).and_then(|saved| saved.get("disks")?.as_array());
    let boots_from = |disk: &Value| {
        let id = disk.get("volume_id").and_then(Value::as_str);
        id == Some(need.id.as_str()) && disk.get("is_boot").and_then(Value::as_bool) == Some(true)
    };
    match need.kind {
        Kind::Keypair | Kind::ServerGroup => true,
        Kind::Volume => topology.excluded.contains(need) && !disks.into_iter().flatten().any(boots_from),
        _ => false,
    }
}

/// In the order of creation, each once. Groups that rules of a security group name are not among them: rules are
/// made when all groups are there, since groups may name each other.
pub fn needs(resource: &Resource) -> Vec<ResourceId> {
    let mut found = Vec::new();
    let document = &resource.document;
    match resource.id.kind {
        Kind::Subnet => add(&mut found, Kind::Network, document.get("network_id")),
        Kind::Router => {
            add(&mut found, Kind::Network, document.pointer("/external_gateway_info/network_id"));
            add_all(&mut found, Kind::Subnet, document.get("interface_subnets"));
        }
        Kind::Port => {
            add(&mut found, Kind::Network, document.get("network_id"));
            add_each(&mut found, Kind::Subnet, document.get("fixed_ips"), "subnet_id");
            add_all(&mut found, Kind::SecurityGroup, document.get("security_groups"));
        }
        Kind::FloatingIp => {
            add(&mut found, Kind::Network, document.get("floating_network_id"));
            add(&mut found, Kind::Router, document.get("router_id"));
            add(&mut found, Kind::Port, document.get("port_id"));
        }
        Kind::Server => {
            add(&mut found, Kind::Keypair, document.get("key_name"));
            add_all(&mut found, Kind::ServerGroup, document.get("server_groups"));
            add_all(&mut found, Kind::Port, document.get("port_ids"));
            add_each(&mut found, Kind::Volume, document.get("os-extended-volumes:volumes_attached"), "id");
        }
        _ => {}
    }
    found.sort();
    found.dedup();
    found
}

fn add(found: &mut Vec<ResourceId>, kind: Kind, id: Option<&Value>) {
    if let Some(id) = id.and_then(Value::as_str).filter(|id| !id.is_empty()) {
        found.push(ResourceId::new(kind, id));
    }
}

fn add_all(found: &mut Vec<ResourceId>, kind: Kind, ids: Option<&Value>) {
    for id in ids.and_then(Value::as_array).into_iter().flatten() {
        add(found, kind, Some(id));
    }
}

fn add_each(found: &mut Vec<ResourceId>, kind: Kind, rows: Option<&Value>, key: &str) {
    for row in rows.and_then(Value::as_array).into_iter().flatten() {
        add(found, kind, row.get(key));
    }
}
