//! Mode glance: images with their content, properties, visibility, tags and members.

mod backup;
mod description;
mod restore;

pub use backup::backup;
pub(super) use backup::{opener, save};
pub(super) use description::ImageDescription;
pub use restore::restore;
pub(super) use restore::{restore_one, upload};

use crate::options::typed::ActionOptions;

/// How the names of the chains of images begin that are saved together.
fn several(options: &ActionOptions) -> String {
    format!("{}_", options.backup_name)
}

/// Name of the chain of one image among several.
fn chain_of_one(options: &ActionOptions, image_id: &str) -> ActionOptions {
    ActionOptions { backup_name: format!("{}{image_id}", several(options)), ..options.clone() }
}
