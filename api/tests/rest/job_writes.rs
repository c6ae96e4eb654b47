//! PATCH and POST on a job: what is merged, replaced, kept (contract §6.3).

use crate::harness::*;
use freezer_model::{Client, ClientId, Link, ProjectId};
use serde_json::{Value, json};

async fn with_job() -> Api {
    let api = Api::start().await;
    api.client(ALICE, "node1").await;
    let state = json!({"schedule_interval": "1 days", "schedule_start_date": "2026-01-02T03:00:00", "event": "stop", "status": "running",
        "result": "fail", "current_pid": 12});
    api.job(ALICE, json!({"job_id": "j", "description": "one", "session_id": "s", "session_tag": 4, "job_schedule": state})).await;
    api
}

async fn job(api: &Api) -> Value {
    api.get(ALICE, "/jobs/j").await.expect(200).json()
}

async fn patch(api: &Api, body: Value) -> Value {
    let answer = api.call(ALICE, "PATCH", "/jobs/j", body).await.expect(200).json();
    assert_eq!(answer, json!({"job_id": "j", "version": 0}));
    job(api).await
}

#[tokio::test]
async fn patches_change_what_they_name() {
    let api = with_job().await;
    let before = job(&api).await;
    assert_eq!(patch(&api, json!({})).await, before);
    let mut expected = before.clone();
    expected["description"] = json!("two");
    assert_eq!(patch(&api, json!({"description": "two"})).await, expected);
    expected["description"] = Value::Null;
    expected["session_id"] = Value::Null;
    expected["session_tag"] = json!(9);
    assert_eq!(
        patch(&api, json!({"description": null, "session_id": null, "session_tag": 9})).await,
        expected
    );
    // keys that are the server's are taken and ignored
    let server_keys = json!({"project_id": "p2", "user_id": "otto", "job_id": "other", "user_credentials": {"trust_id": "t"}, "session_name": "n",
        "_version": 3, "next_run_at": 77});
    assert_eq!(patch(&api, server_keys).await, expected);
    let refused = api.call(ALICE, "PATCH", "/jobs/j", json!({"foo": 1})).await;
    refused.expect_error(
        400,
        "Bad request format",
        "Additional properties are not allowed ('foo' was unexpected)",
    );
}

#[tokio::test]
async fn the_plan_is_a_set_and_the_state_is_merged() {
    let api = with_job().await;
    let before = job(&api).await["job_schedule"].clone();
    let with = |changes: Value, without: &[&str]| {
        let mut schedule = before.as_object().unwrap().clone();
        without.iter().for_each(|key| {
            schedule.remove(*key);
        });
        schedule.extend(changes.as_object().unwrap().clone());
        Value::Object(schedule)
    };
    let plan_keys = ["schedule_interval", "schedule_start_date"];
    for (sent, expected) in [
        // an edit form sends only plan keys: state survives
        (json!({"schedule_interval": "5 hours"}), with(json!({"schedule_interval": "5 hours"}), &plan_keys)),
        // state only: the plan stays
        (json!({"status": "completed"}), with(json!({"status": "completed"}), &[])),
        // nothing at all: no plan
        (json!({}), with(json!({}), &plan_keys)),
        // both, as a scheduler sends them
        (
            json!({"schedule_date": "2026-03-04T05:06:07", "event": "", "time_started": 7}),
            with(json!({"schedule_date": "2026-03-04T05:06:07", "event": "", "time_started": 7}), &plan_keys),
        ),
    ] {
        assert_eq!(patch(&api, json!({"job_schedule": sent})).await["job_schedule"], expected, "{sent}");
        patch(&api, json!({"job_schedule": before})).await;
    }
}

#[tokio::test]
async fn a_schedulers_report_does_not_bring_back_an_old_plan() {
    let api = with_job().await;
    let read = job(&api).await["job_schedule"].clone();
    patch(&api, json!({"job_schedule": {"schedule_interval": "2 hours"}})).await;
    let mut report = read.as_object().unwrap().clone();
    report.insert("status".to_owned(), json!("completed"));
    let after = patch(&api, json!({"job_schedule": report, "session_id": null, "session_tag": 5})).await;
    assert_eq!(after["job_schedule"]["schedule_interval"], "2 hours");
    assert_eq!(after["job_schedule"].get("schedule_start_date"), None);
    assert_eq!(after["job_schedule"]["status"], "completed");
    assert_eq!((&after["session_id"], &after["session_tag"]), (&Value::Null, &json!(5)));
    // its client may be gone by now
    api.call(ALICE, "DELETE", "/clients/node1", Value::Null).await.expect(204);
    patch(&api, json!({"job_schedule": read, "session_id": "", "session_tag": 5})).await;
}

