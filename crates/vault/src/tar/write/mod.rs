//! A tree becomes an archive.
//!
//! Order: a directory's `D` member, its files by name, then its sub-directories the same way, so that the same
//! tree gives the same bytes. Unchanged files (by the base index) are named in the dumpdir and not stored.

mod content;
mod member;
mod output;
mod plain;
mod prefetch;
mod scan;
mod store;
mod walk;

pub(super) use member::PROMISE;

use super::exclude::Excludes;
use super::facts::{Facts, Kind};
use super::index::Builder;
use super::owners::Owners;
use super::problem::Problems;
use super::{Index, Problem, Severity, Source, Stamp, TarError, Watch};
pub(super) use output::Output;
pub(crate) use plain::{PlainMember, append_plain};
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};
use std::collections::{HashMap, HashSet, VecDeque};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::time::SystemTime;

/// What was written.
#[derive(Debug)]
pub struct Written {
    /// The base of the next level.
    pub index: Index,
    /// Members written, directories included.
    pub members: u64,
    /// Entries seen, changed or not.
    pub entries: u64,
    /// Bytes of file content read.
    pub content_bytes: u64,
    /// Bytes of the archive.
    pub archive_bytes: u64,
    /// Trouble with single files, at most 10,000 of it.
    pub problems: Vec<Problem>,
    /// Trouble beyond those.
    pub unlisted_problems: u64,
    /// The worst of it.
    pub worst: Option<Severity>,
}

impl Written {
    /// Something that should be in the archive is not.
    pub fn is_partial(&self) -> bool {
        self.worst == Some(Severity::Partial)
    }
}

/// Archives `source` into `out`: everything, or with `base` what changed since that level.
///
/// `started_at` must be the time just before this call, or before a snapshot that is read was taken (it becomes [`Index::started_at`] and decides what the
/// next level must look at again). The base is ignored where it does not fit (a file instead of a directory).
/// `out` is flushed at the end, not closed.
pub fn write_archive(
    source: &Source,
    base: Option<&Index>,
    started_at: SystemTime,
    out: &mut dyn Write,
    watch: &mut dyn Watch,
) -> Result<Written, TarError> {
    let refuse = |cause: io::Error| TarError::Source { path: source.path().to_path_buf(), cause };
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let root = rustix::fs::open(&source.root, flags, Mode::empty()).map_err(|errno| refuse(errno.into()))?;
    let stat = rustix::fs::fstat(&root).map_err(|errno| refuse(errno.into()))?;
    let facts = Facts::new(&stat).ok_or_else(|| refuse(io::ErrorKind::Unsupported.into()))?;
    if !matches!(facts.kind, Kind::Directory | Kind::File) {
        return Err(refuse(io::Error::new(
            io::ErrorKind::Unsupported,
            "neither a directory nor a regular file",
        )));
    }
    if source.sync {
        // As upstream: a wish, not a condition.
        let _ = rustix::fs::syncfs(&root);
    }
    let single = facts.kind == Kind::File;
    std::thread::scope(|scope| {
        let mut writer = Writer {
            source,
            excludes: Excludes::new(&source.excludes),
            base: base.filter(|base| base.is_single() == single),
            index: Builder::new(Stamp::from(started_at), single),
            out: Output::new(out),
            watch,
            owners: Owners::default(),
            problems: Problems::default(),
            links: HashMap::new(),
            linked: HashSet::new(),
            queue: VecDeque::new(),
            queued_bytes: 0,
            pool: if single { None } else { prefetch::Pool::start(scope) },
            root_dev: facts.dev,
            buffer: Vec::new(),
            members: 0,
            entries: 0,
            content_bytes: 0,
        };
        writer.promise()?;
        if single {
            writer.single_file(root, &facts)?
        } else {
            writer.tree(Arc::new(root), &facts)?
        }
        writer.finish()
    })
}

/// The first name of a file with several, and how many names are still to come.
struct FirstName {
    member: Vec<u8>,
    awaited: u64,
}

/// Everything one run needs.
struct Writer<'a> {
    source: &'a Source,
    excludes: Excludes,
    base: Option<&'a Index>,
    index: Builder,
    out: Output<'a>,
    watch: &'a mut dyn Watch,
    owners: Owners,
    problems: Problems,
    /// Files with several names that are in the archive, or unchanged in the destination. By device and inode.
    links: HashMap<(u64, u64), FirstName>,
    /// Those of which a name is on its way into the archive.
    linked: HashSet<(u64, u64)>,
    queue: VecDeque<walk::Item>,
    queued_bytes: u64,
    pool: Option<prefetch::Pool>,
    root_dev: u64,
    /// For large files; allocated once.
    buffer: Vec<u8>,
    members: u64,
    entries: u64,
    content_bytes: u64,
}

impl Writer<'_> {
    fn promise(&mut self) -> Result<(), TarError> {
        let mut records = Vec::new();
        super::pax::append(&mut records, b"comment", PROMISE);
        let mut blocks = Vec::new();
        member::extended_header(&mut blocks, b'g', b"global", &records);
        self.out.write(&blocks)
    }

    /// The source is one file: the member is its base name.
    fn single_file(&mut self, fd: OwnedFd, facts: &Facts) -> Result<(), TarError> {
        let refuse = |cause: io::Error| TarError::Source { path: self.source.root.clone(), cause };
        let path = match self.source.path().file_name() {
            Some(_) => self.source.path().to_path_buf(),
            None => self.source.root.canonicalize().map_err(refuse)?,
        };
        let name = path.file_name().map(|name| name.as_bytes().to_vec()).unwrap_or_default();
        let known = self.base.and_then(|base| base.row(b"").map(|row| (base, row)));
        let unchanged = known.is_some_and(|(base, row)| {
            base.entries(row).any(|entry| entry.name == name && base.still_true(row, &entry, 0, facts))
        });
        self.index.directory(b"", &Facts { kind: Kind::Directory, ino: 0, ..*facts }, false);
        let place = self.index.add(&scan::entry(&name, facts, !unchanged, false));
        self.entries = 1;
        if unchanged {
            return Ok(());
        }
        self.watch.on_file(&name);
        match content::OpenFile::adopt(fd) {
            Ok(file) => self.store_large(file, &name, &name, place).map(|_| ()),
            Err(refusal) => {
                self.refused(&name, place, refusal);
                Ok(())
            }
        }
    }

    fn finish(mut self) -> Result<Written, TarError> {
        let archive_bytes = self.out.finish()?;
        Ok(Written {
            index: self.index.finish(),
            members: self.members,
            entries: self.entries,
            content_bytes: self.content_bytes,
            archive_bytes,
            problems: self.problems.listed,
            unlisted_problems: self.problems.unlisted,
            worst: self.problems.worst,
        })
    }

    fn check_cancelled(&mut self) -> Result<(), TarError> {
        if self.watch.cancelled() { Err(TarError::Cancelled) } else { Ok(()) }
    }
}
