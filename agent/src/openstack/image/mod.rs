//! Mode glance: images with their content, properties, visibility, tags and members.

mod backup;
mod description;
mod restore;

pub use backup::backup;
pub(super) use backup::{opener, save};
pub(super) use description::ImageDescription;
pub use restore::restore;
pub(super) use restore::{restore_one, upload};

use crate::options::medium::{ImagePick, Pick};
use crate::options::typed::ActionOptions;
use freezer_storage::Store;
use freezer_vault::{Engine, Hbn, VaultError, catalogue};
use std::sync::Arc;

/// Chains on the storage that an action names: the one of this name, or those of all images that were saved together. Of one
/// image by its id, also the one it has among several.
pub async fn chains(
    options: &ActionOptions,
    pick: &ImagePick,
    store: &Arc<dyn Store>,
) -> Result<Vec<Hbn>, VaultError> {
    let of = |options: &ActionOptions| Hbn::of(Engine::Image, &options.hostname, &options.backup_name);
    if let ImagePick::One(pick) = pick {
        if let Pick::Id(id) = pick {
            let among = of(&chain_of_one(options, id))?;
            if catalogue::list(store, &among).await?.has_backup() {
                return Ok(vec![among]);
            }
        }
        return Ok(vec![of(options)?]);
    }
    saved_together(options, store).await?.iter().map(|id| of(&chain_of_one(options, id))).collect()
}

/// Ids of all images that were saved together.
async fn saved_together(options: &ActionOptions, store: &Arc<dyn Store>) -> Result<Vec<String>, VaultError> {
    let beginning = format!("{}_{}", options.hostname, several(options));
    let names = catalogue::list_hbns(store, Engine::Image).await?;
    let ids = names.iter().filter_map(|hbn| hbn.as_str().strip_prefix(&beginning));
    Ok(ids.filter(|id| uuid::Uuid::parse_str(id).is_ok()).map(str::to_owned).collect())
}

/// How the names of the chains of images begin that are saved together.
fn several(options: &ActionOptions) -> String {
    format!("{}_", options.backup_name)
}

/// Name of the chain of one image among several.
fn chain_of_one(options: &ActionOptions, image_id: &str) -> ActionOptions {
    ActionOptions { backup_name: format!("{}{image_id}", several(options)), ..options.clone() }
}
