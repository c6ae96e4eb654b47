//! PUT /v2/{project_id}/quotas

use super::document;
use crate::call::Call;
use crate::error::ApiError;
use crate::validate::{Object, Refusal};
use actix_web::HttpResponse;
use freezer_model::Quota;
use freezer_model::quota::UNLIMITED;

pub const WEIGHT_MAX: i64 = 1000;

/// Sets the project's own limits. What is not named, or null, is as configured for all; -1 is no limit.
pub async fn put(mut call: Call) -> Result<HttpResponse, ApiError> {
    call.enforce("quotas:update")?;
    let body = call.object().await?;
    let quota = parse(&Object::new(&body, ""))?;
    let (project, written) = (call.project.clone(), quota.clone());
    call.write(move |tx| Ok(tx.quotas().put(&project, &written)?)).await?;
    Ok(HttpResponse::Ok().json(document(&call.project, call.state.options.quota, &quota)))
}

fn parse(body: &Object<'_>) -> Result<Quota, Refusal> {
    body.only(&["jobs", "runs", "stored_bytes", "weight"])?;
    let limit = |key| body.whole(key, UNLIMITED, i64::MAX);
    let weight = body.whole("weight", 1, WEIGHT_MAX)?;
    Ok(Quota {
        jobs: limit("jobs")?,
        runs: limit("runs")?,
        stored_bytes: limit("stored_bytes")?,
        weight: weight.and_then(|weight| i32::try_from(weight).ok()),
    })
}
