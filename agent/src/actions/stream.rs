//! Mode stream: what a command prints is saved as it comes, without a copy on disk. A command that fails, or is ended, leaves no
//! backup behind.

use super::ActionError;
use super::commands;
use crate::options::typed::ActionOptions;
use freezer_vault::Monitor;
use freezer_vault::backup::{Feed, Members, Owner, TarError};
use rustix::process::{Pid, Signal, kill_process_group};
use std::fmt;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Folder of the archive that holds the stream's parts: `cat stream/*` is the stream again.
const FOLDER: &str = "stream";
/// What of a command's complaints is told.
const COMPLAINT_BYTES: u64 = 2000;

pub fn feed(
    options: &ActionOptions,
    now_secs: i64,
    monitor: &Arc<Monitor>,
) -> Result<Arc<dyn Feed>, ActionError> {
    let Some(line) = &options.stream_command else { return Ok(Arc::new(StandardInput { now_secs })) };
    let stages = commands::stages(line, options.exec_shell)
        .map_err(|cause| ActionError::Failed(format!("stream_command: {cause}")))?;
    Ok(Arc::new(CommandStream {
        stages,
        now_secs,
        limit: options.stream_timeout_secs.map(Duration::from_secs),
        token: monitor.token().clone(),
        runtime: tokio::runtime::Handle::current(),
    }))
}

#[derive(Debug)]
struct StandardInput {
    now_secs: i64,
}

impl Feed for StandardInput {
    fn give(&self, members: &mut Members<'_>) -> Result<(), TarError> {
        save(members, self.now_secs, &mut std::io::stdin().lock())
    }
}

fn save(members: &mut Members<'_>, now_secs: i64, input: &mut dyn Read) -> Result<(), TarError> {
    match members.stream(FOLDER, Owner::private(now_secs), input)? {
        Ok(_) => Ok(()),
        Err(error) => Err(TarError::Stream(error.to_string())),
    }
}

struct CommandStream {
    stages: Vec<Vec<String>>,
    now_secs: i64,
    limit: Option<Duration>,
    token: CancellationToken,
    runtime: tokio::runtime::Handle,
}

impl fmt::Debug for CommandStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A command may hold a password.
        f.debug_struct("CommandStream").finish_non_exhaustive()
    }
}

impl Feed for CommandStream {
    fn give(&self, members: &mut Members<'_>) -> Result<(), TarError> {
        let mut running = Running::start(&self.stages).map_err(TarError::Stream)?;
        // A command that says nothing is not waited for longer than anybody wants it.
        let (group, limit, token) = (running.group, self.limit, self.token.clone());
        let watching = self.runtime.spawn(async move {
            let forever = Duration::from_secs(u64::MAX / 4);
            let is_late = tokio::select! {
                () = token.cancelled() => false,
                () = tokio::time::sleep(limit.unwrap_or(forever)) => true,
            };
            kill(group);
            is_late
        });
        let saved = match running.output.take() {
            Some(mut output) => save(members, self.now_secs, &mut output),
            None => Ok(()),
        };
        let ended = saved.and_then(|()| running.end().map_err(TarError::Stream));
        watching.abort();
        let is_late = self.runtime.block_on(watching).unwrap_or(false);
        match ended {
            Err(_) if self.token.is_cancelled() => Err(TarError::Cancelled),
            Err(TarError::Stream(_)) if is_late => {
                let secs = self.limit.unwrap_or_default().as_secs();
                Err(TarError::Stream(format!("it did not end within {secs} s and was killed")))
            }
            other => other,
        }
    }
}

fn kill(group: Option<Pid>) {
    if let Some(group) = group {
        let _ = kill_process_group(group, Signal::KILL);
    }
}

/// The stages of a pipe, in a process group of their own.
struct Running {
    children: Vec<(String, Child, Option<JoinHandle<String>>)>,
    group: Option<Pid>,
    output: Option<std::process::ChildStdout>,
}

impl Running {
    fn start(stages: &[Vec<String>]) -> Result<Self, String> {
        let mut running = Self { children: Vec::new(), group: None, output: None };
        for words in stages {
            let Some((program, arguments)) = words.split_first() else { continue };
            let stdin = running.output.take().map_or_else(Stdio::null, Stdio::from);
            let mut child = Command::new(program)
                .args(arguments)
                .stdin(stdin)
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .process_group(running.group.map_or(0, |group| group.as_raw_nonzero().get()))
                .spawn()
                .map_err(|error| format!("cannot start '{program}': {error}"))?;
            running.output = child.stdout.take();
            let complaints = child.stderr.take().map(listen);
            if running.group.is_none() {
                running.group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
            }
            running.children.push((program.clone(), child, complaints));
        }
        Ok(running)
    }

    /// The first stage that failed decides.
    fn end(&mut self) -> Result<(), String> {
        let mut trouble = None;
        for (program, child, complaints) in &mut self.children {
            let status = child.wait().map_err(|error| format!("waiting for '{program}': {error}"))?;
            let said = complaints.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
            if !status.success() {
                trouble.get_or_insert(format!("'{program}' ended with {status}: {said}"));
            }
        }
        trouble.map_or(Ok(()), Err)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let is_running = |child: &mut Child| matches!(child.try_wait(), Ok(None));
        if self.children.iter_mut().any(|(_, child, _)| is_running(child)) {
            kill(self.group);
        }
        for (_, child, _) in &mut self.children {
            let _ = child.wait();
        }
    }
}

fn listen(mut stderr: ChildStderr) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut said = Vec::new();
        let _ = (&mut stderr).take(COMPLAINT_BYTES).read_to_end(&mut said);
        let _ = std::io::copy(&mut stderr, &mut std::io::sink());
        String::from_utf8_lossy(&said).trim().to_owned()
    })
}
