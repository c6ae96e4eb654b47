//! What the service is.

use super::operation::{Operation, get};
use super::{list_of, map, object};
use serde_json::{Value, json};

pub fn operations() -> Vec<Operation> {
    vec![
        get("/", "Versions").open(300).summary("Show the versions of the API"),
        get("/v2", "Home").summary("Show the resources as a JSON home document"),
    ]
}

pub fn schemas() -> Value {
    json!({
        "Versions": object(&["versions"], json!({ "versions": list_of(map()) })),
        "Home": object(&["resources"], json!({ "resources": map() })),
    })
}
