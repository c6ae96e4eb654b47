//! The session protocol over HTTP (contract §6.7): rounds, their tags, and who may not take part.

use crate::harness::*;
use serde_json::{Value, json};
use std::time::Duration;

async fn with_members(jobs: &[&str]) -> Api {
    let api = Api::start().await;
    api.client(ALICE, "node1").await;
    api.call(ALICE, "POST", "/sessions/s", json!({"schedule": {}, "session_tag": 0})).await.expect(201);
    for job in jobs {
        api.job(ALICE, json!({ "job_id": job })).await;
        api.call(ALICE, "PUT", &format!("/sessions/s/jobs/{job}"), Value::Null).await.expect(204);
    }
    api
}

async fn act(api: &Api, body: Value) -> Answer {
    api.call(ALICE, "POST", "/sessions/s/action", body).await
}

#[track_caller]
fn answered(answer: Answer, result: &str, tag: i64) {
    assert_eq!((answer.status, answer.json()), (202, json!({"result": result, "session_tag": tag})));
}

async fn start(api: &Api, job: &str, tag: Value) -> Answer {
    act(api, json!({"start": {"job_id": job, "current_tag": tag}})).await
}

async fn end(api: &Api, job: &str, result: &str) -> Answer {
    act(api, json!({"end": {"job_id": job, "current_tag": 1, "result": result}})).await
}

async fn session(api: &Api) -> Value {
    api.get(ALICE, "/sessions/s").await.expect(200).json()
}

async fn stands(api: &Api) -> (Value, Value) {
    let session = session(api).await;
    (session["status"].clone(), session["result"].clone())
}

async fn tag_of(api: &Api, job: &str) -> Value {
    api.get(ALICE, &format!("/jobs/{job}")).await.expect(200).json()["session_tag"].clone()
}

#[tokio::test]
async fn two_jobs_and_two_rounds() {
    let api = with_members(&["m1", "m2"]).await;
    answered(start(&api, "m1", json!(0)).await, "success", 1);
    let now = session(&api).await;
    assert_eq!(
        (&now["status"], &now["result"], &now["session_tag"]),
        (&json!("running"), &json!(""), &json!(1))
    );
    assert_eq!(
        ["time_start", "time_started", "last_start"].map(|key| now[key].clone()),
        [json!(NOW), json!(NOW), json!(NOW)]
    );
    assert_eq!(
        now["jobs"]["m1"],
        json!({"client_id": "node1", "status": "running", "result": "", "time_started": NOW, "time_ended": -1})
    );
    assert_eq!((tag_of(&api, "m1").await, tag_of(&api, "m2").await), (json!(1), json!(0)));
    api.clock.advance(Duration::from_secs(30));
    // a command line sends the tag as text
    answered(start(&api, "m2", json!("0")).await, "success", 1);
    answered(end(&api, "m1", "fail").await, "success", 1);
    assert_eq!(stands(&api).await, (json!("running"), json!("")), "until all have ended");
    api.clock.advance(Duration::from_secs(5));
    answered(end(&api, "m2", "success").await, "success", 1);
    let over = session(&api).await;
    assert_eq!((&over["status"], &over["result"]), (&json!("completed"), &json!("fail")));
    assert_eq!((&over["time_end"], &over["time_ended"]), (&json!(NOW + 35), &json!(NOW + 35)));
    assert_eq!(over["jobs"]["m2"]["time_ended"], json!(NOW + 35));
    // a second word changes the member, not the session
    answered(end(&api, "m1", "success").await, "success", 1);
    assert_eq!(
        (stands(&api).await.1, session(&api).await["jobs"]["m1"]["result"].clone()),
        (json!("fail"), json!("success"))
    );
    api.clock.advance(Duration::from_secs(60));
    answered(start(&api, "m2", json!(1)).await, "success", 2);
    answered(start(&api, "m1", json!(1)).await, "success", 2);
    assert_eq!(stands(&api).await, (json!("running"), json!("")));
    answered(end(&api, "m1", "success").await, "success", 2);
    answered(end(&api, "m2", "success").await, "success", 2);
    assert_eq!(stands(&api).await, (json!("completed"), json!("success")));
}

