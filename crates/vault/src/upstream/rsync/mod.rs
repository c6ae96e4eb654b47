//! Upstream's engines `rsync` (here v1) and `rsyncv2` (v2), read only.
//!
//! A level becomes a tar stream, which the tar engine restores with all its care: v1 is records one after the other, v2 a
//! list of entries and then their contents. Where a level holds only the changed blocks of a file, the rest comes from what the
//! levels before it have left in the target.
//!
//! Nothing in these formats is authenticated. What is restored is compared with the SHA-1 of each block in `engine_metadata`;
//! v1 records too few blocks after an insertion, and what it left out is looked for in the previous content by these hashes.

mod entries;
mod huffman;
mod input;
mod level;
mod msgpack;
mod open;
mod output;
mod patch;
mod pieces;
mod records;
mod replay;
mod signatures;
mod stored;
mod tree;
mod unchain;

pub(crate) use open::{Codec, Opening, sniff};
pub(crate) use replay::{Replay, fetch_signatures, finish, replay};

/// Blocks of the first engine.
const V1_BLOCK_BYTES: u64 = 4096;

/// Which of the two engines, which both call themselves `rsync`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flavour {
    V1,
    V2 { block_bytes: u64 },
}

impl Flavour {
    fn block_bytes(self) -> u64 {
        match self {
            Self::V1 => V1_BLOCK_BYTES,
            Self::V2 { block_bytes } => block_bytes,
        }
    }
}
