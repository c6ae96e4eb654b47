//! POST /v2/{project_id}/actions/{action_id}: create under this id, or replace.

use super::{action_id, made, save};
use crate::call::Call;
use crate::error::ApiError;
use crate::validate::names::{self, ID_MAX};
use crate::validate::object::bytes_of;
use crate::validate::{Object, action};
use actix_web::HttpResponse;
use freezer_model::Action;
use serde_json::json;

/// Creates or replaces an action; the path's id counts, whatever the body says. Jobs that use it see the change.
pub async fn replace(mut call: Call) -> Result<HttpResponse, ApiError> {
    call.enforce("actions:replace")?;
    let id = action_id(&call);
    if !names::is_id(id.as_str()) || id.as_str().chars().count() > ID_MAX {
        return Err(ApiError::bad_request(
            "'action_id' in the path must be made of letters, digits, '_' and '-'",
        ));
    }
    let body = call.object().await?;
    let fields = Object::new(&body, "");
    let parsed = action::parse(&fields)?;
    action::require_verb(&fields, &parsed)?;
    let action = made(&call, id.clone(), parsed);
    call.upsert(move |tx| match tx.actions().get_for_update(&action.project_id, &action.action_id)? {
        None => Ok(tx.actions().insert(&action)?),
        Some(stored) => {
            let before = bytes_of(&stored.freezer_action);
            let kept = Action { user_id: stored.user_id, created_at: stored.created_at, ..action.clone() };
            save(tx, before, &kept)
        }
    })
    .await?;
    Ok(HttpResponse::Created().json(json!({ "action_id": id, "version": id })))
}