#[tokio::test]
async fn too_early_too_late_too_high() {
    let api = with_members(&["m1", "m2"]).await;
    answered(start(&api, "m1", json!(0)).await, "success", 1);
    let before = session(&api).await;
    answered(start(&api, "m1", json!(1)).await, "hold-off", 1);
    let text = "requested tag value too high. Session Tag: 1 Job Tag: 2";
    start(&api, "m1", json!(2)).await.expect_error(400, "Bad request format", text);
    start(&api, "x", json!(0)).await.expect_error(400, "Bad request format", "job_id not found in session");
    end(&api, "x", "success").await.expect_error(400, "Bad request format", "job_id not found in session");
    api.clock.advance(Duration::from_secs(31));
    answered(start(&api, "m2", json!("0")).await, "out-of-sync", 1);
    start(&api, "x", json!(1)).await.expect_error(400, "Bad request format", "job_id not found in session");
    assert_eq!(session(&api).await, before);
    answered(start(&api, "m1", json!(1)).await, "success", 2);
    let absent = api
        .call(ALICE, "POST", "/sessions/x/action", json!({"end": {"job_id": "m1", "result": "fail"}}))
        .await;
    absent.expect_error(404, "Not Found", "Session x not found");
}

#[tokio::test]
async fn a_job_that_ran_outside_its_round_is_in_step_again() {
    let api = with_members(&["m1", "m2"]).await;
    start(&api, "m1", json!(0)).await.expect(202);
    end(&api, "m1", "success").await.expect(202);
    api.clock.advance(Duration::from_secs(31));
    answered(start(&api, "m2", json!(0)).await, "out-of-sync", 1);
    assert_eq!((stands(&api).await.0, tag_of(&api, "m2").await), (json!("running"), json!(0)));
    // its scheduler runs it all the same
    end(&api, "m2", "success").await.expect(202);
    assert_eq!(
        (stands(&api).await, tag_of(&api, "m2").await),
        ((json!("completed"), json!("success")), json!(1))
    );
    answered(start(&api, "m2", json!(1)).await, "success", 2);
}

#[tokio::test]
async fn bad_actions() {
    let api = with_members(&["m1"]).await;
    let before = session(&api).await;
    for (body, text) in [
        (json!({"stop": {}}), "Bad Action Method"),
        (json!({}), "Bad action request format"),
        (json!({"start": null}), "'start': null is not of type 'object'"),
        (json!({"start": {}}), "'start.job_id' is a required property"),
        (json!({"start": {"job_id": 5, "current_tag": 0}}), "'start.job_id'"),
        (json!({"start": {"job_id": "m1"}}), "'start.current_tag' is a required property"),
        (json!({"start": {"job_id": "m1", "current_tag": "one"}}), "'start.current_tag'"),
        (json!({"start": {"job_id": "m1", "current_tag": 1e30}}), "'start.current_tag'"),
        (json!({"end": {"job_id": "m1"}}), "'end.result' is a required property"),
        (json!({"end": {"job_id": "m1", "result": "x".repeat(256)}}), "'end.result'"),
    ] {
        act(&api, body).await.expect_refusal(text);
    }
    act(&api, Value::Null).await.expect_refusal("body is empty");
    act(&api, json!([1])).await.expect_refusal("must be a JSON object");
    assert_eq!(session(&api).await, before);
}

#[tokio::test]
async fn a_round_does_not_wait_for_who_left() {
    let api = with_members(&["m1", "m2", "m3"]).await;
    start(&api, "m1", json!(0)).await.expect(202);
    end(&api, "m1", "success").await.expect(202);
    api.call(ALICE, "DELETE", "/sessions/s/jobs/m2", Value::Null).await.expect(204);
    assert_eq!(stands(&api).await.0, "running");
    api.call(ALICE, "DELETE", "/jobs/m3", Value::Null).await.expect(204);
    assert_eq!(stands(&api).await, (json!("completed"), json!("success")));
}

/// All members at the same moment, over HTTP: one begins the round, the others join it.
#[tokio::test]
async fn members_that_start_at_once_are_in_one_round() {
    let jobs = ["m1", "m2", "m3", "m4", "m5", "m6"];
    let api = with_members(&jobs).await;
    let answers = futures_util::future::join_all(jobs.map(|job| start(&api, job, json!(0)))).await;
    for answer in answers {
        answered(answer, "success", 1);
    }
    assert_eq!(session(&api).await["session_tag"], 1);
}
