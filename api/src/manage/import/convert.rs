//! From upstream's rows to ours (contract appendix B). Pure; an error is the reason why a row cannot be kept.

use crate::validate::Object;
use crate::validate::session::{self, MemberBody};
use crate::validate::{backup, names, schedule};
use freezer_database::upstream::{
    UpstreamAction, UpstreamBackup, UpstreamClient, UpstreamJob, UpstreamSession,
};
use freezer_model::session::{ACTIVE, DEFAULT_HOLD_OFF_SECS};
use freezer_model::{
    Action, ActionId, Backup, BackupId, BackupStatus, Capabilities, Client, ClientId, Job, JobId, JobState,
    Link, Member, ProjectId, Session, SessionId, TIME_STAMP_MAX, Timestamp, UserId,
};
use serde_json::{Map, Value, json};

const DEFAULT_RETRIES: i32 = 5;
const DEFAULT_RETRY_SECS: i32 = 6;

pub fn client(row: UpstreamClient) -> Result<Client, String> {
    let every = Capabilities::default();
    Ok(Client {
        project_id: project(row.project_id.as_deref())?,
        capabilities: Capabilities {
            actions: capability("supported_actions", row.supported_actions.as_deref(), every.actions)?,
            modes: capability("supported_modes", row.supported_modes.as_deref(), every.modes)?,
            storages: capability("supported_storages", row.supported_storages.as_deref(), every.storages)?,
            engines: capability("supported_engines", row.supported_engines.as_deref(), every.engines)?,
        },
        client_id: ClientId::from(row.client_id),
        uuid: row.uuid,
        user_id: UserId::from(row.user_id),
        hostname: row.hostname,
        description: row.description,
        is_central: row.is_central.unwrap_or(0) != 0,
        link: Link::Poll,
        agent_version: None,
        created_at: made(row.created_at_ms),
        last_seen_at: None,
    })
}

/// A row without a project belongs to nobody: no request could ever reach it.
fn project(id: Option<&str>) -> Result<ProjectId, String> {
    let id = id.filter(|id| !id.is_empty());
    id.map(ProjectId::from).ok_or_else(|| "it belongs to no project".to_owned())
}

fn made(ms: Option<i64>) -> Timestamp {
    Timestamp(ms.unwrap_or(0))
}

/// Nothing stored means everything that upstream knows: the column came later than the clients.
fn capability(name: &str, text: Option<&str>, every: Vec<String>) -> Result<Vec<String>, String> {
    let Some(text) = text.filter(|text| !text.trim().is_empty()) else { return Ok(every) };
    match serde_json::from_str::<Option<Vec<String>>>(text) {
        Ok(Some(words)) => Ok(words),
        Ok(None) => Ok(every),
        Err(_) => Err(format!("{name} is no list of words")),
    }
}

/// The JSON object in a text column; nothing and `null` are an empty one.
fn object(column: &str, text: Option<&str>) -> Result<Map<String, Value>, String> {
    let Some(text) = text.filter(|text| !text.trim().is_empty()) else { return Ok(Map::new()) };
    match serde_json::from_str(text) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(Value::Null) => Ok(Map::new()),
        Ok(_) => Err(format!("{column} is no JSON object")),
        Err(error) => Err(format!("{column} is no JSON ({error}); was it cut off?")),
    }
}

/// The dedicated columns count before what the stored document says, also when they are empty.
pub fn action(row: UpstreamAction) -> Result<Action, String> {
    let mut freezer_action = object("backup_metadata", row.backup_metadata.as_deref())?;
    for (key, column) in [
        ("action", row.action.map(Value::from)),
        ("mode", row.actionmode.map(Value::from)),
        ("backup_name", row.backup_name.map(Value::from)),
        ("container", row.container.map(Value::from)),
        ("path_to_backup", row.path_to_backup.map(Value::from)),
        ("log_file", row.log_file.map(Value::from)),
        ("timeout", row.timeout.map(Value::from)),
        ("priority", row.priority.map(Value::from)),
    ] {
        match column {
            Some(value) => {
                freezer_action.insert(key.to_owned(), value);
            }
            None => {
                freezer_action.shift_remove(key);
            }
        }
    }
    Ok(Action {
        project_id: project(row.project_id.as_deref())?,
        action_id: ActionId::from(row.id),
        user_id: UserId::from(row.user_id),
        freezer_action,
        max_retries: at_least_none("max_retries", row.max_retries, DEFAULT_RETRIES)?,
        max_retries_interval: at_least_none(
            "max_retries_interval",
            row.max_retries_interval,
            DEFAULT_RETRY_SECS,
        )?,
        mandatory: row.mandatory.unwrap_or(0) != 0,
        created_at: made(row.created_at_ms),
    })
}

fn at_least_none(column: &str, number: Option<i64>, default: i32) -> Result<i32, String> {
    let Some(number) = number else { return Ok(default) };
    i32::try_from(number.max(0)).map_err(|_| format!("{column} {number} is out of range"))
}

