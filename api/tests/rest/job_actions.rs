//! Actions inside jobs: reference, fork, create (contract §6.4).

use crate::harness::*;
use serde_json::{Value, json};

async fn actions(api: &Api) -> Vec<Value> {
    api.get(ALICE, "/actions?limit=100").await.json()["actions"].as_array().unwrap().clone()
}

async fn entries(api: &Api, job: &str) -> Vec<Value> {
    api.get(ALICE, &format!("/jobs/{job}")).await.json()["job_actions"].as_array().unwrap().clone()
}

fn ids(entries: &[Value]) -> Vec<String> {
    entries.iter().map(|entry| entry["action_id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn the_same_action_is_referenced_and_a_changed_one_forked() {
    let api = Api::start().await;
    api.client(ALICE, "node1").await;
    let options = json!({"action": "backup", "mode": "fs", "max_level": 2});
    api.call(ALICE, "POST", "/actions/a1", json!({"freezer_action": options, "max_retries": 9}))
        .await
        .expect(201);
    // equal, also with the nulls a read document has; sent retries do not count
    let with_nulls =
        json!({"action": "backup", "mode": "fs", "max_level": 2, "storage": null, "backup_name": null});
    api.job(ALICE, json!({"job_id": "j1", "job_actions": [{"action_id": "a1", "freezer_action": with_nulls, "max_retries": 1}, {"action_id": "a1"}]})).await;
    assert_eq!(ids(&entries(&api, "j1").await), ["a1", "a1"]);
    assert_eq!(entries(&api, "j1").await[0]["max_retries"], 9);
    assert_eq!(actions(&api).await.len(), 1);
    // one key differs: a new action, the saved one untouched
    let changed = json!({"action": "backup", "mode": "fs", "max_level": 3});
    api.job(ALICE, json!({"job_id": "j2", "job_actions": [{"action_id": "a1", "freezer_action": changed}]}))
        .await;
    let forked = entries(&api, "j2").await;
    assert_ne!(forked[0]["action_id"], "a1");
    assert_eq!(
        (&forked[0]["freezer_action"]["max_level"], &forked[0]["max_retries"]),
        (&json!(3), &json!(5))
    );
    assert_eq!(api.get(ALICE, "/actions/a1").await.json()["freezer_action"]["max_level"], 2);
    // an unknown id with options is created under that id; without options it cannot be
    api.job(ALICE, json!({"job_id": "j3", "job_actions": [{"action_id": "mine", "freezer_action": options}, {"action_id": "mine", "freezer_action": options}]})).await;
    assert_eq!(ids(&entries(&api, "j3").await), ["mine", "mine"]);
    let mut body = job_body();
    body["job_actions"] = json!([{"action_id": "nowhere"}]);
    let answer = api.call(ALICE, "POST", "/jobs", body).await;
    answer.expect_error(422, "Unprocessable Entity", "Action id: nowhere not found.");
}

#[tokio::test]
async fn round_trips_keep_ids_and_order() {
    let api = Api::start().await;
    api.client(ALICE, "node1").await;
    let backup = |name: &str| json!({"freezer_action": {"action": "backup", "backup_name": name}});
    api.job(ALICE, json!({"job_id": "j", "job_actions": [backup("one"), backup("two"), backup("three")]}))
        .await;
    let read = entries(&api, "j").await;
    let send = async |list: Vec<Value>| {
        api.call(ALICE, "PATCH", "/jobs/j", json!({"job_actions": list})).await.expect(200);
        entries(&api, "j").await
    };
    assert_eq!(send(read.clone()).await, read);
    let turned: Vec<Value> = read.iter().rev().cloned().collect();
    assert_eq!(send(turned.clone()).await, turned);
    let mut edited = read.clone();
    edited[1]["freezer_action"]["backup_name"] = json!("zwei");
    let after = send(edited).await;
    assert_eq!((&ids(&after)[0], &ids(&after)[2]), (&ids(&read)[0], &ids(&read)[2]));
    assert_ne!(ids(&after)[1], ids(&read)[1]);
    assert_eq!(actions(&api).await.len(), 4);
    assert!(send(Vec::new()).await.is_empty());
}

#[tokio::test]
async fn editing_a_saved_action_changes_every_job_and_deleting_it_takes_it_out() {
    let api = Api::start().await;
    api.client(ALICE, "node1").await;
    api.call(ALICE, "POST", "/actions/a1", json!({"freezer_action": {"action": "backup"}})).await.expect(201);
    for job in ["j1", "j2"] {
        api.job(ALICE, json!({"job_id": job, "job_actions": [{"action_id": "a1"}, {"freezer_action": {"action": "admin"}}]})).await;
    }
    api.call(
        ALICE,
        "PATCH",
        "/actions/a1",
        json!({"freezer_action": {"action": "exec", "command": "true"}, "mandatory": true}),
    )
    .await
    .expect(200);
    for job in ["j1", "j2"] {
        let entry = entries(&api, job).await[0].clone();
        assert_eq!(
            (&entry["freezer_action"]["command"], &entry["mandatory"]),
            (&json!("true"), &json!(true))
        );
    }
    api.call(ALICE, "DELETE", "/actions/a1", Value::Null).await.expect(204);
    for job in ["j1", "j2"] {
        assert_eq!(entries(&api, job).await.len(), 1);
    }
}

#[tokio::test]
async fn defaults_fill_every_entry() {
    let api = Api::start().await;
    api.client(ALICE, "node1").await;
    let body = json!({"job_id": "j", "action_defaults": {"storage": "swift", "action": "backup", "mode": "fs"},
        "job_actions": [{"freezer_action": {"backup_name": "a", "storage": null}}, {"freezer_action": {"mode": "nova"}}, {}]});
    api.job(ALICE, body).await;
    let read = entries(&api, "j").await;
    let options = |index: usize, key: &str| read[index]["freezer_action"][key].clone();
    assert_eq!(
        (options(0, "storage"), options(0, "backup_name"), options(0, "mode")),
        (json!("swift"), json!("a"), json!("fs"))
    );
    assert_eq!(
        (options(1, "mode"), options(1, "action"), options(2, "mode")),
        (json!("nova"), json!("backup"), json!("fs"))
    );
    assert_eq!(api.get(ALICE, "/jobs/j").await.json().get("action_defaults"), None);
    let mut body = job_body();
    body["action_defaults"] = json!(["x"]);
    api.call(ALICE, "POST", "/jobs", body).await.expect_refusal("'action_defaults'");
    api.call(ALICE, "PATCH", "/jobs/j", json!({"action_defaults": {}}))
        .await
        .expect_refusal("'job_actions' is a required property");
}
