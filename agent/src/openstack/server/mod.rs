//! Mode nova: a server with all its disks and everything it is connected with.
//!
//! Each server is a set: its disks are members, each in a chain of its own, and the set's document says how they belong
//! together. [`save`] and [`bring_back`] work with one server and know nothing of an action's options.

mod backup;
mod boot;
mod bring_back;
mod describe;
pub mod description;
mod freeze;
mod pick;
mod place;
mod plan;
mod plug;
mod restore;
mod save;

pub use backup::backup;
pub use bring_back::{BringingBack, DiskLevel, Given, Restored, Wishes, bring_back};
pub use describe::boots_from;
pub use place::{NetworkChoice, find_flavor};
pub use restore::restore;
pub use save::{DiskChain, Saved, Saving, Volumes, save, take_back};

use crate::options::medium::{Pick, ServerPick};
use crate::options::typed::ActionOptions;
use freezer_storage::Store;
use freezer_vault::{Engine, Hbn, VaultError, catalogue};
use std::sync::Arc;

/// How the names of servers' sets begin that are saved together.
fn several(options: &ActionOptions) -> String {
    format!("{}_", options.backup_name)
}

/// Name of the set of one server among several.
fn chain_of_one(options: &ActionOptions, server_id: &str) -> ActionOptions {
    ActionOptions { backup_name: format!("{}{server_id}", several(options)), ..options.clone() }
}

/// As [`sets`], with those that were begun and never came to be: they have disks and nothing else.
pub async fn rotated_sets(
    options: &ActionOptions,
    pick: &ServerPick,
    store: &Arc<dyn Store>,
) -> Result<Vec<Hbn>, VaultError> {
    let mut found = sets(options, pick, store).await?;
    if matches!(pick, ServerPick::One(Pick::Id(_) | Pick::Unnamed)) {
        return Ok(found);
    }
    let beginning = format!("{}_{}", options.hostname, several(options));
    for disk in catalogue::list_hbns(store, Engine::Image).await? {
        let rest = disk.as_str().strip_prefix(&beginning).and_then(|rest| rest.split_once('_'));
        let Some((id, _)) = rest.filter(|(id, _)| uuid::Uuid::parse_str(id).is_ok()) else { continue };
        let set = Hbn::of(Engine::Set, &options.hostname, &chain_of_one(options, id).backup_name)?;
        if !found.contains(&set) {
            found.push(set);
        }
    }
    Ok(found)
}

/// Sets on the storage that an action names: the one of this name, or those of all servers that were saved together. Of one
/// server by its id, also the one it has among several; by a name both, as several may have it.
pub async fn sets(
    options: &ActionOptions,
    pick: &ServerPick,
    store: &Arc<dyn Store>,
) -> Result<Vec<Hbn>, VaultError> {
    let of = |options: &ActionOptions| Hbn::of(Engine::Set, &options.hostname, &options.backup_name);
    let alone = of(options)?;
    match pick {
        ServerPick::One(Pick::Unnamed) => return Ok(vec![alone]),
        ServerPick::One(Pick::Id(id)) => {
            let among = of(&chain_of_one(options, id))?;
            let has_backup = catalogue::list(store, &among).await?.has_backup();
            return Ok(vec![if has_backup { among } else { alone }]);
        }
        _ => {}
    }
    let beginning = format!("{}_{}", options.hostname, several(options));
    let mut found = catalogue::list_hbns(store, Engine::Set).await?;
    found.retain(|hbn| {
        let id = hbn.as_str().strip_prefix(&beginning);
        id.is_some_and(|id| uuid::Uuid::parse_str(id).is_ok())
    });
    let is_named = matches!(pick, ServerPick::One(_));
    if is_named && (found.is_empty() || catalogue::list(store, &alone).await?.has_backup()) {
        found.push(alone);
    }
    Ok(found)
}
