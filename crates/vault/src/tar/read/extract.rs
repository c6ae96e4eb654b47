//! The restore of one archive: state, dispatch, and the rules that all objects share.

use super::directories::Pending;
use super::ledger::Ledger;
use super::member::{Member, Members, Shape};
use super::{Existing, Extract, Restored};
use crate::tar::descent::{Descent, sorted_names};
use crate::tar::facts::{Facts, Kind};
use crate::tar::owners::Owners;
use crate::tar::problem::Problems;
use crate::tar::write::PROMISE;
use crate::tar::{ProblemKind, TarError, Watch};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Mode, OFlags, Stat, mkdirat, statat, syncfs, unlinkat};
use rustix::io::Errno;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// There are file systems that keep times no finer than this.
const COARSEST_SECS: u64 = 2;

pub(super) struct Extractor<'a> {
    pub options: &'a Extract,
    pub watch: &'a mut dyn Watch,
    pub ledger: &'a mut dyn Ledger,
    pub dest: PathBuf,
    pub root: Arc<OwnedFd>,
    pub descent: Descent,
    /// For targets of hard links and renames, so that they do not disturb the first.
    pub links: Descent,
    pub owners: Owners,
    pub problems: Problems,
    pub pending: Vec<Pending>,
    /// The archive is one of ours: depth first, all attributes.
    pub promised: bool,
    pub temporary: u64,
    /// Folders in which nothing incomplete of an earlier run is left.
    pub swept: HashSet<Vec<u8>>,
    pub buffer: Vec<u8>,
    pub restored: Restored,
}

/// Where a member goes.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub parent: Arc<OwnedFd>,
    pub name: Vec<u8>,
    /// The whole path below the destination.
    pub path: Vec<u8>,
}

impl<'a> Extractor<'a> {
    pub fn open(
        (dest, is_ours): (&Path, bool),
        options: &'a Extract,
        watch: &'a mut dyn Watch,
        ledger: &'a mut dyn Ledger,
    ) -> Result<Self, TarError> {
        let refuse = |cause: std::io::Error| TarError::Destination { path: dest.to_path_buf(), cause };
        let mut flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        if is_ours {
            flags |= OFlags::NOFOLLOW;
        } else {
            std::fs::create_dir_all(dest).map_err(refuse)?;
        }
        let root = rustix::fs::open(dest, flags, Mode::empty()).map_err(|errno| refuse(errno.into()))?;
        let root = Arc::new(root);
        Ok(Self {
            options,
            watch,
            ledger,
            dest: dest.to_path_buf(),
            descent: Descent::new(Arc::clone(&root), false),
            links: Descent::new(Arc::clone(&root), false),
            root,
            owners: Owners::default(),
            problems: Problems::default(),
            pending: Vec::new(),
            promised: false,
            temporary: 0,
            swept: HashSet::new(),
            buffer: Vec::new(),
            restored: Restored::default(),
        })
    }

    pub fn run(mut self, mut members: Members<'_>) -> Result<Restored, TarError> {
        loop {
            let watch = &mut *self.watch;
            let mut go_on = || if watch.cancelled() { Err(TarError::Cancelled) } else { Ok(()) };
            let Some(member) = members.next(&mut go_on)? else { break };
            self.promised = members.promises(PROMISE);
            self.restored.members += 1;
            self.member(member, &mut members)?;
        }
        self.finish_directories(None);
        if self.options.sync {
            let refuse =
                |errno: Errno| TarError::Destination { path: self.dest.clone(), cause: errno.into() };
            syncfs(&*self.root).map_err(refuse)?;
        }
        let Self { mut restored, problems, .. } = self;
        restored.archive_bytes = members.stream.offset;
        restored.problems = problems.listed;
        restored.unlisted_problems = problems.unlisted;
        restored.worst = problems.worst;
        Ok(restored)
    }

    fn member(&mut self, member: Member, members: &mut Members<'_>) -> Result<(), TarError> {
        let path = safe_path(&member.name).map_err(|reason| unsafe_member(&member, reason))?;
        self.watch.on_file(&path);
        if self.promised {
            self.finish_directories(Some(&path));
        }
        let directory = member.shape == Shape::Object(Kind::Directory);
        if !self.options.only.wants(&path, directory) {
            return Ok(());
        }
        if let Shape::Unknown(typeflag) = member.shape {
            let reason = format!("a member of unknown type '{}'", typeflag.escape_ascii());
            self.problems.add(&path, ProblemKind::Unsupported, reason);
            return Ok(());
        }
        if directory {
            return self.directory(member, path);
        }
        if path.is_empty() {
            return Err(unsafe_member(&member, "it would replace the destination itself"));
        }
        let target = match self.target(path.clone()) {
            Ok(target) => target,
            Err(errno) => return self.failed(&member, &path, errno),
        };
        self.sweep(&target);
        if !self.may_write(&target, Some(&member))? {
            return Ok(());
        }
        match member.shape {
            Shape::HardLink => self.hard_link(&member, &target),
            Shape::Object(Kind::File) => self.file(member, &target, members),
            Shape::Object(kind) => self.special(member, kind, &target),
            Shape::Unknown(_) => Ok(()),
        }
    }

