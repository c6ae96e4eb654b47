//! Writing a file: a temporary name, the size the server has, the real name.

use super::FtpStore;
use super::connect::{Conn, Transfer};
use super::error::{Failure, within};
use super::list::{Stat, stamp};
use super::time;
use crate::local::TEMPORARY_PREFIX;
use crate::stamp::{SET_BACK_SECS, Stamp};
use crate::store::{ObjectName, StoreError};
use crate::throttle::Limits;
use bytes::Bytes;
use std::time::Duration;
use suppaftp::Status;
use tokio::io::AsyncWriteExt;

/// The most bytes that are handed to the socket at once.
const PACKET_BYTES: usize = 64 << 10;
/// How long a server may take to say why it does not take any more.
const REASON_TIMEOUT: Duration = Duration::from_secs(10);
/// Somebody's rotation may remove a folder that was just made.
const FOLDER_TRIES: usize = 5;

/// A new name for a file on its way beside the object `name`.
pub(super) fn temporary(name: &str) -> String {
    let part = format!("{TEMPORARY_PREFIX}{}", uuid::Uuid::new_v4().simple());
    match name.rsplit_once('/') {
        Some((folder, _)) => format!("{folder}/{part}"),
        None => part,
    }
}

impl Conn {
    /// Makes a folder and those above it.
    pub async fn make_folders(&mut self, folder: &str) -> Result<(), Failure> {
        let (mut missing, mut at) = (Vec::new(), folder);
        while !at.is_empty() {
            match self.enter(at).await {
                Ok(()) => break,
                Err(failure) if failure.is_refusal() => missing.push(at),
                Err(failure) => return Err(failure),
            }
            at = at.rsplit_once('/').map_or("", |(above, _)| above);
        }
        for folder in missing.into_iter().rev() {
            match within(self.patience, self.ftp.mkdir(folder)).await {
                Ok(()) => {}
                // Somebody else was faster: fine if it is a folder now.
                Err(failure) if failure.is_refusal() => {
                    if let Err(again) = self.enter(folder).await {
                        return Err(if again.is_refusal() { failure } else { again });
                    }
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(())
    }

    /// Begins a file, and makes its folders if they are not there: most are.
    async fn begin(&mut self, path: &str) -> Result<Transfer, Failure> {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut tries = 0;
        loop {
            tries += 1;
            match within(self.patience, self.ftp.put_with_stream(path)).await {
                Err(failure) if failure.is_refusal() && tries < FOLDER_TRIES => {
                    self.make_folders(folder).await?;
                }
                result => return result,
            }
        }
    }

    /// Writes a new file.
    pub async fn store(&mut self, path: &str, pieces: Vec<Bytes>, limits: &Limits) -> Result<(), Failure> {
        let transfer = self.begin(path).await?;
        self.send(transfer, pieces, limits).await
    }

    /// Writes on at the end of a file.
    pub async fn append(&mut self, path: &str, pieces: Vec<Bytes>, limits: &Limits) -> Result<(), Failure> {
        let transfer = within(self.patience, self.ftp.append_with_stream(path)).await?;
        self.send(transfer, pieces, limits).await
    }

    async fn send(
        &mut self,
        mut transfer: Transfer,
        pieces: Vec<Bytes>,
        limits: &Limits,
    ) -> Result<(), Failure> {
        for mut piece in pieces {
            while !piece.is_empty() {
                let packet = limits.split_upload(&mut piece, PACKET_BYTES);
                limits.charge_upload(packet.len()).await;
                let written =
                    async { transfer.write_all(&packet).await.map_err(suppaftp::FtpError::ConnectionError) };
                if let Err(failure) = within(self.patience, written).await {
                    return Err(self.reason(transfer, failure).await);
                }
            }
        }
        within(self.patience, transfer.finish()).await
    }

    /// A data connection broke. A server that ended it itself, for want of room, has said so on the control connection.
    async fn reason(&mut self, transfer: Transfer, failure: Failure) -> Failure {
        self.is_broken = true;
        match within(REASON_TIMEOUT, self.ftp.abort(transfer)).await {
            Err(said @ Failure::Reply { .. }) => said,
            _ => failure,
        }
    }

    /// The server has all of it.
    pub async fn check_size(&mut self, path: &str, size_bytes: u64) -> Result<Stat, Failure> {
        match self.stat(path).await? {
            Some(found) if found.size_bytes == size_bytes && !found.is_folder => Ok(found),
            Some(found) => Err(Failure::Damaged(format!(
                "the server has {} bytes of {size_bytes} that were sent",
                found.size_bytes
            ))),
            None => Err(Failure::Damaged("the server does not have what was sent".to_owned())),
        }
    }

    /// Sets the time of a file back, as [`crate::stamp`] says. A server that says yes and does nothing lists the file with a later time,
    /// and nobody believes what is known of it.
    async fn set_back(&mut self, path: &str, written: Stat) -> Result<Option<Stamp>, Failure> {
        let Some(modified_secs) = written.modified_secs.filter(|_| self.sets_times) else { return Ok(None) };
        let modified_secs = modified_secs.saturating_sub(SET_BACK_SECS.into());
        let Some(text) = time::text(modified_secs) else { return Ok(None) };
        let command = self.ftp.custom_command(format!("MFMT {text} {path}"), &[Status::File]);
        match within(self.patience, command).await {
            Ok(_) => Ok(Some(stamp(modified_secs))),
            Err(failure) if failure.leaves_connection() => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Gives a finished file its name. Servers that do not replace a file by renaming get the old one out of the way first.
    pub async fn publish(&mut self, from: &str, to: &str) -> Result<(), Failure> {
        let failure = match self.rename(from, to).await {
            Err(failure) if failure.is_refusal() => failure,
            result => return result,
        };
        if !matches!(self.stat(to).await?, Some(old) if !old.is_folder) || self.stat(from).await?.is_none() {
            return Err(failure);
        }
        let old = temporary(to);
        self.rename(to, &old).await?;
        if let Err(failure) = self.rename(from, to).await {
            // As it was before, as well as it goes.
            let _ = self.rename(&old, to).await;
            return Err(failure);
        }
        match self.remove(&old).await {
            Err(failure) if !failure.is_refusal() => Err(failure),
            _ => Ok(()),
        }
    }
}

impl FtpStore {
    pub(super) async fn prepare_root(&self) -> Result<(), StoreError> {
        let _turn = self.turn().await;
        let mut conn = self.conn().await?;
        let result = async {
            let root = conn.path("");
            conn.make_folders(&root).await?;
            let trial = conn.path(&temporary(""));
            conn.store(&trial, Vec::new(), &self.inner.limits).await?;
            conn.remove(&trial).await
        };
        let result = result.await;
        self.settle(conn, "", "trying to make a file in the folder", result)
    }

    /// With its time set back, if it is to be stamped.
    pub(super) async fn put_whole(
        &self,
        name: &ObjectName,
        body: Bytes,
        is_stamped: bool,
    ) -> Result<Option<Stamp>, StoreError> {
        let _turn = self.turn().await;
        let mut conn = self.conn().await?;
        let part = temporary(name.as_str());
        let (from, to, size_bytes) = (conn.path(&part), conn.path(name.as_str()), body.len() as u64);
        let result = async {
            conn.store(&from, vec![body], &self.inner.limits).await?;
            let written = conn.check_size(&from, size_bytes).await?;
            let stamp = if is_stamped { conn.set_back(&from, written).await? } else { None };
            conn.publish(&from, &to).await?;
            Ok::<_, Failure>(stamp)
        };
        let result = result.await;
        let result = self.settle(conn, name.as_str(), "writing", result);
        if result.is_err() {
            self.remove_part(&part).await;
        }
        result
    }

    /// Tidies up after a failure, as well as it can: nobody sees such a file, and deleting its folder takes it along.
    pub(super) async fn remove_part(&self, part: &str) {
        let Ok(mut conn) = self.conn().await else { return };
        let path = conn.path(part);
        let result = conn.remove(&path).await;
        if let Err(failure) = &result
            && !failure.is_refusal()
        {
            tracing::warn!(store = %self.inner.label, file = %part, ?failure, "an unfinished file stays behind");
        }
        let _ = self.settle(conn, part, "removing", result);
    }
}
