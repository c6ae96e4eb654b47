//! No tenant reaches another's data (contract §6.6, §14.3).

use crate::harness::*;
use serde_json::{Value, json};

/// A server on which both projects have everything, under the same ids.
async fn two_projects() -> Api {
    let api = Api::start().await;
    for who in [ALICE, OTTO] {
        api.client(who, "node1").await;
        api.call(
            who,
            "POST",
            "/actions/a",
            json!({"freezer_action": {"action": "backup", "backup_name": who.user}}),
        )
        .await
        .expect(201);
        api.job(who, json!({"job_id": "j", "description": who.user, "job_actions": [{"action_id": "a"}]}))
            .await;
        let session =
            json!({"schedule": {"schedule_interval": "1 days"}, "session_tag": 0, "description": who.user});
        api.call(who, "POST", "/sessions/s", session).await.expect(201);
        api.call(who, "PUT", "/sessions/s/jobs/j", Value::Null).await.expect(204);
    }
    api
}

async fn everything(api: &Api, who: Who) -> Value {
    let mut all = serde_json::Map::new();
    for list in ["jobs", "actions", "sessions", "clients", "backups"] {
        all.insert(list.to_owned(), api.get(who, &format!("/{list}?limit=100")).await.expect(200).json());
    }
    Value::Object(all)
}

/// Without its session a job that is replaced leaves it.
fn in_session(mut job: Value) -> Value {
    job["session_id"] = "s".into();
    job
}

#[tokio::test]
async fn the_same_ids_live_side_by_side() {
    let api = two_projects().await;
    let alices = everything(&api, ALICE).await;
    for (method, path, body) in [
        (
            "PATCH",
            "/jobs/j",
            json!({"description": "changed", "job_actions": [{"freezer_action": {"action": "exec"}}]}),
        ),
        ("POST", "/jobs/j/event", json!({"abort": null})),
        ("POST", "/jobs/j", in_session(job_body())),
        ("PATCH", "/actions/a", json!({"freezer_action": {"action": "exec"}})),
        ("POST", "/actions/a", json!({"freezer_action": {"action": "info"}})),
        ("POST", "/clients", json!({"client_id": "node1", "supported_modes": []})),
        ("POST", "/sessions/s/action", json!({"start": {"job_id": "j", "current_tag": 0}})),
        ("POST", "/sessions/s/action", json!({"end": {"job_id": "j", "result": "fail"}})),
        ("PATCH", "/sessions/s", json!({"schedule": {}, "jobs": {"j": {"status": "x"}}})),
        ("POST", "/sessions/s", json!({"schedule": {}, "session_tag": 9, "jobs": {"j": {"status": "x"}}})),
        ("DELETE", "/sessions/s/jobs/j", Value::Null),
        ("PUT", "/sessions/s/jobs/j", Value::Null),
        ("DELETE", "/sessions/s", Value::Null),
        ("DELETE", "/actions/a", Value::Null),
        ("DELETE", "/jobs/j", Value::Null),
        ("DELETE", "/clients/node1", Value::Null),
    ] {
        let answer = api.call(OTTO, method, path, body).await;
        assert!(answer.status < 300, "{method} {path}: {} {}", answer.status, answer.text);
    }
    assert_eq!(everything(&api, ALICE).await, alices);
}

#[tokio::test]
async fn bodies_cannot_move_rows_to_other_projects() {
    let api = two_projects().await;
    let ottos = everything(&api, OTTO).await;
    let moved = json!({"project_id": "p2", "user_id": "otto"});
    for (method, path, body) in [
        ("PATCH", "/jobs/j", moved.clone()),
        ("PATCH", "/actions/a", moved.clone()),
        ("PATCH", "/sessions/s", moved.clone()),
        (
            "POST",
            "/sessions/s",
            json!({"schedule": {}, "session_tag": 0, "project_id": "p2", "user_id": "otto", "session_id": "s"}),
        ),
        (
            "POST",
            "/sessions",
            json!({"schedule": {}, "project_id": "p2", "user_id": "otto", "session_id": "s"}),
        ),
        (
            "POST",
            "/actions",
            json!({"project_id": "p2", "user_id": "otto", "freezer_action": {"action": "info"}}),
        ),
        ("POST", "/clients", json!({"project_id": "p2", "client_id": "sneaky"})),
        (
            "POST",
            "/backups",
            json!({"project_id": "p2", "user_id": "otto", "backup_id": "x", "container": "c", "hostname": "h", "backup_name": "b"}),
        ),
    ] {
        let answer = api.call(ALICE, method, path, body).await;
        assert!(answer.status < 300, "{method} {path}: {} {}", answer.status, answer.text);
    }
    let mut body = job_body();
    body["project_id"] = json!("p2");
    body["job_actions"][0]["project_id"] = json!("p2");
    api.call(ALICE, "POST", "/jobs", body).await.expect(201);
    assert_eq!(everything(&api, OTTO).await, ottos);
    for list in ["jobs", "actions", "sessions", "clients"] {
        let own = api.get(ALICE, &format!("/{list}")).await.text;
        assert!(!own.contains("otto") && !own.contains("p2"), "{own}");
    }
    // the metadata of a record say what they like; its owner is not asked of them
    let record = api.get(ALICE, "/backups").await.json()["backups"][0].clone();
    assert_eq!((&record["project_id"], &record["user_id"]), (&json!("p1"), &json!("alice")));
}

