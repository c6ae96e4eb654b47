//! The OpenAPI document of the REST API, one file a noun. `freezer-api --openapi` prints it.
//!
//! A test compares it with the routes in both directions and real answers with its schemas. Bodies of requests are open
//! where the service ignores what it does not know.

mod actions;
mod agents;
mod backups;
mod clients;
mod jobs;
mod mismatch;
mod operation;
mod quotas;
mod runs;
mod sessions;
mod versions;

use crate::validate::names::{CLIENT_ID_MAX, ID_MAX};
use freezer_model::search::MAX_CONDITIONS;
pub use mismatch::mismatch;
use operation::Operation;
use serde_json::{Map, Value, json};

/// What each documented refusal means.
const REFUSALS: [(u16, &str); 11] = [
    (400, "The request is badly formed; the description names the field"),
    (401, "No token, or not a good one"),
    (403, "Policy does not allow this"),
    (
        404,
        "Not there, or not in this project; reading a single item answers with an empty body, all else with an Error",
    ),
    (406, "The caller does not accept JSON; the body is empty"),
    (408, "The body did not arrive in time"),
    (409, "The id is taken, or the state does not allow this"),
    (413, "The body is too large"),
    (422, "Well formed, but something it names is missing or cannot do this"),
    (429, "Too many large bodies at the moment; Retry-After says when to come again"),
    (503, "A part behind the service is away; Retry-After says when to come again"),
];

/// The whole document.
pub fn document() -> Value {
    let nouns: [(&str, Vec<Operation>, Value); 9] = [
        ("versions", versions::operations(), versions::schemas()),
        ("jobs", jobs::operations(), jobs::schemas()),
        ("runs", runs::operations(), runs::schemas()),
        ("quotas", quotas::operations(), quotas::schemas()),
        ("actions", actions::operations(), actions::schemas()),
        ("sessions", sessions::operations(), sessions::schemas()),
        ("clients", clients::operations(), clients::schemas()),
        ("agents", agents::operations(), agents::schemas()),
        ("backups", backups::operations(), backups::schemas()),
    ];
    let (mut paths, mut schemas) = (Map::new(), Map::new());
    for (tag, operations, more) in nouns {
        for operation in operations {
            operation.add_to(&mut paths, tag);
        }
        if let Value::Object(more) = more {
            schemas.extend(more);
        }
    }
    schemas.extend(shared());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Freezer API",
            "version": "v2",
            "summary": "Backup and restore as a service for OpenStack",
            "description": "Bodies are JSON whatever their content type says. Lists take a search document as the body of \
                their GET request. Times are whole seconds since the epoch, -1 is never.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "security": [{ "token": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": { "token": { "type": "apiKey", "in": "header", "name": "X-Auth-Token" } },
            "parameters": parameters(),
            "responses": refusals(),
            "schemas": schemas,
        },
    })
}

fn parameters() -> Value {
    let whole = |name: &str, text: &str, maximum: i64| json!({ "name": name, "in": "query", "description": text, "schema": between(0, maximum) });
    json!({
        "limit": whole("limit", "Most items of the answer; 0 is 10, and the service has a largest number", i64::MAX),
        "offset": whole("offset", "Items to leave out first", i64::MAX),
        "wait": whole("wait", "Seconds to wait for orders", 50),
        "all_projects": {
            "name": "all_projects",
            "in": "query",
            "description": "Jobs of all projects, for those who may see them",
            "schema": { "type": "string", "enum": ["true", "false"] },
        },
    })
}

fn refusals() -> Value {
    let refusal = |(status, text): (u16, &str)| {
        // Where an item is missing there is no body: older clients expect that.
        if status == 404 {
            return (status.to_string(), json!({ "description": text }));
        }
        let schema = if status == 401 { "Unauthorized" } else { "Error" };
        let content =
            json!({ "application/json": { "schema": { "$ref": format!("#/components/schemas/{schema}") } } });
        (status.to_string(), json!({ "description": text, "content": content }))
    };
    Value::Object(REFUSALS.map(refusal).into_iter().collect())
}

