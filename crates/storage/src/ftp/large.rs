//! Writing a large object: leg by leg to the end of a temporary file.
//!
//! FTP acknowledges a transfer only when it ends. So a large object is many of them, and the bytes of a leg are kept until the
//! server has acknowledged it and tells the right size. After a failure the file is read back as far as the server has it, and
//! compared with the SHA-256 of what was sent. One leg is on its way while the next is filled.

use super::FtpStore;
use super::connect::Conn;
use super::error::Failure;
use super::write::temporary;
use crate::store::{LargeWriter, ObjectName, StoreError};
use async_trait::async_trait;
use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::task::JoinHandle;

/// Long enough that the turnaround does not count, short enough to be kept twice in memory.
const LEG_BYTES: usize = 16 << 20;

/// What the server has acknowledged.
#[derive(Clone, Default)]
struct Acknowledged {
    bytes: u64,
    digest: Sha256,
    /// Something was written, if only the empty file.
    has_file: bool,
}

pub(super) struct FtpWriter {
    store: FtpStore,
    name: ObjectName,
    /// Below the root, like the object's name.
    part: String,
    leg: Vec<Bytes>,
    leg_bytes: usize,
    acknowledged: Acknowledged,
    on_its_way: Option<JoinHandle<Result<Acknowledged, StoreError>>>,
}

impl Drop for FtpWriter {
    fn drop(&mut self) {
        if let Some(task) = self.on_its_way.take() {
            task.abort();
        }
    }
}

impl FtpWriter {
    pub fn new(store: FtpStore, name: &ObjectName) -> Self {
        let part = temporary(name.as_str());
        Self {
            store,
            name: name.clone(),
            part,
            leg: Vec::new(),
            leg_bytes: 0,
            acknowledged: Acknowledged::default(),
            on_its_way: None,
        }
    }

    /// Waits for the leg that is on its way.
    async fn arrive(&mut self) -> Result<(), StoreError> {
        let Some(task) = &mut self.on_its_way else { return Ok(()) };
        let result = task.await;
        self.on_its_way = None;
        self.acknowledged = result
            .map_err(|error| self.store.other(self.name.as_str(), format!("upload task: {error}")))??;
        Ok(())
    }

    /// Sends the leg that was filled, behind the one before it.
    async fn depart(&mut self) -> Result<(), StoreError> {
        self.arrive().await?;
        let leg = Leg {
            store: self.store.clone(),
            name: self.name.clone(),
            part: self.part.clone(),
            acknowledged: self.acknowledged.clone(),
            pieces: std::mem::take(&mut self.leg),
        };
        self.leg_bytes = 0;
        self.on_its_way = Some(tokio::spawn(leg.send()));
        Ok(())
    }

    async fn finish_file(&mut self) -> Result<(), StoreError> {
        self.arrive().await?;
        if self.leg_bytes > 0 || !self.acknowledged.has_file {
            self.depart().await?;
            self.arrive().await?;
        }
        let mut failures = 0;
        while let Err(error) = self.publish(failures > 0).await {
            self.store.inner.retry.pause(&mut failures, error).await?;
        }
        Ok(())
    }

    async fn publish(&self, is_again: bool) -> Result<(), StoreError> {
        let _turn = self.store.turn().await;
        let mut conn = self.store.conn().await?;
        let (from, to) = (conn.path(&self.part), conn.path(self.name.as_str()));
        let result = match conn.publish(&from, &to).await {
            // The answer to an earlier try may have been lost.
            Err(failure) if is_again && failure.is_refusal() => match conn.stat(&from).await {
                Ok(None) => conn.check_size(&to, self.acknowledged.bytes).await.map(|_| ()),
                Ok(Some(_)) => Err(failure),
                Err(again) => Err(again),
            },
            result => result,
        };
        self.store.settle(conn, self.name.as_str(), "renaming the finished file", result)
    }
}

#[async_trait]
impl LargeWriter for FtpWriter {
    async fn write(&mut self, piece: Bytes) -> Result<(), StoreError> {
        if !piece.is_empty() {
            self.leg_bytes += piece.len();
            self.leg.push(piece);
        }
        if self.leg_bytes >= LEG_BYTES { self.depart().await } else { Ok(()) }
    }

