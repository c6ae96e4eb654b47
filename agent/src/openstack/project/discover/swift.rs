//! Containers of the project's account with their metadata.

use super::{AT_ONCE, Scope, resource};
use crate::openstack::cloud::Cloud;
use crate::openstack::error::CloudError;
use crate::openstack::pages::PAGE;
use crate::openstack::project::topology::{Kind, Resource};
use crate::openstack::swift::containers;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::Value;

pub async fn containers(cloud: &Cloud, scope: &Scope<'_>) -> Result<Vec<Resource>, CloudError> {
    let mut found = Vec::new();
    let mut marker = String::new();
    loop {
        let rows = containers::list(cloud, &marker, PAGE).await?;
        let Some(last) = rows.last().and_then(|row| row.get("name")).and_then(Value::as_str) else {
            return Ok(found);
        };
        marker = last.to_owned();
        let rows: Vec<Option<Resource>> = stream::iter(rows)
            .map(|row| described(cloud, scope, row))
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        found.extend(rows.into_iter().flatten());
    }
}

/// A row of the list with the container's headers; none of one that has gone, or that the backup goes to: it does not hold itself.
async fn described(cloud: &Cloud, scope: &Scope<'_>, mut row: Value) -> Result<Option<Resource>, CloudError> {
    let name = row.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    if scope.own_container == Some(name.as_str()) {
        return Ok(None);
    }
    let Some(headers) = containers::headers(cloud, &name).await? else { return Ok(None) };
    if let Some(fields) = row.as_object_mut() {
        fields.insert("headers".into(), Value::Object(headers));
    }
    Ok(Some(resource(Kind::Container, &name, row)))
}
