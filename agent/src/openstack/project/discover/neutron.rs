//! Networks and what is on them. Ports that Neutron makes itself are not saved: it makes them again.

use super::{AT_ONCE, Found, Scope, by_id, is_of};
use crate::openstack::cloud::{Cloud, Service};
use crate::openstack::error::CloudError;
use crate::openstack::neutron::ports;
use crate::openstack::project::topology::{Kind, Resource};
use crate::openstack::temporary::is_temporary;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Map, Value, json};

const NEUTRON: Service = Service::Neutron;

/// In the order of creation.
pub const KINDS: [Kind; 6] =
    [Kind::SecurityGroup, Kind::Network, Kind::Subnet, Kind::Router, Kind::Port, Kind::FloatingIp];

/// Path and word of a list of Neutron's.
pub fn words(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::SecurityGroup => ("/security-groups", "security_groups"),
        Kind::Network => ("/networks", "networks"),
        Kind::Subnet => ("/subnets", "subnets"),
        Kind::Router => ("/routers", "routers"),
        Kind::FloatingIp => ("/floatingips", "floatingips"),
        _ => ("/ports", "ports"),
    }
}

pub(super) async fn list(cloud: &Cloud, scope: &Scope<'_>, kind: Kind) -> Result<Found, CloudError> {
    let rows = cloud.rows(NEUTRON, words(kind), &[("project_id", scope.project)]).await?;
    let own = rows.into_iter().filter(|row| is_of(row, scope.project));
    let mut rows: Vec<Resource> = own.filter_map(|row| by_id(kind, row)).collect();
    match kind {
        Kind::Port => rows.retain(|port| {
            let is_neutrons = port.text("device_owner").starts_with("network:");
            !is_neutrons && !is_temporary(&port.document, scope.temp_prefix)
        }),
        Kind::Router => {
            let routers: Vec<Found> = stream::iter(rows)
                .map(|router| with_interfaces(cloud, router))
                .buffered(AT_ONCE)
                .try_collect()
                .await?;
            let mut found = Found::default();
            found.extend(routers);
            return Ok(found);
        }
        Kind::FloatingIp => {
            for address in &mut rows {
                address.name = address.text("floating_ip_address").to_owned();
            }
        }
        _ => {}
    }
    Ok(rows.into())
}

/// A router with the subnets that it is on, and its addresses there. Without them it is not saved: it would come back connected with
/// nothing.
async fn with_interfaces(cloud: &Cloud, mut router: Resource) -> Result<Found, CloudError> {
    let query = [("device_id", router.id.id.as_str())];
    let ports = match ports::list(cloud, &query).await {
        Ok(ports) => ports,
        Err(error) => {
            let mut lost = Found::lost(&router.id, error)?;
            for missing in &mut lost.missing {
                missing.reason = format!("interfaces of router '{}': {}", router.name, missing.reason);
            }
            return Ok(lost);
        }
    };
    let mut addresses = Map::new();
    for port in ports {
        let owner = port.get("device_owner").and_then(Value::as_str).unwrap_or_default();
        if !owner.contains("router_interface") && !owner.contains("router_replicated_interface") {
            continue;
        }
        for row in port.get("fixed_ips").and_then(Value::as_array).into_iter().flatten() {
            if let Some(subnet) = row.get("subnet_id").and_then(Value::as_str) {
                addresses.insert(subnet.to_owned(), row.get("ip_address").cloned().unwrap_or_default());
            }
        }
    }
    if let Some(document) = router.document.as_object_mut() {
        let subnets: Vec<&String> = addresses.keys().collect();
        document.insert("interface_subnets".into(), json!(subnets));
        document.insert("interface_addresses".into(), Value::Object(addresses));
    }
    Ok(vec![router].into())
}
