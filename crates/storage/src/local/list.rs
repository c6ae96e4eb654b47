//! Listing a folder.

use super::TEMPORARY_PREFIX;
use super::error::Place;
use crate::stamp::Stamp;
use crate::store::{Entry, StoreError};
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

pub(super) fn list(place: &Place, folder: &Path) -> Result<Vec<Entry>, StoreError> {
    let reader = match std::fs::read_dir(folder) {
        Ok(reader) => reader,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(place.io("listing", &error)),
    };
    let mut entries = Vec::new();
    for item in reader {
        let item = item.map_err(place.doing("listing"))?;
        // A name that is no UTF-8 was not made by a store and cannot be asked for.
        let Ok(name) = item.file_name().into_string() else { continue };
        if name.starts_with(TEMPORARY_PREFIX) {
            continue;
        }
        // Follows links, as reading does; one that leads nowhere is nothing.
        let Ok(metadata) = std::fs::metadata(item.path()) else { continue };
        if metadata.is_dir() {
            entries.push(Entry { name, is_folder: true, size_bytes: 0, tag: None, stamp: None });
        } else if metadata.is_file() {
            let (size_bytes, stamp) = (metadata.len(), Some(stamp(&metadata)));
            entries.push(Entry { name, is_folder: false, size_bytes, tag: None, stamp });
        }
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

/// Nobody can set the time at which an inode was changed, and every write moves it.
pub(super) fn stamp(metadata: &Metadata) -> Stamp {
    let changed = (metadata.ctime(), metadata.ctime_nsec());
    let more = format!("{}:{}:{}.{}", metadata.mtime_nsec(), metadata.ino(), changed.0, changed.1);
    Stamp { modified_secs: metadata.mtime(), more }
}
