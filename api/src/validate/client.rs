//! Registration of a client.

use super::action;
use super::names::{self, CLIENT_ID_MAX, HOSTNAME_MAX, TEXT_MAX};
use super::object::{Object, Refusal};
use freezer_model::client::{ALL_STORAGES, KNOWN_ACTIONS, KNOWN_ENGINES, KNOWN_MODES};
use freezer_model::{Capabilities, ClientId};

#[derive(Clone, Debug, PartialEq)]
pub struct ClientBody {
    pub client_id: ClientId,
    pub hostname: Option<String>,
    pub description: Option<String>,
    pub uuid: Option<String>,
    pub capabilities: Capabilities,
    pub is_central: bool,
}

/// Reads a registration. Keys beyond the known ones are accepted and not kept.
pub fn parse(body: &Object<'_>) -> Result<ClientBody, Refusal> {
    let all = Capabilities::default();
    let hostname = body.text("hostname", HOSTNAME_MAX)?;
    if hostname.is_some_and(|name| !names::is_hostname(name)) {
        return Err(body.refuse("hostname", "must hold a letter or a digit"));
    }
    Ok(ClientBody {
        client_id: client_id(body)?.ok_or_else(|| body.missing("client_id"))?,
        hostname: hostname.map(str::to_owned),
        description: body.text("description", TEXT_MAX)?.map(str::to_owned),
        uuid: action::id(body, "uuid")?.map(str::to_owned),
        capabilities: Capabilities {
            actions: body.words("supported_actions", &KNOWN_ACTIONS)?.unwrap_or(all.actions),
            modes: body.words("supported_modes", &KNOWN_MODES)?.unwrap_or(all.modes),
            storages: body.words("supported_storages", &ALL_STORAGES)?.unwrap_or(all.storages),
            engines: body.words("supported_engines", &KNOWN_ENGINES)?.unwrap_or(all.engines),
        },
        is_central: body.flag("is_central")?.unwrap_or(false),
    })
}

/// A client id in a body; `null` is refused.
pub fn client_id(body: &Object<'_>) -> Result<Option<ClientId>, Refusal> {
    match body.text("client_id", CLIENT_ID_MAX)? {
        None => Ok(None),
        Some(text) if names::is_client_id(text) => Ok(Some(ClientId::new(text))),
        Some(_) => Err(body.refuse(
            "client_id",
            "must be a host name, optionally after a prefix of letters, digits, '_' and '-' that ends with '_'",
        )),
    }
}
