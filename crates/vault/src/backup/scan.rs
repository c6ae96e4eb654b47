//! Counting ahead what a backup will read, so that progress can be a fraction.
//!
//! An estimate for people: errors are passed over, the backup itself reports them. With exclude
//! patterns or followed links it would be a wrong one, so there is none.

use crate::monitor::Monitor;
use crate::tar::{Dereference, Index, KnownFolder, Source, Stamp};
use std::ffi::OsStr;
use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::runtime::Handle;
use tokio::task::{JoinHandle, spawn_blocking};

/// A count on its way.
pub(super) struct Scan {
    stop: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Scan {
    /// Ends it, from a thread that may block; when the backup is done nobody needs the totals.
    pub(super) fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Err(error) = Handle::current().block_on(self.task) {
            tracing::warn!(%error, "counting the source stopped unexpectedly");
        }
    }
}

/// Starts counting in a thread of its own; `None` when an estimate would mislead.
pub(super) fn start(source: &Source, base: Option<Arc<Index>>, monitor: Arc<Monitor>) -> Option<Scan> {
    if !source.excludes.is_empty() || !source.rules.is_empty() || source.dereference != Dereference::None {
        return None;
    }
    let stop = Arc::new(AtomicBool::new(false));
    let (root, stopped) = (source.root.clone(), stop.clone());
    let one_file_system = source.one_file_system;
    let places: Vec<PathBuf> = source.places.iter().map(|name| root.join(name)).collect();
    let task = spawn_blocking(move || {
        let counter = Counter { root, places, one_file_system, base, stopped };
        if let Some((bytes, files)) = counter.count() {
            monitor.set_totals(bytes, files);
        }
    });
    Some(Scan { stop, task })
}

struct Counter {
    root: PathBuf,
    /// Folders that are no data.
    places: Vec<PathBuf>,
    one_file_system: bool,
    base: Option<Arc<Index>>,
    stopped: Arc<AtomicBool>,
}

impl Counter {
    fn count(&self) -> Option<(u64, u64)> {
        let root = std::fs::metadata(&self.root).ok()?;
        if !root.is_dir() {
            return Some((root.len(), 1));
        }
        let (mut bytes, mut files) = (0u64, 1u64);
        let mut waiting = vec![self.root.clone()];
        while let Some(folder) = waiting.pop() {
            let Ok(entries) = std::fs::read_dir(&folder) else { continue };
            let before = self.before(&folder);
            for entry in entries.flatten() {
                if self.stopped.load(Ordering::Relaxed) {
                    return None;
                }
                let path = entry.path();
                let Ok(facts) = std::fs::symlink_metadata(&path) else { continue };
                if facts.is_dir() {
                    if self.places.contains(&path) {
                        continue;
                    }
                    files += 1;
                    if !self.one_file_system || facts.dev() == root.dev() {
                        waiting.push(path);
                    }
                } else if before.as_ref().is_none_or(|before| is_new(before, &entry.file_name(), &facts)) {
                    files += 1;
                    bytes += if facts.is_file() { facts.len() } else { 0 };
                }
            }
        }
        Some((bytes, files))
    }

    /// What the base knows of a folder.
    fn before(&self, folder: &Path) -> Option<KnownFolder<'_>> {
        let relative = folder.strip_prefix(&self.root).ok()?;
        self.base.as_ref()?.folder(relative.as_os_str().as_bytes())
    }
}

/// Whether the base does not have it as it is now.
fn is_new(before: &KnownFolder<'_>, name: &OsStr, facts: &Metadata) -> bool {
    let Some(kept) = before.find(name.as_bytes()) else { return true };
    let mtime = Stamp::new(facts.mtime(), facts.mtime_nsec());
    let ctime = Stamp::new(facts.ctime(), facts.ctime_nsec());
    kept.inode != facts.ino() || kept.size != facts.len() || kept.mtime != mtime || kept.ctime != ctime
}
