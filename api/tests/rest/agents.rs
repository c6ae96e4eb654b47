//! The link of agents: what is relayed to a conductor, as whom, and which orders are read from the runs.

use crate::harness::*;
use crate::runs::run;
use freezer_api::notices::Notices;
use freezer_database::Database;
use freezer_model::rpc::{API_TOPIC, CONDUCTOR_TOPIC, EXCHANGE, HELD_MAX, VERSION, WorkReady};
use freezer_model::{Capabilities, Client, ClientId, Link, ProjectId, Run, RunState, Timestamp, UserId};
use oslo_messaging::{
    Context, Endpoint, RabbitOptions, RemoteFailure, RpcClient, RpcServer, ServerOptions, Target, Transport,
};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Stands for a conductor: keeps what it is asked, and answers in the form of the method.
struct Conductor(mpsc::UnboundedSender<(String, Value)>);

#[async_trait::async_trait]
impl Endpoint for Conductor {
    fn methods(&self) -> &[&str] {
        &["agent_hello", "agent_heartbeat", "step_started", "step_progress", "step_finished"]
    }
    async fn call(&self, _context: &Context, method: &str, arguments: Value) -> Result<Value, RemoteFailure> {
        if arguments["hostname"] == "taken" {
            return Err(RemoteFailure::new("freezer.conductor", "ClientRefused", "it is in use"));
        }
        if arguments["hostname"] == "ill" {
            return Err(RemoteFailure::new("freezer.conductor", "ConductorError", "secrets of the database"));
        }
        self.0.send((method.to_owned(), arguments)).unwrap();
        let hello = json!({"heartbeat_secs": 15, "drop": [], "abort": []});
        Ok(if method.starts_with("agent_") { hello } else { json!({"verdict": "continue"}) })
    }
}

/// An API with a conductor behind it that agrees to everything.
pub struct Bench {
    pub api: Api,
    pub asked: mpsc::UnboundedReceiver<(String, Value)>,
    transport: Transport,
    _conductor: RpcServer,
}

impl Bench {
    pub async fn start() -> Self {
        Self::on(None).await
    }

    /// Over a database of the test's own.
    pub async fn on(db: Option<Database>) -> Self {
        let url = format!("fake://{}/", freezer_testkit::random_name());
        let transport = Transport::connect(&url, RabbitOptions::default()).unwrap();
        let (ask, asked) = mpsc::unbounded_channel();
        let target = Target::topic(CONDUCTOR_TOPIC).exchange(EXCHANGE).version(VERSION).server("conductor");
        let endpoints: Vec<Arc<dyn Endpoint>> = vec![Arc::new(Conductor(ask))];
        let conductor =
            RpcServer::start(&transport, target, endpoints, ServerOptions::default()).await.unwrap();
        let notices = Notices::on(&transport);
        let api = match db {
            None => Api::start_with(|_| {}, notices).await,
            Some(db) => Api::over(db, tempfile::tempdir().unwrap(), |_| {}, notices).await,
        };
        Self { api, asked, transport, _conductor: conductor }
    }

    async fn say(&self, who: Who, verb: &str, body: Value) -> Answer {
        self.api.call_in(who, "p1", "POST", &format!("/agents/node1/{verb}"), body).await
    }
}

fn hello() -> Value {
    json!({"project_id": "p1", "client_id": "node1", "hostname": "h", "agent_version": "1", "is_central": false, "held": [],
        "capabilities": {"actions": ["backup"], "modes": ["fs"], "storages": ["local"], "engines": ["tar"]}})
}

fn with(mut body: Value, key: &str, value: Value) -> Value {
    body[key] = value;
    body
}

#[tokio::test]
async fn messages_are_handed_on_with_their_sender() {
    let mut bench = Bench::start().await;
    let step = json!({"run_id": "r", "epoch": 3});
    let forged = json!({"project_id": "p2", "client_id": "other"});
    let progress = with(with(step.clone(), "progress", json!({"bytes_done": 5})), "reporter", forged.clone());
    let finished = json!({"run_id": "r", "epoch": 3, "outcome": "success", "exit_code": 0, "error": null, "progress": {},
        "result": {"files": 1}, "reporter": forged});
    let cases = [
        ("hello", "agent_hello", with(hello(), "link", json!("amqp"))),
        ("heartbeat", "agent_heartbeat", hello()),
        ("started", "step_started", with(with(step.clone(), "pid", json!(7)), "reporter", forged.clone())),
        ("progress", "step_progress", progress),
        ("finished", "step_finished", finished),
    ];
    for (verb, method, body) in cases {
        let answer = bench.say(ALICE, verb, body).await.expect(200).json();
        let (asked, arguments) = bench.asked.recv().await.unwrap();
        assert_eq!(asked, method);
        if method.starts_with("agent_") {
            assert_eq!((&arguments["link"], &answer["heartbeat_secs"]), (&json!("http"), &json!(15)));
        } else {
            assert_eq!(arguments["reporter"], json!({"project_id": "p1", "client_id": "node1"}));
            assert_eq!(answer, json!({"verdict": "continue"}));
        }
    }
    bench.say(ALICE, "hello", with(hello(), "hostname", json!("taken"))).await.expect(409);
    let ill = bench.say(ALICE, "hello", with(hello(), "hostname", json!("ill"))).await.expect(503);
    assert!(!ill.text.contains("secrets"), "{}", ill.text);
    assert_eq!(ill.header("retry-after"), "10");
    let silent = Api::start().await;
    let alone = silent.call(ALICE, "POST", "/agents/node1/hello", hello()).await.expect(503);
    assert!(!alone.header("retry-after").is_empty());
}

