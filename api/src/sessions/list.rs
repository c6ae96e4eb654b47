//! GET /v2/{project_id}/sessions

use crate::call::Call;
use crate::error::ApiError;
use actix_web::HttpResponse;
use freezer_database::SessionFilter;
use freezer_model::{Session, SessionId, document};
use serde_json::{Value, json};

/// Lists the project's sessions.
pub async fn list(mut call: Call) -> Result<HttpResponse, ApiError> {
    call.enforce("sessions:get_all")?;
    let page = call.page()?;
    let mut search = call.search().await?;
    let filter = SessionFilter { session_id: search.take_match("session_id", |_| true).map(SessionId::new) };
    let project = call.project.clone();
    let sessions = call
        .read(move |tx| {
            let wanted = |session: &Session| search.matches(&document::session(session));
            let residual = search.has_conditions().then_some(&wanted as &dyn Fn(&Session) -> bool);
            Ok(tx.sessions().list(&project, &filter, residual, page)?)
        })
        .await?;
    let documents: Vec<Value> = sessions.iter().map(document::session).collect();
    Ok(HttpResponse::Ok().json(json!({ "sessions": documents })))
}
