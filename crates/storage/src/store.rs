//! The trait every storage implements, and the words it uses.

use crate::stamp::Stamp;
use crate::walk::walk;
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use std::fmt;
use std::ops::Range;
use std::time::Duration;

/// Name of an object below the root of its store: parts joined by `/`, never absolute, no empty,
/// `.` or `..` part. Parts may hold any other UTF-8 text, blanks and braces included.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName(String);

impl ObjectName {
    pub fn new(text: impl Into<String>) -> Result<Self, StoreError> {
        let text = text.into();
        let bad_part = |part: &str| part.is_empty() || part == "." || part == ".." || part.contains('\0');
        if text.split('/').any(bad_part) {
            return Err(StoreError::BadName { name: text });
        }
        Ok(Self(text))
    }
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// The object `part` inside the folder `self`. `part` may have several parts itself.
    pub fn join(&self, part: &str) -> Result<Self, StoreError> {
        Self::new(format!("{}/{part}", self.0))
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Bytes of an object, in pieces of any size.
pub type ByteStream = BoxStream<'static, Result<Bytes, StoreError>>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectInfo {
    pub size_bytes: u64,
}

/// One direct child of a folder. On object stores folders are common prefixes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Last part of the name only.
    pub name: String,
    pub is_folder: bool,
    /// 0 for folders, and for large objects of Swift (ask [`Store::head`]).
    pub size_bytes: u64,
    /// What is another one when the content is: the ETag of an object, where listings tell it (Swift, S3).
    pub tag: Option<String>,
    /// What is another one when the file was written to, where listings tell it (folders, SSH, FTP with `MLSD`); none of folders.
    pub stamp: Option<Stamp>,
}

/// Says of a folder, by its name relative to the one that is listed, whether it need not be entered. It is asked of all that are in
/// a folder before one of them is entered, and again when a listing is repeated.
pub type Skips<'a> = &'a (dyn Fn(&str) -> bool + Send + Sync);

/// A place that keeps objects. All methods may be called from many tasks at once.
///
/// What an implementation promises: a `put` is seen whole or not at all; what `put` or
/// [`LargeWriter::finish`] answered is durable; a missing object is [`StoreError::NotFound`] on `get`,
/// `None` on `head`, nothing in `list`, and success on `delete`.
#[async_trait]
pub trait Store: Send + Sync {
    /// For messages: `local:/srv/backups`, `swift:container/prefix`, `ssh:user@host:/dir`. Holds no secret.
    fn describe(&self) -> String;

    /// Makes the root (folder, container) when it is missing and proves that it can be reached.
    async fn prepare(&self) -> Result<(), StoreError>;

    /// Writes a whole (small) object, replacing one of that name.
    async fn put(&self, name: &ObjectName, body: Bytes) -> Result<(), StoreError>;

    /// The same, and the stamp by which listings show that nobody has written to the file since ([`crate::stamp`]); `None` where that
    /// cannot be told by one, or the file's time could not be set. The file's time is some seconds before the present then.
    async fn put_stamped(&self, name: &ObjectName, body: Bytes) -> Result<Option<Stamp>, StoreError> {
        self.put(name, body).await.map(|()| None)
    }

    /// Writes several whole (small) objects in this order. When it answers all are durable; when it fails, any of them may be there.
    /// Swift takes them in one request where it can, the other stores one after the other.
    async fn put_all(&self, objects: &[(ObjectName, Bytes)]) -> Result<(), StoreError> {
        for (name, body) in objects {
            self.put(name, body.clone()).await?;
        }
        Ok(())
    }

    /// Reads an object, or the bytes `range` of it (clamped to its end).
    async fn get(&self, name: &ObjectName, range: Option<Range<u64>>) -> Result<ByteStream, StoreError>;

    async fn head(&self, name: &ObjectName) -> Result<Option<ObjectInfo>, StoreError>;

    /// Direct children of a folder (`None`: the root), sorted by name, all pages.
    async fn list(&self, folder: Option<&ObjectName>) -> Result<Vec<Entry>, StoreError>;

    /// All objects below a folder, sorted, with their names relative to it; `None` when there are more than `most`.
    async fn list_tree(&self, folder: &ObjectName, most: usize) -> Result<Option<Vec<Entry>>, StoreError> {
        self.list_tree_without(folder, most, &|_: &str| false).await
    }

