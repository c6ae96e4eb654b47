//! What is asked of a MariaDB server, with its own programs. The login goes to them as a file in memory.

use super::places::{is_log, number};
use crate::databases::program::{Ending, Program};
use crate::databases::scratch::Scratch;
use crate::openstack::control_plane::DatabaseConf;
use std::process::Command;

#[derive(Clone)]
pub(super) struct Server {
    pub conf: DatabaseConf,
    pub ending: Ending,
}

/// A binary log of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Log {
    pub file: String,
    pub bytes: u64,
}

impl Server {
    fn command(program: &str) -> Command {
        let mut command = Command::new(program);
        // Nothing of the host's own option files, which may lead elsewhere.
        command.arg("--defaults-file=/dev/stdin").env("LC_ALL", "C").env("TZ", "UTC");
        command
    }

    fn start(&self, command: Command) -> Result<Program, String> {
        Program::start(command, Some(self.conf.option_file().as_bytes()), &self.ending)
    }

    fn ask(&self, statements: &str) -> Result<String, String> {
        let mut command = Self::command(&self.conf.client_program);
        command.args(["--batch", "--skip-column-names", "-e", statements]);
        Program::answer(command, Some(self.conf.option_file().as_bytes()), &self.ending)
    }

    /// What tells this server from others.
    pub fn identity(&self) -> Result<String, String> {
        let answer =
            self.ask("SELECT @@log_bin, CONCAT_WS(':', @@hostname, @@port, @@datadir, @@server_id)")?;
        match answer.trim().split_once('\t') {
            Some(("1", identity)) => Ok(identity.to_owned()),
            _ => Err("the server keeps no binary log: set log_bin there, or take whole backups (incremental=false)".to_owned()),
        }
    }

    pub fn has_log(&self) -> Result<bool, String> {
        Ok(self.ask("SELECT @@log_bin")?.trim() == "1")
    }

    /// Its binary logs, oldest first.
    pub fn logs(&self) -> Result<Vec<Log>, String> {
        let answer = self.ask("SHOW BINARY LOGS")?;
        let log = |line: &str| {
            let mut fields = line.split('\t');
            let (file, bytes) = (fields.next()?.to_owned(), fields.next()?.trim().parse().ok()?);
            is_log(&file).then_some(Log { file, bytes })
        };
        let logs = answer.lines().map(log).collect::<Option<Vec<Log>>>();
        let mut logs = logs.ok_or_else(|| format!("SHOW BINARY LOGS answers '{}'", answer.trim()))?;
        logs.sort_by_key(|log| number(&log.file));
        Ok(logs)
    }

    /// Ends the current log, and answers all.
    pub fn end_log(&self) -> Result<Vec<Log>, String> {
        self.ask("FLUSH BINARY LOGS")?;
        self.logs()
    }

    /// The transactions that lie before a log: another log of the same name has others.
    pub fn before(&self, file: &str) -> Result<String, String> {
        let answer = self.ask(&format!("SHOW BINLOG EVENTS IN '{file}' LIMIT 3"))?;
        let list = answer.lines().find(|line| line.split('\t').nth(2) == Some("Gtid_list"));
        let list = list.and_then(|line| line.split('\t').nth(5)).map(str::to_owned);
        list.ok_or_else(|| format!("{file} does not say which transactions lie before it"))
    }

    /// Starts to read a log as it is.
    pub fn read_log(&self, file: &str) -> Result<(Program, Scratch), String> {
        let fail = |error: std::io::Error| format!("a temporary folder: {error}");
        let scratch = Scratch::new().map_err(fail)?;
        // The program makes a file by the log's name: that is its standard output.
        std::os::unix::fs::symlink("/dev/stdout", scratch.path().join(file)).map_err(fail)?;
        let mut command = Self::command(&self.conf.binlog_program);
        command.args(["--read-from-remote-server", "--raw"]);
        command.arg(format!("--result-file={}/", scratch.path().display())).arg(file);
        Ok((self.start(command)?, scratch))
    }

    /// Starts a physical backup.
    pub fn base(&self) -> Result<(Program, Scratch), String> {
        let scratch = Scratch::new().map_err(|error| format!("a temporary folder: {error}"))?;
        let mut command = Self::command(&self.conf.backup_program);
        command.args(["--backup", "--stream=mbstream"]);
        command.arg(format!("--target-dir={}", scratch.path().display()));
        Ok((self.start(command)?, scratch))
    }
}
