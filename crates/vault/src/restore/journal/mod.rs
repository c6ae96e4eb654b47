//! The journal of a restore: what is finished is noted in a file in the target, so that a restore that was interrupted goes on
//! when it is started again.
//!
//! The file is `.freezer-restore-<hash of the request>.journal`, for its owner only, and locked while the restore is at work. It
//! begins with a [`lines::Header`]; each object that has got its name is noted with inode, size, mode, owner, mtime and ctime. Whoever
//! touches an object afterwards changes one of these, and it is written again. What is about to be replaced or deleted is announced
//! before, so that notes about it lose their meaning in any case. Nothing is waited for to be on the disk: what was noted is believed
//! only until the machine is started anew.

mod identity;
mod lines;
mod past;

pub(super) use identity::of as identity;
pub(super) use lines::{FolderStart, MergeStart, Outcome};
pub(super) use past::{Past, look_at};

use crate::VaultError;
use crate::tar::{Existing, Ledger, Mark, Placed};
use lines::Header;
use past::Reading;
use rustix::fs::{
    AtFlags, FileType, FlockOperation, Mode, OFlags, Stat, Timespec, Timestamps, UTIME_OMIT, fchmod, flock,
    fstat, futimens, unlinkat,
};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

/// Shared by those who write and the one who moves in.
pub(super) type SharedJournal = Arc<Mutex<Journal>>;

const VERSION: u32 = 1;
const PREFIX: &str = ".freezer-restore-";
const SUFFIX: &str = ".journal";
/// Digits of the request's hash in the name of its journal.
const DIGITS: usize = 32;
/// Longer first lines are nobody's.
const MOST_HEADER_BYTES: u64 = 64 << 10;
/// Notes wait until there are so many bytes of them, or until a file was so large that writing it again would take long.
const WAITING_BYTES: usize = 8 << 10;
const LARGE_BYTES: u64 = 1 << 20;

/// The journal of the restore that is at work.
pub(super) struct Journal {
    file: File,
    target: PathBuf,
    header: Header,
    waiting: Vec<u8>,
    /// After a line could not be written, none follows.
    is_torn: bool,
    /// Names are announced before they are made.
    announces: bool,
    is_resumed: bool,
    past: Past,
    /// Files that were found as they had been left.
    found: u64,
}

/// A journal that lies in a target, locked and of the form that we write.
pub(super) struct Found {
    file: File,
    target: PathBuf,
    name: String,
    header: Header,
    header_bytes: u64,
}

/// What has the name of a journal.
pub(super) enum Look {
    Nothing,
    Found(Box<Found>),
    /// Another process works by it.
    Busy,
    /// Somebody else's file, or a copy.
    Foreign,
}

/// How going on has begun.
pub(super) enum Resumed {
    Journal(Box<Journal>),
    /// What is there cannot be believed, for this reason.
    Void(Box<Found>, String),
}

pub(super) fn open(journal: &SharedJournal) -> Result<MutexGuard<'_, Journal>, VaultError> {
    let cause = "its journal was left in disorder";
    journal.lock().map_err(|_| VaultError::Internal { what: "the restore", cause: cause.into() })
}

/// A name in the target that journals and staging folders have.
pub(super) fn is_journal(name: &str) -> bool {
    let digits = name.strip_prefix(PREFIX).and_then(|rest| rest.strip_suffix(SUFFIX));
    digits.is_some_and(|digits| digits.len() == DIGITS && is_hexadecimal(digits))
}

fn is_staging(name: &str) -> bool {
    name.strip_prefix(PREFIX).is_some_and(|digits| digits.len() == DIGITS && is_hexadecimal(digits))
}

fn is_hexadecimal(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A name for a staging folder that nobody has.
pub(super) fn staging_name() -> String {
    format!("{PREFIX}{}", uuid::Uuid::new_v4().simple())
}

pub(super) fn name_of(request: &str) -> String {
    format!("{PREFIX}{}{SUFFIX}", request.get(..DIGITS).unwrap_or(request))
}

/// Tells this boot of the machine from others; empty if that cannot be told.
fn boot() -> String {
    let read = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    read.trim().to_owned()
}

/// Looks at what has this name in the target. Blocking.
pub(super) fn look(target: &Path, name: &str) -> io::Result<Look> {
    // Without waiting for whoever would write into a pipe of that name.
    let flags = OFlags::RDWR | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::open(target.join(name), flags, Mode::empty()) {
        Ok(fd) => File::from(fd),
        Err(Errno::NOENT) => return Ok(Look::Nothing),
        Err(Errno::LOOP | Errno::ISDIR | Errno::ACCESS | Errno::NXIO) => return Ok(Look::Foreign),
        Err(error) => return Err(error.into()),
    };
    if !is_private(&fstat(&file)?) {
        return Ok(Look::Foreign);
    }
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Ok(Look::Busy),
        Err(error) => return Err(error.into()),
    }
    let facts = fstat(&file)?;
    let text = first_line(&file)?;
    let header: Option<Header> = text.strip_suffix(b"\n").and_then(|text| serde_json::from_slice(text).ok());
    let is_ours = |header: &Header| {
        let staging = header.staging.as_deref();
        is_private(&facts)
            && header.version == VERSION
            && header.inode == Placed::of(&facts).inode
            && name_of(&header.request) == name
            && header.token.len() == DIGITS
            && is_hexadecimal(&header.token)
            && staging.is_none_or(is_staging)
    };
    let Some(header) = header.filter(is_ours) else { return Ok(Look::Foreign) };
    let (target, name, header_bytes) = (target.to_owned(), name.to_owned(), text.len() as u64);
    Ok(Look::Found(Box::new(Found { file, target, name, header, header_bytes })))
}

