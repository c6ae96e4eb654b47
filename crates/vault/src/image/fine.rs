//! Which blocks of a region are not as they were: short hashes of the blocks of the regions that were stored last.
//!
//! They are kept in a bounded room. Where none is left, a region that is stored takes that of the region whose hashes were made
//! longest ago, but not of one of the same level: what has changed lately is what changes again. An index that has more than there
//! is room for, from a program that gave more, loses the oldest when it is stored again.
//!
//! Stored form: entries of one length, those that were made longest ago first. Each is the region's number (u32,
//! little-endian), the beginning of the region's own hash, and 8 bytes for each block that fits into a region. A block of
//! zeros has 0, and so has one behind the image's end.

use super::index::{RegionHash, ZERO, is_zero};
use crate::encryption::random_bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::ops::Range;

pub(super) const BLOCK_BYTES: usize = 4096;

/// Of two contents with one hash the second is not stored, so this must not happen by chance: with 8 bytes it does once in 2^64
/// blocks that have changed, with 4 once in 16 TiB of them. Nor must it happen by will: two contents with the same 8 bytes
/// of a SHA-256 take 2^32 attempts, and bytes in a volume are not always from whoever owns it (a file that was sent to a server).
/// So before each block goes a salt that the index alone has. Who can read that owns the backup, and harms only himself.
const HASH_BYTES: usize = 8;
/// Costs no time: with it and SHA-256's own end a block is as many of SHA-256's blocks as without it.
const SALT_BYTES: usize = 16;

const NUMBER_BYTES: usize = 4;
/// Of the region's hash: an entry that is of another content shows.
const MARK_BYTES: usize = 8;
const HEAD_BYTES: usize = NUMBER_BYTES + MARK_BYTES;

/// Of all entries: with regions of 64 KiB they are 3.6 GiB of content. It is stored again with each level, and held in memory of each
/// image that is saved: of a project's several at the same time.
const MOST_BYTES: usize = 8 << 20;

/// In place of the number: the entry is of no region any more.
const FREE: u32 = u32::MAX;

/// What the index says of the stored entries.
#[derive(Serialize, Deserialize)]
pub(super) struct Described {
    pub bytes: u64,
    block_bytes: u64,
    salt: String,
}

#[derive(Clone, Debug)]
pub(super) struct Fine {
    salt: [u8; SALT_BYTES],
    /// 0: regions are not made of whole blocks, and there is no room for entries.
    entry_bytes: usize,
    most_entries: usize,
    /// Entries, slot by slot.
    entries: Vec<u8>,
    /// Of each slot: its entry was made by this level.
    is_new: Vec<bool>,
    /// Regions and their slots as the level found them, ascending by region. What is no longer so, the slot itself says.
    carried: Vec<(u32, u32)>,
    /// The same of those that got a slot since.
    added: Vec<(u32, u32)>,
    /// All slots before this one are new.
    oldest: usize,
    /// The answer of [`Fine::renew`].
    differing: Vec<bool>,
}

impl Fine {
    pub(super) fn new(region_bytes: u64) -> Self {
        let entry_bytes = entry_bytes_for(region_bytes).unwrap_or(0);
        Self {
            salt: random_bytes(),
            entry_bytes,
            most_entries: MOST_BYTES.checked_div(entry_bytes).unwrap_or(0),
            entries: Vec::new(),
            is_new: Vec::new(),
            carried: Vec::new(),
            added: Vec::new(),
            oldest: 0,
            differing: Vec::new(),
        }
    }

    /// Room for so many entries.
    #[cfg(test)]
    pub(super) fn bound(&mut self, most_entries: usize) {
        self.most_entries = most_entries;
    }

