//! Conductors as processes that are killed while they hand out, and ones that lose their way to database or broker; on MariaDB
//! with RabbitMQ. The agent is a real RPC server that counts which runs it was really given.
//!
//! `make soak` makes it longer (10,000 jobs, 20 rounds: half an hour) and wants what a killed conductor had not sent from the other one
//! within 5 s.
#![cfg(feature = "mysql")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "suite/stage.rs"]
#[allow(dead_code)]
mod stage;

use freezer_conductor::{ConductorOptions, ConductorParts, start};
use freezer_database::{Database, DatabaseOptions, DbError, Page, RunFilter, Tx};
use freezer_model::rpc::Verdict;
use freezer_model::*;
use freezer_testkit::{Daemon, TestDatabase, TestVhost, wire};
use oslo_messaging::{Context, RabbitOptions, Transport};
use serde_json::json;
use stage::*;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

fn setting(name: &str, usual: usize) -> usize {
    std::env::var(name).ok().map_or(usual, |text| text.parse().expect("a number"))
}

fn conductor(folder: &Path, name: &str, database: &str, bus: &str) -> Daemon {
    let config = folder.join(format!("{name}.conf"));
    let text = format!(
        "[DEFAULT]\ntransport_url = {bus}\n[database]\nconnection = {database}\n[conductor]\npoll_interval = 0.2\n\
         heartbeat_interval = 1\n"
    );
    std::fs::write(&config, text).unwrap();
    let arguments = ["--config-file", config.to_str().unwrap()];
    let program = PathBuf::from(env!("CARGO_BIN_EXE_freezer-conductor"));
    Daemon::new(name, program, &arguments, folder.join(format!("{name}.log")))
}

/// What the agent saw.
#[derive(Default)]
struct Seen {
    /// How often each run was begun under a valid epoch.
    begun: HashMap<RunId, usize>,
    /// From the kill to the last of the orders that had been handed out and were not sent, from another conductor; none when it left none.
    taken_over: Option<Duration>,
}

/// Runs that were handed out and of which nobody has noted that the broker took the order.
fn unsent(stage: &Stage) -> HashSet<RunId> {
    let filter = RunFilter { state: Some(RunState::Dispatched), ..RunFilter::default() };
    let all = |tx: &mut Tx| tx.runs().list(&ProjectId::from("p"), &filter, None, Page::ALL);
    let unsent = stage.db.read(all).unwrap().into_iter().filter(|run| run.is_unsent);
    unsent.map(|run| run.run_id).collect()
}

/// Kills the conductor when it has handed out what it has not sent, and answers what that is: it is stopped while one looks, and what
/// the other one is about to send goes its way meanwhile.
fn kill_at_it(stage: &Stage, one: &mut Daemon, is_last_chance: bool) -> Option<HashSet<RunId>> {
    const ON_THEIR_WAY: Duration = Duration::from_millis(100);
    one.pause();
    let mut left = unsent(stage);
    if !left.is_empty() {
        std::thread::sleep(ON_THEIR_WAY);
        let still = unsent(stage);
        left.retain(|run| still.contains(run));
    }
    if left.is_empty() && !is_last_chance {
        one.resume();
        return None;
    }
    one.kill();
    Some(left)
}

/// Takes orders until so many runs have ended, several at a time as a busy agent does. From so many orders on every so many-th of them
/// calls `kill`, twenty times at most, until it has killed; the last time it must.
async fn work(
    agent: &Arc<Agent>,
    count: usize,
    kill_at: usize,
    mut kill: impl FnMut(bool) -> Option<HashSet<RunId>>,
) -> Seen {
    let (mut seen, mut ended, mut came) = (Seen::default(), 0, 0);
    let mut killed: Option<(Instant, HashSet<RunId>)> = None;
    let step = (count / 160).max(1);
    let room = Arc::new(Semaphore::new(16));
    let mut steps = JoinSet::new();
    let beats = tokio::spawn(beat(agent.clone()));
    while ended < count {
        tokio::select! {
            order = agent.order() => {
                came += 1;
                if killed.is_none() && came >= kill_at && (came - kill_at).is_multiple_of(step) {
                    killed = kill(came >= kill_at + 19 * step).map(|left| (Instant::now(), left));
                }
                if let Some((at, left)) = &mut killed
                    && left.remove(&order.run_id)
                    && order.epoch > Epoch(1)
                {
                    // It comes for the first time since then, and under the epoch of another.
                    seen.taken_over = Some(at.elapsed());
                }
                let (agent, room) = (agent.clone(), room.clone());
                steps.spawn(async move {
                    let _permit = room.acquire_owned().await;
                    let is_begun = agent.started(&order).await == Verdict::Continue;
                    let is_ended =
                        is_begun && agent.finished(&order, StepOutcome::Success, json!({})).await == Verdict::Continue;
                    agent.give_up(&order);
                    (order.run_id, is_begun, is_ended)
                });
            }
            Some(step) = steps.join_next() => {
                let (run, is_begun, is_ended) = step.unwrap();
                *seen.begun.entry(run).or_default() += usize::from(is_begun);
                ended += usize::from(is_ended);
            }
        }
    }
    beats.abort();
    while let Some(step) = steps.join_next().await {
        assert!(!step.unwrap().1, "a run was begun after all had ended");
    }
    seen
}

