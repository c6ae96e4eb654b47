//! Backup records: the metadata object is open, but what every client computes with must have its type.

use super::names::{DOCUMENT_BYTES_MAX, ID_MAX, TEXT_MAX};
use super::object::{Object, Refusal, bytes_of};
use freezer_model::{Backup, BackupStatus, JobId, TIME_STAMP_MAX};
use serde_json::{Map, Value, json};

pub const NAME_MAX: usize = 512;
const STATUS_WORDS: [&str; 5] = ["creating", "available", "error", "deleting", "deleted"];
/// What says of what a backup is and where it lies.
const NAMES: [(&str, usize); 3] =
    [("container", NAME_MAX), ("hostname", TEXT_MAX), ("backup_name", NAME_MAX)];
/// Keys beside `backup_metadata` in the document of a record.
const AROUND: [&str; 5] = ["status", "user_id", "project_id", "backup_id", "backup_uuid"];

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
    /// What a body without them says else.
    beside: Map<String, Value>,
}

impl BackupPatch {
    /// The keys to lay over the metadata of this record. Freezer's scheduler ends what it has announced with the metadata
    /// themselves, as flat as those of a new record: there, and only there, other keys than the contract's are kept.
    pub fn metadata_for(&self, stored: &Backup) -> Option<Map<String, Value>> {
        let is_announced = stored.status == BackupStatus::Creating;
        let flat = (is_announced && !self.beside.is_empty()).then(|| self.beside.clone());
        self.metadata.clone().or(flat)
    }
}

/// Reads a new record. `now_secs` becomes its `time_stamp` when none was sent: clients sort by that key.
pub fn parse(body: &Object<'_>, now_secs: i64) -> Result<BackupBody, Refusal> {
    let status = status(body)?;
    let metadata = new_metadata(body, may_be_nameless(status.unwrap_or_default()), now_secs)?;
    check_size(&metadata, DOCUMENT_BYTES_MAX)?;
    Ok(BackupBody { status, metadata })
}

/// The metadata of a record in upstream's database, however long they are. Its status stands beside them.
pub fn parse_stored(
    body: &Object<'_>,
    status: BackupStatus,
    now_secs: i64,
) -> Result<Map<String, Value>, Refusal> {
    // Upstream makes an announced record available and drops what the agent says of it with that.
    let is_bare = matches!(body.map().get("hostname"), None | Some(Value::Null))
        && body.map().get("mode").is_some_and(|mode| mode == "cindernative");
    new_metadata(body, is_bare || may_be_nameless(status), now_secs)
}

/// Whether a record of this status may lack its names, as in upstream's API: it claims no backup to restore.
fn may_be_nameless(status: BackupStatus) -> bool {
    matches!(status, BackupStatus::Creating | BackupStatus::Error | BackupStatus::Deleting)
}

fn new_metadata(
    body: &Object<'_>,
    may_be_nameless: bool,
    now_secs: i64,
) -> Result<Map<String, Value>, Refusal> {
    let mut metadata = body.map().clone();
    metadata.shift_remove("status");
    settled(metadata, "", now_secs, &|_| may_be_nameless)
}

/// Reads a PATCH. For what becomes of keys beyond `status` and `backup_metadata` see [`BackupPatch::metadata_for`].
pub fn parse_patch(body: &Object<'_>) -> Result<BackupPatch, Refusal> {
    let metadata = match body.map().get("backup_metadata") {
        None => None,
        Some(Value::Object(map)) => Some(map.clone()),
        Some(other) => return Err(body.wrong_type("backup_metadata", other, "object")),
    };
    let beside = if metadata.is_some() {
        Map::new()
    } else {
        let others = body.map().iter().filter(|(key, _)| !AROUND.contains(&key.as_str()));
        others.map(|(key, value)| (key.clone(), value.clone())).collect()
    };
    Ok(BackupPatch { status: status(body)?, metadata, beside })
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
    // A name that there is must stay one.
    let may_lack = |key: &str| !matches!(stored.get(key), Some(Value::String(text)) if !text.is_empty());
    let metadata = settled(metadata, "backup_metadata", now_secs, &may_lack)?;
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

/// Checks what clients compute with. Names that are not said and may be are kept as empty texts: clients read them of each record.
fn settled(
    mut metadata: Map<String, Value>,
    at: &str,
    now_secs: i64,
    may_lack: &dyn Fn(&str) -> bool,
) -> Result<Map<String, Value>, Refusal> {
    let fields = Object::new(&metadata, at);
    let mut lacking = Vec::new();
    for (key, max) in NAMES {
        if !may_lack(key) {
            fields.filled(key, max)?;
        } else if fields.text_or_null(key, max)?.flatten().is_none() {
            lacking.push(key);
        }
    }
    if matches!(metadata.get("job_id"), Some(Value::String(_))) {
        fields.text("job_id", ID_MAX)?;
    }
    let time_stamp = time_stamp(&fields)?.unwrap_or(now_secs);
    metadata.extend(lacking.into_iter().map(|key| (key.to_owned(), json!(""))));
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
