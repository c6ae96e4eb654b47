//! POST /v2/{project_id}/actions

use super::made;
use crate::call::Call;
use crate::error::ApiError;
use crate::validate::{Object, action};
use actix_web::HttpResponse;
use freezer_database::DbError;
use freezer_model::ActionId;
use serde_json::json;

/// Saves a new action, under the id that was sent or one of ours.
pub async fn create(mut call: Call) -> Result<HttpResponse, ApiError> {
    call.enforce("actions:create")?;
    let body = call.object().await?;
    let fields = Object::new(&body, "");
    let parsed = action::parse(&fields)?;
    action::require_verb(&fields, &parsed)?;
    let id = parsed.action_id.clone().unwrap_or_else(ActionId::random);
    let action = made(&call, id.clone(), parsed);
    call.write(move |tx| {
        tx.actions().insert(&action).map_err(|error| match error {
            DbError::Conflict { .. } => {
                ApiError::conflict(format!("Action already registered with ID {}", action.action_id))
            }
            other => other.into(),
        })
    })
    .await?;
    Ok(HttpResponse::Created().json(json!({ "action_id": id })))
}
