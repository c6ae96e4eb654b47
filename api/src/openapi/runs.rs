//! Runs: the firings of jobs.

use super::operation::{Operation, get, list, patch};
use super::{closed, flag, list_of, listed, map, named, object, text, text_or_null, whole, with, word};
use crate::runs::RATE_MAX;
use freezer_model::RunState;
use serde_json::{Value, json};

pub fn operations() -> Vec<Operation> {
    vec![
        list("P/runs", "Runs"),
        list("P/jobs/{job_id}/runs", "Runs").summary("List the runs of a job").fails(&[400, 404]),
        get("P/runs/{run_id}", "Run"),
        patch("P/runs/{run_id}", "RunLimits", "Run").fails(&[404, 409]),
    ]
}

pub fn schemas() -> Value {
    let limit =
        || json!({ "type": ["integer", "null"], "format": "int64", "minimum": 1, "maximum": RATE_MAX });
    json!({
        "RunLimits": closed(with(
            object(&[], json!({ "upload_limit": limit(), "download_limit": limit() })),
            json!({ "minProperties": 1 }),
        )),
        "Runs": listed("runs", "Run"),
        "Run": object(
            &["run_id", "project_id", "job_id", "client_id", "state", "progress"],
            json!({ "run_id": text(), "project_id": text(), "job_id": text(), "client_id": text(),
                "state": word(&RunState::ALL.map(RunState::as_str)), "cause": text(), "error": text_or_null(),
                "waiting_for": text_or_null(),
                "abort_requested": flag(), "action_index": whole(), "actions_total": whole(), "attempt": whole(),
                "losses": whole(), "progress": map(), "due_at": whole(), "created_at": whole(), "started_at": whole(),
                "finished_at": whole(), "request_id": text_or_null(), "job_actions": list_of(named("Action")),
                "steps": list_of(map()), "log": list_of(text()) }),
        ),
    })
}