fn shared() -> Map<String, Value> {
    let pairs = json!({ "type": ["array", "null"], "items": { "type": "object", "maxProperties": 2 }, "maxItems": MAX_CONDITIONS / 4 });
    // Command line clients send numbers as text.
    let time = || json!({ "type": ["number", "string", "null"], "pattern": r"^ *(-?[0-9]{1,18})? *$" });
    let schemas = [
        ("Error", object(&["title"], json!({ "title": text(), "description": text() }))),
        (
            "Unauthorized",
            object(
                &["error"],
                json!({ "error": object(&["code", "title", "message"],
                    json!({ "code": whole(), "title": text(), "message": text() })) }),
            ),
        ),
        (
            "Search",
            object(
                &[],
                json!({ "match": pairs, "match_not": pairs, "time_after": time(), "time_before": time() }),
            ),
        ),
    ];
    schemas.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect()
}

/// An object that may have more keys than these.
fn object(required: &[&str], properties: Value) -> Value {
    json!({ "type": "object", "required": required, "properties": properties })
}
/// Another schema, by its name.
fn named(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}
fn list_of(items: Value) -> Value {
    json!({ "type": "array", "items": items })
}
/// The document of a list: one key, an array.
fn listed(key: &str, item: &str) -> Value {
    object(&[key], Value::Object(Map::from_iter([(key.to_owned(), list_of(named(item)))])))
}
/// The document of a write: the key of the id, and for replacements a version.
fn written(key: &str) -> Value {
    let mut properties = Map::from_iter([("version".to_owned(), json!({ "type": ["string", "integer"] }))]);
    properties.insert(key.to_owned(), text());
    object(&[key], Value::Object(properties))
}
fn text() -> Value {
    json!({ "type": "string" })
}
fn text_up_to(max: usize) -> Value {
    json!({ "type": "string", "maxLength": max })
}
fn text_or_null() -> Value {
    json!({ "type": ["string", "null"] })
}
fn whole() -> Value {
    json!({ "type": "integer" })
}
fn flag() -> Value {
    json!({ "type": "boolean" })
}
fn map() -> Value {
    json!({ "type": "object" })
}
fn word(words: &[&str]) -> Value {
    json!({ "type": "string", "enum": words })
}
fn flag_or_null() -> Value {
    json!({ "type": ["boolean", "null"] })
}
/// An id that a client may choose; null or empty: the service makes one.
fn id() -> Value {
    json!({ "type": ["string", "null"], "pattern": r"^[\w-]*$", "maxLength": ID_MAX })
}
/// A client's id: see [`crate::validate::names::is_client_id`].
fn client_id() -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": CLIENT_ID_MAX, "pattern": CLIENT_ID })
}
const CLIENT_ID: &str = r"^([\w-]+_)?[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$";
fn text_up_to_or_null(max: usize) -> Value {
    json!({ "type": ["string", "null"], "maxLength": max })
}
/// A number that is kept in 64 bits.
fn int64() -> Value {
    between(i64::MIN, i64::MAX)
}
fn int64_or_null() -> Value {
    json!({ "type": ["integer", "null"], "format": "int64", "minimum": i64::MIN, "maximum": i64::MAX })
}
fn between(minimum: i64, maximum: i64) -> Value {
    json!({ "type": "integer", "format": "int64", "minimum": minimum, "maximum": maximum })
}
/// The schema with more words.
fn with(mut schema: Value, more: Value) -> Value {
    if let (Value::Object(schema), Value::Object(more)) = (&mut schema, more) {
        schema.extend(more);
    }
    schema
}
/// No keys but those it names.
fn closed(schema: Value) -> Value {
    with(schema, json!({ "additionalProperties": false }))
}
