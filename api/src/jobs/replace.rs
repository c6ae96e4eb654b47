//! POST /v2/{project_id}/jobs/{job_id}: create under this id, or replace.

use super::merge::StateOwner;
use super::resolve::Owner;
use super::trust::{self, TrustDesk};
use super::{ask_to_look, capability, create, job_id, merge, owner, resolve, state_owner};
use crate::call::Call;
use crate::error::ApiError;
use crate::validate::Object;
use crate::validate::job::{self, JobBody};
use crate::validate::names::{self, ID_MAX};
use actix_web::HttpResponse;
use freezer_database::Tx;
use freezer_model::{Job, JobId, SessionId};
use serde_json::json;

/// Creates or replaces a job; the path's id counts, whatever the body says.
pub async fn replace(mut call: Call) -> Result<HttpResponse, ApiError> {
    call.enforce("jobs:create")?;
    let id = job_id(&call);
    if !names::is_id(id.as_str()) || id.as_str().chars().count() > ID_MAX {
        return Err(ApiError::bad_request(
            "'job_id' in the path must be made of letters, digits, '_' and '-'",
        ));
    }
    let body = call.object().await?;
    let body = job::parse_new(&Object::new(&body, ""))?;
    let owner = owner(&call);
    let written = id.clone();
    trust::write(&call, trust::Lane::Upsert, move |tx, trusts| {
        upsert(tx, trusts, &owner, written.clone(), body.clone())
    })
    .await?;
    call.tell_conductors(&call.project, &id);
    Ok(HttpResponse::Created().json(json!({ "job_id": id, "version": id })))
}

fn upsert(tx: &mut Tx, trusts: &TrustDesk, owner: &Owner, id: JobId, body: JobBody) -> Result<Job, ApiError> {
    let Some(stored) = tx.jobs().get_for_update(&owner.project, &id)? else {
        return create::insert(tx, trusts, owner, id, body);
    };
    let client_id = body.client_id.clone().unwrap_or_else(|| stored.client_id.clone());
    let client = capability::client(tx, &owner.project, &client_id)?;
    let actions = resolve::actions(tx, owner, body.actions.as_deref().unwrap_or_default())?;
    capability::check_actions(&client, &actions)?;
    let before = stored.credentials.clone();
    let (known, of_before, plan_version) =
        (stored.state.clone(), stored.client_id.clone(), stored.plan_version);
    let session = stored.session_id.clone().filter(|session| !session.is_empty());
    let who = state_owner(Some(&client));
    let mut job = merge::replaced(stored, client_id, body, actions, who);
    capability::check_plan(&client, &job.plan)?;
    job.credentials = trusts.choose(tx, &owner.project, &client, before.as_ref())?;
    tx.jobs().save(&job)?;
    // A session that it no longer says it is in must not wait for it.
    if session.is_some() && job.session_id != session {
        let stays = job.session_id.as_deref().map(SessionId::from);
        tx.sessions().leave_all(&owner.project, &job.job_id, stays.as_ref(), owner.now)?;
    }
    trusts.leave(tx, &owner.project, before.as_ref(), job.credentials.as_ref())?;
    // What is written once more as it was, by a tool that does so each hour, begins no silence.
    let is_new = job.plan_version != plan_version || job.state != known || job.client_id != of_before;
    ask_to_look(tx, &owner.project, &job.job_id, who == StateOwner::Client && is_new, owner.now)?;
    Ok(job)
}
