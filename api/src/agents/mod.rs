//! The HTTPS link of agents in tenants' machines: the messages of [`freezer_model::rpc`] as request bodies. One verb per file.
//!
//! Nothing is decided here. Reports are relayed to a conductor as calls and its answer is the answer; orders are read from
//! the runs' rows, so that no process can lose one. Who speaks is settled here: the token's project, the path's and the
//! message's must be one, whatever the caller's roles, and the reporter in a relayed message is never the caller's word.

mod finished;
mod heartbeat;
mod hello;
mod progress;
mod started;
mod work;

pub use finished::finished;
pub use heartbeat::heartbeat;
pub use hello::hello;
pub use progress::progress;
pub use started::started;
pub use work::work;

use crate::call::Call;
use crate::error::ApiError;
use crate::openapi;
use crate::validate::names;
use freezer_model::rpc::{AgentHello, Reporter};
use freezer_model::{ClientId, Holder, Link, ProjectId};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Largest message, if the service takes no larger ones anyway.
const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Largest report of an end: the result of a step names the files that could not be read.
const RESULT_BYTES_MAX: usize = 8 << 20;
/// Characters of the texts an agent says about itself.
pub const TEXT_MAX: usize = 128;
/// Words of one kind of capability.
pub const WORDS_MAX: usize = 64;

/// The agent that calls, after policy and the token's project were checked.
fn speaker(call: &Call) -> Result<Reporter, ApiError> {
    call.enforce("agents:link")?;
    if call.caller.project_id.as_ref() != Some(&call.project) {
        return Err(ApiError::forbidden());
    }
    let client_id = call.path("client_id");
    let is_good = client_id.chars().count() <= names::CLIENT_ID_MAX && names::is_client_id(&client_id);
    if !is_good {
        return Err(ApiError::bad_request(
            "The client id in the path must be a host name, optionally after a prefix of letters, digits, '_' and '-' that ends with '_'",
        ));
    }
    Ok(Reporter { project_id: call.project.clone(), client_id: ClientId::new(client_id) })
}

/// The agent that calls, when this login is the one that speaks for it; see [`Holder`]. Hellos are checked by the conductor,
/// where the name is bound.
async fn holder(call: &Call) -> Result<Reporter, ApiError> {
    let agent = speaker(call)?;
    let (user, credential) =
        (call.caller.user_id.clone(), call.caller.identity.application_credential_id.clone());
    let named = agent.clone();
    call.read(move |tx| match tx.clients().holder(&named.project_id, &named.client_id)? {
        Some(holder) if !holder.admits(&user, credential.as_deref()) => {
            Err(ApiError::conflict(Holder::refusal(&named.client_id)))
        }
        _ => Ok(named),
    })
    .await
}

/// The body as the message it must be; `schema` is its name in the OpenAPI document.
async fn message<T: DeserializeOwned>(call: &mut Call, schema: &str) -> Result<T, ApiError> {
    message_up_to(call, schema, MESSAGE_BYTES_MAX).await
}

async fn message_up_to<T: DeserializeOwned>(
    call: &mut Call,
    schema: &str,
    bytes: usize,
) -> Result<T, ApiError> {
    let body = call.json_up_to(bytes).await?.into_object()?;
    read(schema, Value::Object(body))
}

fn read<T: DeserializeOwned>(schema: &str, body: Value) -> Result<T, ApiError> {
    let refused = |why: String| ApiError::bad_request(format!("The body is not this message: {why}"));
    // The reader would take a list for an object, and does not say where something is wrong.
    if let Some(why) = openapi::mismatch(schema, &body) {
        return Err(refused(why));
    }
    T::deserialize(body).map_err(|error| refused(error.to_string()))
}

/// Refuses a message that says it comes from somebody else.
fn check_sender(agent: &Reporter, project: &ProjectId, client: &ClientId) -> Result<(), ApiError> {
    if *project == agent.project_id && *client == agent.client_id {
        Ok(())
    } else {
        Err(ApiError::forbidden())
    }
}

/// Hello and heartbeat as a conductor may have them.
async fn introduction(call: &mut Call) -> Result<AgentHello, ApiError> {
    let agent = speaker(call)?;
    let mut hello: AgentHello = message(call, "AgentHello").await?;
    check_sender(&agent, &hello.project_id, &hello.client_id)?;
    // A central client works for all projects: that is not a guest's to say.
    if hello.is_central && !call.is_allowed_everywhere("clients:create_central") {
        return Err(ApiError::forbidden());
    }
    check_text("hostname", &hello.hostname)?;
    check_text("agent_version", &hello.agent_version)?;
    let can = &hello.capabilities;
    for (kind, words) in [
        ("actions", &can.actions),
        ("modes", &can.modes),
        ("storages", &can.storages),
        ("engines", &can.engines),
    ] {
        let fits =
            words.len() <= WORDS_MAX && words.iter().all(|word| names::is_id(word) && word.len() <= TEXT_MAX);
        if !fits {
            let text = format!(
                "capabilities.{kind} must be at most {WORDS_MAX} words of letters, digits, '_' and '-'"
            );
            return Err(ApiError::bad_request(text));
        }
    }
    hello.link = Link::Http;
    Ok(hello)
}

fn check_text(name: &str, text: &str) -> Result<(), ApiError> {
    let length = text.chars().count();
    if (1..=TEXT_MAX).contains(&length) && !text.chars().any(char::is_control) {
        return Ok(());
    }
    Err(ApiError::bad_request(format!(
        "{name} must be 1 to {TEXT_MAX} characters, none of them a control character"
    )))
}

/// Calls a method of the conductors.
async fn relay(call: &Call, method: &str, message: &impl Serialize) -> Result<Value, ApiError> {
    let args = serde_json::to_value(message).map_err(|error| ApiError::internal(error.to_string()))?;
    call.state.notices.ask(&call.caller, method, args).await
}
