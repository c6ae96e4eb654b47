//! POST /v2/{project_id}/sessions/{session_id}: create under this id, or replace.

use super::{changed, check_new_members, made, session_id};
use crate::call::Call;
use crate::error::ApiError;
use crate::validate::Object;
use crate::validate::names::{self, ID_MAX};
use crate::validate::session::{self, SessionBody};
use actix_web::HttpResponse;
use freezer_database::Tx;
use freezer_model::Session;
use serde_json::json;

/// Creates or replaces a session; the path's id counts, whatever the body says.
pub async fn replace(mut call: Call) -> Result<HttpResponse, ApiError> {
    call.enforce("sessions:replace")?;
    let id = session_id(&call);
    if !names::is_id(id.as_str()) || id.as_str().chars().count() > ID_MAX {
        return Err(ApiError::bad_request(
            "'session_id' in the path must be made of letters, digits, '_' and '-'",
        ));
    }
    let body = call.object().await?;
    let parsed = session::parse_whole(&Object::new(&body, ""))?;
    let new = made(&call, id.clone(), parsed.clone());
    call.upsert(move |tx| upsert(tx, &new, &parsed)).await?;
    Ok(HttpResponse::Created().json(json!({ "session_id": id, "version": id })))
}

/// Fields that were not sent keep their value, members that were not sent go.
fn upsert(tx: &mut Tx, new: &Session, body: &SessionBody) -> Result<(), ApiError> {
    let (project, id) = (&new.project_id, &new.session_id);
    let jobs = tx.jobs().of_session_for_update(project, id)?;
    let Some(mut stored) = tx.sessions().get_for_update(project, id)? else {
        check_new_members(tx, &[], new)?;
        return Ok(tx.sessions().insert(new)?);
    };
    let before = stored.members.clone();
    stored.members.retain(|member| new.member(&member.job_id).is_some());
    let mut body = body.clone();
    // `null` counts as not sent here.
    body.description = body.description.filter(Option::is_some);
    body.result = body.result.filter(Option::is_some);
    let session = changed(stored, body);
    check_new_members(tx, &before, &session)?;
    for job in jobs.iter().filter(|job| session.member(job).is_none()) {
        tx.jobs().set_session(project, job, "", 0)?;
    }
    Ok(tx.sessions().save(&session)?)
}
