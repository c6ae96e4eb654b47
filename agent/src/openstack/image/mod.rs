//! Mode glance: images with their content, properties, visibility, tags and members.

mod backup;
mod description;
mod restore;

pub use backup::backup;
pub use restore::restore;

use crate::options::typed::ActionOptions;

/// Name of the chain of one image among several.
fn chain_of_one(options: &ActionOptions, image_id: &str) -> ActionOptions {
    ActionOptions { backup_name: format!("{}_{image_id}", options.backup_name), ..options.clone() }
}
