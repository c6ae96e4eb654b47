//! Agents on the HTTPS link, as the conductor sees them: through the REST service's relayed calls.

use crate::stage::*;
use async_trait::async_trait;
use freezer_database::{BackupFilter, DbError, Page, Tx};
use freezer_model::rpc::*;
use freezer_model::*;
use oslo_messaging::{
    Context, Endpoint, EndpointTarget, RemoteFailure, RpcServer, ServerOptions, Target, Transport,
};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::mpsc;

/// The REST service's ear: which agents were called to their orders.
struct Ear {
    calls: mpsc::UnboundedReceiver<WorkReady>,
    _server: RpcServer,
    _transport: Transport,
}

struct Drum(mpsc::UnboundedSender<WorkReady>);

#[async_trait]
impl Endpoint for Drum {
    fn target(&self) -> EndpointTarget {
        EndpointTarget::version(VERSION)
    }
    fn methods(&self) -> &[&str] {
        &["work_ready"]
    }
    async fn call(&self, _ctx: &Context, _method: &str, args: Value) -> Result<Value, RemoteFailure> {
        self.0.send(serde_json::from_value(args).unwrap()).unwrap();
        Ok(Value::Null)
    }
}

impl Ear {
    async fn open(stage: &Stage) -> Self {
        let transport = stage.transport();
        let (drum, calls) = mpsc::unbounded_channel();
        let target = Target::topic(API_TOPIC).exchange(EXCHANGE).version(VERSION).server("api");
        let server =
            RpcServer::start(&transport, target, vec![Arc::new(Drum(drum))], ServerOptions::default())
                .await
                .unwrap();
        Self { calls, _server: server, _transport: transport }
    }

    async fn called(&mut self) -> WorkReady {
        tokio::time::timeout(PATIENCE, self.calls.recv()).await.expect("a call was expected").unwrap()
    }
}

/// An agent over HTTP: it says so, and the REST service names it in its reports.
async fn guest(stage: &Stage, project: &str, client: &str) -> Agent {
    let mut agent = Agent::listen(stage, project, client).await;
    (agent.link, agent.is_named) = (Link::Http, true);
    agent
}

/// What the REST service reads for it.
fn orders(stage: &Stage, project: &str) -> Vec<RunAction> {
    orders_of(stage, Some(&ProjectId::from(project)), "node1")
}

fn orders_of(stage: &Stage, project: Option<&ProjectId>, client: &str) -> Vec<RunAction> {
    let to_begin = |tx: &mut Tx| -> Result<Vec<Run>, DbError> {
        let handed = tx.runs().handed_to(project, &ClientId::from(client))?.into_iter();
        let ids: Vec<RunId> = handed.filter(|run| run.is_to_begin).map(|run| run.run_id).collect();
        tx.runs().without_steps(&ids)
    };
    let runs = stage.db.read(to_begin).unwrap();
    runs.iter().filter_map(|run| RunAction::of(run, None)).collect()
}

fn ready() -> WorkReady {
    WorkReady { project_id: "p".into(), client_id: "node1".into() }
}

fn put(stage: &Stage, id: &str) {
    stage.put_job(id, json!({"schedule_date": "2026-01-01T00:00:00"}), &[action("a", 0, false)]);
}

pub async fn an_agent_over_http_is_called_and_not_sent_to(stage: Stage) {
    let conductor = stage.conductor().await;
    let mut ear = Ear::open(&stage).await;
    let agent = guest(&stage, "p", "node1").await;
    agent.hello(vec![]).await;
    put(&stage, "j");
    assert_eq!(ear.called().await, ready());
    let order = orders(&stage, "p").remove(0);
    assert_eq!((order.epoch, order.attempt, order.job_id.as_str()), (Epoch(1), 1, "j"));
    assert_eq!(order.freezer_action, action("a", 0, false).freezer_action);
    assert_eq!(agent.started(&order).await, Verdict::Continue);
    assert_eq!(orders(&stage, "p"), []);

    stage.change_job("j", |job| job.state.event = JobEvent::Abort);
    assert_eq!(ear.called().await, ready());
    assert!(stage.run("j").abort_requested);
    assert_eq!(agent.finished(&order, StepOutcome::Aborted, json!({})).await, Verdict::Continue);
    assert_eq!(stage.run("j").state, RunState::Aborted);
    assert_eq!(agent.unasked().await, 0, "nothing goes to a queue that tenants' machines do not have");
    conductor.stop().await;
}

