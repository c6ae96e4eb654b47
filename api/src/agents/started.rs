//! POST /v2/{project_id}/agents/{client_id}/started

use super::{holder, message, relay};
use crate::call::Call;
use crate::error::ApiError;
use actix_web::HttpResponse;
use freezer_model::rpc::StepStarted;

/// Notes that a step's process runs.
pub async fn started(mut call: Call) -> Result<HttpResponse, ApiError> {
    let agent = holder(&call).await?;
    let mut report: StepStarted = message(&mut call, "StepStarted").await?;
    report.reporter = Some(agent);
    Ok(HttpResponse::Ok().json(relay(&call, "step_started", &report).await?))
}
