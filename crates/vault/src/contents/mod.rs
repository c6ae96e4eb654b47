//! The table of contents of an archive: where each member lies in it, and from where in the stored payload it can be read
//! without what comes before.
//!
//! Clear form, in two parts that lie one behind the other (numbers are varints, seven bits a byte, lowest first):
//!
//! ```text
//! "FZCONTS" version(1)
//! blocks of 512 bytes before the first member
//! for each member, in order:
//!     blocks * 4 + form (0 directory, 1 hard link, 2 other); the member ends where the next one begins
//!     how many bytes of its path are those of the member before; length of the rest; the rest
//! 0
//! length of the cipher's header; the header
//! for each stretch of the payload, in order:
//!     stored bytes; bytes of the archive in it; SHA-256 of what is stored, lead included
//!     (of sealed chunks: bytes before they were sealed; bytes of the archive in them; no hash)
//! 0
//! ```
//! Stretches are one or more whole frames of the compressed stream. Of an encrypted payload a stretch has a *lead*: AES-CFB
//! needs the block of ciphertext before the first one that is decrypted, and that begins on a multiple of 16. The lead is the
//! 16 to 31 bytes from there on (fewer at the payload's beginning), and the hash covers it too. Of a payload in sealed chunks, all
//! chunks are read that hold some of a stretch; their tags prove them.

mod bytes;
mod locate;
mod members;
mod stretches;

pub(crate) use locate::{Located, locate};
pub(crate) use members::MembersWriter;
pub(crate) use stretches::{Proof, Stretch, StretchWriter};

use crate::encryption::BLOCK_BYTES;
use crate::tar::MemberForm;

/// The last byte is the version.
const MAGIC: &[u8; 8] = b"FZCONTS\x01";
/// What members of an archive begin on.
const BLOCK: u64 = 512;
const FORMS: [MemberForm; 3] = [MemberForm::Directory, MemberForm::HardLink, MemberForm::Other];

/// How many bytes before `place` of a ciphertext are needed to decrypt from there on.
fn lead_of(place: u64) -> u64 {
    let block_bytes = BLOCK_BYTES as u64;
    let block = place / block_bytes * block_bytes;
    place - block.saturating_sub(block_bytes)
}

#[cfg(test)]
mod tests {
    use super::lead_of;

    #[test]
    fn a_lead_begins_one_block_before() {
        for (place, lead) in [(0, 0), (1, 1), (15, 15), (16, 16), (17, 17), (31, 31), (32, 16), (100, 20)] {
            assert_eq!(lead_of(place), lead, "{place}");
        }
    }
}