pub async fn another_agents_reports_are_refused(stage: Stage) {
    let conductor = stage.conductor().await;
    let mut ear = Ear::open(&stage).await;
    let agent = guest(&stage, "p", "node1").await;
    agent.hello(vec![]).await;
    put(&stage, "j");
    ear.called().await;
    let order = orders(&stage, "p").remove(0);
    let (neighbour, stranger) = (guest(&stage, "p", "node2").await, guest(&stage, "q", "node1").await);
    let mut nameless = guest(&stage, "p", "node1").await;
    nameless.is_named = false;
    for other in [&neighbour, &stranger, &nameless] {
        assert_eq!(other.started(&order).await, Verdict::Stale);
        assert_eq!(other.progress(&order, 1).await, Verdict::Stale);
        assert_eq!(other.finished(&order, StepOutcome::Success, json!({})).await, Verdict::Stale);
    }
    let before = stage.run("j");
    assert_eq!((before.state, before.started_at), (RunState::Dispatched, None));
    stage.clock.advance(LEASE / 2);
    for other in [&neighbour, &stranger] {
        let reply = other.hello(vec![held(&order)]).await;
        assert_eq!((reply.drop, reply.abort), (vec![held(&order)], vec![]));
    }
    assert_eq!(stage.run("j").attention_at, before.attention_at, "nobody else renews the lease");

    agent.heartbeat(vec![held(&order)]).await;
    agent.started(&order).await;
    stage.clock.advance(LEASE / 2);
    let central = guest(&stage, "service", "node1").await;
    let mut hello = central.hello_args(vec![]);
    hello["is_central"] = json!(true);
    central.call("agent_hello", hello).await.unwrap();
    let run = stage.run("j");
    assert_eq!((run.state, run.losses), (RunState::Running, 0), "a namesake's hello loses nobody's step");
    agent.heartbeat(vec![held(&order)]).await;
    assert!(stage.run("j").attention_at > before.attention_at);
    assert_eq!(agent.finished(&order, StepOutcome::Success, json!({})).await, Verdict::Continue);
    assert_eq!(agent.finished(&order, StepOutcome::Success, json!({})).await, Verdict::Continue, "known");
    assert_eq!(stranger.finished(&order, StepOutcome::Success, json!({})).await, Verdict::Stale);
    assert_eq!(stage.run("j").state, RunState::Success);
    central_runs_are_the_central_agents(&stage, &neighbour).await;
    conductor.stop().await;
}

/// Members of a project whose job a central agent does speak for agents, too, but not for that one.
async fn central_runs_are_the_central_agents(stage: &Stage, neighbour: &Agent) {
    let mut hub = guest(stage, "service", "hub").await;
    hub.is_central = true;
    hub.hello(vec![]).await;
    stage.put_job_of(
        "p",
        "hub",
        "c",
        json!({"schedule_date": "2026-01-01T00:00:00"}),
        &[action("c", 0, false)],
    );
    let dispatched =
        |stage: &Stage| -> Option<RunAction> { orders_of(stage, None, "hub").into_iter().next() };
    stage.eventually("it is handed out", |stage| dispatched(stage).is_some()).await;
    let order = dispatched(stage).unwrap();
    let forger = guest(stage, "p", "hub").await;
    assert!(forger.try_hello().await.unwrap_err().to_string().contains("in use"));
    let made = json!({"backup_metadata": {"container": "c", "hostname": "h", "backup_name": "forged"}});
    for is_running in [false, true] {
        for other in [&forger, neighbour] {
            assert_eq!(other.started(&order).await, Verdict::Stale);
            assert_eq!(other.progress(&order, 1).await, Verdict::Stale);
            assert_eq!(other.finished(&order, StepOutcome::Success, made.clone()).await, Verdict::Stale);
        }
        let run = stage.run("c");
        let state = if is_running { RunState::Running } else { RunState::Dispatched };
        assert_eq!((run.state, run.progress.bytes_done), (state, 0));
        assert_eq!(hub.started(&order).await, Verdict::Continue);
    }
    assert_eq!(hub.finished(&order, StepOutcome::Success, json!({})).await, Verdict::Continue);
    // Repeated by somebody else it is not known, either.
    assert_eq!(forger.finished(&order, StepOutcome::Success, json!({})).await, Verdict::Stale);
    assert_eq!(hub.finished(&order, StepOutcome::Success, json!({})).await, Verdict::Continue);
    let records = stage
        .db
        .read(|tx| tx.backups().list(&ProjectId::from("p"), &BackupFilter::default(), None, Page::ALL))
        .unwrap();
    assert!(records.is_empty(), "a backup that nobody made has a record: {records:?}");
}

