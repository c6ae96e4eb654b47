//! What the conductor tells the world: oslo notifications, CADF audit events, and webhooks of runs that failed or did not run.
//!
//! Each is a letter in the outbox, written in the transaction of what it tells of; the courier sends it. Whatever is
//! switched off is not written. Options of actions may hold secrets: only names are told.

use crate::desk::Desk;
use freezer_database::{DbError, Tx};
use freezer_model::outcome::job_result;
use freezer_model::planning::Missed;
use freezer_model::{Action, Job, JobResult, Run, RunState, StepOutcome, Timestamp, Unheard};
use serde_json::{Map, Value, json};

/// Kinds of letters.
pub(crate) const NOTICE: &str = "notice";
pub(crate) const WEBHOOK: &str = "webhook";

/// What may be told of an action's options.
const TELLING: [&str; 7] =
    ["action", "backup_name", "container", "storage", "mode", "engine_name", "path_to_backup"];

/// Name of the events about an action; none for those that touch no backup.
fn subject(action: &Action) -> Option<&'static str> {
    match action.freezer_action.get("action").and_then(Value::as_str).unwrap_or("backup") {
        "backup" => Some("backup.create"),
        "restore" => Some("backup.restore"),
        "verify" => Some("backup.verify"),
        "info" => Some("backup.info"),
        "hold" => Some("backup.hold"),
        "release" => Some("backup.release"),
        // It removes old backups.
        "admin" => Some("backup.delete"),
        _ => None,
    }
}

/// What an audit says was done, in CADF's words.
fn audited(subject: &str) -> &'static str {
    match subject {
        "backup.restore" => "restore",
        "backup.delete" => "delete",
        "backup.hold" | "backup.release" => "update",
        _ => "read",
    }
}

/// A step was begun by its agent.
pub(crate) fn step_began(desk: &Desk, tx: &mut Tx, run: &Run, now: Timestamp) -> Result<(), DbError> {
    if !desk.options.announces() {
        return Ok(());
    }
    let Some(action) = run.actions.get(run.action_index) else { return Ok(()) };
    let Some(subject) = subject(action) else { return Ok(()) };
    notice(tx, &format!("{subject}.start"), "INFO", run, payload(run, action, None), now)
}

/// A step has ended; called before the run moves on.
pub(crate) fn step_ended(
    desk: &Desk,
    tx: &mut Tx,
    run: &Run,
    outcome: StepOutcome,
    error: Option<&str>,
    now: Timestamp,
) -> Result<(), DbError> {
    if !desk.options.announces() {
        return Ok(());
    }
    let Some(action) = run.actions.get(run.action_index) else { return Ok(()) };
    let Some(subject) = subject(action) else { return Ok(()) };
    let is_well = matches!(outcome, StepOutcome::Success | StepOutcome::Partial);
    let (word, priority) = if is_well { ("end", "INFO") } else { ("error", "ERROR") };
    let mut told = payload(run, action, error);
    told.insert("outcome".into(), json!(outcome));
    notice(tx, &format!("{subject}.{word}"), priority, run, told, now)?;
    if desk.options.audit && subject != "backup.create" {
        let event = audit(run, action, subject, is_well, now);
        notice(tx, &format!("audit.{subject}"), "INFO", run, event, now)?;
    }
    Ok(())
}

/// A run has ended.
pub(crate) fn run_ended(desk: &Desk, tx: &mut Tx, run: &Run, now: Timestamp) -> Result<(), DbError> {
    let has_begun = run.steps.iter().any(|step| step.started_at.is_some());
    let is_missed = run.state == RunState::Fail && !has_begun && !run.actions.is_empty();
    if is_missed && desk.options.announces() {
        let action = run.actions.get(run.action_index).or(run.actions.first());
        if let Some((action, subject)) = action.and_then(|action| Some((action, subject(action)?))) {
            let told = payload(run, action, run.error.as_deref());
            notice(tx, &format!("{subject}.error"), "ERROR", run, told, now)?;
        }
    }
    if job_result(run.state, desk.options.partial_result) != JobResult::Fail {
        return Ok(());
    }
    let event = json!({
        "event": if is_missed { "run.missed" } else { "run.failed" },
        "occurred_at": now.secs(),
        "project_id": run.project_id,
        "job_id": run.job_id,
        "client_id": run.client_id,
        "run_id": run.run_id,
        "state": run.state,
        "error": run.error,
        "due_at": run.due_at.secs(),
        "request_id": run.request_id,
    });
    webhook(desk, tx, &event, now)
}

