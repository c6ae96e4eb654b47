//! Events: what a user wants of a job (contract §6.1).

use crate::harness::*;
use freezer_database::{DbError, Letter};
use freezer_model::{Clock, ProjectId};
use serde_json::{Value, json};
use std::time::Duration;

async fn schedule(api: &Api) -> Value {
    api.get(ALICE, "/jobs/j").await.expect(200).json()["job_schedule"].clone()
}

async fn send(api: &Api, body: Value) -> Answer {
    api.call(ALICE, "POST", "/jobs/j/event", body).await
}

#[tokio::test]
async fn events_are_noted_once() {
    let api = Api::start().await;
    api.client(ALICE, "node1").await;
    let state = json!({"schedule_interval": "1 days", "status": "completed", "result": "fail"});
    api.job(ALICE, json!({"job_id": "j", "job_schedule": state})).await;
    let expect = async |event: &str, result: &str| {
        assert_eq!(send(&api, json!({event: null})).await.expect(202).json(), json!({"result": result}));
    };
    expect("stop", "success").await;
    expect("stop", "stop already requested").await;
    let after = schedule(&api).await;
    assert_eq!(
        (&after["event"], &after["status"], &after["result"]),
        (&json!("stop"), &json!("completed"), &json!("fail"))
    );
    expect("start", "success").await;
    let after = schedule(&api).await;
    assert_eq!(
        (&after["event"], &after["status"], &after["result"]),
        (&json!("start"), &json!(""), &json!(""))
    );
    assert_eq!(after["schedule_interval"], "1 days");
    expect("start", "start already requested").await;
    expect("abort", "success").await;
    expect("abort", "abort already requested").await;
    assert_eq!(schedule(&api).await["current_pid"], -1);
    // only the first key counts
    assert_eq!(send(&api, json!({"start": 1, "remove": 2})).await.expect(202).json()["result"], "success");
}

#[tokio::test]
async fn bad_events() {
    let api = Api::start().await;
    api.client(ALICE, "node1").await;
    send(&api, json!({"start": null})).await.expect_error(404, "Not Found", "Job j not found");
    api.job(ALICE, json!({"job_id": "j"})).await;
    for body in [Value::Null, json!({}), json!([]), json!("start"), json!(["start"])] {
        send(&api, body).await.expect_error(400, "Bad request format", "Bad event request format");
    }
    for body in [json!({"remove": null}), json!({"START": null})] {
        send(&api, body).await.expect_error(400, "Bad request format", "Bad Action Method");
    }
}

#[tokio::test]
async fn a_job_without_its_client_can_be_stopped_but_not_started() {
    let api = Api::start().await;
    api.client(ALICE, "node1").await;
    api.job(ALICE, json!({"job_id": "j"})).await;
    api.call(ALICE, "DELETE", "/clients/node1", Value::Null).await.expect(204);
    send(&api, json!({"stop": null})).await.expect(202);
    send(&api, json!({"abort": null})).await.expect(202);
    let refused = send(&api, json!({"start": null})).await;
    refused.expect_error(422, "Unprocessable Entity", "Client not found with ID node1");
    assert_eq!(schedule(&api).await["event"], "abort");
}

/// What upstream's scheduler asks for.
fn poll() -> Value {
    json!({"match_not": [{"status": "completed"}], "match": [{"client_id": "node1"}]})
}

/// A state report of upstream's scheduler: all it knows of the job.
async fn report(api: &Api, read: &Value, status: &str) {
    let mut schedule = read["job_schedule"].clone();
    schedule["status"] = json!(status);
    schedule["event"] = json!("");
    let body = json!({"job_schedule": schedule, "session_id": read["session_id"], "session_tag": read["session_tag"]});
    api.call(ALICE, "PATCH", "/jobs/j", body).await.expect(200);
}

async fn listed(api: &Api, who: Who, path: &str, search: Value) -> Value {
    api.call_in(who, "p1", "GET", path, search).await.expect(200).json()["jobs"][0].clone()
}