pub async fn a_namesakes_runs_take_nobodys_place(stage: Stage) {
    let conductor = stage.conductor().await;
    let (greedy, mut small) = (guest(&stage, "q", "node1").await, guest(&stage, "p", "node1").await);
    small.concurrent_jobs = Some(1);
    for agent in [&greedy, &small] {
        agent.hello(vec![]).await;
    }
    let due = || json!({"schedule_date": "2026-01-01T00:00:00"});
    for n in 0..3 {
        stage.put_job_of("q", "node1", &format!("greedy{n}"), due(), &[backup_of(&format!("g{n}"))]);
    }
    stage.eventually("the neighbour's are out", |stage| orders(stage, "q").len() == 3).await;
    for order in orders(&stage, "q") {
        greedy.started(&order).await;
    }
    // His steps are at an agent of that name, and not at this one, which does one thing at a time.
    for id in ["one", "two"] {
        stage.put_job(id, due(), &[backup_of(id)]);
    }
    stage.eventually("one is out", |stage| orders(stage, "p").len() == 1).await;
    stage.eventually("the other waits", |stage| stage.waiting("p").len() == 1).await;
    let shown = document::run(&stage.waiting("p")[0]);
    assert_eq!(shown["waiting_for"], "agent node1 has as many steps as it works on at a time");
    let first = orders(&stage, "p").remove(0);
    small.started(&first).await;
    small.finished(&first, StepOutcome::Success, json!({})).await;
    stage.eventually("then the other is out", |stage| orders(stage, "p").len() == 1).await;
    assert_ne!(orders(&stage, "p")[0].job_id, first.job_id);
    conductor.stop().await;
}

pub async fn a_namesake_that_anybody_registers_costs_no_heartbeat_its_way(stage: Stage) {
    let conductor = stage.conductor().await;
    let agent = Agent::start(&stage).await;
    let seen = |stage: &Stage, project: &str| {
        let (project, id) = (ProjectId::from(project), ClientId::from("node1"));
        stage.db.read(|tx| tx.clients().get(&project, &id)).unwrap().unwrap().last_seen_at
    };
    let mut namesake = stage
        .db
        .read(|tx| tx.clients().get(&ProjectId::from("p"), &ClientId::from("node1")))
        .unwrap()
        .unwrap();
    (namesake.project_id, namesake.link, namesake.last_seen_at) = (ProjectId::from("q"), Link::Poll, None);
    stage.db.transaction(|tx| tx.clients().insert(&namesake)).unwrap();
    stage.clock.advance(LEASE / 4);
    agent.heartbeat(vec![]).await;
    assert_eq!(seen(&stage, "p"), Some(stage.clock.now()));
    assert_eq!(seen(&stage, "q"), None, "it is not his agent that lives");
    conductor.stop().await;
}

pub async fn a_silent_agent_over_http_is_waited_for(stage: Stage) {
    let conductor = stage.conductor().await;
    let mut ear = Ear::open(&stage).await;
    let agent = guest(&stage, "p", "node1").await;
    agent.hello(vec![]).await;
    stage.clock.advance(LEASE * 2);
    put(&stage, "j");
    stage
        .eventually("the run waits", |stage| {
            let runs = stage.runs("j");
            runs.first().is_some_and(|run| run.error.as_deref() == Some("the agent is offline"))
        })
        .await;
    assert_eq!(orders(&stage, "p"), [], "what nobody fetches is not handed out");
    agent.hello(vec![]).await;
    ear.called().await;
    let order = orders(&stage, "p").remove(0);
    // It is fetched, its agent vanishes, and a lease later it is handed out again.
    agent.started(&order).await;
    stage.clock.advance(LEASE / 2);
    agent.heartbeat(vec![]).await;
    stage.clock.advance(LEASE / 2);
    ear.called().await;
    let again = orders(&stage, "p").remove(0);
    assert!(again.epoch > order.epoch);
    assert_eq!(agent.finished(&order, StepOutcome::Success, json!({})).await, Verdict::Stale);
    assert_eq!(agent.finished(&again, StepOutcome::Success, json!({})).await, Verdict::Continue);
    conductor.stop().await;
}

