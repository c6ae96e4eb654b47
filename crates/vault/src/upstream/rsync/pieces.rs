//! Where Freezer 7 began its encryption anew in a stream of engine rsyncv2, when the storage still tells it.
//!
//! It encrypted each piece that its compressor gave from the beginning again. On Swift each piece became a segment of its own, the
//! header the first one. Elsewhere the pieces are one behind the other, and only a search finds their borders ([`super::unchain`]).

use crate::VaultError;
use crate::catalogue::Level;
use crate::encryption::HEADER_BYTES;
use crate::layout::{DATA, Hbn, SEGMENTS};
use freezer_storage::Store;
use std::sync::Arc;

/// Freezer 6 encrypted everything in one, in whole blocks of the cipher, and filled the last one up.
const BLOCK_BYTES: u64 = 16;

/// Lengths of the pieces behind the header, in their order. Empty where it is all one, or where nothing tells them.
pub(super) async fn lengths(
    store: &Arc<dyn Store>,
    hbn: &Hbn,
    level: &Level,
) -> Result<Vec<u64>, VaultError> {
    let segments = store.list(Some(&level.id.object(hbn, SEGMENTS)?)).await?;
    let sizes: Vec<u64> =
        segments.iter().filter(|entry| !entry.is_folder).map(|entry| entry.size_bytes).collect();
    if sizes.is_empty() {
        return Ok(Vec::new());
    }
    let whole = store.head(&level.id.object(hbn, DATA)?).await?;
    Ok(whole.map(|info| behind_header(&sizes, info.size_bytes)).unwrap_or_default())
}

/// Of segments of these sizes, when they are all of the payload and not of Freezer 6.
fn behind_header(sizes: &[u64], whole_bytes: u64) -> Vec<u64> {
    let pieces = match sizes.split_first() {
        Some((first, pieces)) if *first == HEADER_BYTES as u64 => pieces,
        _ => return Vec::new(),
    };
    let sum = sizes.iter().fold(0, |sum: u64, size| sum.saturating_add(*size));
    let is_one = pieces.iter().all(|size| size.is_multiple_of(BLOCK_BYTES));
    if sum != whole_bytes || is_one {
        return Vec::new();
    }
    // Some have nothing: the compressor had nothing to give.
    pieces.iter().copied().filter(|size| *size > 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_told_from_what_is_one() {
        assert_eq!(behind_header(&[16, 7, 0, 32, 5], 60), [7, 32, 5]);
        let others: [(&[u64], u64); 6] = [
            (&[], 0),
            (&[16], 16),
            // Freezer 6.
            (&[16, 64, 32], 112),
            // What is not cut at the header is cut anywhere.
            (&[20, 7], 27),
            // Something is missing.
            (&[16, 7, 32], 60),
            (&[16, u64::MAX, 7], 22),
        ];
        for (sizes, whole_bytes) in others {
            assert!(behind_header(sizes, whole_bytes).is_empty(), "{sizes:?}");
        }
    }
}