    /// The same for who can do without some of it; this is the one that stores implement. Where folders are listed one by one, as
    /// here, those for which `skips` says so are not entered, and stand in the answer as folders. Object stores answer with one
    /// listing of everything, whatever lies below.
    async fn list_tree_without(
        &self,
        folder: &ObjectName,
        most: usize,
        skips: Skips<'_>,
    ) -> Result<Option<Vec<Entry>>, StoreError> {
        walk(self, folder, most, 1, skips).await
    }

    /// Deletes one object. Of a large object in Swift this leaves the segments: see
    /// [`delete_tree`](Self::delete_tree).
    async fn delete(&self, name: &ObjectName) -> Result<(), StoreError>;

    /// Deletes several objects; those that are missing are deleted already. When it fails, any of them may be gone. S3 takes them in one
    /// request, the other stores one after the other.
    async fn delete_all(&self, names: &[ObjectName]) -> Result<(), StoreError> {
        for name in names {
            self.delete(name).await?;
        }
        Ok(())
    }

    /// Whether a small object is better left for a while than removed by a request of its own: where objects are taken one at a
    /// time, and a listing is never behind what was written (S3, SSH, FTP, folders). Where a Swift answers as S3 it may be behind, and a
    /// folder of NFS for who has it in its cache: what is left can be seen there before what says that it is left, and must harm nobody
    /// then.
    fn spares_requests(&self) -> bool {
        false
    }

    /// Whether it answers nobody whose clock is off by more than a quarter of an hour (S3).
    fn refuses_wrong_clocks(&self) -> bool {
        false
    }

    /// Deletes everything below a folder, and an object of that very name; answers how many objects went.
    async fn delete_tree(&self, folder: &ObjectName) -> Result<u64, StoreError>;

    /// Starts a large object that is written piece by piece. One per folder: Swift keeps the segments
    /// beside it in `segments/`.
    async fn create_large(&self, name: &ObjectName) -> Result<Box<dyn LargeWriter>, StoreError>;
}

/// A large object on its way. Nothing is visible under its name before [`finish`](Self::finish).
///
/// The caller decides where one segment ends. A store that keeps one file (local, SFTP) ignores the
/// boundaries; Swift keeps each segment as an object of its own, several on their way at once.
#[async_trait]
pub trait LargeWriter: Send {
    /// Appends a piece (up to 1 MiB or so) to the current segment; waits while too much is in flight.
    async fn write(&mut self, piece: Bytes) -> Result<(), StoreError>;

    /// Ends the current segment. A segment without bytes is not written.
    async fn end_segment(&mut self) -> Result<(), StoreError>;

    /// After the last piece, and before [`LargeWriter::finish`]: waits until the store has acknowledged what it was given, so that
    /// hardly any of it is kept in memory any more. A store that keeps nothing has nothing to wait for.
    async fn settle(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Ends the last segment, waits for everything, makes the object visible. Answers the names of the
    /// segment objects in order, or an empty list when the store keeps the object in one piece.
    async fn finish(self: Box<Self>) -> Result<Vec<ObjectName>, StoreError>;

    /// Removes what was written so far, as well as it can.
    async fn abandon(self: Box<Self>);
}

/// What went wrong, with the store, the object and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("'{name}' is no object name")]
    BadName { name: String },
    #[error("{store}: no object {name}")]
    NotFound { store: String, name: String },
    /// The cause says what to check.
    #[error("{store}: access refused: {cause}")]
    Refused { store: String, cause: String },
    #[error(
        "{store}: no room left writing {name}: {cause}; free space or raise the quota, then run the backup again"
    )]
    Full { store: String, name: String, cause: String },
    /// May go away by itself; the retry decorator tries again.
    #[error("{store}: {name}: {cause}")]
    Unavailable { store: String, name: String, cause: String, retry_after: Option<Duration> },
    #[error("{store}: {name} arrived damaged: {cause}")]
    Damaged { store: String, name: String, cause: String },
    #[error("{store}: {name}: {cause}")]
    Other { store: String, name: String, cause: String },
    #[error("cancelled")]
    Cancelled,
}

impl StoreError {
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Damaged { .. })
    }
}
