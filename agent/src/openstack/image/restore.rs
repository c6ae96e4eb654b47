//! An image comes back as a new one: the old one may still be in use, and Glance never gives an id twice.

use super::chain_of_one;
use super::description::ImageDescription;
use crate::actions::backup::people;
use crate::actions::{ActionError, Done};
use crate::openstack::cloud::Cloud;
use crate::openstack::error::CloudError;
use crate::openstack::glance::images;
use crate::openstack::pipe;
use crate::openstack::temporary::{Ledger, Temporary};
use crate::openstack::volume::{feed, open_cloud, restore_request, with_leftovers};
use crate::options::cloud::VolumeTarget;
use crate::options::medium::{ImagePick, Pick};
use crate::options::typed::ActionOptions;
use crate::storages::{Surroundings, open_store};
use freezer_storage::Store;
use freezer_vault::image::{self, ImageOutput, ImagePlan, ImageReport};
use freezer_vault::{Monitor, VaultError};
use serde_json::{Map, Value, json};
use std::sync::Arc;

pub async fn restore(
    options: &ActionOptions,
    pick: &ImagePick,
    around: &Surroundings,
    monitor: Arc<Monitor>,
) -> Result<Done, ActionError> {
    if options.cloud.volume_target != VolumeTarget::New {
        return Err(ActionError::Failed(
            "an image cannot be written over; leave overwrite out, and a new one is made".to_owned(),
        ));
    }
    let store = open_store(options, around).await?;
    match pick {
        ImagePick::One(_) => one(options, pick, around, &store, &monitor).await,
        ImagePick::AllWithout(_) | ImagePick::Project(_) => several(options, around, &store, &monitor).await,
    }
}

/// All that were saved together. One that fails makes the restore partial and keeps none from coming back.
async fn several(
    options: &ActionOptions,
    around: &Surroundings,
    store: &Arc<dyn Store>,
    monitor: &Arc<Monitor>,
) -> Result<Done, ActionError> {
    let ids = super::saved_together(options, store).await?;
    let (mut restored, mut summary, mut failed) = (Vec::new(), Vec::new(), Vec::new());
    let mut is_partial = false;
    for id in &ids {
        let pick = ImagePick::One(Pick::Unnamed);
        match one(&chain_of_one(options, id), &pick, around, store, monitor).await {
            Ok(done) => {
                is_partial |= done.partial;
                summary.extend(done.summary);
                restored.extend(done.result.get("restore").cloned());
            }
            Err(ActionError::Aborted) => return Err(ActionError::Aborted),
            Err(_) if monitor.is_cancelled() => return Err(ActionError::Aborted),
            Err(error) => failed.push(format!("image {id}: {error}")),
        }
    }
    if failed.len() == ids.len() {
        let missing = || format!("there is no backup {}_{}<id>", options.hostname, super::several(options));
        let cause = if ids.is_empty() { missing() } else { failed.join("; ") };
        return Err(ActionError::Failed(format!("nothing was restored: {cause}")));
    }
    summary.extend(failed.iter().map(|what| format!("FAILED       {what}")));
    let mut result = Map::new();
    result.insert("restore".into(), json!({"images": restored, "failed": failed}));
    Ok(Done { result, summary, partial: is_partial || !failed.is_empty() })
}

async fn one(
    options: &ActionOptions,
    pick: &ImagePick,
    around: &Surroundings,
    store: &Arc<dyn Store>,
    monitor: &Arc<Monitor>,
) -> Result<Done, ActionError> {
    let plan = plan(options, pick, store).await?;
    let saved = ImageDescription::from_value(&plan.description).ok_or_else(|| {
        ActionError::Failed(format!("backup {} at {} is not that of an image", plan.hbn, plan.timestamp))
    })?;
    if options.dry_run {
        let summary = vec![format!("Would restore {} as of {} ('{}')", plan.hbn, plan.timestamp, saved.name)];
        let mut result = Map::new();
        let planned = json!({
            "dry_run": true, "hbn": plan.hbn.to_string(), "timestamp": plan.timestamp, "name": saved.name, "size_bytes": plan.size_bytes,
        });
        result.insert("restore".into(), planned);
        return Ok(Done { result, summary, partial: false });
    }
    let cloud = open_cloud(options, around, monitor).await?;
    let (id, report, notes) = bring(options, around, &cloud, (store, &plan, &saved)).await?;
    Ok(done(&plan, &saved, &id, &report, &notes))
}

/// An image of several resources that come back together: its new id and what could not be restored of it. `mark` is among its
/// tags.
pub(in crate::openstack) async fn restore_one(
    options: &ActionOptions,
    around: &Surroundings,
    cloud: &Cloud,
    store: &Arc<dyn Store>,
    mark: &str,
) -> Result<(String, Vec<String>), ActionError> {
    let plan = image::plan(store, &restore_request(options)?).await?;
    let mut saved = ImageDescription::from_value(&plan.description).ok_or_else(|| {
        ActionError::Failed(format!("backup {} at {} is not that of an image", plan.hbn, plan.timestamp))
    })?;
    if let Some(tags) = saved.fields.entry("tags").or_insert_with(|| json!([])).as_array_mut() {
        tags.push(json!(mark));
    }
    bring(options, around, cloud, (store, &plan, &saved))
        .await
        .map(|(id, _, Notes { lost, left })| (id, lost.into_iter().chain(left).collect()))
}

