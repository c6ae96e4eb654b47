//! Networks, subnets and security groups, as far as they are looked up.

use crate::openstack::cloud::{Cloud, Service};
use crate::openstack::error::CloudError;
use serde_json::Value;

const SERVICE: Service = Service::Neutron;

/// Networks that the login sees: those of its project and those others share with it.
pub async fn networks(cloud: &Cloud, query: &[(&str, &str)]) -> Result<Vec<Value>, CloudError> {
    cloud.rows(SERVICE, ("/networks", "networks"), query).await
}

pub async fn subnets(cloud: &Cloud, network_id: &str) -> Result<Vec<Value>, CloudError> {
    cloud.rows(SERVICE, ("/subnets", "subnets"), &[("network_id", network_id)]).await
}

pub async fn security_groups(cloud: &Cloud, project_id: &str) -> Result<Vec<Value>, CloudError> {
    cloud.rows(SERVICE, ("/security-groups", "security_groups"), &[("project_id", project_id)]).await
}
