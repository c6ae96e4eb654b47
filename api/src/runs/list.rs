//! GET /v2/{project_id}/runs and GET /v2/{project_id}/jobs/{job_id}/runs

use crate::answer;
use crate::call::Call;
use crate::error::ApiError;
use actix_web::HttpResponse;
use freezer_database::{Cursor, Page, RunFilter};
use freezer_model::search::Search;
use freezer_model::{ClientId, JobId, RunState, RunSummary, document};

/// Lists the project's runs.
pub async fn list(mut call: Call) -> Result<HttpResponse, ApiError> {
    call.enforce("runs:get_all")?;
    let mut search = call.search().await?;
    let job_id = search.take_match("job_id", |_| true).map(JobId::new);
    shown(&call, search, job_id).await
}

/// Lists one job's runs; they outlive the job. 404 only when neither job nor runs are there.
pub async fn list_of_job(mut call: Call) -> Result<HttpResponse, ApiError> {
    call.enforce("runs:get_all")?;
    let search = call.search().await?;
    let (project, job_id) = (call.project.clone(), JobId::new(call.path("job_id")));
    let wanted = job_id.clone();
    let is_known = call
        .read(move |tx| {
            if tx.jobs().get(&project, &wanted)?.is_some() {
                return Ok(true);
            }
            let filter = RunFilter { job_id: Some(wanted), ..RunFilter::default() };
            let (mut any, mut one) = (false, Cursor::of(Page::first(1)));
            tx.runs().advance(&project, &filter, None, &mut one, &mut |_| {
                any = true;
                Ok::<(), ApiError>(())
            })?;
            Ok(any)
        })
        .await?;
    if !is_known {
        return Err(ApiError::absent());
    }
    shown(&call, search, Some(job_id)).await
}

async fn shown(call: &Call, mut search: Search, job_id: Option<JobId>) -> Result<HttpResponse, ApiError> {
    let page = call.page()?;
    let is_state = |word: &str| RunState::parse(word).is_some();
    let filter = RunFilter {
        job_id,
        client_id: search.take_match("client_id", |_| true).map(ClientId::new),
        state: search.take_match("state", is_state).and_then(|word| RunState::parse(&word)),
    };
    let project = call.project.clone();
    answer::list(call, "runs", page, move |db, cursor, items| {
        let wanted = |run: &RunSummary| search.matches(&document::run_summary(run));
        let residual = search.has_conditions().then_some(&wanted as &dyn Fn(&RunSummary) -> bool);
        db.read(|tx| {
            tx.runs().advance(&project, &filter, residual, cursor, &mut |run| {
                items.add(|out| serde_json::to_writer(out, &document::run_summary(&run)))
            })
        })
    })
    .await
}
