//! What an agent that is gone has left: the new volume of a restore, and a backup of which nobody has heard that it is done.
//!
//! Cinder cannot be told to stop. A backup bears the process that waits for it until that has seen its end; so one that was
//! aborted, or whose agent died, is known, and removed when Cinder is done with it.

use super::options::CinderNativeOptions;
use crate::actions::ActionError;
use crate::openstack::cinder::backups::{Backups, CinderBackup};
use crate::openstack::cloud::Cloud;
use crate::openstack::temporary::is_left;
use crate::openstack::volume::tidy;
use crate::openstack::waiting::{Look, Wanted};
use crate::options::typed::ActionOptions;

pub async fn remove(
    cloud: &Cloud,
    options: &ActionOptions,
    native: &CinderNativeOptions,
) -> Result<(), ActionError> {
    if let Some(volume_id) = native.volume_id.as_deref() {
        let backups = Backups::new(cloud);
        let now_secs = chrono::Utc::now().timestamp();
        for backup in backups.list(volume_id).await? {
            if is_being_made(&backup) && is_left(&backup.metadata, now_secs - backup.created_secs) {
                // Cinder would not begin another one of the volume meanwhile.
                rests(cloud, &backup).await?;
            }
        }
    }
    tidy(cloud, &options.cloud.temp_prefix).await
}

fn is_being_made(backup: &CinderBackup) -> bool {
    matches!(backup.status.as_str(), "creating" | "backing-up")
}

async fn rests(cloud: &Cloud, backup: &CinderBackup) -> Result<(), ActionError> {
    tracing::warn!(
        "Cinder backup {} was left by an agent that is gone; waiting until Cinder is done",
        backup.id
    );
    let wanted = Wanted::new(format!("Cinder backup {}", backup.id), "at rest").moving(backup.size_gib);
    let look = async || {
        Ok(match Backups::new(cloud).get(&backup.id).await? {
            Some(found) if is_being_made(&found) => Look::NotYet(found.status),
            _ => Look::Ready(()),
        })
    };
    Ok(cloud.wait_for(wanted, look).await?)
}
