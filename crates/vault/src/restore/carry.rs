//! Carrying what was restored into another file system that is mounted in the target: nothing can be renamed into it.
//!
//! What is carried is a copy: the original stays where it was restored, so that a restore that is interrupted finds it and goes on.

use super::facts::{copy_facts, drop_attributes, times};
use super::merge::replace;
use crate::tar::{Descent, chmod_at};
use rustix::fd::OwnedFd;
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, SeekFrom, Stat, Uid, chownat, ftruncate, linkat, mknodat, openat,
    readlinkat, seek, statat, symlinkat, unlinkat, utimensat,
};
use rustix::io::{Errno, Result, fcntl_dupfd_cloexec};
use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::sync::Arc;

pub(super) struct Carrier {
    /// The target, to find a file again that has several names.
    top: Descent,
    /// By device and inode of the original, where such files were put.
    placed: HashMap<(u64, u64), Vec<u8>>,
    /// Name of what is not complete.
    temporary: Vec<u8>,
}

impl Carrier {
    /// `staging` is a name in the target that nobody else has.
    pub(super) fn new(target: &OwnedFd, staging: &[u8]) -> Result<Self> {
        let top = Descent::new(Arc::new(fcntl_dupfd_cloexec(target, 0)?), false);
        Ok(Self { top, placed: HashMap::new(), temporary: [staging, b"-carried"].concat() })
    }

    /// Puts a copy of `name`, which is no folder, into `to`; `path` is that of the copy in the target. Answers what of its metadata
    /// could not be had there.
    pub(super) fn carry(
        &mut self,
        from: &OwnedFd,
        to: &OwnedFd,
        name: &[u8],
        path: &[u8],
    ) -> Result<Option<Errno>> {
        let stat = statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let identity = (stat.st_dev, stat.st_ino);
        self.clear(to)?;
        let made = if self.link(to, identity) { Ok(None) } else { self.copy(from, to, name, &stat) };
        let placed = made.and_then(|trouble| {
            replace((to, self.temporary.as_slice()), (to, name))?;
            Ok(trouble)
        });
        // Also where the name was one of the same file already, which a rename leaves as it is.
        let cleared = self.clear(to);
        let trouble = placed?;
        cleared?;
        if stat.st_nlink > 1 {
            self.placed.insert(identity, path.to_vec());
        }
        Ok(trouble)
    }

    /// Takes away what an attempt has left that did not come to its end.
    fn clear(&self, folder: &OwnedFd) -> Result<()> {
        match unlinkat(folder, self.temporary.as_slice(), AtFlags::empty()) {
            Err(Errno::NOENT) => Ok(()),
            other => other,
        }
    }

    /// Whether it is another name of a file that was carried before, and could be linked to that.
    fn link(&mut self, to: &OwnedFd, identity: (u64, u64)) -> bool {
        let Some(first) = self.placed.get(&identity) else { return false };
        let (folder, name) = match first.iter().rposition(|byte| *byte == b'/') {
            Some(at) => (first.get(..at).unwrap_or_default(), first.get(at + 1..).unwrap_or_default()),
            None => (&b""[..], first.as_slice()),
        };
        let Ok(folder) = self.top.go(folder) else { return false };
        linkat(&folder, name, to, self.temporary.as_slice(), AtFlags::empty()).is_ok()
    }

    fn copy(&self, from: &OwnedFd, to: &OwnedFd, name: &[u8], stat: &Stat) -> Result<Option<Errno>> {
        let temporary = self.temporary.as_slice();
        let kind = FileType::from_raw_mode(stat.st_mode);
        match kind {
            FileType::RegularFile => return copy_file((from, name), (to, temporary), stat),
            FileType::Symlink => {
                let target = readlinkat(from, name, Vec::new())?;
                symlinkat(target.as_c_str(), to, temporary)?;
            }
            kind => mknodat(to, temporary, kind, Mode::RUSR | Mode::WUSR, stat.st_rdev)?,
        }
        let mut owned = Ok(());
        if rustix::process::geteuid().is_root() {
            let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
            owned = chownat(to, temporary, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW);
        }
        let mode = match kind {
            FileType::Symlink => Ok(()),
            _ => chmod_at(to, temporary, Mode::from_raw_mode(stat.st_mode)),
        };
        let timed = utimensat(to, temporary, &times(stat), AtFlags::SYMLINK_NOFOLLOW);
        Ok(owned.and(mode).and(timed).err())
    }
}

