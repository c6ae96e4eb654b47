//! A cursor over a directory tree that holds descriptors instead of paths.
//!
//! Every step opens one name relative to its parent, so paths may be longer than the kernel's limit and, unless
//! links are to be followed, no symbolic link can lead out of the root. Few descriptors stay open however deep
//! the tree is; the others are opened again when needed.

use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags, openat};
use rustix::io::{Errno, Result};
use std::sync::Arc;

/// The first so many levels keep their descriptor, the last so many, and each so manieth between them.
const KEEP_FIRST: usize = 48;
const KEEP_LAST: usize = 8;
const KEEP_EACH: usize = 64;

/// Whether the step at `at` of `depth` keeps its descriptor.
fn keeps(at: usize, depth: usize) -> bool {
    at < KEEP_FIRST || at + KEEP_LAST >= depth || at.is_multiple_of(KEEP_EACH)
}

#[derive(Debug)]
pub(crate) struct Descent {
    root: Arc<OwnedFd>,
    steps: Vec<Step>,
    follow: bool,
}

#[derive(Debug)]
struct Step {
    name: Box<[u8]>,
    dir: Option<Arc<OwnedFd>>,
}

impl Descent {
    /// Starts at an open directory. With `follow`, symbolic links to directories are entered.
    pub fn new(root: Arc<OwnedFd>, follow: bool) -> Self {
        Self { root, steps: Vec::new(), follow }
    }

    /// Forgets what it holds open; needed after directories were moved or deleted.
    pub fn reset(&mut self) {
        self.steps.clear();
    }

    /// The directory at a path (names separated by single slashes, no dots; empty is the root).
    pub fn go(&mut self, path: &[u8]) -> Result<Arc<OwnedFd>> {
        self.go_with(path, &mut |_, _| Err(Errno::NOENT))
    }

    /// The same, calling `make(parent, name)` for each directory that is missing on the way.
    pub fn go_with(
        &mut self,
        path: &[u8],
        make: &mut dyn FnMut(&OwnedFd, &[u8]) -> Result<()>,
    ) -> Result<Arc<OwnedFd>> {
        let names = || path.split(|&byte| byte == b'/').filter(|name| !name.is_empty());
        let common = self.steps.iter().zip(names()).take_while(|(step, name)| *step.name == **name).count();
        self.steps.truncate(common);
        let mut dir = self.top()?;
        for name in names().skip(common) {
            let next = match open_directory(&dir, name, self.follow) {
                Err(Errno::NOENT) => {
                    make(&dir, name)?;
                    open_directory(&dir, name, self.follow)?
                }
                other => other?,
            };
            dir = Arc::new(next);
            self.push(name, &dir);
        }
        Ok(dir)
    }

    fn push(&mut self, name: &[u8], dir: &Arc<OwnedFd>) {
        self.steps.push(Step { name: name.into(), dir: Some(Arc::clone(dir)) });
        let depth = self.steps.len();
        let old = depth.checked_sub(KEEP_LAST + 1).filter(|&at| !keeps(at, depth));
        if let Some(step) = old.and_then(|at| self.steps.get_mut(at)) {
            step.dir = None;
        }
    }

    /// The directory of the last step, opened again from the nearest one still open if need be.
    fn top(&mut self) -> Result<Arc<OwnedFd>> {
        let open = self.steps.iter().rposition(|step| step.dir.is_some());
        let start = open.map_or(0, |at| at + 1);
        let held = open.and_then(|at| self.steps.get(at)).and_then(|step| step.dir.as_ref());
        let mut dir = Arc::clone(held.unwrap_or(&self.root));
        let depth = self.steps.len();
        for (at, step) in self.steps.iter_mut().enumerate().skip(start) {
            dir = Arc::new(open_directory(&dir, &step.name, self.follow)?);
            step.dir = keeps(at, depth).then(|| Arc::clone(&dir));
        }
        Ok(dir)
    }
}

/// Opens a directory for reading its names; a symbolic link is an error unless `follow`.
pub(super) fn open_directory(parent: &OwnedFd, name: &[u8], follow: bool) -> Result<OwnedFd> {
    let mut flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    if !follow {
        flags |= OFlags::NOFOLLOW;
    }
    match openat(parent, name, flags | OFlags::NOATIME, Mode::empty()) {
        // Only the owner may leave the access time alone.
        Err(Errno::PERM) => openat(parent, name, flags, Mode::empty()),
        other => other,
    }
}

/// The names in a directory (without `.` and `..`), sorted by bytes.
pub(super) fn sorted_names(dir: &OwnedFd) -> Result<Vec<Box<[u8]>>> {
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.into());
        }
    }
    names.sort_unstable();
    Ok(names)
}
