//! From a restored stream and logs to a data directory that a server can be started on.

use super::places::{self, LogPlace, number};
use super::source::{BASE, LOGS};
use crate::databases::program::{Ending, Program};
use chrono::DateTime;
use freezer_vault::Monitor;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// Where the logs are replayed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Replay {
    End,
    /// Transactions before this second.
    Time(i64),
    Place(LogPlace),
}

/// Whom a server's files belong to.
const ACCOUNT: &str = "mysql";
/// Between two looks at a server that starts.
const PAUSE: Duration = Duration::from_millis(200);

/// Makes `data` of what was restored into `raw`, which is used up. Answers what to tell. Blocking.
pub(crate) fn restore(
    raw: &Path,
    data: &Path,
    replay: &Replay,
    monitor: &Arc<Monitor>,
    runtime: &tokio::runtime::Handle,
) -> Result<Vec<String>, String> {
    let _inside = runtime.enter();
    let work = Work { raw, data, ending: Ending::with(monitor) };
    work.unpack()?;
    work.run("mariadb-backup", |command| {
        command.arg("--prepare").arg(format!("--target-dir={}", data.display()))
    })?;
    work.give_to_server(data)?;
    let mut told = Vec::new();
    let place = work.place();
    if let Some((LogPlace { file, position }, gtid)) = &place {
        told.push(format!("the files are of {file}:{position}, GTID {}", gtid.as_deref().unwrap_or("none")));
    }
    let logs = work.logs()?;
    let from = place.map(|(place, _)| place);
    told.push(match (logs.is_empty(), from, replay) {
        (true, _, Replay::End) => return Ok(told),
        (true, ..) => "no binary logs were saved, so the server is as of the files' own moment".to_owned(),
        (false, None, _) => {
            return Err("the backup does not say where it stands in the binary logs".to_owned());
        }
        (false, Some(from), _) => work.replay(&logs, &from, replay)?,
    });
    Ok(told)
}

struct Work<'a> {
    raw: &'a Path,
    data: &'a Path,
    ending: Ending,
}

