//! Containers of the project's account with their metadata.

use super::{AT_ONCE, Found, Scope, resource};
use crate::openstack::cloud::Cloud;
use crate::openstack::error::CloudError;
use crate::openstack::pages::PAGE;
use crate::openstack::project::topology::{Kind, ResourceId};
use crate::openstack::swift::containers;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::Value;

pub(super) async fn containers(cloud: &Cloud, scope: &Scope<'_>) -> Result<Found, CloudError> {
    let mut found = Found::default();
    let mut marker = String::new();
    loop {
        let rows = containers::list(cloud, &marker, PAGE).await?;
        let Some(last) = rows.last().and_then(|row| row.get("name")).and_then(Value::as_str) else {
            return Ok(found);
        };
        marker = last.to_owned();
        let rows: Vec<Found> = stream::iter(rows)
            .map(|row| described(cloud, scope, row))
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        found.extend(rows);
    }
}

/// A row of the list with the container's headers; nothing of one that has gone, or that the backup goes to: it does not hold itself.
async fn described(cloud: &Cloud, scope: &Scope<'_>, mut row: Value) -> Result<Found, CloudError> {
    let name = row.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    if scope.own_container == Some(name.as_str()) {
        return Ok(Found::default());
    }
    let headers = match containers::headers(cloud, &name).await {
        Ok(Some(headers)) => headers,
        Ok(None) => return Ok(Found::default()),
        Err(error) => return Found::lost(&ResourceId::new(Kind::Container, name), error),
    };
    if let Some(fields) = row.as_object_mut() {
        fields.insert("headers".into(), Value::Object(headers));
    }
    Ok(vec![resource(Kind::Container, &name, row)].into())
}
