//! The HTTPS link of agents: the messages that otherwise travel over AMQP.

use super::operation::{Operation, post};
use super::{client_id, flag, int64, list_of, map, named, object, text, text_or_null, whole, with, word};
use crate::agents::{TEXT_MAX, WORDS_MAX};
use freezer_model::rpc::HELD_MAX;
use serde_json::{Value, json};

pub fn operations() -> Vec<Operation> {
    vec![
        post("P/agents/{client_id}/hello", "AgentHello", 200, "HelloReply")
            .summary("Say that the agent is there"),
        post("P/agents/{client_id}/heartbeat", "AgentHello", 200, "HelloReply")
            .summary("Say that the agent is still there, and what it holds"),
        post("P/agents/{client_id}/started", "StepStarted", 200, "ReportReply")
            .summary("Report that a step runs"),
        post("P/agents/{client_id}/progress", "StepProgress", 200, "ReportReply")
            .summary("Report where a step stands"),
        post("P/agents/{client_id}/finished", "StepFinished", 200, "ReportReply")
            .summary("Report how a step ended"),
        post("P/agents/{client_id}/work", "WorkRequest", 200, "WorkReply")
            .optional_body()
            .query(&["wait"])
            .fails(&[404, 409])
            .summary("Wait for orders"),
    ]
}

pub fn schemas() -> Value {
    let steps_of = || list_of(named("HeldStep"));
    let held = || with(steps_of(), json!({ "maxItems": HELD_MAX }));
    let word_of_theirs =
        json!({ "type": "string", "pattern": r"^[\w-]+$", "minLength": 1, "maxLength": TEXT_MAX / 4 });
    let words = || with(list_of(word_of_theirs.clone()), json!({ "maxItems": WORDS_MAX }));
    let about = || json!({ "type": "string", "pattern": r"^[^\x00-\x1f\x7f-\x9f]+$", "minLength": 1, "maxLength": TEXT_MAX });
    let steps = json!({ "type": ["integer", "null"], "minimum": 0, "maximum": u32::MAX });
    let exit_code = json!({ "type": ["integer", "null"], "minimum": i32::MIN, "maximum": i32::MAX });
    let capabilities =
        json!({ "actions": words(), "modes": words(), "storages": words(), "engines": words() });
    json!({
        "HeldStep": object(&["run_id", "epoch"], json!({ "run_id": text(), "epoch": int64() })),
        "AgentHello": object(
            &["project_id", "client_id", "hostname", "agent_version", "capabilities", "is_central", "held"],
            json!({ "project_id": text(), "client_id": client_id(), "hostname": about(), "agent_version": about(),
                "capabilities": object(&["actions", "modes", "storages", "engines"], capabilities),
                "is_central": flag(), "held": held(), "concurrent_jobs": steps,
                "link": word(&["amqp", "http", "poll"]) }),
        ),
        "HelloReply": object(
            &["heartbeat_secs", "drop", "abort"],
            json!({ "heartbeat_secs": whole(), "drop": steps_of(), "abort": steps_of() }),
        ),
        "WorkRequest": object(&[], json!({ "held": held(), "ending": held() })),
        "WorkReply": object(&["run_action", "abort_run"], json!({ "run_action": list_of(map()), "abort_run": steps_of() })),
        "StepStarted": object(
            &["run_id", "epoch", "pid"],
            json!({ "run_id": text(), "epoch": int64(), "pid": int64() }),
        ),
        "StepProgress": object(
            &["run_id", "epoch", "progress"],
            json!({ "run_id": text(), "epoch": int64(), "progress": named("Progress") }),
        ),
        "Progress": progress(),
        "StepFinished": object(
            &["run_id", "epoch", "outcome", "progress", "result"],
            json!({ "run_id": text(), "epoch": int64(), "progress": named("Progress"), "result": map(), "error": text_or_null(),
                "exit_code": exit_code,
                "outcome": word(&["success", "partial", "fail", "aborted", "lost", "skipped"]) }),
        ),
        "ReportReply": object(
            &["verdict"],
            json!({ "verdict": text(), "limits": object(&[], json!({ "upload_limit": int64(), "download_limit": int64() })) }),
        ),
    })
}

fn progress() -> Value {
    let count = || super::between(0, i64::MAX);
    let count_or_null =
        || json!({ "type": ["integer", "null"], "format": "int64", "minimum": 0, "maximum": i64::MAX });
    object(
        &[],
        json!({ "phase": text(), "bytes_done": count(), "bytes_total": count_or_null(), "bytes_stored": count(),
            "files_done": count(), "files_total": count_or_null(), "errors": count(), "rate": count(),
            "current_path": text_or_null() }),
    )
}
