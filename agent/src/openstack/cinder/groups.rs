//! Groups of volumes, and snapshots of all volumes of one.

use super::volumes::why;
use crate::openstack::cloud::{Cloud, Service, checked_id, text_at};
use crate::openstack::error::CloudError;
use crate::openstack::waiting::{Look, Wanted};
use serde_json::{Value, json};

const SERVICE: Service = Service::Cinder;

/// Name of the type of a group, which its owner may see.
pub async fn type_name(cloud: &Cloud, group: &str) -> Result<String, CloudError> {
    let id = checked_id(SERVICE, "group", group)?;
    let shown = cloud.get(SERVICE, &format!("/groups/{id}"), &[], &format!("group {id}")).await?;
    let kind = text_at(SERVICE, &shown, "/group/group_type")?;
    let kind = checked_id(SERVICE, "group type", &kind)?;
    let what = format!("group type {kind}");
    let shown = cloud.get(SERVICE, &format!("/group_types/{kind}"), &[], &what).await?;
    text_at(SERVICE, &shown, "/group_type/name")
}

/// Orders snapshots of all volumes of a group; answers the id of them together.
pub async fn snapshot(cloud: &Cloud, group: &str, name: &str) -> Result<String, CloudError> {
    let body = json!({"group_snapshot": {"group_id": group, "name": name}});
    let answer =
        cloud.post(SERVICE, "/group_snapshots", &body, &format!("to snapshot group {group}")).await?;
    text_at(SERVICE, &answer, "/group_snapshot/id")
}

pub async fn show_snapshot(cloud: &Cloud, id: &str) -> Result<Value, CloudError> {
    let id = checked_id(SERVICE, "group snapshot", id)?;
    let path = format!("/group_snapshots/{id}");
    let mut answer = cloud.get(SERVICE, &path, &[], &format!("group snapshot {id}")).await?;
    Ok(answer.get_mut("group_snapshot").map(Value::take).unwrap_or_default())
}

pub async fn list_snapshots(cloud: &Cloud) -> Result<Vec<Value>, CloudError> {
    cloud.rows(SERVICE, ("/group_snapshots/detail", "group_snapshots"), &[]).await
}

pub async fn delete_snapshot(cloud: &Cloud, id: &str) -> Result<(), CloudError> {
    let id = checked_id(SERVICE, "group snapshot", id)?;
    cloud.delete(SERVICE, &format!("/group_snapshots/{id}"), &format!("to delete group snapshot {id}")).await
}

pub async fn wait_for_snapshot(cloud: &Cloud, id: &str) -> Result<Value, CloudError> {
    let order = Wanted::new(format!("group snapshot {id}"), "available");
    cloud
        .wait_for(order, || async move {
            let snapshot = show_snapshot(cloud, id).await?;
            let state = snapshot.get("status").and_then(Value::as_str).unwrap_or_default().to_owned();
            match state.as_str() {
                "available" => Ok(Look::Ready(snapshot)),
                word if word.starts_with("error") => {
                    Ok(Look::Never { state, detail: why(cloud, "GROUP_SNAPSHOT", id).await })
                }
                _ => Ok(Look::NotYet(state)),
            }
        })
        .await
}
