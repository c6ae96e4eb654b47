//! PATCH /v2/{project_id}/runs/{run_id}

use crate::call::Call;
use crate::error::ApiError;
use crate::validate::{Object, Refusal};
use actix_web::HttpResponse;
use freezer_database::Tx;
use freezer_model::rate_limits::{KEYS, UNLIMITED};
use freezer_model::{ProjectId, RateLimits, Run, RunId, document};

/// Bytes a second; more than any network has.
pub const RATE_MAX: i64 = 1_000_000_000_000_000;

/// Changes how fast a run that has not ended may move bytes: in the step that it is at, as soon as its agent hears of it, and in
/// those that follow. What the agent's operator allows at most holds beside it.
pub async fn update(mut call: Call) -> Result<HttpResponse, ApiError> {
    call.enforce("runs:update")?;
    let body = call.object().await?;
    let limits = wanted(&Object::new(&body, ""))?;
    let (project, id) = (call.project.clone(), RunId::new(call.path("run_id")));
    let run = call.write(move |tx| change(tx, &project, &id, limits)).await?;
    call.state.notices.run_changed(&call.caller, &run.project_id, &run.run_id);
    Ok(HttpResponse::Ok().json(document::run(&run)))
}

/// A number for a limit, null for none; what is not named stays.
fn wanted(body: &Object<'_>) -> Result<RateLimits, Refusal> {
    body.only(&KEYS)?;
    let [upload, download] = KEYS;
    let limit = |key| {
        let rate = body.whole(key, 1, RATE_MAX)?;
        Ok(body.has(key).then(|| rate.unwrap_or(UNLIMITED)))
    };
    let limits = RateLimits { upload_limit: limit(upload)?, download_limit: limit(download)? };
    if limits.is_empty() {
        return Err(Refusal(format!("name {upload} or {download}, in bytes a second, or null for no limit")));
    }
    Ok(limits)
}

fn change(tx: &mut Tx, project: &ProjectId, id: &RunId, limits: RateLimits) -> Result<Run, ApiError> {
    // Looked for in the project first: a neighbour's is not even locked for a moment.
    if tx.runs().get(project, id)?.is_none() {
        return Err(ApiError::absent());
    }
    let mut run = tx.runs().get_for_update(id)?.ok_or_else(ApiError::absent)?;
    if run.state.is_final() {
        return Err(ApiError::conflict(format!("Run {id} has ended: {}", run.state.as_str())));
    }
    for action in run.actions.iter_mut().skip(run.action_index) {
        limits.put_into(&mut action.freezer_action);
    }
    tx.runs().save(&run)?;
    Ok(run)
}
