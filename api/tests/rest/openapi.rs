//! The OpenAPI document says what the routes, the policy and the answers are, no less and no more.

use crate::harness::*;
use crate::runs::run;
use freezer_model::RunState;
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn documented() -> BTreeSet<String> {
    let document = freezer_api::openapi::document();
    let mut found = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys().filter(|key| *key != "parameters") {
            found.insert(format!("{} {path}", method.to_uppercase()));
        }
    }
    found
}

#[test]
fn every_route_is_documented_and_every_documented_one_is_a_route() {
    let mut routes: BTreeSet<String> = freezer_api::routes::operations()
        .into_iter()
        .map(|(method, path)| format!("{method} {path}"))
        .collect();
    // outside authentication
    routes.insert("GET /".to_owned());
    assert_eq!(documented(), routes);
}

#[test]
fn operations_are_complete_and_references_lead_somewhere() {
    let document = freezer_api::openapi::document();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap().iter().filter(|(key, _)| *key != "parameters") {
            assert!(operation["summary"].is_string(), "{method} {path}");
            assert!(!operation["responses"].as_object().unwrap().is_empty(), "{method} {path}");
            let is_guarded = path.starts_with("/v2/");
            assert_eq!(operation["x-openstack-policy"].is_array(), is_guarded, "{method} {path}");
        }
    }
    check_references(&document, &document);
}

fn check_references(document: &Value, at: &Value) {
    match at {
        Value::Object(map) => {
            if let Some(Value::String(reference)) = map.get("$ref") {
                let pointer = reference.strip_prefix('#').unwrap();
                assert!(document.pointer(pointer).is_some(), "{reference}");
            }
            map.values().for_each(|value| check_references(document, value));
        }
        Value::Array(items) => items.iter().for_each(|value| check_references(document, value)),
        _ => {}
    }
}

