//! The daemon as a process: started apart from its terminal, found, told, ended. None of it needs Keystone.
//!
//! The daemon is this program started anew, not a fork: a program with threads cannot be forked safely. It leads a session of
//! its own, sits in `/`, makes files for its owner only and leaves no core.

use super::exit::Failure;
use super::pid_file::{PidFile, running};
use super::{command, config, home, serve};
use oslo_config::Config;
use rustix::process::{Pid, Signal, kill_process};
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long `start` waits for the daemon to be up, and `stop` for it to be gone.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Upstream's place, unless another is configured.
pub fn pid_path(config: &Config) -> PathBuf {
    match config.opt_str("scheduler", "pid_file").filter(|text| !text.is_empty()) {
        Some(path) => PathBuf::from(path),
        None => {
            let home = home();
            let name = home.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            std::env::temp_dir().join(format!("freezer_sched_{name}.pid"))
        }
    }
}

fn find(file: &Path) -> Result<Option<i32>, Failure> {
    running(file).map_err(|error| Failure::setup(format!("pid file {}: {error}", file.display())))
}

pub fn status(file: &Path) -> Result<(), Failure> {
    match find(file)? {
        Some(pid) => println!("Running with pid: {pid}"),
        None => println!("Not Running"),
    }
    Ok(())
}

pub fn stop(file: &Path) -> Result<(), Failure> {
    let Some(pid) = find(file)? else {
        println!("Not Running");
        return Ok(());
    };
    signal(pid, Signal::TERM)?;
    let end = Instant::now() + PATIENCE;
    while matches!(running(file), Ok(Some(now)) if now == pid) {
        if Instant::now() >= end {
            let text =
                format!("process {pid} was asked to end and still runs after {} s", PATIENCE.as_secs());
            return Err(Failure::setup(text));
        }
        std::thread::sleep(LOOK_AGAIN);
    }
    println!("Stopped, pid was: {pid}");
    Ok(())
}

pub fn reload(file: &Path) -> Result<(), Failure> {
    let Some(pid) = find(file)? else {
        println!("Not Running");
        return Ok(());
    };
    signal(pid, Signal::HUP)?;
    println!("Reload requested of pid: {pid}");
    Ok(())
}

fn signal(pid: i32, signal: Signal) -> Result<(), Failure> {
    let process = Pid::from_raw(pid).ok_or_else(|| Failure::setup("the pid file holds no process id"))?;
    kill_process(process, signal)
        .map_err(|error| Failure::setup(format!("cannot signal process {pid}: {error}")))
}

pub fn start(config: Config, file: &Path, arguments: &[OsString]) -> Result<(), Failure> {
    if config.bool("scheduler", "no_daemon") {
        return serve::run(config, None);
    }
    if let Some(pid) = find(file)? {
        // What was asked for is so: scripts that start it again and again have always seen 0.
        println!("freezer daemon is already running, pid: {pid}");
        return Ok(());
    }
    // What is wrong with the login, or the job files, is better said here than in a log.
    serve::check(&config)?;
    let (log, path) = early_log(&config);
    let begin = std::fs::metadata(&path).map_or(0, |data| data.len());
    let program = std::env::current_exe()
        .map_err(|error| Failure::setup(format!("cannot find this program: {error}")))?;
    let mut child = Command::new(program)
        .arg(command::CHILD)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .map_err(|error| Failure::setup(format!("cannot start the daemon: {error}")))?;
    if let Some(mut stdin) = child.stdin.take() {
        let words: Vec<&[u8]> = arguments.iter().map(|word| word.as_bytes()).collect();
        // One that died at once is seen below.
        let _ = stdin.write_all(&words.join(&0));
    }
    let end = Instant::now() + PATIENCE;
    loop {
        if let Ok(Some(pid)) = running(file) {
            println!("Started with pid: {pid}");
            return Ok(());
        }
        let has_ended = child.try_wait().ok().flatten();
        if has_ended.is_some() || Instant::now() >= end {
            return Err(Failure::setup(format!("the daemon did not start: {}", said_since(&path, begin))));
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// Where the daemon's standard error goes: what it says before, or without, a log of its own.
fn early_log(config: &Config) -> (Stdio, PathBuf) {
    let path = if let Some(file) = config.opt_str("DEFAULT", "log_file").filter(|file| !file.is_empty()) {
        PathBuf::from(config.str("DEFAULT", "log_dir")).join(file)
    } else if rustix::process::geteuid().is_root() {
        PathBuf::from("/var/log/freezer/scheduler.log")
    } else {
        home().join(".freezer/freezer-scheduler.log")
    };
    let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
    let opened = made.and_then(|()| OpenOptions::new().create(true).append(true).mode(0o600).open(&path));
    match opened {
        Ok(file) => (Stdio::from(file), path),
        Err(error) => {
            eprintln!("freezer-scheduler: no log file {}: {error}", path.display());
            (Stdio::null(), path)
        }
    }
}

fn said_since(path: &Path, begin: u64) -> String {
    let bytes = std::fs::read(path).unwrap_or_default();
    let new = bytes.get(usize::try_from(begin).unwrap_or(usize::MAX)..).unwrap_or_default();
    let text = String::from_utf8_lossy(new);
    let last: Vec<&str> = text.lines().rev().take(5).collect();
    let text = last.into_iter().rev().collect::<Vec<_>>().join("\n");
    if text.is_empty() { format!("see {}", path.display()) } else { text }
}

/// The daemon's own process.
pub fn child() -> Result<(), Failure> {
    let mut bytes = Vec::new();
    std::io::stdin()
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::setup(format!("reading the arguments: {error}")))?;
    let arguments: Vec<OsString> =
        bytes.split(|byte| *byte == 0).map(|word| OsString::from_vec(word.to_vec())).collect();
    let config = config::load(&command::parsed(&arguments)?).map_err(Failure::setup)?;
    let file = std::path::absolute(pid_path(&config)).map_err(|error| Failure::setup(error.to_string()))?;
    detach().map_err(|error| Failure::setup(format!("cannot leave the terminal: {error}")))?;
    let held = PidFile::take(&file)
        .map_err(|error| Failure::setup(format!("pid file {}: {error}", file.display())))?
        .ok_or_else(|| Failure::setup("another daemon runs already"))?;
    serve::run(config, Some(held))
}

fn detach() -> std::io::Result<()> {
    use rustix::process::{Resource, Rlimit, setrlimit, setsid, umask};
    setsid()?;
    umask(rustix::fs::Mode::from_raw_mode(0o077));
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    std::env::set_current_dir("/")
}
