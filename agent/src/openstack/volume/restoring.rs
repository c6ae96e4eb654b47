//! A volume that a restore is writing over. A mark stands in its metadata from before the first byte until it is whole: Cinder
//! calls it `available` all the time, also when the agent died in the middle.

use crate::actions::ActionError;
use crate::openstack::cinder::volume_actions;
use crate::openstack::cinder::volumes::Volume;
use crate::openstack::cloud::Cloud;
use crate::openstack::error::CloudError;
use freezer_vault::Monitor;
use freezer_vault::image::ImagePlan;
use serde_json::{Value, json};

/// Metadata key; its value tells the backup: `<time> <host>_<name>`.
pub const KEY: &str = "freezer_restoring";
/// What Cinder takes as a value of metadata.
const VALUE_CHARS: usize = 255;

/// The backup that a restore was writing over the volume when it ended.
pub fn of(volume: &Volume) -> Option<String> {
    volume.map("metadata").get(KEY).and_then(Value::as_str).map(str::to_owned)
}

pub async fn mark(cloud: &Cloud, id: &str, plan: &ImagePlan) -> Result<(), CloudError> {
    let backup: String = format!("{} {}", plan.timestamp, plan.hbn).chars().take(VALUE_CHARS).collect();
    volume_actions::add_metadata(cloud, id, &json!({ KEY: backup })).await
}

/// It is whole, or nothing was written. Answers what is to be told where the mark stays.
pub async fn clear(cloud: &Cloud, id: &str) -> Vec<String> {
    match volume_actions::remove_metadata(&cloud.undisturbed(), id, KEY).await {
        Ok(()) => Vec::new(),
        Err(error) => vec![format!(
            "volume {id} is whole, and still bears the mark {KEY} ({error}); remove it: openstack volume unset --property {KEY} {id}"
        )],
    }
}

/// What a failure in the middle has left, beside its cause. An abort tells no cause: the log has it then.
pub fn broken_off(error: ActionError, id: &str, monitor: &Monitor) -> ActionError {
    let state = format!(
        "volume {id} was written over in part and is neither what it was nor the backup (its metadata {KEY} tell so): restore it again \
         before anybody uses it"
    );
    if monitor.is_cancelled() {
        tracing::error!("{state}");
        return ActionError::Aborted;
    }
    ActionError::Failed(format!("{error}; {state}"))
}

/// Notes in the log that a volume which is saved now bears the mark.
pub fn warn_of(volume: &Volume) {
    if let Some(backup) = of(volume) {
        tracing::warn!("{}", is_half(volume.id(), &backup));
    }
}

/// For who saves a volume that bears the mark, or gets it back from such a backup.
pub fn is_half(id: &str, backup: &str) -> String {
    format!(
        "a restore of the backup '{backup}' over volume {id} had broken off when this was saved: its content is half that, half older"
    )
}
