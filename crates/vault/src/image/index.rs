//! What the next level compares with: a hash for each region of the image, and shorter ones of the blocks of some.
//!
//! Stored form: the hashes, 20 bytes each, then those of blocks ([`super::fine`]), JSON of the rest, its length (u32,
//! little-endian) and a magic. The hash is SHA-256, cut. A region of zeros has the hash 0…0, one whose content is not known (a
//! change covered a part of it) 0xff…. Without hashes of blocks it is the form, and has the magic, of the time before there
//! were any. Where there are some the magic is another, and a program of that time begins a new chain.

use super::fine::{Described, Fine};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

const MAGIC: &[u8; 8] = b"FZIMAGE1";
/// With hashes of blocks.
const FINE_MAGIC: &[u8; 8] = b"FZIMAGE2";
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
    /// What it says of a region goes with the hash that the region has here.
    fine: Fine,
}

#[derive(Serialize, Deserialize)]
struct Trailer {
    size_bytes: u64,
    region_bytes: u64,
    source: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    blocks: Option<Described>,
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
        let fine = Fine::new(region_bytes);
        Self { size_bytes: 0, region_bytes, source: Value::Null, hashes: Vec::new(), fine }
    }

    #[cfg(test)]
    pub(super) fn bounded(mut self, most_entries: usize) -> Self {
        self.fine.bound(most_entries);
        self
    }

    /// What region `number` is; zero where there is none.
    pub(super) fn get(&self, number: u64) -> RegionHash {
        let place = usize::try_from(number).unwrap_or(usize::MAX).saturating_mul(HASH_BYTES);
        self.hashes.get(place..place.saturating_add(HASH_BYTES)).map_or(ZERO, cut)
    }

    /// What is known of the region's blocks is not so any more when its hash is another.
    pub(super) fn set(&mut self, number: u64, hash: RegionHash) {
        if self.get(number) != hash {
            self.fine.forget(number);
            self.put(number, hash);
        }
    }

    /// The region was not as it is now, which is not all zeros, and has this hash. Answers which of its blocks were not as they
    /// are, of all of them in order, where that is known.
    pub(super) fn renew(&mut self, number: u64, hash: RegionHash, region: &[u8]) -> Option<&[bool]> {
        let was = self.get(number);
        self.put(number, hash);
        self.fine.renew(number, (&was, &hash), region)
    }

    fn put(&mut self, number: u64, hash: RegionHash) {
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
            let regions = size_bytes.div_ceil(self.region_bytes);
            self.fine.forget_from(regions);
            let regions = usize::try_from(regions).unwrap_or(usize::MAX);
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
        let mut coarse = Self::new(2 * self.region_bytes);
        let regions = (self.hashes.len() / HASH_BYTES) as u64;
        for number in 0..regions.div_ceil(2) {
            let is_zero = self.get(2 * number) == ZERO && self.get(2 * number + 1) == ZERO;
            coarse.set(number, if is_zero { ZERO } else { UNKNOWN });
        }
        self.region_bytes = coarse.region_bytes;
        self.hashes = coarse.hashes;
        self.fine = coarse.fine;
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        let Self { size_bytes, region_bytes, source, hashes: mut bytes, fine } = self;
        let blocks = fine.append_to(&mut bytes);
        let magic = if blocks.is_some() { FINE_MAGIC } else { MAGIC };
        let trailer = Trailer { size_bytes, region_bytes, source, blocks };
        let trailer = serde_json::to_vec(&trailer).unwrap_or_default();
        bytes.extend_from_slice(&trailer);
        bytes.extend_from_slice(&u32::try_from(trailer.len()).unwrap_or_default().to_le_bytes());
        bytes.extend_from_slice(magic);
        bytes
    }

    pub(super) fn from_bytes(mut bytes: Vec<u8>) -> Result<Self, String> {
        const DAMAGED: &str = "it is no index of an image";
        let (end, trailer) = trailer_of(&bytes).ok_or(DAMAGED)?;
        bytes.truncate(end);
        let Trailer { size_bytes, region_bytes, source, blocks } = trailer;
        let fine = match blocks {
            None => Fine::new(region_bytes),
            Some(described) => {
                let length = usize::try_from(described.bytes).map_err(|_| DAMAGED)?;
                let entries = bytes.split_off(end.checked_sub(length).ok_or(DAMAGED)?);
                // The room that they had here goes back.
                bytes.shrink_to_fit();
                Fine::from_stored(region_bytes, &described, entries).ok_or(DAMAGED)?
            }
        };
        if !bytes.len().is_multiple_of(HASH_BYTES) {
            return Err(DAMAGED.to_owned());
        }
        Ok(Self { size_bytes, region_bytes, source, hashes: bytes, fine })
    }
}

/// With the place where it begins.
fn trailer_of(bytes: &[u8]) -> Option<(usize, Trailer)> {
    let old = bytes.strip_suffix(MAGIC);
    let rest = old.or_else(|| bytes.strip_suffix(FINE_MAGIC))?;
    let (rest, length) = rest.split_last_chunk::<4>()?;
    let begin = rest.len().checked_sub(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
    let trailer: Trailer = serde_json::from_slice(rest.get(begin..)?).ok()?;
    let is_region = trailer.region_bytes.is_power_of_two() && trailer.region_bytes <= MOST_REGION_BYTES;
    (is_region && trailer.blocks.is_some() == old.is_none()).then_some((begin, trailer))
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
        let huge = ImageIndex::new(2 * MOST_REGION_BYTES).into_bytes();
        assert!(ImageIndex::from_bytes(huge).is_err());
        assert!(ImageIndex::from_bytes(Vec::new()).is_err());
    }

    /// As it was stored before there were hashes of blocks.
    #[test]
    fn the_old_form_is_read_and_written_where_nothing_is_known_of_blocks() {
        let trailer = br#"{"size_bytes":196608,"region_bytes":65536,"source":{"snapshot":"s1"}}"#;
        let length = u32::try_from(trailer.len()).unwrap().to_le_bytes();
        let hashes = [hash_of(b"x"), ZERO, UNKNOWN].concat();
        let old = [&hashes[..], trailer, &length, b"FZIMAGE1"].concat();
        let mut index = ImageIndex::from_bytes(old.clone()).unwrap();
        assert_eq!((index.size_bytes, index.region_bytes), (196_608, 65_536));
        assert_eq!((index.get(0), index.get(1), index.get(2)), (hash_of(b"x"), ZERO, UNKNOWN));
        assert_eq!(index.source, json!({"snapshot": "s1"}));
        assert_eq!(index.clone().into_bytes(), old);
        // From the next time that a region is stored on.
        let mut region = vec![7; 65_536];
        assert!(index.renew(0, hash_of(&region), &region).is_none());
        let mut index = ImageIndex::from_bytes(index.into_bytes()).unwrap();
        region[5 * 4096] = 8;
        let differing = index.renew(0, hash_of(&region), &region).unwrap();
        assert_eq!(differing.iter().position(|differs| *differs), Some(5));
        assert!(index.into_bytes().ends_with(b"FZIMAGE2"));
        // One under the magic of the other.
        let mistaken = [&hashes[..], trailer, &length, b"FZIMAGE2"].concat();
        assert!(ImageIndex::from_bytes(mistaken).is_err());
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