#[tokio::test]
async fn only_the_own_project_and_name() {
    let mut bench = Bench::start().await;
    let central = with(hello(), "is_central", json!(true));
    for (who, body) in [
        (READER, hello()),
        (NOBODY, hello()),
        (OTTO, hello()),
        (OTTO, with(hello(), "project_id", json!("p2"))),
        (ADMIN, hello()),
        (SERVICE, hello()),
        (ALICE, with(hello(), "project_id", json!("p2"))),
        (ALICE, with(hello(), "client_id", json!("node2"))),
        (ALICE, central.clone()),
    ] {
        for verb in ["hello", "heartbeat"] {
            bench.say(who, verb, body.clone()).await.expect(403);
        }
    }
    for verb in ["started", "progress", "finished", "work"] {
        bench.say(OTTO, verb, json!({})).await.expect(403);
        bench.say(READER, verb, json!({})).await.expect(403);
        bench.say(ADMIN, verb, json!({})).await.expect(403);
    }
    assert!(bench.asked.try_recv().is_err(), "a conductor heard of it");
    // Whom the operator's rule for central clients admits may say so, in the own project.
    let own = with(with(hello(), "is_central", json!(true)), "project_id", json!("service"));
    bench.api.call(SERVICE, "POST", "/agents/node1/hello", own).await.expect(200);
}

/// The end of a step may say much, all else is short.
#[tokio::test]
async fn only_results_are_long() {
    let bench = Bench::start().await;
    let result = |bytes: usize| json!({"run_id": "r", "epoch": 1, "outcome": "success", "progress": {}, "result": {"files": "x".repeat(bytes)}});
    bench.say(ALICE, "finished", result(5 << 20)).await.expect(200);
    bench.say(ALICE, "finished", result(8 << 20)).await.expect(413);
    let path = "x".repeat(2 << 20);
    for (verb, body) in [
        ("hello", with(hello(), "hostname", json!(path))),
        ("heartbeat", with(hello(), "hostname", json!(path))),
        ("started", json!({"run_id": path, "epoch": 1, "pid": 1})),
        ("progress", json!({"run_id": "r", "epoch": 1, "progress": {"current_path": path}})),
        ("work", json!({"held": [{"run_id": path, "epoch": 1}]})),
    ] {
        bench.say(ALICE, verb, body).await.expect(413);
    }
}