fn copy_file(
    (from, name): (&OwnedFd, &[u8]),
    (to, temporary): (&OwnedFd, &[u8]),
    stat: &Stat,
) -> Result<Option<Errno>> {
    let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let source = openat(from, name, OFlags::RDONLY | flags, Mode::empty())?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | flags;
    let copy = openat(to, temporary, flags, Mode::RUSR | Mode::WUSR)?;
    let (source, copy) = (File::from(source), File::from(copy));
    copy_data(&source, &copy, u64::try_from(stat.st_size).unwrap_or(0))?;
    let (source, copy) = (OwnedFd::from(source), OwnedFd::from(copy));
    let stale = drop_attributes(&source, &copy);
    Ok(stale.and(copy_facts(&source, &copy, stat)).err())
}

/// Data at the places where they are, and holes between them.
fn copy_data(source: &File, copy: &File, size: u64) -> Result<()> {
    ftruncate(copy, size)?;
    let mut at = 0;
    while at < size {
        let start = match seek(source, SeekFrom::Data(at)) {
            Ok(start) => start,
            // The rest is a hole.
            Err(Errno::NXIO) => return Ok(()),
            // Where nobody knows of holes, all is data.
            Err(_) => at,
        };
        let end = seek(source, SeekFrom::Hole(start)).unwrap_or(size).min(size);
        if end <= start {
            return Ok(());
        }
        seek(source, SeekFrom::Start(start))?;
        seek(copy, SeekFrom::Start(start))?;
        let (mut reader, mut writer) = (source.take(end - start), copy);
        let copied = std::io::copy(&mut reader, &mut writer);
        let copied = copied.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        if copied < end - start {
            return Err(Errno::IO);
        }
        at = end;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};

    #[test]
    fn copies_are_as_the_originals() {
        let room = tempfile::tempdir().unwrap();
        let (from, to) = (room.path().join("from"), room.path().join("to"));
        std::fs::create_dir(&from).unwrap();
        std::fs::create_dir(&to).unwrap();
        let sparse = File::create(from.join("sparse")).unwrap();
        sparse.set_len(8 << 20).unwrap();
        sparse.write_at(b"middle", 3 << 20).unwrap();
        sparse.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000)).unwrap();
        std::fs::set_permissions(from.join("sparse"), std::fs::Permissions::from_mode(0o751)).unwrap();
        std::fs::hard_link(from.join("sparse"), from.join("other")).unwrap();
        std::os::unix::fs::symlink("nowhere", from.join("link")).unwrap();
        std::fs::write(from.join("empty"), "").unwrap();
        // Something is in the way, and something was left by an attempt.
        std::fs::create_dir(to.join("empty")).unwrap();
        std::fs::write(to.join(".own-carried"), "half").unwrap();

        let open = |path: &std::path::Path| OwnedFd::from(File::open(path).unwrap());
        let (source, target) = (open(&from), open(&to));
        let mut carrier = Carrier::new(&target, b".own").unwrap();
        for _ in 0..2 {
            for name in ["sparse", "other", "link", "empty"] {
                let trouble = carrier.carry(&source, &target, name.as_bytes(), name.as_bytes()).unwrap();
                assert_eq!(trouble, None, "{name}");
            }
        }
        let facts = |name: &str| std::fs::symlink_metadata(to.join(name)).unwrap();
        assert_eq!(std::fs::read(to.join("sparse")).unwrap(), std::fs::read(from.join("sparse")).unwrap());
        assert_eq!((facts("sparse").mode() & 0o7777, facts("sparse").mtime()), (0o751, 1_000_000_000));
        assert!(facts("sparse").blocks() * 512 < 4 << 20, "{} blocks", facts("sparse").blocks());
        assert_eq!((facts("sparse").ino(), facts("sparse").nlink()), (facts("other").ino(), 2));
        assert_eq!(std::fs::read_link(to.join("link")).unwrap(), std::path::Path::new("nowhere"));
        assert!(facts("empty").is_file());
        assert_eq!(std::fs::read_dir(&to).unwrap().count(), 4);
    }
}
