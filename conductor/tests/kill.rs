//! Conductors as processes that are killed while they hand out, and one that loses its way to the database; on MariaDB
//! with RabbitMQ. The agent is a real RPC server that counts which runs it was really given.
//!
//! FREEZER_TEST_KILL_JOBS and FREEZER_TEST_KILL_ROUNDS make it longer (10000 and 20: an hour's run).
#![cfg(feature = "mysql")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "suite/stage.rs"]
#[allow(dead_code)]
mod stage;
#[path = "suite/wire.rs"]
mod wire;

use freezer_conductor::{ConductorOptions, ConductorParts, start};
use freezer_database::{Database, DatabaseOptions, DbError};
use freezer_model::rpc::Verdict;
use freezer_model::*;
use freezer_testkit::{Daemon, TestDatabase, TestVhost};
use serde_json::json;
use stage::*;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

fn setting(name: &str, usual: usize) -> usize {
    std::env::var(name).ok().map_or(usual, |text| text.parse().expect("a number"))
}

fn conductor(folder: &Path, name: &str, database: &str, bus: &str) -> Daemon {
    let config = folder.join(format!("{name}.conf"));
    let text = format!(
        "[DEFAULT]\ntransport_url = {bus}\n[database]\nconnection = {database}\n[conductor]\npoll_interval = 0.2\n\
         heartbeat_interval = 1\nlease = 3\n"
    );
    std::fs::write(&config, text).unwrap();
    let arguments = ["--config-file", config.to_str().unwrap()];
    let program = PathBuf::from(env!("CARGO_BIN_EXE_freezer-conductor"));
    Daemon::new(name, program, &arguments, folder.join(format!("{name}.log")))
}

/// Takes orders until so many runs have ended, and answers how often each was begun under a valid epoch.
async fn work(agent: &Agent, count: usize, mut after: impl FnMut(usize)) -> HashMap<RunId, usize> {
    let mut begun: HashMap<RunId, usize> = HashMap::new();
    let mut ended = 0;
    let mut beat = tokio::time::interval(Duration::from_secs(1));
    while ended < count {
        let order = tokio::select! {
            order = agent.order() => order,
            _ = beat.tick() => {
                // Nobody answers between a kill and the other conductor's turn at the queue: it is said again.
                let _ = tokio::time::timeout(Duration::from_secs(5), agent.heartbeat(vec![])).await;
                continue;
            }
        };
        if agent.started(&order).await == Verdict::Continue {
            *begun.entry(order.run_id.clone()).or_default() += 1;
            if agent.finished(&order, StepOutcome::Success, json!({})).await == Verdict::Continue {
                ended += 1;
                after(ended);
            }
        }
    }
    begun
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_conductor_loses_and_doubles_nothing() {
    let jobs = setting("FREEZER_TEST_KILL_JOBS", 300);
    for round in 0..setting("FREEZER_TEST_KILL_ROUNDS", 2) {
        let folder = tempfile::tempdir().unwrap();
        let (database, vhost) = (TestDatabase::create(), TestVhost::create());
        let stage = Stage::over(&database.url(), &vhost.url());
        // Daemons have the real clock.
        stage.clock.set(SystemClock.now());
        let mut one = conductor(folder.path(), "one", &database.url(), &vhost.url());
        let mut two = conductor(folder.path(), "two", &database.url(), &vhost.url());
        one.start();
        let agent = Agent::start(&stage).await;
        put_many(&stage, jobs);
        two.start();
        let kill_at = jobs * (1 + round % 5) / 8;
        let begun = work(&agent, jobs, |ended| {
            if ended == kill_at {
                one.kill();
            }
        })
        .await;
        assert_eq!(begun.len(), jobs, "{}", two.last_words());
        assert!(begun.values().all(|times| *times == 1), "a run was begun twice");
        for n in 0..jobs {
            let runs = stage.runs(&format!("j{n}"));
            assert_eq!((runs.len(), runs[0].state), (1, RunState::Success), "j{n}");
        }
        agent.leave().await;
    }
}

fn put_many(stage: &Stage, count: usize) {
    let numbers: Vec<usize> = (0..count).collect();
    for some in numbers.chunks(200) {
        stage
            .db
            .transaction(|tx| -> Result<(), DbError> {
                for n in some {
                    let action = backup_of(&format!("b{n}"));
                    tx.actions().insert(&action)?;
                    let job =
                        job_of(&format!("j{n}"), json!({"schedule_date": "2026-01-01T00:00:00"}), &[action]);
                    tx.jobs().insert(&job)?;
                    tx.jobs().request_attention(&job.project_id, &job.job_id, Timestamp(1))?;
                }
                Ok(())
            })
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conductor_without_its_database_holds_up_nobody() {
    const JOBS: usize = 120;
    let (database, vhost) = (TestDatabase::create(), TestVhost::create());
    let stage = Stage::over(&database.url(), &vhost.url());
    let wire = wire::Wire::start(&database.url()).await;
    let mut options = DatabaseOptions::new(wire.url());
    options.idle_transaction_timeout = Duration::from_secs(2);
    let far = tokio::task::spawn_blocking(move || Database::connect(&options).unwrap()).await.unwrap();
    let options = ConductorOptions {
        poll_interval: Duration::from_millis(20),
        lease: LEASE,
        database_timeout: Duration::from_secs(1),
        ..ConductorOptions::default()
    };
    let parts = ConductorParts {
        db: far,
        transport: stage.transport(),
        clock: stage.clock.clone() as Arc<dyn Clock>,
        options,
    };
    let cut_off = start(parts).await.unwrap();
    let agent = Agent::start(&stage).await;
    put_many(&stage, JOBS);
    // In the middle of its work the wire falls silent: connections stay open, and nothing arrives any more.
    let first = agent.work(StepOutcome::Success).await;
    wire.silence();
    let other = stage.conductor().await;
    // What the first one has handed out and not sent comes back when its lease ends; time is moved for that.
    let mut seen = HashMap::from([(first.run_id, 1)]);
    while seen.len() < JOBS {
        tokio::select! {
            order = agent.order() => {
                if agent.started(&order).await == Verdict::Continue {
                    *seen.entry(order.run_id.clone()).or_insert(0) += 1;
                    agent.finished(&order, StepOutcome::Success, json!({})).await;
                }
            }
            () = tokio::time::sleep(Duration::from_millis(300)) => {
                stage.clock.advance(Duration::from_secs(5));
                agent.heartbeat(vec![]).await;
            }
        }
    }
    assert!(seen.values().all(|times| *times == 1));
    for n in 0..JOBS {
        let runs = stage.runs(&format!("j{n}"));
        assert_eq!((runs.len(), runs[0].state), (1, RunState::Success), "j{n}");
    }
    // It comes back to a database that has given it up, and works on.
    wire.cut();
    wire.speak();
    stage.put_job("after", json!({"schedule_date": "2026-01-01T00:00:00"}), &[backup_of("after")]);
    other.stop().await;
    stage.clock.advance(LEASE);
    let mut last = agent.order().await;
    while last.job_id.as_str() != "after" {
        last = agent.order().await;
    }
    cut_off.stop().await;
}
