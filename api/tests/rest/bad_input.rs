//! Whatever is sent, the answer is a refusal that names the thing, never a failure of ours (contract F15).

use crate::harness::*;
use freezer_api::notices::Notices;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Map, Value, json};

/// Every operation that takes a body.
const WRITES: [(&str, &str); 13] = [
    ("POST", "/jobs"),
    ("POST", "/jobs/j"),
    ("PATCH", "/jobs/j"),
    ("POST", "/actions"),
    ("POST", "/actions/a"),
    ("PATCH", "/actions/a"),
    ("POST", "/sessions"),
    ("POST", "/sessions/s"),
    ("PATCH", "/sessions/s"),
    ("POST", "/sessions/s/action"),
    ("POST", "/clients"),
    ("POST", "/backups"),
    ("PATCH", "/backups/b"),
];

async fn with_rows() -> Api {
    let api = Api::start().await;
    api.client(ALICE, "node1").await;
    api.call(ALICE, "POST", "/actions/a", json!({"freezer_action": {"action": "backup"}})).await.expect(201);
    api.job(ALICE, json!({"job_id": "j"})).await;
    api.call(ALICE, "POST", "/sessions/s", json!({"schedule": {}, "session_tag": 0})).await.expect(201);
    api.call(ALICE, "PUT", "/sessions/s/jobs/j", Value::Null).await.expect(204);
    api
}

#[tokio::test]
async fn bodies_that_are_no_objects() {
    let api = with_rows().await;
    for (method, path) in WRITES {
        let raw = async |body: Vec<u8>| {
            api.send(api.request(ALICE, method, &format!("/v2/p1{path}")).body(body)).await
        };
        for body in ["{", "{\"a\":}", "nul", "{} x", "\u{0}", "{\"a\": 1e999}", "\"\\ud800\""] {
            let answer = raw(body.as_bytes().to_vec()).await.expect(400);
            assert_eq!(answer.json()["title"], "Malformed JSON", "{method} {path} {body}");
        }
        assert_eq!(raw(vec![0xff, 0x00, 0xfe]).await.expect(400).json()["title"], "Malformed JSON");
        for body in ["[1]", "\"x\"", "5", "true", "null", "[]"] {
            raw(body.as_bytes().to_vec()).await.expect_refusal("must be a JSON object");
        }
        raw(format!("{}1{}", "[".repeat(50_000), "]".repeat(50_000)).into_bytes()).await.expect(400);
        let deep = format!("{{\"x\": {}{}}}", "[".repeat(40), "]".repeat(40));
        raw(deep.into_bytes()).await.expect_refusal("nested more than 32 levels deep");
        if (method, path) != ("PATCH", "/actions/a") {
            raw(Vec::new()).await.expect_refusal("body is empty");
        }
    }
}

