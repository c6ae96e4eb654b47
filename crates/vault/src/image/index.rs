//! What the next level compares with: a hash for each region of the image.
//!
//! Stored form: the hashes, 20 bytes each, then JSON of the rest, its length (u32, little-endian) and a magic. The hash is
//! SHA-256, cut. A region of zeros has the hash 0…0, one whose content is not known (a change covered a part of it) 0xff….

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

const MAGIC: &[u8; 8] = b"FZIMAGE1";
const HASH_BYTES: usize = 20;
/// Regions begin with this size and double until the index is small enough.
const LEAST_REGION_BYTES: u64 = 64 * 1024;
const MOST_REGION_BYTES: u64 = 1 << 30;
/// Regions of an image whose size is not known ahead.
const USUAL_REGION_BYTES: u64 = 512 * 1024;
/// 32 MiB of hashes.
const MOST_REGIONS: u64 = (32 << 20) / HASH_BYTES as u64;

pub(super) type RegionHash = [u8; HASH_BYTES];

pub(super) const ZERO: RegionHash = [0; HASH_BYTES];
pub(super) const UNKNOWN: RegionHash = [0xff; HASH_BYTES];

#[derive(Clone, Debug)]
pub(super) struct ImageIndex {
    pub size_bytes: u64,
    pub region_bytes: u64,
    pub source: Value,
    hashes: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
struct Trailer {
    size_bytes: u64,
    region_bytes: u64,
    source: Value,
}

pub(super) fn region_bytes_for(size_bytes: Option<u64>) -> u64 {
    let Some(size) = size_bytes else { return USUAL_REGION_BYTES };
    let mut region = LEAST_REGION_BYTES;
    while size.div_ceil(region) > MOST_REGIONS && region < MOST_REGION_BYTES {
        region *= 2;
    }
    region
}

/// The hash of a region that is not all zeros.
pub(super) fn hash_of(data: &[u8]) -> RegionHash {
    cut(Sha256::digest(data).as_slice())
}

pub(super) fn cut(digest: &[u8]) -> RegionHash {
    let mut hash = ZERO;
    for (to, from) in hash.iter_mut().zip(digest) {
        *to = *from;
    }
    hash
}

pub(super) fn is_zero(data: &[u8]) -> bool {
    let (blocks, rest) = data.as_chunks::<32>();
    blocks.iter().all(|block| *block == [0; 32]) && rest.iter().all(|byte| *byte == 0)
}

impl ImageIndex {
    /// Of an image of zeros.
    pub(super) fn new(region_bytes: u64) -> Self {
        Self { size_bytes: 0, region_bytes, source: Value::Null, hashes: Vec::new() }
    }

    /// What region `number` is; zero where there is none.
    pub(super) fn get(&self, number: u64) -> RegionHash {
        let place = usize::try_from(number).unwrap_or(usize::MAX).saturating_mul(HASH_BYTES);
        self.hashes.get(place..place.saturating_add(HASH_BYTES)).map_or(ZERO, cut)
    }

    pub(super) fn set(&mut self, number: u64, hash: RegionHash) {
        let place = usize::try_from(number).unwrap_or(usize::MAX).saturating_mul(HASH_BYTES);
        let end = place.saturating_add(HASH_BYTES);
        if self.hashes.len() < end {
            if hash == ZERO {
                return;
            }
            self.hashes.resize(end, 0);
        }
        if let Some(slot) = self.hashes.get_mut(place..end) {
            slot.copy_from_slice(&hash);
        }
    }

    /// The image has another size from now on. A region that its old end was in is not what it was.
    pub(super) fn resize(&mut self, size_bytes: u64) {
        if size_bytes != self.size_bytes {
            let edge = self.size_bytes.min(size_bytes);
            if !edge.is_multiple_of(self.region_bytes) && self.get(edge / self.region_bytes) != ZERO {
                self.set(edge / self.region_bytes, UNKNOWN);
            }
            let regions = usize::try_from(size_bytes.div_ceil(self.region_bytes)).unwrap_or(usize::MAX);
            self.hashes.truncate(regions.saturating_mul(HASH_BYTES));
        }
        self.size_bytes = size_bytes;
        while size_bytes.div_ceil(self.region_bytes) > 2 * MOST_REGIONS
            && self.region_bytes < MOST_REGION_BYTES
        {
            self.coarsen();
        }
    }

