//! A read-only snapshot of the subvolume that a path lies in. It needs no space of its own and cannot run full before the file
//! system does.

use super::host::{Call, Host, succeed};
use super::{PREFIX, Place};
use serde::{Deserialize, Serialize};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Inode of the root of every subvolume, and of nothing else.
const ROOT_INODE: u64 = 256;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    pub subvolume: PathBuf,
    /// In the subvolume itself: every other place may be another file system.
    pub path: PathBuf,
}

fn is_subvolume(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|facts| facts.is_dir() && facts.ino() == ROOT_INODE)
}

impl Snapshot {
    pub fn plan(place: &Place, name: &str) -> Result<Self, String> {
        let inside = |path: &&Path| path.starts_with(&place.mount.point);
        let subvolume = place.path.ancestors().take_while(inside).find(|path| is_subvolume(path));
        let subvolume = subvolume.ok_or_else(|| {
            let point = place.mount.point.display();
            format!("no subvolume holds {}: {point} is mounted from the middle of one", place.path.display())
        })?;
        if subvolume.to_str().is_none() {
            return Err(format!("the name of subvolume {} is not UTF-8", subvolume.display()));
        }
        Ok(Self { subvolume: subvolume.to_path_buf(), path: subvolume.join(format!(".{name}")) })
    }

    pub fn relative<'a>(&self, path: &'a Path) -> &'a Path {
        path.strip_prefix(&self.subvolume).unwrap_or(Path::new(""))
    }

    pub async fn make(&self, host: &dyn Host) -> Result<(), String> {
        let (from, to) = (self.subvolume.display().to_string(), self.path.display().to_string());
        succeed(host, Call::of(&["btrfs", "subvolume", "snapshot", "-r", &from, &to])).await.map(|_| ())
    }

    pub async fn remove(&self, host: &dyn Host) -> Result<(), String> {
        match self.path.symlink_metadata() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error.to_string()),
            Ok(_) if !is_subvolume(&self.path) => return Err("it is no subvolume".to_owned()),
            Ok(_) => {}
        }
        let path = self.path.display().to_string();
        succeed(host, Call::of(&["btrfs", "subvolume", "delete", &path])).await.map(|_| ())
    }
}

/// A snapshot shows the snapshots that were there before it as empty folders.
pub fn placeholders(root: &Path) -> Vec<String> {
    let Ok(items) = std::fs::read_dir(root) else { return Vec::new() };
    let names = items.flatten().filter_map(|item| item.file_name().into_string().ok());
    names.filter(|name| name.strip_prefix('.').is_some_and(|name| name.starts_with(PREFIX))).collect()
}