/// Takes orders until the runs of [`put_many`]'s jobs have ended, each begun once; `seen` have ended already. What was handed out
/// in vain comes back when its lease ends: time is moved for that.
async fn each_runs_once(stage: &Stage, agent: &Agent, mut seen: HashMap<RunId, usize>, jobs: usize) {
    while seen.len() < jobs {
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
    assert!(seen.values().all(|times| *times == 1), "{seen:?}");
    for n in 0..jobs {
        let runs = stage.runs(&format!("j{n}"));
        assert_eq!((runs.len(), runs[0].state), (1, RunState::Success), "j{n}");
    }
}

/// Heartbeats with what has been accepted, one after another. One that nobody answers (between a kill and the other
/// conductor's turn at the queue) is said again by the call itself.
async fn beat(agent: Arc<Agent>) {
    let mut beat = tokio::time::interval(Duration::from_secs(1));
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        beat.tick().await;
        agent.heartbeat(agent.accepted()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_conductor_loses_and_doubles_nothing() {
    /// What was not noted may have been sent; not so often in a row.
    const FURTHER_ROUNDS: usize = 20;
    let jobs = setting("FREEZER_TEST_KILL_JOBS", 300);
    let rounds = setting("FREEZER_TEST_KILL_ROUNDS", 2);
    // Beside all other tests nobody is quick.
    let limit = Duration::from_secs(setting("FREEZER_TEST_KILL_SECONDS", 120) as u64);
    let mut taken_over: Vec<Duration> = Vec::new();
    let mut round = 0;
    while round < rounds || taken_over.is_empty() {
        assert!(round < rounds + FURTHER_ROUNDS, "no kill has left an order that was not sent");
        taken_over.extend(kill_one_of_two(round, jobs).await);
        round += 1;
    }
    let longest = taken_over.iter().max().unwrap();
    println!(
        "{} of {round} kills left something; it was taken over after {longest:?} at most",
        taken_over.len()
    );
    assert!(*longest <= limit, "taken over after {taken_over:?}");
}

/// Two conductors hand out so many jobs, and one of them is killed meanwhile. How long it took until the other one had sent what
/// that one had not.
async fn kill_one_of_two(round: usize, jobs: usize) -> Option<Duration> {
    let folder = tempfile::tempdir().unwrap();
    let (database, vhost) = (TestDatabase::create(), TestVhost::create());
    let stage = Stage::over(&database.url(), &vhost.url());
    // Daemons have the real clock.
    stage.clock.set(SystemClock.now());
    let mut one = conductor(folder.path(), "one", &database.url(), &vhost.url());
    let mut two = conductor(folder.path(), "two", &database.url(), &vhost.url());
    one.start();
    let agent = Arc::new(Agent::start(&stage).await);
    two.start();
    stage.eventually("the other one listens", |_| two.log().contains("is at work")).await;
    put_many(&stage, jobs);
    let kill_at = (jobs * (1 + round % 6) / 8).max(1);
    let seen = work(&agent, jobs, kill_at, |last| kill_at_it(&stage, &mut one, last)).await;
    println!(
        "round {round}: killed after {kill_at} orders or some more; what it had not sent came {:?} later",
        seen.taken_over
    );
    assert_eq!(seen.begun.len(), jobs, "{}", two.last_words());
    assert!(seen.begun.values().all(|times| *times == 1), "a run was begun twice");
    let all = |tx: &mut Tx| tx.runs().list(&ProjectId::from("p"), &RunFilter::default(), None, Page::ALL);
    let runs = stage.db.read(all).unwrap();
    assert!(runs.iter().all(|run| run.state == RunState::Success));
    let ran: HashSet<&JobId> = runs.iter().map(|run| &run.job_id).collect();
    assert_eq!((runs.len(), ran.len()), (jobs, jobs));
    seen.taken_over
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
    each_runs_once(&stage, &agent, HashMap::from([(first.run_id, 1)]), JOBS).await;
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

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_database_holds_few_threads_and_is_not_stormed() {
    const REPORTS: usize = 150;
    /// Places for work on the database, the pool's own threads, and some that the test needs.
    const FEW: usize = 40;
    let (database, vhost) = (TestDatabase::create(), TestVhost::create());
    let stage = Stage::over(&database.url(), &vhost.url());
    let wire = wire::Wire::start(&database.url()).await;
    let options = DatabaseOptions::new(wire.url());
    let far = tokio::task::spawn_blocking(move || Database::connect(&options).unwrap()).await.unwrap();
    let options = ConductorOptions {
        poll_interval: Duration::from_millis(20),
        database_timeout: Duration::from_secs(1),
        ..ConductorOptions::default()
    };
    let (transport, clock) = (stage.transport(), stage.clock.clone() as Arc<dyn Clock>);
    let conductor = start(ConductorParts { db: far, transport, clock, options }).await.unwrap();
    let agent = Arc::new(Agent::start(&stage).await);
    let (before, began) = (threads(), Instant::now());
    wire.silence();
    let mut reports = JoinSet::new();
    for _ in 0..REPORTS {
        let agent = agent.clone();
        let report = json!({"run_id": RunId::random(), "epoch": 1, "pid": 1});
        reports.spawn(async move { agent.calls.call(&Context::new(), "step_started", report).await });
    }
    let mut most = 0;
    while let Some(report) = reports.join_next().await {
        assert!(report.unwrap().is_err(), "nothing can be noted without the database");
        most = most.max(threads());
    }
    assert!(most <= before + FEW, "{most} threads, {before} before");
    let (attempts, seconds) = (wire.attempts(), began.elapsed().as_secs() as usize);
    assert!(attempts <= FEW + 5 * seconds, "{attempts} connections in {seconds} s");
    // It is back with its database.
    wire.cut();
    wire.speak();
    stage.put_job("after", json!({"schedule_date": "2026-01-01T00:00:00"}), &[backup_of("after")]);
    assert_eq!(agent.work(StepOutcome::Success).await.job_id.as_str(), "after");
    conductor.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_was_away_finds_all_jobs_and_is_not_stormed() {
    const JOBS: usize = 20;
    let (database, vhost) = (TestDatabase::create(), TestVhost::create());
    let stage = Stage::over(&database.url(), &vhost.url());
    let wire = wire::Wire::start(&vhost.url()).await;
    let transport = Transport::connect(wire.url(), RabbitOptions::of_service()).unwrap();
    let options = ConductorOptions {
        poll_interval: Duration::from_millis(20),
        lease: LEASE,
        ..ConductorOptions::default()
    };
    let (db, clock) = (stage.db.clone(), stage.clock.clone() as Arc<dyn Clock>);
    let conductor = start(ConductorParts { db, transport, clock, options }).await.unwrap();
    let agent = Agent::start(&stage).await;
    stage.put_job("before", json!({"schedule_date": "2026-01-01T00:00:00"}), &[backup_of("before")]);
    agent.work(StepOutcome::Success).await;

    let connections = wire.attempts();
    wire.down();
    put_many(&stage, JOBS);
    // Until each connection was sought in three rounds: by then the pauses are as long as they get.
    let began = Instant::now();
    while wire.attempts() < 4 * connections {
        assert!(began.elapsed() < PATIENCE, "the broker is not sought");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (sought, seconds) = (wire.attempts() - connections, began.elapsed().as_secs() as usize);
    assert!(
        sought <= connections * (seconds + 3),
        "{sought} attempts in {seconds} s for {connections} connections"
    );
    wire.up();
    each_runs_once(&stage, &agent, HashMap::new(), JOBS).await;
    conductor.stop().await;
}
