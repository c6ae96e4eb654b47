//! Many who write to one row at once, on MariaDB: what each was told is written is there afterwards.

use crate::stage::{Answer, Person, Stage};
use futures_util::future::join_all;
use serde_json::{Value, json};

const WRITERS: usize = 40;

async fn patch_all(stage: &Stage, who: &Person, path: &str, bodies: Vec<Value>) -> Value {
    let sent = bodies.into_iter().map(|body| stage.call(who, "PATCH", path, body));
    for answer in join_all(sent).await {
        answer.expect(200);
    }
    stage.call(who, "GET", path, Value::Null).await.expect(200).json()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_patch_of_a_record_stays() {
    let stage = Stage::start();
    let demo = stage.person("demo", "demo").await;
    let record = json!({"container": "c", "hostname": "h", "backup_name": "b"});
    let made = stage.call(&demo, "POST", "/backups", record).await.expect(201).json();
    let path = format!("/backups/{}", made["backup_id"].as_str().unwrap());
    let mut bodies: Vec<Value> =
        (0..WRITERS).map(|n| json!({"backup_metadata": {(format!("k{n}")): n}})).collect();
    bodies.push(json!({"status": "error"}));
    let record = patch_all(&stage, &demo, &path, bodies).await;
    assert_eq!(record["status"], "error");
    let lost: Vec<usize> =
        (0..WRITERS).filter(|n| record["backup_metadata"][format!("k{n}")] != *n).collect();
    assert!(lost.is_empty(), "gone: {lost:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_patch_of_an_action_stays() {
    let stage = Stage::start();
    let demo = stage.person("demo", "demo").await;
    let action = |verb: &str| json!({"freezer_action": {"action": verb}, "mandatory": false});
    stage.call(&demo, "POST", "/actions/a", action("backup")).await.expect(201);
    for round in 1..=10 {
        let bodies = vec![
            json!({"max_retries": round}),
            json!({"max_retries_interval": round}),
            json!({"mandatory": round % 2 == 1}),
            json!({"freezer_action": {"action": "backup", "round": round}}),
        ];
        let action = patch_all(&stage, &demo, "/actions/a", bodies).await;
        let found = ["max_retries", "max_retries_interval", "mandatory"].map(|key| action[key].clone());
        assert_eq!(found, [json!(round), json!(round), json!(round % 2 == 1)], "{action}");
        assert_eq!(action["freezer_action"]["round"], round);
    }
}

/// Each way to a new job counts what is there, and none of them counts while another one adds.
#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_come_at_once_do_not_pass_the_quota() {
    let stage = Stage::start();
    let demo = stage.person("demo", "demo").await;
    let admin = Person { project_id: demo.project_id.clone(), ..stage.person("admin", "admin").await };
    stage.call(&demo, "POST", "/clients", json!({"client_id": "node1"})).await.expect(201);
    stage.call(&admin, "PUT", "/quotas", json!({"jobs": 3})).await.expect(200);
    let job = json!({"client_id": "node1", "job_actions": [{"freezer_action": {"action": "backup"}}]});
    for _round in 0..4 {
        let paths = (0..16).map(|n| if n % 4 == 0 { format!("/jobs/new{n}") } else { "/jobs".to_owned() });
        let sent = paths.map(|path| {
            let (stage, demo, job) = (&stage, &demo, job.clone());
            async move { stage.call(demo, "POST", &path, job).await }
        });
        let (made, refused): (Vec<Answer>, Vec<Answer>) =
            join_all(sent).await.into_iter().partition(|answer| answer.status == 201);
        assert_eq!(made.len(), 3);
        for answer in refused {
            let said = answer.expect(403).json()["description"].as_str().unwrap().to_owned();
            assert!(said.starts_with("Quota exceeded"), "{said}");
        }
        let jobs = stage.call(&demo, "GET", "/jobs?limit=100", Value::Null).await.expect(200).json();
        let ids: Vec<&str> =
            jobs["jobs"].as_array().unwrap().iter().map(|job| job["job_id"].as_str().unwrap()).collect();
        assert_eq!(ids.len(), 3, "{ids:?}");
        for id in ids {
            stage.call(&demo, "DELETE", &format!("/jobs/{id}"), Value::Null).await.expect(204);
        }
    }
}

/// Each of them creates it or replaces what another one has created: nobody is told that the id is taken.
#[tokio::test(flavor = "multi_thread")]
async fn upserts_of_one_new_id_all_succeed() {
    let stage = Stage::start();
    let demo = stage.person("demo", "demo").await;
    stage.call(&demo, "POST", "/clients", json!({"client_id": "node1"})).await.expect(201);
    let action = json!({"freezer_action": {"action": "backup"}});
    for round in 0..6 {
        let job = json!({"client_id": "node1", "job_actions": [{"action_id": format!("n{round}"), "freezer_action": {"action": "backup"}}]});
        let another = json!({"client_id": "node1", "job_actions": [{"action_id": format!("m{round}"), "freezer_action": {"action": "backup"}}]});
        for (path, body) in [
            // Jobs of their own, with one new action.
            ("/jobs".to_owned(), another),
            (format!("/actions/a{round}"), action.clone()),
            (format!("/jobs/j{round}"), job),
            (format!("/sessions/s{round}"), json!({"schedule": {}, "session_tag": 0})),
            ("/clients".to_owned(), json!({"client_id": format!("host{round}")})),
        ] {
            let sent = (0..8).map(|_| stage.call(&demo, "POST", &path, body.clone()));
            for answer in join_all(sent).await {
                assert_eq!(answer.status, 201, "{path}: {}", answer.text);
            }
        }
    }
}
