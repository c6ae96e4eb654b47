//! Mode cindernative: Cinder's own backup service, orchestrated. Data never pass through the agent.

mod backup;
mod chains;
mod kind;
mod leftover;
pub mod options;
mod plan;
mod restore;
mod rotate;

use crate::actions::{ActionError, Done};
use crate::openstack::cinder::backups::Backups;
use crate::openstack::cinder::volumes::{self, Volume};
use crate::openstack::cloud::Cloud;
use crate::openstack::error::CloudError;
use crate::options::typed::{ActionKind, ActionOptions};
use crate::storages::{Surroundings, cloud_session};
use freezer_vault::Monitor;
use options::CinderNativeOptions;
use std::sync::Arc;

/// One action of this mode and all it works with.
pub struct CinderNative<'a> {
    pub options: &'a ActionOptions,
    pub native: &'a CinderNativeOptions,
    pub around: &'a Surroundings,
    pub cloud: Cloud,
}

pub async fn perform(
    options: &ActionOptions,
    native: &CinderNativeOptions,
    around: &Surroundings,
    monitor: Arc<Monitor>,
) -> Result<Done, ActionError> {
    let session = cloud_session(options, around).await?;
    let cloud = Cloud::new(session, monitor, native.patience_secs).with_trail(&around.trail);
    leftover::remove(&cloud, options, native).await?;
    let action = CinderNative { options, native, around, cloud };
    match options.action {
        ActionKind::Backup => backup::backup(&action).await,
        ActionKind::Restore => restore::restore(&action).await,
        ActionKind::Admin => rotate::rotate(&action).await,
        ActionKind::Verify
        | ActionKind::Hold
        | ActionKind::Release
        | ActionKind::Adopt
        | ActionKind::Info
        | ActionKind::Exec => {
            Err(action.says(format!("action {} has no mode cindernative", options.action.as_str())))
        }
    }
}

impl CinderNative<'_> {
    fn backups(&self) -> Backups<'_> {
        Backups::new(&self.cloud)
    }

    /// None when this project has no such volume; an administrator's login is shown those of all projects.
    async fn volume(&self, id: &str) -> Result<Option<Volume>, CloudError> {
        match volumes::show(&self.cloud, id).await {
            Ok(volume) => {
                let is_own = volume.is_of(&self.cloud.project_id().await?);
                Ok(is_own.then_some(volume))
            }
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn says(&self, text: impl Into<String>) -> ActionError {
        ActionError::Failed(text.into())
    }

    /// The volume of the action; its options were checked to have one.
    fn volume_id(&self) -> Result<&str, ActionError> {
        self.native.volume_id.as_deref().ok_or_else(|| self.says("cindernative_vol_id is not set"))
    }

    fn unknown_volume(&self, id: &str) -> ActionError {
        self.says(format!(
            "volume {id} (cindernative_vol_id) is not in this project: see 'openstack volume list'"
        ))
    }

    /// The container, from its template; none leaves it to Cinder.
    async fn container(&self) -> Result<Option<String>, ActionError> {
        let template = &self.native.container;
        if template.is_empty() {
            return Ok(None);
        }
        let project = self.cloud.project_id().await?;
        let name = template
            .replace("{project_id}", &project)
            .replace("{volume_id}", self.native.volume_id.as_deref().unwrap_or_default())
            .replace("{backup_name}", &self.options.backup_name);
        if name.contains('/') || name.len() > 255 {
            let text = format!(
                "container '{name}' (from cindernative_backup_container) must be without '/' and at most 255 bytes long"
            );
            return Err(self.says(text));
        }
        Ok(Some(name))
    }
}
