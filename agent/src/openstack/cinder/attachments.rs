//! Where a volume is attached, changed through Nova, which keeps guest and hypervisor in step.

use super::volumes;
use crate::openstack::cloud::{Cloud, Service, checked_id};
use crate::openstack::error::CloudError;
use serde_json::json;

const SERVICE: Service = Service::Nova;

pub async fn detach(cloud: &Cloud, server_id: &str, volume_id: &str) -> Result<(), CloudError> {
    let server = checked_id(SERVICE, "server", server_id)?;
    let volume = checked_id(SERVICE, "volume", volume_id)?;
    let path = format!("/servers/{server}/os-volume_attachments/{volume}");
    cloud.delete(SERVICE, &path, &format!("to detach volume {volume} from server {server}")).await?;
    volumes::wait(cloud, volume_id, &["available"], 0).await.map(|_| ())
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
    volumes::wait(cloud, volume_id, &["in-use"], 0).await.map(|_| ())
}
