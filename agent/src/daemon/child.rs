//! One step as one child process: start it, listen to it, end it.

use crate::step::{EXIT_PARTIAL, StepInput, StepLine};
use freezer_model::{RateLimits, StepOutcome};
use serde_json::{Map, Value};
use std::ffi::OsString;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// How long a child may take to clean up after SIGTERM before it is killed. Hooks of its action count on that.
const GRACE: Duration = Duration::from_secs(25);

pub struct StepChild {
    child: Child,
    /// Held open: its end tells the child that the daemon is gone.
    leash: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
    pub pid: i32,
    pub start_ticks: u64,
}

/// What the child said at its end.
#[derive(Debug, Default)]
pub struct LastWords {
    pub result: Map<String, Value>,
    pub error: Option<String>,
}

/// What the child said last, and how it ended.
#[derive(Debug)]
pub struct Ended {
    pub outcome: StepOutcome,
    pub exit_code: Option<i32>,
    pub error: Option<String>,
    pub result: Map<String, Value>,
}

impl StepChild {
    /// Starts `program` (its first element, the others are arguments) in a process group of its own and
    /// hands it the step.
    pub async fn start(program: &[OsString], input: &StepInput) -> std::io::Result<Self> {
        let (first, rest) =
            program.split_first().ok_or_else(|| std::io::Error::other("no program for steps"))?;
        let mut child = Command::new(first)
            .args(rest)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let pid = child
            .id()
            .and_then(|pid| i32::try_from(pid).ok())
            .ok_or_else(|| std::io::Error::other("the step ended at once"))?;
        let stdout = child.stdout.take().ok_or_else(|| std::io::Error::other("the step has no output"))?;
        let mut leash = child.stdin.take();
        if let Some(stdin) = leash.as_mut() {
            let mut line = serde_json::to_vec(input)?;
            line.push(b'\n');
            // A child that died at once is seen at its exit, with its own message.
            let _ = stdin.write_all(&line).await;
            let _ = stdin.flush().await;
        }
        Ok(Self {
            child,
            leash,
            lines: BufReader::new(stdout).lines(),
            pid,
            start_ticks: start_ticks(pid).unwrap_or(0),
        })
    }

    /// The next line of the child, `None` at the end of its output. Lines that are not of the protocol
    /// are logged and passed over.
    pub async fn next(&mut self) -> Option<StepLine> {
        loop {
            match self.lines.next_line().await {
                Ok(Some(line)) => match serde_json::from_str(&line) {
                    Ok(known) => return Some(known),
                    Err(_) => {
                        tracing::warn!("the step printed: {}", line.chars().take(500).collect::<String>())
                    }
                },
                Ok(None) => return None,
                Err(error) => {
                    tracing::warn!("reading from the step: {error}");
                    return None;
                }
            }
        }
    }

    /// Tells the child how fast it may go from now on.
    pub async fn limit(&mut self, limits: &RateLimits) {
        if let (Some(stdin), Ok(mut line)) = (self.leash.as_mut(), serde_json::to_vec(limits)) {
            line.push(b'\n');
            // A child that has just ended needs no limit.
            let _ = stdin.write_all(&line).await;
            let _ = stdin.flush().await;
        }
    }

    /// Asks the child's whole group to end; kills it if it does not within the grace time.
    pub fn terminate(&mut self) {
        signal_group(self.pid, rustix::process::Signal::TERM);
    }

    /// Waits for the end of the child.
    pub async fn wait(mut self, last: LastWords, aborted: bool) -> Ended {
        let status = if aborted {
            match tokio::time::timeout(GRACE, self.child.wait()).await {
                Ok(status) => status,
                Err(_) => {
                    signal_group(self.pid, rustix::process::Signal::KILL);
                    self.child.wait().await
                }
            }
        } else {
            self.child.wait().await
        };
        drop(self.leash.take());
        // What the child itself started must not outlive the step.
        signal_group(self.pid, rustix::process::Signal::KILL);
        ended(status, last, aborted)
    }
}

fn ended(status: std::io::Result<std::process::ExitStatus>, last: LastWords, aborted: bool) -> Ended {
    use std::os::unix::process::ExitStatusExt;
    let LastWords { result, error: said } = last;
    let status = match status {
        Ok(status) => status,
        Err(error) => {
            let error = Some(format!("waiting for the step: {error}"));
            return Ended { outcome: StepOutcome::Fail, exit_code: None, error, result };
        }
    };
    let (outcome, error) = match (status.code(), said) {
        (Some(0), None) => (StepOutcome::Success, None),
        (Some(EXIT_PARTIAL), None) => (StepOutcome::Partial, None),
        (_, _) if aborted => (StepOutcome::Aborted, Some("aborted on request".to_owned())),
        (_, Some(error)) => (StepOutcome::Fail, Some(error)),
        (Some(code), None) => {
            (StepOutcome::Fail, Some(format!("the step ended with status {code}; see the agent's log")))
        }
        (None, None) => {
            let signal = status.signal().unwrap_or(0);
            (
                StepOutcome::Fail,
                Some(format!("the step was killed by signal {signal} (out of memory, or by hand)")),
            )
        }
    };
    Ended { outcome, exit_code: status.code(), error, result }
}

fn signal_group(pid: i32, signal: rustix::process::Signal) {
    if let Some(group) = rustix::process::Pid::from_raw(pid) {
        let _ = rustix::process::kill_process_group(group, signal);
    }
}

/// Start time of a live process in clock ticks since boot: with the id it names one process for good.
pub fn start_ticks(pid: i32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command's name may hold blanks and parentheses; fields count from behind its last one.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    if state == "Z" || state == "X" {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

/// Ends a child of a former daemon, if it is still there: its group is killed and its end awaited.
pub async fn end_leftover(pid: i32, ticks: u64) {
    while start_ticks(pid) == Some(ticks) && ticks != 0 {
        signal_group(pid, rustix::process::Signal::KILL);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
