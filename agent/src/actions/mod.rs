//! What an agent can do, one file for each action. They know options and stores, not buses or jobs.

mod admin;
pub(crate) mod backup;
mod exec;
mod info;
mod restore;

use crate::openstack::cindernative;
use crate::openstack::error::CloudError;
use crate::openstack::project::options::ProjectOptions;
use crate::openstack::{image, project, server, volume};
use crate::options::medium::Medium;
use crate::options::typed::{ActionKind, ActionOptions};
use crate::storages::{StorageError, Surroundings};
use freezer_storage::StoreError;
use freezer_vault::{Monitor, VaultError};
use serde_json::{Map, Value};
use std::sync::Arc;

/// How an action ended that did not fail.
#[derive(Debug)]
pub struct Done {
    /// For machines: `backup_metadata`, totals, lists.
    pub result: Map<String, Value>,
    /// For people: lines that say what happened.
    pub summary: Vec<String>,
    /// Something was saved or restored, but not everything.
    pub partial: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum ActionError {
    #[error(transparent)]
    Vault(#[from] VaultError),
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Cloud(#[from] CloudError),
    #[error("{0}")]
    Failed(String),
    #[error("aborted")]
    Aborted,
}

impl From<StoreError> for ActionError {
    fn from(error: StoreError) -> Self {
        Self::Vault(VaultError::Store(error))
    }
}

async fn save(
    options: &ActionOptions,
    around: &Surroundings,
    monitor: Arc<Monitor>,
) -> Result<Done, ActionError> {
    match &options.medium {
        Medium::Files | Medium::ControlPlane => backup::backup(options, around, monitor).await,
        Medium::Volume(pick) => volume::backup(options, pick, around, monitor).await,
        Medium::Images(pick) => image::backup(options, pick, around, monitor).await,
        Medium::Servers(pick) => server::backup(options, pick, around, monitor).await,
        Medium::Rbd { pool, image } => volume::backup_rbd(options, (pool, image), around, monitor).await,
        Medium::Project => project::backup(options, &wanted(options)?, around, monitor).await,
        other => Err(not_here(other)),
    }
}

/// What mode project was told.
fn wanted(options: &ActionOptions) -> Result<ProjectOptions, ActionError> {
    let missing = || ActionError::Failed("mode project was given no options".to_owned());
    options.project.clone().ok_or_else(missing)
}

async fn bring_back(
    options: &ActionOptions,
    around: &Surroundings,
    monitor: Arc<Monitor>,
) -> Result<Done, ActionError> {
    match &options.medium {
        Medium::Files | Medium::ControlPlane => restore::restore(options, around, monitor).await,
        Medium::Volume(pick) => volume::restore(options, pick, around, monitor).await,
        Medium::Images(pick) => image::restore(options, pick, around, monitor).await,
        Medium::Servers(pick) => server::restore(options, pick, around, monitor).await,
        Medium::Rbd { pool, image } => volume::restore_rbd(options, (pool, image), around, monitor).await,
        Medium::Project => project::restore(options, &wanted(options)?, around, monitor).await,
        other => Err(not_here(other)),
    }
}

fn not_here(medium: &Medium) -> ActionError {
    ActionError::Failed(format!("mode {} is not available in this agent", medium.mode()))
}

/// Does the action of `options`. `surroundings` hold what is not the action's own: credentials, limits, time.
pub async fn perform(
    options: &ActionOptions,
    surroundings: &Surroundings,
    monitor: Arc<Monitor>,
) -> Result<Done, ActionError> {
    if let Some(native) = &options.cinder_native {
        return match cindernative::perform(options, native, surroundings, monitor).await {
            Err(ActionError::Cloud(CloudError::Aborted)) => Err(ActionError::Aborted),
            other => other,
        };
    }
    let done = match options.action {
        ActionKind::Backup => save(options, surroundings, monitor.clone()).await,
        ActionKind::Restore => bring_back(options, surroundings, monitor.clone()).await,
        ActionKind::Admin => admin::admin(options, surroundings, monitor.clone()).await,
        ActionKind::Info => info::info(options, surroundings).await,
        ActionKind::Exec => exec::exec(options, &monitor).await,
    };
    match done {
        Err(ActionError::Vault(VaultError::Cancelled | VaultError::Store(StoreError::Cancelled)))
        | Err(ActionError::Cloud(CloudError::Aborted)) => Err(ActionError::Aborted),
        other => other,
    }
}
