//! Deleting files and trees. Links are removed, never followed.

use super::connect::Link;
use super::error::{is_failure, is_missing};
use super::list::read_folder;
use super::{SshStore, Wrong};
use crate::store::{ObjectName, StoreError};
use futures_util::{TryStreamExt, stream};
use russh_sftp::client::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Files that are removed at the same time.
const PARALLEL_REMOVES: usize = 16;

impl SshStore {
    pub(super) async fn delete_object(&self, name: &ObjectName) -> Result<(), StoreError> {
        let link = self.link().await?;
        let path = Self::path(&link, name.as_str());
        match link.sftp.remove(path.as_str()).await {
            Ok(_) => {}
            Err(error) if is_missing(&error) => return Ok(()),
            Err(error) => {
                // A folder of that name is no object.
                if is_failure(&error) && is_folder(&link, &path).await {
                    return Ok(());
                }
                return Err(self.wrong(&Wrong { link: &link, name: name.as_str() }, "deleting", error).await);
            }
        }
        remove_empty_parents(&link, name.as_str()).await;
        Ok(())
    }

    pub(super) async fn delete_below(&self, folder: &ObjectName) -> Result<u64, StoreError> {
        // Kept over repetitions: what is gone is counted once.
        let gone = AtomicU64::new(0);
        self.inner.retry.run(|| self.delete_tree_once(folder, &gone)).await?;
        Ok(gone.load(Ordering::Relaxed))
    }

    async fn delete_tree_once(&self, folder: &ObjectName, gone: &AtomicU64) -> Result<(), StoreError> {
        let link = self.link().await?;
        let name = folder.as_str();
        self.refuse_links_above(&link, name).await?;
        let top = Self::path(&link, name);
        let result = remove_tree(&link, &top, gone).await;
        if let Err(error) = result {
            return Err(self.wrong(&Wrong { link: &link, name }, "deleting", error).await);
        }
        remove_empty_parents(&link, name).await;
        Ok(())
    }

    /// A link between the root and the folder could lead anywhere.
    async fn refuse_links_above(&self, link: &Arc<Link>, name: &str) -> Result<(), StoreError> {
        for (at, _) in name.match_indices('/') {
            let above = name.get(..at).unwrap_or_default();
            match link.sftp.lstat(Self::path(link, above)).await {
                Ok(answer) if answer.attrs.file_type().is_symlink() => {
                    return Err(
                        self.other(name, format!("{above} is a symbolic link; not followed to delete"))
                    );
                }
                Ok(_) => {}
                Err(error) if is_missing(&error) => return Ok(()),
                Err(error) => return Err(self.wrong(&Wrong { link, name }, "looking at", error).await),
            }
        }
        Ok(())
    }
}

async fn is_folder(link: &Link, path: &str) -> bool {
    matches!(link.sftp.lstat(path).await, Ok(answer) if answer.attrs.file_type().is_dir())
}

/// Removes what is at `top`, files first, folders from the inside out.
async fn remove_tree(link: &Arc<Link>, top: &str, gone: &AtomicU64) -> Result<(), Error> {
    match link.sftp.lstat(top).await {
        Ok(answer) if answer.attrs.file_type().is_dir() => {}
        Ok(_) => return remove_file(link, top.to_string(), gone).await,
        Err(error) if is_missing(&error) => return Ok(()),
        Err(error) => return Err(error),
    }
    let mut folders = Vec::new();
    let mut unread = vec![top.to_string()];
    while let Some(folder) = unread.pop() {
        let mut files = Vec::new();
        match read_folder(link, &folder).await {
            Ok(found) => {
                for file in found {
                    let path = format!("{folder}/{}", file.filename);
                    if file.attrs.file_type().is_dir() { unread.push(path) } else { files.push(path) }
                }
            }
            Err(error) if is_missing(&error) => {}
            Err(error) => return Err(error),
        }
        stream::iter(files.into_iter().map(Ok))
            .try_for_each_concurrent(PARALLEL_REMOVES, |path| remove_file(link, path, gone))
            .await?;
        folders.push(folder);
    }
    for folder in folders.into_iter().rev() {
        match link.sftp.rmdir(folder).await {
            Ok(_) => {}
            // "Failure" is not empty: a writer put something in meanwhile, which stays.
            Err(error) if is_missing(&error) || is_failure(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn remove_file(link: &Link, path: String, gone: &AtomicU64) -> Result<(), Error> {
    match link.sftp.remove(path).await {
        Ok(_) => {
            gone.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
        Err(error) if is_missing(&error) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Tidies up, as well as it can: an object store has no empty folders either.
async fn remove_empty_parents(link: &Link, name: &str) {
    let mut at = name;
    while let Some((above, _)) = at.rsplit_once('/') {
        if link.sftp.rmdir(SshStore::path(link, above)).await.is_err() {
            return;
        }
        at = above;
    }
}
