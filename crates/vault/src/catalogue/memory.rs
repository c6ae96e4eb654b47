//! The manifest that this machine has written last to a store, kept here too: the next backup is built on it, and need not fetch it
//! when the store lists it with the hash that it has here, or, where listings tell no hashes, with the stamp that it got when it was
//! written: nobody has written to it since ([`freezer_storage::stamp`]). So is the one that all are built on with `always_level`.
//!
//! Nothing else makes it count: what is kept here may be old, damaged or missing at any time, and nothing is lost by that but a request.

use crate::layout::Hbn;
use bytes::Bytes;
use freezer_storage::{Stamp, Store};
use md5::{Digest, Md5};
use sha2::Sha256;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A longer manifest is fetched: those of increments in which nothing changed are short.
const MOST_BYTES: u64 = 256 << 10;
/// With more files than this in the folder all of them go: most are of backups that nobody makes any more.
const MOST_FILES: usize = 1000;

/// Where the manifest of one HBN on one store is kept.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    file: PathBuf,
}

impl Memory {
    /// In `folder`, which is made when its parent is there.
    pub fn of(folder: &Path, store: &dyn Store, hbn: &Hbn) -> Self {
        let digest = Sha256::digest(format!("{}\0{}\0{hbn}", store.describe(), hbn.engine()));
        Self { file: folder.join(hex::encode(digest)) }
    }

    /// A place for the one that many are built on, beside that of the newest.
    pub fn of_base(&self) -> Self {
        Self { file: self.file.with_extension("base") }
    }

    /// The manifest, if it is the object that is listed with this size and this tag.
    pub async fn recall(&self, size_bytes: u64, tag: &str) -> Option<Vec<u8>> {
        if size_bytes > MOST_BYTES {
            return None;
        }
        let files = [self.file.clone(), self.of_base().file];
        let tag = tag.trim_matches('"').to_owned();
        let work = move || files.iter().find_map(|file| read_listed(file, size_bytes, &tag));
        tokio::task::spawn_blocking(work).await.ok().flatten()
    }

    /// The manifest, if it was kept with this stamp, with which it is listed. What has been damaged here since has not its own hash.
    pub async fn recall_stamped(&self, size_bytes: u64, stamp: &Stamp) -> Option<Vec<u8>> {
        if size_bytes > MOST_BYTES {
            return None;
        }
        let (files, line) = ([self.file.clone(), self.of_base().file], line_of(stamp));
        let work = move || files.iter().find_map(|file| read_stamped(file, size_bytes, line.as_bytes()));
        tokio::task::spawn_blocking(work).await.ok().flatten()
    }

    /// Keeps a manifest instead of the one before, as well as it can; with its stamp, where that is what it is known by.
    pub async fn keep(&self, body: Bytes, stamp: Option<&Stamp>) {
        let (file, line) = (self.file.clone(), stamp.map(line_of).unwrap_or_default());
        let work = move || {
            let kept = replace(&file, line.as_bytes(), &body);
            if let Err(error) = &kept {
                tracing::debug!(file = %file.display(), %error, "the manifest is not kept; the next run fetches it");
            }
        };
        let _ = tokio::task::spawn_blocking(work).await;
    }
}

fn read_listed(file: &Path, size_bytes: u64, tag: &str) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    std::fs::File::open(file).ok()?.take(MOST_BYTES + 1).read_to_end(&mut body).ok()?;
    let is_listed = body.len() as u64 == size_bytes;
    (is_listed && tag.eq_ignore_ascii_case(&hex::encode(Md5::digest(&body)))).then_some(body)
}

/// No manifest begins so.
fn line_of(stamp: &Stamp) -> String {
    format!("{stamp}\n")
}

fn read_stamped(file: &Path, size_bytes: u64, line: &[u8]) -> Option<Vec<u8>> {
    let expected = size_bytes.checked_add(line.len() as u64)?;
    let mut kept = Vec::new();
    std::fs::File::open(file).ok()?.take(expected + 1).read_to_end(&mut kept).ok()?;
    let is_listed = kept.len() as u64 == expected && kept.starts_with(line);
    is_listed.then(|| kept.split_off(line.len()))
}

/// Whole or not at all. It need not survive a crash.
fn replace(file: &Path, line: &[u8], body: &[u8]) -> std::io::Result<()> {
    let Some(folder) = file.parent() else { return Ok(()) };
    // Names of files are in it, and it is nobody else's business whose state folder is made.
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    if body.len() as u64 > MOST_BYTES {
        return Ok(());
    }
    make_room(folder)?;
    let beside = folder.join(format!("{}.new", uuid::Uuid::new_v4().simple()));
    let written = OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(&beside)
        .and_then(|mut new| new.write_all(line).and_then(|()| new.write_all(body)))
        .and_then(|()| std::fs::rename(&beside, file));
    if written.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    written
}

