//! The journal of a restore: what is finished is noted in a file in the target, so that a restore that was interrupted goes on
//! when it is started again.
//!
//! The file is `.freezer-restore-<hash of the request>.journal`, for its owner only, and locked while the restore is at work. It
//! begins with a [`lines::Header`]; each object that has got its name is noted with inode, size, mode, owner, mtime and ctime (without
//! ctime where it has several names). Whoever touches an object afterwards changes one of these, and it is made again. What is about to
//! be replaced or deleted is announced before, so that notes about it lose their meaning in any case. Nothing is waited for to be on
//! the disk: what was noted is believed only until the machine is started anew, or the disk is plugged in anew.
//!
//! A journal that cannot be written ends where it does, and the restore goes on without.

mod identity;
mod lines;
mod past;

pub(super) use identity::of as identity;
pub(super) use lines::{FolderStart, MergeStart, Outcome};
pub(super) use past::{Past, look_at};

use crate::VaultError;
use crate::tar::{Existing, Ledger, Mark, Placed, remove};
use lines::Header;
use past::Reading;
use rustix::fd::OwnedFd;
use rustix::fs::{
    AtFlags, FileType, FlockOperation, Mode, OFlags, Stat, Timespec, Timestamps, UTIME_OMIT, fchmod, flock,
    fstat, futimens, major, minor, openat, unlinkat,
};
use rustix::io::Errno;
use serde::Serialize;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;
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
    /// The target, opened before it gets the mode of the backup's root.
    folder: OwnedFd,
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
    /// The target.
    folder: OwnedFd,
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

