//! Quotas: how much of the service a project may use, and uses.

use super::operation::{Operation, delete, get, put_document};
use super::{named, object, text, whole, whole_or_null};
use serde_json::{Value, json};

pub fn operations() -> Vec<Operation> {
    vec![
        get("P/quotas", "Quotas"),
        put_document("P/quotas", "QuotaSet", "Quotas"),
        delete("P/quotas"),
        get("P/usage", "Usage"),
    ]
}

pub fn schemas() -> Value {
    let limits = |kind: fn() -> Value| json!({ "jobs": kind(), "runs": kind(), "stored_bytes": kind(), "weight": kind() });
    let used = || object(&["used", "limit"], json!({ "used": whole(), "limit": whole() }));
    json!({
        "Quotas": object(
            &["project_id", "quota", "set"],
            json!({ "project_id": text(), "quota": object(&["jobs", "runs", "stored_bytes", "weight"], limits(whole)),
                "set": named("QuotaSet") }),
        ),
        "QuotaSet": { "type": "object", "properties": limits(whole_or_null), "additionalProperties": false },
        "Usage": object(
            &["project_id", "usage"],
            json!({ "project_id": text(), "usage": object(&["jobs", "runs", "stored_bytes"],
                json!({ "jobs": used(), "runs": used(), "stored_bytes": used() })) }),
        ),
    })
}
