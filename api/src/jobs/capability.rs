//! What a job's client must be and be able to do (contract §6.5).

use crate::error::ApiError;
use crate::validate::action::MODE_ALIAS;
use freezer_database::Tx;
use freezer_model::{Action, Client, ClientId, Link, ProjectId, Quota, schedule::Schedule};
use serde_json::{Map, Value};

/// The client as the project sees it: its own, or a central one.
pub fn client(tx: &mut Tx, project: &ProjectId, id: &ClientId) -> Result<Client, ApiError> {
    tx.clients().get(project, id)?.ok_or_else(|| unknown(id))
}

/// As [`client`], with what is set for the project itself.
pub fn client_with_quota(
    tx: &mut Tx,
    project: &ProjectId,
    id: &ClientId,
) -> Result<(Client, Quota), ApiError> {
    tx.clients().get_with_quota(project, id)?.ok_or_else(|| unknown(id))
}

fn unknown(id: &ClientId) -> ApiError {
    ApiError::unprocessable(format!("Client not found with ID {id}"))
}

/// Refuses actions that the client has not registered for.
pub fn check_actions(client: &Client, actions: &[Action]) -> Result<(), ApiError> {
    let able = &client.capabilities;
    for action in actions {
        for (capability, key, supported) in [
            ("action", "action", &able.actions),
            ("mode", "mode", &able.modes),
            ("storage", "storage", &able.storages),
            ("engine", "engine_name", &able.engines),
            ("engine", "engine", &able.engines),
        ] {
            check(client, &action.freezer_action, capability, key, supported)?;
        }
        let several = action.freezer_action.get("storages").and_then(Value::as_array);
        for storage in several.into_iter().flatten().filter_map(Value::as_object) {
            check(client, storage, "storage", "storage", &able.storages)?;
        }
    }
    Ok(())
}

fn check(
    client: &Client,
    options: &Map<String, Value>,
    capability: &str,
    key: &str,
    supported: &[String],
) -> Result<(), ApiError> {
    let Some(Value::String(wanted)) = options.get(key) else { return Ok(()) };
    let meant = if key == "mode" && wanted == MODE_ALIAS.0 { MODE_ALIAS.1 } else { wanted };
    if wanted.is_empty() || supported.iter().any(|known| known == meant) {
        return Ok(());
    }
    let text = format!("Client {} does not support {capability}: {wanted}", client.client_id);
    Err(ApiError::unprocessable(text))
}

/// Whether our conductor drives the client, so that the job's state is the conductor's to write.
pub fn is_driven(client: Option<&Client>) -> bool {
    client.is_some_and(|client| client.link != Link::Poll)
}

/// A plan for a client that we drive must be one our conductor understands; upstream's scheduler reads its own.
pub fn check_plan(client: &Client, plan: &Map<String, Value>) -> Result<(), ApiError> {
    if client.link == Link::Poll {
        return Ok(());
    }
    Schedule::parse(plan).map(|_| ()).map_err(|error| {
        ApiError::bad_request(format!(
            "'job_schedule.{}': {} is not accepted; expected {}",
            error.key, error.value, error.expected
        ))
    })
}
