//! Objects as files on an FTP server, in the clear (`ftp`) or over TLS (`ftps`).
//!
//! A hidden temporary file is written, its size asked for, and renamed: a name shows a whole object or none. FTP knows
//! neither `fsync` nor modes: how durable what the server acknowledged is, and who may read it there, is up to the server. A
//! control connection does one thing at a time, so a few of them are kept; one that broke, or has no TLS session left for a server
//! that demands one, is replaced. Deleting never enters a symbolic link that it meets, as the server is asked to delete the name first; links above a
//! folder cannot be seen over FTP.

mod connect;
mod delete;
mod error;
mod hang_up;
mod large;
mod lines;
mod list;
mod pool;
mod read;
mod reuse;
mod sessions;
mod time;
mod tls;
mod write;

use crate::config::FtpConfig;
use crate::retry::Retry;
use crate::stamp::Stamp;
use crate::store::{ByteStream, Entry, LargeWriter, ObjectInfo, ObjectName, Store, StoreError};
use crate::throttle::Limits;
use async_trait::async_trait;
use bytes::Bytes;
use pool::Pool;
use reuse::Reuse;
use std::ops::Range;
use std::sync::Arc;

/// A folder on an FTP server. Clones share the connections.
#[derive(Clone)]
pub struct FtpStore {
    inner: Arc<Inner>,
}

struct Inner {
    config: FtpConfig,
    label: String,
    limits: Limits,
    retry: Retry,
    pool: Pool,
    reuse: Reuse,
}

impl FtpStore {
    /// `retry` is used for large objects and for `delete_tree`; the other calls try once, so wrap the store in
    /// [`crate::Retrying`] ([`crate::open_with`] does).
    pub fn new(config: FtpConfig, limits: Limits, retry: Retry) -> Result<Self, StoreError> {
        let scheme = if config.tls.is_some() { "ftps" } else { "ftp" };
        let label = format!("{scheme}:{}@{}:{}", config.user, config.host, config.dir);
        if config.dir.split('/').any(|part| part == "..") || has_control(&config.dir) {
            return Err(StoreError::BadName { name: config.dir });
        }
        if config.tls.as_ref().is_some_and(|tls| tls.insecure) {
            tracing::warn!(store = %label, "insecure: the server's certificate is not verified");
        }
        let pool = Pool::new(config.connections);
        let inner = Inner { config, label, limits, retry, pool, reuse: Reuse::default() };
        Ok(Self { inner: Arc::new(inner) })
    }
}

/// A command is a line: what would end it cannot be part of a name.
fn has_control(text: &str) -> bool {
    text.contains(['\r', '\n', '\0'])
}

/// A name that FTP cannot carry, or that could be taken for a file on its way, is not accepted.
fn check_name(name: &ObjectName) -> Result<(), StoreError> {
    if has_control(name.as_str()) {
        return Err(StoreError::BadName { name: name.as_str().escape_debug().to_string() });
    }
    crate::local::check_name(name)
}

#[async_trait]
impl Store for FtpStore {
    fn describe(&self) -> String {
        self.inner.label.clone()
    }

    async fn prepare(&self) -> Result<(), StoreError> {
        self.prepare_root().await
    }

    async fn put(&self, name: &ObjectName, body: Bytes) -> Result<(), StoreError> {
        check_name(name)?;
        self.put_whole(name, body, false).await.map(|_| ())
    }

    async fn put_stamped(&self, name: &ObjectName, body: Bytes) -> Result<Option<Stamp>, StoreError> {
        check_name(name)?;
        self.put_whole(name, body, true).await
    }

    async fn get(&self, name: &ObjectName, range: Option<Range<u64>>) -> Result<ByteStream, StoreError> {
        check_name(name)?;
        self.read(name, range).await
    }

    async fn head(&self, name: &ObjectName) -> Result<Option<ObjectInfo>, StoreError> {
        check_name(name)?;
        let _turn = self.turn().await;
        let mut conn = self.conn().await?;
        let path = conn.path(name.as_str());
        let result = conn.stat(&path).await;
        let stat = self.settle(conn, name.as_str(), "looking at", result)?;
        Ok(stat.filter(|stat| !stat.is_folder).map(|stat| ObjectInfo { size_bytes: stat.size_bytes }))
    }

    async fn list(&self, folder: Option<&ObjectName>) -> Result<Vec<Entry>, StoreError> {
        folder.map(check_name).transpose()?;
        self.entries(folder.map_or("", ObjectName::as_str)).await
    }

    async fn delete(&self, name: &ObjectName) -> Result<(), StoreError> {
        check_name(name)?;
        self.delete_object(name).await
    }

    fn spares_requests(&self) -> bool {
        true
    }

    async fn delete_tree(&self, folder: &ObjectName) -> Result<u64, StoreError> {
        check_name(folder)?;
        self.delete_below(folder).await
    }

    async fn create_large(&self, name: &ObjectName) -> Result<Box<dyn LargeWriter>, StoreError> {
        check_name(name)?;
        Ok(Box::new(large::FtpWriter::new(self.clone(), name)))
    }
}
