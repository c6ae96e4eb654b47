//! PATCH /v2/{project_id}/actions/{action_id}

use super::{action_id, save};
use crate::call::Call;
use crate::error::ApiError;
use crate::validate::Object;
use crate::validate::action::{self, ActionBody};
use crate::validate::object::bytes_of;
use actix_web::HttpResponse;
use freezer_model::Action;
use serde_json::{Map, Value, json};

/// Changes what was sent. `freezer_action` is replaced as a whole: its keys depend on each other.
pub async fn update(mut call: Call) -> Result<HttpResponse, ApiError> {
    call.enforce("actions:update")?;
    let id = action_id(&call);
    let body = match call.json().await? {
        crate::body::JsonBody(None) => Map::new(),
        body => body.into_object()?,
    };
    let mut parsed = action::parse(&Object::new(&body, ""))?;
    // UIs send null for an empty field: that asks for the default.
    for (key, slot, default) in [
        ("max_retries", &mut parsed.max_retries, ActionBody::default().max_retries_or_default()),
        (
            "max_retries_interval",
            &mut parsed.max_retries_interval,
            ActionBody::default().max_retries_interval_or_default(),
        ),
    ] {
        if matches!(body.get(key), Some(Value::Null)) {
            *slot = Some(default);
        }
    }
    let (project, written) = (call.project.clone(), id.clone());
    call.write(move |tx| {
        let stored = tx.actions().get_for_update(&project, &written)?;
        let stored = stored.ok_or_else(|| ApiError::not_found("Action", &written))?;
        let before = bytes_of(&stored.freezer_action);
        save(tx, before, &patched(stored, parsed.clone()))
    })
    .await?;
    Ok(HttpResponse::Ok().json(json!({ "action_id": id, "version": id })))
}

fn patched(stored: Action, sent: ActionBody) -> Action {
    let freezer_action = match sent.freezer_action {
        None => stored.freezer_action,
        Some(options) => with_verb(options, stored.freezer_action.get("action")),
    };
    Action {
        freezer_action,
        max_retries: sent.max_retries.unwrap_or(stored.max_retries),
        max_retries_interval: sent.max_retries_interval.unwrap_or(stored.max_retries_interval),
        mandatory: sent.mandatory.unwrap_or(stored.mandatory),
        ..stored
    }
}

/// An action without a verb could not run; a patch that names none means the same verb as before.
fn with_verb(mut options: Map<String, Value>, stored: Option<&Value>) -> Map<String, Value> {
    if options.get("action").is_none_or(Value::is_null) {
        options.insert("action".to_owned(), stored.cloned().unwrap_or(Value::Null));
    }
    options
}
