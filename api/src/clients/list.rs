//! GET /v2/{project_id}/clients

use crate::call::Call;
use crate::error::ApiError;
use actix_web::HttpResponse;
use freezer_database::ClientFilter;
use freezer_model::{Client, ClientId, document};
use serde_json::{Value, json};

/// Lists the project's clients and the central ones of all projects.
pub async fn list(mut call: Call) -> Result<HttpResponse, ApiError> {
    call.enforce("clients:get_all")?;
    let page = call.page()?;
    let mut search = call.search().await?;
    let filter = ClientFilter {
        client_id: search.take_match("client_id", |_| true).map(ClientId::new),
        uuid: search.take_match("uuid", |_| true),
    };
    let project = call.project.clone();
    let clients = call
        .read(move |tx| {
            let wanted = |client: &Client| search.matches(&document::client(client));
            let residual = search.has_conditions().then_some(&wanted as &dyn Fn(&Client) -> bool);
            Ok(tx.clients().list(&project, &filter, residual, page)?)
        })
        .await?;
    let documents: Vec<Value> = clients.iter().map(document::client).collect();
    Ok(HttpResponse::Ok().json(json!({ "clients": documents })))
}
