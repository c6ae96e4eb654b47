//! Actions: a saved definition, and an entry of a job's `job_actions`.

use super::names::{self, DOCUMENT_BYTES_MAX, ID_MAX, PATH_MAX, TEXT_MAX};
use super::object::{Object, Refusal};
use freezer_model::ActionId;
use freezer_model::action::{DEFAULT_MAX_RETRIES, DEFAULT_MAX_RETRIES_INTERVAL_SECS};
use freezer_model::client::{KNOWN_ACTIONS, KNOWN_MODES};
use serde_json::{Map, Value};

/// What Horizon calls `sqlserver`; stored as sent.
pub const MODE_ALIAS: (&str, &str) = ("mssql", "sqlserver");

/// The body of an action, or of one entry of `job_actions`. Absent and `null` numbers are both `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ActionBody {
    pub action_id: Option<ActionId>,
    pub freezer_action: Option<Map<String, Value>>,
    pub max_retries: Option<i32>,
    pub max_retries_interval: Option<i32>,
    pub mandatory: Option<bool>,
}

impl ActionBody {
    pub fn max_retries_or_default(&self) -> i32 {
        self.max_retries.unwrap_or(DEFAULT_MAX_RETRIES)
    }
    pub fn max_retries_interval_or_default(&self) -> i32 {
        self.max_retries_interval.unwrap_or(DEFAULT_MAX_RETRIES_INTERVAL_SECS)
    }
}

/// Reads an action. Keys beyond the known ones are accepted and not kept.
pub fn parse(body: &Object<'_>) -> Result<ActionBody, Refusal> {
    let freezer_action = match body.map().get("freezer_action") {
        None => None,
        Some(Value::Object(map)) => {
            let place = body.place("freezer_action");
            check_freezer_action(&Object::new(map, &place))?;
            body.check_size("freezer_action", map, DOCUMENT_BYTES_MAX)?;
            Some(map.clone())
        }
        Some(other) => return Err(body.wrong_type("freezer_action", other, "object")),
    };
    let small = |key| body.whole(key, 0, i64::from(i32::MAX)).map(narrow);
    Ok(ActionBody {
        action_id: id(body, "action_id")?.map(ActionId::new),
        freezer_action,
        max_retries: small("max_retries")?,
        max_retries_interval: small("max_retries_interval")?,
        mandatory: body.flag("mandatory")?,
    })
}

/// A new action must say what it does.
pub fn require_verb(body: &Object<'_>, action: &ActionBody) -> Result<(), Refusal> {
    let Some(options) = &action.freezer_action else { return Err(body.missing("freezer_action")) };
    match options.get("action") {
        None | Some(Value::Null) => Err(body.missing("freezer_action.action")),
        Some(_) => Ok(()),
    }
}

/// An id that a client chose: `^[\w-]+$`; `null`, an empty text and absent mean "make one".
pub fn id<'a>(body: &Object<'a>, key: &str) -> Result<Option<&'a str>, Refusal> {
    match body.text_or_null(key, ID_MAX)?.flatten() {
        None | Some("") => Ok(None),
        Some(text) if names::is_id(text) => Ok(Some(text)),
        Some(_) => Err(body.refuse(key, "must be made of letters, digits, '_' and '-'")),
    }
}

fn narrow(number: Option<i64>) -> Option<i32> {
    number.and_then(|number| i32::try_from(number).ok())
}

/// Types of the options the server knows; all others are the agent's and kept as they are.
pub fn check_freezer_action(options: &Object<'_>) -> Result<(), Refusal> {
    options.word_or_null("action", &KNOWN_ACTIONS)?;
    let modes: Vec<&str> = KNOWN_MODES.into_iter().chain([MODE_ALIAS.0]).collect();
    options.word_or_null("mode", &modes)?;
    for key in ["path_to_backup", "restore_abs_path", "log_file"] {
        options.text_or_null(key, PATH_MAX)?;
    }
    for key in ["backup_name", "container", "storage", "engine_name", "engine"] {
        options.text_or_null(key, TEXT_MAX)?;
    }
    options.flag("cindernative_freezer_only")?;
    for key in ["timeout", "priority"] {
        options.whole(key, i64::from(i32::MIN), i64::from(i32::MAX))?;
    }
    Ok(())
}
