//! Volumes of the project.

use super::{Scope, by_id};
use crate::openstack::cinder::volumes as cinder;
use crate::openstack::cloud::Cloud;
use crate::openstack::error::CloudError;
use crate::openstack::project::topology::{Kind, Resource};
use crate::openstack::temporary::is_temporary;

pub async fn volumes(cloud: &Cloud, scope: &Scope<'_>) -> Result<Vec<Resource>, CloudError> {
    let mut found = cinder::list(cloud).await?;
    found.retain(|volume| volume.is_of(scope.project) && !is_temporary(&volume.document, scope.temp_prefix));
    Ok(found.into_iter().filter_map(|volume| by_id(Kind::Volume, volume.document)).collect())
}
