//! Actions: what jobs do.

use super::operation::{Operation, delete, get, list, patch, post};
use super::{flag, flag_or_null, id, listed, map, named, object, text, whole, with, word, written};
use crate::validate::action::MODE_ALIAS;
use crate::validate::names::{PATH_MAX, TEXT_MAX};
use freezer_model::client::{KNOWN_ACTIONS, KNOWN_MODES};
use serde_json::{Value, json};

pub fn operations() -> Vec<Operation> {
    vec![
        list("P/actions", "Actions"),
        post("P/actions", "NewAction", 201, "ActionWritten").fails(&[409]),
        get("P/actions/{action_id}", "Action"),
        patch("P/actions/{action_id}", "ActionBody", "ActionWritten").optional_body().fails(&[404]),
        post("P/actions/{action_id}", "NewAction", 201, "ActionWritten").fails(&[409]),
        delete("P/actions/{action_id}"),
    ]
}

pub fn schemas() -> Value {
    json!({
        "Actions": listed("actions", "Action"),
        "Action": object(
            &["project_id", "action_id", "user_id", "max_retries", "max_retries_interval", "mandatory", "freezer_action"],
            json!({ "project_id": text(), "action_id": text(), "user_id": text(), "max_retries": whole(),
                "max_retries_interval": whole(), "mandatory": flag(), "freezer_action": map() }),
        ),
        "ActionBody": body(&[], "FreezerAction"),
        "NewAction": body(&["freezer_action"], "NewFreezerAction"),
        "JobAction": job_action(),
        "ActionWritten": written("action_id"),
        "FreezerAction": freezer_action(),
        "NewFreezerAction": new_freezer_action(),
    })
}

fn body(required: &[&str], options: &str) -> Value {
    let number = || json!({ "type": ["integer", "null"], "minimum": 0, "maximum": i32::MAX });
    object(
        required,
        json!({ "action_id": id(), "freezer_action": named(options), "max_retries": number(),
            "max_retries_interval": number(), "mandatory": flag_or_null() }),
    )
}

/// What the server knows of an agent's options; all others are kept as they come.
fn freezer_action() -> Value {
    let text = |max: usize| json!({ "type": ["string", "null"], "maxLength": max });
    let number = || json!({ "type": ["integer", "null"], "minimum": i32::MIN, "maximum": i32::MAX });
    // Null in a change: what it was.
    let words: Vec<Option<&str>> = KNOWN_ACTIONS.into_iter().map(Some).chain([None]).collect();
    let modes: Vec<Option<&str>> =
        KNOWN_MODES.into_iter().chain([MODE_ALIAS.0]).map(Some).chain([None]).collect();
    object(
        &[],
        json!({ "action": { "enum": words }, "mode": { "enum": modes }, "path_to_backup": text(PATH_MAX),
            "restore_abs_path": text(PATH_MAX), "log_file": text(PATH_MAX), "backup_name": text(TEXT_MAX),
            "container": text(TEXT_MAX), "storage": text(TEXT_MAX), "engine_name": text(TEXT_MAX), "engine": text(TEXT_MAX),
            "timeout": number(), "priority": number(), "cindernative_freezer_only": { "type": ["boolean", "null"] } }),
    )
}

/// Options that say what is to be done.
fn new_freezer_action() -> Value {
    let mut schema = with(freezer_action(), json!({ "required": ["action"] }));
    if let Some(Value::Object(fields)) = schema.get_mut("properties") {
        fields.insert("action".to_owned(), word(&KNOWN_ACTIONS));
    }
    schema
}

/// An entry of a job: a whole action, or the id of a saved one.
fn job_action() -> Value {
    let whole = json!({ "properties": { "freezer_action": named("NewFreezerAction") }, "required": ["freezer_action"] });
    let saved = json!({ "properties": { "action_id": { "type": "string", "minLength": 1 }, "freezer_action": false },
        "required": ["action_id"] });
    let text = "With action_defaults in the job an entry need not name what those do";
    with(body(&[], "FreezerAction"), json!({ "anyOf": [whole, saved], "description": text }))
}