fn open_folder(target: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(target, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

/// `None`: there is no folder of that name. A link to one, which somebody could have put in its place, is none.
fn open_below(folder: &OwnedFd, name: &str) -> io::Result<Option<OwnedFd>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match openat(folder, name, flags, Mode::empty()) {
        Ok(below) => Ok(Some(below)),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// As long as this stays the same, nothing is lost of what was written into the folder: the boot of the machine, and the disk as it
/// was plugged in. Empty if that cannot be told.
fn life(folder: &OwnedFd) -> io::Result<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    if boot.trim().is_empty() {
        return Ok(String::new());
    }
    let device = fstat(folder)?.st_dev;
    let place = format!("/sys/dev/block/{}:{}", major(device), minor(device));
    // What has no disk has no number either; a partition's is that of its disk.
    let numbers = ["diskseq", "../diskseq"].map(|name| std::fs::read_to_string(format!("{place}/{name}")));
    let number = numbers.into_iter().find_map(Result::ok).unwrap_or_default();
    Ok(format!("{} {device} {}", boot.trim(), number.trim()))
}

/// Looks at what has this name in the target. Blocking.
pub(super) fn look(target: &Path, name: &str) -> io::Result<Look> {
    let folder = open_folder(target)?;
    // Without waiting for whoever would write into a pipe of that name.
    let flags = OFlags::RDWR | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match openat(&folder, name, flags, Mode::empty()) {
        Ok(fd) => File::from(fd),
        Err(Errno::NOENT) => return Ok(Look::Nothing),
        Err(Errno::LOOP | Errno::ISDIR | Errno::ACCESS | Errno::PERM | Errno::NXIO) => {
            return Ok(Look::Foreign);
        }
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
    let header_bytes = text.len() as u64;
    Ok(Look::Found(Box::new(Found { file, folder, header, header_bytes })))
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
        let staging = self.header.staging.as_deref();
        let base = match staging {
            Some(name) => open_below(&self.folder, name)?,
            None => Some(self.folder.try_clone()?),
        };
        let (is_gone, form) = (base.is_none(), (levels, staging.is_some()));
        let life = life(&self.folder)?;
        let lives = (self.header.life.as_str(), life.as_str());
        let places = (base, self.folder.try_clone()?);
        let (past, end) = match Past::read(&self.file, self.header_bytes, lives, places, form)? {
            Reading::Good(past, end) => (*past, end),
            Reading::Void(reason) => return Ok(Resumed::Void(Box::new(self), reason)),
        };
        if past.merging.is_none() && is_gone {
            return Ok(Resumed::Void(Box::new(self), "its folder is gone".into()));
        }
        // A line that was being written when the restore was interrupted.
        self.file.set_len(end)?;
        let mut journal = Journal::new(self.file, self.folder, self.header);
        journal.found = past.verified;
        let is_new_life = past.is_new_life;
        journal.past = past;
        journal.is_resumed = true;
        if is_new_life {
            journal.waiting.extend_from_slice(format!("b {life}\n").as_bytes());
            journal.flush();
        }
        Ok(Resumed::Journal(Box::new(journal)))
    }

    /// Deletes it, and the folder that goes with it. Blocking.
    pub(super) fn discard(self) -> io::Result<()> {
        clear(&self.folder, &self.header)
    }
}

fn clear(folder: &OwnedFd, header: &Header) -> io::Result<()> {
    if let Some(name) = &header.staging {
        match remove(folder, name.as_bytes()) {
            Ok(_) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(unlinkat(folder, name_of(&header.request), AtFlags::empty())?)
}

impl Journal {
    fn new(file: File, folder: OwnedFd, header: Header) -> Self {
        let announces = header.guards;
        Self {
            file,
            folder,
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
        let (folder, name) = (open_folder(target)?, name_of(&request));
        let mut file = File::from(openat(&folder, name.as_str(), flags, Mode::RUSR | Mode::WUSR)?);
        let begun = || -> io::Result<Header> {
            flock(&file, FlockOperation::NonBlockingLockExclusive)?;
            let facts = fstat(&file)?;
            if !is_private(&facts) {
                return Err(io::Error::other("this file system keeps neither owners nor modes of files"));
            }
            let (version, inode, life) = (VERSION, Placed::of(&facts).inode, life(&folder)?);
            let token = uuid::Uuid::new_v4().simple().to_string();
            Ok(Header { version, request, hbn, timestamp, inode, life, token, staging, guards })
        };
        let written = begun().and_then(|header| {
            let mut text = serde_json::to_vec(&header)?;
            text.push(b'\n');
            file.write_all(&text)?;
            Ok(header)
        });
        match written {
            Ok(header) => Ok(Self::new(file, folder, header)),
            Err(error) => {
                let _ = unlinkat(&folder, name.as_str(), AtFlags::empty());
                Err(error)
            }
        }
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

    pub(super) fn end_level(&mut self, outcome: &Outcome) {
        self.past.forget_files();
        self.tell(b'e', outcome);
    }

    /// Whether that is written.
    pub(super) fn begin_merge(&mut self, start: &MergeStart) -> bool {
        self.past.merging = Some(start.clone());
        self.tell(b'm', start)
    }

    /// Whether that is written.
    pub(super) fn begin_folder(&mut self, start: &FolderStart) -> bool {
        self.tell(b'g', start)
    }

    fn tell<T: Serialize>(&mut self, letter: u8, what: &T) -> bool {
        self.is_torn |= lines::json(&mut self.waiting, letter, what).is_err();
        self.flush()
    }

    /// Whether all lines are written.
    fn flush(&mut self) -> bool {
        if !self.is_torn
            && !self.waiting.is_empty()
            && let Err(error) = self.file.write_all(&self.waiting)
        {
            // After half a line none may follow.
            self.is_torn = true;
            tracing::warn!(%error, "the journal of the restore ends here: interrupted later, it goes on from here");
        }
        self.waiting.clear();
        !self.is_torn
    }

    /// The restore has ended, or cannot be gone on with: no journal of it stays.
    pub(super) fn remove(&mut self) -> io::Result<()> {
        self.waiting.clear();
        self.is_torn = true;
        // Removing it is no change of the folder that anybody should see.
        let mut facts = fstat(&self.folder)?;
        // Removing the staging folder may have been the last thing that was done.
        if let Some(root) = self.past.folders.get(&b""[..])
            && self.past.merging.as_ref().is_some_and(|start| start.existing != Existing::Keep)
        {
            facts.st_mtime = root.mtime_secs;
            facts.st_mtime_nsec = root.mtime_nanos.into();
        }
        let name = self.name();
        let unlink = || unlinkat(&self.folder, name.as_str(), AtFlags::empty());
        match unlink() {
            // The backup's root is one that its owner may not write.
            Err(Errno::ACCESS) => {
                let mode = Mode::from_raw_mode(facts.st_mode);
                fchmod(&self.folder, mode | Mode::RWXU)?;
                let unlinked = unlink();
                fchmod(&self.folder, mode)?;
                unlinked?;
            }
            other => other?,
        }
        // Who does not own the target could not give it the backup's time either, which was told.
        if let Err(error) = futimens(&self.folder, &times_of(&facts)) {
            tracing::debug!(%error, "the target's time is that of the end of the restore");
        }
        Ok(())
    }

    /// The restore has failed in a way in which it would always fail: nothing of it stays, unless files are on their way already.
    pub(super) fn abandon(&mut self) -> io::Result<()> {
        if self.past.merging.is_some() {
            return Ok(());
        }
        self.waiting.clear();
        self.is_torn = true;
        clear(&self.folder, &self.header)
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
        // What is not written is made again.
        self.flush();
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

    fn announce(&mut self, path: &[u8]) {
        self.past.forget(path);
        if !self.announces {
            return;
        }
        if self.guards() {
            self.past.own(path);
        }
        lines::announced(&mut self.waiting, path);
        self.flush();
    }

    fn announce_object(&mut self, path: &[u8]) {
        // A line before each file would cost more than the file's note, which tells as much; what was not noted yet shows by its
        // time whose it is. At the root nothing looks at times.
        if !self.header.guards || !path.contains(&b'/') {
            return self.announce(path);
        }
        self.past.forget(path);
        if self.guards() {
            self.past.own(path);
        }
    }

    fn note(&mut self, path: &[u8], placed: &Placed, mark: Mark) {
        let mark = self.past.marked(path, mark);
        lines::note(&mut self.waiting, path, placed, mark);
        if self.waiting.len() >= WAITING_BYTES || placed.size >= LARGE_BYTES {
            self.flush();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::tar::Stamp;

    #[test]
    fn another_name_does_not_mend_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let request = "0123456789abcdef".repeat(4);
        let of = (request.clone(), "host_name".to_owned(), 5);
        let mut journal = Journal::create(folder.path(), of, None, true).unwrap();
        let time = Stamp { secs: 1, nanos: 0 };
        let placed = Placed { inode: 1, size: 2, mode: 0o100_644, uid: 3, gid: 4, mtime: time, ctime: time };
        for (path, mark) in [(&b"a"[..], Mark::Troubled), (&b"c"[..], Mark::Whole)] {
            journal.note(path, &placed, mark);
            journal.note(b"another name", &placed, Mark::Linked);
            journal.note(path, &placed, Mark::Linked);
        }
        drop(journal);
        let Look::Found(found) = look(folder.path(), &name_of(&request)).unwrap() else {
            panic!("no journal")
        };
        let Resumed::Journal(journal) = found.resume(1).unwrap() else { panic!("it is not believed") };
        assert!(journal.expects(b"c") && !journal.expects(b"a"), "made again, and its trouble told again");
    }

    #[test]
    fn a_journal_that_cannot_be_written_ends() {
        let folder = tempfile::tempdir().unwrap();
        let of = ("0123456789abcdef".repeat(4), "host_name".to_owned(), 5);
        let mut journal = Journal::create(folder.path(), of, None, true).unwrap();
        journal.file = File::options().write(true).open("/dev/full").unwrap();
        journal.announce(b"a");
        let start = MergeStart { existing: Existing::Replace, is_alone: true, problems: Vec::new() };
        assert!(!journal.begin_merge(&start), "nobody may move files that could not go on with it");
        journal.remove().unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
