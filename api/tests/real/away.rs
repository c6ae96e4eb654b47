//! A part behind the service is away: 503, with a hint when to come again, and it goes on when the part is back.

use crate::stage::Stage;
use freezer_testkit::private::{PrivateMariadb, free_port};
use freezer_testkit::services;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread")]
async fn keystone_is_away() {
    let keystone = format!("http://127.0.0.1:{}/v3", free_port());
    let database = freezer_testkit::TestDatabase::create();
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
    let deadline = Instant::now() + Duration::from_secs(60);
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
