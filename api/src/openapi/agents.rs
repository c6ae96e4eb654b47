//! The HTTPS link of agents: the messages that otherwise travel over AMQP.

use super::operation::{Operation, post};
use super::{flag, list_of, map, named, object, text, text_or_null, whole, whole_or_null, word};
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
    let held = || list_of(named("HeldStep"));
    let words = || list_of(text());
    let capabilities =
        json!({ "actions": words(), "modes": words(), "storages": words(), "engines": words() });
    json!({
        "HeldStep": object(&["run_id", "epoch"], json!({ "run_id": text(), "epoch": whole() })),
        "AgentHello": object(
            &["project_id", "client_id", "hostname", "agent_version", "capabilities", "is_central", "held"],
            json!({ "project_id": text(), "client_id": text(), "hostname": text(), "agent_version": text(),
                "capabilities": object(&["actions", "modes", "storages", "engines"], capabilities),
                "is_central": flag(), "held": held(), "concurrent_jobs": whole_or_null(),
                "link": word(&["amqp", "http", "poll"]) }),
        ),
        "HelloReply": object(
            &["heartbeat_secs", "drop", "abort"],
            json!({ "heartbeat_secs": whole(), "drop": held(), "abort": held() }),
        ),
        "WorkRequest": object(&[], json!({ "held": held(), "ending": held() })),
        "WorkReply": object(&["run_action", "abort_run"], json!({ "run_action": list_of(map()), "abort_run": held() })),
        "StepStarted": object(
            &["run_id", "epoch", "pid"],
            json!({ "run_id": text(), "epoch": whole(), "pid": whole() }),
        ),
        "StepProgress": object(
            &["run_id", "epoch", "progress"],
            json!({ "run_id": text(), "epoch": whole(), "progress": named("Progress") }),
        ),
        "Progress": progress(),
        "StepFinished": object(
            &["run_id", "epoch", "outcome", "progress", "result"],
            json!({ "run_id": text(), "epoch": whole(), "progress": named("Progress"), "result": map(), "error": text_or_null(),
                "exit_code": whole_or_null(),
                "outcome": word(&["success", "partial", "fail", "aborted", "lost", "skipped"]) }),
        ),
        "ReportReply": object(&["verdict"], json!({ "verdict": text() })),
    })
}

fn progress() -> Value {
    let count = || json!({ "type": "integer", "minimum": 0 });
    let count_or_null = || json!({ "type": ["integer", "null"], "minimum": 0 });
    object(
        &[],
        json!({ "phase": text(), "bytes_done": count(), "bytes_total": count_or_null(), "bytes_stored": count(),
            "files_done": count(), "files_total": count_or_null(), "errors": count(), "rate": count(),
            "current_path": text_or_null() }),
    )
}
