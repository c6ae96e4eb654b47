//! A database and a vhost of one measurement, with its agents and jobs.

use crate::Failure;
use crate::agents::{self, Received};
use freezer_conductor::{Conductor, ConductorOptions, ConductorParts};
use freezer_database::{Database, DatabaseOptions, DbError};
use freezer_model::rpc::{AgentHello, CONDUCTOR_TOPIC, EXCHANGE, JobChanged, StepStarted, VERSION};
use freezer_model::{
    Action, ActionId, Capabilities, Client, ClientId, Clock, Job, JobId, JobState, Link, ProjectId,
    SystemClock, Timestamp, UserId,
};
use freezer_testkit::{TestDatabase, TestVhost};
use oslo_messaging::{Context, RabbitOptions, RpcClient, RpcServer, Target, Transport};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

const PATIENCE: Duration = Duration::from_secs(120);
const PROJECTS: usize = 10;

pub struct Place {
    db: Database,
    transport: Transport,
    calls: RpcClient,
    agents: Vec<RpcServer>,
    orders: mpsc::UnboundedReceiver<Received>,
    database: TestDatabase,
    vhost: TestVhost,
}

impl Place {
    pub async fn open(agents: usize) -> Result<Self, Failure> {
        let (database, vhost) = (TestDatabase::create(), TestVhost::create());
        let db = Database::connect(&DatabaseOptions::new(database.url()))?;
        db.sync()?;
        let transport = Transport::connect(&vhost.url(), RabbitOptions::default())?;
        let (sender, orders) = mpsc::unbounded_channel();
        let mut servers = Vec::new();
        for n in 0..agents {
            servers.push(agents::start(&transport, &client_of(n), sender.clone()).await?);
        }
        db.transaction(|tx| -> Result<(), DbError> {
            (0..agents).try_for_each(|n| tx.clients().insert(&client(n, true)))
        })?;
        let target = Target::topic(CONDUCTOR_TOPIC).exchange(EXCHANGE).version(VERSION);
        let calls = RpcClient::new(&transport, target);
        Ok(Self { db, transport, calls, agents: servers, orders, database, vhost })
    }

    /// Writes jobs that are due so many milliseconds from now; answers when, by id.
    pub fn put_jobs(
        &self,
        count: usize,
        due_in: impl Fn(usize) -> i64,
    ) -> Result<HashMap<String, i64>, DbError> {
        let now = SystemClock.now();
        let mut due = HashMap::new();
        for start in (0..count).step_by(500) {
            let batch = start..count.min(start + 500);
            self.db.transaction(|tx| -> Result<(), DbError> {
                for n in batch.clone() {
                    let job = job(n, self.agents.len(), now);
                    job.actions.iter().try_for_each(|action| tx.actions().insert(action))?;
                    tx.jobs().insert(&job)?;
                    tx.jobs().request_attention(
                        &job.project_id,
                        &job.job_id,
                        Timestamp(now.0 + due_in(n)),
                    )?;
                }
                Ok(())
            })?;
            due.extend(batch.map(|n| (job_of(n), now.0 + due_in(n))));
        }
        Ok(due)
    }

    pub async fn conductors(&self, count: usize) -> Result<Vec<Conductor>, Failure> {
        let mut conductors = Vec::new();
        for _ in 0..count {
            let parts = ConductorParts {
                db: self.db.clone(),
                transport: Transport::connect(&self.vhost.url(), RabbitOptions::default())?,
                clock: Arc::new(SystemClock),
                options: ConductorOptions::default(),
            };
            conductors.push(freezer_conductor::start(parts).await?);
        }
        Ok(conductors)
    }

    /// The next orders, so many.
    pub async fn collect(&mut self, count: usize) -> Result<Vec<Received>, Failure> {
        let mut received = Vec::with_capacity(count);
        while received.len() < count {
            match tokio::time::timeout(PATIENCE, self.orders.recv()).await {
                Ok(Some(order)) => received.push(order),
                _ => return Err(format!("only {} of {count} orders arrived", received.len()).into()),
            }
        }
        Ok(received)
    }