    /// The region gets another hash, and its blocks' hashes are made of its content. Answers which blocks are not as they were,
    /// of all of them in order, where that is known.
    pub(super) fn renew(
        &mut self,
        number: u64,
        (was, is): (&RegionHash, &RegionHash),
        region: &[u8],
    ) -> Option<&[bool]> {
        self.differing.clear();
        let number = u32::try_from(number).ok().filter(|number| *number != FREE);
        let kept = number.and_then(|number| self.slot_of(number));
        let is_compared = *was != ZERO
            && number.zip(kept).is_some_and(|(number, slot)| self.head(slot) == Some(&head_of(number, was)));
        let slot = kept.or_else(|| number.and_then(|number| self.make_room(number)));
        let place = slot.and_then(|slot| range(slot, self.entry_bytes));
        let entry = place.and_then(|place| self.entries.get_mut(place));
        let parts = entry.and_then(|entry| entry.split_first_chunk_mut::<HEAD_BYTES>());
        let (Some(number), Some(slot), Some((head, hashes))) = (number, slot, parts) else {
            if *was != ZERO {
                return None;
            }
            self.differing.extend(region.chunks(BLOCK_BYTES).map(|block| !is_zero(block)));
            return Some(self.differing.as_slice());
        };
        if !is_compared {
            hashes.fill(0);
        }
        let mut blocks = region.chunks(BLOCK_BYTES);
        for hash in hashes.as_chunks_mut::<HASH_BYTES>().0 {
            let Some(block) = blocks.next() else {
                *hash = [0; HASH_BYTES];
                continue;
            };
            let new = block_hash(&self.salt, block);
            self.differing.push(*hash != new);
            *hash = new;
        }
        *head = head_of(number, is);
        if let Some(is_new) = self.is_new.get_mut(slot) {
            *is_new = true;
        }
        // That none differs cannot be, as the region does: two contents had one hash, and all of it is stored.
        let is_known =
            (is_compared || *was == ZERO) && blocks.next().is_none() && self.differing.contains(&true);
        is_known.then_some(self.differing.as_slice())
    }

    /// The region got another hash, and its content is not at hand.
    pub(super) fn forget(&mut self, number: u64) {
        if let Some(slot) = u32::try_from(number).ok().and_then(|number| self.slot_of(number)) {
            self.free(slot);
        }
    }

    /// The same of this region and all behind it.
    pub(super) fn forget_from(&mut self, number: u64) {
        for slot in 0..self.is_new.len() {
            if self.number_in(slot).is_some_and(|found| u64::from(found) >= number) {
                self.free(slot);
            }
        }
    }

    fn free(&mut self, slot: usize) {
        let place = range(slot, self.entry_bytes);
        let entry = place.and_then(|place| self.entries.get_mut(place));
        if let Some(number) = entry.and_then(|entry| entry.first_chunk_mut::<NUMBER_BYTES>()) {
            *number = FREE.to_le_bytes();
        }
    }

    fn head(&self, slot: usize) -> Option<&[u8; HEAD_BYTES]> {
        self.entries.get(range(slot, self.entry_bytes)?)?.first_chunk::<HEAD_BYTES>()
    }

    fn number_in(&self, slot: usize) -> Option<u32> {
        self.head(slot)?.first_chunk::<NUMBER_BYTES>().map(|number| u32::from_le_bytes(*number))
    }

    fn slot_of(&self, number: u32) -> Option<usize> {
        [&self.added, &self.carried].into_iter().find_map(|places| {
            let found = places.binary_search_by_key(&number, |(number, _)| *number).ok()?;
            let (_, slot) = places.get(found)?;
            let slot = usize::try_from(*slot).ok()?;
            (self.number_in(slot) == Some(number)).then_some(slot)
        })
    }

    /// A slot for a region that has none, if there is one. Whatever is in it is to be written over.
    fn make_room(&mut self, number: u32) -> Option<usize> {
        let has_room = self.is_new.len() < self.most_entries;
        let slot = if has_room { self.is_new.len() } else { self.oldest_slot()? };
        let place = u32::try_from(slot).ok()?;
        if has_room {
            self.entries.resize(self.entries.len() + self.entry_bytes, 0);
            self.is_new.push(false);
        }
        match self.added.binary_search_by_key(&number, |(number, _)| *number) {
            Ok(found) => {
                if let Some((_, slot)) = self.added.get_mut(found) {
                    *slot = place;
                }
            }
            // Regions come in ascending order: at the end.
            Err(next) => self.added.insert(next, (number, place)),
        }
        Some(slot)
    }

