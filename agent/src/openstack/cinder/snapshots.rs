//! Snapshots of volumes: show, list, create, delete, wait.

use super::volumes::why;
use crate::openstack::cloud::{Cloud, Service, checked_id, text_at};
use crate::openstack::error::CloudError;
use crate::openstack::waiting::{Look, Wanted};
use serde_json::{Value, json};

const SERVICE: Service = Service::Cinder;

pub async fn show(cloud: &Cloud, id: &str) -> Result<Value, CloudError> {
    let id = checked_id(SERVICE, "snapshot", id)?;
    let mut answer = cloud.get(SERVICE, &format!("/snapshots/{id}"), &[], &format!("snapshot {id}")).await?;
    Ok(answer.get_mut("snapshot").map(Value::take).unwrap_or_default())
}

pub async fn list(cloud: &Cloud) -> Result<Vec<Value>, CloudError> {
    cloud.rows(SERVICE, ("/snapshots/detail", "snapshots"), &[]).await
}

/// Orders a snapshot, of a volume in use too; answers its id.
pub async fn create(
    cloud: &Cloud,
    volume_id: &str,
    name: &str,
    metadata: Value,
) -> Result<String, CloudError> {
    let body =
        json!({"snapshot": {"volume_id": volume_id, "name": name, "force": true, "metadata": metadata}});
    // Since 3.66 the word force is refused, since it is always so.
    let forced = cloud.version(SERVICE).await?.min((3, 65));
    let request =
        cloud.request(SERVICE, reqwest::Method::POST, "/snapshots", Some(forced)).await?.json(&body);
    let answer = cloud.document(SERVICE, request, &format!("to snapshot volume {volume_id}")).await?;
    text_at(SERVICE, &answer, "/snapshot/id")
}

pub async fn delete(cloud: &Cloud, id: &str) -> Result<(), CloudError> {
    let id = checked_id(SERVICE, "snapshot", id)?;
    cloud.delete(SERVICE, &format!("/snapshots/{id}"), &format!("to delete snapshot {id}")).await
}

pub async fn wait(cloud: &Cloud, id: &str) -> Result<Value, CloudError> {
    let order = Wanted::new(format!("snapshot {id}"), "available");
    cloud
        .wait_for(order, || async move {
            let snapshot = show(cloud, id).await?;
            let state = snapshot.get("status").and_then(Value::as_str).unwrap_or_default().to_owned();
            match state.as_str() {
                "available" => Ok(Look::Ready(snapshot)),
                word if word.starts_with("error") => {
                    Ok(Look::Never { state, detail: why(cloud, "VOLUME_SNAPSHOT", id).await })
                }
                _ => Ok(Look::NotYet(state)),
            }
        })
        .await
}