/// The job without its actions and its trust, which are rows of other tables.
pub fn job(row: &UpstreamJob) -> Result<Job, String> {
    let mut stored = object("schedule", row.schedule.as_deref())?;
    stored.retain(|_, value| !value.is_null());
    let schedule = schedule::parse(&Object::new(&stored, "schedule")).map_err(|refusal| refusal.0)?;
    if !names::is_client_id(&row.client_id) {
        return Err(format!("client_id {:?} is no name of a client", row.client_id));
    }
    let created_at = made(row.created_at_ms);
    let mut state = JobState::fresh(created_at);
    schedule.state.apply_to(&mut state);
    Ok(Job {
        project_id: project(row.project_id.as_deref())?,
        job_id: JobId::from(row.id.as_str()),
        user_id: UserId::from(row.user_id.as_str()),
        client_id: ClientId::from(row.client_id.as_str()),
        description: row.description.clone(),
        session_id: row.session_id.clone(),
        session_tag: row.session_tag.unwrap_or(0),
        plan: schedule.plan,
        state,
        actions: Vec::new(),
        credentials: None,
        created_at,
        plan_version: 1,
        next_run_at: None,
    })
}

/// The session with all members that are stored; whether their jobs are there is for the caller to see.
pub fn session(row: UpstreamSession) -> Result<Session, String> {
    let mut plan = object("schedule", row.schedule.as_deref())?;
    plan.retain(|_, value| !value.is_null());
    let stored = json!({"schedule": plan, "jobs": object("job", row.job.as_deref())?, "description": row.description,
        "result": row.result});
    let Value::Object(stored) = stored else { return Err("it cannot be read".to_owned()) };
    let body = session::parse(&Object::new(&stored, "")).map_err(|refusal| refusal.0)?;
    let session_tag = row.session_tag.unwrap_or(0);
    let member = |sent: MemberBody| Member {
        job_id: sent.job_id,
        client_id: sent.client_id.unwrap_or_default(),
        status: sent.status.unwrap_or_default(),
        result: sent.result.unwrap_or_default(),
        time_started: sent.time_started.unwrap_or(-1),
        time_ended: sent.time_ended.unwrap_or(-1),
        session_tag,
    };
    Ok(Session {
        project_id: project(row.project_id.as_deref())?,
        session_id: SessionId::from(row.id),
        user_id: UserId::from(row.user_id),
        description: row.description,
        session_tag,
        hold_off: row.hold_off.filter(|secs| *secs >= 0).unwrap_or(DEFAULT_HOLD_OFF_SECS),
        status: row.status.filter(|word| !word.is_empty()).unwrap_or_else(|| ACTIVE.to_owned()),
        result: row.result,
        time_start: row.time_start.unwrap_or(-1),
        time_end: row.time_end.unwrap_or(-1),
        schedule: body.schedule.unwrap_or_default(),
        members: body.jobs.unwrap_or_default().into_iter().map(member).collect(),
        created_at: made(row.created_at_ms),
    })
}

/// Upstream takes any number, and its clients then fail at the whole list.
fn bring_time_stamp_into_range(metadata: &mut Map<String, Value>) {
    let said = match metadata.get("time_stamp") {
        Some(Value::String(text)) => text.trim().parse::<i128>().ok(),
        Some(value) => value.as_i64().map(i128::from).or_else(|| value.as_u64().map(i128::from)),
        None => None,
    };
    if let Some(secs) = said.filter(|secs| !(0..=i128::from(TIME_STAMP_MAX)).contains(secs)) {
        let secs = if secs < 0 { 0 } else { TIME_STAMP_MAX };
        metadata.insert("time_stamp".to_owned(), json!(secs));
    }
}

pub fn backup(row: UpstreamBackup) -> Result<Backup, String> {
    let created_at = made(row.created_at_ms);
    let mut metadata = object("backup_metadata", row.backup_metadata.as_deref())?;
    bring_time_stamp_into_range(&mut metadata);
    let status = row.status.as_deref().filter(|word| !word.is_empty()).unwrap_or("available");
    let status =
        BackupStatus::parse(status).ok_or_else(|| format!("status {status:?} is none of a backup's"))?;
    // What was taken there is kept here, however long it is.
    let stored = Object::new(&metadata, "backup_metadata");
    let mut metadata =
        backup::parse_stored(&stored, status, created_at.secs()).map_err(|refusal| refusal.0)?;
    let job = row.job_id.filter(|id| !id.is_empty());
    if let Some(job) = job.as_ref().filter(|_| backup::job_id(&metadata).is_none()) {
        metadata.insert("job_id".to_owned(), json!(job));
    }
    Ok(Backup {
        project_id: project(row.project_id.as_deref())?,
        backup_id: BackupId::from(row.id),
        user_id: UserId::from(row.user_id),
        job_id: job.map(JobId::from),
        status,
        status_is_explicit: false,
        metadata,
        created_at,
    })
}