/// A job did not run, and there is no run that says so.
pub(crate) fn missed(
    desk: &Desk,
    tx: &mut Tx,
    job: &Job,
    missed: &Missed,
    now: Timestamp,
) -> Result<(), DbError> {
    webhook(desk, tx, &without_run(job, &format!("not run: {}", missed.why), missed.due_at, now), now)
}

/// Nothing was heard of a job whose scheduler polls, though it was to run. The letters count as its project's.
pub(crate) fn unheard(
    desk: &Desk,
    tx: &mut Tx,
    job: &Job,
    unheard: &Unheard,
    now: Timestamp,
) -> Result<(), DbError> {
    let event = without_run(job, &unheard.text(job), unheard.due_by, now);
    for url in &desk.options.webhook.urls {
        tx.outbox().put_of(&job.project_id, WEBHOOK, &letter(url, &event), now)?;
    }
    Ok(())
}

fn without_run(job: &Job, error: &str, due_at: Timestamp, now: Timestamp) -> Value {
    json!({
        "event": "run.missed",
        "occurred_at": now.secs(),
        "project_id": job.project_id,
        "job_id": job.job_id,
        "client_id": job.client_id,
        "run_id": null,
        "state": null,
        "error": error,
        "due_at": due_at.secs(),
        "request_id": null,
    })
}

/// A letter of the event to each address.
pub(crate) fn webhook(desk: &Desk, tx: &mut Tx, event: &Value, now: Timestamp) -> Result<(), DbError> {
    for url in &desk.options.webhook.urls {
        tx.outbox().put(WEBHOOK, &letter(url, event), now)?;
    }
    Ok(())
}

fn letter(url: &str, event: &Value) -> Value {
    json!({"url": url, "event": event})
}

fn notice(
    tx: &mut Tx,
    event_type: &str,
    priority: &str,
    run: &Run,
    payload: Map<String, Value>,
    now: Timestamp,
) -> Result<(), DbError> {
    let body = json!({
        "event_type": event_type,
        "priority": priority,
        "payload": payload,
        "context": {"request_id": run.request_id, "project_id": run.project_id},
    });
    tx.outbox().put(NOTICE, &body, now)
}

fn payload(run: &Run, action: &Action, error: Option<&str>) -> Map<String, Value> {
    let mut told = Map::new();
    for key in TELLING {
        let value = action.freezer_action.get(key).cloned().unwrap_or(Value::Null);
        told.insert(key.to_owned(), value);
    }
    let more = json!({
        "run_id": run.run_id,
        "job_id": run.job_id,
        "action_id": action.action_id,
        "project_id": run.project_id,
        "user_id": action.user_id,
        "client_id": run.client_id,
        "cause": run.cause,
        "attempt": run.attempt,
        "due_at": run.due_at.secs(),
        "bytes_done": run.progress.bytes_done,
        "bytes_stored": run.progress.bytes_stored,
        "files_done": run.progress.files_done,
        "error": error,
    });
    if let Value::Object(more) = more {
        told.extend(more);
    }
    told
}

