//! Which parts of a changed file come from its previous content, and from where in it.
//!
//! The first engine counts what a rolling scan found and not the blocks of the file, so that after an insertion it recorded too
//! few of them. With the hash of every new block the rest can be found in the previous content, wherever it stood.

use super::signatures::{Signature, Strong};
use sha1::{Digest, Sha1};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

const BUFFER_BYTES: usize = 1 << 20;

pub(super) fn hash(block: &[u8]) -> Strong {
    Strong(Sha1::digest(block).into())
}

/// Sizes of the new content, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub size: u64,
    pub block: u64,
}

impl Shape {
    pub(super) fn blocks(self) -> u64 {
        self.size.div_ceil(self.block)
    }
    /// Bytes of block `index`, which beyond the end are none.
    pub(super) fn length(self, index: u64) -> usize {
        let start = index.saturating_mul(self.block);
        usize::try_from(self.size.saturating_sub(start).min(self.block)).unwrap_or(usize::MAX)
    }
}

/// Where blocks come from that are not in the level.
#[derive(Debug, Default)]
pub(super) struct Sources {
    /// Blocks that stood elsewhere in the previous content: block, and byte there.
    moved: BTreeMap<u64, u64>,
    /// Blocks that are nowhere.
    pub lost: BTreeSet<u64>,
}

impl Sources {
    /// Compares the previous content with what the new one should be at all blocks but those of `listed` (ascending).
    pub(super) fn find(
        base: &File,
        shape: Shape,
        listed: &[u64],
        signature: &Signature,
        searches: bool,
    ) -> io::Result<Self> {
        let mut sources = Self::default();
        let mut block = Vec::new();
        for index in (0..shape.blocks()).filter(|index| listed.binary_search(index).is_err()) {
            block.resize(shape.length(index), 0);
            read_at(base, &mut block, index * shape.block)?;
            if strong_of(signature, index).is_some_and(|wanted| *wanted != hash(&block)) {
                sources.lost.insert(index);
            }
        }
        if searches && !sources.lost.is_empty() {
            sources.search(base, shape, signature)?;
        }
        Ok(sources)
    }

    /// Byte of the previous content that block `index` begins at.
    pub(super) fn offset(&self, index: u64, shape: Shape) -> u64 {
        self.moved.get(&index).copied().unwrap_or_else(|| index.saturating_mul(shape.block))
    }

    fn search(&mut self, base: &File, shape: Shape, signature: &Signature) -> io::Result<()> {
        let mut by_length: BTreeMap<usize, HashMap<u64, Vec<u64>>> = BTreeMap::new();
        for index in &self.lost {
            if let Some(weak) = at(&signature.weak, *index) {
                let wanted = by_length.entry(shape.length(*index)).or_default();
                wanted.entry(*weak).or_default().push(*index);
            }
        }
        for (length, wanted) in by_length.into_iter().filter(|(length, _)| *length > 0) {
            for (index, offset) in roll(base, length, &wanted, signature)? {
                self.lost.remove(&index);
                self.moved.insert(index, offset);
            }
        }
        Ok(())
    }
}

fn at<T>(list: &[T], index: u64) -> Option<&T> {
    list.get(usize::try_from(index).ok()?)
}

/// The hash that block `index` of the new content must have, when it is recorded.
pub(super) fn strong_of(signature: &Signature, index: u64) -> Option<&Strong> {
    at(&signature.strong, index)
}

