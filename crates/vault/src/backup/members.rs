//! The storages that one backup goes to. Each gets all of it and commits it by itself; one that fails is left out from then on,
//! and its part is removed again, while the others go on. The backup fails when none is left.

use super::base::Parent;
use super::stages::Part;
use super::upload::Destination;
use super::work::Settings;
use crate::VaultError;
use crate::catalogue::{Memory, Tree};
use crate::encryption::KeyDerivation;
use crate::layout::{DATA, Hbn, LevelId};
use crate::lock::{Lock, present_secs};
use crate::manifest::ParentLink;
use bytes::Bytes;
use freezer_storage::{ObjectName, Stamp, Store};
use futures_util::future::join_all;
use serde::Serialize;
use std::sync::Arc;
use tokio::task::JoinHandle;

/// What became of a backup on one of its storages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StorageCopy {
    /// As [`Store::describe`] says.
    pub storage: String,
    /// Why it is not there; `None`: it is, and restores from there alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// One storage.
pub(super) struct Member {
    pub store: Arc<dyn Store>,
    pub lock: Option<Lock>,
    /// Whether a manifest says that the lock is over, or would if it got there.
    pub is_lock_over: bool,
    /// What is there, if one listing could show it.
    pub tree: Option<Tree>,
    /// The level to build on as this storage has it: manifests differ in where the payload's pieces lie.
    pub parent: Option<Parent>,
    memory: Option<Memory>,
    destination: Option<Destination>,
    /// Where the level's objects are, once there may be some.
    folders: Vec<ObjectName>,
    failure: Option<VaultError>,
    tidying: Option<JoinHandle<()>>,
}

impl Member {
    fn of(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            lock: None,
            is_lock_over: false,
            tree: None,
            parent: None,
            memory: None,
            destination: None,
            folders: Vec::new(),
            failure: None,
            tidying: None,
        }
    }

    /// Leaves it out. What it has got is removed beside the work of the others.
    pub(super) fn fail(&mut self, error: VaultError) {
        self.note(error);
        self.tidy(false);
    }

    /// The same, when there may be more than what the destination knows of. A manifest that says that the lock is over may have got
    /// there although nobody heard of it: somebody may build on it, and so nothing is removed.
    pub(super) fn fail_committing(&mut self, error: VaultError) {
        self.note(error);
        if self.is_lock_over {
            tracing::warn!(storage = %self.store.describe(), "what was written stays until it is pruned as an orphan");
        } else {
            self.tidy(true);
        }
    }

    /// Keeps the new manifest on this machine, if listings tell whether it is still the one that is there: what is in it, or that it has
    /// this stamp. `is_base`: it is one that all others are built on.
    pub(super) async fn remember(&mut self, body: Bytes, stamp: Option<Stamp>, is_base: bool) {
        let tells_content = self.tree.as_ref().is_some_and(|tree| tree.tells_content);
        let stamp = stamp.filter(|_| !tells_content);
        let is_known_again = tells_content || stamp.is_some();
        let Some(memory) = self.memory.as_ref().filter(|_| is_known_again) else { return };
        if is_base {
            memory.of_base().keep(body.clone(), stamp.as_ref()).await;
        }
        memory.keep(body, stamp.as_ref()).await;
    }

    fn note(&mut self, error: VaultError) {
        tracing::warn!(storage = %self.store.describe(), %error, "the backup does not get onto this storage");
        self.failure = Some(error);
    }

    pub(super) fn take_destination(&mut self) -> Option<Destination> {
        self.destination.take()
    }

    fn tidy(&mut self, is_committing: bool) {
        let (store, folders) = (self.store.clone(), std::mem::take(&mut self.folders));
        let destination = self.destination.take();
        self.tidying = Some(tokio::spawn(async move {
            let is_begun = match destination {
                Some(destination) => destination.abandon().await,
                None => false,
            };
            if is_begun || is_committing {
                remove_leftovers(&store, &folders).await;
            }
        }));
    }

    async fn lock(&mut self, settings: &Settings) {
        let (now, expiry) = (present_secs(settings.now_secs, settings.began), settings.lock_expiry);
        let folder = settings.memory.as_deref();
        self.memory = folder.map(|folder| Memory::of(folder, &*self.store, &settings.hbn));
        match Lock::take_and_look(&self.store, &settings.hbn, self.memory.clone(), now, expiry).await {
            Ok((lock, tree)) => (self.lock, self.tree) = (Some(lock), tree),
            Err(error) => self.fail(error),
        }
    }

    async fn take(&mut self, part: Part) {
        let Some(destination) = &mut self.destination else { return };
        if let Err(error) = destination.take(part).await {
            self.fail(error);
        }
    }

    async fn settle(&mut self) {
        let Some(destination) = &mut self.destination else { return };
        if let Err(error) = destination.settle().await {
            self.fail(error);
        }
    }

    /// Waits until what had to be removed is, and frees the name.
    async fn close(&mut self) {
        if let Some(tidying) = self.tidying.take()
            && let Err(error) = tidying.await
        {
            tracing::error!(%error, "removing what was stored stopped unexpectedly");
        }
        match self.lock.take() {
            Some(lock) if self.is_lock_over && self.failure.is_none() => lock.leave().await,
            Some(lock) => lock.release().await,
            None => {}
        }
    }
}

