//! Names of objects: upstream's layout B for the engine `tar`, and ours beside it. The engines `image` and `set` are
//! named in the same way, with their own word for `tar`.
//!
//! ```text
//! metadata/tar/<HBN>/<T0>/<L>_<T>/metadata             JSON, upstream's commit marker
//! data/tar/<HBN>/<T0>/<L>_<T>/data                     payload
//! data/tar/<HBN>/<T0>/<L>_<T>/segments/%08d            payload on object stores
//! data/tar/<HBN>/<T0>/<L>_<T>/engine_metadata          GNU tar snapshot file
//! data/tar/<HBN>/<T0>/<L>_<T>/index                    ours: what the next level compares with
//! data/tar/<HBN>/<T0>/<L>_<T>/contents                 ours: where each member lies in the payload
//! data/tar/<HBN>/<T0>/<L>_<T>/manifest                 ours: the commit of this project's backups
//! data/tar/<HBN>/locks/<id>                            ours: who is working on this HBN
//! data/tar/<HBN>/holds/<T0>-<L>-<T>                    ours: what must not be removed
//! ```
//! `HBN` is `<hostname>_<backup_name>` and may itself hold `/`, blanks and braces.

use crate::VaultError;
use freezer_storage::{ObjectName, StoreError};
use serde::{Deserialize, Serialize};
use std::fmt;

pub const DATA: &str = "data";
pub const ENGINE_METADATA: &str = "engine_metadata";
pub const INDEX: &str = "index";
pub const CONTENTS: &str = "contents";
pub const MANIFEST: &str = "manifest";
pub const METADATA: &str = "metadata";
pub const SEGMENTS: &str = "segments";
/// Folder beside the chains of an HBN: one listing shows who is at work and what is there.
pub(crate) const LOCKS: &str = "locks";
/// Folder of an HBN with notes about backups that are not to be removed.
pub(crate) const HOLDS: &str = "holds";

/// What a backup holds, which is also who can read its payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// Folders and files.
    #[default]
    Tar,
    /// Disk images.
    Image,
    /// Documents that name other backups.
    Set,
    /// Folders and files as upstream's engines rsync and rsyncv2 save them. Only read.
    Rsync,
    /// Files of a mounted volume as upstream's engine osbrick saves them: what its tar engine writes, under another name. Only read.
    Osbrick,
    /// Images of servers' disks as upstream's engine nova saves them. Only read.
    Nova,
    /// Images as upstream's engine glance saves them. Only read.
    Glance,
    /// Volumes as upstream's mode cinder saves them, named by their ids alone. Only read.
    Cinder,
}

impl Engine {
    pub fn name(self) -> &'static str {
        match self {
            Self::Tar => "tar",
            Self::Image => "image",
            Self::Set => "set",
            Self::Rsync => "rsync",
            Self::Osbrick => "osbrick",
            Self::Nova => "nova",
            Self::Glance => "glance",
            Self::Cinder => "cinder",
        }
    }

    /// Whether its payload is the image of a disk as Glance gave it: neither compressed nor encrypted.
    pub(crate) fn is_of_raw_images(self) -> bool {
        matches!(self, Self::Nova | Self::Glance | Self::Cinder)
    }

    /// Folder all HBNs of this engine have their metadata in.
    pub(crate) fn metadata_root(self) -> Result<ObjectName, StoreError> {
        ObjectName::new(format!("metadata/{}", self.name()))
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// `<hostname>_<backup_name>` of one engine: what chains belong to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hbn {
    engine: Engine,
    text: String,
}