#[tokio::test]
async fn bad_messages_are_refused_in_words() {
    let bench = Bench::start().await;
    for body in [
        Value::Null,
        json!([]),
        json!({}),
        with(hello(), "hostname", json!("")),
        with(hello(), "hostname", json!("x".repeat(129))),
        with(hello(), "agent_version", json!("1\u{0}")),
        with(hello(), "held", json!([{"run_id": 1, "epoch": "x"}])),
        with(hello(), "held", json!([{"run_id": "r", "epoch": 1e30}])),
        with(hello(), "capabilities", json!({"actions": []})),
        with(
            hello(),
            "capabilities",
            json!({"actions": ["a b"], "modes": [], "storages": [], "engines": []}),
        ),
        with(
            hello(),
            "capabilities",
            json!({"actions": vec!["a"; 65], "modes": [], "storages": [], "engines": []}),
        ),
    ] {
        let answer = bench.say(ALICE, "hello", body.clone()).await;
        assert_eq!(
            (answer.status, answer.json()["title"].as_str()),
            (400, Some("Bad request format")),
            "{body}"
        );
    }
    for (verb, body) in [
        ("started", json!({"run_id": "r", "epoch": 1})),
        ("progress", json!({"run_id": "r", "epoch": 1, "progress": {"bytes_done": -1}})),
        ("finished", json!({"run_id": "r", "epoch": 1, "outcome": "gone"})),
        ("work", json!([1])),
        ("work", json!({"held": "all"})),
    ] {
        bench.say(ALICE, verb, body).await.expect(400);
    }
    let steps = |count: usize| json!(vec![json!({"run_id": "r", "epoch": 1}); count]);
    for (verb, key, body) in [
        ("hello", "held", hello()),
        ("heartbeat", "held", hello()),
        ("work", "held", json!({})),
        ("work", "ending", json!({})),
    ] {
        let refused = bench.say(ALICE, verb, with(body.clone(), key, steps(HELD_MAX + 1))).await.expect(400);
        assert!(refused.description().contains(&format!("'{key}': has 4001 items")), "{}", refused.text);
        // What a real agent may come to name is taken.
        let taken = bench.say(ALICE, verb, with(body, key, steps(HELD_MAX))).await;
        assert_eq!(taken.status, if verb == "work" { 404 } else { 200 }, "{verb}: {}", taken.text);
    }
    bench.say(ALICE, "work?wait=soon", json!({})).await.expect(400);
    for client in ["a%20b", "-x", &"x".repeat(300)] {
        bench.api.call(ALICE, "POST", &format!("/agents/{client}/hello"), hello()).await.expect(400);
    }
    bench.api.get(ALICE, "/agents/node1/hello").await.expect(405);
}

fn client(api: &Api, link: Link, is_central: bool, project: &str) {
    let client = Client {
        project_id: ProjectId::from(project),
        client_id: ClientId::from("node1"),
        uuid: freezer_testkit::random_name(),
        user_id: UserId::from(match project {
            "p1" => "alice",
            "p2" => "otto",
            _ => "freezer",
        }),
        hostname: None,
        description: None,
        capabilities: Capabilities::default(),
        is_central,
        link,
        agent_version: None,
        created_at: Timestamp::from_secs(NOW),
        last_seen_at: None,
    };
    api.db.transaction(|tx| tx.clients().upsert(&client)).unwrap();
}

fn put(api: &Api, run: &Run) {
    api.db.transaction(|tx| tx.runs().insert(run)).unwrap();
}

