//! Backup records (contract §5.2).

use crate::harness::*;
use freezer_api::notices::Notices;
use freezer_model::document::StatusShown;
use serde_json::{Value, json};

fn sample() -> Value {
    json!({"container": "vault", "hostname": "db1", "backup_name": "etc", "time_stamp": 1767225600, "curr_backup_level": 0, "mode": "fs", "storage": "swift",
        "job_id": "0ae2", "path_to_backup": "/etc", "dry_run": "", "max_level": ""})
}

async fn create(api: &Api, body: Value) -> String {
    let answer = api.call(ALICE, "POST", "/backups/", body).await.expect(201).json();
    let id = answer["backup_id"].as_str().unwrap().to_owned();
    assert_eq!(answer, json!({"backup_id": id}));
    id
}

#[tokio::test]
async fn records_read_back_exactly() {
    let api = Api::start().await;
    let id = create(&api, sample()).await;
    let expected =
        json!({"project_id": "p1", "user_id": "alice", "backup_id": id, "backup_metadata": sample()});
    // what old clients compare: no status on an ordinary record
    assert_eq!(api.get(ALICE, "/backups/").await.expect(200).json(), json!({"backups": [expected]}));
    let mut item = expected.clone();
    item["backup_uuid"] = json!(id);
    assert_eq!(api.get(ALICE, &format!("/backups/{id}")).await.expect(200).json(), item);
}

#[tokio::test]
async fn the_status_is_shown_when_it_tells_something() {
    for (shown, always) in [(StatusShown::WhenTelling, false), (StatusShown::Always, true)] {
        let api = Api::start_with(|options| options.backup_status = shown, Notices::default()).await;
        let plain = create(&api, sample()).await;
        let mut body = sample();
        body["status"] = json!("creating");
        let told = create(&api, body).await;
        let status =
            async |id: &str| api.get(ALICE, &format!("/backups/{id}")).await.json().get("status").cloned();
        assert_eq!(status(&plain).await, always.then(|| json!("available")));
        assert_eq!(status(&told).await, Some(json!("creating")));
        assert_eq!(
            api.get(ALICE, &format!("/backups/{told}")).await.json()["backup_metadata"].get("status"),
            None
        );
        let patched = api
            .call(ALICE, "PATCH", &format!("/backups/{told}"), json!({"status": "available"}))
            .await
            .expect(200)
            .json();
        assert_eq!(patched["status"], "available");
        // a search takes a missing status for available
        let found =
            api.call(ALICE, "GET", "/backups", json!({"match": [{"status": "available"}]})).await.json();
        assert_eq!(found["backups"].as_array().unwrap().len(), 2);
    }
}

#[tokio::test]
async fn time_stamps_are_always_numbers() {
    let api = Api::start().await;
    for (sent, kept) in [
        (json!(5), json!(5)),
        (json!("1767225600"), json!(1767225600)),
        (json!(""), json!(NOW)),
        (json!(null), json!(NOW)),
    ] {
        let mut body = sample();
        body["time_stamp"] = sent.clone();
        let id = create(&api, body).await;
        assert_eq!(
            api.get(ALICE, &format!("/backups/{id}")).await.json()["backup_metadata"]["time_stamp"],
            kept,
            "{sent}"
        );
    }
    let mut body = sample();
    body.as_object_mut().unwrap().remove("time_stamp");
    let id = create(&api, body).await;
    assert_eq!(api.get(ALICE, &format!("/backups/{id}")).await.json()["backup_metadata"]["time_stamp"], NOW);
    for bad in [
        json!("yesterday"),
        json!(1.5),
        json!([]),
        json!(true),
        json!(-1),
        json!("-1"),
        json!(253_402_300_800_i64),
        json!("253402300800"),
        json!(i64::MAX),
        json!(i64::MIN),
    ] {
        let mut body = sample();
        body["time_stamp"] = bad;
        api.call(ALICE, "POST", "/backups", body).await.expect_refusal("'time_stamp'");
    }
}

