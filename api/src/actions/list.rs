//! GET /v2/{project_id}/actions

use crate::call::Call;
use crate::error::ApiError;
use actix_web::HttpResponse;
use freezer_model::{Action, document};
use serde_json::{Value, json};

/// Lists the project's saved actions.
pub async fn list(mut call: Call) -> Result<HttpResponse, ApiError> {
    call.enforce("actions:get_all")?;
    let page = call.page()?;
    let search = call.search().await?;
    let project = call.project.clone();
    let actions = call
        .read(move |tx| {
            let wanted = |action: &Action| search.matches(&document::action_in_list(action));
            let residual = search.has_conditions().then_some(&wanted as &dyn Fn(&Action) -> bool);
            Ok(tx.actions().list(&project, residual, page)?)
        })
        .await?;
    let documents: Vec<Value> = actions.iter().map(document::action_in_list).collect();
    Ok(HttpResponse::Ok().json(json!({ "actions": documents })))
}