    /// Regions of twice the size, for an image that has grown much. Only that of zeros is known.
    fn coarsen(&mut self) {
        let mut coarse = Self { hashes: Vec::new(), source: Value::Null, ..*self };
        coarse.region_bytes *= 2;
        let regions = (self.hashes.len() / HASH_BYTES) as u64;
        for number in 0..regions.div_ceil(2) {
            let is_zero = self.get(2 * number) == ZERO && self.get(2 * number + 1) == ZERO;
            coarse.set(number, if is_zero { ZERO } else { UNKNOWN });
        }
        self.region_bytes = coarse.region_bytes;
        self.hashes = coarse.hashes;
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        let Self { size_bytes, region_bytes, source, hashes: mut bytes } = self;
        let trailer = Trailer { size_bytes, region_bytes, source };
        let trailer = serde_json::to_vec(&trailer).unwrap_or_default();
        bytes.extend_from_slice(&trailer);
        bytes.extend_from_slice(&u32::try_from(trailer.len()).unwrap_or_default().to_le_bytes());
        bytes.extend_from_slice(MAGIC);
        bytes
    }

    pub(super) fn from_bytes(mut bytes: Vec<u8>) -> Result<Self, String> {
        let split = |bytes: &[u8]| -> Option<(usize, Trailer)> {
            let rest = bytes.strip_suffix(MAGIC)?;
            let (rest, length) = rest.split_last_chunk::<4>()?;
            let begin = rest.len().checked_sub(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
            let trailer: Trailer = serde_json::from_slice(rest.get(begin..)?).ok()?;
            (trailer.region_bytes > 0 && begin.is_multiple_of(HASH_BYTES)).then_some((begin, trailer))
        };
        let (begin, trailer) = split(&bytes).ok_or("it is no index of an image")?;
        bytes.truncate(begin);
        let Trailer { size_bytes, region_bytes, source } = trailer;
        Ok(Self { size_bytes, region_bytes, source, hashes: bytes })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn regions_grow_with_the_image() {
        assert_eq!(region_bytes_for(Some(1)), 64 << 10);
        assert_eq!(region_bytes_for(Some(100 << 30)), 64 << 10);
        assert_eq!(region_bytes_for(Some(1 << 40)), 1 << 20);
        assert!(ImageIndex::new(region_bytes_for(Some(u64::MAX))).region_bytes == 1 << 30);
    }

    #[test]
    fn the_stored_form_comes_back() {
        let mut index = ImageIndex::new(4);
        index.source = json!({"snapshot": "s1"});
        index.resize(20);
        index.set(3, hash_of(b"x"));
        index.set(4, ZERO);
        let back = ImageIndex::from_bytes(index.into_bytes()).unwrap();
        assert_eq!((back.size_bytes, back.region_bytes), (20, 4));
        assert_eq!((back.get(0), back.get(3), back.get(99)), (ZERO, hash_of(b"x"), ZERO));
        assert_eq!(back.source, json!({"snapshot": "s1"}));
        assert!(ImageIndex::from_bytes(b"nonsense".to_vec()).is_err());
        assert!(ImageIndex::from_bytes(Vec::new()).is_err());
    }

    #[test]
    fn what_lay_across_the_end_is_not_known_after_it_moved() {
        let mut index = ImageIndex::new(4);
        index.resize(10);
        index.set(2, hash_of(b"x"));
        index.resize(12);
        assert_eq!(index.get(2), UNKNOWN);
        index.resize(8);
        assert_eq!(index.get(2), ZERO);
        index.set(1, hash_of(b"y"));
        index.resize(16);
        assert_eq!(index.get(1), hash_of(b"y"));
    }

    #[test]
    fn an_image_that_grows_much_gets_larger_regions() {
        let mut index = ImageIndex::new(region_bytes_for(Some(1 << 30)));
        index.resize(1 << 30);
        index.set(5, hash_of(b"x"));
        index.resize(16 << 40);
        assert!(index.size_bytes.div_ceil(index.region_bytes) <= 2 * MOST_REGIONS);
        assert_eq!((index.get(0), index.get(1)), (UNKNOWN, ZERO));
    }

    #[test]
    fn zeros_are_seen() {
        assert!(is_zero(&[0; 100]) && is_zero(&[]));
        for place in [0, 31, 32, 99] {
            let mut data = [0; 100];
            data[place] = 1;
            assert!(!is_zero(&data));
        }
    }
}
