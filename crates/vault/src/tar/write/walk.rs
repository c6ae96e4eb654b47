//! Going through the tree, with a queue between looking and storing so that small files are read meanwhile.

use super::Writer;
use super::content::Refusal;
use super::member::{self, Head};
use super::prefetch::Answer;
use super::scan::{Changed, Scan};
use crate::tar::attributes::{Attributes, Holder};
use crate::tar::descent::Descent;
use crate::tar::facts::{Facts, Kind};
use crate::tar::header::BLOCK;
use crate::tar::{MemberForm, ProblemKind, TarError};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, fstat, statat};
use rustix::io::Errno;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

/// Something to be put into the archive, in the order of the archive.
pub(super) enum Item {
    /// Blocks of a directory.
    Directory { path: Vec<u8>, blocks: Vec<u8> },
    /// Small files that are being read.
    Batch {
        dir: Arc<OwnedFd>,
        path: Arc<[u8]>,
        files: Vec<Changed>,
        answers: Receiver<Vec<Answer>>,
        bytes: u64,
    },
    /// Anything else; looked at when its turn comes.
    Other { dir: Arc<OwnedFd>, path: Arc<[u8]>, file: Changed },
}

/// Limits of the queue: memory, and open directories.
const QUEUE_BYTES: u64 = 16 * 1024 * 1024;
const QUEUE_ITEMS: usize = 64;
const BATCH_FILES: usize = 32;
const BATCH_BYTES: u64 = 1024 * 1024;

/// A directory whose sub-directories are being visited.
struct Level {
    /// Length of its path.
    length: usize,
    identity: (u64, u64),
    directories: std::vec::IntoIter<Box<[u8]>>,
}

