//! A file system that stands still for a moment. A watchdog of its own freezes it and lets it go: when it is told to, when this
//! process is gone, and at the latest after some time.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// Signals are for the agent; a freeze that does not come to its end (a disk that does not answer) is undone, too. Status 137
/// of `timeout` says that it had to kill.
const WATCHDOG: &str = r#"
trap '' HUP INT TERM
timeout -s KILL "$2" fsfreeze --freeze "$1"; status=$?
if [ $status -eq 137 ]; then fsfreeze --unfreeze "$1"; fi
if [ $status -ne 0 ]; then exit 1; fi
echo frozen
timeout -s KILL "$2" cat >/dev/null; status=$?
fsfreeze --unfreeze "$1" || exit 2
if [ $status -eq 0 ]; then echo thawed; else echo late; fi
"#;
/// Beyond the time-outs of the watchdog itself.
const PATIENCE: Duration = Duration::from_secs(10);

pub struct Freeze {
    watchdog: Child,
    /// Its end lets the file system go.
    leash: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
    limit: Duration,
}

impl Freeze {
    /// Freezes what is mounted on `point`, for at most `seconds`.
    pub async fn start(point: &Path, seconds: u64) -> Result<Self, String> {
        let bad = |cause: String| format!("cannot freeze {}: {cause}", point.display());
        let mut watchdog = Command::new("/bin/sh")
            .args(["-c", WATCHDOG, "freezer-thaw"])
            .arg(point)
            .arg(seconds.to_string())
            // It outlives this process, whatever happens to that and to its group.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| bad(error.to_string()))?;
        let stdout = watchdog.stdout.take().ok_or_else(|| bad("the watchdog has no output".to_owned()))?;
        let (leash, lines) = (watchdog.stdin.take(), BufReader::new(stdout).lines());
        let limit = Duration::from_secs(seconds);
        let mut freeze = Self { watchdog, leash, lines, limit };
        match freeze.heard().await.as_deref() {
            Ok("frozen") => Ok(freeze),
            Ok(_) => {
                let said = freeze.complaint().await;
                Err(bad(if said.is_empty() { format!("it took longer than {seconds} s") } else { said }))
            }
            Err(cause) => Err(bad(cause.clone())),
        }
    }

    async fn heard(&mut self) -> Result<String, String> {
        match tokio::time::timeout(self.limit + PATIENCE, self.lines.next_line()).await {
            Ok(line) => Ok(line.ok().flatten().unwrap_or_default()),
            Err(_) => Err("the watchdog does not answer".to_owned()),
        }
    }

    async fn complaint(&mut self) -> String {
        let Some(stderr) = self.watchdog.stderr.take() else { return String::new() };
        let mut lines = BufReader::new(stderr).lines();
        let line = tokio::time::timeout(PATIENCE, lines.next_line()).await;
        line.ok().and_then(Result::ok).flatten().unwrap_or_default()
    }

    /// Lets it go. An error when that had happened before, so that what was done meanwhile is not of one moment.
    pub async fn thaw(mut self) -> Result<(), String> {
        drop(self.leash.take());
        match self.heard().await?.as_str() {
            "thawed" => Ok(()),
            "late" => Err(format!(
                "the file system stood still for {} s (fsfreeze_timeout) and was let go before the snapshot was there",
                self.limit.as_secs()
            )),
            _ => Err(format!("the watchdog of the freeze failed: {}", self.complaint().await)),
        }
    }
}
