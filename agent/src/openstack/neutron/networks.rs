//! Networks, subnets and security groups, as far as they are looked up.

use crate::openstack::cloud::{Cloud, Service};
use crate::openstack::error::CloudError;
use serde_json::Value;

const SERVICE: Service = Service::Neutron;

/// Networks that the login sees: those of its project and those others share with it.
pub async fn networks(cloud: &Cloud, query: &[(&str, &str)]) -> Result<Vec<Value>, CloudError> {
    cloud.rows(SERVICE, ("/networks", "networks"), query).await
}

/// Whether a network is for a project: its own, or one that others share with it. An administrator's login is shown those of all
/// projects, with `shared` as it is for the project of the login.
pub fn is_for(network: &Value, project: &str) -> bool {
    let owner = ["project_id", "tenant_id"].iter().find_map(|key| network.get(key)?.as_str());
    let says = |key: &str| network.get(key).and_then(Value::as_bool).unwrap_or_default();
    owner.is_none_or(|owner| owner.is_empty() || owner == project)
        || says("shared")
        || says("router:external")
}

pub async fn subnets(cloud: &Cloud, network_id: &str) -> Result<Vec<Value>, CloudError> {
    cloud.rows(SERVICE, ("/subnets", "subnets"), &[("network_id", network_id)]).await
}

pub async fn security_groups(cloud: &Cloud, project_id: &str) -> Result<Vec<Value>, CloudError> {
    cloud.rows(SERVICE, ("/security-groups", "security_groups"), &[("project_id", project_id)]).await
}
