//! What servers refer to: flavors, keypairs, server groups, zones.

use crate::openstack::cloud::{Cloud, Service, checked_id};
use crate::openstack::error::CloudError;
use serde_json::Value;

const SERVICE: Service = Service::Nova;

/// Why nobody's keypairs are touched under a trust: those that Nova shows are the service user's, who is one for all tenants.
pub const KEYS_ARE_ANOTHERS: &str = "keypairs are a user's own, and under a trust the agent is another user";

fn rows(answer: &Value, key: &str) -> Vec<Value> {
    answer.get(key).and_then(Value::as_array).cloned().unwrap_or_default()
}

/// All flavors that the project may use.
pub async fn flavors(cloud: &Cloud) -> Result<Vec<Value>, CloudError> {
    let answer = cloud.get(SERVICE, "/flavors/detail", &[], "the list of flavors").await?;
    Ok(rows(&answer, "flavors"))
}

/// A keypair of the login's user; none when he has none of this name.
pub async fn keypair(cloud: &Cloud, name: &str) -> Result<Option<Value>, CloudError> {
    // The path is made by the session; a name with other letters than these is asked for in the list.
    let answer = cloud.get(SERVICE, "/os-keypairs", &[], "the list of keypairs").await?;
    let found = rows(&answer, "keypairs");
    let is_it = |row: &&Value| row.pointer("/keypair/name").and_then(Value::as_str) == Some(name);
    Ok(found.iter().find(is_it).and_then(|row| row.get("keypair")).cloned())
}

pub async fn server_group(cloud: &Cloud, id: &str) -> Result<Value, CloudError> {
    let id = checked_id(SERVICE, "server group", id)?;
    let path = format!("/os-server-groups/{id}");
    let answer = cloud.get(SERVICE, &path, &[], &format!("server group {id}")).await?;
    Ok(answer.get("server_group").cloned().unwrap_or_default())
}

/// Groups of the project.
pub async fn server_groups(cloud: &Cloud) -> Result<Vec<Value>, CloudError> {
    let answer = cloud.get(SERVICE, "/os-server-groups", &[], "the list of server groups").await?;
    Ok(rows(&answer, "server_groups"))
}

/// Names of the zones that take servers.
pub async fn zones(cloud: &Cloud) -> Result<Vec<String>, CloudError> {
    let answer = cloud.get(SERVICE, "/os-availability-zone", &[], "the list of availability zones").await?;
    let is_open = |row: &&Value| row.pointer("/zoneState/available").and_then(Value::as_bool) != Some(false);
    let zones = rows(&answer, "availabilityZoneInfo");
    let names = zones.iter().filter(is_open).filter_map(|row| row.get("zoneName")?.as_str());
    Ok(names.map(str::to_owned).collect())
}
