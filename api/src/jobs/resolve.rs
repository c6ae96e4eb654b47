//! From the entries of `job_actions` to saved actions: reference, fork or create (contract §6.4).
//!
//! Runs inside the transaction that writes the job, so that a refused job leaves no action behind.

use crate::error::ApiError;
use crate::validate::action::ActionBody;
use crate::validate::names::JOB_BYTES_MAX;
use crate::validate::object::bytes_of;
use freezer_database::Tx;
use freezer_model::{Action, ActionId, Limits, ProjectId, Timestamp, UserId};
use serde_json::{Map, Value};

/// Who a new action belongs to, and since when.
#[derive(Clone, Debug)]
pub struct Owner {
    pub project: ProjectId,
    pub user: UserId,
    pub now: Timestamp,
    /// What a project may have unless its own quota says otherwise.
    pub quota: Limits,
}

/// The saved actions the entries mean, in their order; missing ones are written.
pub fn actions(tx: &mut Tx, owner: &Owner, entries: &[ActionBody]) -> Result<Vec<Action>, ApiError> {
    let named: Vec<ActionId> = entries.iter().filter_map(|entry| entry.action_id.clone()).collect();
    let mut saved = tx.actions().find_many(&owner.project, &named)?;
    let mut new = Vec::new();
    let mut resolved = Vec::with_capacity(entries.len());
    for (index, entry) in entries.iter().enumerate() {
        let known = saved.iter().find(|action| Some(&action.action_id) == entry.action_id.as_ref());
        let action = match known {
            Some(known) if means(entry, known) => known.clone(),
            // The saved one stays as it is; what was sent becomes an action of its own.
            Some(_) => made(owner, entry, ActionId::random(), index)?,
            None => made(owner, entry, new_id(entry)?, index)?,
        };
        if !saved.iter().any(|known| known.action_id == action.action_id) {
            // The same new id further down the list means this one.
            saved.push(action.clone());
            new.push(action.clone());
        }
        resolved.push(action);
    }
    check_size(&resolved)?;
    tx.actions().insert_all(&new)?;
    Ok(resolved)
}

/// A job is shown with all its actions.
fn check_size(actions: &[Action]) -> Result<(), ApiError> {
    let bytes: usize = actions.iter().map(|action| bytes_of(&action.freezer_action)).sum();
    if bytes <= JOB_BYTES_MAX {
        return Ok(());
    }
    Err(ApiError::bad_request(format!(
        "'job_actions': the options of all its actions are too long: {bytes} bytes as JSON, at most {JOB_BYTES_MAX} are possible"
    )))
}

fn new_id(entry: &ActionBody) -> Result<ActionId, ApiError> {
    match (&entry.action_id, &entry.freezer_action) {
        (None, _) => Ok(ActionId::random()),
        (Some(id), Some(_)) => Ok(id.clone()),
        (Some(id), None) => Err(ApiError::unprocessable(format!("Action id: {id} not found."))),
    }
}

fn made(owner: &Owner, entry: &ActionBody, id: ActionId, index: usize) -> Result<Action, ApiError> {
    let freezer_action = entry.freezer_action.clone().unwrap_or_default();
    if freezer_action.get("action").is_none_or(Value::is_null) {
        let text = format!("'job_actions[{index}].freezer_action.action' is a required property");
        return Err(ApiError::bad_request(text));
    }
    Ok(Action {
        project_id: owner.project.clone(),
        action_id: id,
        user_id: owner.user.clone(),
        freezer_action,
        max_retries: entry.max_retries_or_default(),
        max_retries_interval: entry.max_retries_interval_or_default(),
        mandatory: entry.mandatory.unwrap_or(false),
        created_at: owner.now,
    })
}

/// Whether the entry stands for the saved action: no options, or the same ones. `null` is the same as missing,
/// because reads add nulls and UIs send back what they read.
fn means(entry: &ActionBody, saved: &Action) -> bool {
    let Some(sent) = &entry.freezer_action else { return true };
    set_keys(sent).eq(&set_keys(&saved.freezer_action))
}

fn set_keys(options: &Map<String, Value>) -> Map<String, Value> {
    let set = options.iter().filter(|(_, value)| !value.is_null());
    set.map(|(key, value)| (key.clone(), value.clone())).collect()
}
