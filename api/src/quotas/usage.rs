//! GET /v2/{project_id}/usage

use crate::call::Call;
use crate::error::ApiError;
use actix_web::HttpResponse;
use freezer_model::quota::UNLIMITED;
use serde_json::json;

/// Shows what the project uses of its limits.
pub async fn usage(call: Call) -> Result<HttpResponse, ApiError> {
    call.enforce("usage:get")?;
    let project = call.project.clone();
    let defaults = call.state.options.quota;
    let (limits, jobs, runs, stored) = call
        .read(move |tx| {
            let limits = defaults.of(&tx.quotas().get(&project)?);
            let runs = tx.runs().held_by_project(&[project.to_string()])?;
            Ok((
                limits,
                tx.quotas().count_jobs(&project)?,
                runs.get(&project).copied().unwrap_or(0),
                tx.quotas().stored_bytes(&project)?,
            ))
        })
        .await?;
    let of = |used: i64, limit: Option<i64>| json!({"used": used, "limit": limit.unwrap_or(UNLIMITED)});
    Ok(HttpResponse::Ok().json(json!({
        "project_id": call.project,
        "usage": {
            "jobs": of(jobs, limits.jobs),
            "runs": of(runs, limits.runs),
            "stored_bytes": of(stored, limits.stored_bytes),
        },
    })))
}
