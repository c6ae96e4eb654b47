//! The tar engine: a directory tree in, a tar stream out, and back.
//!
//! The stream is what GNU tar writes with `--listed-incremental`: every directory is a member of type `D` whose
//! body (the dumpdir) names what the directory held, so deletions replay when levels are extracted in order,
//! by us or by `tar --incremental --extract`. On top of that it carries what GNU's default format loses:
//! nanosecond times, extended attributes, ACLs, holes and devices.
//!
//! Invariants: names are bytes; nothing is followed through a symbolic link below the root or the destination;
//! memory does not grow with file sizes; a file that misbehaves while it is read never breaks the archive.
//! The engine never compresses, encrypts, throttles or talks to a store, and it is synchronous: callers run it
//! in a thread of its own.

mod acl;
mod attributes;
mod descent;
mod error;
mod exclude;
mod facts;
mod feed;
mod header;
mod index;
mod left_out;
mod owner_map;
mod owners;
mod pax;
mod problem;
mod read;
mod rules;
mod source;
mod stamp;
mod write;

pub(crate) use descent::Descent;
pub use error::TarError;
pub use facts::Kind;
pub use feed::{Fed, Feed, Members, Owner, Streamed, write_feed};
pub use index::{Index, Kept, KnownFolder};
pub use left_out::LeftOut;
pub use owner_map::OwnerMap;
pub use problem::{Problem, ProblemKind, Severity};
pub use read::{Existing, Extract, Listed, Restored, Selection, list_archive, read_archive};
pub(crate) use read::{
    Ledger, Mark, Placed, chmod_at, is_mount_point, read_archive_with, remove, remove_counting, safe_path,
};
pub use rules::Rules;
pub use source::{Dereference, SnapshotSource, Source, Witness};
pub use stamp::Stamp;
pub(crate) use write::{PlainMember, append_plain};
pub use write::{Written, write_archive};

/// What the caller wants to see and say while an archive is written or read.
///
/// All methods have defaults, so `&mut ()` is a watch that sees nothing.
pub trait Watch {
    /// So many more bytes of file content were read from the source, or written to the destination.
    fn on_bytes(&mut self, _count: u64) {}
    /// Work on this member begins; the path is relative to the root, without a leading `./`.
    fn on_file(&mut self, _path: &[u8]) {}
    /// A member begins at this byte of the archive that is written. It ends where the next one begins, or the archive ends.
    fn on_member(&mut self, _path: &[u8], _form: MemberForm, _offset: u64) {}
    /// Asked often; `true` ends the work with [`TarError::Cancelled`].
    fn cancelled(&mut self) -> bool {
        false
    }
}

/// What of a member decides whether it is read when only parts are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberForm {
    Directory,
    /// Another name of a file.
    HardLink,
    Other,
}

impl MemberForm {
    fn of(typeflag: u8) -> Self {
        match typeflag {
            b'D' | b'5' => Self::Directory,
            b'1' => Self::HardLink,
            _ => Self::Other,
        }
    }
}

impl Watch for () {}