#[tokio::test]
async fn a_report_does_not_clear_an_event_its_scheduler_has_not_seen() {
    let api = Api::start().await;
    api.client(ALICE, "node1").await;
    api.job(ALICE, json!({"job_id": "j", "job_schedule": {"schedule_interval": "1 days"}})).await;
    let read = listed(&api, ALICE, "/jobs/?limit=10&offset=0&all_projects=False", poll()).await;
    report(&api, &read, "scheduled").await;
    // the user's word comes between a look and a report
    send(&api, json!({"stop": null})).await.expect(202);
    for status in ["running", "scheduled"] {
        report(&api, &read, status).await;
        let after = schedule(&api).await;
        assert_eq!((&after["event"], &after["status"]), (&json!("stop"), &json!(status)));
    }
    // who else looks does not count: the user's own list, a reader's poll, another client's
    listed(&api, ALICE, "/jobs?limit=100", json!({"match": [{"client_id": "node1"}]})).await;
    listed(&api, READER, "/jobs", poll()).await;
    listed(
        &api,
        ALICE,
        "/jobs",
        json!({"match_not": [{"status": "completed"}], "match": [{"client_id": "node2"}]}),
    )
    .await;
    listed(&api, ALICE, "/jobs?offset=1", poll()).await;
    report(&api, &read, "scheduled").await;
    assert_eq!(schedule(&api).await["event"], "stop");
    // it has been seen: the report that follows means that it was obeyed
    let read = listed(&api, ALICE, "/jobs/?limit=10&offset=0&all_projects=False", poll()).await;
    assert_eq!(read["job_schedule"]["event"], "stop");
    report(&api, &read, "stop").await;
    assert_eq!(
        (&schedule(&api).await["event"], &schedule(&api).await["status"]),
        (&json!(""), &json!("stop"))
    );
    // what is not a report may do as it likes
    send(&api, json!({"start": null})).await.expect(202);
    api.call(ALICE, "PATCH", "/jobs/j", json!({"job_schedule": {"event": ""}})).await.expect(200);
    assert_eq!(schedule(&api).await["event"], "");
}

#[tokio::test]
async fn a_start_is_not_hidden_by_the_end_of_the_run_before() {
    let api = Api::start().await;
    api.client(ALICE, "node1").await;
    api.job(ALICE, json!({"job_id": "j"})).await;
    let read = listed(&api, ALICE, "/jobs", poll()).await;
    report(&api, &read, "running").await;
    // set by whatever way
    api.call(ALICE, "PATCH", "/jobs/j", json!({"job_schedule": {"event": "start", "status": ""}}))
        .await
        .expect(200);
    report(&api, &read, "completed").await;
    let seen = listed(&api, ALICE, "/jobs", poll()).await;
    assert_eq!(seen["job_schedule"]["event"], "start", "a completed job would not be listed");
    report(&api, &seen, "scheduled").await;
    report(&api, &seen, "completed").await;
    assert_eq!(schedule(&api).await["status"], "completed");
    assert_eq!(listed(&api, ALICE, "/jobs", poll()).await, Value::Null);
}

#[tokio::test]
async fn polls_of_a_central_scheduler_count_too_and_cost_nothing_more_without_events() {
    let api = Api::start().await;
    api.call(ADMIN, "POST", "/clients", json!({"client_id": "central", "is_central": true}))
        .await
        .expect(201);
    api.job(ALICE, json!({"job_id": "j", "client_id": "central"})).await;
    let search = json!({"match_not": [{"status": "completed"}], "match": [{"client_id": "central"}]});
    let ask = async || {
        let before = api.db.statements();
        let answer = api.call(SERVICE, "GET", "/jobs?all_projects=True", search.clone()).await.expect(200);
        (answer.json()["jobs"][0].clone(), api.db.statements() - before)
    };
    let (read, cost) = ask().await;
    assert_eq!(cost, 1);
    send(&api, json!({"stop": null})).await.expect(202);
    report(&api, &read, "scheduled").await;
    assert_eq!(schedule(&api).await["event"], "stop");
    let (read, cost) = ask().await;
    assert_eq!((cost, ask().await.1), (3, 2), "an event is marked once");
    report(&api, &read, "stop").await;
    assert_eq!((schedule(&api).await["event"].clone(), ask().await.1), (json!(""), 1));
}

/// The events that wait for a conductor with addresses.
fn told(api: &Api) -> Vec<Letter> {
    let now = api.clock.now();
    api.db.transaction(|tx| tx.outbox().claim_due(&[Letter::EVENT], now, 100, Duration::ZERO)).unwrap()
}