#[tokio::test]
async fn wrong_types_are_named() {
    let api = with_rows().await;
    let entry = |key: &str, value: Value| json!([{"freezer_action": {"action": "backup"}, key: value}]);
    let option = |key: &str, value: Value| json!([{"freezer_action": {"action": "backup", key: value}}]);
    for (change, field) in [
        (json!({"job_actions": null}), "'job_actions'"),
        (json!({"job_actions": "x"}), "'job_actions'"),
        (json!({"job_actions": [1]}), "'job_actions[0]'"),
        (json!({"job_actions": [{"freezer_action": null}]}), "'job_actions[0].freezer_action'"),
        (json!({"job_actions": [{}]}), "'job_actions[0].freezer_action' is a required property"),
        (
            json!({"job_actions": [{"freezer_action": {"mode": "fs"}}]}),
            "'job_actions[0].freezer_action.action' is a required property",
        ),
        (
            json!({"job_actions": option("action", json!("destroy"))}),
            "'job_actions[0].freezer_action.action'",
        ),
        (json!({"job_actions": option("mode", json!("tape"))}), "'job_actions[0].freezer_action.mode'"),
        (json!({"job_actions": option("storage", json!(5))}), "'job_actions[0].freezer_action.storage'"),
        (json!({"job_actions": option("timeout", json!("soon"))}), "'job_actions[0].freezer_action.timeout'"),
        (json!({"job_actions": option("priority", json!(1.5))}), "'job_actions[0].freezer_action.priority'"),
        (
            json!({"job_actions": option("cindernative_freezer_only", json!("yes"))}),
            "'job_actions[0].freezer_action.cindernative_freezer_only'",
        ),
        (
            json!({"job_actions": option("backup_name", json!("x".repeat(256)))}),
            "'job_actions[0].freezer_action.backup_name'",
        ),
        (
            json!({"job_actions": option("log_file", json!("x".repeat(4097)))}),
            "'job_actions[0].freezer_action.log_file'",
        ),
        (json!({"job_actions": entry("max_retries", json!(-1))}), "'job_actions[0].max_retries'"),
        (json!({"job_actions": entry("max_retries", json!("5"))}), "'job_actions[0].max_retries'"),
        (json!({"job_actions": entry("max_retries", json!(true))}), "'job_actions[0].max_retries'"),
        (
            json!({"job_actions": entry("max_retries_interval", json!(1u64 << 40))}),
            "'job_actions[0].max_retries_interval'",
        ),
        (json!({"job_actions": entry("mandatory", json!("true"))}), "'job_actions[0].mandatory'"),
        (json!({"job_actions": entry("action_id", json!("a b"))}), "'job_actions[0].action_id'"),
        (json!({"job_actions": entry("action_id", json!("x".repeat(65)))}), "'job_actions[0].action_id'"),
        (json!({"job_actions": vec![json!({}); 501]}), "'job_actions'"),
        (json!({"job_schedule": null}), "'job_schedule'"),
        (json!({"job_schedule": []}), "'job_schedule'"),
        (json!({"job_schedule": {"foo": 1}}), "('foo' was unexpected) in 'job_schedule'"),
        (json!({"job_schedule": {"schedule_date": "tomorrow"}}), "'job_schedule.schedule_date'"),
        (json!({"job_schedule": {"schedule_interval": ""}}), "'job_schedule.schedule_interval'"),
        (json!({"job_schedule": {"schedule_minute": 5}}), "'job_schedule.schedule_minute'"),
        (json!({"job_schedule": {"schedule_minute": "x".repeat(256)}}), "'job_schedule.schedule_minute'"),
        (json!({"job_schedule": {"status": "sleeping"}}), "'job_schedule.status'"),
        (json!({"job_schedule": {"current_pid": "1"}}), "'job_schedule.current_pid'"),
        (json!({"client_id": null}), "'client_id'"),
        (json!({"client_id": 5}), "'client_id'"),
        (json!({"client_id": "-"}), "'client_id'"),
        (json!({"client_id": "a".repeat(300)}), "'client_id'"),
        (json!({"description": 5}), "'description'"),
        (json!({"description": "x".repeat(256)}), "'description'"),
        (json!({"job_id": "a/b"}), "'job_id'"),
        (json!({"job_id": "x".repeat(65)}), "'job_id'"),
        (json!({"job_id": 1}), "'job_id'"),
        (json!({"session_id": "a b"}), "'session_id'"),
        (json!({"session_tag": "1"}), "'session_tag'"),
        (json!({"session_tag": 1.5}), "'session_tag'"),
        (json!({"session_name": 1}), "'session_name'"),
        (json!({"_version": "1"}), "'_version'"),
        (json!({"action_defaults": 1}), "'action_defaults'"),
        (json!({"unheard_of": 1}), "('unheard_of' was unexpected)"),
    ] {
        let mut body = job_body();
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        api.call(ALICE, "POST", "/jobs", body.clone()).await.expect_refusal(field);
        api.call(ALICE, "POST", "/jobs/j", body).await.expect_refusal(field);
        api.call(ALICE, "PATCH", "/jobs/j", change).await.expect_refusal(field);
    }
    for key in ["client_id", "job_actions"] {
        let mut body = job_body();
        body.as_object_mut().unwrap().remove(key);
        api.call(ALICE, "POST", "/jobs", body).await.expect_error(
            400,
            "Bad request format",
            &format!("'{key}' is a required property"),
        );
    }
    for (change, field) in [
        (json!({"freezer_action": null}), "'freezer_action'"),
        (json!({"freezer_action": {"mode": "fs"}}), "'freezer_action.action'"),
        (json!({"max_retries": -5}), "'max_retries'"),
        (json!({"max_retries": 2f64.powi(70)}), "is out of range"),
        (json!({"max_retries": 1.0}), "is not of type 'integer'"),
        (json!({"max_retries_interval": "x"}), "'max_retries_interval'"),
        (json!({"mandatory": 1}), "'mandatory'"),
        (json!({"action_id": "a b"}), "'action_id'"),
    ] {
        let mut body = json!({"freezer_action": {"action": "backup"}});
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        api.call(ALICE, "POST", "/actions", body).await.expect_refusal(field);
    }
    api.call(ALICE, "POST", "/actions", json!({}))
        .await
        .expect_refusal("'freezer_action' is a required property");
}

