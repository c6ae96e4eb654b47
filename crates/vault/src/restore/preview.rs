//! What `delete_foreign` would delete, for a dry run: what lies in the target against the names of the state that is to be restored.

use super::foreign::{Spared, Sweep, Swept};
use super::merge::{join, names, open_folder};
use crate::tar::{Listed, is_mount_point, safe_path};
use rustix::fd::OwnedFd;
use rustix::fs::{CWD, Mode, OFlags, fstat, openat};
use rustix::io::{Errno, Result};
use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::path::Path;

/// What restores themselves keep in a target.
const OWN: &[u8] = b".freezer-restore-";

/// The names of one level: each lists all that its state has. As hashes under a key that nobody knows.
#[derive(Default)]
pub(super) struct Known {
    keys: RandomState,
    names: HashSet<u64>,
}

impl Known {
    /// Another level begins.
    pub(super) fn clear(&mut self) {
        self.names.clear();
    }

    pub(super) fn add(&mut self, member: &Listed) {
        let Ok(path) = safe_path(&member.name) else { return };
        for (code, name) in member.dumpdir.iter().flatten() {
            if matches!(code, b'Y' | b'N' | b'D') {
                self.names.insert(self.keys.hash_one(join(&path, name).as_slice()));
            }
        }
        self.names.insert(self.keys.hash_one(path.as_slice()));
    }

    fn has(&self, path: &[u8]) -> bool {
        self.names.contains(&self.keys.hash_one(path))
    }
}

/// Looks through the target and changes nothing. Blocking.
pub(super) fn preview(known: &Known, spared: &Spared, target: &Path) -> Result<Swept> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = match openat(CWD, target, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(Swept::default()),
        root => root?,
    };
    let device = fstat(&root)?.st_dev;
    let sweep = Sweep { spared, deletes: false, whole: false, swept: Swept::default() };
    let mut look = Look { known, device, sweep };
    look.folder(&root, b"", None)?;
    Ok(look.sweep.swept)
}

struct Look<'a> {
    known: &'a Known,
    device: u64,
    sweep: Sweep<'a>,
}

impl Look<'_> {
    fn folder(&mut self, folder: &OwnedFd, path: &[u8], mount: Option<&[u8]>) -> Result<()> {
        let (mut foreign, mut held) = (Vec::new(), Vec::new());
        for name in names(folder)? {
            let below = join(path, &name);
            if self.known.has(&below) {
                held.push((name, below));
            } else if !(path.is_empty() && name.starts_with(OWN)) {
                foreign.push(name);
            }
        }
        self.sweep.folder(folder, path, &foreign, mount);
        for (name, below) in held {
            let Some(inner) = open_folder(folder, &name)? else { continue };
            let is_mount = fstat(&inner)?.st_dev != self.device || is_mount_point(&inner);
            self.folder(&inner, &below, mount.or(is_mount.then_some(below.as_slice())))?;
        }
        Ok(())
    }
}

/// In words; nothing where there is nothing to tell.
pub(super) fn told(swept: &Swept) -> Option<String> {
    let more = swept.gone.saturating_sub(swept.named.len() as u64);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let names = swept.named.join(", ");
    (swept.gone > 0).then(|| format!("delete_foreign would delete {} objects: {names}{more}", swept.gone))
}
