//! An archive becomes a tree.
//!
//! Every object is made under a temporary name (`.freezer-…`) in its directory and renamed when it is complete,
//! so a torn restore leaves no torn file. Names that would leave the destination are refused, links in the way
//! are never followed. With `incremental`, each directory's dumpdir is obeyed: renames first, then whatever is
//! not listed is deleted.

mod directories;
mod extract;
mod ledger;
mod member;
mod metadata;
mod objects;
mod remove;
mod selection;
mod stream;

use super::facts::Kind;
use super::{OwnerMap, Problem, Severity, Stamp, TarError, Watch};
pub(crate) use extract::safe_path;
pub(crate) use ledger::{Ledger, Mark, Placed};
use member::{Member, Members, Shape};
pub(crate) use metadata::chmod_at;
pub(crate) use remove::{is_mount_point, remove, remove_counting};
pub use selection::Selection;
use serde::{Deserialize, Serialize};
use std::io::Read;
use std::path::Path;
use stream::Stream;

/// What to do when a restored object's name is taken in the destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Existing {
    /// Put the restored one in its place.
    #[default]
    Replace,
    /// Leave it, and say so.
    Keep,
    /// Stop.
    Refuse,
}

/// How to restore.
#[derive(Debug, Clone)]
pub struct Extract {
    /// Delete what a directory's dumpdir does not list, so that a chain of levels replays. Foreign files in the
    /// destination are deleted too: off for a restore into a directory that holds something.
    pub incremental: bool,
    /// What to do with names that are taken. Directories are merged in any case.
    pub existing: Existing,
    /// Use the numeric ids of the archive and not its names.
    pub numeric_owner: bool,
    /// Give everything its owner and group (needs root).
    pub restore_owner: bool,
    /// Other owners instead; needs `restore_owner`.
    pub owner_map: OwnerMap,
    /// Only these parts, and the folders they lie in.
    pub only: Selection,
    /// Set extended attributes.
    pub restore_xattrs: bool,
    /// Set ACLs.
    pub restore_acls: bool,
    /// Wait at the end until all is on the disk (the whole file system is flushed); for the last level of a chain.
    pub sync: bool,
}

impl Default for Extract {
    /// A chain replayed by root, or what an ordinary user can do.
    fn default() -> Self {
        Self {
            incremental: true,
            existing: Existing::Replace,
            numeric_owner: false,
            restore_owner: rustix::process::geteuid().is_root(),
            owner_map: OwnerMap::default(),
            only: Selection::default(),
            restore_xattrs: true,
            restore_acls: true,
            sync: false,
        }
    }
}

/// What was restored.
#[derive(Debug, Default)]
pub struct Restored {
    /// Members of the archive.
    pub members: u64,
    /// Bytes of file content written.
    pub content_bytes: u64,
    /// Bytes of the archive.
    pub archive_bytes: u64,
    /// Objects deleted because a dumpdir did not list them.
    pub deleted: u64,
    /// Trouble with single files, at most 10,000 of it.
    pub problems: Vec<Problem>,
    /// Trouble beyond those.
    pub unlisted_problems: u64,
    /// The worst of it.
    pub worst: Option<Severity>,
}

impl Restored {
    /// Something in the archive is not in the destination.
    pub fn is_partial(&self) -> bool {
        self.worst == Some(Severity::Partial)
    }
}

/// One member of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// As stored, e.g. `./sub/file`.
    pub name: Vec<u8>,
    /// Target of a symbolic or hard link.
    pub link: Option<Vec<u8>>,
    pub hard_link: bool,
    /// `File` for a hard link.
    pub kind: Kind,
    pub mode: u32,
    pub uid: u64,
    pub gid: u64,
    /// Of the restored file, in bytes.
    pub size: u64,
    pub mtime: Stamp,
    /// Codes (`Y N D R T X`) and names of what a directory held.
    pub dumpdir: Option<Vec<(u8, Vec<u8>)>>,
}

/// Restores an archive into `dest`, which is created (with parents) if missing.
///
/// Levels of a chain are restored by one call each, lowest first.
pub fn read_archive(
    input: &mut dyn Read,
    dest: &Path,
    options: &Extract,
    watch: &mut dyn Watch,
) -> Result<Restored, TarError> {
    read_archive_with(input, (dest, false), options, watch, &mut ())
}

/// The same, for a restore that keeps books. `is_ours`: the destination was made for this, and no link is taken for it.
pub(crate) fn read_archive_with(
    input: &mut dyn Read,
    (dest, is_ours): (&Path, bool),
    options: &Extract,
    watch: &mut dyn Watch,
    ledger: &mut dyn Ledger,
) -> Result<Restored, TarError> {
    extract::Extractor::open((dest, is_ours), options, watch, ledger)?.run(Members::new(Stream::new(input)))
}

/// Reads an archive to its end, which also proves that it is whole, and shows its members.
/// Returns the number of bytes read.
pub fn list_archive(
    input: &mut dyn Read,
    each: &mut dyn FnMut(Listed),
    watch: &mut dyn Watch,
) -> Result<u64, TarError> {
    let mut members = Members::new(Stream::new(input));
    while let Some(member) =
        members.next(&mut || if watch.cancelled() { Err(TarError::Cancelled) } else { Ok(()) })?
    {
        each(listed(member));
    }
    Ok(members.stream.offset)
}

/// Shows every member of an archive together with its content, to copy it. What is no plain file, folder or symbolic link has
/// kinds of its own, which the caller refuses; sparse files are refused here.
pub(in crate::tar) fn walk_archive(
    input: &mut dyn Read,
    each: &mut dyn FnMut(Listed, &mut dyn Read) -> Result<(), TarError>,
) -> Result<(), TarError> {
    let mut members = Members::new(Stream::new(input));
    while let Some(member) = members.next(&mut || Ok(()))? {
        if member.sparse.is_some() || matches!(member.shape, Shape::Unknown(_)) {
            return Err(members.corrupt("it is neither a plain file nor a folder nor a link"));
        }
        each(listed(member), &mut Content(&mut members))?;
    }
    Ok(())
}

/// The content of the current member.
struct Content<'a, 'b>(&'a mut Members<'b>);

impl Read for Content<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer).map_err(|error| std::io::Error::other(error.to_string()))
    }
}

fn listed(member: Member) -> Listed {
    let hard_link = member.shape == Shape::HardLink;
    let kind = match member.shape {
        Shape::Object(kind) => kind,
        Shape::HardLink | Shape::Unknown(_) => Kind::File,
    };
    let Member { name, link, mode, uid, gid, size, mtime, dumpdir, .. } = member;
    let link = (hard_link || kind == Kind::Symlink).then_some(link);
    Listed { name, link, hard_link, kind, mode, uid, gid, size, mtime, dumpdir }
}
