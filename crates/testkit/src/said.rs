//! What a program said that was run to its end.

use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// What a program said, and its exit code; `None` when a signal ended it.
pub struct Said {
    pub status: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Said {
    pub async fn by(command: Command) -> Self {
        let output = tokio::process::Command::from(command).output().await.expect("a program");
        Self {
            status: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// What the agent says of an action on the backup `db` of host `h` in the folder `store`; of its environment it sees `around` alone.
    pub async fn by_agent(mode: &str, store: &Path, around: &[(&str, &str)], arguments: &[&str]) -> Self {
        let mut command = Command::new(crate::program("freezer-agent"));
        command.env_clear().env("PATH", "/usr/bin:/bin").envs(around.iter().copied());
        command.args(["--storage", "local", "--hostname", "h", "--backup-name", "db", "--mode", mode]);
        command.arg("--container").arg(store).args(["--metadata-out", "-"]).args(arguments);
        Self::by(command).await
    }

    /// The JSON of `--metadata-out -` of an action that succeeded.
    #[track_caller]
    pub fn document(&self) -> Value {
        self.document_of(0)
    }

    #[track_caller]
    pub fn document_of(&self, status: i32) -> Value {
        assert_eq!(self.status, Some(status), "{}\n{}", self.out, self.err);
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }

    /// Its last words name these.
    #[track_caller]
    pub fn fails_with(&self, words: &[&str]) {
        assert_eq!(self.status, Some(1), "{}\n{}", self.out, self.err);
        let said = self.err.lines().last().unwrap_or_default();
        for word in words {
            assert!(said.contains(word), "'{word}' is not in the last line of: {}", self.err);
        }
    }
}
