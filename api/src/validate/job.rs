//! Jobs: closed at the top level and in `job_schedule`, open inside `job_actions`.

use super::action::{self, ActionBody};
use super::client;
use super::names::{self, ID_MAX, TEXT_MAX};
use super::object::{Object, Refusal};
use super::schedule::{self, ScheduleBody};
use freezer_model::{ClientId, JobId};
use serde_json::{Map, Value};

/// Accepted keys. Those after `action_defaults` are the server's: read documents are sent back whole, so they
/// are taken without complaint and never looked at.
const KNOWN: [&str; 14] = [
    "job_actions",
    "job_schedule",
    "client_id",
    "description",
    "job_id",
    "session_id",
    "session_tag",
    "action_defaults",
    "session_name",
    "_version",
    "user_id",
    "project_id",
    "user_credentials",
    "next_run_at",
];

/// More entries than any real job has; each one is a row.
pub const MAX_ACTIONS: usize = 500;

/// A job's body; `None` where the key is absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JobBody {
    pub job_id: Option<JobId>,
    pub client_id: Option<ClientId>,
    pub description: Option<Option<String>>,
    pub session_id: Option<Option<String>>,
    pub session_tag: Option<i64>,
    pub schedule: Option<ScheduleBody>,
    pub actions: Option<Vec<ActionBody>>,
    /// The keys are exactly those of a state report of upstream's scheduler.
    pub is_report: bool,
}

/// Reads a job for PATCH: nothing is required.
pub fn parse(body: &Object<'_>) -> Result<JobBody, Refusal> {
    body.only(&KNOWN)?;
    check_server_keys(body)?;
    Ok(JobBody {
        job_id: action::id(body, "job_id")?.map(JobId::new),
        client_id: client::client_id(body)?,
        description: owned(body.text_or_null("description", TEXT_MAX)?),
        session_id: owned(session_id(body)?),
        session_tag: body.whole("session_tag", i64::MIN, i64::MAX)?,
        schedule: job_schedule(body)?,
        actions: job_actions(body)?,
        is_report: is_report(body),
    })
}

/// Reads a job for POST: it must name its client and its actions.
pub fn parse_new(body: &Object<'_>) -> Result<JobBody, Refusal> {
    let job = parse(body)?;
    if job.actions.is_none() {
        return Err(body.missing("job_actions"));
    }
    if job.client_id.is_none() {
        return Err(body.missing("client_id"));
    }
    Ok(job)
}

fn owned(text: Option<Option<&str>>) -> Option<Option<String>> {
    text.map(|text| text.map(str::to_owned))
}

/// Keys that are ignored still have the types the contract gives them.
fn check_server_keys(body: &Object<'_>) -> Result<(), Refusal> {
    body.text_or_null("session_name", usize::MAX)?;
    body.whole("_version", i64::MIN, i64::MAX)?;
    Ok(())
}

fn session_id<'a>(body: &Object<'a>) -> Result<Option<Option<&'a str>>, Refusal> {
    match body.text_or_null("session_id", ID_MAX)? {
        Some(Some(text)) if !text.is_empty() && !names::is_id(text) => {
            Err(body.refuse("session_id", "must be made of letters, digits, '_' and '-'"))
        }
        other => Ok(other),
    }
}

fn job_schedule(body: &Object<'_>) -> Result<Option<ScheduleBody>, Refusal> {
    let Some(value) = body.map().get("job_schedule") else { return Ok(None) };
    schedule::parse(&Object::in_value(value, "job_schedule")?).map(Some)
}

fn job_actions(body: &Object<'_>) -> Result<Option<Vec<ActionBody>>, Refusal> {
    let defaults = action_defaults(body)?;
    let entries = match body.map().get("job_actions") {
        Some(Value::Array(entries)) => entries,
        Some(other) => return Err(body.wrong_type("job_actions", other, "array")),
        None if defaults.is_some() => return Err(body.missing("job_actions")),
        None => return Ok(None),
    };
    if entries.len() > MAX_ACTIONS {
        return Err(body.refuse("job_actions", format!("at most {MAX_ACTIONS} entries are possible")));
    }
    let mut actions = Vec::with_capacity(entries.len());
    for (index, entry) in entries.iter().enumerate() {
        actions.push(job_action(entry, &format!("job_actions[{index}]"), defaults)?);
    }
    Ok(Some(actions))
}

fn job_action(
    entry: &Value,
    place: &str,
    defaults: Option<&Map<String, Value>>,
) -> Result<ActionBody, Refusal> {
    let entry = Object::in_value(entry, place)?;
    let expanded = defaults.map(|defaults| with_defaults(entry.map(), defaults));
    let entry = expanded.as_ref().map_or(entry, |map| Object::new(map, place));
    let action = action::parse(&entry)?;
    // An entry without an id makes a new action, so it must be complete.
    if action.action_id.is_none() {
        action::require_verb(&entry, &action)?;
    }
    Ok(action)
}

fn action_defaults<'a>(body: &Object<'a>) -> Result<Option<&'a Map<String, Value>>, Refusal> {
    match body.map().get("action_defaults") {
        None => Ok(None),
        Some(Value::Object(defaults)) => {
            action::check_freezer_action(&Object::new(defaults, "action_defaults"))?;
            Ok(Some(defaults))
        }
        Some(other) => Err(body.wrong_type("action_defaults", other, "object")),
    }
}

/// Copies each default into the entry's `freezer_action` where that key is missing or `null`.
fn with_defaults(entry: &Map<String, Value>, defaults: &Map<String, Value>) -> Map<String, Value> {
    let mut entry = entry.clone();
    let options = entry.entry("freezer_action").or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(options) = options {
        for (key, value) in defaults {
            let slot = options.entry(key.as_str()).or_insert(Value::Null);
            if slot.is_null() {
                *slot = value.clone();
            }
        }
    }
    entry
}

fn is_report(body: &Object<'_>) -> bool {
    body.map().len() == 3 && ["job_schedule", "session_id", "session_tag"].iter().all(|key| body.has(key))
}
