//! Stacks with their templates, for reading: a stack that is made anew would make its resources a second time.

use super::{AT_ONCE, by_id};
use crate::openstack::cloud::{Cloud, Service, checked_id};
use crate::openstack::error::CloudError;
use crate::openstack::pages::PAGE;
use crate::openstack::project::topology::{Kind, Resource};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::Value;

const HEAT: Service = Service::Heat;

pub async fn stacks(cloud: &Cloud) -> Result<Vec<Resource>, CloudError> {
    let mut found: Vec<Resource> = Vec::new();
    loop {
        let marker = found.last().map(|stack| stack.id.id.clone());
        let mut query = vec![("limit", PAGE)];
        if let Some(marker) = &marker {
            query.push(("marker", marker));
        }
        let mut answer = cloud.get(HEAT, "/stacks", &query, "the list of stacks").await?;
        let rows = answer.get_mut("stacks").map(Value::take);
        let rows = rows.and_then(|rows| rows.as_array().cloned()).unwrap_or_default();
        if rows.is_empty() {
            break;
        }
        for mut row in rows {
            if let Some(name) = row.get("stack_name").cloned()
                && let Some(fields) = row.as_object_mut()
            {
                fields.insert("name".into(), name);
            }
            found.extend(by_id(Kind::Stack, row));
        }
    }
    let described = stream::iter(found).map(|stack| describe(cloud, stack)).buffered(AT_ONCE);
    described.try_collect().await
}

/// Template, environment and parameters. Parameters that Heat hides stay hidden.
async fn describe(cloud: &Cloud, mut stack: Resource) -> Result<Resource, CloudError> {
    let id = checked_id(HEAT, "stack", &stack.id.id)?;
    let name = checked_id(HEAT, "stack", &stack.name)?.to_owned();
    for (part, key) in [("/template", "template"), ("/environment", "environment"), ("", "stack")] {
        let path = format!("/stacks/{name}/{id}{part}");
        let found = cloud.get(HEAT, &path, &[], &format!("{key} of stack {name}")).await?;
        if let Some(document) = stack.document.as_object_mut() {
            document.insert(key.to_owned(), found);
        }
    }
    Ok(stack)
}