#[tokio::test]
async fn a_schedulers_report_does_not_undo_a_place_in_a_session() {
    let api = with_job().await;
    for id in ["s", "t"] {
        api.call(ALICE, "POST", &format!("/sessions/{id}"), json!({"schedule": {}, "session_tag": 4}))
            .await
            .expect(201);
    }
    let report = async |session: Value, tag: i64| {
        let after = patch(&api, json!({"job_schedule": {}, "session_id": session, "session_tag": tag})).await;
        (after["session_id"].clone(), after["session_tag"].clone())
    };
    // what it says stands until the job is a member of something
    assert_eq!(report(json!("x"), 1).await, (json!("x"), json!(1)));
    assert_eq!(report(json!(""), 0).await, (json!(""), json!(0)));
    api.call(ALICE, "PUT", "/sessions/s/jobs/j", Value::Null).await.expect(204);
    // read before it came in, or about another one
    for past in [json!(""), Value::Null, json!("t"), json!("x")] {
        assert_eq!(report(past, 9).await, (json!("s"), json!(4)));
    }
    for (tag, expected) in [(5, 5), (3, 5), (0, 5)] {
        assert_eq!(report(json!("s"), tag).await, (json!("s"), json!(expected)), "rounds only grow");
    }
    // read before it left
    api.call(ALICE, "DELETE", "/sessions/s/jobs/j", Value::Null).await.expect(204);
    assert_eq!(report(json!("s"), 5).await, (json!(""), json!(0)));
    assert_eq!(report(json!(""), 0).await, (json!(""), json!(0)));
}

#[tokio::test]
async fn the_creator_stays_whoever_writes() {
    let api = with_job().await;
    api.call(ANN, "PATCH", "/jobs/j", json!({"description": "hers"})).await.expect(200);
    api.call(ANN, "POST", "/jobs/j", job_body()).await.expect(201);
    api.call(ANN, "POST", "/jobs/j/event", json!({"start": null})).await.expect(202);
    assert_eq!(job(&api).await["user_id"], "alice");
}

#[tokio::test]
async fn a_new_client_must_exist_and_be_able() {
    let api = with_job().await;
    api.call(ALICE, "POST", "/clients", json!({"client_id": "node2", "supported_modes": ["nova"]}))
        .await
        .expect(201);
    let moved = api.call(ALICE, "PATCH", "/jobs/j", json!({"client_id": "node2"})).await;
    moved.expect_error(422, "Unprocessable Entity", "Client node2 does not support mode: fs");
    let moved = api.call(ALICE, "PATCH", "/jobs/j", json!({"client_id": "nowhere"})).await;
    moved.expect_error(422, "Unprocessable Entity", "Client not found with ID nowhere");
    assert_eq!(job(&api).await["client_id"], "node1");
    api.client(ALICE, "node3").await;
    assert_eq!(patch(&api, json!({"client_id": "node3"})).await["client_id"], "node3");
}

#[tokio::test]
async fn every_way_to_new_actions_asks_what_the_client_can_do() {
    let api = with_job().await;
    let can = async |storages: Value| {
        let client =
            json!({"client_id": "node1", "supported_storages": storages, "supported_engines": ["tar"]});
        api.call(ALICE, "POST", "/clients", client).await.expect(201);
    };
    can(json!(["swift"])).await;
    let before = job(&api).await;
    for (options, refused) in [
        (json!({"action": "backup", "storage": "ssh"}), "storage: ssh"),
        (json!({"action": "backup", "engine_name": "rsync"}), "engine: rsync"),
    ] {
        let mut whole = job_body();
        whole["job_actions"] = json!([{"freezer_action": options}]);
        let change = json!({"job_actions": whole["job_actions"]});
        for (method, path, body) in
            [("PATCH", "/jobs/j", &change), ("POST", "/jobs/j", &whole), ("POST", "/jobs/new", &whole)]
        {
            let text = format!("Client node1 does not support {refused}");
            api.call(ALICE, method, path, body.clone()).await.expect_error(
                422,
                "Unprocessable Entity",
                &text,
            );
        }
    }
    assert_eq!(job(&api).await, before);
    assert_eq!(api.get(ALICE, "/actions").await.json()["actions"].as_array().unwrap().len(), 1);
    // What can be done less than before is no reason not to stop: only new actions are looked at.
    patch(&api, json!({"job_actions": [{"freezer_action": {"action": "backup", "storage": "swift"}}]})).await;
    can(json!(["local"])).await;
    for event in ["abort", "stop"] {
        api.call(ALICE, "POST", "/jobs/j/event", json!({ event: null })).await.expect(202);
    }
    patch(&api, json!({"description": "two"})).await;
}

#[tokio::test]
async fn posting_an_item_creates_it_as_the_collection_does() {
    let api = Api::start().await;
    api.client(ALICE, "node1").await;
    let mut body = job_body();
    body["job_id"] = json!("another");
    body["job_schedule"] = json!({"schedule_interval": "1 days", "time_started": 9});
    let answer = api.call(ALICE, "POST", "/jobs/j", body).await.expect(201).json();
    assert_eq!(answer, json!({"job_id": "j", "version": "j"}));
    let schedule = job(&api).await["job_schedule"].clone();
    assert_eq!((&schedule["time_created"], &schedule["time_started"]), (&json!(NOW), &json!(-1)));
    api.get(ALICE, "/jobs/another").await.expect(404);
    api.call(ALICE, "POST", "/jobs/no%20such%20id", job_body()).await.expect_refusal("job_id");
}

