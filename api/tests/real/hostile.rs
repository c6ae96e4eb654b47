//! Hostile bodies and queries against the real process on MariaDB: large, deep, malformed, with characters that databases
//! dislike, and with impossible numbers.

use crate::fields;
use crate::refused;
use crate::stage::{Answer, Person, Stage};
use freezer_model::rpc::{CONDUCTOR_TOPIC, EXCHANGE, VERSION};
use futures_util::future::join_all;
use oslo_messaging::{Context, RabbitOptions, RpcClient, Target, Transport};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const LISTS: [&str; 7] = ["/jobs", "/jobs/j/runs", "/actions", "/sessions", "/clients", "/backups", "/runs"];

async fn send(stage: &Stage, who: &Person, method: &str, path: &str, body: Vec<u8>) -> Answer {
    let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
    let request = reqwest::Client::new()
        .request(method, format!("{}/v2/{}{path}", stage.base, who.project_id))
        .header("X-Auth-Token", &who.token)
        .body(body);
    let answer = request.send().await.expect("freezer-api answers");
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    Answer { status, headers, text: answer.text().await.unwrap() }
}

async fn rows(stage: &Stage, who: &Person) -> String {
    stage.call(who, "POST", "/clients", json!({"client_id": "node1"})).await.expect(201);
    let action = json!({"freezer_action": {"action": "backup"}});
    stage.call(who, "POST", "/actions/a", action.clone()).await.expect(201);
    let job = json!({"client_id": "node1", "job_actions": [{"action_id": "a"}]});
    stage.call(who, "POST", "/jobs/j", job).await.expect(201);
    stage.call(who, "POST", "/sessions/s", json!({"schedule": {}, "session_tag": 0})).await.expect(201);
    stage.call(who, "PUT", "/sessions/s/jobs/j", Value::Null).await.expect(204);
    let record = json!({"container": "c", "hostname": "h", "backup_name": "b"});
    let backup = stage.call(who, "POST", "/backups", record).await.expect(201).json();
    backup["backup_id"].as_str().unwrap().to_owned()
}

/// Method, path below the project and schema of every operation that takes a body.
fn operations(backup: &str) -> Vec<(String, String, String)> {
    let found = fields::operations(&freezer_api::openapi::document()).into_iter();
    let reached = found.map(|(method, path, schema)| {
        let path = path
            .replace("/v2/{project_id}", "")
            .replace("{job_id}", "j")
            .replace("{action_id}", "a")
            .replace("{session_id}", "s")
            .replace("{client_id}", "node1")
            .replace("{backup_id}", backup);
        (method, path, schema)
    });
    reached.collect()
}

/// The people who may send a body: the tenant's own, and for quotas an administrator at the tenant's path.
struct Senders {
    own: Person,
    admin: Person,
}

impl Senders {
    async fn on(stage: &Stage) -> Self {
        let own = stage.person("demo", "demo").await;
        let admin = stage.person("admin", "admin").await;
        let admin = Person { project_id: own.project_id.clone(), ..admin };
        Self { own, admin }
    }

    fn of(&self, path: &str) -> &Person {
        if path == "/quotas" { &self.admin } else { &self.own }
    }
}

/// Zero bytes, what is not on the basic plane, what is no character, what terminals obey, and signs that combine.
const ODD: [&str; 7] =
    ["\u{0}", "a\u{0}b", "\u{1F4BE}", "\u{10FFFF}", "\u{FFFE}", "\u{1b}[31m", "e\u{301}\u{202e}"];

