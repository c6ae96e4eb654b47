//! POST /v2/{project_id}/jobs

use super::merge::StateOwner;
use super::resolve::Owner;
use super::trust::{self, TrustDesk};
use super::{capability, merge, owner, resolve, state_owner};
use crate::call::Call;
use crate::error::ApiError;
use crate::quotas;
use crate::validate::Object;
use crate::validate::job::{self, JobBody};
use actix_web::HttpResponse;
use freezer_database::{DbError, Tx};
use freezer_model::{Job, JobId};
use serde_json::json;

/// Creates a job and the actions it brings, all or nothing.
pub async fn create(mut call: Call) -> Result<HttpResponse, ApiError> {
    call.enforce("jobs:create")?;
    let body = call.object().await?;
    let body = job::parse_new(&Object::new(&body, ""))?;
    let id = body.job_id.clone().unwrap_or_else(JobId::random);
    let owner = owner(&call);
    let written = id.clone();
    trust::write(&call, trust::Lane::Insert, move |tx, trusts| {
        insert(tx, trusts, &owner, written.clone(), body.clone()).map(|_| ())
    })
    .await?;
    call.tell_conductors(&call.project, &id);
    Ok(HttpResponse::Created().json(json!({ "job_id": id })))
}

/// Writes a job that must not be there yet.
pub(super) fn insert(
    tx: &mut Tx,
    trusts: &TrustDesk,
    owner: &Owner,
    id: JobId,
    body: JobBody,
) -> Result<Job, ApiError> {
    let (Some(client_id), Some(entries)) = (body.client_id.clone(), body.actions.as_deref()) else {
        return Err(ApiError::bad_request("'client_id' and 'job_actions' are required properties"));
    };
    let (client, quota) = capability::client_with_quota(tx, &owner.project, &client_id)?;
    quotas::check_jobs(tx, &owner.project, owner.quota.of(&quota))?;
    let actions = resolve::actions(tx, owner, entries)?;
    capability::check_actions(&client, &actions)?;
    let who = state_owner(Some(&client));
    let mut job = merge::created(owner, id, client_id, body, actions, who);
    capability::check_plan(&client, &job.plan)?;
    job.credentials = trusts.choose(tx, &owner.project, &client, None)?;
    let heard_at = (who == StateOwner::Client).then_some(owner.now);
    tx.jobs().insert_for_attention(&job, owner.now, heard_at).map_err(|error| match error {
        DbError::Conflict { .. } => {
            ApiError::conflict(format!("Job already registered with ID {}", job.job_id))
        }
        other => other.into(),
    })?;
    Ok(job)
}
