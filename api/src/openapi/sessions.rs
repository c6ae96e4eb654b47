//! Sessions: jobs that start together.

use super::operation::{Operation, delete, get, list, patch, post, put};
use super::{listed, map, named, object, text, text_or_null, whole, whole_or_null, written};
use serde_json::{Value, json};

pub fn operations() -> Vec<Operation> {
    vec![
        list("P/sessions", "Sessions"),
        post("P/sessions", "NewSession", 201, "SessionWritten").fails(&[409]),
        get("P/sessions/{session_id}", "Session"),
        patch("P/sessions/{session_id}", "SessionBody", "SessionWritten").fails(&[404]),
        post("P/sessions/{session_id}", "WholeSession", 201, "SessionWritten").fails(&[409]),
        delete("P/sessions/{session_id}"),
        post("P/sessions/{session_id}/action", "SessionAction", 202, "ActionAnswer").fails(&[404]),
        put("P/sessions/{session_id}/jobs/{job_id}").fails(&[404]),
        delete("P/sessions/{session_id}/jobs/{job_id}").fails(&[404]),
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
                "last_start": { "type": ["integer", "string"] }, "schedule": map(), "jobs": map() }),
        ),
        "SessionBody": body(&[]),
        "NewSession": new(),
        "WholeSession": body(&["schedule", "session_tag"]),
        "SessionWritten": written("session_id"),
        "SessionAction": object(
            &[],
            json!({
                "start": object(&["job_id", "current_tag"],
                    json!({ "job_id": text(), "current_tag": { "type": ["integer", "string"] } })),
                "end": object(&["job_id", "result"], json!({ "job_id": text(), "result": text() })),
            }),
        ),
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

fn body(required: &[&str]) -> Value {
    object(
        required,
        json!({ "description": text_or_null(), "hold_off": { "type": ["integer", "null"], "minimum": 0 },
            "session_tag": whole_or_null(), "status": text_or_null(), "result": text_or_null(), "time_start": whole_or_null(),
            "time_end": whole_or_null(), "time_started": whole(), "time_ended": whole(), "schedule": named("JobSchedule"),
            "jobs": { "type": ["object", "array", "null"] } }),
    )
}
