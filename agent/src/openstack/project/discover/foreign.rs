//! What the project uses and does not own: shared and external networks, their subnets, groups that are shared with it.

use super::{by_id, id_of, is_of, neutron};
use crate::openstack::cloud::{Cloud, Service, checked_id};
use crate::openstack::error::CloudError;
use crate::openstack::neutron::networks;
use crate::openstack::project::needs::needs;
use crate::openstack::project::topology::{Kind, Missing, Resource, ResourceId, Topology};
use serde_json::Value;
use std::collections::BTreeSet;

const KINDS: [Kind; 3] = [Kind::Network, Kind::Subnet, Kind::SecurityGroup];

/// Adds what own resources need and nobody has listed. What cannot be seen stays out: a plan tells it. What Neutron fails to show is
/// missing.
pub async fn add(cloud: &Cloud, topology: &mut Topology) -> Result<(), CloudError> {
    let mut looked_for: BTreeSet<ResourceId> = BTreeSet::new();
    loop {
        let needed = topology.resources.iter().flat_map(needs).filter(|id| KINDS.contains(&id.kind));
        let open: BTreeSet<ResourceId> =
            needed.filter(|id| topology.find(id).is_none() && !looked_for.contains(id)).collect();
        if open.is_empty() {
            return Ok(());
        }
        for id in &open {
            match show(cloud, id).await {
                Ok(found) => topology.resources.extend(found),
                Err(CloudError::Aborted) => return Err(CloudError::Aborted),
                Err(error) => {
                    let (kind, reason) = (id.kind, error.to_string());
                    topology.missing.push(Missing { kind, id: Some(id.id.clone()), reason });
                }
            }
        }
        looked_for.extend(open);
    }
}

/// Adds what could not be looked at when the backup was made, and can be seen now.
pub async fn look_again(cloud: &Cloud, topology: &mut Topology) -> Result<(), CloudError> {
    let missing = topology.missing.iter().filter(|missing| KINDS.contains(&missing.kind));
    let ids = missing.filter_map(|missing| Some(ResourceId::new(missing.kind, missing.id.clone()?)));
    for id in ids.collect::<BTreeSet<ResourceId>>() {
        if topology.find(&id).is_none() {
            topology.resources.extend(show(cloud, &id).await?);
        }
    }
    Ok(())
}

/// A resource of Neutron by its id, if it is the project's or shown to it.
pub async fn show(cloud: &Cloud, id: &ResourceId) -> Result<Option<Resource>, CloudError> {
    let (path, _) = neutron::words(id.kind);
    let Ok(known) = checked_id(Service::Neutron, id.kind.as_str(), &id.id) else { return Ok(None) };
    match cloud.get(Service::Neutron, &format!("{path}/{known}"), &[], &id.to_string()).await {
        Ok(mut answer) => {
            // Its one key is the kind's own word.
            let row = answer.as_object_mut().and_then(|rows| rows.values_mut().next()).map(Value::take);
            let Some(row) = row else { return Ok(None) };
            if !is_shown(cloud, id.kind, &row).await? {
                return Ok(None);
            }
            Ok(by_id(id.kind, row).map(|resource| Resource { owned: false, ..resource }))
        }
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether a network or a subnet is for the project of the login: an administrator's is shown all. Of groups Neutron does not tell
/// whom they are shared with.
async fn is_shown(cloud: &Cloud, kind: Kind, row: &Value) -> Result<bool, CloudError> {
    let project = cloud.project_id().await?;
    match kind {
        Kind::Network => Ok(networks::is_for(row, &project)),
        Kind::Subnet if !is_of(row, &project) => {
            let id = row.get("network_id").and_then(Value::as_str).unwrap_or_default();
            let found = networks::networks(cloud, &[("id", id)]).await?;
            Ok(found.iter().any(|network| networks::is_for(network, &project)))
        }
        _ => Ok(true),
    }
}

/// Ids of all of this name that are the project's or shown to it.
pub async fn named(cloud: &Cloud, kind: Kind, name: &str) -> Result<Vec<String>, CloudError> {
    let rows = cloud.rows(Service::Neutron, neutron::words(kind), &[("name", name)]).await?;
    let mut shown = Vec::new();
    for row in &rows {
        if is_shown(cloud, kind, row).await? {
            shown.extend(id_of(row));
        }
    }
    Ok(shown)
}
