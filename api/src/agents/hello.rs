//! POST /v2/{project_id}/agents/{client_id}/hello

use super::{introduction, relay};
use crate::call::Call;
use crate::error::ApiError;
use actix_web::HttpResponse;

/// Registers the agent as a client on this link, and answers how often it shall be heard.
pub async fn hello(mut call: Call) -> Result<HttpResponse, ApiError> {
    let hello = introduction(&mut call).await?;
    Ok(HttpResponse::Ok().json(relay(&call, "agent_hello", &hello).await?))
}
