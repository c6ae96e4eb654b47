//! What the agent has promised and not yet reported: one file for each step, written before the promise.
//!
//! Invariant: a step is in the journal from before its child starts until a conductor has answered its
//! `step_finished`. A restarted agent therefore knows which steps were lost and which outcomes are owed.

use freezer_model::rpc::{RunAction, StepFinished};
use serde::{Deserialize, Serialize};
use std::fs::{File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    pub order: RunAction,
    /// Process id and start time (clock ticks since boot) of the child, once it runs.
    pub child: Option<(i32, u64)>,
    pub outcome: Option<StepFinished>,
}

pub struct Journal {
    folder: PathBuf,
    /// Locked as long as this lives: two daemons on one journal would end each other's steps as leftovers.
    _lock: File,
}

/// Writes a file for its owner only, whole or not at all, and durably.
pub(crate) fn write_durably(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let beside = path.with_extension("new");
    let mut file = File::options().create(true).truncate(true).write(true).mode(0o600).open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

impl Journal {
    /// Opens (and makes) the folder, readable by its owner only.
    pub fn open(state_dir: &Path) -> std::io::Result<Self> {
        use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
        let folder = state_dir.join("steps");
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let path = state_dir.join("lock");
        let lock = File::options().create(true).truncate(false).write(true).mode(0o600).open(&path)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { folder, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(std::io::Error::other(format!(
                "another agent works with {} ({} is locked); stop it, or give this one another state_dir",
                state_dir.display(),
                path.display()
            ))),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn file(&self, run_id: &str) -> PathBuf {
        // Run ids are hex; anything else is flattened so that no id can leave the folder.
        let safe: String = run_id.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        self.folder.join(format!("{safe}.json"))
    }

    /// Writes an entry whole or not at all, durably.
    pub fn write(&self, entry: &Entry) -> std::io::Result<()> {
        write_durably(&self.file(entry.order.run_id.as_str()), &serde_json::to_vec(entry)?)
    }

    pub fn remove(&self, run_id: &str) -> std::io::Result<()> {
        match std::fs::remove_file(self.file(run_id)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    /// All entries. One that cannot be read is set aside with a warning: it must not stop the agent.
    pub fn entries(&self) -> std::io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for item in std::fs::read_dir(&self.folder)? {
            let path = item?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            match serde_json::from_slice(&std::fs::read(&path)?) {
                Ok(entry) => entries.push(entry),
                Err(error) => {
                    tracing::warn!("journal entry {} is unreadable ({error}); set aside", path.display());
                    std::fs::rename(&path, path.with_extension("bad"))?;
                }
            }
        }
        Ok(entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use freezer_model::{Epoch, RunId};

    fn entry(run_id: &str) -> Entry {
        let order = RunAction {
            run_id: RunId::new(run_id),
            epoch: Epoch(3),
            job_id: "j".into(),
            project_id: "p".into(),
            client_id: "c".into(),
            action_index: 0,
            attempt: 1,
            freezer_action: serde_json::Map::new(),
            trust_id: None,
            request_id: None,
        };
        Entry { order, child: None, outcome: None }
    }

    #[test]
    fn remembers_across_openings_and_survives_rubbish() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(folder.path()).unwrap();
        journal.write(&entry("a1")).unwrap();
        journal.write(&entry("../../b2")).unwrap();
        std::fs::write(folder.path().join("steps/c3.json"), "{half").unwrap();
        let refused = Journal::open(folder.path()).err().unwrap().to_string();
        assert!(refused.contains("another agent works with"), "{refused}");
        drop(journal);
        let again = Journal::open(folder.path()).unwrap();
        let mut ids: Vec<_> =
            again.entries().unwrap().into_iter().map(|e| e.order.run_id.into_string()).collect();
        ids.sort();
        assert_eq!(ids, ["../../b2", "a1"]);
        again.remove("a1").unwrap();
        again.remove("a1").unwrap();
        assert_eq!(again.entries().unwrap().len(), 1);
    }
}
