//! Databases of MariaDB or MySQL as streams: a consistent transaction for each, or one for all of them, with the position of the
//! binary log at its start. The server's own programs are used; their login goes to them through a pipe, never in arguments or on disk.

use super::conf::DatabaseConf;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::JoinHandle;

const SERVERS_OWN: [&str; 4] = ["information_schema", "performance_schema", "mysql", "sys"];
/// What of a program's complaints is told.
const COMPLAINT_BYTES: u64 = 2000;
/// Where the position stands in a dump: near its start.
const HEAD_BYTES: usize = 64 << 10;

/// A dump that runs; read it to its end, then [`Dump::end`].
pub struct Dump {
    child: Child,
    output: ChildStdout,
    complaints: Option<JoinHandle<String>>,
    head: Vec<u8>,
}

impl DatabaseConf {
    /// Names of the databases to save, and whether the server keeps a binary log.
    pub fn survey(&self) -> Result<(Vec<String>, bool), String> {
        let answer = self.ask("SELECT @@log_bin; SHOW DATABASES")?;
        let mut lines = answer.lines();
        let has_log = lines.next() == Some("1");
        let mut found: Vec<String> =
            lines.filter(|name| !SERVERS_OWN.contains(name)).map(str::to_owned).collect();
        if !self.names.is_empty() {
            if let Some(missing) = self.names.iter().find(|name| !found.contains(name)) {
                return Err(format!(
                    "database {missing} is not on the server, or the account may not see it"
                ));
            }
            found.retain(|name| self.names.contains(name));
        }
        found.retain(|name| !self.exclude.contains(name));
        Ok((found, has_log))
    }

    fn ask(&self, statement: &str) -> Result<String, String> {
        let mut command = self.command(&self.client_program);
        command.args(["--batch", "--skip-column-names", "-e", statement]);
        let mut child = self.start(&mut command)?;
        let output = child.stdout.take().ok_or("no output")?;
        let complaints = listen(&mut child);
        let mut text = String::new();
        let read = std::io::BufReader::new(output).read_to_string(&mut text);
        ended(&self.client_program, &mut child, complaints)?;
        read.map_err(|error| format!("{}: {error}", self.client_program))?;
        Ok(text)
    }

    /// Starts the dump of these databases, in one transaction.
    pub fn dump(&self, names: &[String], has_log: bool) -> Result<Dump, String> {
        let mut command = self.command(&self.dump_program);
        command.args([
            "--single-transaction",
            "--quick",
            "--routines",
            "--triggers",
            "--events",
            "--hex-blob",
            "--no-tablespaces",
        ]);
        if has_log {
            command.args(["--master-data=2", "--gtid"]);
        }
        command.arg("--databases").args(names);
        let mut child = self.start(&mut command)?;
        let output = child.stdout.take().ok_or("no output")?;
        let complaints = listen(&mut child);
        Ok(Dump { child, output, complaints, head: Vec::new() })
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        // Nothing of the host's own option files, and the login through standard input.
        command
            .arg("--defaults-file=/dev/stdin")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn start(&self, command: &mut Command) -> Result<Child, String> {
        let program = command.get_program().to_string_lossy().into_owned();
        let mut child = command.spawn().map_err(|error| format!("cannot start {program}: {error}"))?;
        let mut stdin = child.stdin.take().ok_or("no input")?;
        // A program that ends at once says why itself.
        let _ = stdin.write_all(self.option_file().as_bytes());
        Ok(child)
    }

    /// The login as MariaDB's programs read it.
    pub(crate) fn option_file(&self) -> zeroize::Zeroizing<String> {
        let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
        let mut lines = vec!["[client]".to_owned(), format!("user={}", quoted(&self.user))];
        match (&self.socket, &self.host) {
            (Some(socket), _) => lines.push(format!("socket={}", quoted(socket))),
            (None, Some(host)) => lines.extend([
                format!("host={}", quoted(host)),
                format!("port={}", self.port),
                "protocol=tcp".to_owned(),
            ]),
            (None, None) => {}
        }
        if let Some(password) = &self.password {
            lines.push(format!("password={}", quoted(password)));
        }
        zeroize::Zeroizing::new(lines.join("\n") + "\n")
    }
}

impl Read for Dump {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.output.read(buffer)?;
        let room = HEAD_BYTES.saturating_sub(self.head.len()).min(count);
        self.head.extend_from_slice(buffer.get(..room).unwrap_or_default());
        Ok(count)
    }
}

impl Dump {
    /// Whether the program ended well; answers the position of the binary log, when there is one.
    pub fn end(mut self) -> Result<Value, String> {
        ended("the dump", &mut self.child, self.complaints.take())?;
        Ok(position(&String::from_utf8_lossy(&self.head)))
    }
}

/// A dump that nobody reads to its end must not go on.
impl Drop for Dump {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn listen(child: &mut Child) -> Option<JoinHandle<String>> {
    let stderr = child.stderr.take()?;
    Some(std::thread::spawn(move || {
        let mut said = Vec::new();
        let mut stderr = stderr;
        let _ = (&mut stderr).take(COMPLAINT_BYTES).read_to_end(&mut said);
        let _ = std::io::copy(&mut stderr, &mut std::io::sink());
        String::from_utf8_lossy(&said).trim().to_owned()
    }))
}

fn ended(what: &str, child: &mut Child, complaints: Option<JoinHandle<String>>) -> Result<(), String> {
    let status = child.wait().map_err(|error| format!("{what}: {error}"))?;
    let said = complaints.and_then(|thread| thread.join().ok()).unwrap_or_default();
    if status.success() { Ok(()) } else { Err(format!("{what} ended with {status}: {said}")) }
}

/// The place in the binary log that the dump is of, from its own comments; null when it has none.
fn position(head: &str) -> Value {
    let between = |start: &str, end: char| {
        let rest = head.split_once(start)?.1;
        rest.split(end).next().map(str::to_owned)
    };
    let file = between("MASTER_LOG_FILE='", '\'');
    let offset = between("MASTER_LOG_POS=", ';').and_then(|text| text.trim().parse::<u64>().ok());
    let gtid = between("gtid_slave_pos='", '\'');
    match (file, offset) {
        (Some(file), Some(offset)) => json!({"log_file": file, "log_position": offset, "gtid": gtid}),
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_position_is_read_from_the_dump() {
        let head = "-- MariaDB dump\n-- Preferably use GTID to start replication from GTID position:\n\n\
            -- SET GLOBAL gtid_slave_pos='0-1-42';\n\n-- CHANGE MASTER TO MASTER_LOG_FILE='log.000003', MASTER_LOG_POS=1234;\n";
        let expected = json!({"log_file": "log.000003", "log_position": 1234, "gtid": "0-1-42"});
        assert_eq!(position(head), expected);
        assert_eq!(position("-- MariaDB dump"), Value::Null);
    }
}
