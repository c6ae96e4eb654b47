//! Every write that concerns time or state marks the job for the conductors and tells them.

use crate::harness::*;
use freezer_api::notices::Notices;
use freezer_model::rpc::{CONDUCTOR_TOPIC, EXCHANGE, JobChanged, VERSION};
use freezer_model::{Client, ClientId, Clock, JobId, Link, ProjectId, Timestamp};
use oslo_messaging::{Endpoint, RabbitOptions, RpcServer, ServerOptions, Target, Transport};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

fn next_attention(api: &Api) -> Option<Timestamp> {
    api.db.read(|tx| tx.jobs().next_attention()).unwrap()
}

/// What a conductor does after it has looked.
fn looked(api: &Api) {
    let (project, id) = (ProjectId::from("p1"), JobId::from("j"));
    let planning =
        freezer_database::Planning { planned_version: Some(1), next_run_at: None, attention_at: None };
    api.db.transaction(|tx| tx.jobs().set_planning(&project, &id, planning)).unwrap();
    assert_eq!(next_attention(api), None);
}

#[tokio::test]
async fn writes_request_attention_now() {
    let api = Api::start().await;
    api.client(ALICE, "node1").await;
    api.job(ALICE, json!({"job_id": "j"})).await;
    assert_eq!(next_attention(&api), Some(Timestamp::from_secs(NOW)));
    for (method, path, body) in [
        ("PATCH", "/jobs/j", json!({"job_schedule": {"schedule_interval": "1 days"}})),
        ("PATCH", "/jobs/j", json!({"client_id": "node1"})),
        ("POST", "/jobs/j/event", json!({"stop": null})),
        ("POST", "/jobs/j/event", json!({"start": null})),
        ("POST", "/jobs/j", job_body()),
    ] {
        looked(&api);
        api.clock.advance(Duration::from_secs(60));
        api.call(ALICE, method, path, body).await;
        assert_eq!(next_attention(&api), Some(freezer_model::Clock::now(&*api.clock)), "{method} {path}");
    }
    looked(&api);
    api.call(ALICE, "POST", "/jobs/j/event", json!({"stop": null})).await.expect(202);
    looked(&api);
    // nothing is written, nothing is to be looked at
    api.call(ALICE, "POST", "/jobs/j/event", json!({"stop": null})).await.expect(202);
    api.call(ALICE, "PATCH", "/jobs/j", json!({"foo": 1})).await.expect(400);
    assert_eq!(next_attention(&api), None);
}

/// Since when nothing was heard of the job from a scheduler that polls.
fn heard(api: &Api, id: &str) -> Option<Timestamp> {
    let (project, id) = (ProjectId::from("p1"), JobId::from(id));
    api.db.transaction(|tx| tx.jobs().planning_for_update(&project, &id)).unwrap().unwrap().heard_at
}

#[tokio::test]
async fn words_of_a_scheduler_that_polls_are_noted_and_what_it_is_given_to_follow() {
    let api = Api::start().await;
    api.client(ALICE, "node1").await;
    let daily = json!({"schedule_interval": "1 days"});
    api.job(ALICE, json!({"job_id": "j", "job_schedule": daily})).await;
    assert_eq!(heard(&api, "j"), Some(api.clock.now()));
    let schedule = json!({"schedule_interval": "1 days", "event": "", "status": "scheduled", "time_started": -1, "time_ended": -1});
    let report = json!({"job_schedule": schedule, "session_id": "", "session_tag": 0});
    for (method, path, body, status, is_heard) in [
        ("PATCH", "/jobs/j", report.clone(), 200, true),
        // It says the same once more.
        ("PATCH", "/jobs/j", report.clone(), 200, true),
        ("PATCH", "/jobs/j", json!({"description": "x"}), 200, false),
        ("PATCH", "/jobs/j", json!({"client_id": "node1", "job_schedule": daily}), 200, false),
        ("PATCH", "/jobs/j", json!({"job_schedule": {"schedule_interval": "2 days"}}), 200, true),
        ("PATCH", "/jobs/j", json!({"job_schedule": {"status": "completed"}}), 200, true),
        ("POST", "/jobs/j/event", json!({"stop": null}), 202, false),
        ("POST", "/jobs/j/event", json!({"start": null}), 202, true),
        ("POST", "/jobs/j/event", json!({"start": null}), 202, false),
        ("POST", "/jobs/j", job_body(), 201, true),
        ("POST", "/jobs/j", job_body(), 201, false),
    ] {
        api.clock.advance(Duration::from_secs(60));
        let before = heard(&api, "j");
        api.call(ALICE, method, path, body.clone()).await.expect(status);
        let expected = if is_heard { Some(api.clock.now()) } else { before };
        assert_eq!(heard(&api, "j"), expected, "{method} {path} {body}");
    }
    // Of what our conductor drives nobody waits for a word.
    let before = heard(&api, "j");
    let (project, node1) = (ProjectId::from("p1"), ClientId::from("node1"));
    api.db
        .transaction(|tx| {
            let client = tx.clients().get(&project, &node1)?.unwrap();
            tx.clients().save(&Client { link: Link::Amqp, ..client })
        })
        .unwrap();
    api.clock.advance(Duration::from_secs(60));
    api.call(ALICE, "PATCH", "/jobs/j", report).await.expect(200);
    api.call(ALICE, "POST", "/jobs/j/event", json!({"stop": null})).await.expect(202);
    api.call(ALICE, "POST", "/jobs/j/event", json!({"start": null})).await.expect(202);
    assert_eq!(heard(&api, "j"), before);
    api.job(ALICE, json!({"job_id": "k", "job_schedule": daily})).await;
    assert_eq!(heard(&api, "k"), None);
}

