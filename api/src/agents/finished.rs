//! POST /v2/{project_id}/agents/{client_id}/finished

use super::{RESULT_BYTES_MAX, holder, message_up_to, relay};
use crate::call::Call;
use crate::error::ApiError;
use actix_web::HttpResponse;
use freezer_model::rpc::StepFinished;

/// Notes the end of a step. Agents repeat it until it is answered; a repetition is known.
pub async fn finished(mut call: Call) -> Result<HttpResponse, ApiError> {
    let agent = holder(&call).await?;
    let mut report: StepFinished = message_up_to(&mut call, "StepFinished", RESULT_BYTES_MAX).await?;
    report.reporter = Some(agent);
    Ok(HttpResponse::Ok().json(relay(&call, "step_finished", &report).await?))
}