    async fn end_segment(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<Vec<ObjectName>, StoreError> {
        match self.finish_file().await {
            Ok(()) => Ok(Vec::new()),
            Err(error) => {
                self.store.remove_part(&self.part).await;
                Err(error)
            }
        }
    }

    async fn abandon(mut self: Box<Self>) {
        if let Some(task) = self.on_its_way.take() {
            task.abort();
            let _ = task.await;
        } else if !self.acknowledged.has_file {
            return;
        }
        self.store.remove_part(&self.part).await;
    }
}

struct Leg {
    store: FtpStore,
    name: ObjectName,
    part: String,
    acknowledged: Acknowledged,
    pieces: Vec<Bytes>,
}

impl Leg {
    async fn send(self) -> Result<Acknowledged, StoreError> {
        let mut failures = 0;
        loop {
            let error = match self.send_once(failures > 0).await {
                Ok(()) => break,
                Err(error) => error,
            };
            self.store.inner.retry.pause(&mut failures, error).await?;
        }
        let mut acknowledged = self.acknowledged;
        for piece in &self.pieces {
            acknowledged.digest.update(piece);
            acknowledged.bytes += piece.len() as u64;
        }
        acknowledged.has_file = true;
        Ok(acknowledged)
    }

    async fn send_once(&self, is_again: bool) -> Result<(), StoreError> {
        let _turn = self.store.turn().await;
        let mut conn = self.store.conn().await?;
        let path = conn.path(&self.part);
        let has = match self.has_before(&mut conn, &path, is_again).await {
            Ok(has) => has,
            Err(failure) => return self.store.settle(conn, self.name.as_str(), "reading back", Err(failure)),
        };
        let rest = match has {
            Ok(has) => self.rest_behind(has),
            Err(cause) => {
                self.store.settle(conn, self.name.as_str(), "reading back", Ok(()))?;
                return Err(self.store.other(self.name.as_str(), cause));
            }
        };
        let result = self.transfer(&mut conn, &path, rest, is_again).await;
        self.store.settle(conn, self.name.as_str(), "writing", result)
    }

    fn end(&self) -> u64 {
        self.acknowledged.bytes + self.pieces.iter().map(|piece| piece.len() as u64).sum::<u64>()
    }

    /// How many bytes the file has, which are right; or why it cannot be gone on with.
    async fn has_before(
        &self,
        conn: &mut Conn,
        path: &str,
        is_again: bool,
    ) -> Result<Result<u64, &'static str>, Failure> {
        const LOST: &str =
            "the server lost data it had acknowledged (was it restarted?); run the backup again";
        let from = self.acknowledged.bytes;
        // The first leg begins the file anew.
        if !is_again || from == 0 {
            return Ok(Ok(from));
        }
        let has = conn.stat(path).await?.map_or(0, |stat| stat.size_bytes);
        if has < from || has > self.end() {
            return Ok(Err(LOST));
        }
        let mut digest = self.acknowledged.digest.clone();
        let mut left = has - from;
        for piece in &self.pieces {
            let part = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
            digest.update(piece.get(..part).unwrap_or_default());
            left -= part as u64;
        }
        Ok(if conn.begins_with(path, has, digest).await? { Ok(has) } else { Err(LOST) })
    }

    /// What is to be sent when the server has `has` bytes.
    fn rest_behind(&self, has: u64) -> Vec<Bytes> {
        let mut skip = has - self.acknowledged.bytes.min(has);
        let mut rest = Vec::new();
        for piece in &self.pieces {
            let part = usize::try_from(skip).unwrap_or(usize::MAX).min(piece.len());
            skip -= part as u64;
            rest.push(piece.slice(part..));
        }
        rest
    }

    async fn transfer(
        &self,
        conn: &mut Conn,
        path: &str,
        rest: Vec<Bytes>,
        is_again: bool,
    ) -> Result<(), Failure> {
        let limits = &self.store.inner.limits;
        if self.acknowledged.bytes == 0 {
            // What a failed try has left is not written over by every server.
            if is_again && conn.stat(path).await?.is_some() {
                conn.remove(path).await?;
            }
            conn.store(path, rest, limits).await?;
        } else if rest.iter().any(|piece| !piece.is_empty()) {
            conn.append(path, rest, limits).await?;
        }
        conn.check_size(path, self.end()).await.map(|_| ())
    }
}