    /// Opens the directory a path lies in, making what is missing.
    pub fn target(&mut self, path: Vec<u8>) -> Result<Target, Errno> {
        let (parent, name) = split(&path);
        let name = name.to_vec();
        let parent =
            self.descent.go_with(parent, &mut |dir, name| mkdirat(dir, name, Mode::from_raw_mode(0o755)))?;
        Ok(Target { parent, name, path })
    }

    /// Deletes what an earlier run was making in this folder when it was killed, which has not got its name. It was of a member
    /// that is not finished, so its folder comes up again.
    fn sweep(&mut self, target: &Target) {
        let (folder, _) = split(&target.path);
        if !self.ledger.sweeps() || self.swept.contains(folder) {
            return;
        }
        let Some(prefix) = self.ledger.token().map(|token| format!(".freezer-{token}-")) else { return };
        let swept = sorted_names(&target.parent).and_then(|names| {
            let mut left = names.iter().filter(|name| name.starts_with(prefix.as_bytes()));
            left.try_for_each(|name| unlinkat(&target.parent, &**name, AtFlags::empty()))
        });
        if let Err(errno) = swept {
            self.problems.add(folder, ProblemKind::Undeleted, errno);
        }
        self.swept.insert(folder.to_vec());
    }

    /// Whether the caller's wish about existing files lets this one be written. What an earlier run of this restore has left of
    /// `made` may always be replaced.
    pub fn may_write(&mut self, target: &Target, made: Option<&Member>) -> Result<bool, TarError> {
        if self.options.existing == Existing::Replace {
            return Ok(true);
        }
        let found = statat(&target.parent, target.name.as_slice(), AtFlags::SYMLINK_NOFOLLOW);
        let Ok(found) = found else { return Ok(true) };
        let is_noted = self.ledger.owns(&target.path);
        if (is_noted || self.ledger.sweeps()) && made.is_some_and(|made| is_as_made(made, &found, is_noted)) {
            return Ok(true);
        }
        if self.options.existing == Existing::Refuse {
            return Err(TarError::Exists { member: target.path.escape_ascii().to_string() });
        }
        self.problems.add(&target.path, ProblemKind::KeptExisting, "it exists");
        Ok(false)
    }

    /// An object could not be made: the end, if the others would fare no better.
    pub fn failed(&mut self, member: &Member, path: &[u8], errno: Errno) -> Result<(), TarError> {
        if matches!(errno, Errno::NOSPC | Errno::DQUOT | Errno::ROFS | Errno::IO) {
            let name = path.escape_ascii().to_string();
            return Err(TarError::Restore { member: name, offset: member.offset, cause: errno.into() });
        }
        match errno {
            Errno::NOTDIR | Errno::LOOP => {
                let reason = "a part of its path is no directory (links are not followed)";
                self.problems.add(path, ProblemKind::Unwritable, reason);
            }
            _ => self.problems.add(path, ProblemKind::Unwritable, errno),
        }
        Ok(())
    }

    /// A name nobody has in that directory.
    pub fn temporary_name(&mut self) -> Vec<u8> {
        self.temporary += 1;
        match self.ledger.token() {
            Some(token) => format!(".freezer-{token}-{}", self.temporary).into_bytes(),
            None => format!(".freezer-{}-{}", std::process::id(), self.temporary).into_bytes(),
        }
    }
}

/// By kind and time, this is what an earlier run has made of the member, or what a power cut has left of that: what somebody has
/// edited since is theirs. What that run has not noted, as it was killed, must be all that the member says.
fn is_as_made(member: &Member, found: &Stat, is_noted: bool) -> bool {
    let Some(found) = Facts::new(found) else { return false };
    let is_kind = match member.shape {
        Shape::Object(Kind::File) if is_noted => found.kind == Kind::File && found.size <= member.size,
        Shape::Object(Kind::File) => found.kind == Kind::File && found.size == member.size,
        Shape::Object(kind) => found.kind == kind,
        Shape::HardLink => found.kind != Kind::Directory,
        Shape::Unknown(_) => false,
    };
    let (there, wanted) = (found.mtime, member.mtime);
    let is_time = if is_noted {
        there.secs.abs_diff(wanted.secs) <= COARSEST_SECS
    } else {
        // Some file systems keep whole seconds.
        there.secs == wanted.secs && (there.nanos == wanted.nanos || there.nanos == 0)
    };
    is_kind && is_time
}

pub(super) fn unsafe_member(member: &Member, reason: &str) -> TarError {
    TarError::Unsafe {
        member: member.name.escape_ascii().to_string(),
        offset: member.offset,
        reason: reason.to_owned(),
    }
}

/// A member's name as names with single slashes between them; empty for the root.
pub(crate) fn safe_path(name: &[u8]) -> Result<Vec<u8>, &'static str> {
    if name.starts_with(b"/") {
        return Err("its name is absolute");
    }
    if name.contains(&0) {
        return Err("its name holds a NUL");
    }
    let parts: Vec<&[u8]> =
        name.split(|&byte| byte == b'/').filter(|part| !part.is_empty() && *part != b".").collect();
    if parts.iter().any(|part| *part == b"..") {
        return Err("its name leads upwards");
    }
    Ok(parts.join(&b'/'))
}

/// Parent and last name.
pub(super) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(at) => (path.get(..at).unwrap_or_default(), path.get(at + 1..).unwrap_or_default()),
        None => (b"", path),
    }
}