    fn oldest_slot(&mut self) -> Option<usize> {
        while *self.is_new.get(self.oldest)? {
            self.oldest += 1;
        }
        Some(self.oldest)
    }

    /// Appends the entries that there is room for, and answers what is to be said of them. Without any nothing.
    pub(super) fn append_to(self, out: &mut Vec<u8>) -> Option<Described> {
        let before = out.len();
        let in_use = || {
            let entries = self.entries.chunks_exact(self.entry_bytes.max(1)).zip(&self.is_new);
            entries.filter(|(entry, _)| !entry.starts_with(&FREE.to_le_bytes()))
        };
        let count = in_use().count();
        let mut excess = count.saturating_sub(self.most_entries);
        out.reserve_exact((count - excess).saturating_mul(self.entry_bytes));
        for wanted in [false, true] {
            for (entry, _) in in_use().filter(|(_, is_new)| **is_new == wanted) {
                if excess > 0 {
                    excess -= 1;
                } else {
                    out.extend_from_slice(entry);
                }
            }
        }
        let bytes = (out.len() - before) as u64;
        let (block_bytes, salt) = (BLOCK_BYTES as u64, hex::encode(self.salt));
        (bytes > 0).then_some(Described { bytes, block_bytes, salt })
    }

    /// `None`: they are damaged.
    pub(super) fn from_stored(region_bytes: u64, described: &Described, entries: Vec<u8>) -> Option<Self> {
        let mut fine = Self::new(region_bytes);
        let is_whole = fine.entry_bytes > 0 && entries.len().is_multiple_of(fine.entry_bytes);
        if described.block_bytes != BLOCK_BYTES as u64 || !is_whole {
            return None;
        }
        hex::decode_to_slice(&described.salt, &mut fine.salt).ok()?;
        for (slot, entry) in entries.chunks_exact(fine.entry_bytes).enumerate() {
            let number = u32::from_le_bytes(*entry.first_chunk::<NUMBER_BYTES>()?);
            fine.carried.push((number, u32::try_from(slot).ok()?));
        }
        fine.carried.sort_unstable();
        let is_unique = fine.carried.is_sorted_by(|one, next| one.0 < next.0);
        if !is_unique || fine.carried.last().is_some_and(|(number, _)| *number == FREE) {
            return None;
        }
        fine.is_new = vec![false; fine.carried.len()];
        fine.entries = entries;
        Some(fine)
    }
}

fn entry_bytes_for(region_bytes: u64) -> Option<usize> {
    let region_bytes = usize::try_from(region_bytes).ok()?;
    if region_bytes == 0 || !region_bytes.is_multiple_of(BLOCK_BYTES) {
        return None;
    }
    (region_bytes / BLOCK_BYTES).checked_mul(HASH_BYTES)?.checked_add(HEAD_BYTES)
}

fn range(slot: usize, entry_bytes: usize) -> Option<Range<usize>> {
    let start = slot.checked_mul(entry_bytes)?;
    Some(start..start.checked_add(entry_bytes)?)
}

/// What the entry of a region of this hash begins with.
fn head_of(number: u32, region: &RegionHash) -> [u8; HEAD_BYTES] {
    let mut head = [0; HEAD_BYTES];
    let number = number.to_le_bytes();
    for (to, from) in head.iter_mut().zip(number.iter().chain(region)) {
        *to = *from;
    }
    head
}