impl Work<'_> {
    fn run(&self, program: &str, with: impl FnOnce(&mut Command) -> &mut Command) -> Result<(), String> {
        let mut command = Command::new(program);
        with(&mut command);
        let mut running = Program::start(command, None, &self.ending)?;
        let read = io::copy(&mut running, &mut io::sink());
        running.end()?;
        read.map(drop).map_err(|error| format!("{program}: {error}"))
    }

    /// Each part of the stream goes when it is unpacked: no more space is needed than for one of them.
    fn unpack(&self) -> Result<(), String> {
        let folder = self.raw.join(BASE);
        let parts = sorted(&folder)?;
        let mut command = Command::new("mbstream");
        command.arg("-x").arg("-C").arg(self.data);
        let (program, mut stdin) = Program::start_fed(command, &self.ending)?;
        let pass = |part: &PathBuf, stdin: &mut std::process::ChildStdin| -> io::Result<()> {
            io::copy(&mut fs::File::open(part)?, stdin)?;
            fs::remove_file(part)
        };
        let passed = parts.iter().try_for_each(|part| pass(part, &mut stdin));
        drop(stdin);
        program.end()?;
        passed.map_err(|error| format!("{}: {error}", folder.display()))
    }

    fn place(&self) -> Option<(LogPlace, Option<String>)> {
        let names = ["xtrabackup_binlog_info", "mariadb_backup_binlog_info"];
        let text = names.iter().find_map(|name| fs::read_to_string(self.data.join(name)).ok())?;
        places::of_backup(&text)
    }

    fn logs(&self) -> Result<Vec<PathBuf>, String> {
        let folder = self.raw.join(LOGS);
        let mut logs = if folder.exists() { sorted(&folder)? } else { Vec::new() };
        logs.sort_by_key(|log| number(&name(log)));
        Ok(logs)
    }

    fn give_to_server(&self, path: &Path) -> Result<(), String> {
        let is_known =
            || Command::new("id").arg(ACCOUNT).stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !rustix::process::geteuid().is_root() || !is_known().is_ok_and(|status| status.success()) {
            return Ok(());
        }
        self.run("chown", |command| {
            command.args(["-R", "--no-dereference", &format!("{ACCOUNT}:")]).arg(path)
        })
    }

    fn replay(&self, logs: &[PathBuf], from: &LogPlace, to: &Replay) -> Result<String, String> {
        let first = number(&from.file).unwrap_or_default();
        let last = match to {
            Replay::Place(place) => number(&place.file),
            Replay::End | Replay::Time(_) => None,
        };
        let is_wanted = |log: &&PathBuf| {
            number(&name(log)).is_some_and(|number| number >= first && last.is_none_or(|last| number <= last))
        };
        let logs: Vec<&PathBuf> = logs.iter().filter(is_wanted).collect();
        if logs.first().is_none_or(|log| name(log) != from.file) {
            return Err(format!("{} is not among the logs that were saved", from.file));
        }
        if let Replay::Place(place) = to
            && logs.last().is_none_or(|log| name(log) != place.file)
        {
            return Err(format!("{} is not among the logs that were saved", place.file));
        }
        let mut reading = Command::new("mariadb-binlog");
        reading.args(["--no-defaults", &format!("--start-position={}", from.position)]).env("TZ", "UTC");
        let reached = match to {
            Replay::End => "their end".to_owned(),
            Replay::Time(secs) => {
                let time = DateTime::from_timestamp(*secs, 0).unwrap_or_default();
                reading.arg(format!("--stop-datetime={}", time.format("%Y-%m-%d %H:%M:%S")));
                time.format("%Y-%m-%dT%H:%M:%SZ").to_string()
            }
            Replay::Place(place) => {
                reading.arg(format!("--stop-position={}", place.position));
                format!("{}:{}", place.file, place.position)
            }
        };
        reading.args(&logs);
        self.feed_server(reading)?;
        Ok(format!("{} binary logs were replayed, to {reached}", logs.len()))
    }

    /// A server that nobody else reaches takes what `reading` prints, and ends.
    fn feed_server(&self, reading: Command) -> Result<(), String> {
        let run = self.raw.join("run");
        fs::create_dir(&run).map_err(|error| format!("{}: {error}", run.display()))?;
        self.give_to_server(self.raw)?;
        let socket = run.join("s");
        let mut command = Command::new(daemon());
        command.arg(format!("--defaults-file={}", self.data.join("backup-my.cnf").display()));
        command.arg(format!("--datadir={}", self.data.display()));
        command
            .arg(format!("--socket={}", socket.display()))
            .arg(format!("--pid-file={}", run.join("pid").display()))
            // As it starts, a server removes the temporary tables in this folder, whose ever they are.
            .arg(format!("--tmpdir={}", run.display()));
        command.args(["--skip-networking", "--skip-grant-tables", "--skip-log-bin", "--skip-slave-start"]);
        if rustix::process::geteuid().is_root() {
            command.arg(format!("--user={ACCOUNT}"));
        }
        let mut server = Program::start(command, None, &self.ending)?;
        let client = || {
            let mut command = Command::new("mariadb");
            command
                .args(["--no-defaults", "--binary-mode", "--batch"])
                .arg(format!("--socket={}", socket.display()));
            command
        };
        while !client()
            .args(["-e", "DO 1"])
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
        {
            if self.ending.is_due() {
                return Err("aborted".to_owned());
            }
            if !server.is_running() {
                return server.end().and(Err("the server that was to replay the logs ended".to_owned()));
            }
            std::thread::sleep(PAUSE);
        }
        let (client, mut stdin) = Program::start_fed(client(), &self.ending)?;
        let mut reading = Program::start(reading, None, &self.ending)?;
        // The session keeps the rights that it began with; from here on accounts can be changed.
        let fed = stdin
            .write_all(b"FLUSH PRIVILEGES;\n")
            .and_then(|()| io::copy(&mut reading, &mut stdin))
            .and_then(|_| stdin.flush());
        let read = if fed.is_ok() { reading.end() } else { Ok(()) };
        if fed.is_ok() && read.is_ok() {
            // When it does not arrive, the client says why.
            let _ = stdin.write_all(b";\nSHUTDOWN;\n");
        }
        drop(stdin);
        client.end().map_err(|cause| format!("replaying the logs: {cause}"))?;
        read?;
        fed.map_err(|error| format!("replaying the logs: {error}"))?;
        server.end()
    }
}

/// Where Debian and others have it.
fn daemon() -> &'static str {
    let places = ["/usr/sbin/mariadbd", "/usr/libexec/mariadbd", "/usr/bin/mariadbd"];
    places.into_iter().find(|place| Path::new(place).exists()).unwrap_or("mariadbd")
}

fn name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn sorted(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(folder).and_then(|entries| {
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<PathBuf>>>()
    });
    let mut paths = entries
        .map_err(|error| format!("{}: {error}; is it a backup of mysql_form physical?", folder.display()))?;
    paths.sort();
    Ok(paths)
}