/// After a failure: the folders of this level belong to nobody else, its timestamp is new.
async fn remove_leftovers(store: &Arc<dyn Store>, folders: &[ObjectName]) {
    for folder in folders {
        if let Err(error) = store.delete_tree(folder).await {
            tracing::warn!(%folder, %error, "leftovers stay until they are pruned as orphans");
        }
    }
}

/// All storages of a backup; most have one.
pub(super) struct Members(Vec<Member>);

impl Members {
    pub(super) fn of(stores: Vec<Arc<dyn Store>>) -> Self {
        Self(stores.into_iter().map(Member::of).collect())
    }

    /// Those that have not failed, in their order.
    pub(super) fn sound_mut(&mut self) -> impl Iterator<Item = &mut Member> {
        self.0.iter_mut().filter(|member| member.failure.is_none())
    }

    pub(super) fn sound_count(&self) -> usize {
        self.0.iter().filter(|member| member.failure.is_none()).count()
    }

    /// What the backup is built on, as the first has it that has not failed.
    pub(super) fn parent(&self) -> Option<ParentLink> {
        let sound = self.0.iter().find(|member| member.failure.is_none())?;
        sound.parent.as_ref().map(|parent| parent.link.clone())
    }

    /// How the keys of that came from the pass phrase. It is the same on all of them, as it is of one run.
    pub(super) fn derivation(&self) -> Option<KeyDerivation> {
        let sound = self.0.iter().find(|member| member.failure.is_none())?;
        sound.parent.as_ref()?.derivation
    }

    /// An error when all have failed: that of the only one, or one that names all.
    pub(super) fn any_left(&mut self) -> Result<(), VaultError> {
        if self.sound_count() > 0 {
            return Ok(());
        }
        match self.0.as_mut_slice() {
            [] => Err(VaultError::BadRequest { cause: "there is no storage to save to".into() }),
            // Nobody asks for it again.
            [only] => Err(only.failure.replace(VaultError::Cancelled).unwrap_or(VaultError::Cancelled)),
            several => {
                let causes =
                    several.iter().filter_map(|member| member.failure.as_ref().map(ToString::to_string));
                Err(VaultError::NoStorageLeft { causes: causes.collect() })
            }
        }
    }

    /// One after the other, so that of two runs for the same storages one comes first on all of them.
    pub(super) async fn lock(&mut self, settings: &Settings) -> Result<(), VaultError> {
        for member in self.sound_mut() {
            member.lock(settings).await;
        }
        self.any_left()
    }

    /// Opens the payload's place on each; nothing is sent yet.
    pub(super) fn begin(&mut self, hbn: &Hbn, id: &LevelId, is_dry: bool) -> Result<(), VaultError> {
        let data = id.object(hbn, DATA)?;
        let folders = [id.metadata_folder(hbn)?, id.data_folder(hbn)?];
        for member in self.sound_mut() {
            let place = (!is_dry).then(|| (member.store.clone(), data.clone()));
            member.destination = Some(Destination::new(place));
            member.folders = folders.to_vec();
        }
        Ok(())
    }

    /// Hands a part to all at the same time; answers when each has taken it or failed.
    pub(super) async fn take(&mut self, part: &Part) -> Result<(), VaultError> {
        join_all(self.sound_mut().map(|member| member.take(part.clone()))).await;
        self.any_left()
    }

    /// Waits until each has stored what it was handed or failed.
    pub(super) async fn settle(&mut self) -> Result<(), VaultError> {
        join_all(self.sound_mut().map(Member::settle)).await;
        self.any_left()
    }

    /// Removes from all what was stored.
    pub(super) fn abandon(&mut self) {
        self.sound_mut().for_each(|member| member.tidy(false));
    }

    pub(super) async fn close(&mut self) {
        join_all(self.0.iter_mut().map(Member::close)).await;
    }

    /// What each has got; nothing to tell where there is only one.
    pub(super) fn copies(&self) -> Vec<StorageCopy> {
        if self.0.len() < 2 {
            return Vec::new();
        }
        let copy = |member: &Member| StorageCopy {
            storage: member.store.describe(),
            failure: member.failure.as_ref().map(ToString::to_string),
        };
        self.0.iter().map(copy).collect()
    }
}
