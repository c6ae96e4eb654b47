//! Saving a volume, or an image of the Ceph cluster.

use super::cluster::Kept;
use super::description::VolumeDescription;
use super::leftover::tidy_pool;
use super::{key, open_cloud, picked, restoring, through_image, with_leftovers};
use crate::actions::{ActionError, Done, backup as action};
use crate::openstack::ceph::{Ceph, CephAccess, RbdImage};
use crate::openstack::cinder::volumes::Volume;
use crate::openstack::cloud::Cloud;
use crate::openstack::error::CloudError;
use crate::openstack::temporary::Ledger;
use crate::options::medium::Pick;
use crate::options::typed::ActionOptions;
use crate::storages::{Surroundings, open_store};
use freezer_storage::Store;
use freezer_vault::image::{self, ImageRequest, OpenImage};
use freezer_vault::{BackupReport, Monitor};
use serde_json::{Value, json};
use std::sync::Arc;

/// A volume that is in one of these states has content that stays what it is.
const SOUND: [&str; 7] =
    ["available", "in-use", "reserved", "attaching", "detaching", "backing-up", "uploading"];

pub async fn backup(
    options: &ActionOptions,
    pick: &Pick,
    around: &Surroundings,
    monitor: Arc<Monitor>,
) -> Result<Done, ActionError> {
    let cloud = open_cloud(options, around, &monitor).await?;
    let volume = picked(&cloud, pick).await?;
    let store = open_store(options, around).await?;
    let saved = save(options, around, &cloud, &store, &volume).await?;
    Ok(done(options, around, &VolumeDescription::of(&volume), &saved))
}

/// A volume that was saved.
pub(in crate::openstack) struct Saved {
    pub report: BackupReport,
    /// What could not be tidied up.
    pub left: Vec<String>,
    way: &'static str,
}

/// Saves a volume as the next level of the chain that `options` name.
pub(in crate::openstack) async fn save(
    options: &ActionOptions,
    around: &Surroundings,
    cloud: &Cloud,
    store: &Arc<dyn Store>,
    volume: &Volume,
) -> Result<Saved, ActionError> {
    check(volume, &cloud.project_id().await?, &action::image_request(options, around)?)?;
    let monitor = cloud.monitor();
    let ((report, left), way) = match in_cluster(around.ceph.as_ref(), monitor, volume).await? {
        Some((ceph, image)) => {
            let kept = Kept::new(&ceph, image, &chain(options, cloud).await?, around.now_secs);
            let key = key::of_volume(cloud, volume).await?;
            let description = key::put(VolumeDescription::of(volume).to_value(), key.as_ref());
            (from_cluster(options, around, (store, monitor), &kept, description).await?, "rbd")
        }
        None => (from_image(options, around, store, cloud, volume).await?, "glance"),
    };
    Ok(Saved { report, left, way })
}

/// Whether it is the project's and its content can be saved.
pub(in crate::openstack) fn check(
    volume: &Volume,
    project: &str,
    request: &ImageRequest,
) -> Result<(), CloudError> {
    let resource = format!("volume {}", volume.id());
    // A login with the role of an administrator sees volumes of all projects.
    if !volume.is_of(project) {
        return Err(CloudError::NotFound { service: "Cinder", what: resource, request: String::new() });
    }
    let wanted = "available or in-use".to_owned();
    if !SOUND.contains(&volume.status()) {
        let state = volume.status().to_owned();
        return Err(CloudError::BadState { resource, state, wanted, detail: String::new() });
    }
    if volume.is_encrypted() && request.encryption.is_none() {
        return Err(CloudError::Choice {
            what: resource,
            cause: "is encrypted by Cinder, so that its key must go into the backup: encrypt that too (encrypt_pass_file or \
                    encrypt_secret_ref), or use mode cindernative"
                .to_owned(),
        });
    }
    restoring::warn_of(volume);
    Ok(())
}

/// Where the volume is in a cluster that this host reaches. Cinder has said before that it is the project's.
pub(in crate::openstack) async fn in_cluster(
    access: Option<&CephAccess>,
    monitor: &Arc<Monitor>,
    volume: &Volume,
) -> Result<Option<(Ceph, RbdImage)>, CloudError> {
    let Some(access) = access else { return Ok(None) };
    let ceph = Ceph::new(access.clone(), monitor.clone());
    let image = ceph.image_of_volume(volume.id());
    let there = ceph.facts(&image).await?.is_some();
    Ok(there.then_some((ceph, image)))
}

/// Names the chain among all that may have a snapshot on one image.
pub(in crate::openstack) async fn chain(
    options: &ActionOptions,
    cloud: &Cloud,
) -> Result<String, CloudError> {
    Ok(format!("{}/{}", cloud.project_id().await?, chain_of(options)))
}