fn make_room(folder: &Path) -> std::io::Result<()> {
    let files: Vec<PathBuf> =
        std::fs::read_dir(folder)?.map(|item| item.map(|item| item.path())).collect::<Result<_, _>>()?;
    if files.len() > MOST_FILES {
        for file in files {
            std::fs::remove_file(file)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use freezer_storage::LocalStore;

    #[tokio::test]
    async fn only_what_is_listed_just_so_is_recalled() {
        let folder = tempfile::tempdir().unwrap();
        let store = LocalStore::new(folder.path().join("store"));
        let hbn = Hbn::new("host", "name").unwrap();
        let memory = Memory::of(&folder.path().join("manifests"), &store, &hbn);
        let tag = |body: &[u8]| format!("\"{}\"", hex::encode(Md5::digest(body)));
        assert_eq!(memory.recall(3, &tag(b"one")).await, None, "nothing is kept");
        memory.keep(Bytes::from_static(b"one"), None).await;
        assert_eq!(memory.recall(3, &tag(b"one")).await.as_deref(), Some(&b"one"[..]));
        assert_eq!(memory.recall(3, &tag(b"one").to_uppercase()).await.as_deref(), Some(&b"one"[..]));
        assert_eq!(memory.recall(3, &tag(b"two")).await, None);
        assert_eq!(memory.recall(4, &tag(b"one")).await, None);
        assert_eq!(memory.recall(3, "\"0-1\"").await, None, "no MD5");
        memory.of_base().keep(Bytes::from_static(b"base"), None).await;
        memory.keep(Bytes::from_static(b"other"), None).await;
        assert_eq!(memory.recall(3, &tag(b"one")).await, None);
        assert_eq!(memory.recall(4, &tag(b"base")).await.as_deref(), Some(&b"base"[..]));
        let other = Memory::of(&folder.path().join("manifests"), &store, &Hbn::new("host", "n").unwrap());
        assert_eq!(other.recall(5, &tag(b"other")).await, None, "of another name");
        // Damage here costs a request and nothing else.
        std::fs::write(&memory.file, b"ohter").unwrap();
        assert_eq!(memory.recall(5, &tag(b"other")).await, None);
        assert_eq!(std::fs::read_dir(folder.path().join("manifests")).unwrap().count(), 2);
        // A state folder is not made for it.
        let nowhere = Memory::of(&folder.path().join("no/manifests"), &store, &hbn);
        nowhere.keep(Bytes::from_static(b"one"), None).await;
        assert!(!folder.path().join("no").exists());
    }

    #[tokio::test]
    async fn only_what_is_listed_with_its_stamp_is_recalled() {
        let folder = tempfile::tempdir().unwrap();
        let store = LocalStore::new(folder.path().join("store"));
        let memory = Memory::of(folder.path(), &store, &Hbn::new("host", "name").unwrap());
        let stamp = |modified_secs, more: &str| Stamp { modified_secs, more: more.to_owned() };
        let own = stamp(7, "1:2:3.4");
        assert_eq!(memory.recall_stamped(3, &own).await, None, "nothing is kept");
        memory.keep(Bytes::from_static(b"one"), Some(&own)).await;
        assert_eq!(memory.recall_stamped(3, &own).await.as_deref(), Some(&b"one"[..]));
        for other in [stamp(8, "1:2:3.4"), stamp(7, "1:2:3.5"), stamp(7, "1:2:3."), stamp(7, "")] {
            assert_eq!(memory.recall_stamped(3, &other).await, None, "{other}");
        }
        for size_bytes in [0, 2, 4, u64::MAX] {
            assert_eq!(memory.recall_stamped(size_bytes, &own).await, None);
        }
        let tag = hex::encode(Md5::digest(b"one"));
        assert_eq!(memory.recall(3, &tag).await, None, "it is not known by its hash");
        memory.of_base().keep(Bytes::from_static(b"base"), Some(&own)).await;
        assert_eq!(memory.recall_stamped(4, &own).await.as_deref(), Some(&b"base"[..]));
        memory.keep(Bytes::from_static(b"one"), None).await;
        assert_eq!(memory.recall_stamped(3, &own).await, None, "it was kept without a stamp");
    }
}
