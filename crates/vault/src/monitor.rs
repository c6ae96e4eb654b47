//! Progress of one backup, restore, verification or prune, readable at any time from any thread, and
//! the way to cancel it.
//!
//! Writers only add; readers take a [`Progress`] snapshot. Holds no secret.

use crate::layout::{Hbn, LevelId};
use serde::Serialize;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use tokio_util::sync::CancellationToken;

/// What is being done at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Phase {
    Waiting = 0,
    /// Reading the catalogue, choosing the base or the levels, taking the lock.
    Planning = 1,
    /// Moving data.
    Transferring = 2,
    /// Writing what makes a backup visible, or tidying up.
    Committing = 3,
    Finished = 4,
}

impl Phase {
    fn from_number(number: u8) -> Self {
        match number {
            1 => Self::Planning,
            2 => Self::Transferring,
            3 => Self::Committing,
            4 => Self::Finished,
            _ => Self::Waiting,
        }
    }
}

/// Shared by whoever works and whoever watches; put it in an `Arc`.
#[derive(Debug, Default)]
pub struct Monitor {
    phase: AtomicU8,
    bytes_read: AtomicU64,
    bytes_stored: AtomicU64,
    files: AtomicU64,
    errors: AtomicU64,
    bytes_total: AtomicU64,
    files_total: AtomicU64,
    totals_known: AtomicU8,
    current: Mutex<String>,
    removed: Mutex<Vec<(usize, Hbn, LevelId)>>,
    storage: AtomicUsize,
    cancel: CancellationToken,
}

/// A snapshot of a [`Monitor`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Progress {
    pub phase: Phase,
    /// Backup: bytes of file content read. Restore: bytes of file content written, or left by an interrupted run. Verify: stored
    /// bytes checked.
    pub bytes_read: u64,
    /// Backup: bytes handed to the store. Restore and verify: bytes fetched from it.
    pub bytes_stored: u64,
    pub files: u64,
    /// Files with problems, known when a level is through; damaged pieces while verifying.
    pub errors: u64,
    /// What `bytes_read` is expected to reach, once known.
    pub bytes_total: Option<u64>,
    pub files_total: Option<u64>,
    /// The member worked on, as text for people.
    pub current: String,
}

impl Monitor {
    pub fn new() -> Self {
        Self::default()
    }
    /// A monitor that is also cancelled when `token` is.
    pub fn with_token(token: CancellationToken) -> Self {
        Self { cancel: token, ..Self::default() }
    }
    /// Asks the work to stop; it ends with [`VaultError::Cancelled`](crate::VaultError::Cancelled).
    pub fn cancel(&self) {
        self.cancel.cancel();
    }
    pub fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }
    /// For `select!` and child tasks.
    pub fn token(&self) -> &CancellationToken {
        &self.cancel
    }
    pub fn progress(&self) -> Progress {
        let known = self.totals_known.load(Ordering::Acquire) != 0;
        let total = |counter: &AtomicU64| known.then(|| counter.load(Ordering::Relaxed));
        Progress {
            phase: Phase::from_number(self.phase.load(Ordering::Relaxed)),
            bytes_read: self.bytes_read.load(Ordering::Relaxed),
            bytes_stored: self.bytes_stored.load(Ordering::Relaxed),
            files: self.files.load(Ordering::Relaxed),
            errors: self.errors.load(Ordering::Relaxed),
            bytes_total: total(&self.bytes_total),
            files_total: total(&self.files_total),
            current: self.current.lock().map(|text| text.clone()).unwrap_or_default(),
        }
    }

    /// Adds what a part of the work has done that had a monitor of its own.
    pub fn include(&self, part: &Progress) {
        self.add_read(part.bytes_read);
        self.add_stored(part.bytes_stored);
        self.files.fetch_add(part.files, Ordering::Relaxed);
        self.add_errors(part.errors);
    }

    /// Which of several storages the work is about from now on, by its position.
    pub fn enter_storage(&self, position: usize) {
        self.storage.store(position, Ordering::Relaxed);
    }

    /// Backups that are gone from a store (by its position, when there are several), whatever has become of the rest of the work.
    pub fn removed(&self) -> Vec<(usize, Hbn, LevelId)> {
        self.removed.lock().map(|removed| removed.clone()).unwrap_or_default()
    }

    pub(crate) fn note_removed(&self, hbn: &Hbn, id: LevelId) {
        if let Ok(mut removed) = self.removed.lock() {
            removed.push((self.storage.load(Ordering::Relaxed), hbn.clone(), id));
        }
    }
    pub(crate) fn set_phase(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }
    pub(crate) fn add_stored(&self, bytes: u64) {
        self.bytes_stored.fetch_add(bytes, Ordering::Relaxed);
    }
    pub(crate) fn add_read(&self, bytes: u64) {
        self.bytes_read.fetch_add(bytes, Ordering::Relaxed);
    }
    pub(crate) fn add_file(&self) {
        self.files.fetch_add(1, Ordering::Relaxed);
    }
    pub(crate) fn add_errors(&self, count: u64) {
        self.errors.fetch_add(count, Ordering::Relaxed);
    }
    pub(crate) fn set_totals(&self, bytes: u64, files: u64) {
        self.bytes_total.store(bytes, Ordering::Relaxed);
        self.files_total.store(files, Ordering::Relaxed);
        self.totals_known.store(1, Ordering::Release);
    }
    pub(crate) fn set_current(&self, text: &str) {
        if let Ok(mut current) = self.current.lock() {
            current.clear();
            current.push_str(text);
        }
    }
}
