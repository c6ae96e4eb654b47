//! Jobs and what is wanted of them.

use super::operation::{Operation, delete, get, list, patch, post};
use super::{id, list_of, listed, map, named, object, text, text_up_to, whole, whole_or_null, word, written};
use crate::validate::names::{CLIENT_ID_MAX, TEXT_MAX};
use serde_json::{Value, json};

pub fn operations() -> Vec<Operation> {
    vec![
        list("P/jobs", "Jobs").query(&["limit", "offset", "all_projects"]),
        post("P/jobs", "NewJob", 201, "JobWritten").fails(&[409, 422]),
        get("P/jobs/{job_id}", "Job"),
        patch("P/jobs/{job_id}", "JobPatch", "JobWritten").fails(&[404, 422]),
        post("P/jobs/{job_id}", "NewJob", 201, "JobWritten").fails(&[409, 422]),
        delete("P/jobs/{job_id}"),
        post("P/jobs/{job_id}/event", "JobEvent", 202, "EventNoted").fails(&[404, 422]),
    ]
}

pub fn schemas() -> Value {
    json!({
        "Jobs": listed("jobs", "Job"),
        "Job": object(
            &["project_id", "user_id", "job_id", "client_id", "job_actions", "job_schedule"],
            json!({ "project_id": text(), "user_id": text(), "job_id": text(), "client_id": text(),
                "description": { "type": ["string", "null"] }, "session_id": { "type": ["string", "null"] },
                "session_tag": whole(), "job_schedule": map(), "job_actions": list_of(named("Action")),
                "next_run_at": whole() }),
        ),
        "JobSchedule": schedule(),
        "NewJob": body(&["client_id", "job_actions"]),
        "JobPatch": body(&[]),
        "JobWritten": written("job_id"),
        "JobEvent": object(&[], json!({ "start": {}, "stop": {}, "abort": {} })),
        "EventNoted": object(&["result"], json!({ "result": text() })),
    })
}

fn body(required: &[&str]) -> Value {
    let mut schema = object(
        required,
        json!({
            "job_id": id(), "client_id": text_up_to(CLIENT_ID_MAX),
            "description": { "type": ["string", "null"], "maxLength": TEXT_MAX },
            "job_actions": list_of(named("ActionBody")), "job_schedule": named("JobSchedule"),
            "session_id": { "type": ["string", "null"] }, "session_tag": whole_or_null(), "session_name": { "type": ["string", "null"] },
            "action_defaults": map(), "_version": whole_or_null(), "user_id": {}, "project_id": {}, "user_credentials": {},
            "next_run_at": {},
        }),
    );
    if let Value::Object(map) = &mut schema {
        map.insert("additionalProperties".to_owned(), json!(false));
    }
    schema
}

fn schedule() -> Value {
    let date =
        || json!({ "type": "string", "description": "YYYY-MM-DDThh:mm:ss, UTC unless a zone is given" });
    let mut schema = object(
        &[],
        json!({
            "schedule_date": date(), "schedule_start_date": date(), "schedule_end_date": date(),
            "schedule_interval": { "type": "string", "description": "'continuous', or a number and a unit in the plural" },
            "schedule_year": text(), "schedule_month": text(), "schedule_day": text(), "schedule_week": text(),
            "schedule_day_of_week": text(), "schedule_hour": text(), "schedule_minute": text(), "schedule_second": text(),
            "time_created": whole(), "time_started": whole(), "time_ended": whole(), "current_pid": whole(),
            "event": word(&["", "stop", "start", "abort", "remove"]),
            "status": word(&["", "completed", "stop", "scheduled", "running", "aborting", "removed"]),
            "result": word(&["", "success", "fail", "aborted"]),
        }),
    );
    if let Value::Object(map) = &mut schema {
        map.insert("additionalProperties".to_owned(), json!(false));
    }
    schema
}
