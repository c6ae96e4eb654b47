//! The fields of bodies, read from the OpenAPI document: for attacks on every one of them. Shared by both sets of tests.
#![allow(dead_code, reason = "each of the two uses its part")]

use serde_json::{Value, json};

/// A step on the way to a field.
#[derive(Clone, Debug)]
pub enum Part {
    Key(String),
    First,
}

pub struct Field {
    pub path: Vec<Part>,
    /// What may not stand here.
    pub wrong: Vec<Value>,
    /// Whether it may be a text.
    pub is_text: bool,
}

impl Field {
    /// The innermost name on the way.
    pub fn name(&self) -> &str {
        let keys = self.path.iter().rev().filter_map(|part| match part {
            Part::Key(key) => Some(key.as_str()),
            Part::First => None,
        });
        keys.into_iter().next().unwrap()
    }

    pub fn put(&self, body: &mut Value, value: Value) {
        let mut at = body;
        for part in &self.path {
            at = match part {
                Part::Key(key) => {
                    if !at.is_object() {
                        *at = json!({});
                    }
                    at.as_object_mut().unwrap().entry(key.clone()).or_insert(Value::Null)
                }
                Part::First => {
                    if at.as_array().is_none_or(Vec::is_empty) {
                        *at = json!([null]);
                    }
                    &mut at[0]
                }
            };
        }
        *at = value;
    }
}

fn words(types: &Value) -> Vec<&str> {
    match types {
        Value::String(one) => vec![one],
        Value::Array(many) => many.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// One value of each type that the schema does not admit.
fn wrong(schema: &Value) -> Vec<Value> {
    let mut good = words(&schema["type"]);
    if good.is_empty() {
        good = schema["enum"].as_array().into_iter().flatten().map(kind).collect();
    }
    if good.contains(&"number") {
        good.push("integer");
    }
    if good.is_empty() {
        return Vec::new();
    }
    let samples = json!([null, true, 7, 1.5, "\u{1F4BE}\u{0}", [], {}]);
    let samples = samples.as_array().unwrap();
    samples.iter().filter(|value| !good.contains(&kind(value))).cloned().collect()
}

fn collect(document: &Value, schema: &Value, path: &[Part], found: &mut Vec<Field>) {
    if let Some(Value::String(reference)) = schema.get("$ref") {
        return collect(document, document.pointer(&reference[1..]).unwrap(), path, found);
    }
    if !path.is_empty() {
        let is_text = schema.get("enum").is_none() && words(&schema["type"]).contains(&"string");
        found.push(Field { path: path.to_vec(), wrong: wrong(schema), is_text });
    }
    for (key, inner) in schema["properties"].as_object().into_iter().flatten() {
        let path: Vec<Part> = path.iter().cloned().chain([Part::Key(key.clone())]).collect();
        collect(document, inner, &path, found);
    }
    if schema["items"].is_object() {
        let path: Vec<Part> = path.iter().cloned().chain([Part::First]).collect();
        collect(document, &schema["items"], &path, found);
    }
}

/// Method, path and the schema of the body, of every operation that takes one.
pub fn operations(document: &Value) -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let reference = operation.pointer("/requestBody/content/application~1json/schema/$ref");
            let Some(reference) = reference.and_then(Value::as_str) else { continue };
            let schema = reference.rsplit('/').next().unwrap();
            found.push((method.to_uppercase(), path.clone(), schema.to_owned()));
        }
    }
    found
}

pub fn of(document: &Value, schema: &str) -> Vec<Field> {
    let mut fields = Vec::new();
    collect(document, &document["components"]["schemas"][schema], &[], &mut fields);
    fields
}

fn held() -> Value {
    json!([{"run_id": "r", "epoch": 1}])
}

/// Good bodies, by the name of their schema.
pub fn good(schema: &str) -> Vec<Value> {
    let progress = json!({"phase": "read"});
    let words = json!(["backup"]);
    let one = match schema {
        "Search" => json!({}),
        "NewJob" => json!({"client_id": "node1", "job_actions": [{"freezer_action": {"action": "backup"}}]}),
        "JobPatch" | "JobEvent" | "SessionBody" | "BackupPatch" | "QuotaSet" | "ActionBody" => json!({}),
        "NewAction" => json!({"freezer_action": {"action": "backup"}}),
        "NewSession" | "WholeSession" => json!({"schedule": {}, "session_tag": 0}),
        "SessionAction" => {
            let start = json!({"start": {"job_id": "j", "current_tag": 0}});
            return vec![start, json!({"end": {"job_id": "j", "result": "success"}})];
        }
        "NewClient" => json!({"client_id": "other"}),
        "NewBackup" => json!({"container": "c", "hostname": "h", "backup_name": "b"}),
        "RunLimits" => json!({"upload_limit": 1}),
        "RetentionRules" => json!({"keep_last": 1}),
        "AgentHello" => {
            json!({"project_id": "p1", "client_id": "node1", "hostname": "h", "agent_version": "1",
            "capabilities": {"actions": words, "modes": ["fs"], "storages": ["local"], "engines": ["tar"]},
            "is_central": false, "held": held()})
        }
        "WorkRequest" => json!({"held": held(), "ending": held()}),
        "StepStarted" => json!({"run_id": "r", "epoch": 1, "pid": 1}),
        "StepProgress" => json!({"run_id": "r", "epoch": 1, "progress": progress}),
        "StepFinished" => {
            json!({"run_id": "r", "epoch": 1, "progress": progress, "outcome": "success", "result": {}})
        }
        other => panic!("no good body is known for the schema {other}: add one here"),
    };
    vec![one]
}
