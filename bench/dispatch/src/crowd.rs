//! Ten thousand agents on one conductor: what their heartbeats and a modest number of jobs cost it. The conductor is the real
//! program as a process of its own; agents have a queue each, and share connections, as the machine is one.

use crate::Failure;
use crate::place::{client_of, hello, job, spread};
use freezer_database::{Database, DatabaseOptions, DbError};
use freezer_model::rpc::{AGENT_TOPIC, CONDUCTOR_TOPIC, EXCHANGE, HelloReply, RunAction, VERSION};
use freezer_model::{Clock, SystemClock};
use freezer_testkit::{Daemon, TestDatabase, TestVhost};
use futures_util::StreamExt;
use lapin::options::{BasicConsumeOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use oslo_messaging::{Context, RabbitOptions, RpcClient, Target, Transport};
use serde_json::{Value, json};
use std::path::PathBuf;
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
/// What the conductor may take of a controller's two cores, however many this machine has. What else a controller runs (API,
/// database, broker) is printed beside it.
const MOST_PERCENT: f64 = 35.0;
const CORES: f64 = 2.0;
/// The part of the jobs that must end in the time in which they become due: a conductor that does little is idle.
const LEAST_ENDED: f64 = 0.9;
/// For the others, which were due last.
const PATIENCE: Duration = Duration::from_secs(60);
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

/// A conductor as a process, and agents that beat and work.
struct Scene {
    db: Database,
    conductor: Daemon,
    counts: Arc<Counts>,
    folder: PathBuf,
    _listening: Vec<lapin::Connection>,
    _database: TestDatabase,
    _vhost: TestVhost,
}

/// What happened while jobs became due.
struct Window {
    secs: f64,
    beats: usize,
    ended: usize,
    /// Of two cores, in percent: the conductor, all `mariadbd`, all `beam.smp`.
    shares: [f64; 3],
}

pub async fn measure(wanted: &Crowd, judge: &mut crate::Judge) -> Result<(), Failure> {
    let scene = Scene::set(wanted).await?;
    let window = scene.watch(wanted).await?;
    let rate = window.ended as f64 / window.secs;
    let [conductor, databases, brokers] = window.shares;
    println!(
        "{} agents, {:.0} heartbeats/s, {rate:.1} of {} jobs/s ended, for {:.0} s: conductor {conductor:.1} % of {CORES} cores \
         (must {MOST_PERCENT}), {:.0} MiB; all mariadbd {databases:.1} %, all beam.smp {brokers:.1} % (shared with whatever else runs)",
        wanted.agents,
        window.beats as f64 / window.secs,
        wanted.rate,
        window.secs,
        resident_mib(scene.pid()?),
    );
    scene.until_all_have_ended(wanted.jobs()).await;
    let mut waits = std::mem::take(&mut *scene.counts.waits.lock().unwrap_or_else(PoisonError::into_inner));
    println!("a heartbeat is answered in: {}", spread(&mut waits));
    let (ended, failed) = (scene.counts.ended(), scene.counts.failed.load(Ordering::Relaxed));
    println!("jobs that ended: {ended} of {}; calls that failed: {failed}", wanted.jobs());
    scene.close()?;
    judge.must(
        conductor <= MOST_PERCENT,
        format!("the conductor took {conductor:.1} % of {CORES} cores, must be {MOST_PERCENT}"),
    );
    let least = LEAST_ENDED * wanted.rate as f64;
    judge.must(rate >= least, format!("{rate:.1} jobs/s ended, must be {least:.1}"));
    judge.must(ended == wanted.jobs(), format!("{ended} of {} jobs ended", wanted.jobs()));
    judge.must(failed == 0, format!("{failed} calls failed"));
    Ok(())
}

impl Crowd {
    fn jobs(&self) -> usize {
        self.rate * self.seconds
    }
}

impl Counts {
    fn ended(&self) -> usize {
        self.finished.load(Ordering::Relaxed)
    }
}

impl Scene {
    /// Until every agent has spoken once.
    async fn set(wanted: &Crowd) -> Result<Self, Failure> {
        let (database, vhost) = (TestDatabase::create(), TestVhost::create());
        let db = Database::connect(&DatabaseOptions::new(database.url()))?;
        db.sync()?;
        register(&db, wanted.agents)?;
        let folder = std::env::temp_dir().join(format!("freezer-crowd-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let mut conductor = conductor(&folder, &database.url(), &vhost.url())?;
        conductor.start();
        let counts = Arc::new(Counts::default());
        let calls = calls(&vhost.url()).await?;
        let listening = listen(&vhost.url(), wanted.agents, &calls, &counts).await?;
        println!("{} agents listen", wanted.agents);
        for n in 0..wanted.agents {
            tokio::spawn(beat(n, wanted.agents, calls.clone(), counts.clone()));
        }
        // Half a minute after each other.
        while counts.heartbeats.load(Ordering::Relaxed) < wanted.agents {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok(Self { db, conductor, counts, folder, _listening: listening, _database: database, _vhost: vhost })
    }

    fn pid(&self) -> Result<u32, Failure> {
        self.conductor.pid().ok_or_else(|| "the conductor does not run".into())
    }

    /// Seconds of CPU so far, as in [`Window::shares`].
    fn used(&self) -> Result<[f64; 3], Failure> {
        let own = cpu_in(&PathBuf::from(format!("/proc/{}/stat", self.pid()?))).unwrap_or(0.0);
        Ok([own, cpu_of("mariadbd"), cpu_of("beam.smp")])
    }

    /// Measures from when the first job is due. By then all are written: that is the API's work, on another's time.
    async fn watch(&self, wanted: &Crowd) -> Result<Window, Failure> {
        let lead = Duration::from_millis(5000 + 2 * wanted.jobs() as u64);
        let first_due = Instant::now() + lead;
        put_jobs(&self.db, wanted, lead)?;
        if Instant::now() > first_due {
            return Err(format!("{} jobs were not written in {lead:?}", wanted.jobs()).into());
        }
        tokio::time::sleep_until(first_due.into()).await;
        let (before, began) = (self.used()?, Instant::now());
        let (beats, ended) = (self.counts.heartbeats.load(Ordering::Relaxed), self.counts.ended());
        tokio::time::sleep(Duration::from_secs(wanted.seconds as u64)).await;
        let (after, secs) = (self.used()?, began.elapsed().as_secs_f64());
        let mut shares = [0.0; 3];
        for (share, (before, after)) in shares.iter_mut().zip(before.iter().zip(after)) {
            *share = 100.0 * (after - before) / secs / CORES;
        }
        Ok(Window {
            secs,
            beats: self.counts.heartbeats.load(Ordering::Relaxed) - beats,
            ended: self.counts.ended() - ended,
            shares,
        })
    }

    async fn until_all_have_ended(&self, jobs: usize) {
        let end = Instant::now() + PATIENCE;
        while self.counts.ended() < jobs && Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    fn close(mut self) -> Result<(), Failure> {
        self.conductor.stop(Duration::from_secs(20));
        std::fs::remove_dir_all(&self.folder)?;
        Ok(())
    }
}

/// Several ways to the conductor, which answers by now: exchange and queues are there.
async fn calls(bus: &str) -> Result<Arc<[RpcClient]>, Failure> {
    let mut calls = Vec::new();
    for _ in 0..TRANSPORTS {
        let transport = Transport::connect(bus, RabbitOptions::default())?;
        let target = Target::topic(CONDUCTOR_TOPIC).exchange(EXCHANGE).version(VERSION);
        calls.push(RpcClient::new(&transport, target).timeout(Duration::from_secs(30)));
    }
    let first = calls.first().ok_or("no transport")?.clone().timeout(Duration::from_secs(2));
    while first.call(&Context::new(), "agent_heartbeat", json!(hello(0))).await.is_err() {}
    Ok(calls.into())
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

/// Writes jobs of which the first is due in `lead`.
fn put_jobs(db: &Database, wanted: &Crowd, lead: Duration) -> Result<(), DbError> {
    let now = SystemClock.now();
    let count = wanted.jobs();
    for start in (0..count).step_by(500) {
        db.transaction(|tx| -> Result<(), DbError> {
            for n in start..count.min(start + 500) {
                let job = job(n, wanted.agents, now);
                job.actions.iter().try_for_each(|action| tx.actions().insert(action))?;
                tx.jobs().insert(&job)?;
                let due = now.plus(lead + Duration::from_secs(1) * n as u32 / wanted.rate.max(1) as u32);
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