fn block_hash(salt: &[u8; SALT_BYTES], block: &[u8]) -> [u8; HASH_BYTES] {
    if is_zero(block) {
        return [0; HASH_BYTES];
    }
    let mut hash = Sha256::new();
    hash.update(salt);
    hash.update(block);
    let digest = hash.finalize();
    let mut cut = [0; HASH_BYTES];
    for (to, from) in cut.iter_mut().zip(digest.iter()) {
        *to = *from;
    }
    cut
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::changes::{Listed, write_changes};
    use super::super::diff::DiffWriter;
    use super::super::index::{ImageIndex, UNKNOWN, hash_of};
    use super::super::merge::{Merge, Run};
    use super::super::whole::write_whole;
    use super::*;
    use crate::monitor::Monitor;
    use std::io::{Cursor, Read};

    /// Four blocks.
    const REGION: usize = 4 * BLOCK_BYTES;

    /// A region whose blocks are these.
    fn region(blocks: &[u8]) -> Vec<u8> {
        blocks.iter().flat_map(|byte| vec![*byte; BLOCK_BYTES]).collect()
    }

    fn renewed(index: &mut ImageIndex, number: u64, content: &[u8]) -> Option<Vec<bool>> {
        index.renew(number, hash_of(content), content).map(<[bool]>::to_vec)
    }

    /// What the next level begins with.
    fn next(index: ImageIndex, room: usize) -> ImageIndex {
        ImageIndex::from_bytes(index.into_bytes()).unwrap().bounded(room)
    }

    #[test]
    fn blocks_that_changed_are_told_where_they_are_known() {
        let mut index = ImageIndex::new(REGION as u64);
        assert_eq!(renewed(&mut index, 3, &region(&[1, 0, 2, 0])), Some(vec![true, false, true, false]));
        assert_eq!(renewed(&mut index, 3, &region(&[1, 3, 2, 0])), Some(vec![false, true, false, false]));
        let mut index = next(index, 9);
        assert_eq!(renewed(&mut index, 3, &region(&[1, 0, 2, 4])), Some(vec![false, true, false, true]));
        // The image's last region may be shorter, and become longer.
        let short = [region(&[5]), vec![6; 10]].concat();
        assert_eq!(renewed(&mut index, 4, &short), Some(vec![true, true]));
        let mut index = next(index, 9);
        assert_eq!(renewed(&mut index, 4, &region(&[5, 6, 0, 7])), Some(vec![false, true, false, true]));
        // Its content is another since, and nobody has seen its blocks.
        index.set(3, UNKNOWN);
        assert_eq!(renewed(&mut index, 3, &region(&[1, 0, 2, 4])), None);
        index.set(3, hash_of(b"another"));
        assert_eq!(renewed(&mut next(index, 9), 3, &region(&[1, 0, 2, 5])), None);
    }

    #[test]
    fn what_is_cut_off_or_counted_otherwise_is_not_known() {
        let mut index = ImageIndex::new(REGION as u64);
        index.resize(3 * REGION as u64);
        for number in 0..3 {
            renewed(&mut index, number, &region(&[1, 2, 3, 4]));
        }
        index.resize(REGION as u64 + 1);
        index.resize(3 * REGION as u64);
        assert_eq!(renewed(&mut index, 0, &region(&[1, 2, 3, 5])), Some(vec![false, false, false, true]));
        assert_eq!(renewed(&mut index, 1, &region(&[1, 2, 3, 5])), None);
        assert_eq!(renewed(&mut index, 2, &region(&[1, 0, 0, 4])), Some(vec![true, false, false, true]));
        // Regions that are no whole blocks: zeros are seen, and no more.
        let mut index = ImageIndex::new(1024);
        assert_eq!(renewed(&mut index, 0, &[1; 1024]), Some(vec![true]));
        assert_eq!(renewed(&mut index, 0, &[2; 1024]), None);
    }

    #[test]
    fn the_oldest_make_room_and_nothing_else_does() {
        let state = |last| region(&[1, 2, 3, last]);
        let known = Some(vec![false, false, false, true]);
        let mut index = ImageIndex::new(REGION as u64).bounded(2);
        for number in 0..4 {
            assert!(renewed(&mut index, number, &state(1)).is_some(), "they were zero");
        }
        let mut index = next(index, 2);
        // 0 and 1 are known. 2 takes the place of 0, and from then on both are of this level.
        assert_eq!(renewed(&mut index, 2, &state(2)), None);
        assert_eq!(renewed(&mut index, 1, &state(2)), known);
        assert_eq!(renewed(&mut index, 0, &state(2)), None);
        assert_eq!(renewed(&mut index, 3, &state(2)), None);
        let mut index = next(index, 2);
        assert_eq!(renewed(&mut index, 1, &state(3)), known);
        assert_eq!(renewed(&mut index, 0, &state(3)), None, "it had no room");
        assert_eq!(renewed(&mut index, 2, &state(3)), None, "0 has its place");
        let mut index = next(index, 2);
        assert_eq!(renewed(&mut index, 0, &state(4)), known);
        // A region of zeros needs none.
        index.set(1, ZERO);
        assert_eq!(renewed(&mut index, 3, &state(4)), None);
        let mut index = next(index, 2);
        assert_eq!(renewed(&mut index, 0, &state(5)), known);
        assert_eq!(renewed(&mut index, 3, &state(5)), known);
    }

    #[test]
    fn what_has_more_than_there_is_room_for_loses_the_oldest() {
        let state = |last| region(&[1, 2, 3, last]);
        let known = Some(vec![false, false, false, true]);
        let mut index = ImageIndex::new(REGION as u64).bounded(5);
        for number in 0..5 {
            renewed(&mut index, number, &state(1));
        }
        // All are known still, and 0 is of this level now. 4 is no more.
        let mut index = next(index, 2);
        assert_eq!(renewed(&mut index, 0, &state(2)), known);
        index.set(4, ZERO);
        let index = next(index, 2);
        for (number, last) in [(0, 3), (3, 2)] {
            assert_eq!(renewed(&mut index.clone(), number, &state(last)), known, "{number}");
        }
        for number in [1, 2] {
            assert_eq!(renewed(&mut index.clone(), number, &state(2)), None, "{number}");
        }
        assert_eq!(index.get(1), hash_of(&state(1)), "that the region is the same is known");
        // Where there is room for none, no bytes of any are left.
        let stored = next(index, 0).into_bytes();
        assert!(stored.ends_with(b"FZIMAGE1"));
        assert!(ImageIndex::from_bytes(stored).is_ok());
    }

    #[test]
    fn damage_is_no_index_and_no_panic() {
        let mut index = ImageIndex::new(REGION as u64);
        renewed(&mut index, 0, &region(&[1, 2, 3, 4]));
        renewed(&mut index, 1, &region(&[1, 2, 3, 4]));
        let sound = index.into_bytes();
        // Two hashes of regions, two entries, JSON.
        let (hashes, rest) = sound.split_at(40);
        let (entries, trailer) = rest.split_at(2 * (HEAD_BYTES + 4 * HASH_BYTES));
        let with = |entries: &[u8]| ImageIndex::from_bytes([hashes, entries, trailer].concat());
        assert!(with(entries).is_ok());
        assert!(with(&entries[1..]).is_err());
        assert!(with(&[]).is_err());
        let twice = [&entries[..entries.len() / 2], &entries[..entries.len() / 2]].concat();
        assert!(with(&twice).is_err(), "one region twice");
        let mut free = entries.to_vec();
        free[..NUMBER_BYTES].fill(0xff);
        assert!(with(&free).is_err());
        let text = |from: &str, to: &str| {
            let text = std::str::from_utf8(&trailer[..trailer.len() - 12]).unwrap();
            assert!(text.contains(from), "{text}");
            let text = text.replace(from, to);
            let length = u32::try_from(text.len()).unwrap().to_le_bytes();
            ImageIndex::from_bytes([hashes, entries, text.as_bytes(), &length, b"FZIMAGE2"].concat())
        };
        let bytes = format!("\"bytes\":{}", entries.len());
        assert!(text(&bytes, &bytes).is_ok());
        for wrong in ["0", "1", "18446744073709551615", "-1"] {
            assert!(text(&bytes, &format!("\"bytes\":{wrong}")).is_err(), "{wrong}");
        }
        assert!(text("\"block_bytes\":4096", "\"block_bytes\":512").is_err());
        assert!(text("\"region_bytes\":16384", "\"region_bytes\":0").is_err());
        assert!(text("\"region_bytes\":16384", "\"region_bytes\":1073741824").is_err());
        assert!(text("\"salt\":\"", "\"salt\":\"zz").is_err());
    }

    /// The same numbers for the same seed (xorshift).
    struct Random(u64);

    impl Random {
        fn below(&mut self, limit: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            usize::try_from(self.0 >> 16).unwrap() % limit
        }

        /// What a machine may do to its disk between two backups. There are few contents, so that old ones come back.
        fn change(&mut self, image: &mut Vec<u8>) {
            if image.is_empty() || self.below(3) == 0 {
                let sizes =
                    [12 * REGION, 9 * REGION + 5000, 9 * REGION + 4096, 7 * REGION - 1, 12 * REGION + 1];
                image.resize(sizes[self.below(sizes.len())], 0);
            }
            for _ in 0..self.below(7) {
                let (block, shift) = (self.below(13 * 4), self.below(2) * self.below(5000));
                let length = [BLOCK_BYTES, 2 * BLOCK_BYTES, 100, 3 * REGION, 5000][self.below(5)];
                let salt = self.below(4);
                let start = block * BLOCK_BYTES + shift;
                for place in start..(start + length).min(image.len()) {
                    image[place] = if salt == 0 { 0 } else { (place / 3 * salt % 255) as u8 };
                }
            }
        }
    }

    /// An `rbd diff` from one state to the other, in extents of a grid.
    fn list(old: &[u8], new: &[u8], grid: usize) -> Vec<u8> {
        let mut writer = DiffWriter::start(Vec::new()).unwrap();
        writer.size(new.len() as u64).unwrap();
        for (number, part) in new.chunks(grid).enumerate() {
            let start = number * grid;
            let was = (start..start + part.len()).map(|at| old.get(at).copied().unwrap_or(0));
            if !was.eq(part.iter().copied()) {
                writer.data(start as u64, part).unwrap();
            }
        }
        let (bytes, _) = writer.finish().unwrap();
        let (header, records) = bytes.split_at(b"rbd diff v1\n".len());
        [header, &b"f\x01\0\0\0a"[..], records].concat()
    }

    fn save(kind: usize, index: &mut ImageIndex, old: &[u8], new: &[u8]) -> Vec<u8> {
        let mut out = DiffWriter::start(Vec::new()).unwrap();
        let monitor = Monitor::new();
        if old.is_empty() || kind < 3 {
            let size_bytes = (kind > 0).then_some(new.len() as u64);
            let reader: Box<dyn Read + Send> = Box::new(Cursor::new(new.to_vec()));
            write_whole(reader, size_bytes, index, &mut out, &monitor).unwrap();
        } else {
            let (listed, grid) =
                if kind == 3 { (Listed::Objects, 2 * REGION) } else { (Listed::Changes, 1000) };
            let stream: Box<dyn Read + Send> = Box::new(Cursor::new(list(old, new, grid)));
            write_changes((stream, listed), true, index, &mut out, &monitor).unwrap();
        }
        out.finish().unwrap().0
    }

    fn merged(levels: &[(Vec<u8>, u64)]) -> Vec<u8> {
        let inputs = levels.iter().map(|(payload, size)| (Cursor::new(payload.clone()), *size)).collect();
        let mut merge = Merge::start(inputs).unwrap();
        let mut image = Vec::new();
        while let Some(run) = merge.next(1 << 20).unwrap() {
            let (Run::Zeros(length) | Run::Data(length)) = run;
            let mut part = vec![0; usize::try_from(length).unwrap()];
            if matches!(run, Run::Data(_)) {
                merge.take(&mut part).unwrap();
            }
            image.append(&mut part);
        }
        merge.finish().unwrap();
        image
    }

    /// Whatever happens to an image, however it is read and however little room there is: each level restores to what was read.
    #[test]
    fn every_state_comes_back_however_little_is_known() {
        for seed in 1..=40u64 {
            let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let room = [0, 1, 2, 5, 100][random.below(5)];
            let mut index = ImageIndex::new(REGION as u64).bounded(room);
            let mut image: Vec<u8> = Vec::new();
            let mut levels = Vec::new();
            for step in 0..9 {
                let old = image.clone();
                random.change(&mut image);
                let payload = save(random.below(5), &mut index, &old, &image);
                levels.push((payload, image.len() as u64));
                assert!(merged(&levels) == image, "seed {seed}, step {step}");
                // Now and then there is less room than there was, and more again.
                index = next(index, if random.below(4) == 0 { room / 2 } else { room });
            }
        }
    }
}
