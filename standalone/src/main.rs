//! freezer-standalone: the whole service in one process, and the demo that shows it.

mod demo;
mod service;

use clap::{Parser, Subcommand};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The whole backup service in one process: REST API, conductor and agent on SQLite, an in-process bus
/// and local storage. For trying it out, and for one machine.
#[derive(Parser)]
#[command(name = "freezer-standalone", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show a scheduled backup, its increment and two restores, through the real API
    Demo(demo::DemoArgs),
    /// Run the service until Ctrl-C; everything it keeps is in one folder
    Serve {
        /// Folder of the database, the agent's state and the log
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        /// Port of the REST API on 127.0.0.1
        #[arg(long, default_value_t = 9090)]
        port: u16,
    },
    /// The program freezer-agent (see `agent --help`)
    #[command(disable_help_flag = true)]
    Agent {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<std::ffi::OsString>,
    },
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Agent { arguments } => {
            let arguments = std::iter::once("freezer-agent".into()).chain(arguments);
            return freezer_agent::command::run(arguments, &["agent"]);
        }
        Command::Demo(args) => run(demo::tell(&args)),
        Command::Serve { dir, port } => run(serve(&dir, port)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("freezer-standalone: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(work: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let outcome = runtime.block_on(work);
    runtime.shutdown_background();
    outcome
}

/// Everything the process says goes to one file in its folder.
fn log_into(folder: &Path) -> Result<(), String> {
    let registry = oslo_config::Registry::new("freezer", "freezer-standalone").groups_of(oslo_log::options());
    let log = folder.join("freezer.log").display().to_string();
    let config = registry
        .load(oslo_config::LoadArgs::default().option("DEFAULT", "log_file", log))
        .map_err(|error| error.to_string())?;
    oslo_log::setup(&config, "freezer-standalone").map(|_| ()).map_err(|error| error.to_string())
}

async fn serve(dir: &Path, port: u16) -> Result<(), String> {
    std::fs::create_dir_all(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    let dir = dir.canonicalize().map_err(|error| format!("{}: {error}", dir.display()))?;
    log_into(&dir)?;
    let service = service::Service::start(&dir, port).await?;
    println!(
        "Freezer serves on {} for project {}; client {}",
        service.url,
        service::PROJECT,
        service.client_id
    );
    println!("  curl -H 'X-Auth-Token: {}' {}/v2/{}/jobs", service::TOKEN, service.url, service::PROJECT);
    println!("Ctrl-C ends it. Log: {}", dir.join("freezer.log").display());
    freezer_agent::serve::stop_signal().await;
    service.stop().await;
    Ok(())
}
