//! GET /v2/{project_id}/runs/{run_id}

use crate::call::Call;
use crate::error::ApiError;
use actix_web::HttpResponse;
use freezer_model::{RunId, document};

/// Shows one run with its steps, their results and where the work stands.
pub async fn show(call: Call) -> Result<HttpResponse, ApiError> {
    call.enforce("runs:get")?;
    let (project, id) = (call.project.clone(), RunId::new(call.path("run_id")));
    let run = call.read(move |tx| Ok(tx.runs().get(&project, &id)?)).await?;
    let run = run.ok_or_else(ApiError::absent)?;
    Ok(HttpResponse::Ok().json(document::run(&run)))
}
