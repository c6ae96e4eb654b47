//! PATCH /v2/{project_id}/sessions/{session_id}

use super::{changed, check_members, check_new_members, held, session_id};
use crate::call::Call;
use crate::error::ApiError;
use crate::validate::{Object, session};
use actix_web::HttpResponse;
use serde_json::json;

/// Changes what was sent: `schedule` as a whole, `jobs` job by job. Keys that are the server's or nobody's are ignored.
pub async fn update(mut call: Call) -> Result<HttpResponse, ApiError> {
    call.enforce("sessions:update")?;
    let id = session_id(&call);
    let body = call.object().await?;
    let parsed = session::parse(&Object::new(&body, ""))?;
    let (project, written) = (call.project.clone(), id.clone());
    call.write(move |tx| {
        let stored = held(tx, &project, &written)?;
        let before = stored.members.clone();
        let session = changed(stored, parsed.clone());
        check_members(&session, before.len())?;
        check_new_members(tx, &before, &session)?;
        Ok(tx.sessions().save(&session)?)
    })
    .await?;
    Ok(HttpResponse::Ok().json(json!({ "session_id": id, "version": 0 })))
}
