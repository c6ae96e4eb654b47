//! Bringing a volume back: into a new one, over the old one, or a new one attached in the old one's place.
//!
//! The new volume is removed when its content could not be brought in. The old one is written to only when it is not
//! attached, and only after the backup was found whole enough to be read; while it is neither the old nor the new, it is marked.

use super::description::VolumeDescription;
use super::new_volume::{GIB, NewVolume};
use super::{key, open_cloud, replace, restoring, with_leftovers};
use crate::actions::backup::people;
use crate::actions::{ActionError, Done};
use crate::openstack::ceph::{Ceph, RbdImage, zeros_diff};
use crate::openstack::cinder::{volume_actions, volumes};
use crate::openstack::cloud::Cloud;
use crate::openstack::error::CloudError;
use crate::openstack::temporary::{Ledger, Temporary, written_over};
use crate::options::cloud::VolumeTarget;
use crate::options::medium::Pick;
use crate::options::typed::ActionOptions;
use crate::storages::{Surroundings, open_store};
use bytes::Bytes;
use freezer_storage::Store;
use freezer_vault::Monitor;
use freezer_vault::image::{self, ImageOutput, ImagePlan, ImageReport, ImageRestoreRequest};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Everything a restore works with.
struct Restore {
    cloud: Cloud,
    new: NewVolume,
}

pub async fn restore(
    options: &ActionOptions,
    pick: &Pick,
    around: &Surroundings,
    monitor: Arc<Monitor>,
) -> Result<Done, ActionError> {
    let store = open_store(options, around).await?;
    let plan = image::plan(&store, &request(options)?).await?;
    let saved = VolumeDescription::from_value(&plan.description).ok_or_else(|| {
        ActionError::Failed(format!("backup {} at {} is not that of a volume", plan.hbn, plan.timestamp))
    })?;
    if let Pick::Id(id) = pick
        && *id != saved.id
    {
        return Err(ActionError::Failed(format!(
            "backup {} is of volume {} and not of {id}; leave cinder_vol_id out, or name the right backup",
            plan.hbn, saved.id
        )));
    }
    if options.dry_run {
        return Ok(planned(&plan, &saved));
    }
    let cloud = open_cloud(options, around, &monitor).await?;
    let work = Restore::of(options, around, &cloud, &store, (plan, saved));
    bring(&work, options.cloud.volume_target)
        .await
        .map(|(id, report, notes)| done(&work, &id, report.as_ref(), notes))
}

/// A volume of several that come back together, as a new one: its id and what could not be restored of it. `marks` are put
/// into its metadata.
pub(in crate::openstack) async fn restore_one(
    options: &ActionOptions,
    around: &Surroundings,
    cloud: &Cloud,
    store: &Arc<dyn Store>,
    marks: &Map<String, Value>,
) -> Result<(String, Vec<String>), ActionError> {
    let plan = image::plan(store, &request(options)?).await?;
    let mut saved = VolumeDescription::from_value(&plan.description).ok_or_else(|| {
        ActionError::Failed(format!("backup {} at {} is not that of a volume", plan.hbn, plan.timestamp))
    })?;
    saved.metadata.extend(marks.clone());
    let types = options.project.as_ref().map(|project| &project.volume_types);
    if let Some(other) = saved.volume_type.as_ref().and_then(|old| types?.get(old)) {
        saved.volume_type = Some(other.clone());
    }
    let work = Restore::of(options, around, cloud, store, (plan, saved));
    bring(&work, options.cloud.volume_target).await.map(|(id, _, notes)| (id, notes))
}

/// Does it, and tidies up however it ends.
async fn bring(work: &Restore, target: VolumeTarget) -> Result<Made, ActionError> {
    let made = match target {
        VolumeTarget::New => work.restore_new().await,
        VolumeTarget::Over => work.over_old().await,
        VolumeTarget::Replace => work.in_place_of_old().await,
    };
    let left = match &made {
        Ok(_) => work.new.ledger.remove_all().await,
        Err(_) => work.new.ledger.remove_all_and_lost().await,
    };
    let made = match made {
        Err(_) if work.new.monitor.is_cancelled() => Err(ActionError::Aborted),
        other => other,
    };
    let ((volume_id, report, notes), left) = with_leftovers(made, left)?;
    let saved = &work.new.saved;
    let half = saved.restoring.as_ref().map(|backup| restoring::is_half(&saved.id, backup));
    Ok((volume_id, report, notes.into_iter().chain(half).chain(left).collect()))
}

pub(in crate::openstack) fn request(options: &ActionOptions) -> Result<ImageRestoreRequest, ActionError> {
    let mut request = ImageRestoreRequest::new(&options.hostname, &options.backup_name);
    request.not_after_secs = options.restore_from_date;
    request.pass_phrase = options.pass_phrase()?;
    Ok(request)
}

fn name(options: &ActionOptions, plan: &ImagePlan, saved: &VolumeDescription) -> String {
    let old = if saved.name.is_empty() { &options.backup_name } else { &saved.name };
    options.cloud.restore_name.clone().unwrap_or_else(|| format!("{old}~{}", plan.timestamp))
}

