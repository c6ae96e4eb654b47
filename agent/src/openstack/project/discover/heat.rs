//! Stacks with their templates, for reading: a stack that is made anew would make its resources a second time.

use super::{AT_ONCE, Found, by_id};
use crate::openstack::cloud::{Cloud, Service, checked_id};
use crate::openstack::error::CloudError;
use crate::openstack::pages::PAGE;
use crate::openstack::project::topology::{Kind, Resource, UNREADABLE};
use crate::openstack::swift::objects::encoded;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Map, Value, json};

const HEAT: Service = Service::Heat;

pub(super) async fn stacks(cloud: &Cloud) -> Result<Found, CloudError> {
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
    let rows: Vec<Found> = described.try_collect().await?;
    let mut found = Found::default();
    found.extend(rows);
    Ok(found)
}

/// Template, environment and parameters. Parameters that Heat hides stay hidden. The stack itself is asked for last: one that is
/// not there then was deleted since the list. What this login may not read is noted in the document.
async fn describe(cloud: &Cloud, mut stack: Resource) -> Result<Found, CloudError> {
    let path = match checked_id(HEAT, "stack", &stack.id.id) {
        // Names of stacks may have dots.
        Ok(id) => format!("/stacks/{}/{id}", encoded(&stack.name).replace('/', "%2F")),
        Err(error) => return Found::lost(&stack.id, error),
    };
    let (mut found, mut unreadable) = (Found::default(), Map::new());
    for (part, key) in [("/template", "template"), ("/environment", "environment"), ("", "stack")] {
        let what = format!("{key} of stack {}", stack.name);
        match cloud.get(HEAT, &format!("{path}{part}"), &[], &what).await {
            Ok(document) => put(&mut stack, key, document),
            Err(error) if part.is_empty() && error.is_not_found() => return Ok(Found::default()),
            Err(error) if is_withheld(&error) => {
                unreadable.insert(key.to_owned(), json!(error.to_string()));
            }
            Err(error) => found.lacks(&stack.id, error)?,
        }
    }
    if !unreadable.is_empty() {
        put(&mut stack, UNREADABLE, Value::Object(unreadable));
    }
    found.resources.push(stack);
    Ok(found)
}

/// Heat works, and does not give it to this login.
fn is_withheld(error: &CloudError) -> bool {
    error.is_not_found() || matches!(error, CloudError::Refused { status: 403, .. })
}

fn put(stack: &mut Resource, key: &str, value: Value) {
    if let Some(document) = stack.document.as_object_mut() {
        document.insert(key.to_owned(), value);
    }
}
