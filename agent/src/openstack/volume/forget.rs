//! After a rotation: snapshots that were kept in the cluster for chains that are gone. No increment will start from them, and they
//! hold space for as long as the volume lives.

use super::backup::{chain, chain_of, in_cluster};
use super::cluster::Kept;
use crate::openstack::ceph::{Ceph, RbdImage};
use crate::openstack::cinder::volumes;
use crate::openstack::cloud::Cloud;
use crate::openstack::error::CloudError;
use crate::options::medium::{Medium, Pick};
use crate::options::typed::ActionOptions;
use crate::storages::Surroundings;
use freezer_storage::Store;
use freezer_vault::{Hbn, VaultError, catalogue};
use std::sync::Arc;

/// What looking needs.
pub struct Forgetting<'a> {
    pub options: &'a ActionOptions,
    pub around: &'a Surroundings,
    /// None: there was no login.
    pub cloud: Option<&'a Cloud>,
    pub store: &'a Arc<dyn Store>,
}

impl Forgetting<'_> {
    /// Looks at each of `rotated` that has no backup any more. Answers what could not be removed, and why.
    pub async fn forget(&self, rotated: &[Hbn]) -> Result<Vec<String>, VaultError> {
        let mut left = Vec::new();
        if self.around.ceph.is_none() {
            return Ok(left);
        }
        for hbn in rotated {
            if catalogue::list(self.store, hbn).await?.has_backup() {
                continue;
            }
            match self.kept_for(hbn).await {
                Ok(Some(kept)) => left.extend(kept.settle(None).await),
                Ok(None) => {}
                // The volume went, and its snapshots with it.
                Err(error) if error.is_not_found() => {}
                Err(error) => left.push(format!("a snapshot kept for {hbn}: {error}")),
            }
        }
        Ok(left)
    }

    /// The snapshots of the chain, if it is one of a volume of the project, or of an image that the options name.
    async fn kept_for(&self, hbn: &Hbn) -> Result<Option<Kept>, CloudError> {
        let (Some(access), now) = (&self.around.ceph, self.around.now_secs) else { return Ok(None) };
        if let Medium::Rbd { pool, image } = &self.options.medium {
            let ceph = Ceph::new(access.clone(), Arc::default());
            let image = RbdImage { pool: pool.clone(), name: image.clone() };
            return Ok(Some(Kept::new(&ceph, image, &chain_of(self.options), now)));
        }
        let host = format!("{}_", self.options.hostname);
        let Some((name, cloud)) = hbn.as_str().strip_prefix(&host).zip(self.cloud) else { return Ok(None) };
        let Some((volume_id, chain_name)) = self.volume_of(name) else { return Ok(None) };
        let volume = volumes::show(cloud, volume_id).await?;
        if !volume.is_of(&cloud.project_id().await?) {
            return Ok(None);
        }
        let options = ActionOptions { backup_name: chain_name.to_owned(), ..self.options.clone() };
        let chain = chain(&options, cloud).await?;
        let found = in_cluster(Some(access), cloud.monitor(), &volume).await?;
        Ok(found.map(|(ceph, image)| Kept::new(&ceph, image, &chain, now)))
    }

    /// The volume whose chain has this name, and the name its snapshots were made under: those of a server's disks bear the
    /// server's.
    fn volume_of<'a>(&'a self, name: &'a str) -> Option<(&'a str, &'a str)> {
        if let Medium::Volume(Pick::Id(id)) = &self.options.medium {
            return Some((id, name));
        }
        let (beginning, id) = name.rsplit_once('_')?;
        uuid::Uuid::parse_str(id).ok()?;
        match self.options.medium {
            Medium::Servers(_) => Some((id, beginning)),
            Medium::Project => Some((id, name)),
            _ => None,
        }
    }
}
