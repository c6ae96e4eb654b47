//! register, client-list

use super::super::exit::Failure;
use super::super::{config, table};
use super::service::{Service, shown};
use crate::links::http::described;
use oslo_config::Config;
use reqwest::Method;
use serde_json::{Value, json};

/// Registers this client by hand; the daemon does so by itself.
pub async fn register(service: &Service, settings: &Config) -> Result<(), Failure> {
    // Which project it is does not matter to what a client says about itself.
    let options = config::executor_options(settings, "").map_err(Failure::setup)?;
    let body = json!({
        "client_id": service.client_id,
        "hostname": options.hostname,
        "supported_actions": options.capabilities.actions,
        "supported_modes": options.capabilities.modes,
        "supported_storages": options.capabilities.storages,
        "supported_engines": options.capabilities.engines,
        "is_central": options.is_central,
    });
    let (status, _, text) = service.call(Method::POST, "/clients", Some(&body)).await?;
    match status {
        201 => {
            println!("Registered client {}", service.client_id);
            Ok(())
        }
        409 => Err(Failure::conflict(described(&text))),
        _ => Err(Failure::command(format!("registration was answered with {status}: {}", described(&text)))),
    }
}

pub async fn list(service: &Service) -> Result<(), Failure> {
    let clients = service.all("clients", &json!({})).await?;
    let row = |client: &Value| {
        ["/client/client_id", "/client/hostname", "/client/description"]
            .map(|key| shown(client, key))
            .to_vec()
    };
    table::print(&["client_id", "hostname", "description"], &clients.iter().map(row).collect::<Vec<_>>());
    Ok(())
}