impl Writer<'_> {
    /// The source is a directory.
    pub(super) fn tree(&mut self, root: Arc<OwnedFd>, facts: &Facts) -> Result<(), TarError> {
        let refuse = |errno: Errno| TarError::Source { path: self.source.root.clone(), cause: errno.into() };
        let scan = match self.scan(&root, b"", facts) {
            Ok(scan) => scan,
            Err(errno) => return Err(refuse(errno)),
        };
        let mut descent = Descent::new(Arc::clone(&root), self.source.dereference.soft());
        let mut path: Vec<u8> = Vec::new();
        let mut levels = vec![self.enter(&root, &path, facts, scan)?];
        while let Some(level) = levels.last_mut() {
            path.truncate(level.length);
            let Some(name) = level.directories.next() else {
                levels.pop();
                continue;
            };
            self.check_cancelled()?;
            let parent = descent.go(&path);
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(&name);
            if let Some((dir, facts)) = self.open_below(parent, &name, &mut descent, &path)
                && let Some(level) = self.visit(&dir, &path, &facts, &levels)?
            {
                levels.push(level);
            }
        }
        self.drain(0, 0)
    }

    /// Opens a directory, or says why not. One that may not be opened is still kept by name, without content.
    fn open_below(
        &mut self,
        parent: Result<Arc<OwnedFd>, Errno>,
        name: &[u8],
        descent: &mut Descent,
        path: &[u8],
    ) -> Option<(Arc<OwnedFd>, Facts)> {
        let opened = descent.go(path).and_then(|dir| Ok((Facts::new(&fstat(&dir)?), dir)));
        let (kind, reason) = match opened {
            Ok((Some(facts), dir)) => return Some((dir, facts)),
            Ok((None, _)) | Err(Errno::NOTDIR | Errno::LOOP) => {
                (ProblemKind::Changed, "it is no directory any more".to_owned())
            }
            Err(Errno::NOENT) => (ProblemKind::Vanished, "it was gone when its turn came".to_owned()),
            Err(error) => (ProblemKind::Unreadable, error.to_string()),
        };
        self.problems.add(path, kind, reason);
        if kind == ProblemKind::Unreadable
            && let Ok(parent) = parent
            && let Ok(stat) = statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW)
            && let Some(facts) = Facts::new(&stat).filter(|facts| facts.kind == Kind::Directory)
        {
            let attributes = Holder::at(&parent, name).read();
            self.empty_directory(path, &facts, &attributes);
        }
        None
    }

    fn visit(
        &mut self,
        dir: &Arc<OwnedFd>,
        path: &[u8],
        facts: &Facts,
        levels: &[Level],
    ) -> Result<Option<Level>, TarError> {
        if levels.iter().any(|level| level.identity == (facts.dev, facts.ino)) {
            self.problems.add(path, ProblemKind::SkippedLoop, "the link leads back to a directory above it");
            return Ok(None);
        }
        match self.scan(dir, path, facts) {
            Ok(scan) => self.enter(dir, path, facts, scan).map(Some),
            Err(errno) => {
                self.problems.add(path, ProblemKind::Unreadable, errno);
                let attributes = Holder::Open(dir).read();
                self.empty_directory(path, facts, &attributes);
                Ok(None)
            }
        }
    }

    /// Queues a directory's own member and its files.
    fn enter(
        &mut self,
        dir: &Arc<OwnedFd>,
        path: &[u8],
        facts: &Facts,
        scan: Scan,
    ) -> Result<Level, TarError> {
        let mut blocks = Vec::new();
        let mut body = scan.dumpdir;
        body.push(0);
        let attributes = self.checked(Holder::Open(dir).read(), path);
        let name = directory_name(path);
        let stored = body.len() as u64;
        let (link, sparse, attributes) = (&b""[..], false, Some(&attributes));
        let head = Head { name: &name, link, typeflag: b'D', facts, stored, attributes, sparse };
        member::encode(&mut blocks, &head, &mut self.owners);
        blocks.append(&mut body);
        blocks.resize(blocks.len().next_multiple_of(BLOCK), 0);
        self.push(Item::Directory { path: path.to_vec(), blocks })?;
        for (name, facts) in scan.mounts {
            let attributes = Holder::at(dir, &name).read();
            let path = join(path, &name);
            self.empty_directory(&path, &facts, &attributes);
        }
        self.queue_files(dir, &Arc::from(path), scan.changed)?;
        let directories = scan.directories.into_iter();
        Ok(Level { length: path.len(), identity: (facts.dev, facts.ino), directories })
    }

    fn queue_files(
        &mut self,
        dir: &Arc<OwnedFd>,
        path: &Arc<[u8]>,
        changed: Vec<Changed>,
    ) -> Result<(), TarError> {
        let mut batch: Vec<Changed> = Vec::new();
        let mut bytes = 0;
        for file in changed {
            if file.simple && self.pool.is_some() {
                // An empty file costs something too.
                bytes += file.size + 1024;
                batch.push(file);
                if batch.len() < BATCH_FILES && bytes < BATCH_BYTES {
                    continue;
                }
                self.push_batch(dir, path, std::mem::take(&mut batch), std::mem::take(&mut bytes))?;
            } else {
                self.push_batch(dir, path, std::mem::take(&mut batch), std::mem::take(&mut bytes))?;
                self.push(Item::Other { dir: Arc::clone(dir), path: Arc::clone(path), file })?;
            }
        }
        self.push_batch(dir, path, batch, bytes)
    }

    fn push_batch(
        &mut self,
        dir: &Arc<OwnedFd>,
        path: &Arc<[u8]>,
        files: Vec<Changed>,
        bytes: u64,
    ) -> Result<(), TarError> {
        let Some(pool) = self.pool.as_ref().filter(|_| !files.is_empty()) else { return Ok(()) };
        let names = files.iter().map(|file| file.name.clone()).collect();
        let answers = pool.ask(Arc::clone(dir), names, self.source.dereference.soft());
        self.push(Item::Batch { dir: Arc::clone(dir), path: Arc::clone(path), files, answers, bytes })
    }

    fn push(&mut self, item: Item) -> Result<(), TarError> {
        self.queued_bytes += weight(&item);
        self.queue.push_back(item);
        self.drain(QUEUE_BYTES, QUEUE_ITEMS)
    }

    /// Stores from the front of the queue until it is within the limits.
    fn drain(&mut self, bytes: u64, items: usize) -> Result<(), TarError> {
        while self.queued_bytes > bytes || self.queue.len() > items {
            let Some(item) = self.queue.pop_front() else { break };
            self.queued_bytes -= weight(&item);
            match item {
                Item::Directory { path, blocks } => {
                    self.watch.on_file(&path);
                    self.members += 1;
                    self.watch.on_member(&path, MemberForm::Directory, self.out.written());
                    self.out.write(&blocks)?;
                }
                Item::Other { dir, path, file } => self.store_other(&dir, &path, file)?,
                Item::Batch { dir, path, files, answers, .. } => {
                    // A reader that died leaves its files to us.
                    let answers = answers.recv().unwrap_or_default();
                    let mut answers = answers.into_iter().map(Some).chain(std::iter::repeat_with(|| None));
                    for file in files {
                        match answers.next().flatten() {
                            Some(answer) => self.store_small(&dir, &path, file, answer)?,
                            None => self.store_other(&dir, &path, file)?,
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// An ordinary directory member, without dumpdir: at restore nothing is deleted in it.
    fn empty_directory(&mut self, path: &[u8], facts: &Facts, attributes: &Attributes) {
        let mut blocks = Vec::new();
        let name = directory_name(path);
        let (link, sparse, attributes) = (&b""[..], false, Some(attributes));
        let head = Head { name: &name, link, typeflag: b'5', facts, stored: 0, attributes, sparse };
        member::encode(&mut blocks, &head, &mut self.owners);
        let item = Item::Directory { path: path.to_vec(), blocks };
        self.queued_bytes += weight(&item);
        self.queue.push_back(item);
    }

    /// Notes that a file could not be opened.
    pub(super) fn refused(&mut self, path: &[u8], place: crate::tar::index::Place, refusal: Refusal) {
        self.index.retry(place);
        match refusal {
            Refusal::OtherKind => {
                self.problems.add(path, ProblemKind::Changed, "it was replaced by something else")
            }
            Refusal::Failed(Errno::NOENT) => {
                self.problems.add(path, ProblemKind::Vanished, "it was gone when its turn came");
            }
            Refusal::Failed(error) => self.problems.add(path, ProblemKind::Unreadable, error),
        }
    }
}

fn weight(item: &Item) -> u64 {
    match item {
        Item::Directory { blocks, .. } => blocks.len() as u64,
        Item::Batch { bytes, .. } => *bytes,
        Item::Other { .. } => 1024,
    }
}

/// `./` or `./path/`.
fn directory_name(path: &[u8]) -> Vec<u8> {
    let mut name = b"./".to_vec();
    if !path.is_empty() {
        name.extend_from_slice(path);
        name.push(b'/');
    }
    name
}

/// A path below the root.
pub(super) fn join(path: &[u8], name: &[u8]) -> Vec<u8> {
    if path.is_empty() { name.to_vec() } else { [path, b"/", name].concat() }
}
