//! Backup records: the metadata object is open, but what every client computes with must have its type.

use super::names::{DOCUMENT_BYTES_MAX, ID_MAX, TEXT_MAX};
use super::object::{Object, Refusal, bytes_of};
use freezer_model::{Backup, BackupStatus, JobId, TIME_STAMP_MAX};
use serde_json::{Map, Value, json};

pub const NAME_MAX: usize = 512;
const STATUS_WORDS: [&str; 5] = ["creating", "available", "error", "deleting", "deleted"];

/// The body of a new record.
#[derive(Clone, Debug, PartialEq)]
pub struct BackupBody {
    pub status: Option<BackupStatus>,
    pub metadata: Map<String, Value>,
}

/// The body of a PATCH.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BackupPatch {
    pub status: Option<BackupStatus>,
    /// Keys to lay over the stored metadata.
    pub metadata: Option<Map<String, Value>>,
}

/// Reads a new record. `now_secs` becomes its `time_stamp` when none was sent: clients sort by that key.
pub fn parse(body: &Object<'_>, now_secs: i64) -> Result<BackupBody, Refusal> {
    let parsed = parse_any_size(body, now_secs)?;
    check_size(&parsed.metadata, DOCUMENT_BYTES_MAX)?;
    Ok(parsed)
}

/// As [`parse`], however long the metadata are.
pub fn parse_any_size(body: &Object<'_>, now_secs: i64) -> Result<BackupBody, Refusal> {
    let status = status(body)?;
    let mut metadata = body.map().clone();
    metadata.shift_remove("status");
    let metadata = settled(metadata, "", now_secs)?;
    Ok(BackupBody { status, metadata })
}

/// Reads a PATCH. Keys beyond `status` and `backup_metadata` are accepted and not kept.
pub fn parse_patch(body: &Object<'_>) -> Result<BackupPatch, Refusal> {
    let metadata = match body.map().get("backup_metadata") {
        None => None,
        Some(Value::Object(map)) => Some(map.clone()),
        Some(other) => return Err(body.wrong_type("backup_metadata", other, "object")),
    };
    Ok(BackupPatch { status: status(body)?, metadata })
}

/// Lays a patch's keys over the stored metadata and checks the outcome as a new record is checked.
pub fn merged(
    stored: &Map<String, Value>,
    patch: Map<String, Value>,
    now_secs: i64,
) -> Result<Map<String, Value>, Refusal> {
    let mut metadata = stored.clone();
    metadata.extend(patch);
    // The quota counts it: what is stored does not become less by being called less.
    if Backup::stored_bytes(&metadata) < Backup::stored_bytes(stored) {
        let before = stored.get(Backup::STORED_BYTES).cloned().unwrap_or_default();
        metadata.insert(Backup::STORED_BYTES.to_owned(), before);
    }
    let metadata = settled(metadata, "backup_metadata", now_secs)?;
    // What conductors and older versions wrote may be longer. It need not become shorter.
    check_size(&metadata, DOCUMENT_BYTES_MAX.max(bytes_of(stored)))?;
    Ok(metadata)
}

fn check_size(metadata: &Map<String, Value>, max: usize) -> Result<(), Refusal> {
    Object::new(metadata, "").check_size("backup_metadata", metadata, max)
}

/// The job a record belongs to, when its metadata say so.
pub fn job_id(metadata: &Map<String, Value>) -> Option<JobId> {
    match metadata.get("job_id") {
        Some(Value::String(id)) if !id.is_empty() => Some(JobId::new(id.as_str())),
        _ => None,
    }
}

fn status(body: &Object<'_>) -> Result<Option<BackupStatus>, Refusal> {
    Ok(body.word("status", &STATUS_WORDS)?.and_then(BackupStatus::parse))
}

fn settled(mut metadata: Map<String, Value>, at: &str, now_secs: i64) -> Result<Map<String, Value>, Refusal> {
    let fields = Object::new(&metadata, at);
    fields.filled("container", NAME_MAX)?;
    fields.filled("hostname", TEXT_MAX)?;
    fields.filled("backup_name", NAME_MAX)?;
    if matches!(metadata.get("job_id"), Some(Value::String(_))) {
        fields.text("job_id", ID_MAX)?;
    }
    let time_stamp = time_stamp(&fields)?.unwrap_or(now_secs);
    metadata.insert("time_stamp".to_owned(), json!(time_stamp));
    Ok(metadata)
}

/// A whole number, also as text; agents write `""` for "not known".
fn time_stamp(metadata: &Object<'_>) -> Result<Option<i64>, Refusal> {
    match metadata.map().get("time_stamp") {
        Some(Value::String(text)) if text.trim().is_empty() => Ok(None),
        Some(Value::String(text)) => match text.trim().parse() {
            Ok(secs) if (0..=TIME_STAMP_MAX).contains(&secs) => Ok(Some(secs)),
            _ => Err(metadata.refuse(
                "time_stamp",
                format!("is not a number of seconds since the epoch, 0 to {TIME_STAMP_MAX}"),
            )),
        },
        _ => metadata.whole("time_stamp", 0, TIME_STAMP_MAX),
    }
}
