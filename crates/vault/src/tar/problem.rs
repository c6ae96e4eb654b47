//! Trouble with single files: collected, reported, never silent.

use std::fmt;

/// How much a problem matters for the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Expected on a living system; nothing is missing that could have been kept (sockets, other file systems).
    Notice,
    /// Saved or restored, but look at it (a file that changed while it was read).
    Warning,
    /// Something is missing: the backup or restore is partial.
    Partial,
}

/// What happened to one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProblemKind {
    /// Writing: could not be opened or read; it is missing from the archive (or zero-filled from the bad place on).
    Unreadable,
    /// Writing: was gone when its turn came.
    Vanished,
    /// Writing: changed while it was read; saved again by the next level.
    Changed,
    /// Writing: became shorter while it was read; filled with zeros to the announced size.
    Shrunk,
    /// Writing: became longer while it was read; cut at the announced size.
    Grew,
    /// Writing: a socket; tar cannot hold one.
    SkippedSocket,
    /// Writing: another file system is mounted here; its content was left out.
    SkippedMount,
    /// Writing, with links followed: the link leads back to a directory above it.
    SkippedLoop,
    /// Reading: an object could not be created or written.
    Unwritable,
    /// Reading: content is right, but owner, mode, time, an attribute or an ACL could not be set.
    Metadata,
    /// Reading: an object that the dumpdir says was kept from an earlier level is not there.
    Missing,
    /// Reading: something that should be deleted could not be.
    Undeleted,
    /// Reading: a member of a type this engine does not know.
    Unsupported,
    /// Reading: left alone because it exists and the caller asked to keep what exists.
    KeptExisting,
}

impl ProblemKind {
    /// How much it matters.
    pub fn severity(self) -> Severity {
        use ProblemKind as K;
        match self {
            K::Vanished | K::SkippedSocket | K::SkippedMount | K::SkippedLoop | K::KeptExisting => {
                Severity::Notice
            }
            K::Changed | K::Shrunk | K::Grew | K::Metadata | K::Undeleted => Severity::Warning,
            K::Unreadable | K::Unwritable | K::Missing | K::Unsupported => Severity::Partial,
        }
    }

    /// A short lower-case word for reports.
    pub fn word(self) -> &'static str {
        use ProblemKind as K;
        match self {
            K::Unreadable => "unreadable",
            K::Vanished => "vanished",
            K::Changed => "changed",
            K::Shrunk => "shrunk",
            K::Grew => "grew",
            K::SkippedSocket => "socket",
            K::SkippedMount => "mount",
            K::SkippedLoop => "loop",
            K::Unwritable => "unwritable",
            K::Metadata => "metadata",
            K::Missing => "missing",
            K::Undeleted => "undeleted",
            K::Unsupported => "unsupported",
            K::KeptExisting => "kept",
        }
    }
}

/// One file and what happened to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Relative to the root, without a leading `./`; `.` is the root itself.
    pub path: Vec<u8>,
    pub kind: ProblemKind,
    /// The cause in words.
    pub reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", self.path.escape_ascii(), self.reason, self.kind.word())
    }
}

/// Lists the first problems in full and counts the rest: a dying disk must not eat the memory.
#[derive(Debug, Default)]
pub(super) struct Problems {
    pub listed: Vec<Problem>,
    pub unlisted: u64,
    pub worst: Option<Severity>,
}

/// So many problems are kept in full.
const LISTED_PROBLEMS: usize = 10_000;

impl Problems {
    pub fn add(&mut self, path: &[u8], kind: ProblemKind, reason: impl fmt::Display) {
        self.worst = self.worst.max(Some(kind.severity()));
        tracing::debug!(path = %path.escape_ascii(), kind = kind.word(), %reason, "file problem");
        if self.listed.len() < LISTED_PROBLEMS {
            let path = if path.is_empty() { b".".to_vec() } else { path.to_vec() };
            self.listed.push(Problem { path, kind, reason: reason.to_string() });
        } else {
            self.unlisted = self.unlisted.saturating_add(1);
        }
    }
}