#[tokio::test]
async fn metadata_have_a_largest_size() {
    let api = Api::start().await;
    let mut body = sample();
    body["links"] = json!("x".repeat(65_000));
    let id = create(&api, body.clone()).await;
    body["links"] = json!("x".repeat(65_535));
    let refused = api.call(ALICE, "POST", "/backups", body).await;
    refused.expect_refusal("'backup_metadata': is too long");
    let path = format!("/backups/{id}");
    let patch = json!({"backup_metadata": {"more": "x".repeat(1000)}});
    api.call(ALICE, "PATCH", &path, patch).await.expect_refusal("at most 65535 are kept");
    api.call(ALICE, "PATCH", &path, json!({"backup_metadata": {"links": [1]}})).await.expect(200);
}

#[tokio::test]
async fn required_fields_are_named() {
    let api = Api::start().await;
    for key in ["container", "hostname", "backup_name"] {
        let mut body = sample();
        body.as_object_mut().unwrap().remove(key);
        let answer = api.call(ALICE, "POST", "/backups", body).await;
        answer.expect_error(400, "Bad request format", &format!("'{key}' is a required property"));
        for bad in [json!(""), json!(null), json!(7), json!("x".repeat(513))] {
            let mut body = sample();
            body[key] = bad;
            api.call(ALICE, "POST", "/backups", body).await.expect_refusal(&format!("'{key}'"));
        }
    }
    for bad in [json!("done"), json!(null), json!(1)] {
        let mut body = sample();
        body["status"] = bad;
        api.call(ALICE, "POST", "/backups", body).await.expect_refusal("'status'");
    }
    let mut body = sample();
    body["job_id"] = json!("j".repeat(65));
    api.call(ALICE, "POST", "/backups", body).await.expect_refusal("'job_id'");
}

/// What Freezer's scheduler 19.0.0 says before it begins a backup of mode `cindernative`.
fn announced() -> Value {
    json!({"status": "creating", "mode": "cindernative", "action": "backup", "backup_media": "cindernative", "backup_name": "nightly",
        "container": null, "cindernative_vol_id": "v1", "time_stamp": NOW - 5})
}

#[tokio::test]
async fn an_announced_record_is_settled_as_upstreams_scheduler_does_it() {
    let api = Api::start().await;
    let id = create(&api, announced()).await;
    let path = format!("/backups/{id}");
    let mut metadata = announced();
    metadata.as_object_mut().unwrap().remove("status");
    metadata["container"] = json!("");
    metadata["hostname"] = json!("");
    let expected = json!({"project_id": "p1", "user_id": "alice", "backup_id": id, "status": "creating", "backup_metadata": metadata});
    assert_eq!(api.get(ALICE, "/backups").await.json(), json!({"backups": [expected]}));
    let found = async |search: Value| {
        api.call(ALICE, "GET", "/backups", search).await.expect(200).json()["backups"]
            .as_array()
            .unwrap()
            .len()
    };
    assert_eq!(found(json!({"match": [{"backup_name": "nightly"}, {"status": "creating"}]})).await, 1);
    assert_eq!(found(json!({"match": [{"hostname": ""}, {"container": ""}]})).await, 1);
    assert_eq!(found(json!({"match": [{"_all": "v1"}]})).await, 1);
    assert_eq!(found(json!({"match": [{"status": "available"}]})).await, 0);
    let plan = api.call(ALICE, "POST", "/backups/retention-plan", json!({"keep_last": 1})).await;
    assert_eq!(plan.expect(200).json()["backups"], json!([]));
    // The agent's metadata, flat, with the record's own id among them.
    let told = json!({"status": "available", "backup_id": id, "job_id": "j", "mode": "cindernative", "action": "backup",
        "backup_media": "cindernative", "backup_name": "nightly", "container": "vault", "hostname": "db1", "path_to_backup": "",
        "cindernative_vol_id": "v1", "cinder_backup_id": "c1", "time_stamp": NOW, "curr_backup_level": 0});
    let answer = api.call(ALICE, "PATCH", &path, told.clone()).await.expect(200).json();
    let mut metadata = told.clone();
    metadata.as_object_mut().unwrap().retain(|key, _| key != "status" && key != "backup_id");
    assert_eq!((&answer["status"], &answer["backup_metadata"]), (&json!("available"), &metadata));
    assert_eq!(found(json!({"match": [{"job_id": "j"}, {"hostname": "db1"}]})).await, 1);
    // Once is all: a settled record takes its changes as the contract has them.
    let again = json!({"status": "available", "hostname": "db2", "cinder_backup_id": "c2"});
    assert_eq!(api.call(ALICE, "PATCH", &path, again).await.expect(200).json()["backup_metadata"], metadata);
}

