//! What the tests need around them: services, a clock, conductors, a scripted agent.

use async_trait::async_trait;
use freezer_conductor::{Conductor, ConductorOptions, ConductorParts, start};
use freezer_database::*;
use freezer_model::rpc::*;
use freezer_model::*;
use oslo_messaging::{
    Context, Endpoint, EndpointTarget, RabbitOptions, RemoteFailure, RpcClient, RpcServer, ServerOptions,
    Target, Transport,
};
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex as Lock};
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, mpsc};

pub const PATIENCE: Duration = Duration::from_secs(60);
pub const T0: Timestamp = Timestamp(1_767_225_600_000);
pub const LEASE: Duration = Duration::from_secs(60);

pub struct Stage {
    pub db: Database,
    pub clock: Arc<ManualClock>,
    pub bus: String,
    url: String,
    _kept: Vec<Box<dyn std::any::Any + Send>>,
}

impl Stage {
    pub fn embedded() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:///{}", folder.path().join("freezer.sqlite").display());
        Self::new(&url, format!("fake://{}/", RunId::random()), vec![Box::new(folder)])
    }

    #[cfg(feature = "mysql")]
    pub fn real() -> Self {
        let database = freezer_testkit::TestDatabase::create();
        let vhost = freezer_testkit::TestVhost::create();
        let (url, bus) = (database.url(), vhost.url());
        Self { _kept: vec![Box::new(database), Box::new(vhost)], ..Self::over(&url, &bus) }
    }

    /// Over a database and a bus that the test keeps itself.
    #[cfg(feature = "mysql")]
    pub fn over(url: &str, bus: &str) -> Self {
        Self::new(url, bus.to_owned(), Vec::new())
    }

    fn new(url: &str, bus: String, kept: Vec<Box<dyn std::any::Any + Send>>) -> Self {
        let options = DatabaseOptions { max_overflow: 10, max_retries: 0, ..DatabaseOptions::new(url) };
        let db = Database::connect(&options).unwrap();
        db.sync().unwrap();
        Self { db, clock: Arc::new(ManualClock::at(T0)), bus, url: url.to_owned(), _kept: kept }
    }

    /// The same, with its statements counted.
    pub fn counting(self) -> Self {
        let options = DatabaseOptions {
            max_overflow: 10,
            max_retries: 0,
            counts_statements: true,
            ..DatabaseOptions::new(&self.url)
        };
        Self { db: Database::connect(&options).unwrap(), ..self }
    }

    pub fn transport(&self) -> Transport {
        Transport::connect(&self.bus, RabbitOptions::default()).unwrap()
    }

    pub async fn conductor(&self) -> Conductor {
        self.conductor_with(|_| {}).await
    }

    pub async fn conductor_with(&self, adjust: impl FnOnce(&mut ConductorOptions)) -> Conductor {
        let mut options = ConductorOptions {
            poll_interval: Duration::from_millis(20),
            lease: LEASE,
            offline_timeout: Duration::from_secs(600),
            max_losses: 1,
            ..ConductorOptions::default()
        };
        adjust(&mut options);
        let parts = ConductorParts {
            db: self.db.clone(),
            transport: self.transport(),
            clock: self.clock.clone(),
            options,
        };
        start(parts).await.unwrap()
    }

    /// Stores a job of project `p` on client `node1`, asks for attention as the API does.
    pub fn put_job(&self, id: &str, plan: Value, actions: &[Action]) {
        self.put_job_of("p", "node1", id, plan, actions);
    }

    pub fn put_job_of(&self, project: &str, client: &str, id: &str, plan: Value, actions: &[Action]) {
        let actions: Vec<Action> = actions
            .iter()
            .map(|action| Action { project_id: ProjectId::from(project), ..action.clone() })
            .collect();
        let created_at = self.clock.now();
        let job = Job {
            project_id: ProjectId::from(project),
            client_id: ClientId::from(client),
            state: JobState::fresh(created_at),
            created_at,
            ..job_of(id, plan, &actions)
        };
        self.db
            .transaction(|tx| -> Result<(), DbError> {
                for action in &job.actions {
                    if tx.actions().get(&action.project_id, &action.action_id)?.is_none() {
                        tx.actions().insert(action)?;
                    }
                }
                tx.jobs().insert(&job)?;
                tx.jobs().request_attention(&job.project_id, &job.job_id, self.clock.now())?;
                Ok(())
            })
            .unwrap();
    }

    /// A project's runs that are in no queue but wait for a slot.
    pub fn waiting(&self, project: &str) -> Vec<Run> {
        let all = self
            .db
            .read(|tx| tx.runs().list(&ProjectId::from(project), &RunFilter::default(), None, Page::ALL));
        all.unwrap().into_iter().filter(|run| run.waiting_for.is_some()).collect()
    }

    pub fn change_job(&self, id: &str, change: impl Fn(&mut Job)) {
        let (project, id) = (ProjectId::from("p"), JobId::from(id));
        self.db
            .transaction(|tx| -> Result<(), DbError> {
                let mut job = tx.jobs().get_for_update(&project, &id)?.unwrap();
                change(&mut job);
                tx.jobs().save(&job)?;
                tx.jobs().request_attention(&project, &id, self.clock.now())?;
                Ok(())
            })
            .unwrap();
    }

    /// Notes a word of the scheduler that polls for the job, as the API does.
    pub fn hear(&self, id: &str) {
        let (project, id) = (ProjectId::from("p"), JobId::from(id));
        self.db.transaction(|tx| tx.jobs().note_heard(&project, &id, self.clock.now())).unwrap();
    }

    /// Registers `node1` of project `p` as a scheduler that polls.
    pub fn put_poller(&self) -> Client {
        let poller = Client {
            project_id: ProjectId::from("p"),
            client_id: ClientId::from("node1"),
            uuid: "u".into(),
            user_id: UserId::from("user"),
            hostname: None,
            description: Some("kept".into()),
            capabilities: Capabilities::default(),
            is_central: false,
            link: Link::Poll,
            agent_version: None,
            created_at: T0,
            last_seen_at: None,
        };
        self.db.transaction(|tx| tx.clients().insert(&poller)).unwrap();
        poller
    }

    /// Waits until a conductor has looked at everything and wants to look again at that time.
    pub async fn next_look_is(&self, at: Option<Timestamp>) {
        self.eventually(&format!("a next look at {at:?}"), |stage| {
            stage.db.read(|tx| tx.jobs().next_attention()).unwrap() == at
        })
        .await;
    }

    pub fn job(&self, id: &str) -> Job {
        self.db.read(|tx| tx.jobs().get(&ProjectId::from("p"), &JobId::from(id))).unwrap().unwrap()
    }

    /// Moves the clock from one attempt to the next until the job's run is given up.
    pub async fn until_it_is_given_up(&self, id: &str) {
        for _ in 0..40 {
            self.eventually("waits or ends", |stage| {
                let run = stage.runs(id).into_iter().next();
                run.is_some_and(|run| {
                    run.state.is_final()
                        || run.attention_at.is_some_and(|at| at > stage.clock.now() && run.error.is_some())
                })
            })
            .await;
            match self.run(id).attention_at {
                Some(at) => self.clock.set(at),
                None => break,
            }
        }
    }

    /// The job's runs, oldest first.
    pub fn runs(&self, job: &str) -> Vec<Run> {
        self.runs_of("p", job)
    }

    pub fn runs_of(&self, project: &str, job: &str) -> Vec<Run> {
        let filter = RunFilter { job_id: Some(JobId::from(job)), ..RunFilter::default() };
        let mut runs =
            self.db.read(|tx| tx.runs().list(&ProjectId::from(project), &filter, None, Page::ALL)).unwrap();
        runs.reverse();
        runs
    }

    pub fn run(&self, job: &str) -> Run {
        self.runs(job).into_iter().next_back().unwrap()
    }

    /// Waits for a condition on what is stored.
    pub async fn eventually(&self, what: &str, mut condition: impl FnMut(&Self) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !condition(self) {
            assert!(Instant::now() < end, "{what} did not come true within {PATIENCE:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub async fn job_is(&self, id: &str, status: JobStatus) {
        self.eventually(&format!("status {status:?} of {id}"), |stage| stage.job(id).state.status == status)
            .await;
    }
}

pub fn object(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

pub fn action(id: &str, max_retries: i32, mandatory: bool) -> Action {
    Action {
        project_id: ProjectId::from("p"),
        action_id: ActionId::from(id),
        user_id: UserId::from("user"),
        freezer_action: object(json!({"action": "backup", "path_to_backup": format!("/{id}")})),
        max_retries,
        max_retries_interval: 6,
        mandatory,
        created_at: T0,
    }
}

/// A job of project `p` on client `node1`.
pub fn job_of(id: &str, plan: Value, actions: &[Action]) -> Job {
    Job {
        project_id: ProjectId::from("p"),
        job_id: JobId::from(id),
        user_id: UserId::from("user"),
        client_id: ClientId::from("node1"),
        description: None,
        session_id: None,
        session_tag: 0,
        plan: object(plan),
        state: JobState::fresh(T0),
        actions: actions.to_vec(),
        credentials: None,
        created_at: T0,
        plan_version: 1,
        next_run_at: None,
    }
}

/// A backup under its own name: no other run works on the same.
pub fn backup_of(name: &str) -> Action {
    let options =
        json!({"action": "backup", "path_to_backup": "/data", "backup_name": name, "container": "vault"});
    Action { freezer_action: object(options), ..action(&format!("a-{name}"), 0, false) }
}

/// An agent's two ends: the queue of its orders, and the calls of its reports.
pub struct Agent {
    pub project: ProjectId,
    pub client_id: ClientId,
    /// What it says in its hello, and whether it names itself in reports.
    pub link: Link,
    pub is_named: bool,
    pub concurrent_jobs: Option<u32>,
    pub is_central: bool,
    server: RpcServer,
    orders: Mutex<mpsc::UnboundedReceiver<RunAction>>,
    aborts: Mutex<mpsc::UnboundedReceiver<AbortRun>>,
    limits: Mutex<mpsc::UnboundedReceiver<LimitRun>>,
    accepted: Accepted,
    pub calls: RpcClient,
    _transport: Transport,
}

/// Steps whose orders have come and whose end was not reported.
type Accepted = Arc<Lock<HashMap<RunId, Epoch>>>;

struct Ears {
    orders: mpsc::UnboundedSender<RunAction>,
    aborts: mpsc::UnboundedSender<AbortRun>,
    limits: mpsc::UnboundedSender<LimitRun>,
    accepted: Accepted,
}

impl Ears {
    fn accept(&self, order: RunAction) {
        self.accepted.lock().unwrap().insert(order.run_id.clone(), order.epoch);
        let _ = self.orders.send(order);
    }
}

#[async_trait]
impl Endpoint for Ears {
    fn target(&self) -> EndpointTarget {
        EndpointTarget::version(VERSION)
    }
    fn methods(&self) -> &[&str] {
        &["run_action", "abort_run", "limit_run"]
    }
    async fn call(&self, _ctx: &Context, method: &str, args: Value) -> Result<Value, RemoteFailure> {
        match method {
            "run_action" => self.accept(serde_json::from_value(args).unwrap()),
            "limit_run" => drop(self.limits.send(serde_json::from_value(args).unwrap())),
            _ => drop(self.aborts.send(serde_json::from_value(args).unwrap())),
        }
        Ok(Value::Null)
    }
}

impl Agent {
    /// Listens and says hello.
    pub async fn start(stage: &Stage) -> Self {
        let agent = Self::listen(stage, "p", "node1").await;
        agent.hello(vec![]).await;
        agent
    }

    pub async fn listen(stage: &Stage, project: &str, client_id: &str) -> Self {
        let transport = stage.transport();
        let (orders, their_orders) = mpsc::unbounded_channel();
        let (aborts, their_aborts) = mpsc::unbounded_channel();
        let (limits, their_limits) = mpsc::unbounded_channel();
        let target = Target::topic(AGENT_TOPIC).exchange(EXCHANGE).version(VERSION).server(client_id);
        let options = ServerOptions { delete_server_queue: true, ..ServerOptions::default() };
        let accepted = Accepted::default();
        let ears = Ears { orders, aborts, limits, accepted: accepted.clone() };
        let server = RpcServer::start(&transport, target, vec![Arc::new(ears)], options).await.unwrap();
        let calls =
            RpcClient::new(&transport, Target::topic(CONDUCTOR_TOPIC).exchange(EXCHANGE).version(VERSION));
        Self {
            project: ProjectId::from(project),
            client_id: ClientId::from(client_id),
            link: Link::Amqp,
            is_named: false,
            concurrent_jobs: None,
            is_central: false,
            server,
            orders: Mutex::new(their_orders),
            aborts: Mutex::new(their_aborts),
            limits: Mutex::new(their_limits),
            accepted,
            calls: calls.timeout(PATIENCE / 12),
            _transport: transport,
        }
    }

    /// Ends as a process does that is stopped: its queue goes.
    pub async fn leave(self) {
        self.server.stop().await;
    }

    /// As an agent does it: a call that nobody answers is made again.
    pub async fn call(&self, method: &str, args: Value) -> Result<Value, oslo_messaging::Error> {
        let end = Instant::now() + PATIENCE;
        loop {
            let outcome = self.calls.call(&Context::new(), method, args.clone()).await;
            let is_refused = matches!(&outcome, Err(oslo_messaging::Error::Remote(failure)) if !failure.to_string().contains("database"));
            if outcome.is_ok() || is_refused || Instant::now() > end {
                return outcome;
            }
        }
    }

    pub fn hello_args(&self, held: Vec<HeldStep>) -> Value {
        json!(AgentHello {
            project_id: self.project.clone(),
            client_id: self.client_id.clone(),
            hostname: "host".into(),
            agent_version: "1".into(),
            capabilities: Capabilities::default(),
            is_central: self.is_central,
            concurrent_jobs: self.concurrent_jobs,
            held,
            link: self.link,
        })
    }

    pub async fn hello(&self, held: Vec<HeldStep>) -> HelloReply {
        let reply = self.call("agent_hello", self.hello_args(held)).await.unwrap();
        serde_json::from_value(reply).unwrap()
    }

    pub async fn try_hello(&self) -> Result<Value, oslo_messaging::Error> {
        self.call("agent_hello", self.hello_args(vec![])).await
    }

    /// As the REST service relays it for a login.
    pub async fn hello_as(&self, user: &str, credential: Option<&str>) -> Result<(), String> {
        self.say_as("agent_hello", user, credential).await
    }

    pub async fn say_as(&self, what: &str, user: &str, credential: Option<&str>) -> Result<(), String> {
        let mut context = Context::new().with("user_id", user);
        if let Some(credential) = credential {
            context = context.with(APPLICATION_CREDENTIAL_KEY, credential);
        }
        // Asked once: no answer would count as a refusal.
        let calls = self.calls.prepare().timeout(PATIENCE);
        let answer = calls.call(&context, what, self.hello_args(vec![])).await;
        answer.map(drop).map_err(|error| error.to_string())
    }

    pub async fn heartbeat(&self, held: Vec<HeldStep>) -> HelloReply {
        let reply = self.call("agent_heartbeat", self.hello_args(held)).await.unwrap();
        serde_json::from_value(reply).unwrap()
    }

    /// The next order; fails when none comes.
    pub async fn order(&self) -> RunAction {
        tokio::time::timeout(PATIENCE, async { self.orders.lock().await.recv().await })
            .await
            .expect("an order was expected")
            .unwrap()
    }

    pub async fn abort_order(&self) -> AbortRun {
        tokio::time::timeout(PATIENCE, async { self.aborts.lock().await.recv().await })
            .await
            .expect("an abort was expected")
            .unwrap()
    }

    /// As the REST service says that a user has changed a run.
    pub async fn run_changed(&self, run_id: &RunId) {
        let notice = RunChanged { project_id: self.project.clone(), run_id: run_id.clone() };
        self.call("run_changed", json!(notice)).await.unwrap();
    }

    pub async fn limit_order(&self) -> LimitRun {
        tokio::time::timeout(PATIENCE, async { self.limits.lock().await.recv().await })
            .await
            .expect("limits were expected")
            .unwrap()
    }

    /// Limits that have come and were not looked at.
    pub async fn unread_limits(&self) -> usize {
        self.limits.lock().await.len()
    }

    /// What a real agent names in its heartbeats.
    pub fn accepted(&self) -> Vec<HeldStep> {
        let accepted = self.accepted.lock().unwrap();
        accepted.iter().map(|(run_id, epoch)| HeldStep { run_id: run_id.clone(), epoch: *epoch }).collect()
    }

    /// The step has ended, or is another order's by now.
    pub fn give_up(&self, order: &RunAction) {
        let mut accepted = self.accepted.lock().unwrap();
        if accepted.get(&order.run_id) == Some(&order.epoch) {
            accepted.remove(&order.run_id);
        }
    }

    /// What has arrived and was not taken.
    pub async fn unasked(&self) -> usize {
        self.orders.lock().await.len()
    }

    fn reporter(&self) -> Option<Reporter> {
        let (project_id, client_id) = (self.project.clone(), self.client_id.clone());
        self.is_named.then_some(Reporter { project_id, client_id })
    }

    pub async fn started(&self, order: &RunAction) -> Verdict {
        let report = StepStarted {
            run_id: order.run_id.clone(),
            epoch: order.epoch,
            pid: 4711,
            reporter: self.reporter(),
        };
        verdict(self.call("step_started", json!(report)).await.unwrap())
    }

    pub async fn progress(&self, order: &RunAction, bytes: u64) -> Verdict {
        self.progress_reply(order, bytes).await.verdict
    }

    pub async fn progress_reply(&self, order: &RunAction, bytes: u64) -> ReportReply {
        let progress = Progress { phase: "read".into(), bytes_done: bytes, ..Progress::default() };
        let report = StepProgress {
            run_id: order.run_id.clone(),
            epoch: order.epoch,
            progress,
            reporter: self.reporter(),
        };
        serde_json::from_value(self.call("step_progress", json!(report)).await.unwrap()).unwrap()
    }

    pub async fn finished(&self, order: &RunAction, outcome: StepOutcome, result: Value) -> Verdict {
        let report = StepFinished {
            run_id: order.run_id.clone(),
            epoch: order.epoch,
            outcome,
            exit_code: Some(if outcome == StepOutcome::Success { 0 } else { 1 }),
            error: (outcome == StepOutcome::Fail).then(|| "disk full".to_owned()),
            progress: Progress { log: vec![format!("attempt {}", order.attempt)], ..Progress::default() },
            result: object(result),
            reporter: self.reporter(),
        };
        verdict(self.call("step_finished", json!(report)).await.unwrap())
    }

    /// Takes the next order and does it with this outcome.
    pub async fn work(&self, outcome: StepOutcome) -> RunAction {
        let order = self.order().await;
        assert_eq!(self.started(&order).await, Verdict::Continue);
        assert_eq!(self.finished(&order, outcome, json!({})).await, Verdict::Continue);
        order
    }
}

fn verdict(value: Value) -> Verdict {
    serde_json::from_value::<ReportReply>(value).unwrap().verdict
}

pub fn held(order: &RunAction) -> HeldStep {
    HeldStep { run_id: order.run_id.clone(), epoch: order.epoch }
}
