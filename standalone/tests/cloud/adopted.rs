//! Records of backups that action adopt makes of a storage, beside those that the runs themselves have left.

pub use freezer_testkit::adopted::as_told;

use super::service::Service;
use reqwest::Method;
use serde_json::{Value, json};

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
