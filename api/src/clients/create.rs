//! POST /v2/{project_id}/clients: register, or register again.

use crate::call::Call;
use crate::error::ApiError;
use crate::validate::Object;
use crate::validate::client::{self, ClientBody};
use actix_web::HttpResponse;
use freezer_database::{DbError, Tx};
use freezer_model::{Client, Link};
use serde_json::json;

const ORDINARY: &str = "clients:create";
const CENTRAL: &str = "clients:create_central";

/// Registers a client. Every start of a scheduler does this: what is known is updated, identity stays.
/// A central client needs only the rule for central ones, so that a bare service user can run one.
pub async fn create(mut call: Call) -> Result<HttpResponse, ApiError> {
    let may_central = call.is_allowed_everywhere(CENTRAL);
    let may_ordinary = call.enforce(ORDINARY);
    if !may_central {
        may_ordinary?;
        let body = read(&mut call).await?;
        return if body.is_central { Err(ApiError::forbidden()) } else { register(call, body, false).await };
    }
    let body = read(&mut call).await?;
    if !body.is_central {
        may_ordinary?;
    }
    register(call, body, true).await
}

async fn read(call: &mut Call) -> Result<ClientBody, ApiError> {
    let body = call.object().await?;
    Ok(client::parse(&Object::new(&body, ""))?)
}

async fn register(call: Call, body: ClientBody, may_central: bool) -> Result<HttpResponse, ApiError> {
    let id = body.client_id.clone();
    let new = Client {
        project_id: call.project.clone(),
        client_id: id.clone(),
        uuid: body.uuid.unwrap_or_else(|| uuid::Uuid::new_v4().simple().to_string()),
        user_id: call.caller.user_id.clone(),
        hostname: body.hostname,
        description: body.description,
        capabilities: body.capabilities,
        is_central: body.is_central,
        link: Link::Poll,
        agent_version: None,
        created_at: call.now,
        last_seen_at: None,
    };
    call.upsert(move |tx| upsert(tx, &new, may_central)).await?;
    Ok(HttpResponse::Created().json(json!({ "client_id": id })))
}

fn upsert(tx: &mut Tx, new: &Client, may_central: bool) -> Result<(), ApiError> {
    tx.clients().lock_name(&new.client_id)?;
    let same_name = tx.clients().of_any_project(&new.client_id)?;
    if let Some(own) = same_name.iter().find(|client| client.project_id == new.project_id) {
        // It works for all projects, so what it can do is not for members of its own to say.
        if own.is_central && !may_central {
            return Err(ApiError::forbidden());
        }
        let own = (&own.project_id, &own.client_id);
        return Ok(tx.clients().describe(own, new.description.as_deref(), &new.capabilities)?);
    }
    // A central client is seen by all, so its name is taken for all. Others' own clients are nobody's business.
    if same_name.iter().any(|client| client.is_central) {
        let text = format!("Client {} is already registered by another project", new.client_id);
        return Err(ApiError::conflict(text));
    }
    tx.clients().insert(new).map_err(|error| match error {
        DbError::Conflict { .. } => ApiError::conflict("Document with the specified ID already exists."),
        other => other.into(),
    })
}