fn ids(answer: &Answer, key: &str) -> Vec<String> {
    let items = answer.json()[key].as_array().unwrap().clone();
    items.iter().map(|item| item["run_id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn orders_are_what_the_agent_does_not_know() {
    let bench = Bench::start().await;
    bench.say(ALICE, "work", Value::Null).await.expect(404);
    client(&bench.api, Link::Amqp, false, "p1");
    bench.say(ALICE, "work", Value::Null).await.expect(409);
    client(&bench.api, Link::Http, false, "p1");
    for (id, project, state) in [
        ("queued", "p1", RunState::Queued),
        ("new", "p1", RunState::Dispatched),
        ("held", "p1", RunState::Dispatched),
        ("running", "p1", RunState::Running),
        ("over", "p1", RunState::Success),
        ("foreign", "p2", RunState::Dispatched),
    ] {
        put(&bench.api, &run(id, project, "j", state, NOW));
    }
    let mut aborted = run("aborted", "p1", "j", RunState::Running, NOW);
    aborted.abort_requested = true;
    put(&bench.api, &aborted);
    let mut unwanted = run("unwanted", "p1", "j", RunState::Dispatched, NOW);
    unwanted.abort_requested = true;
    put(&bench.api, &unwanted);
    let step = |id: &str, epoch: i64| json!({"run_id": id, "epoch": epoch});
    let known = json!({"held": [step("held", 1), step("aborted", 1)]});
    let orders = bench.say(ALICE, "work", known).await.expect(200);
    assert_eq!(
        (ids(&orders, "run_action"), ids(&orders, "abort_run")),
        (vec!["new".into()], vec!["aborted".into()])
    );
    let order = &orders.json()["run_action"][0];
    assert_eq!((&order["epoch"], &order["freezer_action"]["action"]), (&json!(1), &json!("backup")));
    assert_eq!((&order["trust_id"], &order["project_id"]), (&Value::Null, &json!("p1")));

    // An older epoch is not the step; one that ends already is not told twice.
    let known = json!({"held": [step("held", 0), step("new", 1), step("aborted", 1)], "ending": [step("aborted", 1)]});
    let orders = bench.say(ALICE, "work", known).await.expect(200);
    assert_eq!(ids(&orders, "run_action"), ["held"]);
    assert!(ids(&orders, "abort_run").is_empty());
}

/// An answer has a part of them, oldest first; the others come when the agent holds those.
#[tokio::test]
async fn many_orders_come_in_parts() {
    const PART: usize = 32;
    const ORDERS: usize = 80;
    let bench = Bench::start().await;
    client(&bench.api, Link::Http, false, "p1");
    for n in 0..ORDERS {
        put(&bench.api, &run(&format!("r{n:02}"), "p1", "j", RunState::Dispatched, NOW + n as i64));
    }
    let mut held: Vec<String> = Vec::new();
    for part in [PART, PART, ORDERS - 2 * PART, 0] {
        let known: Vec<Value> = held.iter().map(|id| json!({"run_id": id, "epoch": 1})).collect();
        let orders = bench.say(ALICE, "work", json!({"held": known})).await.expect(200);
        let new = ids(&orders, "run_action");
        assert_eq!(new.len(), part);
        held.extend(new);
    }
    assert_eq!(held, (0..ORDERS).map(|n| format!("r{n:02}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_central_agent_works_for_whoever_means_it() {
    let bench = Bench::start().await;
    client(&bench.api, Link::Http, true, "service");
    client(&bench.api, Link::Http, false, "p2");
    for (id, project) in [("one", "p1"), ("two", "p2"), ("three", "p3")] {
        put(&bench.api, &run(id, project, "j", RunState::Dispatched, NOW));
    }
    let mine = bench.api.call(SERVICE, "POST", "/agents/node1/work", Value::Null).await.expect(200);
    assert_eq!(ids(&mine, "run_action"), ["one", "three"]);
    let theirs = bench.api.call(OTTO, "POST", "/agents/node1/work", Value::Null).await.expect(200);
    assert_eq!(ids(&theirs, "run_action"), ["two"]);
}

#[tokio::test]
async fn a_waiting_agent_is_called() {
    let bench = Bench::start().await;
    client(&bench.api, Link::Http, false, "p1");
    let target = Target::topic(API_TOPIC).exchange(EXCHANGE).version(VERSION).fanout(true);
    let drum = RpcClient::new(&bench.transport, target);
    let waiting = bench.say(ALICE, "work?wait=50", json!({}));
    let working = async {
        put(&bench.api, &run("new", "p1", "j", RunState::Dispatched, NOW));
        // Whether the request waits already is not seen from here: the drum is beaten until it has heard.
        let ready = WorkReady { project_id: "p1".into(), client_id: "node1".into() };
        loop {
            drum.cast(&Context::new(), "work_ready", json!(ready)).await.unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let orders = tokio::select! {
        answer = waiting => answer.expect(200),
        never = working => never,
    };
    assert_eq!(ids(&orders, "run_action"), ["new"]);
}

#[tokio::test]
async fn a_name_belongs_to_the_login_that_speaks_for_it() {
    let mut bench = Bench::start().await;
    client(&bench.api, Link::Http, false, "p1");
    let bind = |login: &str| {
        bench.api.db.transaction(|tx| tx.clients().bind(&"p1".into(), &"node1".into(), login)).unwrap()
    };
    let step = json!({"run_id": "r", "epoch": 1});
    let reports = [
        ("started", with(step.clone(), "pid", json!(7))),
        ("progress", with(step.clone(), "progress", json!({}))),
        (
            "finished",
            with(with(with(step, "progress", json!({})), "result", json!({})), "outcome", json!("fail")),
        ),
        ("work", json!({})),
    ];
    // Registered by alice; then bound to her own login; then to an application credential of hers.
    for (bound, statuses) in [(None, [200, 409]), (Some(""), [200, 409]), (Some("credential"), [409, 409])] {
        if let Some(login) = bound {
            bind(login);
        }
        for (who, status) in [ALICE, ANN].into_iter().zip(statuses) {
            for (verb, body) in &reports {
                let answer = bench.say(who, verb, body.clone()).await;
                assert_eq!(answer.status, status, "{} {verb} {bound:?}: {}", who.user, answer.text);
                let was_heard = bench.asked.try_recv().is_ok();
                assert_eq!(was_heard, status == 200 && *verb != "work", "{} {verb} {bound:?}", who.user);
                assert!(status == 200 || answer.description().contains("node1 belongs to another login"));
            }
        }
    }
    let refused = bench.api.call(ANN, "DELETE", "/clients/node1", Value::Null).await.expect(403);
    assert!(refused.description().contains("release the name"), "{}", refused.text);
    // Registering again, as every scheduler does, changes no owner.
    bench.api.call(ANN, "POST", "/clients", json!({"client_id": "node1"})).await.expect(201);
    bench.say(ANN, "work", json!({})).await.expect(409);
    bench.api.call_in(ADMIN, "p1", "DELETE", "/clients/node1", Value::Null).await.expect(204);
    bench.say(ANN, "work", json!({})).await.expect(404);
}
