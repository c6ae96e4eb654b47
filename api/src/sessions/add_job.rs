//! PUT /v2/{project_id}/sessions/{session_id}/jobs/{job_id}

use super::{check_members, held, job_id, session_id};
use crate::call::Call;
use crate::error::ApiError;
use crate::jobs::{ask_to_look, capability};
use actix_web::HttpResponse;
use freezer_database::Tx;
use freezer_model::{JobId, ProjectId, SessionId, Timestamp};

/// Takes a job in: it gets the session's plan and round, and keeps its state. Once more begins its entry anew.
pub async fn add_job(call: Call) -> Result<HttpResponse, ApiError> {
    call.enforce("sessions:job:add")?;
    let (project, now) = (call.project.clone(), call.now);
    let (session, job) = (session_id(&call), job_id(&call));
    let added = job.clone();
    call.write(move |tx| add(tx, &project, &session, &added, now)).await?;
    call.tell_conductors(&call.project, &job);
    Ok(HttpResponse::NoContent().finish())
}

fn add(
    tx: &mut Tx,
    project: &ProjectId,
    id: &SessionId,
    job_id: &JobId,
    now: Timestamp,
) -> Result<(), ApiError> {
    let job = tx.jobs().get_for_update(project, job_id)?;
    let mut job = job.ok_or_else(|| ApiError::not_found("Job", job_id))?;
    // A job is in one session: another one would wait for it in vain.
    tx.sessions().leave_all(project, job_id, Some(id), now)?;
    let mut session = held(tx, project, id)?;
    let before = session.members.len();
    session.attach(&job);
    check_members(&session, before)?;
    job.session_id = Some(id.to_string());
    job.session_tag = session.session_tag;
    let plan = session.plan();
    let mut is_new_to_scheduler = false;
    // A session without a plan of its own has none to give.
    if !plan.is_empty() && plan != job.plan {
        let client = tx.clients().get(project, &job.client_id)?;
        if let Some(client) = &client {
            capability::check_plan(client, &plan)?;
        }
        is_new_to_scheduler = !capability::is_driven(client.as_ref());
        job.plan = plan;
        job.plan_version += 1;
    }
    tx.sessions().save(&session)?;
    tx.jobs().save(&job)?;
    ask_to_look(tx, project, job_id, is_new_to_scheduler, now)?;
    Ok(())
}
