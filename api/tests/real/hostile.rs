//! Hostile bodies and queries against the real process on MariaDB: large, deep, malformed, with characters that databases
//! dislike, and with impossible numbers.

use crate::fields;
use crate::stage::{Answer, Person, Stage};
use futures_util::future::join_all;
use serde_json::{Value, json};

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

/// Method, path below the project and schema of every operation that takes a body and that needs no conductor.
fn operations(backup: &str) -> Vec<(String, String, String)> {
    let found = fields::operations(&freezer_api::openapi::document()).into_iter();
    let found = found.filter(|(_, path, _)| !path.contains("/agents/"));
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
    // Only administrators write these.
    reached.filter(|(method, path, _)| (method.as_str(), path.as_str()) != ("PUT", "/quotas")).collect()
}

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
    let demo = stage.person("demo", "demo").await;
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
            let answer = send(&stage, &demo, &method, &path, body.to_vec()).await;
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
    assert_eq!(everything(&stage, &demo).await, before);
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
    let demo = stage.person("demo", "demo").await;
    let backup = rows(&stage, &demo).await;
    let document = freezer_api::openapi::document();
    for (method, path, schema) in operations(&backup) {
        for field in fields::of(&document, &schema).into_iter().filter(|field| field.is_text) {
            for odd in
                ["\u{0}", "a\u{0}b", "\u{1F4BE}", "\u{10FFFF}", "\u{FFFE}", "\u{1b}[31m", "e\u{301}\u{202e}"]
            {
                for mut body in fields::good(&schema) {
                    field.put(&mut body, json!(odd));
                    let answer = send(&stage, &demo, &method, &path, body.to_string().into_bytes()).await;
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
