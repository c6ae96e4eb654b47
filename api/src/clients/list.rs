//! GET /v2/{project_id}/clients

use crate::answer;
use crate::call::Call;
use crate::error::ApiError;
use actix_web::HttpResponse;
use freezer_database::ClientFilter;
use freezer_model::{Client, ClientId, document};

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
    answer::list(&call, "clients", page, move |db, cursor, items| {
        let wanted = |client: &Client| search.matches(&document::client(client));
        let residual = search.has_conditions().then_some(&wanted as &dyn Fn(&Client) -> bool);
        db.read(|tx| {
            tx.clients().advance(&project, &filter, residual, cursor, &mut |client| {
                items.add(|out| serde_json::to_writer(out, &document::client(&client)))
            })
        })
    })
    .await
}
