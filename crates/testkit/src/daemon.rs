//! A program of this project as a process: started, killed, started again, never left behind.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// A program of the workspace, built beside the tests (`make nextest` builds them first).
pub fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the test's own path");
    // target/PROFILE/deps/test-… → target/PROFILE/name
    let folder = test.parent().and_then(Path::parent).expect("a folder above the test");
    let path = folder.join(name);
    assert!(path.exists(), "{} is not built: cargo build --workspace --all-features", path.display());
    path
}

pub struct Daemon {
    name: String,
    path: PathBuf,
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
    log: PathBuf,
    child: Option<Child>,
}

impl Daemon {
    /// `log` collects standard output and error of all its lives.
    pub fn new(name: &str, path: PathBuf, arguments: &[&str], log: PathBuf) -> Self {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        Self { name: name.to_owned(), path, arguments, variables: Vec::new(), log, child: None }
    }

    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn start(&mut self) -> &mut Self {
        self.kill();
        let log = File::options().create(true).append(true).open(&self.log).expect("the daemon's log");
        let child = Command::new(&self.path)
            .args(&self.arguments)
            .envs(self.variables.iter().cloned())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("the daemon's log"))
            .stderr(log)
            .spawn();
        self.child = Some(child.unwrap_or_else(|error| panic!("{}: {error}", self.path.display())));
        self
    }

    /// SIGKILL, and the end awaited.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// SIGTERM; answers how it ended, or kills it after `patience`.
    pub fn stop(&mut self, patience: Duration) -> Option<ExitStatus> {
        self.child.as_ref()?;
        self.signal(rustix::process::Signal::TERM);
        let mut child = self.child.take()?;
        let end = Instant::now() + patience;
        while Instant::now() < end {
            if let Ok(Some(status)) = child.try_wait() {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = child.kill();
        let _ = child.wait();
        None
    }

    /// SIGSTOP: it holds still where it is.
    pub fn pause(&self) {
        self.signal(rustix::process::Signal::STOP);
    }

    /// SIGCONT: it goes on.
    pub fn resume(&self) {
        self.signal(rustix::process::Signal::CONT);
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = self.pid().and_then(|pid| i32::try_from(pid).ok()).and_then(rustix::process::Pid::from_raw);
        let _ = rustix::process::kill_process(pid.expect("a process that runs"), signal);
    }

    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    pub fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The end of its log, for the message of a failed test.
    pub fn last_words(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().rev().take(40).collect();
        format!("--- {} said last:\n{}", self.name, lines.into_iter().rev().collect::<Vec<_>>().join("\n"))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("{}", self.last_words());
        }
    }
}
