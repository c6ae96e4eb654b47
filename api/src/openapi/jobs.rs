//! Jobs and what is wanted of them.

use super::operation::{Operation, delete, get, list, patch, post};
use super::{
    client_id, closed, id, int64, int64_or_null, list_of, listed, map, named, object, text, text_or_null,
    text_up_to, text_up_to_or_null, whole, with, word, written,
};
use crate::validate::job::MAX_ACTIONS;
use crate::validate::names::TEXT_MAX;
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
                "description": text_or_null(), "session_id": text_or_null(), "session_tag": whole(), "job_schedule": map(),
                "job_actions": list_of(named("Action")), "next_run_at": whole(), "user_credentials": map() }),
        ),
        "JobSchedule": schedule(),
        "NewJob": body(&["client_id", "job_actions"]),
        "JobPatch": body(&[]),
        "JobWritten": written("job_id"),
        "JobEvent": closed(with(object(&[], json!({ "start": {}, "stop": {}, "abort": {} })), json!({ "minProperties": 1 }))),
        "EventNoted": object(&["result"], json!({ "result": text() })),
    })
}

fn body(required: &[&str]) -> Value {
    let schema = object(
        required,
        json!({
            "job_id": id(), "client_id": client_id(), "description": text_up_to_or_null(TEXT_MAX),
            "job_actions": with(list_of(named("JobAction")), json!({ "maxItems": MAX_ACTIONS })),
            "job_schedule": named("JobSchedule"), "session_id": id(), "session_tag": int64_or_null(),
            "session_name": text_or_null(), "action_defaults": named("FreezerAction"), "_version": int64_or_null(),
            "user_id": {}, "project_id": {}, "user_credentials": {}, "next_run_at": {},
        }),
    );
    closed(with(schema, json!({ "dependentRequired": { "action_defaults": ["job_actions"] } })))
}

const DATE: &str = "^-?([0-9]{4}|[1-9][0-9]{4,9})-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])\
                    T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])?$";

fn schedule() -> Value {
    let date = || {
        json!({ "type": "string", "maxLength": TEXT_MAX, "pattern": DATE,
            "description": "YYYY-MM-DDThh:mm:ss, UTC unless a zone is given; kept as UTC in whole seconds" })
    };
    let part = || text_up_to(TEXT_MAX);
    let interval = json!({ "type": "string", "maxLength": TEXT_MAX,
        "pattern": "^(continuous|[0-9]+ +(weeks|days|hours|minutes|seconds))$",
        "description": "'continuous', or a number and a unit in the plural" });
    let schema = object(
        &[],
        json!({
            "schedule_date": date(), "schedule_start_date": date(), "schedule_end_date": date(),
            "schedule_interval": interval, "schedule_year": { "type": "string", "pattern": "^[0-9]{4}$" },
            "schedule_month": part(), "schedule_day": part(), "schedule_week": part(), "schedule_day_of_week": part(),
            "schedule_hour": part(), "schedule_minute": part(), "schedule_second": part(), "time_created": int64(),
            "time_started": int64(), "time_ended": int64(), "current_pid": int64(),
            "event": word(&["", "stop", "start", "abort", "remove"]),
            "status": word(&["", "completed", "stop", "scheduled", "running", "aborting", "removed"]),
            "result": word(&["", "success", "fail", "aborted"]),
        }),
    );
    closed(schema)
}