/// A CADF event, as pycadf writes one.
fn audit(run: &Run, action: &Action, subject: &str, is_well: bool, now: Timestamp) -> Map<String, Value> {
    let time = chrono::DateTime::from_timestamp_millis(now.0).unwrap_or_default();
    let name = action.freezer_action.get("backup_name").cloned().unwrap_or(Value::Null);
    let event = json!({
        "typeURI": "http://schemas.dmtf.org/cloud/audit/1.0/event",
        "eventType": "activity",
        "id": uuid::Uuid::new_v4().to_string(),
        "eventTime": time.format("%Y-%m-%dT%H:%M:%S%.6f+0000").to_string(),
        "action": audited(subject),
        "outcome": if is_well { "success" } else { "failure" },
        "observer": {"id": "target"},
        "initiator": {
            "id": action.user_id,
            "typeURI": "service/security/account/user",
            "project_id": run.project_id,
            "request_id": run.request_id,
        },
        "target": {"id": run.job_id, "typeURI": "service/backup/backup", "name": name},
        "tags": [format!("correlation_id?value={}", run.run_id)],
    });
    match event {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use freezer_model::{ActionId, ProjectId, UserId};

    fn action(kind: &str) -> Action {
        let options =
            json!({"action": kind, "backup_name": "etc", "container": "vault", "ssh_password": "hunter2"});
        Action {
            project_id: ProjectId::from("p"),
            action_id: ActionId::from("a"),
            user_id: UserId::from("u"),
            freezer_action: options.as_object().unwrap().clone(),
            max_retries: 0,
            max_retries_interval: 1,
            mandatory: false,
            created_at: Timestamp(0),
        }
    }

    fn run(action: &Action) -> Run {
        Run {
            run_id: freezer_model::RunId::from("r"),
            project_id: ProjectId::from("p"),
            job_id: freezer_model::JobId::from("j"),
            client_id: freezer_model::ClientId::from("c"),
            state: RunState::Running,
            epoch: freezer_model::Epoch(1),
            action_index: 0,
            attempt: 1,
            losses: 0,
            actions: vec![action.clone()],
            steps: Vec::new(),
            progress: freezer_model::Progress::default(),
            error: None,
            abort_requested: false,
            cause: "start".to_owned(),
            request_id: Some("req-1".to_owned()),
            due_at: Timestamp(0),
            created_at: Timestamp(0),
            started_at: None,
            finished_at: None,
            attention_at: None,
            share_tag: 0,
            waiting_for: None,
            is_unsent: false,
        }
    }

    #[test]
    fn events_tell_names_and_no_secrets() {
        let backup = action("backup");
        let told = Value::Object(payload(&run(&backup), &backup, Some("disk full")));
        assert_eq!((&told["backup_name"], &told["error"]), (&json!("etc"), &json!("disk full")));
        assert!(!told.to_string().contains("hunter2"));
    }

    #[test]
    fn only_what_touches_backups_is_told() {
        let subjects = ["backup", "restore", "admin", "verify", "hold", "release", "info", "exec"]
            .map(|kind| subject(&action(kind)));
        assert_eq!(
            subjects,
            [
                Some("backup.create"),
                Some("backup.restore"),
                Some("backup.delete"),
                Some("backup.verify"),
                Some("backup.hold"),
                Some("backup.release"),
                Some("backup.info"),
                None
            ]
        );
    }

    #[test]
    fn an_audit_event_has_the_shape_of_cadf() {
        let restore = action("restore");
        let event = audit(&run(&restore), &restore, "backup.restore", false, Timestamp(1_767_225_600_123));
        let event = Value::Object(event);
        assert_eq!(event["typeURI"], "http://schemas.dmtf.org/cloud/audit/1.0/event");
        assert_eq!(event["eventTime"], "2026-01-01T00:00:00.123000+0000");
        assert_eq!((&event["action"], &event["outcome"]), (&json!("restore"), &json!("failure")));
        assert_eq!(event["initiator"]["id"], "u");
        assert_eq!(event["target"]["name"], "etc");
    }

    #[test]
    fn an_audit_says_what_was_done() {
        let said = ["restore", "admin", "verify", "info", "hold", "release"].map(|kind| {
            let action = action(kind);
            let subject = subject(&action).unwrap();
            audit(&run(&action), &action, subject, true, Timestamp(0))["action"].clone()
        });
        assert_eq!(said, ["restore", "delete", "read", "read", "update", "update"]);
    }
}
