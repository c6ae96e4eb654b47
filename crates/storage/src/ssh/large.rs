//! Writing: a temporary file beside the object, many write requests on their way at once, then sync and
//! rename.
//!
//! When the connection is lost, writing goes on over a new one: pieces are kept until they are
//! acknowledged, and what was acknowledged before is read back and compared with the SHA-256 of what was sent,
//! as the host may have lost it together with the connection.

use super::connect::Link;
use super::error::is_missing;
use super::list::stamp;
use super::read::Reader;
use super::{SshStore, Wrong};
use crate::local::TEMPORARY_PREFIX;
use crate::retry::Retry;
use crate::stamp::{SET_BACK_SECS, Stamp};
use crate::store::{LargeWriter, ObjectName, StoreError};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt;
use russh_sftp::client::error::Error;
use russh_sftp::protocol::{FileAttributes, OpenFlags};
use sha2::{Digest, Sha256};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// Bytes sent and not yet acknowledged.
const WINDOW_BYTES: usize = 2 << 20;

/// `Sync`, so that references to the writer may cross an await.
type Answer = Pin<Box<dyn Future<Output = Result<(), Error>> + Send + Sync>>;

struct Sent {
    offset: u64,
    data: Bytes,
    answer: Answer,
}

pub(super) struct SshWriter {
    store: SshStore,
    name: ObjectName,
    /// Below the root, like the object's name.
    temporary: String,
    link: Arc<Link>,
    handle: String,
    sent: VecDeque<Sent>,
    sent_bytes: usize,
    next_offset: u64,
    /// Of the first `acknowledged_bytes`.
    digest: Sha256,
    acknowledged_bytes: u64,
    /// Failures since the last acknowledgement.
    failures: u32,
    /// `None`: a failure is final here, because the caller repeats the whole.
    retry: Option<Retry>,
}

/// A new name for a file on its way in `folder`.
pub(super) fn temporary(folder: &str) -> String {
    format!("{folder}/{TEMPORARY_PREFIX}{}", uuid::Uuid::new_v4().simple())
}

impl SshWriter {
    /// A writer that goes on after failures as `retry` says.
    pub async fn create(
        store: SshStore,
        name: &ObjectName,
        retry: Option<Retry>,
    ) -> Result<Self, StoreError> {
        let link = store.link().await?;
        let folder = name.as_str().rsplit_once('/').map_or("", |(folder, _)| folder);
        let temporary = temporary(folder).trim_start_matches('/').to_string();
        let path = SshStore::path(&link, &temporary);
        let flags = OpenFlags::CREATE | OpenFlags::EXCLUDE | OpenFlags::WRITE;
        let mode = FileAttributes { permissions: Some(0o600), ..FileAttributes::empty() };
        let mut opened = link.sftp.open(path.as_str(), flags, mode.clone()).await;
        // Most folders are there already; and somebody's rotation may remove one that was just made.
        for _ in 0..5 {
            if !opened.as_ref().is_err_and(is_missing) {
                break;
            }
            store.make_folders(&link, &SshStore::path(&link, folder), name.as_str()).await?;
            opened = link.sftp.open(path.as_str(), flags, mode.clone()).await;
        }
        let handle = match opened {
            Ok(handle) => handle.handle,
            Err(error) => {
                let wrong = Wrong { link: &link, name: name.as_str() };
                return Err(store.wrong(&wrong, "making a temporary file", error).await);
            }
        };
        Ok(Self {
            store,
            name: name.clone(),
            temporary,
            link,
            handle,
            sent: VecDeque::new(),
            sent_bytes: 0,
            next_offset: 0,
            digest: Sha256::new(),
            acknowledged_bytes: 0,
            failures: 0,
            retry,
        })
    }

    async fn wrong(&self, doing: &str, error: Error) -> StoreError {
        self.store.wrong(&Wrong { link: &self.link, name: self.name.as_str() }, doing, error).await
    }

    /// Sends a write request at once; its answer is awaited later.
    fn request(&self, offset: u64, data: &Bytes) -> Answer {
        let (sftp, handle, data) = (self.link.sftp.clone(), self.handle.clone(), data.to_vec());
        let mut answer: Answer = Box::pin(async move { sftp.write(handle, offset, data).await.map(|_| ()) });
        match (&mut answer).now_or_never() {
            Some(result) => Box::pin(async move { result }),
            None => answer,
        }
    }

