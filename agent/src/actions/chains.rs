//! Which chains of folders an action is about, by its name or without one.

use crate::options::medium::Medium;
use crate::options::typed::ActionOptions;
use freezer_model::naming;
use freezer_storage::Store;
use freezer_vault::{Engine, Hbn, VaultError, catalogue};
use std::sync::Arc;

/// Whether it is about all folders of the host that have no given names.
pub(super) fn is_about_all(options: &ActionOptions) -> bool {
    options.is_default_name && options.medium == Medium::Files && options.path_to_backup.is_none()
}

/// Those with a backup, the action's own name first. Without name and folder: all folders of the host that nobody named.
pub(super) async fn with_backups(
    options: &ActionOptions,
    store: &Arc<dyn Store>,
) -> Result<Vec<Hbn>, VaultError> {
    let mut found = Vec::new();
    for hbn in candidates(options, store).await? {
        if catalogue::list(store, &hbn).await?.has_backup() {
            found.push(hbn);
        }
    }
    Ok(found)
}

async fn candidates(options: &ActionOptions, store: &Arc<dyn Store>) -> Result<Vec<Hbn>, VaultError> {
    let host = &options.hostname;
    let names = std::iter::once(&options.backup_name).chain(&options.also_named);
    let mut all: Vec<Hbn> = names.map(|name| Hbn::of(Engine::Tar, host, name)).collect::<Result<_, _>>()?;
    if is_about_all(options) {
        let beginning = format!("{host}_{}_", naming::of_host(host));
        for hbn in catalogue::list_beginning(store, Engine::Tar, &beginning).await? {
            let name = own_name(options, hbn.as_str()).unwrap_or_default();
            if naming::is_of_folder(host, name) && !all.contains(&hbn) {
                all.push(hbn);
            }
        }
    }
    Ok(all)
}

/// The part of `<hostname>_<backup_name>` that names the backup.
pub(crate) fn own_name<'a>(options: &ActionOptions, hbn: &'a str) -> Option<&'a str> {
    hbn.strip_prefix(options.hostname.as_str())?.strip_prefix('_')
}

/// What rotation looks at: a given name alone; without one also the names that the same backups may have had before.
pub(super) async fn rotated(options: &ActionOptions, store: &Arc<dyn Store>) -> Result<Vec<Hbn>, VaultError> {
    let own = Hbn::of(Engine::Tar, &options.hostname, &options.backup_name)?;
    if !options.is_default_name {
        return Ok(vec![own]);
    }
    let mut found = with_backups(options, store).await?;
    if !found.contains(&own) && !is_about_all(options) {
        found.insert(0, own);
    }
    Ok(found)
}

/// What is verified: all that is meant, or what a restore would take.
pub(super) async fn verified(
    options: &ActionOptions,
    store: &Arc<dyn Store>,
) -> Result<Vec<Hbn>, VaultError> {
    let mut found = with_backups(options, store).await?;
    if found.is_empty() {
        return Ok(vec![Hbn::of(Engine::Tar, &options.hostname, &options.backup_name)?]);
    }
    if !is_about_all(options) {
        found.truncate(1);
    }
    Ok(found)
}