#[tokio::test]
async fn a_failure_that_a_scheduler_reports_is_told_once() {
    let api = Api::start().await;
    api.client(ALICE, "node1").await;
    api.job(ALICE, json!({"job_id": "j", "job_schedule": {"schedule_interval": "1 days"}})).await;
    let reported = async |started: i64, ended: i64, status: &str, result: &str| {
        let schedule = json!({"schedule_interval": "1 days", "time_created": NOW, "time_started": started, "time_ended": ended,
            "status": status, "result": result, "event": "", "current_pid": 7});
        let body = json!({"job_schedule": schedule, "session_id": "", "session_tag": 0});
        api.call(ALICE, "PATCH", "/jobs/j", body).await.expect(200);
        told(&api).len()
    };
    assert_eq!(reported(-1, -1, "scheduled", "").await, 0);
    assert_eq!(reported(NOW, -1, "running", "").await, 0);
    // A result that is set before the run's end is written down is no end.
    assert_eq!(reported(NOW, -1, "running", "fail").await, 0);
    assert_eq!(reported(NOW, NOW + 5, "running", "fail").await, 1);
    let event = told(&api)[0].body.clone();
    assert_eq!((&event["event"], &event["state"]), (&json!("run.failed"), &json!("fail")));
    assert_eq!(
        (&event["project_id"], &event["job_id"], &event["client_id"], &event["run_id"]),
        (&json!("p1"), &json!("j"), &json!("node1"), &Value::Null)
    );
    // Said again, also after the user has asked for the next run.
    assert_eq!(reported(NOW, NOW + 5, "scheduled", "fail").await, 1);
    send(&api, json!({"start": null})).await.expect(202);
    assert_eq!(reported(NOW, NOW + 5, "scheduled", "fail").await, 1);
    assert_eq!(reported(NOW + 60, -1, "running", "").await, 1);
    // Another scheduler under the same name knows the run before only.
    assert_eq!(reported(NOW, NOW + 5, "scheduled", "fail").await, 1);
    let after = schedule(&api).await;
    assert_eq!(
        (&after["time_started"], &after["time_ended"], &after["result"]),
        (&json!(NOW + 60), &json!(-1), &json!(""))
    );
    assert_eq!(reported(NOW + 60, NOW + 70, "scheduled", "aborted").await, 1);
    assert_eq!(reported(NOW + 120, NOW + 130, "scheduled", "success").await, 1);
    assert_eq!(reported(NOW + 180, NOW + 181, "completed", "fail").await, 2);
    // Its clock was set back: the run is a new one.
    assert_eq!(reported(NOW + 30, -1, "running", "").await, 2);
    assert_eq!(reported(NOW + 30, NOW + 31, "completed", "fail").await, 3);
    // What a user writes is no report.
    let edit = json!({"description": "x", "job_schedule": {"result": "fail", "time_started": NOW + 300, "time_ended": NOW + 301}});
    api.call(ALICE, "PATCH", "/jobs/j", edit).await.expect(200);
    assert_eq!(told(&api).len(), 3);
    // Where nobody has addresses, events do not pile up.
    api.clock.advance(Duration::from_secs(2 * 86_400));
    assert_eq!(reported(NOW + 400, NOW + 401, "completed", "fail").await, 1);
}

#[tokio::test]
async fn a_project_that_fails_without_end_is_heard_no_more_and_silences_nobody() {
    let api = Api::start().await;
    let projects = [ProjectId::from(ALICE.project), ProjectId::from(OTTO.project)];
    let waiting = || {
        let count = |tx: &mut freezer_database::Tx| -> Result<Vec<i64>, DbError> {
            projects.iter().map(|project| tx.outbox().count_events(project)).collect()
        };
        api.db.read(count).unwrap()
    };
    for (who, client) in [(ALICE, "node1"), (OTTO, "node2")] {
        api.client(who, client).await;
        api.job(who, json!({"job_id": "j", "client_id": client})).await;
    }
    let failed = async |who: Who, at: i64| {
        let schedule = json!({"time_created": NOW, "time_started": at, "time_ended": at + 1, "status": "completed",
            "result": "fail", "event": "", "current_pid": 7});
        let body = json!({"job_schedule": schedule, "session_id": "", "session_tag": 0});
        api.call(who, "PATCH", "/jobs/j", body).await.expect(200);
    };
    failed(ALICE, NOW).await;
    assert_eq!(waiting(), [1, 0]);
    let now = api.clock.now();
    let fill = |tx: &mut freezer_database::Tx| -> Result<(), DbError> {
        (0..999).try_for_each(|_| tx.outbox().put_event(&projects[0], &json!({}), now))
    };
    api.db.transaction(fill).unwrap();
    failed(ALICE, NOW + 10).await;
    failed(OTTO, NOW).await;
    assert_eq!(waiting(), [1000, 1]);
}
