//! A snapshot by commands of the operator: of storage that this agent knows nothing of. The file system can be frozen for the
//! moment that the first of them takes.

use super::Place;
use super::freeze::Freeze;
use super::host::{Call, Host, LONG, succeed};
use super::mounts;
use super::record::Record;
use crate::actions::commands;
use crate::options::snapshot::SnapshotCommands;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    pub name: String,
    /// What is saved, and the mount point that it lies on.
    pub path: PathBuf,
    pub source: PathBuf,
    /// Where the snapshot is to be mounted.
    pub folder: PathBuf,
    take: Vec<Vec<String>>,
    mount: Option<Vec<Vec<String>>>,
    remove: Vec<Vec<String>>,
    freeze_secs: Option<u64>,
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A command may hold a password.
        f.debug_struct("Snapshot").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Snapshot {
    pub fn plan(
        options: &SnapshotCommands,
        place: &Place,
        name: &str,
        folder: PathBuf,
    ) -> Result<Self, String> {
        let stages = |key: &str, line: &str| {
            commands::stages(line, options.in_shell).map_err(|cause| format!("{key}: {cause}"))
        };
        Ok(Self {
            name: name.to_owned(),
            path: place.path.clone(),
            source: place.mount.point.clone(),
            folder,
            take: stages("snapshot_command", &options.take)?,
            mount: options.mount.as_ref().map(|line| stages("snapshot_mount_command", line)).transpose()?,
            remove: stages("snapshot_remove_command", &options.remove)?,
            freeze_secs: options.freeze_secs,
        })
    }

    fn call(&self, stages: &[Vec<String>], limit: Duration) -> Call {
        let text = |path: &PathBuf| path.to_string_lossy().into_owned();
        let variables = vec![
            ("FREEZER_SNAPSHOT", self.name.clone()),
            ("FREEZER_SNAPSHOT_DIR", text(&self.folder)),
            ("FREEZER_SOURCE", text(&self.source)),
            ("FREEZER_PATH", text(&self.path)),
        ];
        Call { stages: stages.to_vec(), variables, limit }
    }

    pub async fn make(&self, host: &dyn Host, record: &Record) -> Result<(), String> {
        let made = std::fs::DirBuilder::new().create(&self.folder);
        made.map_err(|error| format!("{}: {error}", self.folder.display()))?;
        let said = |key: &'static str| move |cause: String| format!("{key}: {cause}");
        match self.freeze_secs {
            Some(seconds) => self.take_frozen(host, record, seconds).await?,
            None => succeed(host, self.call(&self.take, LONG))
                .await
                .map(|_| ())
                .map_err(said("snapshot_command"))?,
        }
        if let Some(mount) = &self.mount {
            succeed(host, self.call(mount, LONG)).await.map_err(said("snapshot_mount_command"))?;
        }
        if mounts::all(host)?.iter().any(|mount| mount.point == self.folder) {
            return Ok(());
        }
        let key = if self.mount.is_some() { "snapshot_mount_command" } else { "snapshot_command" };
        Err(format!("{key} has mounted nothing on FREEZER_SNAPSHOT_DIR ({})", self.folder.display()))
    }

    /// Nothing is logged in between: the log may be on what stands still.
    async fn take_frozen(&self, host: &dyn Host, record: &Record, seconds: u64) -> Result<(), String> {
        record.note_frozen()?;
        let freeze = match Freeze::start(&self.source, seconds).await {
            Ok(freeze) => freeze,
            Err(cause) => {
                record.forget_frozen();
                return Err(cause);
            }
        };
        let taken = succeed(host, self.call(&self.take, Duration::from_secs(seconds))).await;
        let thawed = freeze.thaw().await;
        // A watchdog that was killed may have let nothing go.
        if thawed.is_err() {
            self.unfreeze(host).await;
        }
        record.forget_frozen();
        taken.map_err(|cause| format!("snapshot_command: {cause}"))?;
        thawed
    }

    /// Of what is not frozen it does no harm.
    async fn unfreeze(&self, host: &dyn Host) {
        let point = self.source.display().to_string();
        let _ = host.run(Call::of(&["fsfreeze", "--unfreeze", &point])).await;
    }

    pub async fn remove(&self, host: &dyn Host, record: &Record) -> Result<(), String> {
        if record.is_frozen() {
            self.unfreeze(host).await;
            record.forget_frozen();
        }
        let removed = succeed(host, self.call(&self.remove, LONG)).await;
        removed.map_err(|cause| format!("snapshot_remove_command: {cause}"))?;
        if mounts::all(host)?.iter().any(|mount| mount.point == self.folder) {
            return Err("snapshot_remove_command has left it mounted".to_owned());
        }
        let _ = std::fs::remove_dir(&self.folder);
        Ok(())
    }
}
