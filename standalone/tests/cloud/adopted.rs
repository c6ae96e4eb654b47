//! Records of backups that action adopt makes of a storage, beside those that the runs themselves have left.

use super::service::Service;
use reqwest::Method;
use serde_json::{Value, json};

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

/// The service loses its records of all backups in the container, and has them again after a job that reads Swift alone.
pub async fn come_back(service: &Service, container: &str, of_kind: &[&str]) {
    let lost = records(service).await;
    for record in &lost {
        let path = format!("/backups/{}", record["backup_id"].as_str().unwrap());
        let (status, said) = service.user.call(Method::DELETE, &path, None).await.unwrap();
        assert_eq!(status, 204, "{said}");
    }
    assert!(records(service).await.is_empty());
    // The second finds that nothing is missing.
    for _ in 0..2 {
        let action = json!({"action": "adopt", "storage": "swift", "container": container});
        let (_, run) = service.job(action).await;
        assert_eq!(run["state"], "success", "{run:#}");
    }
    let found: Vec<Value> = records(service).await.iter().map(metadata).cloned().collect();
    as_told(&Value::from(found), &lost.iter().map(metadata).collect::<Vec<_>>(), of_kind);
}

async fn records(service: &Service) -> Vec<Value> {
    let answer = service.user.get("/backups").await;
    answer["backups"].as_array().unwrap_or_else(|| panic!("no records: {answer:#}")).clone()
}

fn metadata(record: &Value) -> &Value {
    &record["backup_metadata"]
}
