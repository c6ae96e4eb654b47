//! Objects as files below a root folder.
//!
//! Files are made with mode 0600 and folders with 0700. What is written goes to a hidden temporary file in
//! the same folder, is synced, renamed and the folder synced: a name shows a whole object or none. Symbolic
//! links below the root are never followed when something is deleted, and objects are only regular files.
//! No call blocks a thread of the runtime.

mod delete;
mod error;
mod large;
mod list;
mod put;
mod read;

use crate::stamp::Stamp;
use crate::store::{ByteStream, Entry, LargeWriter, ObjectInfo, ObjectName, Store, StoreError};
use async_trait::async_trait;
use bytes::Bytes;
use error::Place;
use std::ops::Range;
use std::path::PathBuf;

/// Names that start so are files on their way; no listing shows them.
pub(crate) const TEMPORARY_PREFIX: &str = ".freezer-part-";

/// A folder of this machine.
#[derive(Clone, Debug)]
pub struct LocalStore {
    root: PathBuf,
}

impl LocalStore {
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    fn place(&self, name: &str) -> Place {
        Place { store: self.describe(), name: name.to_string() }
    }

    fn path(&self, name: &ObjectName) -> PathBuf {
        self.root.join(name.as_str())
    }

    /// Runs blocking work where it may block.
    async fn blocking<T, F>(&self, name: &str, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Place) -> Result<T, StoreError> + Send + 'static,
    {
        let place = self.place(name);
        let lost = place.clone();
        tokio::task::spawn_blocking(move || work(&place))
            .await
            .map_err(|error| lost.other(format!("file task: {error}")))?
    }
}

/// A name that could be taken for a file on its way is not accepted.
pub(crate) fn check_name(name: &ObjectName) -> Result<(), StoreError> {
    let hidden = name.as_str().split('/').any(|part| part.starts_with(TEMPORARY_PREFIX));
    if hidden { Err(StoreError::BadName { name: name.to_string() }) } else { Ok(()) }
}

#[async_trait]
impl Store for LocalStore {
    fn describe(&self) -> String {
        format!("local:{}", self.root.display())
    }

    async fn prepare(&self) -> Result<(), StoreError> {
        let root = self.root.clone();
        self.blocking("", move |place| put::prepare(place, &root)).await
    }

    async fn put(&self, name: &ObjectName, body: Bytes) -> Result<(), StoreError> {
        check_name(name)?;
        let (root, path) = (self.root.clone(), self.path(name));
        self.blocking(name.as_str(), move |place| put::put(place, &root, &path, &body)).await
    }

    async fn put_stamped(&self, name: &ObjectName, body: Bytes) -> Result<Option<Stamp>, StoreError> {
        check_name(name)?;
        let (root, path) = (self.root.clone(), self.path(name));
        self.blocking(name.as_str(), move |place| put::put_stamped(place, &root, &path, &body)).await
    }

    async fn get(&self, name: &ObjectName, range: Option<Range<u64>>) -> Result<ByteStream, StoreError> {
        let path = self.path(name);
        let opened = self.blocking(name.as_str(), move |place| read::open(place, &path)).await?;
        Ok(read::stream(self.place(name.as_str()), opened, range))
    }

    async fn head(&self, name: &ObjectName) -> Result<Option<ObjectInfo>, StoreError> {
        let path = self.path(name);
        self.blocking(name.as_str(), move |place| read::info(place, &path)).await
    }

    async fn list(&self, folder: Option<&ObjectName>) -> Result<Vec<Entry>, StoreError> {
        let path = folder.map_or_else(|| self.root.clone(), |folder| self.path(folder));
        let name = folder.map_or("", ObjectName::as_str);
        self.blocking(name, move |place| list::list(place, &path)).await
    }

    async fn delete(&self, name: &ObjectName) -> Result<(), StoreError> {
        let (root, path) = (self.root.clone(), self.path(name));
        self.blocking(name.as_str(), move |place| delete::delete(place, &root, &path)).await
    }

    fn spares_requests(&self) -> bool {
        true
    }

    async fn delete_tree(&self, folder: &ObjectName) -> Result<u64, StoreError> {
        let (root, path) = (self.root.clone(), self.path(folder));
        self.blocking(folder.as_str(), move |place| delete::delete_tree(place, &root, &path)).await
    }

    async fn create_large(&self, name: &ObjectName) -> Result<Box<dyn LargeWriter>, StoreError> {
        check_name(name)?;
        let (root, path) = (self.root.clone(), self.path(name));
        let writer = large::LocalWriter::create(self.place(name.as_str()), root, path).await?;
        Ok(Box::new(writer))
    }
}
