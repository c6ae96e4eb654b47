//! Records of backups that action adopt makes of a storage, beside what the runs themselves have told.

use serde_json::Value;

/// What a record of any kind says that the storage knows as well.
const ON_STORAGE: [&str; 17] = [
    "action",
    "storage",
    "container",
    "hostname",
    "backup_name",
    "mode",
    "backup_media",
    "engine_name",
    "time_stamp",
    "chain_time_stamp",
    "curr_backup_level",
    "compression",
    "encrypted",
    "bytes_read",
    "bytes_stored",
    "files",
    "problem_count",
];

/// Each of these backups has a record, and there is no other one. They say what the runs told; `of_kind` are keys that say what
/// the backup is of.
#[track_caller]
pub fn as_told(adopted: &Value, told: &[&Value], of_kind: &[&str]) {
    let records = adopted.as_array().unwrap_or_else(|| panic!("no list of records: {adopted:#}"));
    assert_eq!(records.len(), told.len(), "{adopted:#}");
    for run in told {
        let is_same = |one: &&Value| ["backup_name", "time_stamp"].iter().all(|key| one[*key] == run[*key]);
        let record = records.iter().find(is_same);
        let record = record.unwrap_or_else(|| panic!("no record of {run:#} among {adopted:#}"));
        for key in ON_STORAGE.iter().chain(of_kind) {
            assert!(!run[*key].is_null(), "{key}: {run:#}");
            assert_eq!(record[*key], run[*key], "{key}: {record:#}");
        }
        assert_eq!(record["is_adopted"], true, "{record:#}");
    }
}
