//! A database's own program: started without a shell and without the login in its arguments, read as it prints, and ended with
//! the action.

use freezer_vault::Monitor;
use rustix::fs::{MemfdFlags, Mode, fchmod, memfd_create};
use rustix::process::{Pid, Signal, kill_process_group};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio_util::sync::CancellationToken;

/// What of a program's complaints is told: their end, where the cause is.
const COMPLAINT_BYTES: usize = 2000;
/// Kept of them, for those who look for something in them.
const KEPT_BYTES: usize = 64 << 10;
/// Longest answer that is taken into memory.
const MOST_ANSWER_BYTES: u64 = 64 << 20;

/// When programs are to end.
#[derive(Clone)]
pub(super) struct Ending {
    token: CancellationToken,
    runtime: tokio::runtime::Handle,
}

impl Ending {
    /// To be made where tokio runs; used in any thread.
    pub(super) fn with(monitor: &Arc<Monitor>) -> Self {
        Self { token: monitor.token().clone(), runtime: tokio::runtime::Handle::current() }
    }

    pub(super) fn is_due(&self) -> bool {
        self.token.is_cancelled()
    }
}

/// A program that runs. Read it to its end, then [`Program::end`]; dropped before, it is killed.
pub(super) struct Program {
    name: String,
    child: Child,
    output: Option<ChildStdout>,
    complaints: Option<JoinHandle<String>>,
    watch: tokio::task::JoinHandle<()>,
}

impl Program {
    /// `input` is what it finds on standard input, as a file: some read it more than once.
    pub(super) fn start(mut command: Command, input: Option<&[u8]>, ending: &Ending) -> Result<Self, String> {
        let stdin = match input {
            Some(input) => in_memory(input).map_err(|error| format!("a file in memory: {error}"))?,
            None => Stdio::null(),
        };
        command.stdin(stdin).stdout(Stdio::piped());
        Self::spawn(command, ending)
    }

    /// One that is fed, and whose answer nobody wants.
    pub(super) fn start_fed(mut command: Command, ending: &Ending) -> Result<(Self, ChildStdin), String> {
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        let mut program = Self::spawn(command, ending)?;
        let stdin = program.child.stdin.take().ok_or("no input")?;
        Ok((program, stdin))
    }

    fn spawn(mut command: Command, ending: &Ending) -> Result<Self, String> {
        let path = command.get_program().to_string_lossy().into_owned();
        let name = path.rsplit('/').next().unwrap_or_default().to_owned();
        command.stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().map_err(|error| format!("cannot start {path}: {error}"))?;
        let (output, complaints) = (child.stdout.take(), child.stderr.take().map(listen));
        let (group, token) = (group(&child), ending.token.clone());
        let watch = ending.runtime.spawn(async move {
            token.cancelled().await;
            kill(group);
        });
        Ok(Self { name, child, output, complaints, watch })
    }

    /// All that it prints.
    pub(super) fn answer(command: Command, input: Option<&[u8]>, ending: &Ending) -> Result<String, String> {
        let mut program = Self::start(command, input, ending)?;
        let mut text = String::new();
        let read = (&mut program).take(MOST_ANSWER_BYTES).read_to_string(&mut text);
        let name = program.name.clone();
        program.end()?;
        read.map_err(|error| format!("{name}: {error}"))?;
        Ok(text)
    }

    pub(super) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Whether it ended well; what it has still to print is not wanted any more.
    pub(super) fn end(self) -> Result<(), String> {
        self.end_saying().map(drop)
    }

    /// The same; answers the end of what it said beside its output.
    pub(super) fn end_saying(mut self) -> Result<String, String> {
        drop(self.output.take());
        let status = self.child.wait().map_err(|error| format!("waiting for {}: {error}", self.name))?;
        let said = self.complaints.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        if status.success() {
            return Ok(said);
        }
        // One line, as messages are.
        let said = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ");
        let start = said.len().saturating_sub(COMPLAINT_BYTES);
        let end = (start..said.len()).find_map(|at| said.get(at..)).unwrap_or_default();
        Err(format!("{} ended with {status}: {end}", self.name))
    }
}

impl Read for Program {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.output {
            Some(output) => output.read(buffer),
            None => Ok(0),
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if self.is_running() {
            kill(group(&self.child));
            let _ = self.child.wait();
        }
        self.watch.abort();
    }
}

fn in_memory(body: &[u8]) -> io::Result<Stdio> {
    let mut file = File::from(memfd_create("input", MemfdFlags::CLOEXEC)?);
    // MariaDB's programs do not believe a file that others could have written.
    fchmod(&file, Mode::RUSR | Mode::WUSR)?;
    file.write_all(body)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(Stdio::from(file))
}

fn group(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw)
}

fn kill(group: Option<Pid>) {
    if let Some(group) = group {
        let _ = kill_process_group(group, Signal::KILL);
    }
}

fn listen(mut stderr: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let (mut said, mut buffer) = (Vec::new(), [0; 4096]);
        while let Ok(count @ 1..) = stderr.read(&mut buffer) {
            said.extend_from_slice(buffer.get(..count).unwrap_or_default());
            let surplus = said.len().saturating_sub(KEPT_BYTES);
            said.drain(..surplus);
        }
        String::from_utf8_lossy(&said).trim().to_owned()
    })
}
