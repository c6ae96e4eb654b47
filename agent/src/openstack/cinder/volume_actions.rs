//! Actions on a volume: upload to an image, take an image's content, flags and metadata of images.

use crate::openstack::cloud::{Cloud, Service, checked_id, text_at};
use crate::openstack::error::CloudError;
use reqwest::Method;
use serde_json::{Map, Value, json};

const SERVICE: Service = Service::Cinder;

async fn act(cloud: &Cloud, id: &str, body: &Value, what: &str) -> Result<Value, CloudError> {
    let id = checked_id(SERVICE, "volume", id)?;
    let what = format!("{what} of volume {id}");
    cloud.post(SERVICE, &format!("/volumes/{id}/action"), body, &what).await
}

/// Orders a raw image of a volume's content; answers the image's id.
pub async fn upload_to_image(cloud: &Cloud, id: &str, name: &str) -> Result<String, CloudError> {
    let body = json!({"os-volume_upload_image": {
        "image_name": name, "disk_format": "raw", "container_format": "bare", "force": true, "visibility": "private",
    }});
    let answer = act(cloud, id, &body, "an image").await?;
    text_at(SERVICE, &answer, "/os-volume_upload_image/image_id")
}

/// Writes an image's content over a volume (microversion 3.68).
pub async fn reimage(cloud: &Cloud, id: &str, image_id: &str) -> Result<(), CloudError> {
    cloud.needs(SERVICE, (3, 68), "writing over a volume").await?;
    let id = checked_id(SERVICE, "volume", id)?;
    let body = json!({"os-reimage": {"image_id": image_id}});
    let request = cloud
        .request(SERVICE, Method::POST, &format!("/volumes/{id}/action"), Some((3, 68)))
        .await?
        .json(&body);
    cloud.document(SERVICE, request, &format!("to write over volume {id}")).await.map(|_| ())
}

pub async fn set_bootable(cloud: &Cloud, id: &str, is_bootable: bool) -> Result<(), CloudError> {
    let body = json!({"os-set_bootable": {"bootable": is_bootable}});
    act(cloud, id, &body, "the bootable flag").await.map(|_| ())
}

pub async fn set_image_metadata(
    cloud: &Cloud,
    id: &str,
    metadata: &Map<String, Value>,
) -> Result<(), CloudError> {
    let body = json!({"os-set_image_metadata": {"metadata": metadata}});
    act(cloud, id, &body, "the image metadata").await.map(|_| ())
}

/// What is not there is no error.
pub async fn unset_image_metadata(cloud: &Cloud, id: &str, name: &str) -> Result<(), CloudError> {
    let body = json!({"os-unset_image_metadata": {"key": name}});
    match act(cloud, id, &body, "the image metadata").await {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}

/// Adds to a volume's own metadata; what has the same key is replaced.
pub async fn add_metadata(cloud: &Cloud, id: &str, metadata: &Value) -> Result<(), CloudError> {
    let id = checked_id(SERVICE, "volume", id)?;
    let what = format!("the metadata of volume {id}");
    let body = json!({ "metadata": metadata });
    cloud.post(SERVICE, &format!("/volumes/{id}/metadata"), &body, &what).await.map(|_| ())
}

/// What is not there is no error. `key` must be plain.
pub async fn remove_metadata(cloud: &Cloud, id: &str, key: &str) -> Result<(), CloudError> {
    let id = checked_id(SERVICE, "volume", id)?;
    cloud
        .delete(SERVICE, &format!("/volumes/{id}/metadata/{key}"), &format!("the metadata of volume {id}"))
        .await
}

/// Gives a volume exactly this metadata.
pub async fn set_metadata(cloud: &Cloud, id: &str, metadata: &Map<String, Value>) -> Result<(), CloudError> {
    let id = checked_id(SERVICE, "volume", id)?;
    let what = format!("the metadata of volume {id}");
    let body = json!({ "metadata": metadata });
    cloud.put(SERVICE, &format!("/volumes/{id}/metadata"), &body, &what).await.map(|_| ())
}