#[tokio::test]
async fn names_may_come_later_where_no_backup_is_claimed() {
    let api = Api::start().await;
    for status in ["creating", "error", "deleting"] {
        for key in ["container", "hostname", "backup_name"] {
            for lack in [None, Some(json!(null)), Some(json!(""))] {
                let mut body = sample();
                body["status"] = json!(status);
                body.as_object_mut().unwrap().remove(key);
                if let Some(value) = lack {
                    body[key] = value;
                }
                let id = create(&api, body).await;
                assert_eq!(
                    api.get(ALICE, &format!("/backups/{id}")).await.json()["backup_metadata"][key],
                    "",
                    "{status}"
                );
            }
            for bad in [json!(7), json!([]), json!("x".repeat(513))] {
                let mut body = sample();
                body["status"] = json!(status);
                body[key] = bad;
                api.call(ALICE, "POST", "/backups", body).await.expect_refusal(&format!("'{key}'"));
            }
        }
    }
    for status in ["available", "deleted"] {
        let mut body = sample();
        body["status"] = json!(status);
        body["hostname"] = json!(null);
        api.call(ALICE, "POST", "/backups", body).await.expect_refusal("'hostname'");
    }
    // What has come stays.
    let id = create(&api, announced()).await;
    let path = format!("/backups/{id}");
    let named = json!({"backup_metadata": {"hostname": "db1"}});
    assert_eq!(
        api.call(ALICE, "PATCH", &path, named).await.expect(200).json()["backup_metadata"]["hostname"],
        "db1"
    );
    api.call(ALICE, "PATCH", &path, json!({"status": "available", "hostname": null}))
        .await
        .expect_refusal("'backup_metadata.hostname'");
    assert_eq!(api.get(ALICE, &path).await.json()["status"], "creating");
}

#[tokio::test]
async fn patches_are_laid_over_the_metadata() {
    let api = Api::start().await;
    let id = create(&api, sample()).await;
    let path = format!("/backups/{id}");
    let patch = json!({"status": "error", "backup_metadata": {"job_id": "other", "hostname": "db2", "extra": {"a": 1}}, "user_id": "x", "project_id": "p2",
        "backup_id": "y", "unknown": 1});
    let answer = api.call(ANN, "PATCH", &path, patch).await.expect(200).json();
    let mut metadata = sample();
    metadata["job_id"] = json!("other");
    metadata["hostname"] = json!("db2");
    metadata["extra"] = json!({"a": 1});
    assert_eq!(
        answer,
        json!({"project_id": "p1", "user_id": "alice", "backup_id": id, "status": "error", "backup_metadata": metadata})
    );
    let by_job = api.call(ALICE, "GET", "/backups", json!({"match": [{"job_id": "other"}]})).await.json();
    assert_eq!(by_job["backups"].as_array().unwrap().len(), 1);
    api.call(ALICE, "PATCH", &path, Value::Null).await.expect(400);
    api.call(ALICE, "PATCH", &path, json!({"backup_metadata": []})).await.expect_refusal("'backup_metadata'");
    api.call(ALICE, "PATCH", &path, json!({"backup_metadata": {"hostname": ""}}))
        .await
        .expect_refusal("'backup_metadata.hostname'");
    assert_eq!(api.get(ALICE, &path).await.json()["backup_metadata"], metadata);
}

#[tokio::test]
async fn deleting_is_quiet_and_stays_at_home() {
    let api = Api::start().await;
    let id = create(&api, sample()).await;
    assert_eq!(api.call(OTTO, "DELETE", &format!("/backups/{id}"), Value::Null).await.expect(204).text, "");
    api.get(ALICE, &format!("/backups/{id}")).await.expect(200);
    api.call(ALICE, "DELETE", &format!("/backups/{id}"), Value::Null).await.expect(204);
    assert_eq!(api.get(ALICE, "/backups").await.json(), json!({"backups": []}));
}
