//! A part behind the service is away: 503, with a hint when to come again, and it goes on when the part is back.

use crate::stage::{Answer, Person, Stage};
use freezer_testkit::private::{PrivateMariadb, free_port};
use freezer_testkit::{TestDatabase, TestVhost, Wire, services};
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// For what takes a second or two: only what hangs is late.
const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread")]
async fn keystone_is_away() {
    let keystone = format!("http://127.0.0.1:{}/v3", free_port());
    let database = TestDatabase::create();
    let url = database.url();
    let stage = Stage::on(&url, Some(database), &keystone);
    let answer = stage.ask(Some("gAAAAABsome-token"), "GET", "/v2/p/jobs", Value::Null).await.expect(503);
    assert!(!answer.header("retry-after").is_empty(), "{:?}", answer.headers);
    stage.ask(None, "GET", "/v2/p/jobs", Value::Null).await.expect(401);
    stage.ask(None, "GET", "/healthcheck", Value::Null).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_is_away_and_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut mariadb = PrivateMariadb::start(folder.path());
    let stage = Stage::on(&mariadb.url(), None, &services::keystone_url());
    let demo = stage.person("demo", "demo").await;
    stage.call(&demo, "POST", "/actions/a", json!({"freezer_action": {"action": "info"}})).await.expect(201);
    mariadb.daemon.kill();
    for (method, path, body) in [
        ("GET", "/actions", Value::Null),
        ("POST", "/actions/b", json!({"freezer_action": {"action": "info"}})),
    ] {
        let answer = stage.call(&demo, method, path, body).await.expect(503);
        assert_eq!(answer.json()["title"], "Service Unavailable");
        assert_eq!(answer.header("retry-after"), "10");
        assert!(
            !answer.text.contains("127.0.0.1") && !answer.text.to_lowercase().contains("mysql"),
            "{}",
            answer.text
        );
    }
    mariadb.start_again();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = stage.call(&demo, "GET", "/actions", Value::Null).await;
        if answer.status == 200 {
            assert_eq!(answer.json()["actions"].as_array().unwrap().len(), 1);
            break;
        }
        assert!(Instant::now() < deadline, "{} {}", answer.status, answer.text);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn new_job(id: &str) -> Value {
    json!({"job_id": id, "client_id": "node1", "job_schedule": {},
        "job_actions": [{"freezer_action": {"action": "exec", "command": "true"}, "max_retries": 0}]})
}

/// Every way to the database in turn: a list, an insertion that others share, a change.
async fn ask(stage: &Stage, who: &Person, number: usize) -> Answer {
    let call = match number % 3 {
        0 => stage.call(who, "GET", "/jobs", Value::Null).await,
        1 => stage.call(who, "POST", "/jobs", new_job(&format!("j{number}"))).await,
        _ => stage.call(who, "PATCH", "/jobs/j", json!({"description": format!("d{number}")})).await,
    };
    assert!(call.status != 503 || call.header("retry-after") == "10", "{number}: {:?}", call.headers);
    call
}

async fn ask_all(stage: &Stage, who: &Person, numbers: std::ops::Range<usize>) -> Vec<Answer> {
    let asked = join_all(numbers.map(|number| ask(stage, who, number)));
    tokio::time::timeout(PATIENCE, asked).await.expect("every request is answered")
}

fn threads(stage: &Stage) -> usize {
    std::fs::read_dir(format!("/proc/{}/task", stage.daemon.pid().unwrap())).unwrap().count()
}

/// Connections stay open and nothing arrives any more: TCP alone would let everybody wait for a quarter of an hour.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_database_hangs_nobody() {
    /// What the pool's 55 connections may keep waiting, and what the service has besides.
    const FEW: usize = 80;
    let database = TestDatabase::create();
    let wire = Wire::start(&database.url()).await;
    // What is asked for before the silence is answered in this time, too.
    let settings = "[api]\ndatabase_timeout = 5\n";
    let stage = Stage::with(wire.url(), Some(database), &services::keystone_url(), settings);
    let demo = stage.person("demo", "demo").await;
    stage.call(&demo, "POST", "/clients", json!({"client_id": "node1"})).await.expect(201);
    stage.call(&demo, "POST", "/jobs", new_job("j")).await.expect(201);
    let before = threads(&stage);
    // Several connections are open, so that several requests meet the silence in the middle of their work.
    for answer in ask_all(&stage, &demo, 0..20).await {
        assert!(matches!(answer.status, 200 | 201), "{} {}", answer.status, answer.text);
    }

    wire.silence();
    for answer in ask_all(&stage, &demo, 20..40).await {
        assert_eq!(answer.expect(503).json()["title"], "Service Unavailable");
    }
    for answer in ask_all(&stage, &demo, 40..340).await {
        answer.expect(503);
    }
    let waiting = threads(&stage);
    assert!(waiting <= before + FEW, "{waiting} threads, {before} before");

    wire.speak();
    let deadline = Instant::now() + PATIENCE;
    for number in [999, 1000, 1001] {
        loop {
            let answer = ask(&stage, &demo, number).await;
            // What was refused and written all the same is there already.
            if matches!(answer.status, 200 | 201 | 409) {
                break;
            }
            assert!(Instant::now() < deadline, "{} {}", answer.status, answer.text);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    // One that was refused can be sent again, whatever has become of it.
    let again = stage.call(&demo, "POST", "/jobs", new_job("j22")).await;
    assert!(matches!(again.status, 201 | 409), "{} {}", again.status, again.text);
    stage.call(&demo, "GET", "/jobs/j22", Value::Null).await.expect(200);
}

/// The broker is silent, then it is gone: jobs are taken, and handed out when it is back.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_broker_jobs_are_taken_and_handed_out_later() {
    let (database, vhost) = (TestDatabase::create(), TestVhost::create());
    let (url, wire) = (database.url(), Wire::start(&vhost.url()).await);
    let stage = Stage::between(&url, Some(database), (wire.url(), vhost), &services::keystone_url(), "");
    let conductor = stage.conductor(wire.url()).await;
    let demo = stage.person("demo", "demo").await;
    let hello = json!({"project_id": demo.project_id, "client_id": "node1", "hostname": "h", "agent_version": "1",
        "is_central": false, "held": [], "capabilities": {"actions": ["exec"], "modes": [], "storages": [], "engines": []},
        "concurrent_jobs": 4});
    stage.call(&demo, "POST", "/agents/node1/hello", hello).await.expect(200);

    let taken = async {
        wire.silence();
        stage.call(&demo, "POST", "/jobs", new_job("silent")).await.expect(201);
        wire.down();
        stage.call(&demo, "POST", "/jobs", new_job("gone")).await.expect(201);
    };
    tokio::time::timeout(PATIENCE, taken).await.expect("nobody waits for the broker");
    wire.speak();
    wire.up();

    let deadline = Instant::now() + PATIENCE;
    loop {
        let work = stage.call(&demo, "POST", "/agents/node1/work?wait=5", json!({})).await.expect(200).json();
        let orders = work["run_action"].as_array().unwrap().iter();
        let mut jobs: Vec<&str> = orders.map(|order| order["job_id"].as_str().unwrap()).collect();
        jobs.sort_unstable();
        if jobs == ["gone", "silent"] {
            break;
        }
        assert!(Instant::now() < deadline, "{work}");
        // Orders are repeated at once until they are begun.
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    for job in ["gone", "silent"] {
        let runs =
            stage.call(&demo, "GET", &format!("/jobs/{job}/runs"), Value::Null).await.expect(200).json();
        assert_eq!(runs["runs"].as_array().unwrap().len(), 1, "{runs}");
    }
    conductor.stop().await;
}
