//! The async side of a backup: from the sealing thread to the store.

use super::stages::{HashedPiece, Part};
use crate::VaultError;
use crate::layout::{Hbn, LevelId};
use crate::manifest::Piece;
use crate::monitor::Monitor;
use freezer_storage::{LargeWriter, ObjectName};
use tokio::sync::mpsc;

/// Passes everything on; `writer` is `None` in a dry run. Does not finish the object: whether the
/// stream was complete is known only when the threads before have ended.
pub(super) async fn upload(
    mut parts: mpsc::Receiver<Part>,
    writer: &mut Option<Box<dyn LargeWriter>>,
    monitor: &Monitor,
) -> Result<(), VaultError> {
    let work = async {
        while let Some(part) = parts.recv().await {
            match (part, writer.as_mut()) {
                (Part::Bytes(bytes), Some(writer)) => {
                    let size = bytes.len() as u64;
                    writer.write(bytes).await?;
                    monitor.add_stored(size);
                }
                (Part::EndSegment, Some(writer)) => writer.end_segment().await?,
                (_, None) => {}
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
    hashed: Vec<HashedPiece>,
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
    let place = |piece: HashedPiece| {
        let object = match segments.get(piece.segment) {
            None => None,
            Some(name) => match name.as_str().strip_prefix(&folder) {
                Some(relative) => Some(relative.to_owned()),
                None => return Err(internal(format!("segment {name} is outside of {folder}"))),
            },
        };
        let offset_bytes = if object.is_some() { piece.offset_in_segment } else { piece.offset_in_payload };
        let HashedPiece { size_bytes, sha256, hmac, .. } = piece;
        Ok(Piece { object, offset_bytes, size_bytes, sha256, hmac })
    };
    hashed.into_iter().map(place).collect()
}
