//! Deleting files and trees. Links are removed, never followed.

use super::FtpStore;
use super::connect::Conn;
use super::error::Failure;
use super::lines::Kind;
use crate::store::{ObjectName, StoreError};
use std::sync::atomic::{AtomicU64, Ordering};

impl FtpStore {
    pub(super) async fn delete_object(&self, name: &ObjectName) -> Result<(), StoreError> {
        let _turn = self.turn().await;
        let mut conn = self.conn().await?;
        let path = conn.path(name.as_str());
        let result = match conn.remove(&path).await {
            Err(failure) if failure.says_missing() => Ok(()),
            Err(failure) if failure.is_refusal() => match conn.stat(&path).await {
                // A folder of that name is no object.
                Ok(stat) if stat.is_none_or(|stat| stat.is_folder) => Ok(()),
                Ok(_) => Err(failure),
                Err(again) => Err(again),
            },
            Ok(()) => conn.remove_empty_parents(name.as_str()).await,
            result => result,
        };
        self.settle(conn, name.as_str(), "deleting", result)
    }

    pub(super) async fn delete_below(&self, folder: &ObjectName) -> Result<u64, StoreError> {
        // Kept over repetitions: what is gone is counted once.
        let gone = AtomicU64::new(0);
        self.inner.retry.run(|| self.delete_tree_once(folder, &gone)).await?;
        Ok(gone.load(Ordering::Relaxed))
    }

    async fn delete_tree_once(&self, folder: &ObjectName, gone: &AtomicU64) -> Result<(), StoreError> {
        let _turn = self.turn().await;
        let mut conn = self.conn().await?;
        let result = async {
            let top = conn.path(folder.as_str());
            conn.remove_tree(&top, gone).await?;
            conn.remove_empty_parents(folder.as_str()).await
        };
        let result = result.await;
        self.settle(conn, folder.as_str(), "deleting", result)
    }
}

impl Conn {
    /// Removes what is at `top`, files first, folders from the inside out.
    async fn remove_tree(&mut self, top: &str, gone: &AtomicU64) -> Result<(), Failure> {
        if self.remove_unless_folder(top, gone).await? {
            return Ok(());
        }
        let (mut folders, mut unread) = (Vec::new(), vec![top.to_owned()]);
        while let Some(folder) = unread.pop() {
            for item in self.items_if_there(&folder).await?.unwrap_or_default() {
                let path = format!("{folder}/{}", item.name);
                if self.remove_unless_folder(&path, gone).await? {
                    continue;
                }
                if item.kind == Kind::Folder {
                    unread.push(path);
                }
            }
            folders.push(folder);
        }
        // Not every server removes the folder it is in.
        self.enter("").await?;
        for folder in folders.into_iter().rev() {
            match self.remove_folder(&folder).await {
                // Not empty: a writer put something in meanwhile, which stays.
                Err(failure) if !failure.is_refusal() => return Err(failure),
                _ => {}
            }
        }
        Ok(())
    }

    /// Many servers show a link to a folder as a folder; but to delete a name is to delete the link, and no folder. Answers
    /// whether nothing is left of it.
    async fn remove_unless_folder(&mut self, path: &str, gone: &AtomicU64) -> Result<bool, Failure> {
        let failure = match self.remove(path).await {
            Ok(()) => {
                gone.fetch_add(1, Ordering::Relaxed);
                return Ok(true);
            }
            Err(failure) if failure.says_missing() => return Ok(true),
            Err(failure) if failure.is_refusal() => failure,
            Err(failure) => return Err(failure),
        };
        match self.stat(path).await? {
            None => Ok(true),
            Some(stat) if stat.is_folder => Ok(false),
            Some(_) => Err(failure),
        }
    }

    /// Tidies up, as well as it can: an object store has no empty folders either.
    async fn remove_empty_parents(&mut self, name: &str) -> Result<(), Failure> {
        let mut at = name;
        while let Some((above, _)) = at.rsplit_once('/') {
            let path = self.path(above);
            match self.remove_folder(&path).await {
                Ok(()) => at = above,
                Err(failure) if failure.is_refusal() => return Ok(()),
                Err(failure) => return Err(failure),
            }
        }
        Ok(())
    }
}