/// What of JSON Schema the document uses for answers.
fn check(document: &Value, schema: &Value, value: &Value, place: &str) {
    if let Some(Value::String(reference)) = schema.get("$ref") {
        return check(document, document.pointer(&reference[1..]).unwrap(), value, place);
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(many) => many.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let found = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_i64() || number.is_u64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    assert!(types.is_empty() || types.contains(&found), "{place}: {value} is not {types:?}");
    if let Some(words) = schema["enum"].as_array() {
        assert!(words.contains(value), "{place}: {value} is not of {words:?}");
    }
    for key in schema["required"].as_array().into_iter().flatten() {
        assert!(value.get(key.as_str().unwrap()).is_some(), "{place}: {key} is missing in {value}");
    }
    for (key, schema) in schema["properties"].as_object().into_iter().flatten() {
        if let Some(value) = value.get(key) {
            check(document, schema, value, &format!("{place}.{key}"));
        }
    }
    for item in value.as_array().into_iter().flatten().filter(|_| schema["items"].is_object()) {
        check(document, &schema["items"], item, &format!("{place}[]"));
    }
}

#[tokio::test]
async fn real_answers_are_what_the_document_says() {
    let api = Api::start().await;
    let document = freezer_api::openapi::document();
    let session = json!({"schedule": {}, "session_tag": 0});
    let backup = json!({"container": "c", "hostname": "h", "backup_name": "b", "status": "creating"});
    let action = json!({"freezer_action": {"action": "backup"}});
    api.db
        .transaction(|tx| {
            tx.runs().insert(&run("going", "p1", "j", RunState::Running, NOW))?;
            tx.runs().insert(&run("ended", "p1", "j", RunState::Partial, NOW))
        })
        .unwrap();
    let announced = api.call(ALICE, "POST", "/backups", backup.clone()).await.expect(201).json();
    let record = format!("/backups/{}", announced["backup_id"].as_str().unwrap());
    let mut calls = vec![
        ("POST", "/clients", "/clients", json!({"client_id": "node1"})),
        ("POST", "/actions", "/actions", action.clone()),
        ("POST", "/actions/{action_id}", "/actions/a", action),
        ("PATCH", "/actions/{action_id}", "/actions/a", json!({})),
        ("POST", "/jobs", "/jobs", job_body()),
        ("POST", "/jobs/{job_id}", "/jobs/j", job_body()),
        ("PATCH", "/jobs/{job_id}", "/jobs/j", json!({"description": "x"})),
        ("POST", "/jobs/{job_id}/event", "/jobs/j/event", json!({"stop": null})),
        ("POST", "/sessions", "/sessions", session.clone()),
        ("POST", "/sessions/{session_id}", "/sessions/s", session),
        ("PATCH", "/sessions/{session_id}", "/sessions/s", json!({"hold_off": 5})),
        ("PUT", "/sessions/{session_id}/jobs/{job_id}", "/sessions/s/jobs/j", Value::Null),
        (
            "POST",
            "/sessions/{session_id}/action",
            "/sessions/s/action",
            json!({"start": {"job_id": "j", "current_tag": 0}}),
        ),
        ("POST", "/backups", "/backups", backup),
        ("GET", "/jobs", "/jobs", Value::Null),
        ("GET", "/jobs/{job_id}", "/jobs/j", Value::Null),
        ("GET", "/jobs/{job_id}/runs", "/jobs/j/runs", Value::Null),
        ("GET", "/runs", "/runs", Value::Null),
        ("GET", "/runs/{run_id}", "/runs/none", Value::Null),
        ("GET", "/runs/{run_id}", "/runs/going", Value::Null),
        ("GET", "/runs/{run_id}", "/runs/ended", Value::Null),
        ("PATCH", "/runs/{run_id}", "/runs/going", json!({"upload_limit": 1000})),
        ("PATCH", "/runs/{run_id}", "/runs/ended", json!({"upload_limit": 1000})),
        ("GET", "/actions", "/actions", Value::Null),
        ("GET", "/actions/{action_id}", "/actions/a", Value::Null),
        ("GET", "/sessions", "/sessions", Value::Null),
        ("GET", "/sessions/{session_id}", "/sessions/s", Value::Null),
        ("GET", "/clients", "/clients", Value::Null),
        ("GET", "/clients/{client_id}", "/clients/node1", Value::Null),
        ("GET", "/backups", "/backups", Value::Null),
        ("GET", "/backups", "/backups?limit=-1", Value::Null),
        ("GET", "/backups/{backup_id}", record.as_str(), Value::Null),
        ("PATCH", "/backups/{backup_id}", record.as_str(), json!({"status": "available", "time_stamp": NOW})),
        ("PATCH", "/backups/{backup_id}", "/backups/none", json!({"status": "error"})),
        ("POST", "/backups/retention-plan", "/backups/retention-plan", json!({"keep_last": 1})),
        ("PUT", "/quotas", "/quotas", json!({"jobs": 5, "weight": 2})),
        ("GET", "/quotas", "/quotas", Value::Null),
        ("GET", "/usage", "/usage", Value::Null),
        ("DELETE", "/quotas", "/quotas", Value::Null),
        ("DELETE", "/backups/{backup_id}", record.as_str(), Value::Null),
        ("POST", "/jobs", "/jobs", json!({"job_actions": 1})),
        ("POST", "/agents/{client_id}/work", "/agents/node1/work", json!({})),
        ("DELETE", "/sessions/{session_id}/jobs/{job_id}", "/sessions/s/jobs/j", Value::Null),
        ("DELETE", "/jobs/{job_id}", "/jobs/j", Value::Null),
    ];
    for (template, path) in [
        ("/sessions/{session_id}", "/sessions/s"),
        ("/actions/{action_id}", "/actions/a"),
        ("/clients/{client_id}", "/clients/node1"),
    ] {
        calls.push(("DELETE", template, path, Value::Null));
    }
    every_operation_of_people_is_in(&calls);
    for (method, template, path, body) in calls {
        // Quotas are an administrator's to set.
        let who = if template == "/quotas" && method != "GET" { ADMIN } else { ALICE };
        let answer = api.call_in(who, "p1", method, path, body).await;
        let operation =
            &document["paths"][format!("/v2/{{project_id}}{template}")][method.to_lowercase().as_str()];
        let mut response = &operation["responses"][answer.status.to_string().as_str()];
        assert!(response.is_object(), "{method} {path}: {} {}", answer.status, answer.text);
        if let Some(Value::String(reference)) = response.get("$ref") {
            response = document.pointer(&reference[1..]).unwrap();
        }
        let of_error = json!({"$ref": "#/components/schemas/Error"});
        // What is not there has a body or none, as the document says in words.
        let schema = match answer.status {
            404 => &of_error,
            _ => &response["content"]["application/json"]["schema"],
        };
        if answer.text.is_empty() {
            assert!(answer.status == 204 || answer.status == 404, "{method} {path}: {}", answer.status);
        } else {
            assert!(schema.is_object(), "{method} {path}: an answer without schema");
            check(&document, schema, &answer.json(), &format!("{method} {path}"));
        }
    }
}

/// A new operation is asked for here, too. The messages of agents need a conductor behind the service: `agents` asks for them.
fn every_operation_of_people_is_in(calls: &[(&str, &str, &str, Value)]) {
    let asked: BTreeSet<String> =
        calls.iter().map(|(method, template, ..)| format!("{method} /v2/{{project_id}}{template}")).collect();
    let left_out: Vec<String> = documented()
        .into_iter()
        .filter(|operation| operation.contains(" /v2/{project_id}/") && !operation.contains("/agents/"))
        .filter(|operation| !asked.contains(operation))
        .collect();
    assert_eq!(left_out, Vec::<String>::new());
}
