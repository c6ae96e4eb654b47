//! Containers of the project's account with their metadata.

use super::{Scope, resource};
use crate::openstack::cloud::Cloud;
use crate::openstack::error::CloudError;
use crate::openstack::pages::PAGE;
use crate::openstack::project::topology::{Kind, Resource};
use crate::openstack::swift::containers;
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
        for row in rows {
            let name = row.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
            // A backup does not hold itself.
            if scope.own_container == Some(name.as_str()) {
                continue;
            }
            let Some(headers) = containers::headers(cloud, &name).await? else { continue };
            let mut document = row;
            if let Some(fields) = document.as_object_mut() {
                fields.insert("headers".into(), Value::Object(headers));
            }
            found.push(resource(Kind::Container, &name, document));
        }
    }
}