/// What an image was and is not any more, and what could not be tidied up.
struct Notes {
    lost: Vec<String>,
    left: Vec<String>,
}

/// Does it, and tidies up however it ends.
async fn bring(
    options: &ActionOptions,
    around: &Surroundings,
    cloud: &Cloud,
    backup: (&Arc<dyn Store>, &ImagePlan, &ImageDescription),
) -> Result<(String, ImageReport, Notes), ActionError> {
    let ledger = Ledger::new(cloud, &options.cloud.temp_prefix, &around.run_id);
    let made = make(options, cloud, &ledger, backup, cloud.monitor()).await;
    let left = match &made {
        Ok(_) => ledger.remove_all().await,
        Err(_) => ledger.remove_all_and_lost().await,
    };
    let made = if cloud.monitor().is_cancelled() && made.is_err() { Err(ActionError::Aborted) } else { made };
    let ((id, report, lost), left) = with_leftovers(made, left)?;
    Ok((id, report, Notes { lost, left }))
}

fn done(plan: &ImagePlan, saved: &ImageDescription, id: &str, report: &ImageReport, notes: &Notes) -> Done {
    // What the image was and is not any more makes it incomplete.
    let partial = !notes.lost.is_empty();
    let notes: Vec<&String> = notes.lost.iter().chain(&notes.left).collect();
    let mut result = Map::new();
    result.insert(
        "restore".into(),
        json!({"image_id": id, "image_of_backup": saved.id, "report": report, "notes": notes}),
    );
    let mut summary = vec![
        format!("Restored     {} as of {} from {} levels", report.hbn, report.timestamp, report.levels.len()),
        format!("Image        {id} ({})", people(report.size_bytes)),
    ];
    let warnings = plan.warnings.iter().chain(notes);
    summary.extend(warnings.map(|note| format!("Note         {note}")));
    Done { result, summary, partial }
}

/// The backup of this name, or that of the one image among several that were saved together.
async fn plan(
    options: &ActionOptions,
    pick: &ImagePick,
    store: &Arc<dyn Store>,
) -> Result<ImagePlan, ActionError> {
    if let ImagePick::One(Pick::Id(id)) = pick {
        let one = chain_of_one(options, id);
        match image::plan(store, &restore_request(&one)?).await {
            Err(VaultError::NoBackup { .. }) => {}
            other => return Ok(other?),
        }
    }
    Ok(image::plan(store, &restore_request(options)?).await?)
}

async fn make(
    options: &ActionOptions,
    cloud: &Cloud,
    ledger: &Ledger,
    (store, plan, saved): (&Arc<dyn Store>, &ImagePlan, &ImageDescription),
    monitor: &Arc<Monitor>,
) -> Result<(String, ImageReport, Vec<String>), ActionError> {
    let (id, report) = upload(cloud, ledger, (store, plan, saved), monitor).await?;
    let notes = dress(options, cloud, &id, plan, saved).await?;
    ledger.release(&Temporary::Image(id.clone()));
    Ok((id, report, notes))
}

/// An image with the content and the fields of the old one, the ledger's and private.
pub(in crate::openstack) async fn upload(
    cloud: &Cloud,
    ledger: &Ledger,
    (store, plan, saved): (&Arc<dyn Store>, &ImagePlan, &ImageDescription),
    monitor: &Arc<Monitor>,
) -> Result<(String, ImageReport), ActionError> {
    let mut body = saved.fields.clone();
    body.insert("name".into(), json!(ledger.name(&format!("restore_{}", saved.id))));
    body.insert("visibility".into(), json!("private"));
    let id = images::create(cloud, &Value::Object(body)).await?;
    ledger.note(Temporary::Image(id.clone()));
    let (writer, stream) = pipe::writer();
    let sending = images::upload(cloud, &id, reqwest::Body::wrap_stream(stream));
    let report = feed(store, plan, ImageOutput::Raw(writer), monitor, sending).await?;
    let made = images::wait(cloud, &id, 0).await?;
    if saved.is_content_of(&made) == Some(false) {
        return Err(ActionError::Failed(format!(
            "image {} came back with another content than Glance had saved: its hash differs",
            saved.id
        )));
    }
    Ok((id, report))
}

/// Name, visibility, members, protection. What only an administrator may set is said, not hidden.
async fn dress(
    options: &ActionOptions,
    cloud: &Cloud,
    id: &str,
    plan: &ImagePlan,
    saved: &ImageDescription,
) -> Result<Vec<String>, CloudError> {
    let set = |key: &str, value: Value| json!({"op": "replace", "path": format!("/{key}"), "value": value});
    let mut notes = Vec::new();
    if !matches!(saved.visibility.as_str(), "private" | "")
        && let Err(error) = images::update(cloud, id, &[set("visibility", json!(saved.visibility))]).await
    {
        notes.push(format!("it was {} and is private now: {error}", saved.visibility));
    }
    for member in &saved.members {
        if let Err(error) = images::add_member(cloud, id, member).await {
            notes.push(format!("not shared with project {member} any more: {error}"));
        }
    }
    let name =
        options.cloud.restore_name.clone().unwrap_or_else(|| format!("{}~{}", saved.name, plan.timestamp));
    let mut last = vec![set("name", json!(name))];
    if saved.is_protected {
        last.push(set("protected", json!(true)));
    }
    images::update(cloud, id, &last).await?;
    Ok(notes)
}
