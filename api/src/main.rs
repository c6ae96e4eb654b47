//! `freezer-api`: reads the configuration, opens the database, serves until it is told to stop.

use clap::Parser;
use freezer_api::ApiParts;
use freezer_api::notices::Notices;
use freezer_api::options::{self, AuthStrategy};
use freezer_api::pipeline::announce::Announcer;
use freezer_api::policy::Policy;
use freezer_api::serve::project_of_path;
use freezer_api::trusts::Trustees;
use freezer_database::{Database, DatabaseOptions};
use freezer_model::SystemClock;
use keystone::{AuthToken, TokenValidator};
use oslo_config::{Config, LoadArgs};
use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// Freezer's REST API.
#[derive(Parser)]
#[command(
    name = "freezer-api",
    version,
    about,
    after_help = "Configuration: --config-file FILE and --config-dir DIR, \
    repeatable, later ones win; without any, freezer.conf and freezer-api.conf in ~/.freezer, ~, /etc/freezer, /etc. \
    A sample file: freezer-manage config sample api"
)]
struct Arguments {
    /// Address to listen on, instead of [DEFAULT] bind_host
    #[arg(long)]
    bind_host: Option<String>,
    /// Port to listen on, instead of [DEFAULT] bind_port
    #[arg(long)]
    bind_port: Option<String>,
    /// Print the OpenAPI document of the REST API and end; needs no configuration
    #[arg(long)]
    openapi: bool,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("freezer-api: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let (mut load, rest) = LoadArgs::from_process().take_from(std::env::args_os())?;
    let arguments = Arguments::parse_from(rest);
    if arguments.openapi {
        return print(&format!("{:#}\n", freezer_api::openapi::document()));
    }
    for (name, value) in [("bind_host", arguments.bind_host), ("bind_port", arguments.bind_port)] {
        if let Some(value) = value {
            load = load.option("DEFAULT", name, value);
        }
    }
    let config = options::registry("freezer-api").load(load)?;
    let guard = oslo_log::setup(&config, "freezer-api")?;
    oslo_log::log_options(&config);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(2).build()?;
    let outcome = runtime.block_on(serve(config, guard));
    if let Err(error) = &outcome {
        tracing::error!("{error}");
    }
    outcome
}

/// Writes to standard output. A reader that has seen enough, such as `head`, is no failure.
fn print(text: &str) -> Result<(), Box<dyn Error>> {
    use std::io::Write;
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        outcome => Ok(outcome?),
    }
}

async fn serve(config: Config, guard: oslo_log::Guard) -> Result<(), Box<dyn Error>> {
    let mut database = DatabaseOptions::from_config(&config);
    // Whoever waits for a turn is answered in time all the same.
    let timeout = Duration::from_secs(config.int("api", "database_timeout").unsigned_abs());
    database.spool_patience = database.spool_patience.min(timeout / 3);
    let db = tokio::task::spawn_blocking(move || open(&database)).await??;
    let transport = match config.opt_str("DEFAULT", "transport_url").filter(|url| !url.is_empty()) {
        Some(_) => Some(oslo_messaging::config::connect_service(&config)?),
        None => {
            tracing::warn!(
                "[DEFAULT] transport_url is not set: conductors are not told about changes and only poll"
            );
            None
        }
    };
    let (auth, trusts) = auth(&config)?;
    let parts = ApiParts {
        db,
        policy: Policy::from_config(&config)?,
        notices: notices(&config, transport.as_ref())?,
        clock: Arc::new(SystemClock),
        auth,
        trusts,
        options: options::api(&config)?,
    };
    tokio::spawn(follow_hangups(config, guard));
    freezer_api::serve(parts).await?;
    if let Some(transport) = transport {
        transport.close().await;
    }
    Ok(())
}

/// Conductors are told when there is a bus, others when a driver for that is set.
fn notices(config: &Config, transport: Option<&oslo_messaging::Transport>) -> Result<Notices, String> {
    let notices = transport.map_or_else(Notices::default, Notices::on);
    let events = oslo_messaging::config::notifier_options(config)
        .map_err(|error| format!("[oslo_messaging_notifications] {error}"))?;
    if events.driver == oslo_messaging::NotifierDriver::Noop {
        return Ok(notices);
    }
    let own = oslo_messaging::config::connect_for_notifications(config)
        .map_err(|error| format!("[oslo_messaging_notifications] transport_url: {error}"))?;
    let Some(transport) = own.as_ref().or(transport) else { return Ok(notices) };
    let publisher = format!("freezer-api.{}", options::host());
    let notifier = oslo_messaging::Notifier::new(transport, publisher, events);
    Ok(notices.announcing(Announcer::new(notifier, config.bool("audit", "enabled"))))
}

/// A schema that is not there, or another one, gives errors on every request: better not to start.
fn open(options: &DatabaseOptions) -> Result<Database, String> {
    let db = Database::connect(options).map_err(|error| error.to_string())?;
    let version = db.version().map_err(|error| error.to_string())?;
    version.trouble().map_or(Ok(db), Err)
}

fn auth(config: &Config) -> Result<(AuthToken, Option<Trustees>), Box<dyn Error>> {
    match options::auth_strategy(config) {
        AuthStrategy::NoAuth => Ok((AuthToken::noauth(project_of_path), None)),
        AuthStrategy::Keystone => {
            let validator = TokenValidator::new(options::authtoken(config)?)?;
            let trusts = options::trusts(config, &validator)?;
            Ok((AuthToken::new(validator), Some(trusts)))
        }
    }
}

/// SIGHUP: opens the log file again and takes over a changed `debug`.
async fn follow_hangups(config: Config, guard: oslo_log::Guard) {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut hangups) = signal(SignalKind::hangup()) else { return };
    while hangups.recv().await.is_some() {
        guard.reopen();
        match config.read_again() {
            Ok(fresh) => guard.set_debug(fresh.bool("DEFAULT", "debug")),
            Err(error) => tracing::error!("configuration not read again: {error}"),
        }
    }
}
