//! The document of a job file: a job as the REST API shows it and `job-download` saves it.
//!
//! Keys that are the service's business (`client_id`, `project_id`, `user_credentials`, times, …) are not looked at.

use freezer_model::schedule::{PLAN_KEYS, Schedule};
use freezer_model::{
    Action, ActionId, ClientId, Job, JobEvent, JobId, JobState, JobStatus, ProjectId, Timestamp, UserId,
};
use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// Of a file that does not say: upstream's scheduler has these, the service others.
const MAX_RETRIES: u32 = 0;
const MAX_RETRIES_INTERVAL_SECS: u32 = 60;
/// The id names a file.
const ID_BYTES_MAX: usize = 200;

#[derive(Deserialize)]
struct Document {
    job_id: Option<String>,
    description: Option<String>,
    session_id: Option<String>,
    job_schedule: Option<Map<String, Value>>,
    job_actions: Vec<Entry>,
    action_defaults: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
struct Entry {
    action_id: Option<String>,
    freezer_action: Map<String, Value>,
    mandatory: Option<bool>,
    max_retries: Option<u32>,
    max_retries_interval: Option<u32>,
}

/// Reads a document. `name` stands for an id that it does not say; the state is the one the file asks for.
pub fn read(text: &[u8], name: &str, client: &ClientId, now: Timestamp) -> Result<Job, String> {
    let document: Document = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    let defaults = document.action_defaults.unwrap_or_default();
    let actions: Vec<Action> =
        document.job_actions.into_iter().map(|entry| action(entry, &defaults, now)).collect();
    if actions.is_empty() {
        return Err("job_actions is empty, so there is nothing to do".to_owned());
    }
    let mut plan = document.job_schedule.unwrap_or_default();
    let state = state(&plan, now)?;
    plan.retain(|key, value| PLAN_KEYS.contains(&key.as_str()) && !is_unset(value));
    let schedule = Schedule::parse(&plan).map_err(|error| format!("job_schedule.{error}"))?;
    Ok(Job {
        project_id: ProjectId::from(""),
        job_id: job_id(document.job_id.as_deref().unwrap_or_default(), name)?,
        user_id: UserId::from(""),
        client_id: client.clone(),
        description: document.description,
        session_id: document.session_id,
        session_tag: 0,
        plan_version: version(&plan, &schedule, &actions),
        plan,
        state,
        actions,
        credentials: None,
        created_at: now,
        next_run_at: None,
    })
}

fn is_unset(value: &Value) -> bool {
    value.is_null() || value.as_str().is_some_and(str::is_empty)
}

/// Options that an entry does not say are those of `action_defaults`, as in the service.
fn action(entry: Entry, defaults: &Map<String, Value>, now: Timestamp) -> Action {
    let mut options = entry.freezer_action;
    for (key, value) in defaults {
        let slot = options.entry(key.as_str()).or_insert(Value::Null);
        if slot.is_null() {
            *slot = value.clone();
        }
    }
    let number = |said: Option<u32>, usual| i32::try_from(said.unwrap_or(usual)).unwrap_or(i32::MAX);
    Action {
        project_id: ProjectId::from(""),
        action_id: ActionId::new(entry.action_id.unwrap_or_default()),
        user_id: UserId::from(""),
        freezer_action: options,
        max_retries: number(entry.max_retries, MAX_RETRIES),
        max_retries_interval: number(entry.max_retries_interval, MAX_RETRIES_INTERVAL_SECS),
        mandatory: entry.mandatory.unwrap_or(false),
        created_at: now,
    }
}

fn job_id(said: &str, name: &str) -> Result<JobId, String> {
    let is_fit = |c: char| c.is_alphanumeric() || "-_".contains(c);
    let id: String = if said.is_empty() {
        name.chars().map(|c| if is_fit(c) { c } else { '_' }).collect()
    } else {
        said.to_owned()
    };
    if id.is_empty() || !id.chars().all(is_fit) {
        return Err(format!("job_id: {id:?} is not made of letters, digits, '_' and '-'"));
    }
    if id.len() > ID_BYTES_MAX {
        return Err(format!("job_id is longer than {ID_BYTES_MAX} bytes"));
    }
    Ok(JobId::new(id))
}

fn state(schedule: &Map<String, Value>, now: Timestamp) -> Result<JobState, String> {
    let word = |key: &str| schedule.get(key).and_then(Value::as_str).unwrap_or_default();
    let event = JobEvent::parse(word("event")).ok_or_else(|| {
        format!("job_schedule.event: there is no event {}; start and stop are some", word("event"))
    })?;
    // Whatever was at work when the file was saved is over.
    let status = match JobStatus::parse(word("status")) {
        Some(status @ (JobStatus::Stop | JobStatus::Completed | JobStatus::Removed)) => status,
        _ => JobStatus::None,
    };
    Ok(JobState { event, status, ..JobState::fresh(now) })
}

/// A number for the plan. A job that runs once is another one when it does something else.
fn version(plan: &Map<String, Value>, schedule: &Schedule, actions: &[Action]) -> i64 {
    let mut parts = vec![Value::Object(plan.clone())];
    if schedule.is_one_shot() {
        parts.extend(actions.iter().map(|action| Value::Object(action.freezer_action.clone())));
    }
    let mut parts = Value::Array(parts);
    // The order in which a file has its keys means nothing.
    parts.sort_all_objects();
    let hash = Sha256::digest(parts.to_string().as_bytes());
    hash.iter().take(7).fold(0, |number, byte| (number << 8) | i64::from(*byte))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn read_json(document: &Value) -> Result<Job, String> {
        read(document.to_string().as_bytes(), "nightly etc", &ClientId::from("c"), Timestamp::from_secs(9))
    }

    #[test]
    fn what_the_api_shows_is_taken_and_what_is_missing_is_upstreams() {
        let document = json!({"job_id": "", "client_id": "other", "session_id": null, "project_id": "p", "_version": 3,
            "action_defaults": {"storage": "local", "container": "/d"},
            "job_actions": [{"freezer_action": {"action": "backup", "container": "/c", "storage": null}}],
            "job_schedule": {"schedule_interval": "1 hours", "schedule_date": null, "schedule_day": "", "status": "running",
                "event": "", "time_created": 4}});
        let job = read_json(&document).unwrap();
        assert_eq!((job.job_id.as_str(), job.client_id.as_str()), ("nightly_etc", "c"));
        assert_eq!(Value::Object(job.plan), json!({"schedule_interval": "1 hours"}));
        assert_eq!((job.state.status, job.state.event), (JobStatus::None, JobEvent::None));
        let action = job.actions.first().unwrap();
        assert_eq!(action.freezer_action["storage"], "local");
        assert_eq!(action.freezer_action["container"], "/c");
        assert_eq!((action.max_retries, action.max_retries_interval, action.mandatory), (0, 60, false));
    }

    #[test]
    fn what_cannot_be_followed_is_named() {
        let actions = json!([{"freezer_action": {"action": "exec"}}]);
        for (document, words) in [
            (json!({}), "job_actions"),
            (json!({"job_actions": []}), "nothing to do"),
            (json!({"job_actions": [{}]}), "freezer_action"),
            (json!({"job_actions": [{"freezer_action": {}, "max_retries": -1}]}), "-1"),
            (json!({"job_id": "../x", "job_actions": actions}), "../x"),
            (json!({"job_actions": actions, "job_schedule": {"event": "dance"}}), "dance"),
            (
                json!({"job_actions": actions, "job_schedule": {"schedule_interval": "1 day"}}),
                "schedule_interval",
            ),
        ] {
            let why = read_json(&document).err().unwrap_or_default();
            assert!(why.contains(words), "{document}: {why}");
        }
    }

    #[test]
    fn another_plan_is_another_version() {
        let job = |schedule: Value, command: &str| {
            let document = json!({"job_schedule": schedule, "job_actions": [{"freezer_action": {"command": command, "action": "exec"}}]});
            read_json(&document).unwrap().plan_version
        };
        let hourly = || json!({"schedule_interval": "1 hours"});
        assert_eq!(job(hourly(), "true"), job(hourly(), "false"), "its phase stays");
        assert_ne!(job(hourly(), "true"), job(json!({"schedule_interval": "2 hours"}), "true"));
        assert_ne!(job(json!({}), "true"), job(json!({}), "false"), "other work for once");
        assert_eq!(job(json!({"event": "start"}), "true"), job(json!({}), "true"));
        let day = |first: &str, second: &str| json!({first: "1", second: "1"});
        assert_eq!(
            job(day("schedule_hour", "schedule_day"), "true"),
            job(day("schedule_day", "schedule_hour"), "true")
        );
    }
}