pub(super) fn chain_of(options: &ActionOptions) -> String {
    let parts = [options.storage.kind(), &options.container, &options.hostname, &options.backup_name];
    parts.join("/")
}

async fn from_cluster(
    options: &ActionOptions,
    around: &Surroundings,
    place: (&Arc<dyn Store>, &Arc<Monitor>),
    kept: &Kept,
    description: Value,
) -> Result<(BackupReport, Vec<String>), ActionError> {
    let made = run(options, around, place, kept.opener(description)).await;
    let left = match &made {
        Ok(_) if options.dry_run => kept.forget_fresh().await,
        Ok(_) if options.incremental => kept.settle(Some(&kept.fresh)).await,
        Ok(_) => kept.settle(None).await,
        Err(_) => kept.forget_fresh().await,
    };
    with_leftovers(made, left)
}

async fn from_image(
    options: &ActionOptions,
    around: &Surroundings,
    store: &Arc<dyn Store>,
    cloud: &Cloud,
    volume: &Volume,
) -> Result<(BackupReport, Vec<String>), ActionError> {
    let ledger = Arc::new(Ledger::new(cloud, &options.cloud.temp_prefix, &around.run_id));
    let open = through_image::opener(cloud.clone(), ledger.clone(), volume.clone(), None);
    let made = run(options, around, (store, cloud.monitor()), open).await;
    let left = match &made {
        Ok(_) => ledger.remove_all().await,
        Err(_) => ledger.remove_all_and_lost().await,
    };
    with_leftovers(made, left)
}

async fn run(
    options: &ActionOptions,
    around: &Surroundings,
    (store, monitor): (&Arc<dyn Store>, &Arc<Monitor>),
    open: OpenImage,
) -> Result<BackupReport, ActionError> {
    let request = action::image_request(options, around)?;
    match image::backup(store.clone(), request, open, monitor.clone()).await {
        Err(_) if monitor.is_cancelled() => Err(ActionError::Aborted),
        other => Ok(other?),
    }
}

fn done(
    options: &ActionOptions,
    around: &Surroundings,
    volume: &VolumeDescription,
    Saved { report, left, way }: &Saved,
) -> Done {
    let mut done = action::done(options, around, report);
    done.summary.push(format!("Volume       {} ({} GiB), through {way}", volume.id, volume.size_gib));
    done.summary.extend(left.iter().map(|what| format!("Left behind  {what}")));
    let half = volume.restoring.as_ref();
    done.summary
        .extend(half.map(|backup| format!("WARNING      {}", restoring::is_half(&volume.id, backup))));
    if let Some(Value::Object(metadata)) = done.result.get_mut("backup_metadata") {
        metadata.extend(half.map(|backup| ("half_restored".to_owned(), json!(backup))));
        metadata.insert("cinder_vol_id".into(), json!(volume.id));
        metadata.insert("volume_name".into(), json!(volume.name));
        metadata.insert("volume_size_gib".into(), json!(volume.size_gib));
        metadata.insert("read_through".into(), json!(way));
    }
    done
}

/// Mode rbd: an image of the cluster that belongs to nobody but the operator of this host.
pub async fn backup_rbd(
    options: &ActionOptions,
    (pool, name): (&str, &str),
    around: &Surroundings,
    monitor: Arc<Monitor>,
) -> Result<Done, ActionError> {
    let ceph = Ceph::new(ceph_access(around)?, monitor.clone());
    let image = RbdImage { pool: pool.to_owned(), name: name.to_owned() };
    let description = json!({"kind": "rbd", "image": image});
    let kept = Kept::new(&ceph, image, &chain_of(options), around.now_secs);
    let store = open_store(options, around).await?;
    if !options.dry_run {
        tidy_pool(&ceph, pool, &options.cloud.temp_prefix).await?;
    }
    let (report, left) = from_cluster(options, around, (&store, &monitor), &kept, description).await?;
    let mut done = action::done(options, around, &report);
    done.summary.push(format!("Image        {pool}/{name}"));
    done.summary.extend(left.iter().map(|what| format!("Left behind  {what}")));
    if let Some(Value::Object(metadata)) = done.result.get_mut("backup_metadata") {
        // A restore needs both.
        metadata.insert("rbd_pool".into(), json!(pool));
        metadata.insert("rbd_image".into(), json!(name));
    }
    Ok(done)
}

pub(super) fn ceph_access(around: &Surroundings) -> Result<CephAccess, ActionError> {
    let missing = "mode rbd needs [ceph] conf in the configuration of the agent";
    around.ceph.clone().ok_or_else(|| ActionError::Failed(missing.to_owned()))
}
