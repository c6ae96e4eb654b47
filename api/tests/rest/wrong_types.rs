//! Every field of every body in the OpenAPI document with every JSON type it may not have: refused with a text that names
//! the field, and nothing is stored. A new operation or field is tried without being listed here.

use crate::fields::{self, Part};
use crate::harness::*;
use crate::runs::run;
use freezer_model::RunState;
use serde_json::{Map, Value, json};

async fn everything(api: &Api) -> Value {
    let mut all = Map::new();
    for list in ["jobs", "actions", "sessions", "clients", "backups", "runs"] {
        all.insert(list.to_owned(), api.get(ALICE, &format!("/{list}?limit=1000")).await.expect(200).json());
    }
    all.insert("quotas".to_owned(), api.get(ALICE, "/quotas").await.expect(200).json());
    Value::Object(all)
}

/// A row of each noun, and the path of the operation that reaches it.
async fn rows(api: &Api) -> impl Fn(&str) -> String + use<> {
    api.client(ALICE, "node1").await;
    api.call(ALICE, "POST", "/actions/a", json!({"freezer_action": {"action": "backup"}})).await.expect(201);
    api.job(ALICE, json!({"job_id": "j", "job_actions": [{"action_id": "a"}]})).await;
    api.call(ALICE, "POST", "/sessions/s", json!({"schedule": {}, "session_tag": 0})).await.expect(201);
    api.call(ALICE, "PUT", "/sessions/s/jobs/j", Value::Null).await.expect(204);
    let record = json!({"container": "c", "hostname": "h", "backup_name": "b"});
    let backup = api.call(ALICE, "POST", "/backups", record).await.expect(201).json();
    let going = run("r", "p1", "j", RunState::Running, NOW);
    api.db.transaction(|tx| tx.runs().insert(&going)).unwrap();
    let backup = backup["backup_id"].as_str().unwrap().to_owned();
    move |path| {
        path.replace("/v2/{project_id}", "")
            .replace("{job_id}", "j")
            .replace("{action_id}", "a")
            .replace("{session_id}", "s")
            .replace("{run_id}", "r")
            .replace("{client_id}", "node1")
            .replace("{backup_id}", &backup)
    }
}

/// Says what is wrong with the answers for one operation.
async fn attack(api: &Api, method: &str, path: &str, schema: &str, complaints: &mut Vec<String>) -> usize {
    let document = freezer_api::openapi::document();
    let fields = fields::of(&document, schema);
    let who = if path == "/quotas" { ADMIN } else { ALICE };
    let mut tried = 0;
    for body in fields::good(schema) {
        for field in &fields {
            let Part::Key(root) = &field.path[0] else { unreachable!() };
            // Of these there is one at a time.
            if schema == "SessionAction" && body.get(root).is_none() {
                continue;
            }
            for value in &field.wrong {
                let mut body = body.clone();
                field.put(&mut body, value.clone());
                let answer = api.call_in(who, "p1", method, path, body.clone()).await;
                tried += 1;
                let is_named = answer.text.contains(field.name());
                if !(400..500).contains(&answer.status) || !is_named {
                    complaints.push(format!(
                        "{method} {path} {body} [{schema}]: {} {}",
                        answer.status, answer.text
                    ));
                }
            }
        }
    }
    tried
}

#[tokio::test]
async fn every_wrong_type_in_every_field_is_refused_by_name_and_stores_nothing() {
    let api = Api::start().await;
    let reach = rows(&api).await;
    let before = everything(&api).await;
    let document = freezer_api::openapi::document();
    let (mut complaints, mut tried) = (Vec::new(), 0);
    for (method, path, schema) in fields::operations(&document) {
        tried += attack(&api, &method, &reach(&path), &schema, &mut complaints).await;
    }
    assert!(complaints.is_empty(), "{} of {tried}:\n{}", complaints.len(), complaints.join("\n"));
    assert!(tried > 1000, "{tried}");
    assert_eq!(everything(&api).await, before);
}
