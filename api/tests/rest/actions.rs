//! Saved actions (contract §5.4).

use crate::harness::*;
use serde_json::{Value, json};

#[tokio::test]
async fn everything_sent_comes_back_with_its_type() {
    let api = Api::start().await;
    let options = json!({"action": "backup", "mode": "fs", "backup_name": "n1", "path_to_backup": "/etc", "container": "c", "max_backup_level": 1,
        "hostname": false, "no_incremental": true, "max_cpu_priority": false, "nested": {"a": [1, 2.5, null]}});
    let sent = json!({"freezer_action": options, "max_retries": 3, "max_retries_interval": 7, "mandatory": true, "exit_status": "success"});
    let created = api.call(ALICE, "POST", "/actions", sent).await.expect(201).json();
    let id = created["action_id"].as_str().unwrap();
    assert_eq!((created.clone(), id.len()), (json!({"action_id": id}), 32));
    let mut shown = options.clone();
    for key in ["timeout", "priority", "log_file"] {
        shown[key] = Value::Null;
    }
    let mut item = json!({"project_id": "p1", "action_id": id, "user_id": "alice", "max_retries": 3, "max_retries_interval": 7,
        "mandatory": true, "freezer_action": shown});
    assert_eq!(api.get(ALICE, &format!("/actions/{id}")).await.expect(200).json(), item);
    item["timeout"] = Value::Null;
    assert_eq!(api.get(ALICE, "/actions").await.expect(200).json(), json!({"actions": [item]}));
}

#[tokio::test]
async fn ids_and_defaults() {
    let api = Api::start().await;
    let body = json!({"action_id": "mine", "freezer_action": {"action": "info"}, "max_retries": null, "max_retries_interval": null, "mandatory": null});
    api.call(ALICE, "POST", "/actions", body.clone()).await.expect(201);
    let shown = api.get(ALICE, "/actions/mine").await.json();
    assert_eq!(
        (&shown["max_retries"], &shown["max_retries_interval"], &shown["mandatory"]),
        (&json!(5), &json!(6), &json!(false))
    );
    let again = api.call(ALICE, "POST", "/actions", body.clone()).await;
    again.expect_error(409, "Document already existing", "Action already registered with ID mine");
    api.call(OTTO, "POST", "/actions", body.clone()).await.expect(201);
    // of one that is gone nothing is left
    api.call(ALICE, "PATCH", "/actions/mine", json!({"max_retries": 9})).await.expect(200);
    api.call(ALICE, "DELETE", "/actions/mine", Value::Null).await.expect(204);
    api.call(ALICE, "POST", "/actions", body).await.expect(201);
    assert_eq!(api.get(ALICE, "/actions/mine").await.json(), shown);
}

#[tokio::test]
async fn patches_keep_what_they_do_not_name() {
    let api = Api::start().await;
    let options = json!({"action": "backup", "mode": "fs", "storage": "swift", "max_level": 2});
    let body =
        json!({"freezer_action": options, "max_retries": 3, "max_retries_interval": 60, "mandatory": true});
    api.call(ALICE, "POST", "/actions/a", body).await.expect(201);
    let patch_of = async |who: Who, body: Value| {
        let answer = api.call(who, "PATCH", "/actions/a", body).await.expect(200).json();
        assert_eq!(answer, json!({"action_id": "a", "version": "a"}));
        api.get(ALICE, "/actions/a").await.json()
    };
    let patch = async |body: Value| patch_of(ALICE, body).await;
    let before = api.get(ALICE, "/actions/a").await.json();
    assert_eq!(patch(Value::Null).await, before);
    assert_eq!(patch(json!({})).await, before);
    assert_eq!(
        patch(json!({"unknown": 1, "project_id": "p2", "user_id": "x", "action_id": "y"})).await,
        before
    );
    // by a colleague: it stays its maker's
    let after = patch_of(ANN, json!({"max_retries": 1})).await;
    assert_eq!(
        (&after["max_retries"], &after["max_retries_interval"], &after["mandatory"], &after["user_id"]),
        (&json!(1), &json!(60), &json!(true), &json!("alice"))
    );
    let after = patch(json!({"max_retries": null, "max_retries_interval": null})).await;
    assert_eq!((&after["max_retries"], &after["max_retries_interval"]), (&json!(5), &json!(6)));
    // options are one thing: replaced whole, except that an action always has a verb
    let after = patch(json!({"freezer_action": {"backup_name": "n2"}})).await["freezer_action"].clone();
    assert_eq!(
        (&after["action"], &after["backup_name"], &after["mode"], after.get("storage")),
        (&json!("backup"), &json!("n2"), &Value::Null, None)
    );
    api.call(ALICE, "PATCH", "/actions/a", json!({"freezer_action": []}))
        .await
        .expect_refusal("'freezer_action'");
}