async fn everything(stage: &Stage, who: &Person) -> Vec<Value> {
    let mut all = Vec::new();
    for list in LISTS {
        let path = format!("{list}?limit=1000");
        all.push(stage.call(who, "GET", &path, Value::Null).await.expect(200).json());
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn large_deep_and_malformed_bodies_are_refused_by_every_operation() {
    let stage = Stage::start();
    let senders = Senders::on(&stage).await;
    let demo = senders.own.clone();
    let backup = rows(&stage, &demo).await;
    let before = everything(&stage, &demo).await;
    let deep_list = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    let deep_object = format!("{}1{}", "{\"a\":".repeat(10_000), "}".repeat(10_000));
    let inside = format!("{{\"freezer_action\": {deep_object}}}");
    let unclosed = "[".repeat(10_000);
    let large = format!("{{\"description\": \"{}\"}}", "x".repeat(10 << 20));
    for (method, path, _) in operations(&backup) {
        for (body, statuses) in [
            (deep_list.as_bytes(), &[400][..]),
            (deep_object.as_bytes(), &[400]),
            (inside.as_bytes(), &[400]),
            (unclosed.as_bytes(), &[400]),
            (b"{\"a\": }", &[400]),
            (b"{\"a\": \"\\ud800\"}", &[400]),
            (b"{\"a\": 1e999}", &[400]),
            (b"\xff\xfe{\x00}", &[400]),
            (b"{} trailing", &[400]),
            (large.as_bytes(), &[413]),
        ] {
            let answer = send(&stage, senders.of(&path), &method, &path, body.to_vec()).await;
            let shown = String::from_utf8_lossy(&body[..body.len().min(40)]).into_owned();
            assert!(
                statuses.contains(&answer.status),
                "{method} {path} {shown}: {} {}",
                answer.status,
                answer.text
            );
            let error = answer.json();
            assert!(error["title"].is_string() && error["description"].is_string(), "{}", answer.text);
        }
    }
    refused::odd_ids_in_every_path(&stage, &demo).await;
    assert_eq!(everything(&stage, &demo).await, before);
    refused::bodies_that_nobody_reads(&stage, &demo).await;
}

/// Many at a time: what is thrown away is not kept first.
#[tokio::test(flavor = "multi_thread")]
async fn many_large_bodies_at_once_are_not_held_in_memory() {
    let stage = Stage::start();
    let demo = stage.person("demo", "demo").await;
    let pid = stage.daemon.pid().unwrap();
    let peak = || {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap().to_owned();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
    };
    stage.call(&demo, "GET", "/actions", Value::Null).await.expect(200);
    let before = peak();
    let large = format!("{{\"description\": \"{}\"}}", "x".repeat(10 << 20)).into_bytes();
    let sent = (0..20).map(|_| send(&stage, &demo, "POST", "/jobs", large.clone()));
    for answer in join_all(sent).await {
        assert_eq!(answer.expect(413).json()["title"], "Request body too large");
    }
    // 200 MiB were sent.
    let grown = peak() - before;
    println!("peak of memory: {grown} KiB more");
    assert!(grown < 50 << 10, "{grown} KiB");
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_characters_are_kept_or_refused_in_every_text() {
    let stage = Stage::start();
    // What agents say goes on to a conductor.
    let conductor = stage.conductor(&stage.vhost.url()).await;
    let senders = Senders::on(&stage).await;
    let demo = senders.own.clone();
    let backup = rows(&stage, &demo).await;
    let document = freezer_api::openapi::document();
    for (method, path, schema) in operations(&backup) {
        for field in fields::of(&document, &schema).into_iter().filter(|field| field.is_text) {
            for odd in ODD {
                for mut body in fields::good(&schema) {
                    if schema == "AgentHello" {
                        body["project_id"] = json!(demo.project_id);
                    }
                    field.put(&mut body, json!(odd));
                    let sender = senders.of(&path);
                    let answer = send(&stage, sender, &method, &path, body.to_string().into_bytes()).await;
                    assert!(answer.status < 500, "{method} {path} {body}: {} {}", answer.status, answer.text);
                }
            }
        }
    }
    everything(&stage, &demo).await;
    // What is taken is given back as it was.
    let described = json!({"description": "\u{1F4BE} \u{10FFFF} e\u{301}"});
    stage.call(&demo, "PATCH", "/jobs/j", described.clone()).await.expect(200);
    let job = stage.call(&demo, "GET", "/jobs/j", Value::Null).await.expect(200).json();
    assert_eq!(job["description"], described["description"]);
    conductor.stop().await;
}

/// Orders that came to an agent on the HTTPS link, when there are so many.
async fn orders(stage: &Stage, who: &Person, count: usize) -> Vec<Value> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let path = "/agents/node1/work?wait=5";
        let work = stage.call(who, "POST", path, json!({})).await.expect(200).json();
        let orders = work["run_action"].as_array().unwrap();
        if orders.len() == count {
            return orders.clone();
        }
        assert!(Instant::now() < deadline, "{work}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// What an agent says of a step that it does, with odd texts wherever there is one: first while it goes on, then at its end.
fn reports(order: &Value, odd: &str) -> [(&'static str, Value); 3] {
    let step = |more: Value| {
        let mut body = json!({"run_id": order["run_id"], "epoch": order["epoch"]});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let progress = json!({"phase": odd, "current_path": odd, "log": [odd, "plain"]});
    let metadata = json!({"hostname": odd, "container": odd, "backup_name": odd, "path_to_backup": odd, "time_stamp": 1});
    [
        ("started", step(json!({"pid": 1}))),
        ("progress", step(json!({"progress": progress}))),
        (
            "finished",
            step(json!({"outcome": "partial", "exit_code": 0, "error": odd, "progress": progress,
                "result": {"backup_metadata": metadata, "unreadable": [odd]}})),
        ),
    ]
}

/// Names of files, messages of programs and names of hosts are whatever they are: a step is never lost for them.
#[tokio::test(flavor = "multi_thread")]
async fn what_agents_report_is_kept_as_it_is() {
    let stage = Stage::start();
    let conductor = stage.conductor(&stage.vhost.url()).await;
    let demo = stage.person("demo", "demo").await;
    let can = json!({"actions": ["backup"], "modes": ["fs"], "storages": ["local"], "engines": ["tar"]});
    let mut hello = json!({"project_id": demo.project_id, "client_id": "node1", "hostname": "\u{1F4BE}e\u{301}",
        "agent_version": "1", "is_central": false, "held": [], "capabilities": can, "concurrent_jobs": ODD.len()});
    stage.call(&demo, "POST", "/agents/node1/hello", hello.clone()).await.expect(200);
    let client = stage.call(&demo, "GET", "/clients/node1", Value::Null).await.expect(200).json();
    assert_eq!(client["client"]["hostname"], hello["hostname"], "{client}");
    for number in 0..ODD.len() {
        let action = json!({"action": "backup", "mode": "fs", "storage": "local", "container": "/c", "path_to_backup": "/p",
            "backup_name": format!("b{number}")});
        let job = json!({"job_id": format!("j{number}"), "client_id": "node1", "job_schedule": {},
            "job_actions": [{"freezer_action": action, "max_retries": 0}]});
        stage.call(&demo, "POST", "/jobs", job).await.expect(201);
    }
    for (order, odd) in orders(&stage, &demo, ODD.len()).await.iter().zip(ODD) {
        let shown = format!("/runs/{}", order["run_id"].as_str().unwrap());
        for (verb, body) in reports(order, odd) {
            let path = format!("/agents/node1/{verb}");
            let verdict = stage.call(&demo, "POST", &path, body).await.expect(200).json();
            assert_eq!(verdict["verdict"], "continue", "{verb} {odd:?}");
            let run = stage.call(&demo, "GET", &shown, Value::Null).await.expect(200).json();
            if verb == "progress" {
                assert_eq!(run["progress"]["current_path"], odd, "{run}");
                assert_eq!(run["log"], json!([odd, "plain"]), "{run}");
            }
            if verb == "finished" {
                assert_eq!(
                    (&run["state"], &run["steps"][0]["error"]),
                    (&json!("partial"), &json!(odd)),
                    "{run}"
                );
                assert_eq!(run["steps"][0]["log"], json!([odd, "plain"]), "{run}");
            }
        }
    }
    let records = stage.call(&demo, "GET", "/backups?limit=100", Value::Null).await.expect(200).json();
    let records = records["backups"].as_array().unwrap();
    let mut hosts: Vec<&str> =
        records.iter().map(|record| record["backup_metadata"]["hostname"].as_str().unwrap()).collect();
    let mut expected = ODD;
    hosts.sort_unstable();
    expected.sort_unstable();
    assert_eq!(hosts, expected);

    // On the message bus nobody looks at a hello before the conductor.
    let transport = Transport::connect(&stage.vhost.url(), RabbitOptions::default()).unwrap();
    let target = Target::topic(CONDUCTOR_TOPIC).exchange(EXCHANGE).version(VERSION);
    let bus = RpcClient::new(&transport, target).timeout(Duration::from_secs(30));
    hello["client_id"] = json!("node2");
    for (odd, method) in ODD.into_iter().zip(["agent_hello", "agent_heartbeat"].into_iter().cycle()) {
        hello["hostname"] = json!(odd);
        bus.call(&Context::new(), method, hello.clone()).await.unwrap();
        let client = stage.call(&demo, "GET", "/clients/node2", Value::Null).await.expect(200).json();
        assert_eq!(client["client"]["hostname"], odd, "{client}");
    }
    transport.close().await;
    conductor.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn impossible_pages_are_refused_by_every_list() {
    let stage = Stage::start();
    let demo = stage.person("demo", "demo").await;
    rows(&stage, &demo).await;
    let huge = format!("1{}", "0".repeat(30));
    for list in LISTS {
        for name in ["limit", "offset"] {
            for (bad, why) in [
                ("-1", "must not be negative"),
                ("-9223372036854775808", "must not be negative"),
                (huge.as_str(), "must be an integer"),
                (&format!("-{huge}"), "must be an integer"),
                ("1e3", "must be an integer"),
                ("0x10", "must be an integer"),
                ("NaN", "must be an integer"),
                ("%00", "must be an integer"),
                ("%F0%9F%92%BE", "must be an integer"),
            ] {
                let path = format!("{list}?{name}={bad}");
                let answer = stage.call(&demo, "GET", &path, Value::Null).await.expect(400);
                let said = answer.json()["description"].as_str().unwrap().to_owned();
                assert!(said.contains(name) && said.contains(why), "{path}: {said}");
            }
        }
        // The largest numbers there are: an empty page, and a full one.
        let path = format!("{list}?offset=9223372036854775807&limit=9223372036854775807");
        let page = stage.call(&demo, "GET", &path, Value::Null).await.expect(200).json();
        assert!(page.as_object().unwrap().values().all(|items| items == &json!([])), "{page}");
    }
}
