//! What an agent can do, one file for each action. They know options and stores, not buses or jobs.

mod admin;
mod adopt;
pub(crate) mod backup;
pub(crate) mod chains;
pub(crate) mod commands;
mod exec;
mod hold;
mod hooks;
mod info;
mod mirror;
mod recover;
mod restore;
mod snapshot;
mod stream;
mod verify;

use crate::openstack::cindernative;
use crate::openstack::error::CloudError;
use crate::openstack::project::options::ProjectOptions;
use crate::openstack::{image, project, secret, server, volume};
use crate::options::medium::Medium;
use crate::options::typed::{ActionKind, ActionOptions};
use crate::storages::{StorageError, Surroundings};
use freezer_storage::StoreError;
use freezer_vault::{Monitor, VaultError};
use serde_json::{Map, Value, json};
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
    #[error("{}", .0.text)]
    Damaged(Box<Damage>),
    #[error("aborted")]
    Aborted,
}

/// What a check has found: it did its work, and what it is about does not hold.
#[derive(Debug)]
pub struct Damage {
    pub text: String,
    /// As of [`Done`].
    pub summary: Vec<String>,
    pub result: Map<String, Value>,
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
        medium if medium.is_archive() => backup::backup(options, around, monitor).await,
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
        medium if medium.is_archive() => restore::restore(options, around, monitor).await,
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
    for note in &options.notes {
        tracing::warn!("{note}");
    }
    let fetched;
    let options = match &options.encrypt_secret {
        // For nothing where nobody asks for it: Cinder's own backups are Cinder's to encrypt.
        Some(id) if options.cinder_native.is_none() => {
            let secret = secret::pass_phrase(options, id, surroundings, monitor.clone()).await?;
            fetched = ActionOptions { secret: Some(secret), ..options.clone() };
            &fetched
        }
        _ => options,
    };
    let action = act(options, surroundings, monitor.clone());
    let mut done = hooks::around(options, (&monitor, &surroundings.trail), action).await;
    if let (Ok(done), false) = (&mut done, options.notes.is_empty()) {
        done.summary.extend(options.notes.iter().map(|note| format!("WARNING      {note}")));
        done.result.insert("warnings".into(), json!(options.notes));
    }
    done
}

async fn act(
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
        ActionKind::Backup | ActionKind::Exec => act_on_one(options, surroundings, monitor).await,
        _ if options.storages.is_empty() => act_on_one(options, surroundings, monitor).await,
        ActionKind::Restore => mirror::restore(options, surroundings, monitor).await,
        _ => mirror::on_each(options, surroundings, monitor).await,
    };
    match done {
        Err(ActionError::Vault(VaultError::Cancelled | VaultError::Store(StoreError::Cancelled)))
        | Err(ActionError::Cloud(CloudError::Aborted)) => Err(ActionError::Aborted),
        other => other,
    }
}

/// The action as it is on one storage; a backup is for all of them.
async fn act_on_one(
    options: &ActionOptions,
    surroundings: &Surroundings,
    monitor: Arc<Monitor>,
) -> Result<Done, ActionError> {
    match options.action {
        ActionKind::Backup => save(options, surroundings, monitor.clone()).await,
        ActionKind::Restore => bring_back(options, surroundings, monitor.clone()).await,
        ActionKind::Admin => admin::admin(options, surroundings, monitor.clone()).await,
        ActionKind::Verify => verify::verify(options, surroundings, monitor.clone()).await,
        ActionKind::Hold | ActionKind::Release => hold::hold(options, surroundings).await,
        ActionKind::Adopt => adopt::adopt(options, surroundings).await,
        ActionKind::Info => info::info(options, surroundings).await,
        ActionKind::Exec => exec::exec(options, surroundings, &monitor).await,
    }
}
