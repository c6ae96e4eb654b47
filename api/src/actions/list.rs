//! GET /v2/{project_id}/actions

use crate::answer;
use crate::call::Call;
use crate::error::ApiError;
use actix_web::HttpResponse;
use freezer_model::{Action, document};

/// Lists the project's saved actions.
pub async fn list(mut call: Call) -> Result<HttpResponse, ApiError> {
    call.enforce("actions:get_all")?;
    let page = call.page()?;
    let search = call.search().await?;
    let project = call.project.clone();
    answer::list(&call, "actions", page, move |db, cursor, items| {
        let wanted = |action: &Action| search.matches(&document::action_in_list(action));
        let residual = search.has_conditions().then_some(&wanted as &dyn Fn(&Action) -> bool);
        db.read(|tx| {
            tx.actions().advance(&project, residual, cursor, &mut |action| {
                items.add(|out| serde_json::to_writer(out, &document::action_in_list(&action)))
            })
        })
    })
    .await
}
