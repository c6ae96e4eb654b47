//! What this host must undo, written down before it is done: one file for each snapshot, named by its tag.
//!
//! Invariant: the file is there from before a snapshot is taken until it is gone. It is locked by the process that works with
//! the snapshot, and by the programs which that has started: what can be locked, nobody works with any more.

use super::Made;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const FOLDER: &str = "snapshots";

#[derive(Debug)]
pub struct Record {
    /// Locked as long as it is open.
    file: File,
    path: PathBuf,
}

/// The folder, made when missing and readable by its owner only: file systems are mounted in it.
pub fn folder(state_dir: &Path) -> Result<PathBuf, String> {
    if state_dir.as_os_str().is_empty() {
        return Err(
            "the agent's daemon is older than its programs and names no state folder; restart it".to_owned()
        );
    }
    let folder = state_dir.join(FOLDER);
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
    made.map_err(|error| {
        format!(
            "state folder {}: {error}; set [agent] state_dir to a folder that can be written",
            folder.display()
        )
    })?;
    Ok(folder)
}

impl Record {
    /// Whole or not at all, durably, and locked.
    pub fn write(state_dir: &Path, tag: &str, made: &Made) -> Result<Self, String> {
        let folder = folder(state_dir)?;
        let path = folder.join(format!("{tag}.json"));
        let bad = |error: std::io::Error| format!("cannot note the snapshot in {}: {error}", path.display());
        let beside = path.with_extension("new");
        let options = std::fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(&beside);
        let mut file = options.map_err(bad)?;
        file.try_lock().map_err(|error| bad(error.into()))?;
        let body = serde_json::to_vec(made).map_err(|error| bad(error.into()))?;
        file.write_all(&body).and_then(|()| file.sync_all()).map_err(bad)?;
        std::fs::rename(&beside, &path).map_err(bad)?;
        File::open(&folder).and_then(|folder| folder.sync_all()).map_err(bad)?;
        Ok(Self { file, path })
    }

    /// A handle that shares the lock.
    pub fn lock(&self) -> Result<File, String> {
        self.file.try_clone().map_err(|error| format!("{}: {error}", self.path.display()))
    }

    fn frozen(&self) -> PathBuf {
        self.path.with_extension("frozen")
    }

    /// Said before a file system is frozen.
    pub fn note_frozen(&self) -> Result<(), String> {
        let noted = File::create(self.frozen()).and_then(|file| file.sync_all());
        noted.map_err(|error| format!("cannot note the freeze in {}: {error}", self.frozen().display()))
    }

    pub fn is_frozen(&self) -> bool {
        self.frozen().exists()
    }

    pub fn forget_frozen(&self) {
        let _ = std::fs::remove_file(self.frozen());
    }

    /// The snapshot is gone.
    pub fn forget(self) {
        self.forget_frozen();
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!("{}: {error}", self.path.display());
        }
    }
}

/// What nobody works with any more, and whether there are others.
pub fn left(state_dir: &Path) -> (Vec<(Record, Made)>, bool) {
    let (mut left, mut are_held) = (Vec::new(), false);
    let Ok(items) = std::fs::read_dir(state_dir.join(FOLDER)) else { return (left, are_held) };
    for path in items.flatten().map(|item| item.path()) {
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let Ok(file) = File::options().read(true).write(true).open(&path) else { continue };
        if file.try_lock().is_err() {
            are_held = true;
            continue;
        }
        match std::fs::read(&path).map(|body| serde_json::from_slice(&body)) {
            Ok(Ok(made)) => left.push((Record { file, path }, made)),
            Ok(Err(error)) => {
                tracing::warn!(
                    "{} is unreadable ({error}); look for a snapshot that was left",
                    path.display()
                )
            }
            // Done with in the meantime.
            Err(_) => {}
        }
    }
    (left, are_held)
}
