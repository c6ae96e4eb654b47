//! `freezer-agent run-step`: one action in a process of its own, for the daemon (see [`crate::step`]).

use crate::actions::chains::own_name;
use crate::actions::{ActionError, Done, perform};
use crate::logins::Logins;
use crate::options::ftp::FtpPassword;
use crate::options::medium::Medium;
use crate::options::mirror::Place;
use crate::options::typed::{ActionKind, StorageOptions};
use crate::options::{ActionOptions, Values};
use crate::progress::Meter;
use crate::serve;
use crate::step::{EXIT_ABORTED, EXIT_PARTIAL, StepInput, StepLine};
use crate::storages::{OwnRates, Surroundings};
use freezer_model::{Progress, RemovedBackups};
use freezer_vault::Monitor;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, BufReader};
use tracing::Instrument;

/// Of the log that a run shows: lines of this project's own parts, while it runs and at its end.
const OWN_LOGGERS: &str = "freezer_";
const LIVE_LINES: usize = 20;
const LOG_LINES: usize = 100;

pub async fn run() -> ExitCode {
    let mut stdin = BufReader::new(tokio::io::stdin());
    let mut line = String::new();
    if let Err(error) = stdin.read_line(&mut line).await {
        return say_error(&format!("reading the step: {error}"));
    }
    let input: StepInput = match serde_json::from_str(&line) {
        Ok(input) => input,
        Err(error) => return say_error(&format!("the step is not readable: {error}")),
    };
    let log = match set_up_log(&input) {
        Ok(log) => log,
        Err(error) => return say_error(&error),
    };
    log.keep_tail(OWN_LOGGERS, LOG_LINES);
    let context = oslo_log::RequestContext { request_id: input.request_id.clone(), ..Default::default() };
    work(input, stdin, log).instrument(oslo_log::span(&context)).await
}

/// The child logs where its daemon does; without options that is standard error, which it inherits.
fn set_up_log(input: &StepInput) -> Result<oslo_log::Guard, String> {
    let registry = oslo_config::Registry::new("freezer", "freezer-agent").groups_of(oslo_log::options());
    let arguments = input.log.iter().fold(oslo_config::LoadArgs::default(), |arguments, (name, text)| {
        arguments.option("DEFAULT", name, text.clone())
    });
    let config = registry.load(arguments).map_err(|error| error.to_string())?;
    oslo_log::setup(&config, "freezer-agent").map_err(|error| error.to_string())
}

async fn work(
    input: StepInput,
    leash: impl AsyncBufRead + Unpin + Send + 'static,
    log: oslo_log::Guard,
) -> ExitCode {
    let options = match options(&input) {
        Ok(options) => options,
        Err(message) => return say_error(&message),
    };
    let rates = OwnRates::of(&options);
    let around = Surroundings {
        auth: input.auth,
        own_rates: Some(rates.clone()),
        upload_limit: input.upload_limit,
        download_limit: input.download_limit,
        parallel_limit: input.parallel_limit,
        now_secs: chrono::Utc::now().timestamp(),
        began: Some(Instant::now()),
        acts_for: input.project_id,
        run_id: input.run_id,
        ceph: input.ceph,
        state_dir: input.state_dir,
        is_step: true,
        logins: Arc::new(Logins::after(input.login)),
        trail: Arc::default(),
    };
    let monitor = Arc::new(Monitor::new());
    let leash_cut = Arc::new(AtomicBool::new(false));
    let ending = tokio::spawn(obey(monitor.clone(), leash, rates, leash_cut.clone()));
    let removed = Arc::new(Removed::of(&options));
    let talking = tokio::spawn(report_progress(monitor.clone(), removed.clone(), log.clone()));
    let done = perform(&options, &around, monitor.clone()).await;
    talking.abort();
    ending.abort();
    if leash_cut.load(Ordering::SeqCst) {
        end_group();
    }
    if let Some(login) = around.logins.left().filter(|_| input.takes_login) {
        say(&StepLine::Login(Box::new(login)));
    }
    removed.tell(&monitor);
    let status = tell_end(done, around.trail.told());
    // The last counts, whatever was reported before.
    say(&StepLine::Progress(Progress { log: log.tail(LOG_LINES), ..Meter::new().read(&monitor) }));
    status
}

