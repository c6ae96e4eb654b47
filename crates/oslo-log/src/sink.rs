//! Where lines go. Writing never fails the caller: a line that cannot be written is lost (a full disk must not stop
//! a service), and the next one is tried again.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A log file that follows its name: opened again after it was renamed or removed.
pub(crate) struct LogFile {
    path: PathBuf,
    recheck: Duration,
    state: Mutex<State>,
}

struct State {
    file: Option<File>,
    identity: Option<(u64, u64)>,
    checked: Instant,
}

impl LogFile {
    /// Opens (and makes) the file; the name is looked at again after `recheck` at the earliest.
    pub(crate) fn open(path: &Path, recheck: Duration) -> io::Result<Self> {
        let file = append_to(path)?;
        let identity = identity_of(&file.metadata()?);
        let state = State { file: Some(file), identity: Some(identity), checked: Instant::now() };
        Ok(LogFile { path: path.to_path_buf(), recheck, state: Mutex::new(state) })
    }

    /// Writes one whole line.
    pub(crate) fn write(&self, line: &str) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.checked.elapsed() >= self.recheck {
            state.checked = Instant::now();
            let there = std::fs::metadata(&self.path).ok().map(|metadata| identity_of(&metadata));
            if there.is_none() || there != state.identity {
                self.open_again(&mut state);
            }
        }
        if let Some(file) = state.file.as_mut() {
            let _ = file.write_all(line.as_bytes());
        }
    }

    /// Opens the file by its name now.
    pub(crate) fn reopen(&self) {
        self.open_again(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Keeps the old file if the new one cannot be opened: late lines beside the right file beat no lines.
    fn open_again(&self, state: &mut State) {
        if let Ok(file) = append_to(&self.path) {
            state.identity = file.metadata().ok().map(|metadata| identity_of(&metadata));
            state.file = Some(file);
        }
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

fn identity_of(metadata: &std::fs::Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// Standard error, one call a line.
pub(crate) fn to_stderr(line: &str) {
    let _ = io::stderr().lock().write_all(line.as_bytes());
}