#[tokio::test]
async fn foreign_ids_look_absent_and_are_not_betrayed_by_conflicts() {
    let api = Api::start().await;
    api.client(ALICE, "node1").await;
    api.client(OTTO, "node1").await;
    api.job(ALICE, json!({"job_id": "secret"})).await;
    api.call(ALICE, "POST", "/actions/hidden", json!({"freezer_action": {"action": "backup"}}))
        .await
        .expect(201);
    for path in ["/jobs/secret", "/actions/hidden"] {
        assert_eq!(api.get(OTTO, path).await.expect(404).text, "");
        api.call(OTTO, "PATCH", path, json!({})).await.expect(404);
        api.call(OTTO, "DELETE", path, Value::Null).await.expect(204);
    }
    api.call(OTTO, "POST", "/jobs/secret/event", json!({"start": null})).await.expect(404);
    // creating what a neighbour has answers as if the neighbour were not there
    api.job(OTTO, json!({"job_id": "secret"})).await;
    api.call(
        OTTO,
        "POST",
        "/actions",
        json!({"action_id": "hidden", "freezer_action": {"action": "backup"}}),
    )
    .await
    .expect(201);
    // a job cannot reach a neighbour's action
    let mut body = job_body();
    body["job_actions"] = json!([{"action_id": "a-of-alice"}]);
    api.call(
        ALICE,
        "POST",
        "/actions/a-of-alice",
        json!({"freezer_action": {"action": "exec", "command": "id"}}),
    )
    .await
    .expect(201);
    api.call(OTTO, "POST", "/jobs", body).await.expect(422);
    api.get(ALICE, "/jobs/secret").await.expect(200);
    api.get(ALICE, "/actions/hidden").await.expect(200);
}

