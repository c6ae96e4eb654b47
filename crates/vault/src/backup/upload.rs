//! The async side of a backup: from the sealing thread to the store.

use super::members::Members;
use super::stages::{HashedPiece, Part};
use crate::VaultError;
use crate::layout::{Hbn, LevelId};
use crate::manifest::Piece;
use crate::monitor::Monitor;
use bytes::Bytes;
use freezer_storage::{LargeWriter, ObjectName, Store};
use std::sync::Arc;
use tokio::sync::mpsc;

/// A payload up to this size is one small object on every store: writing a large one takes several requests.
const MOST_SMALL_BYTES: usize = 256 << 10;

/// The payload when all of it has passed.
pub(super) struct Finished {
    /// As [`LargeWriter::finish`] answers.
    pub segments: Vec<ObjectName>,
    /// A short payload, which is not stored yet: it goes with the small objects.
    pub short: Option<(ObjectName, Bytes)>,
}

/// Where the payload goes. Nothing is visible before [`Destination::finish`].
pub(super) struct Destination {
    /// `None` in a dry run.
    place: Option<(Arc<dyn Store>, ObjectName)>,
    /// Kept here while it is short.
    kept: Vec<Part>,
    kept_bytes: usize,
    writer: Option<Box<dyn LargeWriter>>,
}

impl Destination {
    pub(super) fn new(place: Option<(Arc<dyn Store>, ObjectName)>) -> Self {
        Self { place, kept: Vec::new(), kept_bytes: 0, writer: None }
    }

    pub(super) async fn take(&mut self, part: Part) -> Result<(), VaultError> {
        let Some((store, name)) = &self.place else { return Ok(()) };
        if let Some(writer) = &mut self.writer {
            return pass_on(writer, part).await;
        }
        if let Part::Bytes(bytes) = &part {
            self.kept_bytes += bytes.len();
        }
        self.kept.push(part);
        if self.kept_bytes > MOST_SMALL_BYTES {
            let writer = self.writer.insert(store.create_large(name).await?);
            for part in std::mem::take(&mut self.kept) {
                pass_on(writer, part).await?;
            }
        }
        Ok(())
    }

    /// When all has been taken: waits until the store has it, and nothing of it is in memory any more.
    pub(super) async fn settle(&mut self) -> Result<(), VaultError> {
        match &mut self.writer {
            Some(writer) => Ok(writer.settle().await?),
            None => Ok(()),
        }
    }

    /// Makes a long payload visible, and hands over a short one.
    pub(super) async fn finish(self) -> Result<Finished, VaultError> {
        match (self.writer, self.place) {
            (Some(writer), _) => Ok(Finished { segments: writer.finish().await?, short: None }),
            (None, Some((_, name))) => {
                let mut body = Vec::with_capacity(self.kept_bytes);
                for part in self.kept {
                    if let Part::Bytes(bytes) = part {
                        body.extend_from_slice(&bytes);
                    }
                }
                Ok(Finished { segments: Vec::new(), short: Some((name, Bytes::from(body))) })
            }
            (None, None) => Ok(Finished { segments: Vec::new(), short: None }),
        }
    }

    /// Removes what was written so far; answers whether anything may be left of it.
    pub(super) async fn abandon(self) -> bool {
        let Some(writer) = self.writer else { return false };
        writer.abandon().await;
        true
    }
}

async fn pass_on(writer: &mut Box<dyn LargeWriter>, part: Part) -> Result<(), VaultError> {
    match part {
        Part::Bytes(bytes) => writer.write(bytes).await?,
        Part::EndSegment => writer.end_segment().await?,
    }
    Ok(())
}

/// Passes everything on. Does not finish the object: whether the stream was complete is known only when the threads
/// before have ended.
pub(super) async fn upload(
    mut parts: mpsc::Receiver<Part>,
    members: &mut Members,
    is_stored: bool,
    monitor: &Monitor,
) -> Result<(), VaultError> {
    let work = async {
        while let Some(part) = parts.recv().await {
            members.take(&part).await?;
            // Once, on however many storages it is.
            if let (Part::Bytes(bytes), true) = (&part, is_stored) {
                monitor.add_stored(bytes.len() as u64);
            }
        }
        Ok(())
    };
    // Dropping `parts` is what stops the threads.
    monitor.token().run_until_cancelled(work).await.unwrap_or(Err(VaultError::Cancelled))
}

/// Says for each piece which object it is in. `segments` is what the store answered: the names of its
/// segment objects, or nothing when the payload is one object.
pub(super) fn place_pieces(
    hbn: &Hbn,
    id: &LevelId,
    hashed: &[HashedPiece],
    segments: &[ObjectName],
) -> Result<Vec<Piece>, VaultError> {
    let internal = |cause: String| VaultError::Internal { what: "upload", cause };
    let folder = format!("{}/", id.data_folder(hbn)?);
    let count = hashed.last().map_or(0, |piece| piece.segment + 1);
    if !segments.is_empty() && segments.len() != count {
        return Err(internal(format!(
            "{count} segments were written and the store names {}",
            segments.len()
        )));
    }
    let place = |piece: &HashedPiece| {
        let object = match segments.get(piece.segment) {
            None => None,
            Some(name) => match name.as_str().strip_prefix(&folder) {
                Some(relative) => Some(relative.to_owned()),
                None => return Err(internal(format!("segment {name} is outside of {folder}"))),
            },
        };
        let offset_bytes = if object.is_some() { piece.offset_in_segment } else { piece.offset_in_payload };
        let HashedPiece { size_bytes, sha256, hmac, .. } = piece.clone();
        Ok(Piece { object, offset_bytes, size_bytes, sha256, hmac })
    };
    hashed.iter().map(place).collect()
}
