//! POST /v2/{project_id}/agents/{client_id}/progress

use super::{holder, message, relay};
use crate::call::Call;
use crate::error::ApiError;
use actix_web::HttpResponse;
use freezer_model::rpc::StepProgress;

/// Notes where a step stands, and answers whether it may go on.
pub async fn progress(mut call: Call) -> Result<HttpResponse, ApiError> {
    let agent = holder(&call).await?;
    let mut report: StepProgress = message(&mut call, "StepProgress").await?;
    report.reporter = Some(agent);
    Ok(HttpResponse::Ok().json(relay(&call, "step_progress", &report).await?))
}