#[tokio::test]
async fn posting_an_item_again_resets_what_is_not_sent() {
    let api = with_job().await;
    api.clock.advance(std::time::Duration::from_secs(1000));
    let mut body = job_body();
    body["job_schedule"] = json!({"schedule_interval": "3 hours", "status": "stop"});
    api.call(ALICE, "POST", "/jobs/j", body).await.expect(201);
    let after = job(&api).await;
    assert_eq!(
        (&after["description"], &after["session_id"], &after["session_tag"]),
        (&json!(""), &json!(""), &json!(0))
    );
    let expected = json!({"schedule_interval": "3 hours", "time_created": NOW, "time_started": -1, "time_ended": -1, "event": "",
        "status": "stop", "result": ""});
    assert_eq!(after["job_schedule"], expected);
}

#[tokio::test]
async fn every_read_document_can_be_sent_back() {
    let api = with_job().await;
    let read = job(&api).await;
    assert_eq!(patch(&api, read.clone()).await, read);
    api.call(ALICE, "POST", "/jobs/j", read.clone()).await.expect(201);
    let mut clone = read.clone();
    clone.as_object_mut().unwrap().remove("job_id");
    api.call(ALICE, "POST", "/jobs", clone).await.expect(201);
    let action_id = read["job_actions"][0]["action_id"].as_str().unwrap();
    let action = api.get(ALICE, &format!("/actions/{action_id}")).await.json();
    api.call(ALICE, "PATCH", &format!("/actions/{action_id}"), action.clone()).await.expect(200);
    assert_eq!(api.get(ALICE, &format!("/actions/{action_id}")).await.json(), action);
}

/// Makes `node1` a client that our conductor drives.
fn drive(api: &Api) {
    let (project, id) = (ProjectId::from("p1"), ClientId::from("node1"));
    api.db
        .transaction(|tx| {
            let client = tx.clients().get(&project, &id)?.unwrap();
            tx.clients().save(&Client { link: Link::Amqp, ..client })
        })
        .unwrap();
}

#[tokio::test]
async fn the_state_of_a_driven_job_is_the_conductors() {
    let api = Api::start().await;
    api.client(ALICE, "node1").await;
    drive(&api);
    let sent = json!({"event": "", "status": "running", "result": "success", "current_pid": 3, "schedule_interval": "1 days"});
    api.job(ALICE, json!({"job_id": "j", "job_schedule": sent})).await;
    let fresh = job(&api).await;
    let schedule = json!({"schedule_interval": "1 days", "time_created": NOW, "time_started": -1, "time_ended": -1, "event": "", "status": "", "result": ""});
    assert_eq!(fresh["job_schedule"], schedule);
    // a clone of a stopped job stays stopped
    api.job(ALICE, json!({"job_id": "stopped", "job_schedule": {"status": "stop"}})).await;
    assert_eq!(api.get(ALICE, "/jobs/stopped").await.json()["job_schedule"]["status"], "stop");
    // sending a stale document back changes neither state nor a pending request
    api.call(ALICE, "POST", "/jobs/j/event", json!({"stop": null})).await.expect(202);
    let stale = json!({"job_schedule": {"event": "", "status": "running", "time_started": 5, "schedule_interval": "2 days"}});
    let after = patch(&api, stale).await["job_schedule"].clone();
    assert_eq!(
        (&after["event"], &after["status"], &after["time_started"]),
        (&json!("stop"), &json!(""), &json!(-1))
    );
    assert_eq!(after["schedule_interval"], "2 days");
    assert_eq!(
        patch(&api, json!({"job_schedule": {"event": "start"}})).await["job_schedule"]["event"],
        "start"
    );
    api.call(ALICE, "POST", "/jobs/j", job_body()).await.expect(201);
    assert_eq!(job(&api).await["job_schedule"]["event"], "start");
}

#[tokio::test]
async fn a_driven_clients_plan_must_be_understood() {
    let api = Api::start().await;
    api.client(ALICE, "node1").await;
    api.job(ALICE, json!({"job_id": "j", "job_schedule": {"schedule_hour": "at night"}})).await;
    drive(&api);
    let mut body = job_body();
    body["job_schedule"] = json!({"schedule_hour": "at night"});
    api.call(ALICE, "POST", "/jobs", body).await.expect_refusal("job_schedule.schedule_hour");
    api.call(ALICE, "PATCH", "/jobs/j", json!({"job_schedule": {"schedule_day": "never"}}))
        .await
        .expect_refusal("job_schedule.schedule_day");
    // what was there before is not held against a patch about something else
    patch(&api, json!({"description": "x"})).await;
    patch(&api, json!({"job_schedule": {"schedule_hour": "3", "schedule_minute": "*/5"}})).await;
}
