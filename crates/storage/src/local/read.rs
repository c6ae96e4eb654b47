//! Reading files, a piece at a time, on blocking threads.

use super::error::Place;
use crate::store::{ByteStream, ObjectInfo, StoreError};
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

const PIECE_BYTES: u64 = 256 << 10;

/// A file and its size when it was opened.
pub(super) struct Opened {
    file: File,
    size: u64,
}

pub(super) fn open(place: &Place, path: &Path) -> Result<Opened, StoreError> {
    let file = File::open(path).map_err(|error| missing(place, "opening", &error))?;
    let metadata = file.metadata().map_err(place.doing("looking at"))?;
    if !metadata.is_file() {
        return Err(place.not_found());
    }
    Ok(Opened { file, size: metadata.len() })
}

pub(super) fn info(place: &Place, path: &Path) -> Result<Option<ObjectInfo>, StoreError> {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok(Some(ObjectInfo { size_bytes: metadata.len() })),
        Ok(_) => Ok(None),
        Err(error) => match missing(place, "looking at", &error) {
            StoreError::NotFound { .. } => Ok(None),
            error => Err(error),
        },
    }
}

/// A name below something that is a file is as missing as any other.
fn missing(place: &Place, doing: &str, error: &io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::NotADirectory => place.not_found(),
        _ => place.io(doing, error),
    }
}

pub(super) fn stream(place: Place, opened: Opened, range: Option<Range<u64>>) -> ByteStream {
    let Opened { file, size } = opened;
    let range = range.unwrap_or(0..size);
    let (start, end) = (range.start.min(size), range.end.min(size));
    let state = Some((Arc::new(file), place, start));
    stream::unfold(state, move |state| async move {
        let (file, place, at) = state?;
        if at >= end {
            return None;
        }
        let reader = file.clone();
        let read =
            tokio::task::spawn_blocking(move || read_at(&reader, at, (end - at).min(PIECE_BYTES))).await;
        match read {
            Ok(Ok(piece)) if piece.is_empty() => {
                let cause = format!("the file ended at {at} of {end} bytes while it was read");
                let error = StoreError::Damaged { store: place.store, name: place.name, cause };
                Some((Err(error), None))
            }
            Ok(Ok(piece)) => {
                let next = at + piece.len() as u64;
                Some((Ok(piece), Some((file, place, next))))
            }
            Ok(Err(error)) => Some((Err(place.io("reading", &error)), None)),
            Err(error) => Some((Err(place.other(format!("file task: {error}"))), None)),
        }
    })
    .boxed()
}

fn read_at(file: &File, at: u64, bytes: u64) -> io::Result<Bytes> {
    let mut piece = BytesMut::zeroed(usize::try_from(bytes).unwrap_or(usize::MAX));
    loop {
        match file.read_at(&mut piece, at) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
            Ok(read) => {
                piece.truncate(read);
                return Ok(piece.freeze());
            }
        }
    }
}
