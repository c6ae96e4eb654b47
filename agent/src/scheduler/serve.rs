//! The daemon's work: the agent on the HTTPS link (or, with `--no-api`, on none), until it is told to stop; SIGHUP reads the
//! configuration again.

use super::alone;
use super::command::runtime;
use super::config;
use super::exit::Failure;
use super::pid_file::PidFile;
use crate::daemon::{Executor, ExecutorOptions};
use crate::links::http;
use crate::serve::{project_of, start_over_http, stop_signal};
use keystone::Session;
use oslo_config::Config;
use std::path::Path;
use tokio::signal::unix::{SignalKind, signal};

/// Settings that a running daemon does not take over.
const FIXED: [&str; 7] =
    ["client_id", "no_api", "concurrent_jobs", "centralized_scheduler", "state_dir", "pid_file", "insecure"];

/// Whether job files are run, without a service.
pub fn is_alone(config: &Config) -> bool {
    config.bool("scheduler", "no_api")
}

/// What can be told before the daemon is started.
pub fn check(config: &Config) -> Result<(), Failure> {
    if is_alone(config) { alone::check(config) } else { session(config).map(drop) }
}

/// The login, checked but not used yet.
pub fn session(config: &Config) -> Result<Session, Failure> {
    let auth = config::auth_variables(config, std::env::vars());
    http::session(&auth).map_err(|error| {
        Failure::setup(format!(
            "{error}; section [service_auth] of a configuration file has the same, as auth_url"
        ))
    })
}

/// Runs until it is stopped. `_held` is the daemon's pid file.
pub fn run(config: Config, _held: Option<PidFile>) -> Result<(), Failure> {
    let log =
        oslo_log::setup(&config, "freezer-scheduler").map_err(|error| Failure::setup(error.to_string()))?;
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    let runtime = runtime()?;
    let outcome = if is_alone(&config) {
        runtime.block_on(alone::serve(config, &log))
    } else {
        let session = session(&config)?;
        runtime.block_on(serve(config, session, &log))
    };
    // A thread that waits for the network must not keep the process.
    runtime.shutdown_background();
    if let Err(message) = &outcome {
        tracing::error!("{message}");
    }
    outcome.map_err(Failure::setup)
}

async fn serve(config: Config, session: Session, log: &oslo_log::Guard) -> Result<(), String> {
    let mut stop = std::pin::pin!(stop_signal());
    // Before anything is promised: a reload that comes early must not end the process.
    let mut hangups = signal(SignalKind::hangup()).map_err(|error| error.to_string())?;
    let project = tokio::select! {
        project = project_of(&session) => project?,
        () = &mut stop => return Ok(()),
    };
    let options = config::executor_options(&config, &project)?;
    make_state_dir(&options.state_dir)?;
    let agent = start_over_http(options, session).await?;
    tracing::info!("freezer-scheduler {} serves", env!("CARGO_PKG_VERSION"));
    loop {
        tokio::select! {
            () = &mut stop => break,
            hangup = hangups.recv() => {
                if hangup.is_none() {
                    break;
                }
                log.reopen();
                reload(&config, &agent.executor, log, |fresh| config::executor_options(fresh, &project));
            }
        }
    }
    tracing::info!("stopping");
    agent.stop().await;
    Ok(())
}

/// The agent locks it: two daemons with one folder would take each other's journal for their own.
pub(super) fn make_state_dir(state_dir: &Path) -> Result<(), String> {
    std::fs::create_dir_all(state_dir).map_err(|error| {
        let folder = state_dir.display();
        format!("state folder {folder}: {error}; set [scheduler] state_dir to a folder that can be written")
    })
}

/// Answers the configuration that was taken over.
pub(super) fn reload(
    config: &Config,
    executor: &Executor,
    log: &oslo_log::Guard,
    options: impl Fn(&Config) -> Result<ExecutorOptions, String>,
) -> Option<Config> {
    let fresh = match config.read_again() {
        Ok(fresh) => fresh,
        Err(error) => {
            tracing::error!("the configuration was not read again: {error}");
            return None;
        }
    };
    let options = match options(&fresh) {
        Ok(options) => options,
        Err(error) => {
            tracing::error!("the configuration was not taken over: {error}");
            return None;
        }
    };
    for name in FIXED {
        if fresh.get("scheduler", name).ok() != config.get("scheduler", name).ok() {
            tracing::warn!("[scheduler] {name} has changed: it counts after a restart");
        }
    }
    if config::auth_variables(&fresh, std::env::vars()) != config::auth_variables(config, std::env::vars()) {
        tracing::warn!("[service_auth] has changed: new steps use it at once, the link after a restart");
    }
    log.set_debug(fresh.bool("DEFAULT", "debug"));
    executor.reconfigure(options);
    tracing::info!("the configuration was read again");
    Some(fresh)
}
