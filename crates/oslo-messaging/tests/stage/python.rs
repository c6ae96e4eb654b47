//! A real oslo.messaging peer: the newest release from a virtual environment, or the system's own.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Python {
    /// The newest oslo.messaging, from PyPI.
    Newest,
    /// Debian's python3-oslo.messaging.
    System,
}

impl Python {
    fn interpreter(self) -> PathBuf {
        match self {
            Python::System => PathBuf::from("/usr/bin/python3"),
            Python::Newest => newest(),
        }
    }

    fn command(self) -> Command {
        let mut command = Command::new(self.interpreter());
        if self == Python::System {
            command.env("PATH", "/usr/bin:/bin").env_remove("PYTHONPATH").env_remove("PYTHONHOME");
        }
        command.arg("-W").arg("ignore").arg(scripts().join("oslo_peer.py")).kill_on_drop(true);
        command.env("PYTHONDONTWRITEBYTECODE", "1").stdout(Stdio::piped()).stderr(Stdio::inherit());
        command
    }

    /// Runs one command to its end and returns the lines it printed.
    pub async fn run(self, args: &[&str]) -> Vec<Value> {
        let output = super::in_time("a Python peer", self.command().args(args).output()).await;
        let output = output.unwrap_or_else(|error| panic!("{self:?} Python cannot be run: {error}"));
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Starts a server, listener or batch and waits until it is ready.
    pub async fn start(self, args: &[&str]) -> Peer {
        let child = self.command().args(args).stdin(Stdio::piped()).spawn();
        let mut child = child.unwrap_or_else(|error| panic!("{self:?} Python cannot be run: {error}"));
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (sender, events) = mpsc::unbounded_channel();
        // Read all the time: a peer whose output is not taken stands still.
        tokio::spawn(async move {
            while let Some(line) = lines.next_line().await.unwrap() {
                let _ = sender.send(serde_json::from_str(&line).unwrap());
            }
        });
        let stdin = child.stdin.take().unwrap();
        let mut peer = Peer { child, events, stdin, settled: Vec::new() };
        peer.event("ready").await;
        peer
    }
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python")
}

fn newest() -> PathBuf {
    let place = std::env::var_os("FREEZER_TEST_VENV")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/test-venv"), PathBuf::from);
    let output = std::process::Command::new(scripts().join("make-venv")).arg(place).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the virtual environment for the Python peer cannot be made: {errors}");
    PathBuf::from(String::from_utf8(output.stdout).unwrap().lines().last().unwrap())
}

/// A running peer.
pub struct Peer {
    child: Child,
    events: mpsc::UnboundedReceiver<Value>,
    stdin: ChildStdin,
    /// Events that came before the one waited for.
    settled: Vec<Value>,
}

impl Peer {
    /// The next event of this kind.
    pub async fn event(&mut self, kind: &str) -> Value {
        if let Some(at) = self.settled.iter().position(|event| event["event"] == kind) {
            return self.settled.remove(at);
        }
        loop {
            let event = super::in_time(&format!("event {kind} of the Python peer"), self.events.recv()).await;
            let Some(event) = event else { panic!("the Python peer ended without {kind}") };
            if event["event"] == kind {
                return event;
            }
            self.settled.push(event);
        }
    }

    /// One command of a batch and its result.
    pub async fn ask(&mut self, command: Value) -> Value {
        self.tell(command).await;
        self.event("result").await
    }

    pub async fn tell(&mut self, command: Value) {
        self.stdin.write_all(format!("{command}\n").as_bytes()).await.unwrap();
        self.stdin.flush().await.unwrap();
    }

    /// Ends it by SIGTERM and waits.
    pub async fn stop(mut self) {
        let id = self.child.id().unwrap().to_string();
        Command::new("kill").arg(id).status().await.unwrap();
        super::in_time("the end of the Python peer", self.child.wait()).await.unwrap();
    }
}
