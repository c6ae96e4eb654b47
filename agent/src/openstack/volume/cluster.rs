//! An image of the Ceph cluster as the source of a backup: what changed since the snapshot of the base is read, or the objects
//! that it is in, and nothing else.
//!
//! One snapshot is kept for each chain: that of its newest level. A new one takes its place when the next level is
//! committed, never before. A snapshot that is not there any more costs a read of the whole image, not the backup.

use super::source_failed;
use crate::openstack::ceph::{Ceph, RbdImage, snapshot_prefix};
use crate::openstack::error::CloudError;
use freezer_vault::VaultError;
use freezer_vault::image::{ImageBase, ImageInput, OpenImage, OpenedImage};
use serde_json::{Value, json};

/// Of a source: when its snapshot was made the image had none that anybody would set it back to.
const OLDEST_KEY: &str = "is_oldest";

/// The snapshots of one chain on one image.
#[derive(Clone)]
pub struct Kept {
    ceph: Ceph,
    image: RbdImage,
    prefix: String,
    /// The one that is made now.
    pub fresh: String,
    is_taken: bool,
}

impl Kept {
    /// `chain` names storage, container and backup; `now_secs` makes the new snapshot's name unique among them.
    pub fn new(ceph: &Ceph, image: RbdImage, chain: &str, now_secs: i64) -> Self {
        let prefix = snapshot_prefix(chain);
        let fresh = format!("{prefix}{now_secs}-{}", std::process::id());
        Self { ceph: ceph.clone(), image, prefix, fresh, is_taken: false }
    }

    /// Makes the snapshot now and not when the source is opened: several images at the same moment.
    pub async fn take(self) -> Result<Self, CloudError> {
        self.ceph.create_snapshot(&self.image, &self.fresh).await?;
        Ok(Self { is_taken: true, ..self })
    }

    /// Opens the source when the vault knows what the backup is built on.
    pub fn opener(&self, description: Value) -> OpenImage {
        let kept = self.clone();
        Box::new(move |base| {
            Box::pin(async move {
                let (input, source) = kept.open(base).await.map_err(source_failed)?;
                Ok::<_, VaultError>(OpenedImage { input, source, description })
            })
        })
    }

    async fn open(&self, base: Option<ImageBase>) -> Result<(ImageInput, Value), CloudError> {
        let facts = self.ceph.facts(&self.image).await?.ok_or_else(|| self.gone())?;
        if !self.is_taken {
            self.ceph.create_snapshot(&self.image, &self.fresh).await?;
        }
        let is_oldest = !self.ceph.has_other_snapshots(&self.image, &self.prefix).await?;
        let source =
            json!({"kind": "rbd", "image_id": facts.id, "snapshot": self.fresh, OLDEST_KEY: is_oldest});
        let input = match base {
            None => ImageInput::Changes { stream: self.ceph.export_full(&self.image, &self.fresh)? },
            Some(base) => match self.snapshot_of(&base, &facts.id).await? {
                Some(from) => {
                    let range = (from.as_str(), self.fresh.as_str());
                    self.ceph.export_changes((&self.image, &facts), range, cannot_be_set_back(&base)).await?
                }
                None => ImageInput::Whole {
                    reader: self.ceph.export_whole(&self.image, &self.fresh)?,
                    size_bytes: Some(facts.size_bytes),
                },
            },
        };
        Ok((input, source))
    }

    /// The base's snapshot, if it is there and of this very image.
    async fn snapshot_of(&self, base: &ImageBase, image_id: &str) -> Result<Option<String>, CloudError> {
        let text = |key: &str| base.source.get(key).and_then(Value::as_str).unwrap_or_default();
        let name = text("snapshot");
        if text("kind") != "rbd" || text("image_id") != image_id || !name.starts_with(&self.prefix) {
            return Ok(None);
        }
        let there = self.ceph.snapshots(&self.image).await?;
        Ok(there.into_iter().find(|known| known == name))
    }

    fn gone(&self) -> CloudError {
        CloudError::NotFound {
            service: "Ceph",
            what: format!("image {}", self.image),
            request: String::new(),
        }
    }

    /// After the end: keeps the snapshot in `keep` and removes the chain's others. Answers what could not be removed.
    pub async fn settle(&self, keep: Option<&str>) -> Vec<String> {
        let ceph = self.ceph.undisturbed();
        let there = match ceph.snapshots(&self.image).await {
            Ok(there) => there,
            Err(error) => return vec![error.to_string()],
        };
        let mut left = Vec::new();
        for name in there {
            if name.starts_with(&self.prefix)
                && keep != Some(name.as_str())
                && let Err(error) = ceph.remove_snapshot(&self.image, &name).await
            {
                left.push(format!("snapshot {}@{name}: {error}", self.image));
            }
        }
        left
    }

    /// After a failure: what was made for nothing goes, the older ones stay.
    pub async fn forget_fresh(&self) -> Vec<String> {
        match self.ceph.undisturbed().remove_snapshot(&self.image, &self.fresh).await {
            Ok(()) => Vec::new(),
            Err(error) => vec![format!("snapshot {}@{}: {error}", self.image, self.fresh)],
        }
    }
}

/// Whether the image could not be set back to an older snapshot than the base's. With the content Ceph brings the older snapshot's
/// map back, in which nothing tells what was written between both and is undone now: by the map it would be missing in the
/// increment.
fn cannot_be_set_back(base: &ImageBase) -> bool {
    base.source.get(OLDEST_KEY).and_then(Value::as_bool) == Some(true)
}
