//! Whether trying to compress is worth it. Media, archives and encrypted files are not made smaller, only slowly.

use super::Compression;
use std::io::Write;

/// So much is looked at, in as many places of the block.
const WINDOW_BYTES: usize = 8 << 10;
const WINDOWS: usize = 8;
/// What saves less than one byte in so many is not worth the time.
const WORTH: usize = 40;

/// The level for this block: the one asked for, or the cheapest when nothing would be gained.
pub fn level_for(format: Compression, level: u32, block: &[u8]) -> u32 {
    let cheapest = match format {
        // Stored as it is.
        Compression::Gzip => 0,
        // xz keeps what does not shrink as it is, after a look that is short at this level.
        Compression::Xz => 0,
        // bzip2 has no way of storing; zstd looks for itself.
        _ => level,
    };
    if cheapest < level && is_dense(block) { cheapest } else { level }
}

/// Whether no place that is looked at would shrink.
fn is_dense(block: &[u8]) -> bool {
    let step = block.len() / WINDOWS;
    if step < WINDOW_BYTES {
        return false;
    }
    block.chunks(step).filter_map(|part| part.get(..WINDOW_BYTES)).all(|window| !shrinks(window))
}

fn shrinks(window: &[u8]) -> bool {
    let mut encoder = flate2::write::DeflateEncoder::new(
        Vec::with_capacity(window.len() + window.len() / WORTH),
        flate2::Compression::fast(),
    );
    let packed = encoder.write_all(window).and_then(|()| encoder.finish());
    packed.is_ok_and(|packed| packed.len() < window.len() - window.len() / WORTH)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes without any pattern, the same each time.
    fn noise(count: usize) -> Vec<u8> {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        };
        (0..count).map(|_| next()).collect()
    }

    fn text(count: usize) -> Vec<u8> {
        b"What is saved can be restored. ".iter().copied().cycle().take(count).collect()
    }

    #[test]
    fn only_what_shrinks_nowhere_is_stored() {
        assert!(is_dense(&noise(1 << 20)));
        assert!(!is_dense(&text(1 << 20)));
        assert!(!is_dense(&[0; 1 << 20]));
        // One part of eight is enough.
        let mut mixed = noise(7 << 17);
        mixed.extend(text(1 << 17));
        assert!(!is_dense(&mixed));
        // Too short to tell, and soon done.
        assert!(!is_dense(&noise(1000)));
    }

    #[test]
    fn a_level_is_never_raised() {
        let block = noise(1 << 20);
        assert_eq!(level_for(Compression::Gzip, 6, &block), 0);
        assert_eq!(level_for(Compression::Gzip, 6, &text(1 << 20)), 6);
        assert_eq!(level_for(Compression::Xz, 6, &block), 0);
        assert_eq!(level_for(Compression::Xz, 0, &block), 0);
        assert_eq!(level_for(Compression::Bzip2, 9, &block), 9);
    }
}
