//! PATCH /v2/{project_id}/jobs/{job_id}

use super::merge::StateOwner;
use super::resolve::Owner;
use super::tell_end::tell_end;
use super::trust::{self, TrustDesk};
use super::{ask_to_look, capability, job_id, merge, owner, report, resolve, state_owner};
use crate::call::Call;
use crate::error::ApiError;
use crate::validate::Object;
use crate::validate::job::{self, JobBody};
use actix_web::HttpResponse;
use freezer_database::Tx;
use freezer_model::{Client, Job, JobEvent, JobId};
use serde_json::json;

/// Changes what was sent. `version` in the answer is for clients that want one; there is no locking by it.
pub async fn update(mut call: Call) -> Result<HttpResponse, ApiError> {
    call.enforce("jobs:update")?;
    let id = job_id(&call);
    let body = call.object().await?;
    let body = job::parse(&Object::new(&body, ""))?;
    let owner = owner(&call);
    let written = id.clone();
    trust::write(&call, trust::Lane::Change, move |tx, trusts| {
        patch(tx, trusts, &owner, &written, body.clone())
    })
    .await?;
    call.tell_conductors(&call.project, &id);
    Ok(HttpResponse::Ok().json(json!({ "job_id": id, "version": 0 })))
}

fn patch(tx: &mut Tx, trusts: &TrustDesk, owner: &Owner, id: &JobId, body: JobBody) -> Result<(), ApiError> {
    let stored =
        tx.jobs().get_for_update(&owner.project, id)?.ok_or_else(|| ApiError::not_found("Job", id))?;
    let client = client_after(tx, owner, &stored, &body)?;
    let actions = match &body.actions {
        Some(entries) => Some(resolve::actions(tx, owner, entries)?),
        None => None,
    };
    let (who, plan_version) = (state_owner(client.as_ref()), stored.plan_version);
    let body = if body.is_report { report::newer_part(tx, body, &stored)? } else { body };
    let (is_report, known, of_before) = (body.is_report, stored.state.clone(), stored.client_id.clone());
    let must_check = body.client_id.is_some() || body.actions.is_some();
    let (is_client_chosen, before) = (body.client_id.is_some(), stored.credentials.clone());
    let mut job = merge::patched(stored, body, actions, who);
    if let Some(client) = &client {
        if must_check {
            capability::check_actions(client, &job.actions)?;
        }
        if must_check || job.plan_version != plan_version {
            capability::check_plan(client, &job.plan)?;
        }
    }
    if let Some(client) = client.filter(|_| is_client_chosen) {
        job.credentials = trusts.choose(tx, &owner.project, &client, before.as_ref())?;
    }
    tx.jobs().save(&job)?;
    if !is_report && job.state.event != known.event && job.state.event != JobEvent::None {
        tx.jobs().set_event_is_new(&owner.project, id)?;
    }
    let is_polled_for = who == StateOwner::Client;
    if is_report && is_polled_for {
        tell_end(tx, &known, &job, owner.now)?;
    }
    trusts.leave(tx, &owner.project, before.as_ref(), job.credentials.as_ref())?;
    // Words that change nothing of what is to be done begin no silence.
    let is_new = job.plan_version != plan_version || job.state != known || job.client_id != of_before;
    ask_to_look(tx, &owner.project, id, is_polled_for && (is_report || is_new), owner.now)?;
    Ok(())
}

/// The job's client after the patch. It must exist only if the patch is about it or about actions: a scheduler's
/// reports are taken even after its registration was deleted.
fn client_after(
    tx: &mut Tx,
    owner: &Owner,
    stored: &Job,
    body: &JobBody,
) -> Result<Option<Client>, ApiError> {
    let id = body.client_id.as_ref().unwrap_or(&stored.client_id);
    if body.client_id.is_some() || body.actions.is_some() {
        return capability::client(tx, &owner.project, id).map(Some);
    }
    Ok(tx.clients().get(&owner.project, id)?)
}