/// With what the trail tells of the cloud and of hooks, also of an action that failed.
fn tell_end(done: Result<Done, ActionError>, told: Map<String, Value>) -> ExitCode {
    match done {
        Ok(mut done) => {
            done.result.extend(told);
            for line in &done.summary {
                tracing::info!("{line}");
            }
            say(&StepLine::Result(done.result));
            if done.partial { ExitCode::from(EXIT_PARTIAL as u8) } else { ExitCode::SUCCESS }
        }
        Err(ActionError::Aborted) => {
            tell_found(told);
            say(&StepLine::Error("aborted; nothing was committed".to_owned()));
            ExitCode::from(EXIT_ABORTED as u8)
        }
        Err(ActionError::Damaged(mut damage)) => {
            damage.result.extend(told);
            for line in &damage.summary {
                tracing::warn!("{line}");
            }
            say(&StepLine::Result(damage.result));
            say_error(&damage.text)
        }
        Err(error) => {
            tell_found(told);
            say_error(&error.to_string())
        }
    }
}

/// Before an error.
fn tell_found(told: Map<String, Value>) {
    if !told.is_empty() {
        say(&StepLine::Result(told));
    }
}

/// What to say when a storage's secret stands in the job itself.
fn secret_in_job(options: &ActionOptions) -> Option<&'static str> {
    match &options.storage {
        StorageOptions::Ssh { .. } if options.ssh_password.is_some() => Some(
            "ssh_password stands in the job, where every reader of the project sees it: put it into a file on the agent's host (ssh_password_file)",
        ),
        StorageOptions::Ftp(ftp) if matches!(ftp.password, FtpPassword::Text(_)) => Some(
            "ftp_password stands in the job, where every reader of the project sees it: put it into a file on the agent's host (ftp_password_file)",
        ),
        StorageOptions::S3(s3) if s3.keys.is_some() && options.storage_secret.is_none() => Some(
            "secret_key stands in the job, where every reader of the project sees it: put it into a file on the agent's host (s3_credentials_file)",
        ),
        _ => None,
    }
}

fn options(input: &StepInput) -> Result<ActionOptions, String> {
    let mut values = Values::default();
    let mut forced = Map::new();
    // A tenant does not choose whose trust or project the agent acts under.
    if let Some(trust) = &input.trust_id {
        forced.insert("os_trust_id".to_owned(), Value::String(trust.clone()));
    }
    values.fill(&forced);
    let mut action = input.freezer_action.clone();
    action.remove("os_trust_id");
    values.fill(&action);
    for name in &values.ignored {
        tracing::warn!("option {name} is unknown to this agent and ignored");
    }
    let mut options =
        ActionOptions::from_values(&values, &serve::hostname()).map_err(|error| error.to_string())?;
    let notes: BTreeSet<&str> =
        options.places().iter().filter_map(|place| secret_in_job(&options.at(place))).collect();
    options.notes.extend(notes.into_iter().map(str::to_owned));
    let runs_commands = [&options.hooks.before, &options.hooks.after, &options.stream_command];
    let snapshots_by_command =
        options.snapshot.as_ref().is_some_and(crate::options::snapshot::SnapshotOptions::runs_commands);
    if input.disable_exec
        && (options.action == ActionKind::Exec
            || snapshots_by_command
            || runs_commands.iter().any(|one| one.is_some()))
    {
        return Err("action exec, hooks, stream_command and snapshot_command are disabled on this agent \
                    (disable_exec)"
            .to_owned());
    }
    if options.medium == Medium::Stream
        && options.action == ActionKind::Backup
        && options.stream_command.is_none()
    {
        return Err(
            "action backup of mode stream needs stream_command: an agent's job has no standard input"
                .to_owned(),
        );
    }
    Ok(options)
}