/// Fills `out`; what is beyond the end is zeros.
pub(super) fn read_at(base: &File, out: &mut [u8], offset: u64) -> io::Result<()> {
    let mut done = 0;
    while let Some(rest) = out.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match base.read_at(rest, offset.saturating_add(done as u64)) {
            Ok(0) => {
                rest.fill(0);
                return Ok(());
            }
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Every window of `length` bytes of `base` whose weak sum is wanted, compared by its hash: block, and byte in `base`.
fn roll(
    base: &File,
    length: usize,
    wanted: &HashMap<u64, Vec<u64>>,
    signature: &Signature,
) -> io::Result<BTreeMap<u64, u64>> {
    let mut found = BTreeMap::new();
    let mut reader = BufReader::with_capacity(BUFFER_BYTES, base);
    reader.seek(SeekFrom::Start(0))?;
    let mut window = vec![0; length];
    if let Err(error) = reader.read_exact(&mut window) {
        return if error.kind() == io::ErrorKind::UnexpectedEof { Ok(found) } else { Err(error) };
    }
    let factor = length as u64;
    let mut sum: u64 = window.iter().map(|byte| u64::from(*byte)).sum();
    let mut weighted: u64 =
        window.iter().zip((1..=factor).rev()).map(|(byte, weight)| weight * u64::from(*byte)).sum();
    let mut missing: usize = wanted.values().map(Vec::len).sum();
    let (mut offset, mut head) = (0u64, 0usize);
    let mut coming = reader.bytes();
    while missing > 0 {
        if let Some(blocks) = wanted.get(&((weighted << 16) | sum)) {
            let (end, start) = window.split_at(head);
            let strong = hash(&[start, end].concat());
            for index in blocks.iter().filter(|index| strong_of(signature, **index) == Some(&strong)) {
                if found.insert(*index, offset).is_none() {
                    missing -= 1;
                }
            }
        }
        let Some(byte) = coming.next().transpose()? else { break };
        let Some(place) = window.get_mut(head) else { break };
        let gone = u64::from(std::mem::replace(place, byte));
        head = (head + 1) % length;
        sum = sum - gone + u64::from(byte);
        weighted = weighted - factor * gone + sum;
        offset += 1;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn weak(data: &[u8]) -> u64 {
        let length = data.len() as u64;
        let sum: u64 = data.iter().map(|byte| u64::from(*byte)).sum();
        let weighted: u64 =
            data.iter().enumerate().map(|(at, byte)| (length - at as u64) * u64::from(*byte)).sum();
        (weighted << 16) | sum
    }

    fn signature(data: &[u8], block: usize) -> Signature {
        Signature {
            weak: data.chunks(block).map(weak).collect(),
            strong: data.chunks(block).map(hash).collect(),
        }
    }

    #[test]
    fn blocks_are_found_where_they_were_before_an_insertion() {
        let old: Vec<u8> =
            (0..50_000u32).map(|value| (value.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let mut new = old.clone();
        new.splice(5000..5000, *b"inserted");
        let mut base = tempfile::tempfile().unwrap();
        base.write_all(&old).unwrap();
        let shape = Shape { size: new.len() as u64, block: 4096 };
        let sources = Sources::find(&base, shape, &[1], &signature(&new, 4096), true).unwrap();
        assert!(sources.lost.is_empty(), "{sources:?}");
        for index in (0..shape.blocks()).filter(|index| *index != 1) {
            let mut block = vec![0; shape.length(index)];
            read_at(&base, &mut block, sources.offset(index, shape)).unwrap();
            let start = index as usize * 4096;
            assert_eq!(block, new[start..start + block.len()], "{index}");
        }
        // Without a search they are known to be wrong.
        let sources = Sources::find(&base, shape, &[1], &signature(&new, 4096), false).unwrap();
        assert_eq!(sources.lost.len() as u64, shape.blocks() - 2);
    }

    #[test]
    fn what_is_nowhere_is_lost() {
        let old = vec![b'a'; 9000];
        let mut new = old.clone();
        new[8500] = b'x';
        let mut base = tempfile::tempfile().unwrap();
        base.write_all(&old).unwrap();
        let shape = Shape { size: 9000, block: 4096 };
        let sources = Sources::find(&base, shape, &[], &signature(&new, 4096), true).unwrap();
        assert_eq!(sources.lost, BTreeSet::from([2]));
    }
}