/// A volume, what was brought into it (none: an earlier attempt of the same run has done that), and notes.
pub(super) type Made = (String, Option<ImageReport>, Vec<String>);

impl Restore {
    fn of(
        options: &ActionOptions,
        around: &Surroundings,
        cloud: &Cloud,
        store: &Arc<dyn Store>,
        (plan, saved): (ImagePlan, VolumeDescription),
    ) -> Self {
        let ledger = Arc::new(Ledger::new(cloud, &options.cloud.temp_prefix, &around.run_id));
        let monitor = cloud.monitor().clone();
        let ceph = around.ceph.clone().map(|access| Ceph::new(access, monitor.clone()));
        let (name, cloud) = (name(options, &plan, &saved), cloud.clone());
        let new = NewVolume {
            cloud: cloud.clone(),
            monitor,
            store: store.clone(),
            ledger,
            ceph,
            plan,
            saved,
            name,
        };
        Self { cloud, new }
    }

    async fn restore_new(&self) -> Result<Made, ActionError> {
        let (id, report) = self.new.make().await?;
        let notes = self.new.prepare(&id).await?;
        self.new.dress(&id).await?;
        self.new.ledger.release(&Temporary::Volume(id.clone()));
        Ok((id, Some(report), notes))
    }

    /// The volume that was saved, as it is now.
    async fn old(&self) -> Result<volumes::Volume, CloudError> {
        let old = volumes::show(&self.cloud, &self.new.saved.id).await?;
        if old.is_of(&self.cloud.project_id().await?) {
            return Ok(old);
        }
        let what = format!("volume {}", old.id());
        Err(CloudError::NotFound { service: "Cinder", what, request: String::new() })
    }

    async fn over_old(&self) -> Result<Made, ActionError> {
        let old = self.old().await?;
        if old.status() != "available" {
            return Err(not_available(&old));
        }
        let id = old.id().to_owned();
        let ceph = match &self.new.ceph {
            Some(ceph) => ceph.facts(&ceph.image_of_volume(&id)).await?.map(|facts| (ceph, facts.size_bytes)),
            None => None,
        };
        if ceph.is_none() && old.is_encrypted() {
            return Err(ActionError::Failed(format!(
                "volume {id} is encrypted, and Cinder would encrypt what is written over it once more: restore into a new volume"
            )));
        }
        // The head that encryption needs may stand beside the size that Cinder tells.
        let has = ceph.map_or(old.size_gib().saturating_mul(GIB), |(_, size_bytes)| size_bytes);
        if has < self.new.plan.size_bytes {
            return Err(ActionError::Failed(format!(
                "volume {} has {} GiB, the backup needs {}; extend it first",
                old.id(),
                old.size_gib(),
                self.new.gib()
            )));
        }
        self.has_its_key(&old).await?;
        let (report, mut notes) = match ceph {
            Some((ceph, _)) => {
                restoring::mark(&self.cloud, &id, &self.new.plan).await?;
                let written = self.over_in_cluster(ceph, &ceph.image_of_volume(&id), has).await;
                let report = written.map_err(|error| restoring::broken_off(error, &id, &self.new.monitor))?;
                (report, Vec::new())
            }
            None => {
                let name = self.new.ledger.name(&written_over(&id));
                let (image_id, report) = self.new.upload(&name, &json!({})).await?;
                restoring::mark(&self.cloud, &id, &self.new.plan).await?;
                self.over_by_cinder(&old, &image_id).await?;
                (report, self.as_it_was(&old).await?)
            }
        };
        notes.extend(restoring::clear(&self.cloud, &id).await);
        Ok((id, Some(report), notes))
    }

    async fn over_in_cluster(
        &self,
        ceph: &Ceph,
        image: &RbdImage,
        has: u64,
    ) -> Result<ImageReport, ActionError> {
        let zeros = Ok(Bytes::from(zeros_diff(has)));
        ceph.import_diff(image, futures_util::stream::iter([zeros])).await?;
        let report = self.new.import(ceph, image).await?;
        if has != self.new.plan.size_bytes {
            ceph.resize(image, has).await?;
        }
        Ok(report)
    }

    async fn over_by_cinder(&self, old: &volumes::Volume, image_id: &str) -> Result<(), ActionError> {
        let id = old.id();
        let broken_off = |error: CloudError| {
            // Unless Cinder has said that it failed, it goes on, and needs the image.
            if !matches!(error, CloudError::BadState { .. }) {
                self.new.ledger.leave(&Temporary::Image(image_id.to_owned()));
            }
            restoring::broken_off(error.into(), id, &self.new.monitor)
        };
        match volume_actions::reimage(&self.cloud, id, image_id).await {
            Err(error) if error.is_refusal() => {
                // It is what it was: whole, or what an earlier restore has left of it.
                if restoring::of(old).is_none() {
                    for note in restoring::clear(&self.cloud, id).await {
                        tracing::error!("{note}");
                    }
                }
                return Err(error.into());
            }
            other => other.map_err(broken_off)?,
        }
        let waited = volumes::wait(&self.cloud, id, &["available"], self.new.gib()).await;
        waited.map(|_| ()).map_err(broken_off)
    }

