//! Which resources another one cannot be created without.

use super::topology::{Kind, Resource, ResourceId};
use serde_json::Value;

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