#[tokio::test]
async fn wrong_types_in_sessions_are_named() {
    let api = with_rows().await;
    let before = api.get(ALICE, "/sessions/s").await.json();
    for (change, field) in [
        (json!({"schedule": null}), "'schedule'"),
        (json!({"schedule": []}), "'schedule'"),
        (json!({"schedule": {"foo": 1}}), "('foo' was unexpected) in 'schedule'"),
        (json!({"schedule": {"schedule_interval": "5 min"}}), "'schedule.schedule_interval'"),
        (json!({"schedule": {"status": "sleeping"}}), "'schedule.status'"),
        (json!({"description": 5}), "'description'"),
        (json!({"description": "x".repeat(256)}), "'description'"),
        (json!({"hold_off": -1}), "'hold_off'"),
        (json!({"hold_off": "30"}), "'hold_off'"),
        (json!({"session_tag": 1.5}), "'session_tag'"),
        (json!({"session_tag": true}), "'session_tag'"),
        (json!({"result": 1}), "'result'"),
        (json!({"time_start": "now"}), "'time_start'"),
        (json!({"time_end": []}), "'time_end'"),
        (json!({"time_started": null}), "'time_started'"),
        (json!({"time_ended": "1"}), "'time_ended'"),
    ] {
        let mut body = json!({"schedule": {}, "session_tag": 0});
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        api.call(ALICE, "POST", "/sessions", body.clone()).await.expect_refusal(field);
        api.call(ALICE, "POST", "/sessions/s", body).await.expect_refusal(field);
        api.call(ALICE, "PATCH", "/sessions/s", change).await.expect_refusal(field);
    }
    for (change, field) in [
        (json!({"status": 1}), "'status'"),
        (json!({"status": "x".repeat(256)}), "'status'"),
        (json!({"jobs": 5}), "'jobs'"),
        (json!({"jobs": {"a/b": {}}}), "'a/b' is not the id of a job"),
        (json!({"jobs": {"x".repeat(65): {}}}), "is not the id of a job"),
        (json!({"jobs": {"j": null}}), "'jobs.j'"),
        (json!({"jobs": {"j": {"client_id": 1}}}), "'jobs.j.client_id'"),
        (json!({"jobs": {"j": {"status": []}}}), "'jobs.j.status'"),
        (json!({"jobs": {"j": {"time_started": "1"}}}), "'jobs.j.time_started'"),
    ] {
        api.call(ALICE, "PATCH", "/sessions/s", change).await.expect_refusal(field);
    }
    api.call(ALICE, "POST", "/sessions", json!({})).await.expect_refusal("'schedule' is a required property");
    assert_eq!(api.get(ALICE, "/sessions/s").await.json(), before);
}

#[tokio::test]
async fn large_bodies_are_refused_with_the_limit_whether_chunked_or_not() {
    let api = Api::start_with(|options| options.max_body_bytes = 64 << 10, Notices::default()).await;
    let big = format!("{{\"container\": \"{}\"}}", "x".repeat(10 << 20));
    let answer = api.send(api.request(ALICE, "POST", "/v2/p1/backups").body(big.clone())).await;
    answer.expect_error(
        413,
        "Request body too large",
        "The body is larger than 65536 bytes, the most this service takes",
    );
    let chunks: Vec<Result<Vec<u8>, std::io::Error>> =
        big.into_bytes().chunks(10_000).map(|chunk| Ok(chunk.to_vec())).collect();
    let body = reqwest::Body::wrap_stream(futures_util::stream::iter(chunks));
    api.send(api.request(ALICE, "POST", "/v2/p1/backups").body(body)).await.expect(413);
    // the server goes on
    let small: Vec<Result<&str, std::io::Error>> =
        vec![Ok("{\"container\": \"c\","), Ok("\"hostname\": \"h\", \"backup_name\""), Ok(": \"b\"}")];
    let body = reqwest::Body::wrap_stream(futures_util::stream::iter(small));
    api.send(api.request(ALICE, "POST", "/v2/p1/backups").body(body)).await.expect(201);
    let search: Vec<Result<&str, std::io::Error>> =
        vec![Ok("{\"match\": [{\"backup_name\""), Ok(": \"other\"}]}")];
    let body = reqwest::Body::wrap_stream(futures_util::stream::iter(search));
    // the client would not send a chunked body with GET unless told to
    let request =
        api.request(ALICE, "GET", "/v2/p1/backups").header("Transfer-Encoding", "chunked").body(body);
    let found = api.send(request).await.expect(200);
    assert_eq!(found.json(), json!({"backups": []}));
}

