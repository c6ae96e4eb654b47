//! Quotas of projects, and what they refuse.

use crate::harness::*;
use freezer_model::Limits;
use serde_json::json;

#[actix_web::test]
async fn quotas_are_set_shown_and_taken_back() {
    let quota = Limits { jobs: Some(10), runs: None, stored_bytes: Some(5000) };
    let api = Api::start_with(|options| options.quota = quota, Default::default()).await;
    let shown = api.get(READER, "/quotas").await.expect(200).json();
    assert_eq!(shown["quota"], json!({"jobs": 10, "runs": -1, "stored_bytes": 5000, "weight": 1}));
    assert_eq!(shown["set"]["jobs"], json!(null));
    let wanted = json!({"jobs": 2, "stored_bytes": -1, "weight": 4});
    let set = api.call_in(ADMIN, "p1", "PUT", "/quotas", wanted).await.expect(200).json();
    assert_eq!(set["quota"], json!({"jobs": 2, "runs": -1, "stored_bytes": -1, "weight": 4}));
    assert_eq!(api.get(ALICE, "/quotas").await.json(), set);
    // Another project is as it was.
    assert_eq!(api.get(OTTO, "/quotas").await.json()["quota"]["jobs"], 10);
    for (body, words) in [
        (json!({"jobs": -2}), "jobs"),
        (json!({"runs": "many"}), "runs"),
        (json!({"weight": 0}), "weight"),
        (json!({"gold": 1}), "gold"),
        (json!([]), ""),
    ] {
        api.call_in(ADMIN, "p1", "PUT", "/quotas", body).await.expect_refusal(words);
    }
    api.call_in(ADMIN, "p1", "DELETE", "/quotas", json!(null)).await.expect(204);
    assert_eq!(api.get(ALICE, "/quotas").await.json(), shown);
}

#[actix_web::test]
async fn only_administrators_set_them() {
    let api = Api::start().await;
    for who in [READER, ALICE, MANAGER, OTTO, SERVICE] {
        api.call_in(who, "p1", "PUT", "/quotas", json!({"jobs": 9})).await.expect(403);
        api.call_in(who, "p1", "DELETE", "/quotas", json!(null)).await.expect(403);
    }
    for path in ["/quotas", "/usage"] {
        api.call_in(OTTO, "p1", "GET", path, json!(null)).await.expect(403);
        api.call_in(NOBODY, "p1", "GET", path, json!(null)).await.expect(403);
    }
}

#[actix_web::test]
async fn one_job_too_many_is_refused() {
    let api = Api::start().await;
    api.client(ALICE, "node1").await;
    api.call_in(ADMIN, "p1", "PUT", "/quotas", json!({"jobs": 2})).await.expect(200);
    let first = api.job(ALICE, json!({})).await;
    api.job(ALICE, json!({})).await;
    let refused = api.call(ALICE, "POST", "/jobs", job_body()).await.expect(403);
    assert_eq!(refused.json()["title"], "Quota exceeded");
    assert!(refused.description().contains("already used 2 of 2 jobs"), "{}", refused.text);
    api.call(ALICE, "POST", "/jobs/mine", job_body()).await.expect(403);
    // What is there can be replaced, and what is deleted makes room. A refused job leaves no action.
    api.call(ALICE, "POST", &format!("/jobs/{first}"), job_body()).await.expect(201);
    let actions = api.get(ALICE, "/actions?limit=100").await.json()["actions"].as_array().unwrap().len();
    assert_eq!(actions, 3);
    api.call(ALICE, "DELETE", &format!("/jobs/{first}"), json!(null)).await.expect(204);
    api.job(ALICE, json!({})).await;
}

#[actix_web::test]
async fn usage_is_counted() {
    let api = Api::start().await;
    api.client(ALICE, "node1").await;
    api.job(ALICE, json!({})).await;
    for bytes in [json!(700), json!(300), json!("many"), json!(null)] {
        let body = json!({"container": "c", "hostname": "h", "backup_name": "b", "bytes_stored": bytes});
        api.call(ALICE, "POST", "/backups", body).await.expect(201);
    }
    api.call_in(ADMIN, "p1", "PUT", "/quotas", json!({"stored_bytes": 5000})).await.expect(200);
    let before = api.db.statements();
    let usage = api.get(ALICE, "/usage").await.expect(200).json();
    assert!(api.db.statements() - before <= 4);
    assert_eq!(
        usage["usage"],
        json!({
            "jobs": {"used": 1, "limit": -1},
            "runs": {"used": 0, "limit": -1},
            "stored_bytes": {"used": 1000, "limit": 5000},
        })
    );
    assert_eq!(api.get(OTTO, "/usage").await.json()["usage"]["stored_bytes"]["used"], 0);
}

/// What the quota counts is not the tenant's to lower, but by deleting the record.
#[actix_web::test]
async fn usage_is_not_talked_down() {
    let api = Api::start().await;
    let body = json!({"container": "c", "hostname": "h", "backup_name": "b", "bytes_stored": 700});
    let made = api.call(ALICE, "POST", "/backups", body).await.expect(201).json();
    let path = format!("/backups/{}", made["backup_id"].as_str().unwrap());
    let used = async || api.get(ALICE, "/usage").await.json()["usage"]["stored_bytes"]["used"].clone();
    for said in [json!(0), json!(-1), json!(null), json!("0"), json!(699.5), json!({}), json!(u64::MAX)] {
        let patch = json!({"backup_metadata": {"bytes_stored": said, "note": said}});
        let record = api.call(ALICE, "PATCH", &path, patch).await.expect(200).json();
        let metadata = &record["backup_metadata"];
        assert_eq!((&metadata["bytes_stored"], &metadata["note"]), (&json!(700), &said));
        assert_eq!(used().await, 700, "{said}");
    }
    for status in ["deleting", "deleted"] {
        api.call(ALICE, "PATCH", &path, json!({"status": status})).await.expect(200);
        assert_eq!(used().await, 700, "{status}");
    }
    api.call(ALICE, "PATCH", &path, json!({"backup_metadata": {"bytes_stored": 800}})).await.expect(200);
    assert_eq!(used().await, 800);
    api.call(ALICE, "DELETE", &path, json!(null)).await.expect(204);
    assert_eq!(used().await, 0);
}
