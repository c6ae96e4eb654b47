//! What snapshots ask of the host: its programs, and its table of mounts. Behind a trait, so that what a machine cannot do
//! is tested against a record of what it would answer.

use crate::actions::commands::{self, Ending, Group};
use async_trait::async_trait;
use std::fs::File;
use std::process::Stdio;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// LVM must never be killed while it holds a file system still: only what hangs for good runs into this.
pub const LONG: Duration = Duration::from_secs(600);
const TABLE: &str = "/proc/self/mountinfo";

/// One program to run.
pub struct Call {
    pub stages: Vec<Vec<String>>,
    pub variables: Vec<(&'static str, String)>,
    pub limit: Duration,
}

impl Call {
    pub fn of(words: &[&str]) -> Self {
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        Self { stages: vec![words], variables: Vec::new(), limit: LONG }
    }

    fn program(&self) -> &str {
        self.stages.first().and_then(|words| words.first()).map_or("", String::as_str)
    }
}

#[async_trait]
pub trait Host: Send + Sync {
    /// Runs to the end or to the limit; nobody breaks it off. An error is the cause why it could not run at all.
    async fn run(&self, call: Call) -> Result<Ending, String>;

    /// As `/proc/self/mountinfo`.
    fn mount_table(&self) -> Result<Vec<u8>, String>;
}

/// Runs it, and answers what it printed if it succeeded.
pub async fn succeed(host: &dyn Host, call: Call) -> Result<String, String> {
    let (program, limit) = (call.program().to_owned(), call.limit);
    let ending = host.run(call).await?;
    if ending.is_success() { Ok(ending.stdout) } else { Err(ending.trouble(&program, Some(limit))) }
}

/// The machine itself.
pub struct Machine {
    /// Open in every program that runs: as long as one does, the lock on it holds.
    pub lock: File,
}

#[async_trait]
impl Host for Machine {
    async fn run(&self, call: Call) -> Result<Ending, String> {
        let lock =
            self.lock.try_clone().map_err(|error| format!("keeping the lock of a snapshot: {error}"))?;
        // Of their own group, as the daemon kills the group of a step: a program in the middle of its work is not broken off.
        let until = (Group::Own, &CancellationToken::new());
        commands::run_with(Stdio::from(lock), &call.stages, &call.variables, Some(call.limit), until)
            .await
            .map_err(|error| error.to_string())
    }

    fn mount_table(&self) -> Result<Vec<u8>, String> {
        std::fs::read(TABLE).map_err(|error| format!("{TABLE}: {error}"))
    }
}
