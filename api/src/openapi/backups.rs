//! Records of backups. The data are elsewhere.

use super::operation::{Operation, delete, get, list, patch, post};
use super::{list_of, listed, map, named, object, text, text_or_null, whole, with, word, written};
use crate::validate::backup::NAME_MAX;
use crate::validate::names::{DOCUMENT_BYTES_MAX, ID_MAX, TEXT_MAX};
use freezer_model::TIME_STAMP_MAX;
use freezer_model::retention::Period;
use serde_json::{Value, json};

const STATUS: [&str; 5] = ["creating", "available", "error", "deleting", "deleted"];

pub fn operations() -> Vec<Operation> {
    vec![
        list("P/backups", "Backups"),
        post("P/backups", "NewBackup", 201, "BackupWritten"),
        post("P/backups/retention-plan", "RetentionRules", 200, "RetentionPlan").fails(&[404]),
        get("P/backups/{backup_id}", "Backup"),
        patch("P/backups/{backup_id}", "BackupPatch", "Backup").fails(&[404]),
        delete("P/backups/{backup_id}"),
    ]
}

/// The rules of retention, with more properties before them.
fn rules(mut properties: Value) -> Value {
    if let Value::Object(map) = &mut properties {
        map.insert("remove_older_than".to_owned(), json!({ "type": ["number", "string", "null"], "minimum": 0, "pattern": r"^\s*(\d+(\.\d+)?)?\s*$" }));
        map.insert("remove_from_date".to_owned(), json!({ "type": ["string", "null"] }));
        for name in std::iter::once("keep_last").chain(Period::ALL.map(Period::option)) {
            map.insert(name.to_owned(), json!({ "type": ["integer", "string", "null"], "minimum": 0, "maximum": 1_000_000, "pattern": r"^\s*\d{0,6}\s*$" }));
        }
    }
    json!({ "type": "object", "properties": properties, "additionalProperties": false })
}

pub fn schemas() -> Value {
    json!({
        "Backups": listed("backups", "Backup"),
        "Backup": object(
            &["project_id", "user_id", "backup_id", "backup_metadata"],
            json!({ "project_id": text(), "user_id": text(), "backup_id": text(), "status": word(&STATUS),
                "backup_metadata": map(), "backup_uuid": text() }),
        ),
        "NewBackup": new_backup(),
        "BackupMetadata": metadata(),
        "BackupPatch": object(&[], json!({ "status": word(&STATUS), "backup_metadata": named("BackupMetadata") })),
        "BackupWritten": written("backup_id"),
        "RetentionRules": rules(json!({ "job_id": text_or_null(), "hostname": text_or_null(), "backup_name": text_or_null(), "container": text_or_null(),
            "storage": text_or_null() })),
        "RetentionPlan": object(
            &["rules", "backups", "notes"],
            json!({ "rules": list_of(named("RetentionRule")), "backups": list_of(named("PlannedBackup")),
                "notes": list_of(text()) }),
        ),
        "RetentionRule": rules(json!({})),
        "PlannedBackup": object(
            &["storage", "container", "hostname", "backup_name", "engine_name", "remove", "keep"],
            json!({ "storage": text(), "container": text(), "hostname": text(), "backup_name": text(), "engine_name": text(),
                "remove": list_of(named("ChainDecision")), "keep": list_of(named("ChainDecision")) }),
        ),
        "ChainDecision": object(
            &["chain_time_stamp", "levels", "backup_ids", "bytes_stored", "reason"],
            json!({ "chain_time_stamp": whole(), "levels": whole(), "backup_ids": list_of(text()), "bytes_stored": whole(),
                "reason": text() }),
        ),
    })
}

/// A record that claims no backup yet, or none any more, may lack its names.
fn new_backup() -> Value {
    let later = |max: usize| json!({ "type": ["string", "null"], "maxLength": max });
    let names =
        json!({ "container": later(NAME_MAX), "hostname": later(TEXT_MAX), "backup_name": later(NAME_MAX) });
    let text = format!(
        "At most {DOCUMENT_BYTES_MAX} bytes as JSON. container, hostname and backup_name may be missing, null or empty when status is \
         creating, error or deleting; else they are needed"
    );
    let named = json!({ "required": ["container", "hostname", "backup_name"], "properties": fields() });
    let claims_none = json!({ "required": ["status"],
        "properties": { "status": word(&["creating", "error", "deleting"]) } });
    with(
        object(&[], with(with(fields(), names), json!({ "status": word(&STATUS) }))),
        json!({ "description": text, "anyOf": [named, claims_none] }),
    )
}

/// Open, but for what every client computes with; as text at most [`DOCUMENT_BYTES_MAX`].
fn metadata() -> Value {
    let text = format!("At most {DOCUMENT_BYTES_MAX} bytes as JSON");
    with(object(&[], fields()), json!({ "description": text }))
}

fn fields() -> Value {
    let filled = |max: usize| json!({ "type": "string", "minLength": 1, "maxLength": max });
    json!({
        "container": filled(NAME_MAX), "hostname": filled(TEXT_MAX), "backup_name": filled(NAME_MAX),
        "job_id": { "maxLength": ID_MAX },
        "time_stamp": { "type": ["integer", "string", "null"], "minimum": 0, "maximum": TIME_STAMP_MAX, "pattern": "^ *[0-9]{0,11} *$" },
    })
}
