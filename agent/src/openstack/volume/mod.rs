//! Mode cinder and mode rbd: a volume's content in our format.
//!
//! Through Glance every back end of Cinder works: snapshot, volume from it, image of that, stream. Where this host reaches
//! the Ceph cluster that holds the volume, the cluster is read itself, and tells what has changed.

mod backup;
mod cluster;
mod description;
mod exchange;
mod forget;
mod key;
mod leftover;
mod new_volume;
mod replace;
mod restore;
mod restore_rbd;
mod restoring;
mod through_image;

pub(super) use backup::save;
pub use backup::{backup, backup_rbd};
pub(super) use backup::{chain, check, in_cluster};
pub(super) use cluster::Kept;
pub(super) use description::VolumeDescription;
pub(super) use exchange::finish_left;
pub use forget::Forgetting;
pub(super) use key::{of_volume as key_of_volume, put as put_key};
pub(super) use new_volume::NewVolume;
pub use restore::restore;
pub(super) use restore::restore_one;
pub(super) use restore::{feed, request as restore_request};
pub use restore_rbd::restore as restore_rbd;
pub(super) use restoring::warn_of as warn_of_half;
pub(super) use through_image::{opener as snapshot_opener, snapshot_of};

use super::cinder::volumes;
use super::cloud::Cloud;
use super::error::CloudError;
use super::temporary::remove_leftovers;
use crate::actions::ActionError;
use crate::options::medium::Pick;
use crate::options::typed::ActionOptions;
use crate::storages::{Surroundings, cloud_session};
use freezer_vault::{Monitor, VaultError};
use std::sync::Arc;

/// The services under the action's login; what dead agents left in its project is removed first.
pub async fn open_cloud(
    options: &ActionOptions,
    around: &Surroundings,
    monitor: &Arc<Monitor>,
) -> Result<Cloud, ActionError> {
    let session = cloud_session(options, around).await?;
    let cloud = Cloud::new(session, monitor.clone(), options.cloud.timeout_secs).with_trail(&around.trail);
    tidy(&cloud, &options.cloud.temp_prefix).await?;
    Ok(cloud)
}

/// Goes on with what dead agents had begun to exchange in the project of the login, and removes what they left there.
pub async fn tidy(cloud: &Cloud, prefix: &str) -> Result<(), ActionError> {
    match finish_left(cloud).await {
        Ok(()) => {}
        Err(CloudError::Aborted) => return Err(ActionError::Aborted),
        Err(error) => {
            tracing::warn!("looking for exchanges of volumes that agents which are gone have begun: {error}");
        }
    }
    match remove_leftovers(cloud, prefix).await {
        Ok((removed, left)) => {
            for what in removed {
                tracing::warn!("{what} was left by an agent that is gone; removed");
            }
            for what in left {
                tracing::warn!("left by an agent that is gone, and still there: {what}");
            }
        }
        Err(CloudError::Aborted) => return Err(ActionError::Aborted),
        Err(error) => tracing::warn!("looking for what agents that are gone have left: {error}"),
    }
    Ok(())
}

/// The one volume the options name.
async fn picked(cloud: &Cloud, pick: &Pick) -> Result<volumes::Volume, CloudError> {
    match pick {
        Pick::Id(id) => volumes::show(cloud, id).await,
        Pick::Name(name) => volumes::find(cloud, name).await,
        Pick::Unnamed => Err(CloudError::Choice {
            what: "the volume".to_owned(),
            cause: "is not named; give cinder_vol_id or cinder_vol_name".to_owned(),
        }),
    }
}

/// A failure of the cloud as that of a backup's source. An abort stays one.
pub(super) fn source_failed(error: CloudError) -> VaultError {
    match error {
        CloudError::Aborted => VaultError::Cancelled,
        error => VaultError::Source { cause: error.to_string() },
    }
}

/// What an action answers, and what it could not tidy up: said, never hidden behind the outcome.
pub(super) fn with_leftovers<T>(
    done: Result<T, ActionError>,
    left: Vec<String>,
) -> Result<(T, Vec<String>), ActionError> {
    if left.is_empty() {
        return done.map(|done| (done, left));
    }
    for what in &left {
        tracing::error!("temporary resource stays behind: {what}");
    }
    match done {
        Ok(done) => Ok((done, left)),
        Err(ActionError::Aborted) => Err(ActionError::Aborted),
        Err(error) => Err(ActionError::Failed(format!("{error}; left behind: {}", left.join("; ")))),
    }
}