fn first_line(file: &File) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    BufReader::new(file.take(MOST_HEADER_BYTES)).read_until(b'\n', &mut line)?;
    Ok(line)
}

/// No link to one, which somebody could have put in its place.
pub(super) fn is_folder(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|facts| facts.is_dir())
}

/// Ours alone, and still in its place.
fn is_private(facts: &Stat) -> bool {
    FileType::from_raw_mode(facts.st_mode) == FileType::RegularFile
        && facts.st_uid == rustix::process::geteuid().as_raw()
        && facts.st_nlink == 1
        && facts.st_mode & 0o077 == 0
}

impl Found {
    pub(super) fn staging(&self) -> Option<&str> {
        self.header.staging.as_deref()
    }

    /// What it is the journal of, for people.
    pub(super) fn describe(&self) -> String {
        let at = freezer_model::clock::time_text(self.header.timestamp);
        format!("the restore of {} as of {at}", self.header.hbn)
    }

    /// Goes on by it, if what is there can be believed. Blocking.
    pub(super) fn resume(self, levels: usize) -> io::Result<Resumed> {
        let base = self.header.staging.as_deref().map_or(self.target.clone(), |name| self.target.join(name));
        let boot = boot();
        let boots = (self.header.boot.as_str(), boot.as_str());
        let form = (levels, self.header.staging.is_some());
        let (past, end) = match Past::read(&self.file, self.header_bytes, boots, &base, form)? {
            Reading::Good(past, end) => (*past, end),
            Reading::Void(reason) => return Ok(Resumed::Void(Box::new(self), reason)),
        };
        if past.merging.is_none() && self.header.staging.is_some() && !is_folder(&base) {
            return Ok(Resumed::Void(Box::new(self), "its folder is gone".into()));
        }
        // A line that was being written when the restore was interrupted.
        self.file.set_len(end)?;
        let mut journal = Journal::new(self.file, self.target, self.header);
        journal.found = past.verified;
        journal.past = past;
        journal.is_resumed = true;
        if journal.header.staging.is_none() {
            journal.waiting.extend_from_slice(format!("b {boot}\n").as_bytes());
            journal.flush()?;
        }
        Ok(Resumed::Journal(Box::new(journal)))
    }

    /// Deletes it, and the folder that goes with it. Blocking.
    pub(super) fn discard(self) -> io::Result<()> {
        if let Some(name) = &self.header.staging {
            let path = self.target.join(name);
            if is_folder(&path) {
                std::fs::remove_dir_all(path)?;
            }
        }
        std::fs::remove_file(self.target.join(&self.name))
    }
}

impl Journal {
    fn new(file: File, target: PathBuf, header: Header) -> Self {
        let announces = header.guards;
        Self {
            file,
            target,
            header,
            waiting: Vec::new(),
            is_torn: false,
            announces,
            is_resumed: false,
            past: Past::default(),
            found: 0,
        }
    }

