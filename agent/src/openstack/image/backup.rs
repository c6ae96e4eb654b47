//! Saving images: each has a chain of its own. One that fails among several makes the backup partial, never silently less.

use super::chain_of_one;
use super::description::ImageDescription;
use crate::actions::{ActionError, Done, backup as action};
use crate::openstack::cloud::{Cloud, Service};
use crate::openstack::error::CloudError;
use crate::openstack::glance::{download, images};
use crate::openstack::pipe;
use crate::openstack::temporary::is_temporary;
use crate::openstack::volume::{open_cloud, source_failed};
use crate::options::medium::{ImagePick, Pick};
use crate::options::typed::ActionOptions;
use crate::storages::{Surroundings, open_store};
use freezer_storage::Store;
use freezer_vault::image::{self, ImageInput, OpenImage, OpenedImage};
use freezer_vault::{BackupReport, Monitor, VaultError};
use serde_json::{Map, Value, json};
use std::sync::Arc;

pub async fn backup(
    options: &ActionOptions,
    pick: &ImagePick,
    around: &Surroundings,
    monitor: Arc<Monitor>,
) -> Result<Done, ActionError> {
    let cloud = open_cloud(options, around, &monitor).await?;
    let store = open_store(options, around).await?;
    if let ImagePick::One(pick) = pick {
        let image = one(&cloud, pick).await?;
        let report = save(options, around, &cloud, &store, &image).await?;
        return Ok(done(options, around, &image, &report));
    }
    let chosen = several(&cloud, pick, &options.cloud.temp_prefix).await?;
    let mut saved = Map::new();
    let mut summary = Vec::new();
    let mut failed = Vec::new();
    for found in chosen {
        let id = found.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
        // Each has figures of its own; an abort ends them all.
        let own = Arc::new(Monitor::with_token(monitor.token().child_token()));
        let options = chain_of_one(options, &id);
        match save(&options, around, &cloud.watched_by(&own), &store, &found).await {
            Ok(report) => {
                let done = done(&options, around, &found, &report);
                summary.extend(done.summary);
                saved.insert(id, done.result.get("backup_metadata").cloned().unwrap_or_default());
            }
            Err(ActionError::Aborted) => return Err(ActionError::Aborted),
            Err(error) => failed.push(format!("image {id}: {error}")),
        }
    }
    if saved.is_empty() {
        let cause = if failed.is_empty() { "no image fits".to_owned() } else { failed.join("; ") };
        return Err(ActionError::Failed(format!("nothing was saved: {cause}")));
    }
    summary.extend(failed.iter().map(|what| format!("FAILED       {what}")));
    let mut metadata = saved.values().next().and_then(Value::as_object).cloned().unwrap_or_default();
    for key in ["glance_image_id", "image_name"] {
        metadata.remove(key);
    }
    for key in ["bytes_read", "bytes_stored"] {
        let sum: u64 = saved.values().filter_map(|row| row.get(key)?.as_u64()).sum();
        metadata.insert(key.into(), json!(sum));
    }
    metadata.insert("backup_name".into(), json!(options.backup_name));
    metadata.insert("images".into(), Value::Object(saved));
    metadata.insert("is_partial".into(), json!(!failed.is_empty()));
    metadata.insert("failed".into(), json!(failed));
    let mut result = Map::new();
    result.insert("backup_metadata".into(), Value::Object(metadata));
    Ok(Done { result, summary, partial: !failed.is_empty() })
}

async fn one(cloud: &Cloud, pick: &Pick) -> Result<Value, CloudError> {
    let project = cloud.project_id().await?;
    let not_there =
        |what: String| CloudError::NotFound { service: Service::Glance.name(), what, request: String::new() };
    let name = match pick {
        Pick::Id(id) => {
            let image = images::show(cloud, id).await?;
            return match images::is_for(cloud, &image, &project).await? {
                true => Ok(image),
                false => Err(not_there(format!("image {id}"))),
            };
        }
        Pick::Name(name) => name,
        Pick::Unnamed => {
            let cause = "is not named; give glance_image_id or glance_image_name".to_owned();
            return Err(CloudError::Choice { what: "the image".to_owned(), cause });
        }
    };
    let mut found = Vec::new();
    for image in images::list(cloud, &[("name", name)]).await? {
        if images::is_for(cloud, &image, &project).await? {
            found.push(image);
        }
    }
    // A hidden one is meant by its id, or where there is no other: it has been replaced.
    let is_shown = |row: &Value| row.get("os_hidden").and_then(Value::as_bool) != Some(true);
    if found.iter().any(is_shown) {
        found.retain(is_shown);
    }
    let is_own = |row: &Value| row.get("owner").and_then(Value::as_str) == Some(&project);
    // The project's own before what others show to it.
    if found.iter().any(is_own) {
        found.retain(is_own);
    }
    match (found.pop(), found.len()) {
        (Some(image), 0) => Ok(image),
        (Some(_), others) => Err(CloudError::Choice {
            what: format!("image name '{name}'"),
            cause: format!("{} images have it; name one by glance_image_id", others + 1),
        }),
        (None, _) => Err(not_there(format!("image named '{name}'"))),
    }
}

