//! Servers: show, list, create, delete, wait, image, power, volumes.

use crate::openstack::cloud::{Cloud, Service, Version, checked_id, text_at};
use crate::openstack::error::CloudError;
use crate::openstack::waiting::{Look, Wanted};
use serde_json::{Map, Value, json};

const SERVICE: Service = Service::Nova;
/// Since then a server may be made with tags, and the answer to `createImage` names the image.
pub const NEEDED: Version = (2, 52);

/// Since then it may be changed whether a volume goes with its server.
const BINDING_SINCE: Version = (2, 85);

/// A server as Nova describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    pub document: Value,
}

impl Server {
    pub fn text(&self, key: &str) -> &str {
        self.document.get(key).and_then(Value::as_str).unwrap_or_default()
    }
    pub fn id(&self) -> &str {
        self.text("id")
    }
    pub fn name(&self) -> &str {
        self.text("name")
    }
    pub fn status(&self) -> &str {
        self.text("status")
    }
    /// What is being done with it; `""` when nothing is.
    pub fn task(&self) -> &str {
        self.text("OS-EXT-STS:task_state")
    }
    pub fn project_id(&self) -> &str {
        self.text("tenant_id")
    }
    /// `None`: it boots from a volume.
    pub fn image_id(&self) -> Option<&str> {
        self.document.pointer("/image/id").and_then(Value::as_str)
    }
    pub fn map(&self, key: &str) -> Map<String, Value> {
        self.document.get(key).and_then(Value::as_object).cloned().unwrap_or_default()
    }
    pub fn texts(&self, key: &str) -> Vec<String> {
        let rows = self.document.get(key).and_then(Value::as_array).into_iter().flatten();
        rows.filter_map(|row| row.as_str().map(str::to_owned)).collect()
    }
    /// What Nova says went wrong.
    pub fn fault(&self) -> &str {
        self.document.pointer("/fault/message").and_then(Value::as_str).unwrap_or_default()
    }
}

pub async fn show(cloud: &Cloud, id: &str) -> Result<Server, CloudError> {
    let id = checked_id(SERVICE, "server", id)?;
    let mut answer = cloud.get(SERVICE, &format!("/servers/{id}"), &[], &format!("server {id}")).await?;
    Ok(Server { document: answer.get_mut("server").map(Value::take).unwrap_or_default() })
}

/// Servers that fit `query`, with all their details.
pub async fn list(cloud: &Cloud, query: &[(&str, &str)]) -> Result<Vec<Server>, CloudError> {
    let rows = cloud.rows(SERVICE, ("/servers/detail", "servers"), query).await?;
    Ok(rows.into_iter().map(|document| Server { document }).collect())
}

/// Orders a server; `body` is the whole request. Answers its id.
pub async fn create(cloud: &Cloud, body: &Value) -> Result<String, CloudError> {
    cloud.needs(SERVICE, NEEDED, "making servers with tags").await?;
    let name = body.pointer("/server/name").and_then(Value::as_str).unwrap_or_default();
    let answer = cloud.post(SERVICE, "/servers", body, &format!("to create server {name}")).await?;
    text_at(SERVICE, &answer, "/server/id")
}

pub async fn delete(cloud: &Cloud, id: &str) -> Result<(), CloudError> {
    let id = checked_id(SERVICE, "server", id)?;
    cloud.delete(SERVICE, &format!("/servers/{id}"), &format!("to delete server {id}")).await
}

async fn act(cloud: &Cloud, id: &str, body: &Value, what: &str) -> Result<Value, CloudError> {
    let id = checked_id(SERVICE, "server", id)?;
    cloud.post(SERVICE, &format!("/servers/{id}/action"), body, &format!("{what} server {id}")).await
}

/// Orders an image of a server's root disk, or snapshots of all volumes of one that boots from a volume. Answers the
/// image's id.
pub async fn create_image(
    cloud: &Cloud,
    id: &str,
    name: &str,
    properties: &Value,
) -> Result<String, CloudError> {
    cloud.needs(SERVICE, NEEDED, "images of servers").await?;
    let body = json!({"createImage": {"name": name, "metadata": properties}});
    let answer = act(cloud, id, &body, "to make an image of").await?;
    text_at(SERVICE, &answer, "/image_id")
}

