//! POST /v2/{project_id}/sessions

use super::made;
use crate::call::Call;
use crate::error::ApiError;
use crate::validate::{Object, session};
use actix_web::HttpResponse;
use freezer_model::SessionId;
use serde_json::json;

/// Creates a session under an id of ours, without members.
pub async fn create(mut call: Call) -> Result<HttpResponse, ApiError> {
    call.enforce("sessions:create")?;
    let body = call.object().await?;
    let parsed = session::parse_new(&Object::new(&body, ""))?;
    let id = SessionId::random();
    let session = made(&call, id.clone(), parsed);
    call.write(move |tx| Ok(tx.sessions().insert(&session)?)).await?;
    Ok(HttpResponse::Created().json(json!({ "session_id": id })))
}