    fn send(&mut self, data: Bytes) {
        let offset = self.next_offset;
        let answer = self.request(offset, &data);
        self.next_offset += data.len() as u64;
        self.sent_bytes += data.len();
        self.sent.push_back(Sent { offset, data, answer });
    }

    /// Waits for the oldest answer. After a lost connection everything unanswered is sent again.
    async fn acknowledge_one(&mut self) -> Result<(), StoreError> {
        let Some(oldest) = self.sent.front_mut() else { return Ok(()) };
        match (&mut oldest.answer).await {
            Ok(()) => {
                if let Some(sent) = self.sent.pop_front() {
                    self.digest.update(&sent.data);
                    self.acknowledged_bytes += sent.data.len() as u64;
                    self.sent_bytes -= sent.data.len();
                }
                self.failures = 0;
                Ok(())
            }
            Err(error) => {
                let error = self.wrong("writing", error).await;
                self.go_on_after(error).await
            }
        }
    }

    async fn acknowledge_all(&mut self) -> Result<(), StoreError> {
        while !self.sent.is_empty() {
            self.acknowledge_one().await?;
        }
        Ok(())
    }

    async fn pause(&mut self, error: StoreError) -> Result<(), StoreError> {
        match &self.retry {
            Some(retry) => retry.pause(&mut self.failures, error).await,
            None => Err(error),
        }
    }

    /// Makes a new connection after a transient error and takes up the file there.
    async fn go_on_after(&mut self, error: StoreError) -> Result<(), StoreError> {
        let mut error = error;
        loop {
            self.pause(error).await?;
            match self.take_up().await {
                Ok(()) => return Ok(()),
                Err(again) => error = again,
            }
        }
    }

    async fn take_up(&mut self) -> Result<(), StoreError> {
        self.link = self.store.link().await?;
        let path = SshStore::path(&self.link, &self.temporary);
        let flags = OpenFlags::READ | OpenFlags::WRITE;
        self.handle = match self.link.sftp.open(path, flags, FileAttributes::empty()).await {
            Ok(handle) => handle.handle,
            Err(error) if is_missing(&error) => {
                return Err(self
                    .store
                    .other(self.name.as_str(), "the unfinished file vanished from the host"));
            }
            Err(error) => return Err(self.wrong("opening the unfinished file again", error).await),
        };
        self.compare().await?;
        let again: Vec<_> = self.sent.iter().map(|sent| self.request(sent.offset, &sent.data)).collect();
        for (sent, answer) in self.sent.iter_mut().zip(again) {
            sent.answer = answer;
        }
        Ok(())
    }

