//! Search documents in GET bodies (contract §4).

use crate::harness::*;
use serde_json::{Value, json};

async fn found(api: &Api, path: &str, search: Value) -> String {
    let answer = api.call(ALICE, "GET", path, search.clone()).await.expect(200).json();
    let (kind, list) = answer.as_object().unwrap().iter().next().unwrap();
    let id = |row: &Value| match kind.as_str() {
        "jobs" => row["job_id"].clone(),
        "clients" => row["client"]["client_id"].clone(),
        "backups" => row["backup_metadata"]["backup_name"].clone(),
        _ => row["action_id"].clone(),
    };
    list.as_array()
        .unwrap()
        .iter()
        .map(|row| id(row).as_str().unwrap().to_owned())
        .collect::<Vec<_>>()
        .join(" ")
}

#[tokio::test]
async fn jobs() {
    let api = Api::start().await;
    for client in ["node1", "node2"] {
        api.client(ALICE, client).await;
    }
    let with_mode =
        |mode: &str| json!([{"freezer_action": {"action": "backup", "mode": mode}, "max_retries": 10}]);
    for (id, client, status, mode) in [
        ("j1", "node1", "", "fs"),
        ("j2", "node1", "completed", "nova"),
        ("j3", "node2", "scheduled", "nova"),
    ] {
        let more = json!({"job_id": id, "client_id": client, "job_schedule": {"status": status}, "job_actions": with_mode(mode), "description": "Nightly"});
        api.job(ALICE, more).await;
    }
    for (search, expected) in [
        (json!({}), "j1 j2 j3"),
        (json!({"match": [], "match_not": []}), "j1 j2 j3"),
        // the scheduler's poll
        (json!({"match_not": [{"status": "completed"}], "match": [{"client_id": "node1"}]}), "j1"),
        (json!({"match": [{"client_id": "node1"}, {"client_id": "node2"}]}), ""),
        (json!({"match": [{"client_id": "node1", "status": "completed"}]}), "j2"),
        (json!({"match_not": [{"status": "completed"}, {"status": "scheduled"}]}), "j1"),
        (json!({"match_not": [{"status": "no such status"}]}), "j1 j2 j3"),
        (json!({"match": [{"status": ""}]}), "j1"),
        (json!({"match": [{"mode": "nova"}]}), "j2 j3"),
        (json!({"match_not": [{"mode": "nova"}], "match": [{"max_retries": 10}]}), "j1"),
        (json!({"match": [{"max_retries": "10"}]}), ""),
        (json!({"match": [{"job_id": "j3"}]}), "j3"),
        (json!({"match": [{"session_id": ""}]}), "j1 j2 j3"),
        (json!({"match": [{"nothing": null}]}), "j1 j2 j3"),
        (json!({"match": [{"_all": "[{\"max_retries\": 10}, {\"mode\": \"nova\"}]"}]}), "j2 j3"),
        (json!({"match": [{"client_id": "node2"}, {"_all": "NIGHTLY"}]}), "j3"),
        (json!({"match": [{"_all": "node2"}]}), "j3"),
        (json!({"match": [{"_all": "nobody"}]}), ""),
    ] {
        assert_eq!(found(&api, "/jobs", search.clone()).await, expected, "{search}");
    }
    assert_eq!(found(&api, "/jobs?limit=1&offset=1", json!({"match": [{"mode": "nova"}]})).await, "j3");
}

#[tokio::test]
async fn clients_by_the_uuid_a_ui_searches_for() {
    let api = Api::start().await;
    for client in ["node1", "node2"] {
        api.client(ALICE, client).await;
    }
    let uuid = api.get(ALICE, "/clients/node2").await.json()["client"]["uuid"].clone();
    assert_eq!(found(&api, "/clients", json!({"match": [{"_all": uuid}]})).await, "node2");
    assert_eq!(found(&api, "/clients", json!({"match": [{"uuid": uuid}]})).await, "node2");
    assert_eq!(found(&api, "/clients", json!({"match": [{"client_id": "node1"}]})).await, "node1");
    assert_eq!(found(&api, "/clients", json!({"match": [{"is_central": false}]})).await, "node1 node2");
}

#[tokio::test]
async fn backups_by_time_and_metadata() {
    let api = Api::start().await;
    for (name, at, level) in [("b1", 100, 0), ("b2", 200, 1), ("b3", 300, 1)] {
        let body = json!({"container": "c", "hostname": "h", "backup_name": name, "time_stamp": at, "curr_backup_level": level, "note": format!("note of {name}")});
        api.clock.advance(std::time::Duration::from_secs(1));
        api.call(ALICE, "POST", "/backups", body).await.expect(201);
    }
    for (search, expected) in [
        (json!({"time_after": 200}), "b2 b3"),
        (json!({"time_before": 200}), "b1 b2"),
        (json!({"time_after": 101, "time_before": "299"}), "b2"),
        (json!({"match": [{"curr_backup_level": 1}], "time_before": 250}), "b2"),
        (json!({"match": [{"backup_name": "b3"}, {"container": "c"}]}), "b3"),
        (json!({"match": [{"hostname": "h"}], "match_not": [{"backup_name": "b1"}]}), "b2 b3"),
        // No id can hold this text.
        (json!({"match": [{"_all": "NOTE of b3"}]}), "b3"),
    ] {
        assert_eq!(found(&api, "/backups", search.clone()).await, expected, "{search}");
    }
    let id = api.get(ALICE, "/backups").await.json()["backups"][1]["backup_id"].clone();
    assert_eq!(found(&api, "/backups?limit=1", json!({"match": [{"backup_id": id}]})).await, "b2");
}

#[tokio::test]
async fn actions_by_any_key() {
    let api = Api::start().await;
    for (id, mode) in [("a1", "fs"), ("a2", "nova")] {
        api.call(
            ALICE,
            "POST",
            &format!("/actions/{id}"),
            json!({"freezer_action": {"action": "backup", "mode": mode}}),
        )
        .await
        .expect(201);
    }
    assert_eq!(found(&api, "/actions", json!({"match": [{"mode": "nova"}]})).await, "a2");
    assert_eq!(found(&api, "/actions", json!({"match": [{"_all": "a1"}]})).await, "a1");
}

#[tokio::test]
async fn malformed_searches_are_refused() {
    let api = Api::start().await;
    for list in ["/jobs", "/clients", "/actions", "/backups", "/runs"] {
        for search in [
            json!([1]),
            json!("x"),
            json!(5),
            json!({"match": "x"}),
            json!({"match": ["x"]}),
            json!({"match_not": {"a": 1}}),
        ] {
            api.call(ALICE, "GET", list, search).await.expect_refusal("search document");
        }
        let answer =
            api.send(api.request(ALICE, "GET", &format!("/v2/p1{list}")).body("{oops")).await.expect(400);
        assert_eq!(answer.json()["title"], "Malformed JSON");
    }
}