/// Images of the login's own project: others' images are theirs to save.
async fn several(cloud: &Cloud, pick: &ImagePick, temp_prefix: &str) -> Result<Vec<Value>, CloudError> {
    let project = cloud.project_id().await?;
    if let ImagePick::Project(wanted) = pick
        && *wanted != project
    {
        let cause = format!("the login is for project {project}");
        return Err(CloudError::Choice { what: format!("images of project {wanted}"), cause });
    }
    let mut found = images::list(cloud, &[("owner", &project)]).await?;
    found.retain(|row| !is_temporary(row, temp_prefix));
    if let ImagePick::AllWithout(text) = pick {
        let name = |row: &Value| row.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        found.retain(|row| !name(row).contains(text.as_str()));
    }
    Ok(found)
}

/// Saves an image as the next level of the chain that `options` name.
pub(in crate::openstack) async fn save(
    options: &ActionOptions,
    around: &Surroundings,
    cloud: &Cloud,
    store: &Arc<dyn Store>,
    found: &Value,
) -> Result<BackupReport, ActionError> {
    let id = found.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
    let status = found.get("status").and_then(Value::as_str).unwrap_or_default().to_owned();
    if status != "active" {
        let (resource, wanted) = (format!("image {id}"), "active".to_owned());
        return Err(CloudError::BadState { resource, state: status, wanted, detail: String::new() }.into());
    }
    let size = found.get("size").and_then(Value::as_u64).unwrap_or_default();
    if size == 0 {
        // Such as Nova makes of a server that boots from a volume: saved as it is, it would restore to nothing.
        let cause =
            "holds no data of its own but names snapshots of volumes; save the volumes by mode cinder";
        return Err(CloudError::Choice { what: format!("image {id}"), cause: cause.to_owned() }.into());
    }
    let text = |key: &str| found.get(key).and_then(Value::as_str).unwrap_or_default();
    // Members are the owner's to see.
    let members = match text("visibility") {
        "shared" if text("owner") == cloud.project_id().await? => images::members(cloud, &id).await?,
        _ => Vec::new(),
    };
    let description = ImageDescription::of(found, members);
    let open = opener(cloud.clone(), id.clone(), size, description.to_value());
    let request = action::image_request(options, around)?;
    let monitor = cloud.monitor();
    match image::backup(store.clone(), request, open, monitor.clone()).await {
        Err(_) if monitor.is_cancelled() => Err(ActionError::Aborted),
        other => Ok(other?),
    }
}

fn done(options: &ActionOptions, around: &Surroundings, image: &Value, report: &BackupReport) -> Done {
    let mut done = action::done(options, around, report);
    let text = |key: &str| image.get(key).and_then(Value::as_str).unwrap_or_default();
    done.summary.push(format!("Image        {} '{}'", text("id"), text("name")));
    if let Some(Value::Object(metadata)) = done.result.get_mut("backup_metadata") {
        metadata.insert("glance_image_id".into(), json!(text("id")));
        metadata.insert("image_name".into(), json!(text("name")));
    }
    done
}

pub(in crate::openstack) fn opener(cloud: Cloud, id: String, size: u64, description: Value) -> OpenImage {
    Box::new(move |_base| {
        Box::pin(async move {
            let stream = download::download(&cloud, &id, size).await.map_err(source_failed)?;
            let input = ImageInput::Whole { reader: pipe::reader(stream), size_bytes: Some(size) };
            Ok::<_, VaultError>(OpenedImage {
                input,
                source: json!({"kind": "glance", "image_id": id}),
                description,
            })
        })
    })
}
