//! POST /v2/{project_id}/agents/{client_id}/finished

use super::{holder, message, relay};
use crate::call::Call;
use crate::error::ApiError;
use actix_web::HttpResponse;
use freezer_model::rpc::StepFinished;

/// Notes the end of a step. Agents repeat it until it is answered; a repetition is known.
pub async fn finished(mut call: Call) -> Result<HttpResponse, ApiError> {
    let agent = holder(&call).await?;
    let mut report: StepFinished = message(&mut call, "StepFinished").await?;
    report.reporter = Some(agent);
    Ok(HttpResponse::Ok().json(relay(&call, "step_finished", &report).await?))
}
