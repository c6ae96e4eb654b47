//! What is remembered of a job from one start to the next: one file a job, beside the journal, readable by its owner only.
//!
//! It stays when the job's file is gone: a folder that was not mounted for once must not make jobs run a second time.

use crate::daemon::journal::write_durably;
use freezer_model::{JobId, Run, Timestamp};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Words are those of the REST API; times are epoch seconds, -1 = never.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// Of the plan that the file had; see [`freezer_model::Job::plan_version`].
    pub version: i64,
    /// The event that the file had, once it was obeyed.
    pub obeyed: Option<String>,
    pub planned_version: Option<i64>,
    pub next_run_at: Option<Timestamp>,
    pub status: String,
    pub result: String,
    pub time_started: i64,
    pub time_ended: i64,
    /// The run that goes on, without results and logs of its steps.
    pub run: Option<Run>,
}

pub struct States {
    folder: PathBuf,
}

impl States {
    /// Opens (and makes) the folder.
    pub fn open(state_dir: &Path) -> std::io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        let folder = state_dir.join("jobs");
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        Ok(Self { folder })
    }

    /// Ids of job files are made of characters that cannot lead out of the folder.
    fn file(&self, job: &JobId) -> PathBuf {
        self.folder.join(format!("{job}.json"))
    }

    /// What is known of a job. An unreadable file is an error: without it a job could run twice.
    pub fn read(&self, job: &JobId) -> Result<Option<Record>, String> {
        let file = self.file(job);
        let failed = |cause: String| {
            format!("its state {} cannot be read ({cause}); remove that file to begin anew", file.display())
        };
        match std::fs::read(&file) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| failed(error.to_string())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(error.to_string())),
        }
    }

    pub fn write(&self, job: &JobId, record: &Record) -> std::io::Result<()> {
        write_durably(&self.file(job), &serde_json::to_vec(record)?)
    }
}