#[tokio::test]
async fn posting_an_item_creates_or_replaces() {
    let api = Api::start().await;
    let post = async |who: Who, body: Value| {
        let answer = api.call(who, "POST", "/actions/a", body).await.expect(201).json();
        assert_eq!(answer, json!({"action_id": "a", "version": "a"}));
        api.get(ALICE, "/actions/a").await.json()
    };
    let first = post(
        ALICE,
        json!({"freezer_action": {"action": "backup", "mode": "fs"}, "max_retries": 2, "mandatory": true}),
    )
    .await;
    assert_eq!((&first["max_retries"], &first["mandatory"]), (&json!(2), &json!(true)));
    let second = post(ANN, json!({"freezer_action": {"action": "exec"}})).await;
    assert_eq!(
        (&second["max_retries"], &second["mandatory"], &second["user_id"]),
        (&json!(5), &json!(false), &json!("alice"))
    );
    assert_eq!(second["freezer_action"]["mode"], Value::Null);
    api.call(ALICE, "POST", "/actions/bad%2Fid", json!({"freezer_action": {"action": "exec"}}))
        .await
        .expect_refusal("action_id");
    api.call(ALICE, "POST", "/actions/a", json!({"freezer_action": {}}))
        .await
        .expect_refusal("'freezer_action.action' is a required property");
}

/// As null: the service makes one.
#[tokio::test]
async fn an_empty_id_is_none() {
    let api = Api::start().await;
    let body = json!({"action_id": "", "freezer_action": {"action": "backup"}});
    let made = api.call(ALICE, "POST", "/actions", body).await.expect(201).json();
    assert_eq!(made["action_id"].as_str().unwrap().len(), 32);
}

#[tokio::test]
async fn options_have_a_largest_size() {
    let api = Api::start().await;
    api.client(ALICE, "node1").await;
    let of = |bytes: usize| json!({"freezer_action": {"action": "backup", "excluded": "x".repeat(bytes)}});
    api.call(ALICE, "POST", "/actions/long", of(65_600))
        .await
        .expect_refusal("'freezer_action': is too long");
    api.call(ALICE, "POST", "/actions", of(65_600)).await.expect_refusal("at most 65535 are kept");
    let job = json!({"client_id": "node1", "job_actions": [of(65_600)]});
    api.call(ALICE, "POST", "/jobs", job)
        .await
        .expect_refusal("'job_actions[0].freezer_action': is too long");
    api.call(ALICE, "POST", "/actions/long", of(65_000)).await.expect(201);
    let entries = |count: usize| vec![json!({"action_id": "long"}); count];
    let job = |count: usize| json!({"client_id": "node1", "job_actions": entries(count)});
    api.call(ALICE, "POST", "/jobs/j", job(4)).await.expect(201);
    api.call(ALICE, "PATCH", "/jobs/j", json!({"job_actions": entries(5)}))
        .await
        .expect_refusal("'job_actions'");
    // A job's actions do not become too long behind its back.
    api.call(ALICE, "PATCH", "/actions/long", of(10)).await.expect(200);
    api.call(ALICE, "PATCH", "/jobs/j", json!({"job_actions": entries(5)})).await.expect(200);
    let refused = api.call(ALICE, "PATCH", "/actions/long", of(65_000)).await;
    refused.expect_refusal("the actions of job j, which has this one");
    api.call(ALICE, "POST", "/actions/long", of(65_000)).await.expect_refusal("the actions of job j");
    assert_eq!(api.get(ALICE, "/actions/long").await.json()["freezer_action"]["excluded"], "x".repeat(10));
    api.call(ALICE, "PATCH", "/actions/long", of(40_000)).await.expect(200);
}