#[tokio::test]
async fn odd_ids_in_paths_are_simply_absent() {
    let api = with_rows().await;
    for id in
        ["%2F", "%00", "..%2F..", "a%20b", "%F0%9F%92%BE", "'%20OR%201=1--", "%25", "%E9", &"x".repeat(2000)]
    {
        for noun in ["jobs", "actions", "sessions", "clients", "backups", "runs"] {
            let answer = api.get(ALICE, &format!("/{noun}/{id}")).await;
            assert_eq!(answer.status, 404, "{noun}/{id}: {}", answer.text);
        }
        for noun in ["jobs", "actions", "sessions", "clients", "backups", "sessions/s/jobs"] {
            api.call(ALICE, "DELETE", &format!("/{noun}/{id}"), Value::Null).await.expect(204);
        }
        api.call(ALICE, "PATCH", &format!("/jobs/{id}"), json!({})).await.expect(404);
        api.call(ALICE, "PATCH", &format!("/sessions/{id}"), json!({})).await.expect(404);
        for path in [format!("/sessions/s/jobs/{id}"), format!("/sessions/{id}/jobs/j")] {
            api.call(ALICE, "PUT", &path, Value::Null).await.expect(404);
        }
    }
}

/// Keys the service knows, so that random documents get past the first check.
fn key() -> impl Strategy<Value = String> {
    let known = [
        "job_actions",
        "job_schedule",
        "client_id",
        "description",
        "job_id",
        "session_id",
        "session_tag",
        "action_defaults",
        "session_name",
        "_version",
        "user_credentials",
        "freezer_action",
        "action_id",
        "max_retries",
        "max_retries_interval",
        "mandatory",
        "action",
        "mode",
        "storage",
        "engine_name",
        "timeout",
        "priority",
        "log_file",
        "path_to_backup",
        "schedule_date",
        "schedule_interval",
        "schedule_hour",
        "event",
        "status",
        "result",
        "current_pid",
        "time_started",
        "container",
        "hostname",
        "backup_name",
        "time_stamp",
        "backup_metadata",
        "supported_modes",
        "is_central",
        "uuid",
        "match",
        "match_not",
        "_all",
        "time_after",
        "time_before",
        "start",
        "stop",
        "end",
        "schedule",
        "hold_off",
        "jobs",
        "current_tag",
        "time_start",
    ];
    prop_oneof![9 => prop::sample::select(known.to_vec()).prop_map(str::to_owned), 1 => ".{0,8}"]
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        prop::sample::select(vec![
            "node1",
            "backup",
            "fs",
            "a",
            "j",
            "2026-01-02T03:00:00",
            "1 days",
            "running",
            "",
            "[{\"mode\": 1}]"
        ])
        .prop_map(Value::from),
        (250usize..600).prop_map(|length| Value::from("é".repeat(length))),
    ]
}

fn document() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((key(), inner), 0..8)
                .prop_map(|pairs| Value::Object(Map::from_iter(pairs))),
        ]
    })
}

/// A document that is right, with something random laid over it.
fn nearly_right() -> impl Strategy<Value = Value> {
    let right = prop::sample::select(vec![
        job_body(),
        json!({"freezer_action": {"action": "backup", "mode": "fs"}}),
        json!({"client_id": "node1"}),
        json!({"container": "c", "hostname": "h", "backup_name": "b"}),
        json!({"match": [{"client_id": "node1"}]}),
    ]);
    (right, prop::collection::vec((key(), document()), 0..3)).prop_map(|(mut body, more)| {
        body.as_object_mut().unwrap().extend(more);
        body
    })
}

#[test]
fn random_documents_never_make_the_service_fail() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let api = runtime.block_on(with_rows());
    let mut runner = TestRunner::new(Config { cases: 400, failure_persistence: None, ..Config::default() });
    let body = prop_oneof![1 => document(), 3 => nearly_right()];
    let operations: Vec<(&str, &str)> = WRITES
        .into_iter()
        .chain([
            ("POST", "/jobs/j/event"),
            ("GET", "/jobs"),
            ("GET", "/backups"),
            ("GET", "/clients"),
            ("GET", "/actions"),
            ("GET", "/runs"),
        ])
        .collect();
    let outcome = runner.run(&(prop::sample::select(operations), body), |((method, path), body)| {
        let answer = runtime.block_on(async {
            let request = api.request(ALICE, method, &format!("/v2/p1{path}")).body(body.to_string());
            api.send(request).await
        });
        prop_assert!(
            answer.status < 500,
            "{} {}: {} {} for {}",
            method,
            path,
            answer.status,
            answer.text,
            body
        );
        if answer.status >= 400 && answer.status != 404 {
            let error: Value = serde_json::from_str(&answer.text).unwrap();
            prop_assert!(error["title"].is_string() && error["description"].is_string(), "{}", answer.text);
        }
        Ok(())
    });
    // whatever was stored can be read
    runtime.block_on(async {
        for list in ["/jobs", "/actions", "/clients", "/backups"] {
            api.get(ALICE, &format!("{list}?limit=1000")).await.expect(200);
        }
    });
    outcome.unwrap();
    drop(api);
}