impl Hbn {
    /// Of the engine `tar`.
    pub fn new(hostname: &str, backup_name: &str) -> Result<Self, VaultError> {
        Self::of(Engine::Tar, hostname, backup_name)
    }
    pub fn of(engine: Engine, hostname: &str, backup_name: &str) -> Result<Self, VaultError> {
        if hostname.is_empty() || backup_name.is_empty() {
            return Err(VaultError::BadRequest {
                cause: "host name and backup name must not be empty".into(),
            });
        }
        Self::from_text(engine, format!("{hostname}_{backup_name}"))
    }
    /// From the name of a folder on the storage.
    pub fn from_text(engine: Engine, text: impl Into<String>) -> Result<Self, VaultError> {
        let text = text.into();
        ObjectName::new(text.clone()).map_err(|_| VaultError::BadRequest {
            cause: format!(
                "'{text}' cannot be used as host name and backup name: no empty, '.' or '..' part"
            ),
        })?;
        Ok(Self { engine, text })
    }
    pub fn engine(&self) -> Engine {
        self.engine
    }
    pub fn as_str(&self) -> &str {
        &self.text
    }
    fn folder(&self, root: &str) -> Result<ObjectName, StoreError> {
        ObjectName::new(format!("{root}/{}/{}", self.engine, self.text))
    }
    pub(crate) fn metadata_folder(&self) -> Result<ObjectName, StoreError> {
        self.folder("metadata")
    }
    pub(crate) fn data_folder(&self) -> Result<ObjectName, StoreError> {
        self.folder("data")
    }
    pub(crate) fn hold_folder(&self) -> Result<ObjectName, StoreError> {
        self.data_folder()?.join(HOLDS)
    }
    pub(crate) fn lock_folder(&self) -> Result<ObjectName, StoreError> {
        self.data_folder()?.join(LOCKS)
    }
}

impl fmt::Display for Hbn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// One level of a chain, by its names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LevelId {
    pub chain_timestamp: i64,
    pub timestamp: i64,
    pub level: u32,
}

impl LevelId {
    fn folder_name(&self) -> String {
        format!("{}_{}", self.level, self.timestamp)
    }
    /// `<L>_<T>` below `<T0>`.
    pub(crate) fn parse(chain_timestamp: i64, folder_name: &str) -> Option<Self> {
        let (level, timestamp) = folder_name.split_once('_')?;
        let id = Self { chain_timestamp, timestamp: parse_timestamp(timestamp)?, level: level.parse().ok()? };
        // Only names in the one spelling that leads back to the same object.
        (id.folder_name() == folder_name).then_some(id)
    }
    pub(crate) fn metadata_folder(&self, hbn: &Hbn) -> Result<ObjectName, StoreError> {
        hbn.metadata_folder()?.join(&format!("{}/{}", self.chain_timestamp, self.folder_name()))
    }
    pub(crate) fn data_folder(&self, hbn: &Hbn) -> Result<ObjectName, StoreError> {
        hbn.data_folder()?.join(&format!("{}/{}", self.chain_timestamp, self.folder_name()))
    }
    pub(crate) fn metadata(&self, hbn: &Hbn) -> Result<ObjectName, StoreError> {
        self.metadata_folder(hbn)?.join(METADATA)
    }
    /// An object of the data folder.
    pub(crate) fn object(&self, hbn: &Hbn, part: &str) -> Result<ObjectName, StoreError> {
        self.data_folder(hbn)?.join(part)
    }
}

impl fmt::Display for LevelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "level {} of {} in chain {}", self.level, self.timestamp, self.chain_timestamp)
    }
}

/// Whole seconds, not negative, without leading zeros or sign.
pub(crate) fn parse_timestamp(text: &str) -> Option<i64> {
    let number: i64 = text.parse().ok()?;
    (number >= 0 && number.to_string() == text).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_layout_b() {
        let hbn = Hbn::new("h1", "freezer_{mode}_{resource_id}").unwrap();
        let id = LevelId { chain_timestamp: 10, timestamp: 20, level: 1 };
        assert_eq!(
            id.metadata(&hbn).unwrap().as_str(),
            "metadata/tar/h1_freezer_{mode}_{resource_id}/10/1_20/metadata"
        );
        let image = Hbn::of(Engine::Image, "h1", "disk").unwrap();
        assert_eq!(id.object(&image, MANIFEST).unwrap().as_str(), "data/image/h1_disk/10/1_20/manifest");
        let hbn = Hbn::new("h", "a b/c").unwrap();
        assert_eq!(id.object(&hbn, DATA).unwrap().as_str(), "data/tar/h_a b/c/10/1_20/data");
    }

    #[test]
    fn only_exact_names_are_levels() {
        assert!(LevelId::parse(1, "0_1").is_some());
        for name in ["0_01", "00_1", "0_", "_1", "0_1_2", "a_1", "0_-1", "+0_1", "lock"] {
            assert!(LevelId::parse(1, name).is_none(), "{name}");
        }
    }

    #[test]
    fn names_cannot_leave_the_root() {
        assert!(Hbn::new("h", "a/../b").is_err());
        assert!(Hbn::new("h", "a//b").is_err());
        assert!(Hbn::new("", "a").is_err());
    }
}
