//! Sessions: jobs that start together.

use super::operation::{Operation, delete, get, list, patch, post, put};
use super::{
    closed, int64, int64_or_null, listed, map, named, object, text, text_or_null, text_up_to,
    text_up_to_or_null, whole, with, written,
};
use crate::validate::names::{CLIENT_ID_MAX, ID_MAX, MEMBERS_MAX, TEXT_MAX};
use serde_json::{Value, json};

pub fn operations() -> Vec<Operation> {
    vec![
        list("P/sessions", "Sessions"),
        post("P/sessions", "NewSession", 201, "SessionWritten").fails(&[409]),
        get("P/sessions/{session_id}", "Session"),
        patch("P/sessions/{session_id}", "SessionBody", "SessionWritten").fails(&[404, 422]),
        post("P/sessions/{session_id}", "WholeSession", 201, "SessionWritten").fails(&[409, 422]),
        delete("P/sessions/{session_id}"),
        post("P/sessions/{session_id}/action", "SessionAction", 202, "ActionAnswer").fails(&[404]),
        put("P/sessions/{session_id}/jobs/{job_id}").fails(&[400, 404]),
        delete("P/sessions/{session_id}/jobs/{job_id}"),
    ]
}

pub fn schemas() -> Value {
    json!({
        "Sessions": listed("sessions", "Session"),
        "Session": object(
            &["project_id", "session_id", "user_id", "session_tag", "status", "schedule", "jobs"],
            json!({ "project_id": text(), "session_id": text(), "user_id": text(), "description": text_or_null(),
                "session_tag": whole(), "result": text_or_null(), "hold_off": whole(), "status": text(),
                "time_start": whole(), "time_end": whole(), "time_started": whole(), "time_ended": whole(),
                "last_start": { "type": ["integer", "string"] }, "schedule": map(), "jobs": with(map(), json!({ "additionalProperties": named("SessionMember") })) }),
        ),
        "SessionBody": body(&[]),
        "NewSession": new(),
        "WholeSession": whole_session(),
        "SessionMember": member(),
        "SessionWritten": written("session_id"),
        "SessionAction": action(),
        "ActionAnswer": object(&["result", "session_tag"], json!({ "result": text(), "session_tag": whole() })),
    })
}

/// The service gives a new session its status, and jobs join it themselves: what is sent of either is not looked at.
fn new() -> Value {
    let mut schema = body(&["schedule"]);
    if let Some(Value::Object(fields)) = schema.get_mut("properties") {
        fields.insert("status".to_owned(), json!({}));
        fields.insert("jobs".to_owned(), json!({}));
    }
    schema
}

fn whole_session() -> Value {
    let mut schema = body(&["schedule", "session_tag"]);
    if let Some(Value::Object(fields)) = schema.get_mut("properties") {
        fields.insert("session_tag".to_owned(), int64());
    }
    schema
}

fn body(required: &[&str]) -> Value {
    let text = || text_up_to_or_null(TEXT_MAX);
    let hold_off =
        json!({ "type": ["integer", "null"], "format": "int64", "minimum": 0, "maximum": i64::MAX });
    let jobs = json!({ "type": ["object", "array", "null"], "maxProperties": MEMBERS_MAX,
        "propertyNames": { "pattern": r"^[\w-]+$", "minLength": 1, "maxLength": ID_MAX },
        "additionalProperties": named("SessionMember") });
    object(
        required,
        json!({ "description": text(), "hold_off": hold_off, "session_tag": int64_or_null(), "status": text(),
            "result": text(), "time_start": int64_or_null(), "time_end": int64_or_null(), "time_started": int64(),
            "time_ended": int64(), "schedule": named("JobSchedule"), "jobs": jobs }),
    )
}

/// A job as its session knows it.
fn member() -> Value {
    let text = |max| text_up_to_or_null(max);
    object(
        &[],
        json!({ "client_id": text(CLIENT_ID_MAX), "status": text(TEXT_MAX), "result": text(TEXT_MAX),
            "time_started": int64_or_null(), "time_ended": int64_or_null() }),
    )
}

/// One of the two, which its key names.
fn action() -> Value {
    let job = || json!({ "type": "string", "minLength": 1, "maxLength": ID_MAX });
    let tag = json!({ "type": ["integer", "string"], "format": "int64", "minimum": i64::MIN, "maximum": i64::MAX,
        "pattern": "^ *-?[0-9]{1,18} *$" });
    let schema = object(
        &[],
        json!({
            "start": object(&["job_id", "current_tag"], json!({ "job_id": job(), "current_tag": tag })),
            "end": object(&["job_id", "result"], json!({ "job_id": job(), "result": text_up_to(TEXT_MAX) })),
        }),
    );
    closed(with(schema, json!({ "minProperties": 1, "maxProperties": 1 })))
}
