//! GET /v2/{project_id}/jobs

use super::{ALL_PROJECTS, viewer};
use crate::answer;
use crate::call::Call;
use crate::error::ApiError;
use actix_web::HttpResponse;
use freezer_database::{JobFilter, JobList, LargePage, Scope, SeenJob, ShownJob};
use freezer_model::search::Search;
use freezer_model::{ClientId, JobEvent, JobId, JobStatus, ProjectId};

/// Lists the project's jobs; those of all projects when that is asked for and allowed.
pub async fn list(mut call: Call) -> Result<HttpResponse, ApiError> {
    call.enforce("jobs:get_all")?;
    let viewer = viewer(&call);
    let is_everything = call.query()?.all_projects()? && viewer.is_privileged;
    let page = call.page()?;
    let mut search = call.search().await?;
    let filter = filter(&mut search);
    let is_poll = is_poll(&call, &filter);
    let project = call.project.clone();
    let mut large = LargePage::default();
    answer::list(&call, "jobs", page, move |db, cursor, items| {
        let scope = if is_everything { Scope::All } else { Scope::Project(&project) };
        let pid = viewer.pid_in_search();
        let wanted = |seen: &SeenJob| {
            viewer.document(seen, pid).to_value().is_ok_and(|document| search.matches(&document))
        };
        let residual = search.has_conditions().then_some(&wanted as &dyn Fn(&SeenJob) -> bool);
        let listed = JobList { scope, filter: &filter, viewer: viewer.project.as_ref() };
        let mut pending = Vec::new();
        db.advance_jobs(listed, residual, (cursor, &mut large), &mut |seen| {
            if is_poll {
                pending.extend(pending_event(&seen.job));
            }
            items.add(|out| viewer.answer(&seen).write(out))
        })?;
        let shown = match pending.as_slice() {
            [] => Vec::new(),
            pending => db.read(|tx| tx.jobs().new_events(pending))?,
        };
        if !shown.is_empty() {
            db.transaction(|tx| Ok::<(), ApiError>(tx.jobs().events_are_shown(&shown)?))?;
        }
        Ok(())
    })
    .await
}

/// Whether a scheduler looks for its work: it asks, as nobody else does, for the jobs of one client that are not completed,
/// and may report on them. Its later reports may clear the events it is shown now.
fn is_poll(call: &Call, filter: &JobFilter) -> bool {
    let asks = filter.client_id.is_some() && filter.status_not == [JobStatus::Completed];
    asks && (call.enforce("jobs:update").is_ok() || call.is_allowed_everywhere(ALL_PROJECTS))
}

fn pending_event(job: &ShownJob) -> Option<(ProjectId, JobId, JobEvent)> {
    let is_pending = job.state.event != JobEvent::None;
    is_pending.then(|| (job.project_id.clone(), job.job_id.clone(), job.state.event))
}

/// The conditions that columns decide.
fn filter(search: &mut Search) -> JobFilter {
    let is_status = |word: &str| JobStatus::parse(word).is_some();
    let mut status_not = Vec::new();
    while let Some(word) = search.take_match_not("status", is_status) {
        status_not.extend(JobStatus::parse(&word));
    }
    JobFilter {
        job_id: search.take_match("job_id", |_| true).map(JobId::new),
        client_id: search.take_match("client_id", |_| true).map(ClientId::new),
        session_id: search.take_match("session_id", |_| true),
        status: search.take_match("status", is_status).and_then(|word| JobStatus::parse(&word)),
        status_not,
    }
}
