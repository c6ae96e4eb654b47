//! The daemon without a service: jobs are read, looked at and handed to the executor until it is told to stop; SIGHUP reads
//! configuration and job files again.

use super::desk::Desk;
use super::files::{self, Found};
use super::link::DeskLink;
use crate::daemon::Executor;
use crate::scheduler::config;
use crate::scheduler::exit::Failure;
use crate::scheduler::serve::{make_state_dir, reload};
use crate::serve::{stop_signal, take_up};
use freezer_model::rpc::RunAction;
use freezer_model::{ClientId, Clock, SystemClock};
use oslo_config::Config;
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};

/// What is wrong with the folder and its files is better said by `start` than in a log.
pub fn check(config: &Config) -> Result<(), Failure> {
    let options = config::options_alone(config).map_err(Failure::setup)?;
    let found = find(config, &options.client_id).map_err(Failure::setup)?;
    for (path, why) in found.refused {
        eprintln!("freezer-scheduler: job file {} is passed over: {why}", path.display());
    }
    Ok(())
}

fn find(config: &Config, client: &ClientId) -> Result<Found, String> {
    files::find(&config::jobs_dir(config), client, SystemClock.now())
}

/// Runs until it is stopped.
pub async fn serve(config: Config, log: &oslo_log::Guard) -> Result<(), String> {
    let mut stop = std::pin::pin!(stop_signal());
    let mut hangups = signal(SignalKind::hangup()).map_err(|error| error.to_string())?;
    let options = config::options_alone(&config)?;
    let client = options.client_id.clone();
    let found = find(&config, &client)?;
    make_state_dir(&options.state_dir)?;
    let desk = Desk::open(&options.state_dir, Arc::new(SystemClock))
        .map_err(|error| format!("state folder {}: {error}", options.state_dir.display()))?;
    let desk = Arc::new(desk);
    // Before the executor reports what a former daemon left.
    let fresh = desk.take_over(found);
    let executor = take_up(options, Arc::new(DeskLink(desk.clone()))).await?;
    desk.take_back(&fresh, &executor.known_steps().held);
    tracing::info!("freezer-scheduler {} runs job files, without a service", env!("CARGO_PKG_VERSION"));
    // A configuration that cannot be read brings back no folder of jobs that was left.
    let mut last = None;
    loop {
        let (orders, pause) = desk.look();
        for order in orders {
            hand(&desk, &executor, order);
        }
        tokio::select! {
            () = &mut stop => break,
            hangup = hangups.recv() => {
                if hangup.is_none() {
                    break;
                }
                log.reopen();
                last = reload(&config, &executor, log, config::options_alone).or(last);
                match find(last.as_ref().unwrap_or(&config), &client) {
                    Ok(found) => {
                        let fresh = desk.take_over(found);
                        desk.take_back(&fresh, &executor.known_steps().held);
                        tracing::info!("the job files were read again");
                    }
                    Err(error) => tracing::error!("the jobs go on as they were: {error}"),
                }
            }
            () = desk.changed() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
    tracing::info!("stopping");
    Ok(())
}

fn hand(desk: &Desk, executor: &Arc<Executor>, order: RunAction) {
    if let Err(error) = executor.run_action(order.clone()) {
        tracing::error!("run {} waits: its journal entry cannot be written: {error}", order.run_id);
        desk.give_back(&order);
    }
}
