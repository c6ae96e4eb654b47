//! Writing: folders, temporary files, and the rename that makes an object visible.

use super::TEMPORARY_PREFIX;
use super::error::Place;
use super::list::stamp;
use crate::stamp::{SET_BACK_SECS, Stamp};
use crate::store::StoreError;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Makes the root and proves that files can be made in it.
pub(super) fn prepare(place: &Place, root: &Path) -> Result<(), StoreError> {
    make_folders(root).map_err(place.doing("making the root folder"))?;
    let (file, path) = temporary(root).map_err(place.doing("trying to make a file in the root folder"))?;
    drop(file);
    std::fs::remove_file(path).map_err(place.doing("removing the trial file"))
}

pub(super) fn put(place: &Place, root: &Path, path: &Path, body: &[u8]) -> Result<(), StoreError> {
    let (mut file, temporary) = create(place, root, path)?;
    let written = file
        .write_all(body)
        .map_err(place.doing("writing"))
        .and_then(|()| publish(place, root, file, &temporary, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    written
}

/// The same with its time set back, as [`crate::stamp`] says.
pub(super) fn put_stamped(
    place: &Place,
    root: &Path,
    path: &Path,
    body: &[u8],
) -> Result<Option<Stamp>, StoreError> {
    let (mut file, temporary) = create(place, root, path)?;
    let mut set_back = None;
    let written = file.write_all(body).map_err(place.doing("writing")).and_then(|()| {
        set_back = SetBack::of(&file);
        publish(place, root, file, &temporary, path)
    });
    if let Err(error) = written {
        let _ = std::fs::remove_file(&temporary);
        return Err(error);
    }
    Ok(set_back.and_then(SetBack::stamp))
}

/// A file with its time set back.
struct SetBack {
    /// By a handle of its own: under the name there may be another one already.
    file: File,
    written_secs: i64,
}

impl SetBack {
    /// `None` where the time of a file cannot be set.
    fn of(file: &File) -> Option<Self> {
        let written = file.metadata().ok()?;
        let back = Duration::from_secs(SET_BACK_SECS.into());
        file.set_modified(written.modified().ok()?.checked_sub(back)?).ok()?;
        Some(Self { file: file.try_clone().ok()?, written_secs: written.mtime() })
    }

    /// After it got its name, which changes the inode.
    fn stamp(self) -> Option<Stamp> {
        let stamp = stamp(&self.file.metadata().ok()?);
        stamp.is_settled_at(self.written_secs).then_some(stamp)
    }
}

/// Opens a temporary file in the folder of `path`, which is made if need be.
pub(super) fn create(place: &Place, root: &Path, path: &Path) -> Result<(File, PathBuf), StoreError> {
    let folder = path.parent().unwrap_or(root);
    // Somebody's rotation may remove the folder, empty again, just after it was made.
    let mut tries = 0;
    loop {
        make_folders(folder).map_err(place.doing("making the folder"))?;
        match temporary(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && tries < 10 => tries += 1,
            opened => return opened.map_err(place.doing("making a temporary file")),
        }
    }
}

/// Syncs the file, gives it its name, and syncs every folder that may be new.
pub(super) fn publish(
    place: &Place,
    root: &Path,
    file: File,
    temporary: &Path,
    path: &Path,
) -> Result<(), StoreError> {
    file.sync_all().map_err(place.doing("syncing"))?;
    drop(file);
    std::fs::rename(temporary, path).map_err(place.doing("renaming the finished file"))?;
    let mut folder = path.parent();
    while let Some(at) = folder.filter(|at| at.starts_with(root)) {
        sync_folder(at).map_err(place.doing("syncing the folder"))?;
        folder = at.parent();
    }
    Ok(())
}

fn make_folders(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

fn temporary(folder: &Path) -> io::Result<(File, PathBuf)> {
    let path = folder.join(format!("{TEMPORARY_PREFIX}{}", uuid::Uuid::new_v4().simple()));
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    Ok((file, path))
}

pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