    /// Begins a journal. `guards`: the target is empty. Blocking.
    pub(super) fn create(
        target: &Path,
        (request, hbn, timestamp): (String, String, i64),
        staging: Option<String>,
        guards: bool,
    ) -> io::Result<Self> {
        let flags = OFlags::RDWR
            | OFlags::APPEND
            | OFlags::CREATE
            | OFlags::EXCL
            | OFlags::NOFOLLOW
            | OFlags::CLOEXEC;
        let path = target.join(name_of(&request));
        let file = File::from(rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR)?);
        let begun = || -> io::Result<Self> {
            flock(&file, FlockOperation::NonBlockingLockExclusive)?;
            let inode = Placed::of(&fstat(&file)?).inode;
            let token = uuid::Uuid::new_v4().simple().to_string();
            let (version, boot) = (VERSION, boot());
            let header = Header { version, request, hbn, timestamp, inode, boot, token, staging, guards };
            let mut text = serde_json::to_vec(&header)?;
            text.push(b'\n');
            (&file).write_all(&text)?;
            Ok(Self::new(file.try_clone()?, target.to_owned(), header))
        };
        let begun = begun();
        if begun.is_err() {
            let _ = std::fs::remove_file(&path);
        }
        begun
    }

    pub(super) fn past(&self) -> &Past {
        &self.past
    }

    pub(super) fn name(&self) -> String {
        name_of(&self.header.request)
    }

    pub(super) fn staging(&self) -> Option<&str> {
        self.header.staging.as_deref()
    }

    /// Whether a name in the target must have been made by this restore to be replaced: an earlier run found the target empty.
    pub(super) fn guards(&self) -> bool {
        self.header.guards && self.is_resumed
    }

    /// Whether an earlier run has made what has this name in the target, or was about to.
    pub(super) fn knows(&self, name: &[u8]) -> bool {
        let temporary = format!(".freezer-{}-", self.header.token);
        self.owns(name) || (self.header.staging.is_none() && name.starts_with(temporary.as_bytes()))
    }

    /// Files that were there already, and were not written again.
    pub(super) fn found(&self) -> u64 {
        self.found
    }

    /// Whether files of the next level may be there already.
    pub(super) fn has_finished_files(&self) -> bool {
        self.past.has_finished()
    }

    /// Whether an earlier run has finished this file of the next level, and left it so.
    pub(super) fn has_finished(&self, path: &[u8], placed: &Placed) -> bool {
        self.past.holds(path, placed)
    }

    /// Levels above the first one delete and replace what the ones before have left.
    pub(super) fn begin_level(&mut self, is_first: bool) {
        self.announces = self.header.guards || !is_first;
    }

    pub(super) fn end_level(&mut self, outcome: &Outcome) -> io::Result<()> {
        self.past.forget_files();
        lines::json(&mut self.waiting, b'e', outcome)?;
        self.flush()
    }

    pub(super) fn begin_merge(&mut self, start: &MergeStart) -> io::Result<()> {
        lines::json(&mut self.waiting, b'm', start)?;
        self.past.merging = Some(start.clone());
        self.flush()
    }

    pub(super) fn begin_folder(&mut self, start: &FolderStart) -> io::Result<()> {
        lines::json(&mut self.waiting, b'g', start)?;
        self.flush()
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        if self.is_torn {
            return Err(io::Error::other("a line before this one could not be written"));
        }
        let written = self.file.write_all(&self.waiting);
        self.is_torn = written.is_err();
        self.waiting.clear();
        written
    }

    /// The restore has ended: nothing is to be gone on with.
    pub(super) fn remove(&mut self) -> io::Result<()> {
        self.waiting.clear();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let target = rustix::fs::open(&self.target, flags, Mode::empty())?;
        // Removing it is no change of the folder that anybody should see.
        let mut facts = fstat(&target)?;
        // Removing the staging folder may have been the last thing that was done.
        if let Some(root) = self.past.folders.get(&b""[..])
            && self.past.merging.as_ref().is_some_and(|start| start.existing != Existing::Keep)
        {
            facts.st_mtime = root.mtime_secs;
            facts.st_mtime_nsec = root.mtime_nanos.into();
        }
        let name = self.name();
        let unlink = || unlinkat(&target, name.as_str(), AtFlags::empty());
        match unlink() {
            // The backup's root is one that its owner may not write.
            Err(Errno::ACCESS) => {
                let mode = Mode::from_raw_mode(facts.st_mode);
                fchmod(&target, mode | Mode::RWXU)?;
                let unlinked = unlink();
                fchmod(&target, mode)?;
                unlinked?;
            }
            other => other?,
        }
        Ok(futimens(&target, &times_of(&facts))?)
    }

    /// The restore has failed in a way in which it would always fail: nothing of it stays, unless files are on their way already.
    pub(super) fn abandon(&mut self) -> io::Result<()> {
        if self.past.merging.is_some() {
            return Ok(());
        }
        if let Some(name) = &self.header.staging {
            std::fs::remove_dir_all(self.target.join(name))?;
        }
        self.waiting.clear();
        std::fs::remove_file(self.target.join(self.name()))
    }
}

/// The mtime of the folder; its atime is left alone.
fn times_of(facts: &Stat) -> Timestamps {
    let nanos = i64::try_from(facts.st_mtime_nsec).unwrap_or(0);
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: facts.st_mtime, tv_nsec: nanos },
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // Without it, the files that it tells of are written again.
        if let Err(error) = self.flush() {
            tracing::debug!(%error, "the last notes of a restore are lost");
        }
    }
}

impl Ledger for Journal {
    fn is_kept(&self) -> bool {
        true
    }

    fn token(&self) -> Option<&str> {
        Some(&self.header.token)
    }

    fn sweeps(&self) -> bool {
        self.is_resumed
    }

    fn expects(&self, path: &[u8]) -> bool {
        self.past.expects(path)
    }

    fn holds(&mut self, path: &[u8], placed: &Placed) -> bool {
        let holds = self.past.holds(path, placed);
        self.found += u64::from(holds);
        holds
    }

    fn owns(&self, path: &[u8]) -> bool {
        self.header.guards && self.past.owns(path)
    }

    fn announce(&mut self, path: &[u8]) -> io::Result<()> {
        self.past.forget(path);
        if !self.announces {
            return Ok(());
        }
        if self.guards() {
            self.past.own(path);
        }
        lines::announced(&mut self.waiting, path);
        self.flush()
    }

    fn note(&mut self, path: &[u8], placed: &Placed, mark: Mark) -> io::Result<()> {
        lines::note(&mut self.waiting, path, placed, mark);
        if self.waiting.len() >= WAITING_BYTES || placed.size >= LARGE_BYTES {
            self.flush()?;
        }
        Ok(())
    }
}