/// Stops a server and waits until it is off.
pub async fn stop(cloud: &Cloud, id: &str) -> Result<(), CloudError> {
    act(cloud, id, &json!({"os-stop": null}), "to stop").await?;
    wait(cloud, id, "SHUTOFF", 0).await.map(|_| ())
}

/// Replaces all of a server's metadata.
pub async fn set_metadata(cloud: &Cloud, id: &str, metadata: &Map<String, Value>) -> Result<(), CloudError> {
    let id = checked_id(SERVICE, "server", id)?;
    let body = json!({ "metadata": metadata });
    let what = format!("the metadata of server {id}");
    cloud.put(SERVICE, &format!("/servers/{id}/metadata"), &body, &what).await.map(|_| ())
}

/// Volumes of a server: `volumeId`, `device`, `tag`, `delete_on_termination`.
pub async fn volumes(cloud: &Cloud, id: &str) -> Result<Vec<Value>, CloudError> {
    let id = checked_id(SERVICE, "server", id)?;
    let path = format!("/servers/{id}/os-volume_attachments");
    let answer = cloud.get(SERVICE, &path, &[], &format!("the volumes of server {id}")).await?;
    Ok(answer.get("volumeAttachments").and_then(Value::as_array).cloned().unwrap_or_default())
}

/// From now on Nova deletes this volume with the server.
pub async fn bind_volume(cloud: &Cloud, id: &str, volume: &str) -> Result<(), CloudError> {
    cloud.needs(SERVICE, BINDING_SINCE, "volumes that go with a server").await?;
    let (id, volume) = (checked_id(SERVICE, "server", id)?, checked_id(SERVICE, "volume", volume)?);
    let path = format!("/servers/{id}/os-volume_attachments/{volume}");
    let body = json!({"volumeAttachment": {"volumeId": volume, "delete_on_termination": true}});
    let what = format!("to let volume {volume} go with server {id}");
    cloud.put(SERVICE, &path, &body, &what).await.map(|_| ())
}

/// Network interfaces of a server: `port_id`, `tag`.
pub async fn interfaces(cloud: &Cloud, id: &str) -> Result<Vec<Value>, CloudError> {
    let id = checked_id(SERVICE, "server", id)?;
    let path = format!("/servers/{id}/os-interface");
    let answer = cloud.get(SERVICE, &path, &[], &format!("the interfaces of server {id}")).await?;
    Ok(answer.get("interfaceAttachments").and_then(Value::as_array).cloned().unwrap_or_default())
}

/// Waits until a server has the status `wanted` and nothing is done with it.
pub async fn wait(
    cloud: &Cloud,
    id: &str,
    wanted: &'static str,
    moves_gib: u64,
) -> Result<Server, CloudError> {
    let order = Wanted::new(format!("server {id}"), wanted).moving(moves_gib);
    cloud
        .wait_for(order, || async move {
            let server = show(cloud, id).await?;
            let state = server.status().to_owned();
            if state == wanted && server.task().is_empty() {
                return Ok(Look::Ready(server));
            }
            if matches!(state.as_str(), "ERROR" | "DELETED" | "SOFT_DELETED") {
                return Ok(Look::Never { state, detail: server.fault().to_owned() });
            }
            Ok(Look::NotYet(format!("{state} {}", server.task()).trim().to_owned()))
        })
        .await
}

/// Ids of the requests that did something to a server, but for images of it: what happened to it since.
pub async fn history(cloud: &Cloud, id: &str) -> Result<Vec<String>, CloudError> {
    let id = checked_id(SERVICE, "server", id)?;
    let path = format!("/servers/{id}/os-instance-actions");
    let answer = cloud.get(SERVICE, &path, &[], &format!("the history of server {id}")).await?;
    let rows = answer.get("instanceActions").and_then(Value::as_array).into_iter().flatten();
    let text = |row: &Value, key: &str| row.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok(rows.filter(|row| text(row, "action") != "createImage").map(|row| text(row, "request_id")).collect())
}
