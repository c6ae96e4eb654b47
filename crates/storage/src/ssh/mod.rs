//! Objects as files on a host reached over SFTP.
//!
//! Files and folders are as in the local store: mode 0600 and 0700, a hidden temporary file that is synced
//! and renamed. The host's key must be on file. One connection serves all calls; when it is lost, the next
//! call makes a new one, and large objects go on from what the host is proved to have.

mod connect;
mod delete;
mod error;
mod known_hosts;
mod large;
mod list;
mod read;

use crate::config::SshConfig;
use crate::local::check_name;
use crate::retry::Retry;
use crate::stamp::Stamp;
use crate::store::{ByteStream, Entry, LargeWriter, ObjectInfo, ObjectName, Skips, Store, StoreError};
use crate::throttle::Limits;
use crate::walk::walk;
use async_trait::async_trait;
use bytes::Bytes;
use connect::{ConnectError, Link};
use russh_sftp::protocol::{FileAttributes, OpenFlags};
use std::ops::Range;
use std::sync::Arc;
use tokio::sync::Mutex;

/// Of a tree: answers come in the time of one.
const LISTINGS_AT_ONCE: usize = 8;

/// A folder on another host. Clones share the connection.
#[derive(Clone)]
pub struct SshStore {
    inner: Arc<Inner>,
}

struct Inner {
    config: SshConfig,
    label: String,
    limits: Limits,
    retry: Retry,
    link: Mutex<Option<Arc<Link>>>,
}

/// For errors: which connection, which object.
pub(crate) struct Wrong<'a> {
    link: &'a Arc<Link>,
    name: &'a str,
}

