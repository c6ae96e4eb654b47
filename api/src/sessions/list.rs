//! GET /v2/{project_id}/sessions

use crate::answer;
use crate::call::Call;
use crate::error::ApiError;
use actix_web::HttpResponse;
use freezer_database::SessionFilter;
use freezer_model::{Session, SessionId, document};

/// Lists the project's sessions.
pub async fn list(mut call: Call) -> Result<HttpResponse, ApiError> {
    call.enforce("sessions:get_all")?;
    let page = call.page()?;
    let mut search = call.search().await?;
    let filter = SessionFilter { session_id: search.take_match("session_id", |_| true).map(SessionId::new) };
    let project = call.project.clone();
    answer::list(&call, "sessions", page, move |db, cursor, items| {
        let wanted = |session: &Session| search.matches(&document::session(session));
        let residual = search.has_conditions().then_some(&wanted as &dyn Fn(&Session) -> bool);
        db.read(|tx| {
            tx.sessions().advance(&project, &filter, residual, cursor, &mut |session| {
                items.add(|out| serde_json::to_writer(out, &document::session(&session)))
            })
        })
    })
    .await
}
