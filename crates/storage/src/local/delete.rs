//! Deleting files and trees. Works on folder handles opened without following links, so that nobody
//! can lead it out of the root by putting a link in the way while it runs.

use super::error::Place;
use super::put::sync_folder;
use crate::store::StoreError;
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, openat, statat, unlinkat};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path};

/// Deletes one object, and the folders above it that are empty then.
pub(super) fn delete(place: &Place, root: &Path, path: &Path) -> Result<(), StoreError> {
    let Some((folder, name)) = open_folder_of(place, root, path)? else { return Ok(()) };
    match unlinkat(&folder, name, AtFlags::empty()) {
        Ok(()) => sync(place, &folder)?,
        Err(Errno::NOENT) => return Ok(()),
        // A folder of that name is no object.
        Err(Errno::ISDIR | Errno::PERM) if is_folder(folder.as_fd(), name) => return Ok(()),
        Err(error) => return Err(place.io("deleting", &error.into())),
    }
    remove_empty_parents(root, path);
    Ok(())
}

pub(super) fn delete_tree(place: &Place, root: &Path, path: &Path) -> Result<u64, StoreError> {
    let Some((folder, name)) = open_folder_of(place, root, path)? else { return Ok(0) };
    let gone = remove(folder.as_fd(), name).map_err(|error| place.io("deleting", &error))?;
    sync(place, &folder)?;
    remove_empty_parents(root, path);
    Ok(gone)
}

fn sync(place: &Place, folder: &OwnedFd) -> Result<(), StoreError> {
    rustix::fs::fsync(folder).map_err(|error| place.io("syncing the folder", &error.into()))
}

/// Opens the folder that holds `path`, step by step from the root; a link on the way is an error, a
/// missing step is `None`.
fn open_folder_of<'a>(
    place: &Place,
    root: &Path,
    path: &'a Path,
) -> Result<Option<(OwnedFd, &'a OsStr)>, StoreError> {
    let below = path.strip_prefix(root).map_err(|_| place.other("is outside of the root"))?;
    let mut steps: Vec<&OsStr> = Vec::new();
    for component in below.components() {
        match component {
            Component::Normal(step) => steps.push(step),
            _ => return Err(place.other("is outside of the root")),
        }
    }
    // `path` lives longer than `below`'s borrow says: take the last name from `path` itself.
    let (Some(name), Some(_)) = (path.file_name(), steps.pop()) else {
        return Err(place.other("is the root itself"));
    };
    // The root itself may be a link: the operator's choice.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut folder = match openat(CWD, root, flags, Mode::empty()) {
        Ok(folder) => folder,
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(place.io("opening the root", &error.into())),
    };
    for step in steps {
        folder = match openat(&folder, step, flags | OFlags::NOFOLLOW, Mode::empty()) {
            Ok(folder) => folder,
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::NOTDIR | Errno::LOOP) if !is_link(folder.as_fd(), step) => return Ok(None),
            Err(error) => {
                let cause = format!("opening the folder {}: {error}", step.to_string_lossy());
                return Err(place.other(cause));
            }
        };
    }
    Ok(Some((folder, name)))
}

fn file_type(folder: BorrowedFd<'_>, name: &OsStr) -> Option<FileType> {
    let stat = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    Some(FileType::from_raw_mode(stat.st_mode))
}

fn is_link(folder: BorrowedFd<'_>, name: &OsStr) -> bool {
    file_type(folder, name) == Some(FileType::Symlink)
}

fn is_folder(folder: BorrowedFd<'_>, name: &OsStr) -> bool {
    file_type(folder, name) == Some(FileType::Directory)
}

/// Removes a file, a link (never what it leads to) or a folder with all that is in it; answers how many
/// of them were no folders.
fn remove(folder: BorrowedFd<'_>, name: &OsStr) -> io::Result<u64> {
    match unlinkat(folder, name, AtFlags::empty()) {
        Ok(()) => return Ok(1),
        Err(Errno::NOENT) => return Ok(0),
        Err(Errno::ISDIR | Errno::PERM) if is_folder(folder, name) => {}
        Err(error) => return Err(error.into()),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let inner = match openat(folder, name, flags, Mode::empty()) {
        Ok(inner) => inner,
        Err(Errno::NOENT) => return Ok(0),
        Err(error) => return Err(error.into()),
    };
    let mut gone = 0;
    // All names first: removing while reading may skip some.
    let mut names = Vec::new();
    for item in Dir::read_from(&inner)? {
        let item = item?;
        let bytes = item.file_name().to_bytes();
        if bytes != b"." && bytes != b".." {
            names.push(bytes.to_vec());
        }
    }
    for inner_name in names {
        use std::os::unix::ffi::OsStrExt as _;
        gone += remove(inner.as_fd(), OsStr::from_bytes(&inner_name))?;
    }
    match unlinkat(folder, name, AtFlags::REMOVEDIR) {
        // A writer put something in meanwhile: it stays.
        Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST) => Ok(gone),
        Err(error) => Err(error.into()),
    }
}

/// Tidies up, as well as it can: an object store has no empty folders either.
fn remove_empty_parents(root: &Path, path: &Path) {
    let mut folder = path.parent();
    while let Some(at) = folder.filter(|at| *at != root && at.starts_with(root)) {
        if std::fs::remove_dir(at).is_err() {
            return;
        }
        if let Some(above) = at.parent() {
            let _ = sync_folder(above);
        }
        folder = at.parent();
    }
}
