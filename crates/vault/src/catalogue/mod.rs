//! What a store holds of one HBN: its chains, their levels, and which of them are complete.
//!
//! A level of ours is complete when its manifest is there, unharmed and about this very level; one of
//! upstream (no manifest promised) when its metadata is there. Everything else does not exist for
//! restore and for choosing a base. Reads only.

mod ancestry;
mod memory;
mod read;
mod sources;
mod tree;

pub(crate) use ancestry::check_presence;
pub(crate) use memory::Memory;
pub use read::{list, list_beginning, list_hbns};
pub(crate) use read::{read_level, read_whole};
pub(crate) use sources::{Several, is_of, mark, source_of_path};
pub use sources::{Teller, Told};
pub(crate) use tree::Tree;

use crate::codecs::Compression;
use crate::layout::{Hbn, LevelId};
use crate::manifest::{Manifest, Metadata, Sealed};
use serde::Serialize;
use std::sync::Arc;

/// Whether a level exists for restore.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "standing", content = "cause")]
pub enum Standing {
    /// Made by this project, with a valid manifest.
    Complete,
    /// Made by upstream's agent: its metadata is all there is to go by.
    Upstream,
    /// Never finished, or being written, or being removed.
    Uncommitted,
    /// Was finished, but what makes it visible is damaged.
    Damaged(String),
}

/// One level as found.
#[derive(Clone, Debug)]
pub struct Level {
    pub id: LevelId,
    pub standing: Standing,
    pub(crate) metadata: Option<Metadata>,
    pub(crate) sealed: Option<Arc<Sealed>>,
}

impl Level {
    /// The manifest, when this level is [`Standing::Complete`]. In a list, long ones come without pieces.
    pub fn manifest(&self) -> Option<&Manifest> {
        self.sealed.as_ref().map(|sealed| &sealed.manifest)
    }
    pub fn exists(&self) -> bool {
        matches!(self.standing, Standing::Complete | Standing::Upstream)
    }
    pub fn is_encrypted(&self) -> bool {
        match (self.manifest(), &self.metadata) {
            (Some(manifest), _) => manifest.encryption.is_some(),
            (None, Some(metadata)) => metadata.encrypted,
            (None, None) => false,
        }
    }
    /// `None` when it is not recorded.
    pub fn compression(&self) -> Option<Compression> {
        match self.manifest() {
            Some(manifest) => Some(manifest.compression),
            None => self.metadata.as_ref().and_then(|metadata| metadata.compression),
        }
    }
    /// Size of the payload as stored, when it is recorded.
    pub fn stored_bytes(&self) -> Option<u64> {
        self.manifest().map(|manifest| manifest.totals.stored_bytes)
    }
}

/// The levels that share a level 0.
#[derive(Clone, Debug)]
pub struct Chain {
    pub timestamp: i64,
    /// By timestamp, oldest first; includes those that are not complete.
    pub levels: Vec<Level>,
}

impl Chain {
    /// Levels that exist, oldest first.
    pub fn existing(&self) -> impl DoubleEndedIterator<Item = &Level> {
        self.levels.iter().filter(|level| level.exists())
    }
}

/// Everything of one HBN.
#[derive(Clone, Debug)]
pub struct Catalogue {
    pub hbn: Hbn,
    /// By timestamp, oldest first.
    pub chains: Vec<Chain>,
}

impl Catalogue {
    /// The greatest timestamp in use by anything, finished or not.
    pub fn greatest_timestamp(&self) -> Option<i64> {
        let ids = self.chains.iter().flat_map(|chain| &chain.levels).map(|level| level.id.timestamp);
        self.chains.iter().map(|chain| chain.timestamp).chain(ids).max()
    }
    /// Whether there is any level that exists.
    pub fn has_backup(&self) -> bool {
        self.chains.iter().any(|chain| chain.existing().next().is_some())
    }
}
