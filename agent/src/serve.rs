//! `freezer-agent serve`: the daemon, from its configuration to its end.

use crate::config;
use crate::daemon::{Executor, ExecutorOptions, heartbeat_forever};
use crate::links::amqp::{self, AmqpLink};
use crate::links::http::{self, HttpLink};
use crate::links::pull::pull_forever;
use crate::links::{Backoff, ConductorLink};
use crate::openstack::temporary;
use crate::snapshots;
use clap::ArgMatches;
use freezer_model::bytes::parse_bytes;
use freezer_model::{Capabilities, ClientId, Link, ProjectId};
use keystone::Session;
use oslo_config::{Config, LoadArgs};
use oslo_messaging::{RpcServer, Transport};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;

pub fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Waits for SIGTERM or SIGINT.
pub async fn stop_signal() {
    let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}

pub(crate) fn load_config(matches: &ArgMatches) -> Result<Config, String> {
    let mut arguments = LoadArgs::from_process();
    if let Some(files) = matches.get_many::<PathBuf>("config_file") {
        for file in files {
            arguments = arguments.file(file);
        }
    } else {
        arguments = arguments.search();
    }
    for name in ["debug", "log_file"] {
        if let Some(text) = matches.try_get_one::<String>(name).ok().flatten() {
            arguments = arguments.option("DEFAULT", name, text.clone());
        } else if matches.try_get_one::<bool>(name).ok().flatten() == Some(&true) {
            arguments = arguments.option("DEFAULT", name, "true");
        }
    }
    config::registry().load(arguments).map_err(|error| error.to_string())
}

/// What the daemon needs, from the configuration.
pub fn executor_options(config: &Config, step_arguments: &[&str]) -> Result<ExecutorOptions, String> {
    let project = config
        .opt_str("agent", "project_id")
        .ok_or("[agent] project_id is not set: say for which project this agent works")?;
    options_for(config, project, step_arguments)
}

/// The same for a project that is known otherwise: over HTTPS the login has one.
fn options_for(config: &Config, project: &str, step_arguments: &[&str]) -> Result<ExecutorOptions, String> {
    let hostname = config.opt_str("DEFAULT", "host").map_or_else(hostname, str::to_owned);
    let link = if config.str("agent", "link") == "http" { Link::Http } else { Link::Amqp };
    let client =
        config.opt_str("agent", "client_id").map_or_else(|| format!("{project}_{hostname}"), str::to_owned);
    let rate = |name: &str| {
        parse_bytes(config.str("agent", name)).map_err(|cause| format!("[agent] {name}: {cause}"))
    };
    Ok(ExecutorOptions {
        client_id: ClientId::new(client),
        project_id: ProjectId::new(project),
        hostname,
        is_central: config.bool("agent", "is_central"),
        link,
        capabilities: Capabilities {
            actions: config.list("agent", "supported_actions"),
            modes: config.list("agent", "supported_modes"),
            storages: config.list("agent", "supported_storages"),
            engines: config.list("agent", "supported_engines"),
        },
        narrowed: config::narrowed(config, "agent"),
        concurrency: config::concurrency(config, "agent", config.bool("agent", "is_central")),
        step_program: step_program(step_arguments)?,
        state_dir: PathBuf::from(config.str("agent", "state_dir")),
        auth: config::auth_variables(config, std::env::vars()),
        disable_exec: config.bool("agent", "disable_exec"),
        upload_limit: rate("upload_limit")?,
        download_limit: rate("download_limit")?,
        parallel_limit: usize::try_from(config.int("agent", "parallel_resources")).unwrap_or(1),
        progress_interval: Duration::from_secs_f64(config.float("agent", "progress_interval")),
        ceph: config::ceph(config),
        log: log_options(config),
    })
}

/// This very program, as the child of a step.
pub(crate) fn step_program(arguments: &[&str]) -> Result<Vec<OsString>, String> {
    let program = std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
    let words = arguments.iter().map(OsString::from).chain(["run-step".into()]);
    Ok(std::iter::once(program.into_os_string()).chain(words).collect())
}

/// The project of the login. Waits for a Keystone that does not answer: a machine that starts may be faster than its
/// network.
pub(crate) async fn project_of(session: &Session) -> Result<String, String> {
    let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
    let mut is_told = false;
    loop {
        match session.project_id().await {
            Ok(Some(project)) => return Ok(project),
            Ok(None) => return Err("the login has no project; set project_id or project_name".to_owned()),
            Err(error) if error.is_temporary() => {
                if !std::mem::replace(&mut is_told, true) {
                    tracing::warn!("{error}; trying again");
                }
                tokio::time::sleep(backoff.pause(None)).await;
            }
            Err(error) => return Err(error.to_string()),
        }
    }
}

/// Where and how the daemon logs, for its children.
pub(crate) fn log_options(config: &Config) -> std::collections::BTreeMap<String, String> {
    const PASSED_ON: [&str; 5] = ["debug", "log_file", "log_dir", "use_json", "use_syslog"];
    let set = PASSED_ON.iter().filter(|name| config.is_set("DEFAULT", name));
    set.filter_map(|name| Some(((*name).to_owned(), config.get("DEFAULT", name).ok()?.to_string()))).collect()
}