pub async fn names_over_http_are_each_projects_own(stage: Stage) {
    let conductor = stage.conductor().await;
    let cloud_agent = Agent::start(&stage).await;
    let stranger = guest(&stage, "q", "node1").await;
    stranger.hello(vec![]).await;
    stage.clock.advance(LEASE * 10);
    stranger.hello(vec![]).await;
    let link = |project: &str| {
        let rows = stage.db.read(|tx| tx.clients().of_any_project(&ClientId::from("node1"))).unwrap();
        rows.into_iter().find(|row| row.project_id.as_str() == project).unwrap().link
    };
    assert_eq!((link("p"), link("q")), (Link::Amqp, Link::Http), "a silent namesake keeps its link");
    cloud_agent.hello(vec![]).await;
    put(&stage, "j");
    assert_eq!(cloud_agent.work(StepOutcome::Success).await.project_id.as_str(), "p");

    stage
        .db
        .transaction(|tx| -> Result<(), freezer_database::DbError> {
            let mut central = tx.clients().of_any_project(&ClientId::from("node1"))?.remove(0);
            (central.client_id, central.is_central, central.uuid) = ("central".into(), true, "u".into());
            tx.clients().insert(&central)
        })
        .unwrap();
    let impostor = guest(&stage, "q", "central").await;
    assert!(impostor.try_hello().await.unwrap_err().to_string().contains("in use"));
    conductor.stop().await;
}

pub async fn a_name_over_http_is_its_first_logins(stage: Stage) {
    let conductor = stage.conductor().await;
    let agent = guest(&stage, "p", "node1").await;
    agent.hello_as("ann", Some("c1")).await.unwrap();
    for (user, credential) in [("bob", None), ("bob", Some("c1")), ("ann", Some("c2")), ("ann", None)] {
        for what in ["agent_hello", "agent_heartbeat"] {
            let refused = agent.say_as(what, user, credential).await.unwrap_err();
            assert!(refused.contains("node1 belongs to another login"), "{user} {credential:?}: {refused}");
        }
    }
    stage.clock.advance(LEASE);
    agent.say_as("agent_heartbeat", "ann", Some("c1")).await.unwrap();
    let row = stage.db.read(|tx| tx.clients().get(&ProjectId::from("p"), &ClientId::from("node1"))).unwrap();
    assert_eq!(row.unwrap().last_seen_at, Some(stage.clock.now()), "only its own login's heartbeat is noted");
    agent.hello_as("ann", Some("c1")).await.unwrap();
    // The same name in another project is another name.
    guest(&stage, "q", "node1").await.hello_as("bob", None).await.unwrap();
    // Deleted, it is free.
    let (project, client) = (ProjectId::from("p"), ClientId::from("node1"));
    stage.db.transaction(|tx| tx.clients().delete(&project, &client)).unwrap();
    agent.hello_as("bob", None).await.unwrap();
    assert!(agent.hello_as("ann", Some("c1")).await.is_err());
    conductor.stop().await;
}

/// However long a list one of them sends, and whatever is in it: the others are answered, and keep their steps.
pub async fn a_long_list_is_its_senders_own_affair(stage: Stage) {
    let conductor = stage.conductor().await;
    let (agent, evil) = (Agent::start(&stage).await, guest(&stage, "q", "node2").await);
    evil.hello(vec![]).await;
    put(&stage, "j");
    let order = agent.order().await;
    agent.started(&order).await;
    stage.clock.advance(LEASE / 4);
    let step = |id: String| HeldStep { run_id: RunId::from(id), epoch: order.epoch };
    let invented =
        |count: usize| -> Vec<HeldStep> { (0..count).map(|number| step(format!("r{number}"))).collect() };
    let mut few = invented(40);
    few.extend([step("x".repeat(1 << 20)), step("\u{0}".to_owned()), held(&order)]);
    let (kept, theirs) = tokio::join!(agent.heartbeat(vec![held(&order)]), evil.heartbeat(few.clone()));
    assert_eq!((kept.drop, kept.abort), (vec![], vec![]));
    assert_eq!((theirs.drop, theirs.abort), (few, vec![]));
    assert_eq!(stage.run("j").attention_at, Some(stage.clock.now().plus(LEASE)));

    let many = invented(40_000);
    assert_eq!(evil.hello(many.clone()).await.drop.len(), many.len());
    assert_eq!(evil.heartbeat(many.clone()).await.drop.len(), many.len());
    for what in ["agent_hello", "agent_heartbeat"] {
        let refused = evil.call(what, evil.hello_args(invented(50_001))).await.unwrap_err().to_string();
        assert!(refused.contains("at most 50000"), "{refused}");
    }
    assert!(agent.heartbeat(vec![held(&order)]).await.drop.is_empty());
    // An agent over HTTPS is given no more than it may name, whatever it says, also when it says nothing.
    let name = (evil.project.clone(), evil.client_id.clone());
    let workers = stage.db.read(|tx| tx.clients().workers(&[name.clone()].into())).unwrap();
    assert_eq!(workers[&name].as_ref().unwrap().concurrent_steps, Some(i64::from(STEPS_MAX)));
    assert_eq!(agent.finished(&order, StepOutcome::Success, json!({})).await, Verdict::Continue);
    conductor.stop().await;
}
