//! POST /v2/{project_id}/agents/{client_id}/heartbeat

use super::{introduction, relay};
use crate::call::Call;
use crate::error::ApiError;
use actix_web::HttpResponse;

/// Renews the leases of the steps the agent holds.
pub async fn heartbeat(mut call: Call) -> Result<HttpResponse, ApiError> {
    let hello = introduction(&mut call).await?;
    Ok(HttpResponse::Ok().json(relay(&call, "agent_heartbeat", &hello).await?))
}