impl SshStore {
    /// `retry` is used for large objects and the steps of `delete_tree`; the other calls try once, so wrap
    /// the store in [`crate::Retrying`] ([`crate::open_with`] does).
    pub fn new(config: SshConfig, limits: Limits, retry: Retry) -> Result<Self, StoreError> {
        let label = format!("ssh:{}@{}:{}", config.user, config.host, config.dir);
        if config.dir.split('/').any(|part| part == "..") || config.dir.contains('\0') {
            return Err(StoreError::BadName { name: config.dir });
        }
        let inner = Inner { config, label, limits, retry, link: Mutex::new(None) };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The connection, made now if need be.
    async fn link(&self) -> Result<Arc<Link>, StoreError> {
        let mut slot = self.inner.link.lock().await;
        if let Some(link) = slot.as_ref().filter(|link| !link.is_closed()) {
            return Ok(link.clone());
        }
        *slot = None;
        let config = &self.inner.config;
        let link = Link::open(config).await.map_err(|error| match error {
            ConnectError::Refused(cause) => StoreError::Refused { store: self.inner.label.clone(), cause },
            ConnectError::Unavailable(cause) => {
                self.unavailable("connection", format!("{}:{}: {cause}", config.host, config.port))
            }
        })?;
        let link = Arc::new(link);
        *slot = Some(link.clone());
        Ok(link)
    }

    /// Makes the next call open a new connection, unless somebody has done so already.
    async fn forget(&self, link: &Arc<Link>) {
        let mut slot = self.inner.link.lock().await;
        if slot.as_ref().is_some_and(|current| Arc::ptr_eq(current, link)) {
            *slot = None;
        }
        drop(slot);
        let link = link.clone();
        // The goodbye may wait for a dead socket.
        tokio::spawn(async move { link.close().await });
    }

    fn path(link: &Link, name: &str) -> String {
        if name.is_empty() { link.root.clone() } else { format!("{}/{name}", link.root) }
    }

    async fn info(&self, name: &ObjectName) -> Result<Option<ObjectInfo>, StoreError> {
        let link = self.link().await?;
        match link.sftp.stat(Self::path(&link, name.as_str())).await {
            Ok(answer) if answer.attrs.file_type().is_file() => {
                Ok(Some(ObjectInfo { size_bytes: answer.attrs.size.unwrap_or(0) }))
            }
            Ok(_) => Ok(None),
            Err(error) if error::is_missing(&error) => Ok(None),
            Err(error) => {
                Err(self.wrong(&Wrong { link: &link, name: name.as_str() }, "looking at", error).await)
            }
        }
    }

    /// Makes a folder and those above it, mode 0700.
    async fn make_folders(&self, link: &Arc<Link>, folder: &str, name: &str) -> Result<(), StoreError> {
        let mut missing = Vec::new();
        let mut at = folder;
        while !at.is_empty() {
            match link.sftp.stat(at).await {
                Ok(answer) if answer.attrs.file_type().is_dir() => break,
                Ok(_) => return Err(self.other(name, format!("{at} is in the way and no folder"))),
                Err(error) if error::is_missing(&error) => missing.push(at),
                Err(error) => {
                    return Err(self.wrong(&Wrong { link, name }, "looking at the folder", error).await);
                }
            }
            at = at.rsplit_once('/').map_or("", |(above, _)| above);
        }
        for folder in missing.into_iter().rev() {
            let attributes = FileAttributes { permissions: Some(0o700), ..FileAttributes::empty() };
            match link.sftp.mkdir(folder, attributes).await {
                Ok(_) => {}
                // Somebody else was faster: fine if it is a folder now, told by what comes next if not.
                Err(error) if error::is_failure(&error) => {}
                Err(error) => {
                    return Err(self.wrong(&Wrong { link, name }, "making the folder", error).await);
                }
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Store for SshStore {
    fn describe(&self) -> String {
        self.inner.label.clone()
    }

    async fn prepare(&self) -> Result<(), StoreError> {
        let link = self.link().await?;
        self.make_folders(&link, &link.root.clone(), "").await?;
        let trial = large::temporary(&link.root);
        let wrong = Wrong { link: &link, name: "" };
        let flags = OpenFlags::CREATE | OpenFlags::EXCLUDE | OpenFlags::WRITE;
        let opened = link.sftp.open(trial.as_str(), flags, FileAttributes::empty()).await;
        let handle = match opened {
            Ok(handle) => handle.handle,
            Err(error) => return Err(self.wrong(&wrong, "trying to make a file in the folder", error).await),
        };
        let _ = link.sftp.close(handle).await;
        match link.sftp.remove(trial).await {
            Ok(_) => Ok(()),
            Err(error) => Err(self.wrong(&wrong, "removing the trial file", error).await),
        }
    }

    async fn put(&self, name: &ObjectName, body: Bytes) -> Result<(), StoreError> {
        check_name(name)?;
        let mut writer = Box::new(large::SshWriter::create(self.clone(), name, None).await?);
        if let Err(error) = writer.write(body).await {
            writer.abandon().await;
            return Err(error);
        }
        writer.finish().await.map(|_| ())
    }

    async fn put_stamped(&self, name: &ObjectName, body: Bytes) -> Result<Option<Stamp>, StoreError> {
        check_name(name)?;
        let mut writer = Box::new(large::SshWriter::create(self.clone(), name, None).await?);
        if let Err(error) = writer.write(body).await {
            writer.abandon().await;
            return Err(error);
        }
        writer.finish_stamped().await
    }

    async fn get(&self, name: &ObjectName, range: Option<Range<u64>>) -> Result<ByteStream, StoreError> {
        self.read(name, range).await
    }

    async fn head(&self, name: &ObjectName) -> Result<Option<ObjectInfo>, StoreError> {
        self.info(name).await
    }

    async fn list(&self, folder: Option<&ObjectName>) -> Result<Vec<Entry>, StoreError> {
        self.entries(folder.map_or("", ObjectName::as_str)).await
    }

    async fn list_tree_without(
        &self,
        folder: &ObjectName,
        most: usize,
        skips: Skips<'_>,
    ) -> Result<Option<Vec<Entry>>, StoreError> {
        walk(self, folder, most, LISTINGS_AT_ONCE, skips).await
    }

    async fn delete(&self, name: &ObjectName) -> Result<(), StoreError> {
        self.delete_object(name).await
    }

    fn spares_requests(&self) -> bool {
        true
    }

    async fn delete_tree(&self, folder: &ObjectName) -> Result<u64, StoreError> {
        self.delete_below(folder).await
    }

    async fn create_large(&self, name: &ObjectName) -> Result<Box<dyn LargeWriter>, StoreError> {
        check_name(name)?;
        let retry = Some(self.inner.retry.clone());
        Ok(Box::new(large::SshWriter::create(self.clone(), name, retry).await?))
    }
}