#[tokio::test]
async fn plan_versions_grow_only_with_the_plan() {
    let api = Api::start().await;
    api.client(ALICE, "node1").await;
    api.job(ALICE, json!({"job_id": "j", "job_schedule": {"schedule_interval": "1 days"}})).await;
    let version = || {
        let (project, id) = (ProjectId::from("p1"), JobId::from("j"));
        api.db.read(|tx| tx.jobs().get(&project, &id)).unwrap().unwrap().plan_version
    };
    assert_eq!(version(), 1);
    for (body, expected) in [
        (json!({"description": "x"}), 1),
        (json!({"job_schedule": {"schedule_interval": "1  days"}}), 1),
        (json!({"job_schedule": {"schedule_interval": "2 days"}}), 2),
        (json!({"job_schedule": {"status": "running"}}), 2),
        (json!({"job_schedule": {}}), 3),
    ] {
        api.call(ALICE, "PATCH", "/jobs/j", body.clone()).await.expect(200);
        assert_eq!(version(), expected, "{body}");
    }
}

/// Stands for a conductor: keeps what it is told.
struct Ear(mpsc::UnboundedSender<(JobChanged, Value)>);

#[async_trait::async_trait]
impl Endpoint for Ear {
    fn methods(&self) -> &[&str] {
        &["job_changed"]
    }
    async fn call(
        &self,
        context: &oslo_messaging::Context,
        _method: &str,
        arguments: Value,
    ) -> Result<Value, oslo_messaging::RemoteFailure> {
        let notice = serde_json::from_value(arguments).unwrap();
        self.0.send((notice, Value::Object(context.as_map().clone()))).unwrap();
        Ok(Value::Null)
    }
}

#[tokio::test]
async fn conductors_are_told_after_the_commit() {
    let url = format!("fake://{}/", freezer_testkit::random_name());
    let transport = Transport::connect(&url, RabbitOptions::default()).unwrap();
    let (heard, mut ear) = mpsc::unbounded_channel();
    let target = Target::topic(CONDUCTOR_TOPIC).exchange(EXCHANGE).version(VERSION).server("conductor-1");
    let endpoints: Vec<Arc<dyn Endpoint>> = vec![Arc::new(Ear(heard))];
    let server = RpcServer::start(&transport, target, endpoints, ServerOptions::default()).await.unwrap();
    let api = Api::start_with(|_| {}, Notices::on(&transport)).await;
    api.client(ALICE, "node1").await;
    let mut expect = async |method: &str, path: &str, body: Value, status: u16| {
        let id = "req-3f1f8c4e-5b3a-4a57-9a0e-0f1a2b3c4d5e";
        let mut request =
            api.request(ALICE, method, &format!("/v2/p1{path}")).header("X-OpenStack-Request-ID", id);
        if !body.is_null() {
            request = request.body(body.to_string());
        }
        api.send(request).await.expect(status);
        let (notice, context) =
            tokio::time::timeout(Duration::from_secs(60), ear.recv()).await.expect("a notice comes").unwrap();
        assert_eq!(notice, JobChanged { project_id: ProjectId::from("p1"), job_id: JobId::from("j") });
        assert_eq!((&context["request_id"], &context["user_id"]), (&json!(id), &json!("alice")));
        // what the conductor is told of can be read already
        api.db.read(|tx| tx.jobs().get(&notice.project_id, &notice.job_id)).unwrap()
    };
    let mut body = job_body();
    body["job_id"] = json!("j");
    assert!(expect("POST", "/jobs", body, 201).await.is_some());
    expect("PATCH", "/jobs/j", json!({"description": "x"}), 200).await;
    expect("POST", "/jobs/j", job_body(), 201).await;
    let stopped = expect("POST", "/jobs/j/event", json!({"stop": null}), 202).await.unwrap();
    assert_eq!(stopped.state.event.as_str(), "stop");
    assert!(expect("DELETE", "/jobs/j", Value::Null, 204).await.is_none());
    server.stop().await;
    transport.close().await;
}

#[tokio::test]
async fn a_broker_that_is_away_costs_nothing() {
    let port = freezer_testkit::private::free_port();
    let url = format!("rabbit://nobody:nothing@127.0.0.1:{port}/");
    let transport = Transport::connect(&url, RabbitOptions::default()).unwrap();
    let api = Api::start_with(|_| {}, Notices::on(&transport)).await;
    api.client(ALICE, "node1").await;
    let begun = std::time::Instant::now();
    api.job(ALICE, json!({"job_id": "j"})).await;
    api.call(ALICE, "POST", "/jobs/j/event", json!({"stop": null})).await.expect(202);
    // Each of the two would wait for ten seconds.
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    assert_eq!(next_attention(&api), Some(Timestamp::from_secs(NOW)));
}
