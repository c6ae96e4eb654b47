//! Ten thousand agents on one conductor: what their heartbeats and a modest number of jobs cost it. The conductor is the real
//! program as a process of its own; agents have a queue each, and share connections, as the machine is one.

use crate::Failure;
use crate::place::{client_of, hello, job, spread};
use freezer_database::{Database, DatabaseOptions, DbError};
use freezer_model::rpc::{AGENT_TOPIC, CONDUCTOR_TOPIC, EXCHANGE, HelloReply, RunAction, VERSION};
use freezer_model::{Clock, SystemClock, Timestamp};
use freezer_testkit::{Daemon, TestDatabase, TestVhost};
use futures_util::StreamExt;
use lapin::options::{BasicConsumeOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use oslo_messaging::{Context, RabbitOptions, RpcClient, Target, Transport};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What is to be measured.
pub struct Crowd {
    pub agents: usize,
    /// Jobs a second.
    pub rate: usize,
    pub seconds: usize,
}

const CONNECTIONS: usize = 20;
/// Of all cores, the conductor: what else a controller runs (API, database, broker) is printed beside it.
const MOST_PERCENT: f64 = 35.0;
const TRANSPORTS: usize = 4;

#[derive(Default)]
struct Counts {
    heartbeats: AtomicUsize,
    failed: AtomicUsize,
    finished: AtomicUsize,
    waits: Mutex<Vec<i64>>,
}

/// CPU seconds used so far by all processes of that name.
fn cpu_of(name: &str) -> f64 {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let named = processes.filter(|entry| {
        std::fs::read_to_string(entry.path().join("comm")).is_ok_and(|comm| comm.trim() == name)
    });
    named.filter_map(|entry| cpu_in(&entry.path().join("stat"))).sum()
}

fn cpu_in(stat: &std::path::Path) -> Option<f64> {
    let text = std::fs::read_to_string(stat).ok()?;
    // After the name, which may hold anything: state is field 3, user and system time are 14 and 15, in 1/100 s.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |n: usize| fields.get(n).and_then(|word| word.parse::<f64>().ok());
    Some((ticks(11)? + ticks(12)?) / 100.0)
}

fn resident_mib(pid: u32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
    let pages = text.split_whitespace().nth(1).and_then(|word| word.parse::<f64>().ok());
    pages.unwrap_or(0.0) * 4096.0 / 1_048_576.0
}

pub async fn measure(wanted: &Crowd, judge: &mut crate::Judge) -> Result<(), Failure> {
    let (database, vhost) = (TestDatabase::create(), TestVhost::create());
    let db = Database::connect(&DatabaseOptions::new(database.url()))?;
    db.sync()?;
    register(&db, wanted.agents)?;
    let folder = std::env::temp_dir().join(format!("freezer-crowd-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let mut conductor = conductor(&folder, &database.url(), &vhost.url())?;
    conductor.start();
    let counts = Arc::new(Counts::default());
    let mut calls = Vec::new();
    for _ in 0..TRANSPORTS {
        let transport = Transport::connect(&vhost.url(), RabbitOptions::default())?;
        let target = Target::topic(CONDUCTOR_TOPIC).exchange(EXCHANGE).version(VERSION);
        calls.push(RpcClient::new(&transport, target).timeout(Duration::from_secs(30)));
    }
    let calls: Arc<[RpcClient]> = calls.into();
    // Until it answers: exchange and queues are there then.
    let first = calls.first().ok_or("no transport")?.clone().timeout(Duration::from_secs(2));
    while first.call(&Context::new(), "agent_heartbeat", json!(hello(0))).await.is_err() {}
    let listening = listen(&vhost.url(), wanted.agents, &calls, &counts).await?;
    println!("{} agents listen", wanted.agents);
    for n in 0..wanted.agents {
        tokio::spawn(beat(n, wanted.agents, calls.clone(), counts.clone()));
    }
    // Until all have spoken once, half a minute after each other.
    while counts.heartbeats.load(Ordering::Relaxed) < wanted.agents {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let pid = conductor.pid().ok_or("the conductor does not run")?;
    put_jobs(&db, wanted)?;
    let used = || {
        let own = cpu_in(std::path::Path::new(&format!("/proc/{pid}/stat"))).unwrap_or(0.0);
        [own, cpu_of("mariadbd"), cpu_of("beam.smp")]
    };
    let (before, began) = (used(), Instant::now());
    let beats = counts.heartbeats.load(Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(wanted.seconds as u64)).await;
    let (after, took) = (used(), began.elapsed().as_secs_f64());
    let beats = counts.heartbeats.load(Ordering::Relaxed) - beats;
    let machine = std::thread::available_parallelism()?.get() as f64;
    let shares = before.iter().zip(after).map(|(before, after)| 100.0 * (after - before) / took / machine);
    let shares: Vec<f64> = shares.collect();
    let share = |n: usize| shares.get(n).copied().unwrap_or(0.0);
    println!(
        "{} agents, {:.0} heartbeats/s, {:.1} jobs/s ended, for {took:.0} s: conductor {:.1} % of the machine's {machine} \
         cores (must 35), {:.0} MiB; all mariadbd {:.1} %, all beam.smp {:.1} % (shared with whatever else runs)",
        wanted.agents,
        beats as f64 / took,
        counts.finished.load(Ordering::Relaxed) as f64 / took,
        share(0),
        resident_mib(pid),
        share(1),
        share(2)
    );
    let mut waits = std::mem::take(&mut *counts.waits.lock().unwrap_or_else(PoisonError::into_inner));
    println!("a heartbeat is answered in: {}", spread(&mut waits));
    let failed = counts.failed.load(Ordering::Relaxed);
    println!("calls that failed: {failed}");
    drop(listening);
    conductor.stop(Duration::from_secs(20));
    std::fs::remove_dir_all(&folder)?;
    judge.must(
        share(0) <= MOST_PERCENT,
        format!("the conductor took {:.1} %, must be {MOST_PERCENT}", share(0)),
    );
    judge.must(failed == 0, format!("{failed} calls failed"));
    Ok(())
}

fn conductor(folder: &std::path::Path, database: &str, bus: &str) -> Result<Daemon, Failure> {
    let config = folder.join("conductor.conf");
    let text = format!("[DEFAULT]\ntransport_url = {bus}\n[database]\nconnection = {database}\n");
    std::fs::write(&config, text)?;
    let program = std::env::current_exe()?.with_file_name("freezer-conductor");
    let config = config.display().to_string();
    Ok(Daemon::new("conductor", program, &["--config-file", &config], folder.join("conductor.log")))
}

fn register(db: &Database, agents: usize) -> Result<(), DbError> {
    for start in (0..agents).step_by(500) {
        db.transaction(|tx| -> Result<(), DbError> {
            (start..agents.min(start + 500))
                .try_for_each(|n| tx.clients().insert(&crate::place::client(n, false)))
        })?;
    }
    Ok(())
}

fn put_jobs(db: &Database, wanted: &Crowd) -> Result<(), DbError> {
    let now = SystemClock.now();
    let count = wanted.rate * wanted.seconds;
    for start in (0..count).step_by(500) {
        db.transaction(|tx| -> Result<(), DbError> {
            for n in start..count.min(start + 500) {
                let job = job(n, wanted.agents, now);
                job.actions.iter().try_for_each(|action| tx.actions().insert(action))?;
                tx.jobs().insert(&job)?;
                let due = Timestamp(now.0 + (n * 1000 / wanted.rate.max(1)) as i64);
                tx.jobs().request_attention(&job.project_id, &job.job_id, due)?;
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// A queue for each agent; what arrives is begun and ended.
async fn listen(
    url: &str,
    agents: usize,
    calls: &Arc<[RpcClient]>,
    counts: &Arc<Counts>,
) -> Result<Vec<lapin::Connection>, Failure> {
    let url = url.replacen("rabbit://", "amqp://", 1);
    let mut connections = Vec::new();
    for part in 0..CONNECTIONS {
        let connection = lapin::Connection::connect(&url, lapin::ConnectionProperties::default()).await?;
        for n in (part..agents).step_by(CONNECTIONS) {
            let queue = format!("{AGENT_TOPIC}.{}", client_of(n));
            let channel = connection.create_channel().await?;
            let options = QueueDeclareOptions { auto_delete: true, ..QueueDeclareOptions::default() };
            channel.queue_declare(queue.as_str().into(), options, FieldTable::default()).await?;
            channel
                .queue_bind(
                    queue.as_str().into(),
                    EXCHANGE.into(),
                    queue.as_str().into(),
                    QueueBindOptions::default(),
                    FieldTable::default(),
                )
                .await?;
            let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
            let orders = channel
                .basic_consume(queue.as_str().into(), "1".into(), options, FieldTable::default())
                .await?;
            tokio::spawn(work(n, channel, orders, calls.clone(), counts.clone()));
        }
        connections.push(connection);
    }
    Ok(connections)
}

async fn work(
    n: usize,
    _channel: lapin::Channel,
    mut orders: lapin::Consumer,
    calls: Arc<[RpcClient]>,
    counts: Arc<Counts>,
) {
    while let Some(Ok(delivery)) = orders.next().await {
        let Some(order) = order_in(&delivery.data) else { continue };
        let Some(own) = calls.get(n % calls.len()) else { return };
        let key = json!({"run_id": order.run_id, "epoch": order.epoch});
        let with = |more: Value| {
            let mut all = crate::place::object(key.clone());
            all.extend(crate::place::object(more));
            Value::Object(all)
        };
        let started = own.call(&Context::new(), "step_started", with(json!({"pid": 1}))).await;
        let end = json!({"outcome": "success", "exit_code": 0, "error": null, "result": {},
            "progress": freezer_model::Progress::default()});
        let ended = own.call(&Context::new(), "step_finished", with(end)).await;
        let field = if started.is_ok() && ended.is_ok() { &counts.finished } else { &counts.failed };
        field.fetch_add(1, Ordering::Relaxed);
    }
}

fn order_in(body: &[u8]) -> Option<RunAction> {
    let envelope: Value = serde_json::from_slice(body).ok()?;
    let message: Value = serde_json::from_str(envelope.get("oslo.message")?.as_str()?).ok()?;
    serde_json::from_value(message.get("args")?.clone()).ok()
}

/// Beats for ever, at the pace that the conductor asks for.
async fn beat(n: usize, agents: usize, calls: Arc<[RpcClient]>, counts: Arc<Counts>) {
    tokio::time::sleep(Duration::from_secs_f64(30.0 * n as f64 / agents as f64)).await;
    loop {
        let began = Instant::now();
        let Some(own) = calls.get(n % calls.len()) else { return };
        let answer = own.call(&Context::new(), "agent_heartbeat", json!(hello(n))).await;
        let reply = answer.ok().and_then(|value| serde_json::from_value::<HelloReply>(value).ok());
        let pause = match reply {
            Some(reply) => {
                counts.heartbeats.fetch_add(1, Ordering::Relaxed);
                let wait = i64::try_from(began.elapsed().as_millis()).unwrap_or(i64::MAX);
                counts.waits.lock().unwrap_or_else(PoisonError::into_inner).push(wait);
                reply.heartbeat_secs
            }
            None => {
                counts.failed.fetch_add(1, Ordering::Relaxed);
                5
            }
        };
        tokio::time::sleep(Duration::from_secs(pause)).await;
    }
}
