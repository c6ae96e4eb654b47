//! The tar engine's part of a backup of what is no folder. What an increment has to know of the level before is a note, which
//! stands in the place of the index.

use super::folder::outcome;
use super::stages::archive_feed;
use super::work::{Made, Outcome, StoredIndex, Work};
use crate::VaultError;
use crate::codecs::Compressor;
use crate::manifest::MOST_PIECE_BYTES;
use crate::monitor::Monitor;
use crate::tar::Feed;
use std::sync::Arc;

/// So that the index of a folder is not taken for a note.
const NOTE: &[u8] = b"FREEZER NOTE 1\n";

pub(super) struct FedWork {
    pub feed: Arc<dyn Feed>,
}

impl Work for FedWork {
    type Index = Vec<u8>;
    const PACKS_METADATA: bool = false;
    const LISTS_MEMBERS: bool = true;

    fn piece_bytes(_: u32) -> u64 {
        MOST_PIECE_BYTES
    }

    fn read_index(stored: StoredIndex) -> Result<Vec<u8>, String> {
        let note = match &stored {
            StoredIndex::Ours(body) => body.strip_prefix(NOTE),
            StoredIndex::Upstream(_) => None,
        };
        note.map(<[u8]>::to_vec).ok_or_else(|| "it is of another kind of source".to_owned())
    }

    fn refuses(&self, note: &Vec<u8>) -> Option<String> {
        self.feed.refuses(note)
    }

    async fn open(&mut self, _: Option<&Vec<u8>>) -> Result<(), VaultError> {
        Ok(())
    }

    fn write(
        self,
        base: Option<Vec<u8>>,
        out: Compressor,
        monitor: Arc<Monitor>,
    ) -> Result<Outcome, VaultError> {
        let (fed, members_list) = archive_feed(&*self.feed, base.as_deref(), out, monitor)?;
        let made = Made { index: [NOTE, &fed.note].concat(), engine_metadata: fed.written.index.to_snar() };
        Ok(Outcome { beside: Box::new(made), ..outcome(fed.written, members_list) })
    }
}
