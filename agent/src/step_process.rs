//! `freezer-agent run-step`: one action in a process of its own, for the daemon (see [`crate::step`]).

use crate::actions::{ActionError, perform};
use crate::logins::Logins;
use crate::options::typed::{ActionKind, StorageOptions};
use crate::options::{ActionOptions, Values};
use crate::progress::Meter;
use crate::serve;
use crate::step::{EXIT_ABORTED, EXIT_PARTIAL, StepInput, StepLine};
use crate::storages::Surroundings;
use freezer_model::RemovedBackups;
use freezer_vault::Monitor;
use serde_json::{Map, Value};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tracing::Instrument;

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
    if let Err(error) = set_up_log(&input) {
        return say_error(&error);
    }
    let context = oslo_log::RequestContext { request_id: input.request_id.clone(), ..Default::default() };
    work(input, stdin).instrument(oslo_log::span(&context)).await
}

/// The child logs where its daemon does; without options that is standard error, which it inherits.
fn set_up_log(input: &StepInput) -> Result<(), String> {
    let registry = oslo_config::Registry::new("freezer", "freezer-agent").groups_of(oslo_log::options());
    let arguments = input.log.iter().fold(oslo_config::LoadArgs::default(), |arguments, (name, text)| {
        arguments.option("DEFAULT", name, text.clone())
    });
    let config = registry.load(arguments).map_err(|error| error.to_string())?;
    oslo_log::setup(&config, "freezer-agent").map(|_| ()).map_err(|error| error.to_string())
}

async fn work(input: StepInput, leash: impl AsyncRead + Unpin + Send + 'static) -> ExitCode {
    let options = match options(&input) {
        Ok(options) => options,
        Err(message) => return say_error(&message),
    };
    let around = Surroundings {
        auth: input.auth,
        upload_limit: input.upload_limit,
        download_limit: input.download_limit,
        parallel_limit: input.parallel_limit,
        now_secs: chrono::Utc::now().timestamp(),
        acts_for: input.project_id,
        run_id: input.run_id,
        ceph: input.ceph,
        logins: Arc::new(Logins::after(input.login)),
    };
    let monitor = Arc::new(Monitor::new());
    let leash_cut = Arc::new(AtomicBool::new(false));
    let ending = tokio::spawn(cancel_when_told(monitor.clone(), leash, leash_cut.clone()));
    let removed = Arc::new(Removed::of(&options));
    let talking = tokio::spawn(report_progress(monitor.clone(), removed.clone()));
    let done = perform(&options, &around, monitor.clone()).await;
    talking.abort();
    ending.abort();
    if leash_cut.load(Ordering::SeqCst) {
        end_group();
    }
    if let Some(login) = around.logins.left().filter(|_| input.takes_login) {
        say(&StepLine::Login(Box::new(login)));
    }
    // The last counts, whatever was reported before.
    say(&StepLine::Progress(Meter::new().read(&monitor)));
    removed.tell(&monitor);
    match done {
        Ok(done) => {
            for line in &done.summary {
                tracing::info!("{line}");
            }
            say(&StepLine::Result(done.result));
            if done.partial { ExitCode::from(EXIT_PARTIAL as u8) } else { ExitCode::SUCCESS }
        }
        Err(ActionError::Aborted) => {
            say(&StepLine::Error("aborted; nothing was committed".to_owned()));
            ExitCode::from(EXIT_ABORTED as u8)
        }
        Err(error) => say_error(&error.to_string()),
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
    let options =
        ActionOptions::from_values(&values, &serve::hostname()).map_err(|error| error.to_string())?;
    if options.action == ActionKind::Exec && input.disable_exec {
        return Err("action exec is disabled on this agent (disable_exec)".to_owned());
    }
    Ok(options)
}

/// Ends the work when the daemon is gone (its end of the pipe closes) or asks for it (SIGTERM).
async fn cancel_when_told(
    monitor: Arc<Monitor>,
    mut leash: impl AsyncRead + Unpin,
    leash_cut: Arc<AtomicBool>,
) {
    let mut rest = [0; 64];
    let let_go = async { while matches!(leash.read(&mut rest).await, Ok(1..)) {} };
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

/// Tells what is gone from the storage when more of it is.
struct Removed {
    /// Without levels.
    place: RemovedBackups,
    told: AtomicUsize,
}

impl Removed {
    fn of(options: &ActionOptions) -> Self {
        let ssh_host = match &options.storage {
            StorageOptions::Ssh { host, .. } => host.clone(),
            _ => String::new(),
        };
        let place = RemovedBackups {
            storage: options.storage.kind().to_owned(),
            ssh_host,
            container: options.container.clone(),
            hostname: options.hostname.clone(),
            backup_name: options.backup_name.clone(),
            ..RemovedBackups::default()
        };
        Self { place, told: AtomicUsize::new(0) }
    }

    fn tell(&self, monitor: &Monitor) {
        let gone = monitor.removed();
        if self.told.swap(gone.len(), Ordering::Relaxed) == gone.len() {
            return;
        }
        let mut all = self.place.clone();
        for (hbn, level) in gone {
            all.levels.entry(hbn.to_string()).or_default().insert((level.chain_timestamp, level.timestamp));
        }
        say(&StepLine::Removed(all));
    }
}

async fn report_progress(monitor: Arc<Monitor>, removed: Arc<Removed>) {
    let mut meter = Meter::new();
    loop {
        say(&StepLine::Progress(meter.read(&monitor)));
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
