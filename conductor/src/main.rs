//! `freezer-conductor`: reads the configuration, starts the conductor, waits for a signal.

use clap::Parser;
use freezer_conductor::{ConductorOptions, ConductorParts, registry, start};
use freezer_database::{Database, DatabaseOptions};
use freezer_model::SystemClock;
use oslo_config::{Config, LoadArgs};
use std::process::ExitCode;
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};

/// Plans, hands out and supervises the runs of Freezer's jobs.
#[derive(Parser)]
#[command(name = "freezer-conductor", version)]
struct Arguments {
    /// Configuration file; may be given several times, later files win.
    #[arg(long, value_name = "FILE")]
    config_file: Vec<std::path::PathBuf>,
    /// Folder whose *.conf files are read in order of their names.
    #[arg(long, value_name = "DIR")]
    config_dir: Vec<std::path::PathBuf>,
    /// Log at DEBUG.
    #[arg(short, long)]
    debug: bool,
    /// Print a sample configuration file with every option, and end.
    #[arg(long)]
    sample_config: bool,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    match Arguments::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("freezer-conductor: {error}");
            ExitCode::FAILURE
        }
    }
}

impl Arguments {
    fn load(&self) -> Result<Config, Failure> {
        let mut args = LoadArgs::from_process();
        for file in &self.config_file {
            args = args.file(file);
        }
        for folder in &self.config_dir {
            args = args.dir(folder);
        }
        if self.debug {
            args = args.option("DEFAULT", "debug", "true");
        }
        Ok(registry("freezer-conductor").load(args)?)
    }

    fn run(&self) -> Result<(), Failure> {
        if self.sample_config {
            print!("{}", registry("freezer-conductor").sample());
            return Ok(());
        }
        let config = self.load()?;
        let log = oslo_log::setup(&config, "freezer-conductor")?;
        for warning in config.warnings() {
            tracing::warn!("{warning}");
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(serve(config, log))
    }
}

async fn serve(config: Config, log: oslo_log::Guard) -> Result<(), Failure> {
    let database = DatabaseOptions::from_config(&config);
    let db = tokio::task::spawn_blocking(move || Database::connect(&database)).await??;
    let transport = oslo_messaging::config::connect_service(&config)?;
    let options = ConductorOptions::from_config(&config)?;
    let parts = ConductorParts { db, transport: transport.clone(), clock: Arc::new(SystemClock), options };
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let conductor = tokio::select! {
        started = start(parts) => started?,
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    tracing::info!("freezer-conductor {} is at work", env!("CARGO_PKG_VERSION"));
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hang_up.recv() => log.reopen(),
        }
    }
    tracing::info!("stopping");
    conductor.stop().await;
    transport.close().await;
    Ok(())
}
