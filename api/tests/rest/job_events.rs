//! Events: what a user wants of a job (contract §6.1).

use crate::harness::*;
use serde_json::{Value, json};

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
