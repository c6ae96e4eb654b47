//! Ids that only look alike are different ones, on both databases: to MariaDB's comparison spaces at an end mean nothing.

use crate::harness::*;
use crate::runs::run;
use freezer_model::RunState;
use serde_json::{Value, json};

#[tokio::test]
async fn ids_that_look_alike_are_different() {
    nothing_answers_to_another_spelling(&Api::start().await).await;
}

#[cfg(feature = "mysql")]
#[tokio::test]
async fn ids_that_look_alike_are_different_on_mariadb() {
    let (place, folder) = (OnMariaDb::create(), tempfile::tempdir().unwrap());
    let notices = freezer_api::notices::Notices::default();
    nothing_answers_to_another_spelling(&Api::over(place.db.clone(), folder, |_| {}, notices).await).await;
}

/// The id of the record of a backup that is made, too.
async fn made(api: &Api) -> String {
    api.client(ALICE, "node1").await;
    let action = json!({"freezer_action": {"action": "backup", "backup_name": "etc"}});
    api.call(ALICE, "POST", "/actions/a", action).await.expect(201);
    api.job(ALICE, json!({"job_id": "j"})).await;
    api.call(ALICE, "POST", "/sessions/s", json!({"schedule": {}, "session_tag": 0})).await.expect(201);
    let order = run("r", "p1", "j", RunState::Running, NOW);
    api.db.transaction(|tx| tx.runs().insert(&order)).unwrap();
    let record = json!({"container": "c", "hostname": "h", "backup_name": "b"});
    let answer = api.call(ALICE, "POST", "/backups", record).await.expect(201).json();
    answer["backup_id"].as_str().unwrap().to_owned()
}

fn spellings(id: &str) -> Vec<String> {
    let capital = id.to_uppercase();
    let mut all: Vec<String> =
        ["%20", "%20%20", "%C2%A0", "%20%C2%A0", "%00"].map(|end| format!("{id}{end}")).into();
    all.extend((capital != id).then_some(capital));
    all
}

async fn nothing_answers_to_another_spelling(api: &Api) {
    let record = made(api).await;
    let description = json!({"description": "x"});
    let nouns = [
        ("jobs", "j", description.clone()),
        ("sessions", "s", description),
        ("actions", "a", json!({"freezer_action": {"action": "info"}})),
        ("clients", "node1", Value::Null),
        ("runs", "r", json!({"upload_limit": 1})),
        ("backups", record.as_str(), json!({"status": "deleted"})),
    ];
    let mut before = Vec::new();
    for (noun, id, _) in &nouns {
        before.push(api.get(ALICE, &format!("/{noun}/{id}")).await.expect(200).json());
    }
    for (noun, id, change) in &nouns {
        for odd in spellings(id) {
            let path = format!("/{noun}/{odd}");
            api.get(ALICE, &path).await.expect(404);
            if !change.is_null() {
                api.call(ALICE, "PATCH", &path, change.clone()).await.expect(404);
            }
            if *noun != "runs" {
                api.call(ALICE, "DELETE", &path, Value::Null).await.expect(204);
            }
        }
    }
    let start = json!({"start": {"job_id": "j", "current_tag": 0}});
    for odd in spellings("s") {
        api.call(ALICE, "PUT", &format!("/sessions/{odd}/jobs/j"), Value::Null).await.expect(404);
        api.call(ALICE, "POST", &format!("/sessions/{odd}/action"), start.clone()).await.expect(404);
    }
    for odd in spellings("j") {
        api.call(ALICE, "PUT", &format!("/sessions/s/jobs/{odd}"), Value::Null).await.expect(404);
        api.call(ALICE, "POST", &format!("/jobs/{odd}/event"), json!({"start": null})).await.expect(404);
        api.get(ALICE, &format!("/jobs/{odd}/runs")).await.expect(404);
    }
    for (body, status) in [
        (json!({"client_id": "node1 "}), 400),
        (json!({"client_id": "NODE1"}), 422),
        (json!({"session_id": "s ", "session_tag": 1}), 400),
        (json!({"job_actions": [{"action_id": "A"}]}), 422),
    ] {
        let mut job = job_body();
        job.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
        let answer = api.call(ALICE, "POST", "/jobs", job).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.text);
    }
    for ((noun, id, _), before) in nouns.iter().zip(before) {
        assert_eq!(api.get(ALICE, &format!("/{noun}/{id}")).await.expect(200).json(), before, "{noun}");
    }
}