/// A daemon that runs: it takes work and reports until [`Agent::stop`].
pub struct Agent {
    orders: Orders,
    heartbeat: JoinHandle<()>,
    pub executor: Arc<Executor>,
    /// True while a conductor answers.
    pub greeted: tokio::sync::watch::Receiver<bool>,
}

/// How orders come in.
enum Orders {
    Bus(RpcServer),
    Pulled(JoinHandle<()>),
}

/// Starts the daemon's parts on a bus.
pub async fn start(options: ExecutorOptions, transport: &Transport) -> Result<Agent, String> {
    let client_id = options.client_id.clone();
    let executor = take_up(options, Arc::new(AmqpLink::new(transport))).await?;
    let server = amqp::serve(transport, executor.clone(), client_id.as_str())
        .await
        .map_err(|error| error.to_string())?;
    let (told, greeted) = tokio::sync::watch::channel(false);
    let heartbeat = tokio::spawn(heartbeat_forever(executor.clone(), told));
    Ok(Agent { orders: Orders::Bus(server), heartbeat, executor, greeted })
}

/// Starts the daemon's parts on the HTTPS link.
pub async fn start_over_http(options: ExecutorOptions, session: Session) -> Result<Agent, String> {
    let link = HttpLink::new(session, options.project_id.as_str(), options.client_id.as_str());
    let link = Arc::new(link);
    let executor = take_up(options, link.clone()).await?;
    let (told, greeted) = tokio::sync::watch::channel(false);
    let heartbeat = tokio::spawn(heartbeat_forever(executor.clone(), told));
    let pulling = tokio::spawn(pull_forever(link, executor.clone(), greeted.clone()));
    Ok(Agent { orders: Orders::Pulled(pulling), heartbeat, executor, greeted })
}

/// An executor that has taken up what a former one left.
pub(crate) async fn take_up(
    options: ExecutorOptions,
    link: Arc<dyn ConductorLink>,
) -> Result<Arc<Executor>, String> {
    let state_dir = options.state_dir.clone();
    // A central agent has a login of the tenant's only while it works for one: its next action there tidies up.
    let own_login = (!options.is_central).then(|| options.auth.clone());
    let executor = Executor::new(options, link).map_err(|error| {
        let hint = match error.kind() {
            // It says itself what is to be done.
            std::io::ErrorKind::Other => "",
            _ => "; set [agent] state_dir to a folder that can be written",
        };
        format!("state folder {}: {error}{hint}", state_dir.display())
    })?;
    let left =
        executor.recover().await.map_err(|error| format!("journal in {}: {error}", state_dir.display()))?;
    tokio::spawn(snapshots::tidy_up_after_a_kill(state_dir));
    if left > 0 {
        tracing::warn!("{left} steps were left by a former start; reporting them");
        if let Some(auth) = own_login {
            tokio::spawn(temporary::tidy_up_after_a_crash(auth));
        }
    }
    Ok(executor)
}

impl Agent {
    /// Takes no more work and says no more. Running children end with their leash.
    pub async fn stop(self) {
        self.heartbeat.abort();
        match self.orders {
            Orders::Bus(server) => server.stop().await,
            Orders::Pulled(pulling) => pulling.abort(),
        }
    }
}

pub async fn run(matches: &ArgMatches, step_arguments: &[&str]) -> ExitCode {
    match serve(matches, step_arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("freezer-agent: {message}");
            ExitCode::FAILURE
        }
    }
}

async fn connect_over_http(config: &Config, step_arguments: &[&str]) -> Result<Agent, String> {
    let auth = config::auth_variables(config, std::env::vars());
    let session = http::session(&auth).map_err(|error| format!("[service_auth]: {error}"))?;
    let project = match config.opt_str("agent", "project_id") {
        Some(project) => project.to_owned(),
        None => project_of(&session).await?,
    };
    start_over_http(options_for(config, &project, step_arguments)?, session).await
}

async fn serve(matches: &ArgMatches, step_arguments: &[&str]) -> Result<(), String> {
    let config = load_config(matches)?;
    let _log = oslo_log::setup(&config, "freezer-agent").map_err(|error| error.to_string())?;
    let (agent, transport) = match config.str("agent", "link") {
        "http" => (connect_over_http(&config, step_arguments).await?, None),
        _ => {
            let options = executor_options(&config, step_arguments)?;
            let transport = oslo_messaging::config::connect(&config).map_err(|error| error.to_string())?;
            (start(options, &transport).await?, Some(transport))
        }
    };
    let metrics = crate::metrics::serve(&config, agent.greeted.clone(), agent.executor.clone());
    tracing::info!("freezer-agent {} serves", env!("CARGO_PKG_VERSION"));
    stop_signal().await;
    tracing::info!("stopping");
    metrics.abort();
    agent.stop().await;
    if let Some(transport) = transport {
        transport.close().await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_serves_all_projects_has_room_for_several() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("agent.conf");
        let most = |text: &str| {
            std::fs::write(&file, format!("[agent]\nproject_id = p\n{text}")).unwrap();
            let config = config::registry().load(LoadArgs::default().file(&file)).unwrap();
            executor_options(&config, &[]).unwrap().concurrency
        };
        assert_eq!(most(""), 1);
        assert_eq!(most("is_central = true\n"), 4);
        assert_eq!(most("is_central = true\nconcurrent_jobs = 2\n"), 2);
    }
}