    /// Cinder takes a volume for one of the image that it has written over it: bootable, and with that image's metadata.
    async fn as_it_was(&self, old: &volumes::Volume) -> Result<Vec<String>, ActionError> {
        let id = old.id();
        let saved = &self.new.saved;
        let (is_bootable, wanted) = match restoring::of(old) {
            None => (old.is_bootable(), old.map("volume_image_metadata")),
            // It bears what an earlier restore has left of an image.
            Some(_) => (saved.is_bootable, saved.image_metadata.clone()),
        };
        let work = async {
            self.new.strip(id, &wanted).await?;
            self.new.flag(id, is_bootable, wanted.clone()).await
        };
        work.await.map_err(|error: CloudError| match error {
            CloudError::Aborted => ActionError::Aborted,
            error => ActionError::Failed(format!(
                "{error}; the content of volume {id} is restored, its bootable flag and image metadata are not: restore it again"
            )),
        })
    }

    /// What is written over a volume is read with the key that the volume has now.
    async fn has_its_key(&self, old: &volumes::Volume) -> Result<(), ActionError> {
        let was = key::get(&self.new.plan.description);
        if was.is_none() && !old.is_encrypted() {
            return Ok(());
        }
        if was.is_some() && was == key::of_volume(&self.cloud, old).await? {
            return Ok(());
        }
        Err(ActionError::Failed(format!(
            "volume {} is encrypted otherwise than the backup; restore it into a new volume",
            old.id()
        )))
    }

    async fn in_place_of_old(&self) -> Result<Made, ActionError> {
        match replace::former(&self.new).await? {
            Some(made) => Ok(made),
            None => replace::replace(&self.new, &self.old().await?).await,
        }
    }
}

/// Why a volume is not written over, and what to do.
fn not_available(old: &volumes::Volume) -> ActionError {
    let next = match old.status() {
        "downloading" => "Cinder still writes an image over it; wait until it is available",
        "error" => {
            "if a restore over it failed in Cinder, have an administrator set it available (openstack volume set --state available) and \
             restore again; or restore into a new volume"
        }
        _ => "detach it first, or restore with cinder_restore_to = replace",
    };
    ActionError::Failed(format!("volume {} is {} and not available: {next}", old.id(), old.status()))
}

/// Reads the backup and has it taken, both at once. The taker's failure says more than the reader's broken pipe.
pub(in crate::openstack) async fn feed(
    store: &Arc<dyn Store>,
    plan: &ImagePlan,
    output: ImageOutput,
    monitor: &Arc<Monitor>,
    taking: impl Future<Output = Result<(), CloudError>>,
) -> Result<ImageReport, ActionError> {
    let reading = image::read(store.clone(), plan.clone(), output, monitor.clone());
    let (read, taken) = tokio::join!(reading, taking);
    match (read, taken) {
        (Ok(report), Ok(())) => Ok(report),
        (Err(error), Ok(())) => Err(error.into()),
        (Ok(_), Err(error)) => Err(error.into()),
        (Err(read), Err(taken)) => Err(match read {
            freezer_vault::VaultError::Source { .. } => taken.into(),
            other => other.into(),
        }),
    }
}

fn planned(plan: &ImagePlan, saved: &VolumeDescription) -> Done {
    let summary = vec![
        format!("Would restore {} as of {} from {} levels", plan.hbn, plan.timestamp, plan.levels.len()),
        format!("Volume       {} '{}', {}", saved.id, saved.name, people(plan.size_bytes)),
        "Dry run      nothing was written".to_owned(),
    ];
    let mut result = Map::new();
    result.insert("restore".into(), json!({"dry_run": true, "timestamp": plan.timestamp, "volume": saved}));
    Done { result, summary, partial: false }
}

fn done(work: &Restore, volume_id: &str, report: Option<&ImageReport>, notes: Vec<String>) -> Done {
    let mut restored = json!({"volume_id": volume_id, "volume_of_backup": work.new.saved.id, "notes": notes});
    let mut summary = match report {
        Some(report) => vec![
            format!(
                "Restored     {} as of {} from {} levels",
                report.hbn,
                report.timestamp,
                report.levels.len()
            ),
            format!(
                "Volume       {volume_id} ({}, {} of data)",
                people(report.size_bytes),
                people(report.data_bytes)
            ),
        ],
        None => vec![format!("Volume       {volume_id}, restored by an earlier attempt of this run")],
    };
    if let (Some(restored), Some(report)) = (restored.as_object_mut(), report) {
        restored.insert("report".into(), json!(report));
    }
    let mut result = Map::new();
    result.insert("restore".into(), restored);
    summary.extend(work.new.plan.warnings.iter().chain(&notes).map(|note| format!("Note         {note}")));
    Done { result, summary, partial: false }
}