/// Changes the limits as the daemon says. Ends the work when the daemon is gone (its end of the pipe closes) or asks for it
/// (SIGTERM).
async fn obey(
    monitor: Arc<Monitor>,
    leash: impl AsyncBufRead + Unpin,
    rates: OwnRates,
    leash_cut: Arc<AtomicBool>,
) {
    let mut lines = leash.lines();
    let let_go = async {
        while let Ok(Some(line)) = lines.next_line().await {
            match serde_json::from_str(&line) {
                Ok(limits) => rates.set(&limits),
                Err(error) => tracing::warn!("the agent's daemon said what this step cannot read: {error}"),
            }
        }
    };
    tokio::select! {
        () = let_go => {
            tracing::warn!("the agent's daemon is gone; stopping");
            leash_cut.store(true, Ordering::SeqCst);
        }
        () = serve::stop_signal() => tracing::info!("told to stop"),
    }
    monitor.cancel();
}

/// Nobody is left to end what an action started: this process takes its whole group with it.
fn end_group() {
    let own = rustix::process::getpid();
    if rustix::process::getpgrp() == own {
        let _ = rustix::process::kill_process_group(own, rustix::process::Signal::KILL);
    }
}

/// Tells what is gone from the storages when more of it is.
struct Removed {
    options: ActionOptions,
    /// Folders that nobody named: each has records under a name of its own.
    is_of_folders: bool,
    /// Of each storage, without levels.
    places: Vec<RemovedBackups>,
    told: AtomicUsize,
}

impl Removed {
    fn of(options: &ActionOptions) -> Self {
        let removed = |place: &Place| {
            let options = options.at(place);
            RemovedBackups {
                storage: options.storage.kind().to_owned(),
                ssh_host: options.storage.machine().to_owned(),
                container: options.container,
                hostname: options.hostname,
                backup_name: options.backup_name,
                ..RemovedBackups::default()
            }
        };
        let places = options.places().iter().map(removed).collect();
        let is_of_folders = options.is_default_name && options.medium == Medium::Files;
        Self { options: options.clone(), is_of_folders, places, told: AtomicUsize::new(0) }
    }

    fn tell(&self, monitor: &Monitor) {
        let gone = monitor.removed();
        if self.told.swap(gone.len(), Ordering::Relaxed) == gone.len() {
            return;
        }
        let mut places = self.places.clone();
        for (position, hbn, level) in gone {
            let Some(all) = places.get_mut(position) else { continue };
            let name = own_name(&self.options, hbn.as_str()).filter(|_| self.is_of_folders);
            all.also_named.extend(name.filter(|name| *name != all.backup_name).map(str::to_owned));
            all.levels.entry(hbn.to_string()).or_default().insert((level.chain_timestamp, level.timestamp));
        }
        let mut places = places.into_iter();
        let first = places.next().unwrap_or_default();
        let elsewhere = places.filter(|place| !place.levels.is_empty()).collect();
        say(&StepLine::Removed(RemovedBackups { elsewhere, ..first }));
    }
}

async fn report_progress(monitor: Arc<Monitor>, removed: Arc<Removed>, log: oslo_log::Guard) {
    let mut meter = Meter::new();
    loop {
        say(&StepLine::Progress(Progress { log: log.tail(LIVE_LINES), ..meter.read(&monitor) }));
        removed.tell(&monitor);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

fn say(line: &StepLine) {
    use std::io::Write;
    if let Ok(mut text) = serde_json::to_vec(line) {
        text.push(b'\n');
        let mut stdout = std::io::stdout().lock();
        // A daemon that no longer listens is noticed through the leash.
        let _ = stdout.write_all(&text).and_then(|()| stdout.flush());
    }
}

fn say_error(message: &str) -> ExitCode {
    tracing::error!("{message}");
    say(&StepLine::Error(message.to_owned()));
    ExitCode::FAILURE
}
