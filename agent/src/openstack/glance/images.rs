//! Images: show, list, create, upload, delete, wait, members.

use crate::openstack::cloud::{Cloud, Service, checked_id, good, text_at};
use crate::openstack::error::CloudError;
use crate::openstack::waiting::{Look, Wanted};
use reqwest::Method;
use serde_json::{Value, json};

const SERVICE: Service = Service::Glance;

pub async fn show(cloud: &Cloud, id: &str) -> Result<Value, CloudError> {
    let id = checked_id(SERVICE, "image", id)?;
    cloud.get(SERVICE, &format!("/images/{id}"), &[], &format!("image {id}")).await
}

/// Whether an image is for a project: its own, or one that its owner shows to it. Members see no others; an administrator's
/// login is shown those of all projects.
pub async fn is_for(cloud: &Cloud, image: &Value, project: &str) -> Result<bool, CloudError> {
    let text = |key: &str| image.get(key).and_then(Value::as_str).unwrap_or_default();
    if text("owner") == project {
        return Ok(true);
    }
    match text("visibility") {
        "public" | "community" => Ok(true),
        "shared" => is_member(cloud, text("id"), project).await,
        _ => Ok(false),
    }
}

async fn is_member(cloud: &Cloud, id: &str, project: &str) -> Result<bool, CloudError> {
    let id = checked_id(SERVICE, "image", id)?;
    let project = checked_id(SERVICE, "project", project)?;
    let what = format!("member {project} of image {id}");
    match cloud.get(SERVICE, &format!("/images/{id}/members/{project}"), &[], &what).await {
        Ok(_) => Ok(true),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error),
    }
}

/// All images that fit `query`, hidden ones too: Glance lists these only where it is asked for them alone.
pub async fn list(cloud: &Cloud, query: &[(&str, &str)]) -> Result<Vec<Value>, CloudError> {
    const IMAGES: (&str, &str) = ("/images", "images");
    let of_hidden = [query, &[("os_hidden", "true")]].concat();
    let (found, hidden) =
        tokio::join!(cloud.rows(SERVICE, IMAGES, query), cloud.rows(SERVICE, IMAGES, &of_hidden));
    let mut found = found?;
    let hidden = match hidden {
        Ok(rows) => rows,
        // One that hides no images; an older one takes the word for a property that no image has.
        Err(CloudError::Refused { status: 400, .. }) => Vec::new(),
        Err(error) => return Err(error),
    };
    for row in hidden {
        if found.iter().all(|known| known.get("id") != row.get("id")) {
            found.push(row);
        }
    }
    Ok(found)
}

/// Makes an image without content; `body` is Glance's own form. Answers its id.
pub async fn create(cloud: &Cloud, body: &Value) -> Result<String, CloudError> {
    let name = body.get("name").and_then(Value::as_str).unwrap_or_default();
    let answer = cloud.post(SERVICE, "/images", body, &format!("to create image {name}")).await?;
    text_at(SERVICE, &answer, "/id")
}

/// Streams an image's content to Glance. It can be sent once only.
pub async fn upload(cloud: &Cloud, id: &str, content: reqwest::Body) -> Result<(), CloudError> {
    let id = checked_id(SERVICE, "image", id)?;
    let request = cloud
        .request(SERVICE, Method::PUT, &format!("/images/{id}/file"), None)
        .await?
        .header("Content-Type", "application/octet-stream")
        .stream(content);
    let answer = cloud.send(SERVICE, request).await?;
    good(SERVICE, answer, &format!("the content of image {id}")).await.map(|_| ())
}

/// Changes by JSON patch.
pub async fn update(cloud: &Cloud, id: &str, operations: &[Value]) -> Result<(), CloudError> {
    let id = checked_id(SERVICE, "image", id)?;
    let body = serde_json::to_vec(operations).unwrap_or_default();
    let request = cloud
        .request(SERVICE, Method::PATCH, &format!("/images/{id}"), None)
        .await?
        .header("Content-Type", "application/openstack-images-v2.1-json-patch")
        .bytes(body);
    cloud.document(SERVICE, request, &format!("to change image {id}")).await.map(|_| ())
}

pub async fn delete(cloud: &Cloud, id: &str) -> Result<(), CloudError> {
    let id = checked_id(SERVICE, "image", id)?;
    cloud.delete(SERVICE, &format!("/images/{id}"), &format!("to delete image {id}")).await
}

/// Ids of the projects an image is shared with.
pub async fn members(cloud: &Cloud, id: &str) -> Result<Vec<String>, CloudError> {
    let id = checked_id(SERVICE, "image", id)?;
    let answer =
        cloud.get(SERVICE, &format!("/images/{id}/members"), &[], &format!("members of image {id}")).await?;
    let rows = answer.get("members").and_then(Value::as_array).into_iter().flatten();
    Ok(rows.filter_map(|row| row.get("member_id")?.as_str().map(str::to_owned)).collect())
}

pub async fn add_member(cloud: &Cloud, id: &str, project_id: &str) -> Result<(), CloudError> {
    let id = checked_id(SERVICE, "image", id)?;
    let what = format!("to share image {id}");
    cloud
        .post(SERVICE, &format!("/images/{id}/members"), &json!({"member": project_id}), &what)
        .await
        .map(|_| ())
}

/// Waits until an image has its content.
pub async fn wait(cloud: &Cloud, id: &str, moves_gib: u64) -> Result<Value, CloudError> {
    let order = Wanted::new(format!("image {id}"), "active").moving(moves_gib);
    cloud
        .wait_for(order, || async move {
            let image = match show(cloud, id).await {
                // A service that fails to fill an image removes it.
                Err(error) if error.is_not_found() => {
                    return Ok(Look::Never {
                        state: "gone".to_owned(),
                        detail: "its maker failed".to_owned(),
                    });
                }
                other => other?,
            };
            let state = image.get("status").and_then(Value::as_str).unwrap_or_default().to_owned();
            match state.as_str() {
                "active" => Ok(Look::Ready(image)),
                "killed" | "deleted" | "pending_delete" | "deactivated" => {
                    Ok(Look::Never { state, detail: String::new() })
                }
                _ => Ok(Look::NotYet(state)),
            }
        })
        .await
}
