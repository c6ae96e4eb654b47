//! What to archive and how to look at it.

use super::rules::Rules;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

/// Which links are stored as what they point to (upstream's `dereference_symlink`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dereference {
    /// Links are stored as links.
    #[default]
    None,
    /// Symbolic links are stored as the files and directories they lead to.
    Soft,
    /// Each name of a hard-linked file is stored in full.
    Hard,
    /// Both.
    All,
}

impl Dereference {
    pub(super) fn soft(self) -> bool {
        matches!(self, Self::Soft | Self::All)
    }

    pub(super) fn hard(self) -> bool {
        matches!(self, Self::Hard | Self::All)
    }
}

/// A directory tree or a single file to archive.
#[derive(Debug, Clone)]
pub struct Source {
    /// A directory (members are `./…`) or one file (the member is its base name). A symbolic link here is followed.
    pub root: PathBuf,
    /// GNU tar `--exclude` patterns: unanchored, `*` matches `/` too. The root itself is never excluded.
    pub excludes: Vec<Vec<u8>>,
    /// Leaves out more, in the words of gitignore. Nothing of a single file.
    pub rules: Rules,
    /// Names of folders at the root that are nobody's data, and that nobody has asked to leave out: a snapshot shows where others are.
    pub places: Vec<String>,
    /// Which links are followed below the root.
    pub dereference: Dereference,
    /// Leave out what is mounted below the root (default true). A mount point is kept as an empty directory.
    pub one_file_system: bool,
    /// Flush the file system of the root first (upstream's `sync`); failure is ignored.
    pub sync: bool,
    /// Set when `root` lies in a snapshot.
    pub snapshot: Option<SnapshotSource>,
}

/// What a snapshot at the root of a [`Source`] is of.
#[derive(Clone)]
pub struct SnapshotSource {
    /// The folder or file as everybody knows it: names and records say this.
    pub of: PathBuf,
    /// A moment before the snapshot was taken. What changes from then on, the next level looks at again.
    pub taken_after: SystemTime,
    /// Asked when all has been read, before anything is committed.
    pub witness: Arc<dyn Witness>,
}

/// Knows whether a snapshot was whole to the last byte that was read of it.
pub trait Witness: Send + Sync {
    /// May block. An error is the cause, and ends the backup.
    fn vouch(&self) -> Result<(), String>;
}

impl fmt::Debug for SnapshotSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnapshotSource").field("of", &self.of).finish_non_exhaustive()
    }
}

impl Source {
    /// Everything below `root`, with upstream's defaults.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            excludes: Vec::new(),
            rules: Rules::default(),
            places: Vec::new(),
            dereference: Dereference::None,
            one_file_system: true,
            sync: false,
            snapshot: None,
        }
    }

    /// What it is called.
    pub fn path(&self) -> &Path {
        self.snapshot.as_ref().map_or(&self.root, |snapshot| &snapshot.of)
    }
}