    /// Reads back what was acknowledged.
    async fn compare(&mut self) -> Result<(), StoreError> {
        let mut reader = Reader::new(self.link.clone(), self.handle.clone(), 0..self.acknowledged_bytes);
        let mut found = Sha256::new();
        let result = loop {
            match reader.next().await {
                Ok(Some(bytes)) => found.update(&bytes),
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        // The handle goes on being written to.
        reader.keep_open();
        match result {
            Ok(()) if found.finalize() == self.digest.clone().finalize() => Ok(()),
            Ok(()) => Err(self.lost()),
            Err(error) if super::error::is_end(&error) => Err(self.lost()),
            Err(error) => Err(self.wrong("reading back", error).await),
        }
    }

    fn lost(&self) -> StoreError {
        let cause = "the host lost data it had acknowledged (was it restarted?); run the backup again";
        self.store.other(self.name.as_str(), cause)
    }

    async fn sync_and_close(&mut self) -> Result<(), StoreError> {
        if self.link.fsync
            && let Err(error) = self.link.sftp.fsync(self.handle.as_str()).await
        {
            return Err(self.wrong("syncing", error).await);
        }
        match self.link.sftp.close(self.handle.as_str()).await {
            Ok(_) => Ok(()),
            Err(error) => Err(self.wrong("closing", error).await),
        }
    }

    async fn publish(&mut self) -> Result<(), StoreError> {
        let (from, to) = (self.path(&self.temporary), self.path(self.name.as_str()));
        match self.link.rename_over(&from, &to).await {
            Ok(()) => {
                self.sync_folder(&to).await;
                Ok(())
            }
            // The answer to an earlier try may have been lost.
            Err(error) if is_missing(&error) && self.failures > 0 => match self.link.sftp.stat(to).await {
                Ok(answer) if answer.attrs.size == Some(self.next_offset) => Ok(()),
                _ => Err(self.wrong("renaming the finished file", error).await),
            },
            Err(error) => Err(self.wrong("renaming the finished file", error).await),
        }
    }

    fn path(&self, name: &str) -> String {
        SshStore::path(&self.link, name)
    }

    /// OpenSSH syncs a folder that was opened like a file; a server that cannot is as good as it gets.
    async fn sync_folder(&self, path: &str) {
        let Some((folder, _)) = path.rsplit_once('/').filter(|_| self.link.fsync) else { return };
        if let Ok(opened) = self.link.sftp.open(folder, OpenFlags::READ, FileAttributes::empty()).await {
            let _ = self.link.sftp.fsync(opened.handle.as_str()).await;
            let _ = self.link.sftp.close(opened.handle).await;
        }
    }

    async fn finish_file(&mut self) -> Result<(), StoreError> {
        loop {
            self.acknowledge_all().await?;
            match self.sync_and_close().await {
                Ok(()) => break,
                Err(error) => self.go_on_after(error).await?,
            }
        }
        loop {
            let error = match self.publish().await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            self.pause(error).await?;
            match self.store.link().await {
                Ok(link) => self.link = link,
                Err(error) if error.is_transient() => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Finishes a file whose time is set back, as [`crate::stamp`] says.
    pub async fn finish_stamped(mut self: Box<Self>) -> Result<Option<Stamp>, StoreError> {
        match self.finish_set_back().await {
            Ok(stamp) => Ok(stamp),
            Err(error) => {
                self.remove_temporary().await;
                Err(error)
            }
        }
    }

    async fn finish_set_back(&mut self) -> Result<Option<Stamp>, StoreError> {
        // What came after it would move the time again.
        self.acknowledge_all().await?;
        let stamp = self.set_back().await;
        self.finish_file().await?;
        Ok(stamp)
    }

    /// A host that says yes and does nothing lists the file with a later time, and nobody believes what is known of it. What else
    /// goes wrong here is told by what comes next.
    async fn set_back(&self) -> Option<Stamp> {
        let written = self.link.sftp.fstat(self.handle.as_str()).await.ok()?.attrs;
        let modified = written.mtime?.checked_sub(SET_BACK_SECS)?;
        let times = FileAttributes { atime: written.atime, mtime: Some(modified), ..FileAttributes::empty() };
        self.link.sftp.fsetstat(self.handle.as_str(), times).await.ok()?;
        Some(stamp(modified))
    }

    async fn remove_temporary(&mut self) {
        let Ok(link) = self.store.link().await else { return };
        if Arc::ptr_eq(&link, &self.link) {
            let _ = link.sftp.close(self.handle.as_str()).await;
        }
        if let Err(error) = link.sftp.remove(SshStore::path(&link, &self.temporary)).await
            && !is_missing(&error)
        {
            tracing::warn!(%error, file = %self.temporary, "an unfinished file stays behind");
        }
    }
}

#[async_trait]
impl LargeWriter for SshWriter {
    async fn write(&mut self, mut piece: Bytes) -> Result<(), StoreError> {
        while !piece.is_empty() {
            let packet = self.store.inner.limits.split_upload(&mut piece, self.link.packet_bytes);
            while self.sent_bytes + packet.len() > WINDOW_BYTES && !self.sent.is_empty() {
                self.acknowledge_one().await?;
            }
            self.store.inner.limits.charge_upload(packet.len()).await;
            self.send(packet);
        }
        Ok(())
    }

    async fn end_segment(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<Vec<ObjectName>, StoreError> {
        match self.finish_file().await {
            Ok(()) => Ok(Vec::new()),
            Err(error) => {
                self.remove_temporary().await;
                Err(error)
            }
        }
    }

    async fn abandon(mut self: Box<Self>) {
        self.sent.clear();
        self.remove_temporary().await;
    }
}
