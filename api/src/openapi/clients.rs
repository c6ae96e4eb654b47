//! Clients: the hosts that work.

use super::operation::{Operation, delete, get, list, post};
use super::{
    client_id, flag, flag_or_null, id, list_of, listed, object, text, text_or_null, text_up_to, whole, with,
    word, written,
};
use crate::validate::names::{HOSTNAME_MAX, TEXT_MAX};
use freezer_model::client::{ALL_STORAGES, KNOWN_ACTIONS, KNOWN_ENGINES, KNOWN_MODES};
use serde_json::{Value, json};

pub fn operations() -> Vec<Operation> {
    vec![
        list("P/clients", "Clients"),
        post("P/clients", "NewClient", 201, "ClientWritten").fails(&[409]),
        get("P/clients/{client_id}", "Client"),
        delete("P/clients/{client_id}"),
    ]
}

pub fn schemas() -> Value {
    let words = || list_of(text());
    json!({
        "Clients": listed("clients", "Client"),
        "Client": object(
            &["project_id", "user_id", "client"],
            json!({ "project_id": text(), "user_id": text(), "client": object(
                &["uuid", "client_id", "is_central"],
                json!({ "uuid": text(), "hostname": text_or_null(), "client_id": text(), "is_central": flag(),
                    "description": text_or_null(), "supported_actions": words(), "supported_modes": words(),
                    "supported_storages": words(), "supported_engines": words(), "link": word(&["poll", "amqp", "http"]),
                    "agent_version": text_or_null(), "last_seen_at": whole() }),
            ) }),
        ),
        "NewClient": object(
            &["client_id"],
            json!({ "client_id": client_id(), "hostname": with(text_up_to(HOSTNAME_MAX), json!({ "pattern": "[A-Za-z0-9]" })),
                "description": text_up_to(TEXT_MAX), "uuid": id(), "is_central": flag_or_null(),
                "supported_actions": list_of(word(&KNOWN_ACTIONS)), "supported_modes": list_of(word(&KNOWN_MODES)),
                "supported_storages": list_of(word(&ALL_STORAGES)), "supported_engines": list_of(word(&KNOWN_ENGINES)) }),
        ),
        "ClientWritten": written("client_id"),
    })
}