    /// Waits until the broker's confirm of every order is noted: before, another conductor would hand it out once more.
    pub async fn all_are_noted(&self) -> Result<(), Failure> {
        let end = Instant::now() + PATIENCE;
        while self.database.ask("SELECT COUNT(*) FROM runs WHERE is_unsent").trim() != "0" {
            if Instant::now() > end {
                return Err("some orders were not noted as sent".into());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// Nothing fast and wrong wins: each run came once.
    pub fn check_once(&mut self, received: &[Received]) -> Result<(), Failure> {
        let runs: HashSet<_> = received.iter().map(|order| &order.run).collect();
        let jobs: HashSet<_> = received.iter().map(|order| &order.job).collect();
        if runs.len() != received.len() || jobs.len() != received.len() || self.orders.try_recv().is_ok() {
            return Err("an order came twice".into());
        }
        Ok(())
    }

    /// Does what the API does when a user starts a job.
    pub async fn start_one(&self, n: usize) -> Result<(), Failure> {
        let now = SystemClock.now();
        let job = job(n, self.agents.len(), now);
        let (db, written) = (self.db.clone(), job.clone());
        tokio::task::spawn_blocking(move || {
            db.transaction(|tx| -> Result<(), DbError> {
                written.actions.iter().try_for_each(|action| tx.actions().insert(action))?;
                tx.jobs().insert(&written)?;
                tx.jobs().request_attention(&written.project_id, &written.job_id, now).map(drop)
            })
        })
        .await??;
        let notice = JobChanged { project_id: job.project_id, job_id: job.job_id };
        Ok(self.calls.cast(&Context::new(), "job_changed", json!(notice)).await?)
    }

    pub async fn report_started(&self, order: &Received) -> Result<(), Failure> {
        let report = StepStarted { run_id: order.run.clone(), epoch: order.epoch, pid: 1, reporter: None };
        self.calls.call(&Context::new(), "step_started", json!(report)).await?;
        Ok(())
    }

    pub async fn close(self, conductors: Vec<Conductor>) {
        for conductor in conductors {
            conductor.stop().await;
        }
        for agent in &self.agents {
            agent.stop().await;
        }
        self.transport.close().await;
    }
}

pub fn client_of(n: usize) -> String {
    format!("node{n}")
}

fn job_of(n: usize) -> String {
    format!("job{n}")
}

fn project_of(n: usize) -> ProjectId {
    ProjectId::from(format!("project{}", n % PROJECTS))
}

/// What an agent says of itself.
pub fn hello(n: usize) -> AgentHello {
    AgentHello {
        link: freezer_model::Link::Amqp,
        project_id: project_of(n),
        client_id: ClientId::from(client_of(n)),
        hostname: "bench".to_owned(),
        agent_version: "1".to_owned(),
        capabilities: Capabilities::default(),
        is_central: false,
        concurrent_jobs: None,
        held: Vec::new(),
    }
}

/// As its agent's hello would write it.
pub fn client(n: usize, is_central: bool) -> Client {
    let hello = hello(n);
    Client {
        project_id: hello.project_id,
        client_id: hello.client_id,
        uuid: format!("uuid{n}"),
        user_id: UserId::from("bench"),
        hostname: Some(hello.hostname),
        description: None,
        capabilities: hello.capabilities,
        is_central,
        link: Link::Amqp,
        agent_version: Some(hello.agent_version),
        created_at: SystemClock.now(),
        last_seen_at: Some(SystemClock.now()),
    }
}

pub fn job(n: usize, agents: usize, now: Timestamp) -> Job {
    let project = project_of(n);
    let options = json!({"action": "backup", "mode": "fs", "path_to_backup": "/data", "backup_name": job_of(n), "container": "vault"});
    let action = Action {
        project_id: project.clone(),
        action_id: ActionId::from(format!("action{n}")),
        user_id: UserId::from("bench"),
        freezer_action: object(options),
        max_retries: 0,
        max_retries_interval: 1,
        mandatory: false,
        created_at: now,
    };
    Job {
        project_id: project,
        job_id: JobId::from(job_of(n)),
        user_id: UserId::from("bench"),
        client_id: ClientId::from(client_of(n % agents)),
        description: None,
        session_id: None,
        session_tag: 0,
        plan: object(json!({"schedule_date": "2020-01-01T00:00:00"})),
        state: JobState::fresh(now),
        actions: vec![action],
        credentials: None,
        created_at: now,
        plan_version: 1,
        next_run_at: None,
    }
}

pub fn object(value: Value) -> serde_json::Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => serde_json::Map::new(),
    }
}

/// Median and tail of milliseconds.
pub fn spread(waits: &mut [i64]) -> String {
    waits.sort_unstable();
    let at = |part: usize| percentile(waits, part);
    format!("p50 {} ms, p99 {} ms, longest {} ms", at(50), at(99), at(100))
}

/// Of what is sorted.
pub fn percentile(sorted: &[i64], part: usize) -> i64 {
    sorted.get(sorted.len().saturating_sub(1) * part / 100).copied().unwrap_or(0)
}
