//! Images that the project owns.

use super::{Scope, by_id};
use crate::openstack::cloud::Cloud;
use crate::openstack::error::CloudError;
use crate::openstack::glance::images as glance;
use crate::openstack::project::topology::{Kind, Resource};
use crate::openstack::temporary::is_temporary;
use serde_json::Value;

pub async fn images(cloud: &Cloud, scope: &Scope<'_>) -> Result<Vec<Resource>, CloudError> {
    let mut found = glance::list(cloud, &[("owner", scope.project)]).await?;
    found.retain(|row| {
        row.get("owner").and_then(Value::as_str) == Some(scope.project)
            && !is_temporary(row, scope.temp_prefix)
    });
    Ok(found.into_iter().filter_map(|row| by_id(Kind::Image, row)).collect())
}
