//! The JSON documents of the REST API, as clients see them.
//!
//! One function per noun. Keys keep the order and the names of the v2 contract; what Freezer in Rust adds
//! (`next_run_at`, `link`, `last_seen_at`, runs) are extra keys that older clients ignore.
//! Times are whole epoch seconds, `-1` = never. Nothing here decides who may see a document.

mod job;
mod object;
mod size;

pub use job::{JobDocument, PidShown, TrustShown, write_action, write_actions};
use object::Object;
pub use object::{Entries, StoredObject};
pub use size::{shorten, shorten_text, text_bytes};

use crate::{
    Action, Backup, BackupStatus, Client, Member, Progress, Run, RunSummary, Session, Step, StepOutcome,
    Timestamp,
};
use serde_json::{Map, Value, json};

/// Keys every returned `freezer_action` has, `null` when unset: UIs index them without asking.
pub const FIXED_ACTION_KEYS: [&str; 8] =
    ["backup_name", "action", "mode", "container", "timeout", "priority", "path_to_backup", "log_file"];

/// An action: as item, as list element and inside a job's `job_actions`.
pub fn action(action: &Action) -> Value {
    let mut text = Vec::new();
    // What was a tree of values can be written and read.
    write_action(action, &mut text).and_then(|()| serde_json::from_slice(&text)).unwrap_or_default()
}

/// An element of the actions list: the item and a copy of `timeout`, as upstream lists it.
pub fn action_in_list(listed: &Action) -> Value {
    let mut document = action(listed);
    if let Value::Object(map) = &mut document {
        let timeout = listed.freezer_action.get("timeout").cloned().unwrap_or(Value::Null);
        map.insert("timeout".to_owned(), timeout);
    }
    document
}

/// When a backup's `status` is part of the document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StatusShown {
    /// Only when a client set it, or when it is not `available`: what clients older than the key expect.
    #[default]
    WhenTelling,
    Always,
}

/// A backup record: as item and as list element.
pub fn backup<D: Entries>(backup: &Backup<D>, shown: StatusShown) -> Value {
    let mut text = Vec::new();
    // What was a tree of values can be written and read.
    write_backup(backup, shown, &mut text).and_then(|()| serde_json::from_slice(&text)).unwrap_or_default()
}

/// The same, written behind what `out` holds.
pub fn write_backup<D: Entries>(
    backup: &Backup<D>,
    shown: StatusShown,
    out: &mut Vec<u8>,
) -> serde_json::Result<()> {
    let mut document = Object::open(out);
    document.put("project_id", &backup.project_id)?;
    document.put("user_id", &backup.user_id)?;
    document.put("backup_id", &backup.backup_id)?;
    let telling = backup.status_is_explicit || backup.status != BackupStatus::Available;
    if telling || shown == StatusShown::Always {
        document.put("status", &backup.status)?;
    }
    let mut metadata = Object::open(document.key("backup_metadata"));
    metadata.entries(&backup.metadata)?;
    metadata.close();
    document.close();
    Ok(())
}

/// A registered client.
pub fn client(client: &Client) -> Value {
    json!({
        "project_id": client.project_id,
        "user_id": client.user_id,
        "client": {
            "uuid": client.uuid,
            "hostname": client.hostname,
            "client_id": client.client_id,
            "is_central": client.is_central,
            "description": client.description,
            "supported_actions": client.capabilities.actions,
            "supported_modes": client.capabilities.modes,
            "supported_storages": client.capabilities.storages,
            "supported_engines": client.capabilities.engines,
            "link": client.link,
            "agent_version": client.agent_version,
            "last_seen_at": secs_or_never(client.last_seen_at),
        },
    })
}

/// A session: as item and as list element. `jobs` and `schedule` are objects whatever happened: clients count and
/// index them without asking.
pub fn session(session: &Session) -> Value {
    let jobs: Map<String, Value> =
        session.members.iter().map(|known| (known.job_id.to_string(), member(known))).collect();
    json!({
        "project_id": session.project_id,
        "session_id": session.session_id,
        "user_id": session.user_id,
        "description": session.description,
        "session_tag": session.session_tag,
        "result": session.result,
        "hold_off": session.hold_off,
        "status": session.status,
        "time_start": session.time_start,
        "time_end": session.time_end,
        "time_started": session.time_start,
        "time_ended": session.time_end,
        "last_start": if session.time_start < 0 { json!("") } else { json!(session.time_start) },
        "schedule": session.schedule,
        "jobs": jobs,
    })
}

fn member(member: &Member) -> Value {
    json!({
        "client_id": member.client_id,
        "status": member.status,
        "result": member.result,
        "time_started": member.time_started,
        "time_ended": member.time_ended,
    })
}

/// A run as item: everything, with its steps, their results and logs, and the log of what is being done.
pub fn run(run: &Run) -> Value {
    let mut document = summary(run, run.actions.len());
    if let Value::Object(map) = &mut document {
        map.insert("job_actions".to_owned(), run.actions.iter().map(action).collect());
        map.insert("steps".to_owned(), run.steps.iter().map(step).collect());
        map.insert("log".to_owned(), json!(run.progress.log));
    }
    document
}

/// A run as list element: where it stands and how it ended.
pub fn run_summary(listed: &RunSummary) -> Value {
    summary(&listed.run, listed.actions_total)
}

fn summary(run: &Run, actions_total: usize) -> Value {
    json!({
        "run_id": run.run_id,
        "project_id": run.project_id,
        "job_id": run.job_id,
        "client_id": run.client_id,
        "state": run.state,
        "cause": run.cause,
        "error": run.error,
        "waiting_for": run.waiting_for.as_deref().map(crate::slot::waiting_text),
        "abort_requested": run.abort_requested,
        "action_index": run.action_index,
        "actions_total": actions_total,
        "attempt": run.attempt,
        "losses": run.losses,
        "progress": progress(&run.progress),
        "due_at": run.due_at.secs(),
        "created_at": run.created_at.secs(),
        "started_at": secs_or_never(run.started_at),
        "finished_at": secs_or_never(run.finished_at),
        "request_id": run.request_id,
    })
}

fn step(step: &Step) -> Value {
    json!({
        "action_index": step.action_index,
        "attempt": step.attempt,
        "outcome": step.outcome.map(outcome_word),
        "exit_code": step.exit_code,
        "error": step.error,
        "started_at": secs_or_never(step.started_at),
        "finished_at": secs_or_never(step.finished_at),
        "result": step.result,
        "log": step.log,
    })
}

fn outcome_word(outcome: StepOutcome) -> Value {
    json!(outcome)
}

/// Without the log, which only the item has.
fn progress(progress: &Progress) -> Value {
    json!(Progress { log: Vec::new(), ..progress.clone() })
}

fn secs_or_never(time: Option<Timestamp>) -> i64 {
    time.map_or(-1, Timestamp::secs)
}
