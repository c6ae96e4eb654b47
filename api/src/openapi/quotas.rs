//! Quotas: how much of the service a project may use, and uses.

use super::operation::{Operation, delete, get, put_document};
use super::{closed, named, object, text, whole, with};
use crate::quotas::WEIGHT_MAX;
use freezer_model::quota::UNLIMITED;
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
    let limit: fn() -> Value = || json!({ "type": ["integer", "null"], "format": "int64", "minimum": UNLIMITED, "maximum": i64::MAX });
    let weight = json!({ "type": ["integer", "null"], "minimum": 1, "maximum": WEIGHT_MAX });
    let used = || object(&["used", "limit"], json!({ "used": whole(), "limit": whole() }));
    json!({
        "Quotas": object(
            &["project_id", "quota", "set"],
            json!({ "project_id": text(), "quota": object(&["jobs", "runs", "stored_bytes", "weight"], limits(whole)),
                "set": named("QuotaSet") }),
        ),
        "QuotaSet": closed(object(&[], with(limits(limit), json!({ "weight": weight })))),
        "Usage": object(
            &["project_id", "usage"],
            json!({ "project_id": text(), "usage": object(&["jobs", "runs", "stored_bytes"],
                json!({ "jobs": used(), "runs": used(), "stored_bytes": used() })) }),
        ),
    })
}
