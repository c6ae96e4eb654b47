//! GET /v2/{project_id}/jobs/{job_id}

use super::{job_id, viewer};
use crate::answer;
use crate::call::Call;
use crate::error::ApiError;
use actix_web::HttpResponse;

/// Shows a job of the project; of any project to holders of `jobs:get_all_projects`.
pub async fn show(call: Call) -> Result<HttpResponse, ApiError> {
    call.enforce("jobs:get")?;
    let viewer = viewer(&call);
    let (project, id) = (call.project.clone(), job_id(&call));
    let text = call
        .read(move |tx| {
            let own = tx.jobs().show(&project, &id, viewer.project.as_ref())?;
            let job = match own {
                None if viewer.is_privileged => tx.jobs().show_any_project(&id)?,
                own => own,
            };
            job.map(|seen| answer::item(|out| viewer.answer(&seen).write(out))).transpose()
        })
        .await?;
    Ok(answer::json(text.ok_or_else(ApiError::absent)?))
}
