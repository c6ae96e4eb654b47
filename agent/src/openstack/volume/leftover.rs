//! Images of the cluster that a restore is still filling: each bears a temporary's name until it is whole, and what a killed agent
//! left of them, the next one that works with the pool removes.

use crate::actions::ActionError;
use crate::openstack::ceph::{Ceph, RbdImage};
use crate::openstack::error::CloudError;
use crate::openstack::temporary::{is_left_by_name, own_name};
use chrono::Utc;

/// Where an image is filled that will be `target`: in the same pool, as a renaming does not leave it.
pub fn unfinished(target: &RbdImage, prefix: &str) -> RbdImage {
    let name = own_name(&plain(prefix), &format!("restore_{}", target.name));
    RbdImage { pool: target.pool.clone(), name }
}

/// Removes from a pool what restores of processes that are gone have left. What cannot be removed is said, and the next one's.
pub async fn tidy_pool(ceph: &Ceph, pool: &str, prefix: &str) -> Result<(), ActionError> {
    match left_in(ceph, pool, &plain(prefix)).await {
        Ok(found) => {
            for image in found {
                match ceph.undisturbed().remove(&image).await {
                    Ok(()) => tracing::warn!("image {image} was left by an agent that is gone; removed"),
                    Err(error) => {
                        tracing::warn!(
                            "left by an agent that is gone, and still there: image {image}: {error}"
                        );
                    }
                }
            }
        }
        Err(CloudError::Aborted) => return Err(ActionError::Aborted),
        Err(error) => {
            tracing::warn!("looking for what agents that are gone have left in pool {pool}: {error}")
        }
    }
    Ok(())
}

async fn left_in(ceph: &Ceph, pool: &str, prefix: &str) -> Result<Vec<RbdImage>, CloudError> {
    let mut found = Vec::new();
    for name in ceph.images(pool).await? {
        // Its age costs a question, and tells only of those that bear a tag.
        if !is_left_by_name(&name, prefix, i64::MAX) {
            continue;
        }
        let image = RbdImage { pool: pool.to_owned(), name };
        let Some(facts) = ceph.facts(&image).await? else { continue };
        let age_secs = facts.made_at_secs.map_or(0, |made| Utc::now().timestamp().saturating_sub(made));
        if is_left_by_name(&image.name, prefix, age_secs) {
            found.push(image);
        }
    }
    Ok(found)
}

/// Some characters of a prefix mean something in the name of an image.
fn plain(prefix: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.');
    prefix.chars().map(|letter| if is_plain(letter) { letter } else { '_' }).collect()
}
