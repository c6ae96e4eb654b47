//! Records of backups. The data are elsewhere.

use super::operation::{Operation, delete, get, list, patch, post};
use super::{listed, map, object, text, word, written};
use serde_json::{Value, json};

const STATUS: [&str; 5] = ["creating", "available", "error", "deleting", "deleted"];

pub fn operations() -> Vec<Operation> {
    vec![
        list("P/backups", "Backups"),
        post("P/backups", "NewBackup", 201, "BackupWritten"),
        get("P/backups/{backup_id}", "Backup"),
        patch("P/backups/{backup_id}", "BackupPatch", "Backup").fails(&[404]),
        delete("P/backups/{backup_id}"),
    ]
}

pub fn schemas() -> Value {
    let filled = || json!({ "type": "string", "minLength": 1 });
    json!({
        "Backups": listed("backups", "Backup"),
        "Backup": object(
            &["project_id", "user_id", "backup_id", "backup_metadata"],
            json!({ "project_id": text(), "user_id": text(), "backup_id": text(), "status": word(&STATUS),
                "backup_metadata": map() }),
        ),
        "NewBackup": object(
            &["container", "hostname", "backup_name"],
            json!({ "container": filled(), "hostname": filled(), "backup_name": filled(), "status": word(&STATUS),
                "time_stamp": { "type": ["integer", "string", "null"] } }),
        ),
        "BackupPatch": object(&[], json!({ "status": word(&STATUS), "backup_metadata": map() })),
        "BackupWritten": written("backup_id"),
    })
}