#[tokio::test]
async fn deleting_a_foreign_action_does_not_strip_jobs() {
    let api = two_projects().await;
    api.call(OTTO, "DELETE", "/actions/a", Value::Null).await.expect(204);
    assert_eq!(api.get(ALICE, "/jobs/j").await.json()["job_actions"].as_array().unwrap().len(), 1);
    assert!(api.get(OTTO, "/jobs/j").await.json()["job_actions"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn sessions_and_jobs_of_two_projects_do_not_meet() {
    let api = Api::start().await;
    for who in [ALICE, OTTO] {
        api.client(who, "node1").await;
    }
    api.job(ALICE, json!({"job_id": "alices"})).await;
    api.job(OTTO, json!({"job_id": "ottos"})).await;
    let session = json!({"schedule": {"schedule_interval": "1 days"}, "session_tag": 0});
    api.call(ALICE, "POST", "/sessions/of-alice", session.clone()).await.expect(201);
    api.call(ALICE, "PUT", "/sessions/of-alice/jobs/alices", Value::Null).await.expect(204);
    api.call(OTTO, "POST", "/sessions/of-otto", session.clone()).await.expect(201);
    let alices = everything(&api, ALICE).await;
    // her session, or her job, from his side
    assert_eq!(api.get(OTTO, "/sessions/of-alice").await.expect(404).text, "");
    api.call(OTTO, "PATCH", "/sessions/of-alice", json!({"session_tag": 9})).await.expect(404);
    api.call(OTTO, "DELETE", "/sessions/of-alice", Value::Null).await.expect(204);
    let start = json!({"start": {"job_id": "alices", "current_tag": 0}});
    api.call(OTTO, "POST", "/sessions/of-alice/action", start.clone()).await.expect(404);
    api.call(OTTO, "PUT", "/sessions/of-alice/jobs/ottos", Value::Null).await.expect(404);
    api.call(OTTO, "DELETE", "/sessions/of-alice/jobs/alices", Value::Null).await.expect(204);
    api.call(OTTO, "PUT", "/sessions/of-otto/jobs/alices", Value::Null).await.expect(404);
    api.call(OTTO, "DELETE", "/sessions/of-otto/jobs/alices", Value::Null).await.expect(204);
    // her job named as a member of his session, and his job said to be of her session
    let named = json!({"jobs": {"alices": {"client_id": "node1"}}});
    api.call(OTTO, "PATCH", "/sessions/of-otto", named).await.expect(422);
    api.call(OTTO, "POST", "/sessions/of-otto/action", start).await.expect(400);
    api.call(OTTO, "PATCH", "/jobs/ottos", json!({"session_id": "of-alice"})).await.expect(200);
    for (method, path) in [("DELETE", "/sessions/of-otto"), ("DELETE", "/jobs/ottos")] {
        api.call(OTTO, method, path, Value::Null).await.expect(204);
    }
    // her id is free in his project, and a row cannot be moved over
    api.call(OTTO, "POST", "/sessions/of-alice", session).await.expect(201);
    api.call(OTTO, "PATCH", "/sessions/of-alice", json!({"project_id": "p1", "user_id": "alice"}))
        .await
        .expect(200);
    api.call_in(OTTO, "p1", "GET", "/sessions", Value::Null).await.expect(403);
    assert_eq!(everything(&api, ALICE).await, alices);
    assert_eq!(api.get(OTTO, "/sessions/of-alice").await.expect(200).json()["user_id"], "otto");
}

#[tokio::test]
async fn project_names_are_compared_whole() {
    let api = Api::start().await;
    for path in ["/v2/p1%2F..%2Fp2/jobs", "/v2/P1/jobs", "/v2/p1%20/jobs", "/v2/%70%31x/jobs"] {
        assert_eq!(api.send(api.request(ALICE, "GET", path)).await.status, 403, "{path}");
    }
    api.send(api.request(ALICE, "GET", "/v2/%70%31/jobs")).await.expect(200);
    // No project has such an id. That is nothing to find out by trying: who may not look there is told no more than that.
    let longs = ["p".repeat(65), format!("{:p<3000}", "p1")];
    api.call(SERVICE, "POST", "/clients", json!({"client_id": "hub", "is_central": true})).await.expect(201);
    for long in &longs {
        for (method, path) in [("GET", "/jobs"), ("POST", "/jobs"), ("DELETE", "/jobs/j"), ("GET", "/usage")]
        {
            api.call_in(ALICE, long, method, path, Value::Null).await.expect(403);
        }
        for list in ["jobs", "actions", "sessions", "clients", "backups", "runs"] {
            let listed = api.call_in(ADMIN, long, "GET", &format!("/{list}"), Value::Null).await;
            let expected = if list == "clients" { 1 } else { 0 };
            assert_eq!(listed.expect(200).json()[list].as_array().unwrap().len(), expected, "{list}");
        }
        let mut job = job_body();
        job["client_id"] = json!("hub");
        for (method, path, body) in [
            ("POST", "/actions", json!({"freezer_action": {"action": "backup"}})),
            ("POST", "/jobs", job),
            ("POST", "/sessions", json!({"schedule": {}, "session_tag": 0})),
            ("POST", "/clients", json!({"client_id": "node1"})),
            ("POST", "/backups", json!({"container": "c", "hostname": "h", "backup_name": "b"})),
            ("PUT", "/quotas", json!({"jobs": 1})),
        ] {
            let refused = api.call_in(ADMIN, long, method, path, body).await.expect(400);
            assert!(refused.description().contains("project_id"), "{method} {path}: {}", refused.text);
        }
        api.call_in(ADMIN, long, "DELETE", "/jobs/j", Value::Null).await.expect(204);
    }
}

#[tokio::test]
async fn every_operation_below_a_foreign_project_is_refused_and_changes_nothing() {
    let api = two_projects().await;
    let record = json!({"container": "c", "hostname": "h", "backup_name": "b"});
    let backup = api.call(ALICE, "POST", "/backups", record).await.expect(201).json();
    let backup = backup["backup_id"].as_str().unwrap();
    let alices = everything(&api, ALICE).await;
    for (method, path) in freezer_api::routes::operations() {
        if !path.contains("{project_id}") {
            continue;
        }
        let path = path
            .replace("{project_id}", "p1")
            .replace("{job_id}", "j")
            .replace("{action_id}", "a")
            .replace("{session_id}", "s")
            .replace("{client_id}", "node1")
            .replace("{backup_id}", backup);
        for body in ["", "{}", "{\"start\": {\"job_id\": \"j\", \"current_tag\": 0}}"] {
            let answer = api.send(api.request(OTTO, method.as_str(), &path).body(body)).await;
            assert_eq!(answer.status, 403, "{method} {path}: {}", answer.text);
        }
    }
    // the same id below his own project is nobody's
    let path = format!("/backups/{backup}");
    assert_eq!(api.get(OTTO, &path).await.expect(404).text, "");
    api.call(OTTO, "PATCH", &path, json!({"status": "deleted"})).await.expect(404);
    api.call(OTTO, "DELETE", &path, Value::Null).await.expect(204);
    assert_eq!(everything(&api, ALICE).await, alices);
}
