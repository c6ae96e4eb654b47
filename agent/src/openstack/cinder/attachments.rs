//! Where a volume is attached, changed through Nova, which keeps guest and hypervisor in step.

use super::volumes::{self, Volume};
use crate::openstack::cloud::{Cloud, Service, checked_id};
use crate::openstack::error::CloudError;
use crate::openstack::waiting::{Look, Wanted};
use serde_json::{Value, json};

const SERVICE: Service = Service::Nova;

pub async fn detach(cloud: &Cloud, server_id: &str, volume_id: &str) -> Result<(), CloudError> {
    let server = checked_id(SERVICE, "server", server_id)?;
    let volume = checked_id(SERVICE, "volume", volume_id)?;
    let path = format!("/servers/{server}/os-volume_attachments/{volume}");
    cloud.delete(SERVICE, &path, &format!("to detach volume {volume} from server {server}")).await?;
    settled(cloud, (server_id, volume_id), false).await
}

pub async fn attach(
    cloud: &Cloud,
    server_id: &str,
    volume_id: &str,
    device: Option<&str>,
) -> Result<(), CloudError> {
    let server = checked_id(SERVICE, "server", server_id)?;
    let body = json!({"volumeAttachment": {"volumeId": volume_id, "device": device}});
    let what = format!("to attach volume {volume_id} to server {server}");
    cloud.post(SERVICE, &format!("/servers/{server}/os-volume_attachments"), &body, &what).await?;
    settled(cloud, (server_id, volume_id), true).await
}

/// Waits until the volume is at this server, or is no more. Its state alone does not tell: others may have it, too.
pub async fn settled(
    cloud: &Cloud,
    (server_id, volume_id): (&str, &str),
    is_wanted: bool,
) -> Result<(), CloudError> {
    let state = if is_wanted { "attached" } else { "detached" };
    let order = Wanted::new(format!("volume {volume_id} of server {server_id}"), state);
    cloud
        .wait_for(order, || async move {
            let volume = volumes::show(cloud, volume_id).await?;
            let state = volume.status().to_owned();
            if state.starts_with("error") {
                let detail = volumes::why(cloud, "VOLUME", volume_id).await;
                return Ok(Look::Never { state, detail });
            }
            Ok(match is_settled(&volume, server_id, is_wanted) {
                true => Look::Ready(()),
                false => Look::NotYet(state),
            })
        })
        .await
}

fn is_settled(volume: &Volume, server_id: &str, is_wanted: bool) -> bool {
    let is_its = |row: &&Value| row.get("server_id").and_then(Value::as_str) == Some(server_id);
    // While Nova is at work Cinder tells reserved, attaching or detaching.
    let rests = matches!(volume.status(), "available" | "in-use");
    rests && volume.attachments().iter().any(is_its) == is_wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_of_several_servers_is_looked_at_for_one() {
        let volume = |status: &str, servers: &[&str]| {
            let rows: Vec<Value> = servers.iter().map(|id| json!({ "server_id": id })).collect();
            Volume { document: json!({"status": status, "attachments": rows}) }
        };
        assert!(is_settled(&volume("available", &[]), "a", false));
        assert!(is_settled(&volume("in-use", &["b"]), "a", false), "the other one still has it");
        assert!(!is_settled(&volume("in-use", &["a", "b"]), "a", false));
        assert!(!is_settled(&volume("detaching", &["b"]), "a", false));
        assert!(is_settled(&volume("in-use", &["b", "a"]), "a", true));
        assert!(!is_settled(&volume("in-use", &["b"]), "a", true), "only the other one has it");
        assert!(!is_settled(&volume("attaching", &["a"]), "a", true));
    }
}
