//! What retention would remove, from the records.

use crate::harness::*;
use freezer_database::DbError;
use freezer_model::{Backup, BackupId, BackupStatus, ProjectId, Timestamp, UserId};
use serde_json::{Value, json};

const DAY: i64 = 86_400;

/// A level of a chain that began `chain` days ago, `age` days old.
async fn record(api: &Api, name: &str, level: i64, (chain, age): (i64, i64), more: Value) -> String {
    let mut body = json!({"container": "vault", "hostname": "h", "backup_name": name, "storage": "swift", "mode": "fs",
        "engine_name": "tar", "curr_backup_level": level, "chain_time_stamp": NOW - chain * DAY, "time_stamp": NOW - age * DAY,
        "bytes_stored": 10});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    api.call(ALICE, "POST", "/backups", body).await.expect(201).json()["backup_id"]
        .as_str()
        .unwrap()
        .to_owned()
}

async fn plan(api: &Api, body: Value) -> Value {
    api.call(ALICE, "POST", "/backups/retention-plan", body).await.expect(200).json()
}

/// Time stamps of chains, in days before now.
fn days(decisions: &Value) -> Vec<i64> {
    let stamp = |one: &Value| (NOW - one["chain_time_stamp"].as_i64().unwrap()) / DAY;
    decisions.as_array().unwrap().iter().map(stamp).collect()
}

#[tokio::test]
async fn chains_go_whole_and_the_last_stays() {
    let api = Api::start().await;
    let mut old = Vec::new();
    for (level, age) in [(0, 30), (1, 29)] {
        old.push(record(&api, "etc", level, (30, age), json!({})).await);
    }
    record(&api, "etc", 0, (20, 20), json!({})).await;
    record(&api, "etc", 1, (20, 1), json!({})).await;
    record(&api, "var", 0, (40, 40), json!({})).await;
    let answer = plan(&api, json!({"remove_older_than": 10})).await;
    assert_eq!((&answer["rules"], &answer["notes"]), (&json!([{"remove_older_than": 10.0}]), &json!([])));
    let backups = answer["backups"].as_array().unwrap();
    assert_eq!(backups.len(), 2);
    let (etc, var) = (&backups[0], &backups[1]);
    assert_eq!((days(&etc["remove"]), days(&etc["keep"])), (vec![30], vec![20]), "{etc:#}");
    assert_eq!(
        (&etc["remove"][0]["backup_ids"], &etc["remove"][0]["levels"], &etc["remove"][0]["bytes_stored"]),
        (&json!(old), &json!(2), &json!(20))
    );
    assert_eq!((days(&var["remove"]), days(&var["keep"])), (vec![], vec![40]));
    assert!(var["keep"][0]["reason"].as_str().unwrap().contains("only chain left"), "{var:#}");
    // what was asked for is what is planned, and nothing was removed
    let one =
        plan(&api, json!({"keep_last": 1, "backup_name": "etc", "container": "vault", "storage": "swift"}))
            .await;
    assert_eq!(days(&one["backups"][0]["remove"]), [30]);
    let none = plan(&api, json!({"keep_last": 1, "storage": "local"})).await;
    assert_eq!(none["backups"], json!([]));
    assert_eq!(api.get(ALICE, "/backups").await.json()["backups"].as_array().unwrap().len(), 5);
}

#[tokio::test]
async fn what_does_not_restore_does_not_count() {
    let api = Api::start().await;
    record(&api, "etc", 0, (9, 9), json!({})).await;
    record(&api, "etc", 0, (5, 5), json!({"status": "error"})).await;
    record(&api, "etc", 0, (4, 4), json!({"status": "creating"})).await;
    record(&api, "etc", 0, (3, 3), json!({"status": "deleted"})).await;
    let kept = plan(&api, json!({"keep_last": 1})).await;
    let kept = &kept["backups"][0];
    assert_eq!((days(&kept["remove"]), days(&kept["keep"])), (vec![], vec![9, 5, 4]), "{kept:#}");
    // Upstream's records name no chain: a level belongs to the full backup before it.
    for (level, age) in [(0, 20), (1, 19), (0, 10), (1, 2)] {
        record(&api, "old", level, (age, age), json!({"chain_time_stamp": null, "engine_name": null})).await;
    }
    let old = plan(&api, json!({"keep_last": 2, "backup_name": "old"})).await;
    assert_eq!((days(&old["backups"][0]["remove"]), days(&old["backups"][0]["keep"])), (vec![20], vec![10]));
    record(&api, "native", 0, (1, 1), json!({"mode": "cindernative"})).await;
    let native = plan(&api, json!({"keep_last": 1, "backup_name": "native"})).await;
    assert_eq!(native["backups"], json!([]));
    assert!(native["notes"][0].as_str().unwrap().contains("1 backups of mode cindernative"), "{native}");
}

#[tokio::test]
async fn a_jobs_own_rules_are_the_usual_ones() {
    let api = Api::start().await;
    api.client(ALICE, "node1").await;
    let admin = |more: Value| {
        let mut options = json!({"action": "admin", "backup_name": "etc"});
        options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"freezer_action": options})
    };
    let actions = json!([
        {"freezer_action": {"action": "backup", "backup_name": "etc"}},
        admin(json!({"remove_older_then": "25"})),
        admin(json!({"keep_last": 2})),
    ]);
    let job = api.job(ALICE, json!({"job_actions": actions})).await;
    for (chain, of) in [(30, json!(job)), (20, json!(job)), (10, json!("another")), (1, json!(job))] {
        record(&api, "etc", 0, (chain, chain), json!({"job_id": of})).await;
        record(&api, "var", 0, (chain, chain), json!({"job_id": "another"})).await;
    }
    let answer = plan(&api, json!({"job_id": job})).await;
    assert_eq!(answer["rules"], json!([{"remove_older_than": 25.0}, {"keep_last": 2}]));
    // the chain is shared, and one rule goes after the other
    assert_eq!(answer["backups"].as_array().unwrap().len(), 1);
    assert_eq!(days(&answer["backups"][0]["remove"]), [30, 20]);
    assert_eq!(days(&answer["backups"][0]["keep"]), [10, 1]);
    let other = plan(&api, json!({"job_id": job, "keep_last": 1})).await;
    assert_eq!(days(&other["backups"][0]["keep"]), [1]);
}

#[tokio::test]
async fn bad_rules_are_named_and_other_projects_are_not_seen() {
    let api = Api::start().await;
    api.client(ALICE, "node1").await;
    let plain = api.job(ALICE, json!({})).await;
    for (body, words) in [
        (json!({}), "no rule is given"),
        (json!({"job_id": plain}), "no action admin"),
        (json!({"keep_last": -1}), "'keep_last'"),
        (json!({"keep_last": 1.5}), "'keep_last'"),
        (json!({"keep_last": [1]}), "'keep_last'"),
        (json!({"remove_older_than": "soon"}), "'remove_older_than'"),
        (json!({"remove_older_than": -3}), "remove_older_than"),
        (json!({"remove_from_date": "yesterday"}), "'remove_from_date'"),
        (json!({"remove_from_date": 5}), "'remove_from_date'"),
        (json!({"keep_first": 1}), "keep_first"),
        (json!({"keep_last": 1, "backup_name": 7}), "backup_name"),
    ] {
        let answer = api.call(ALICE, "POST", "/backups/retention-plan", body.clone()).await.expect(400);
        assert!(answer.description().contains(words), "{body}: {}", answer.text);
    }
    record(&api, "etc", 0, (1, 1), json!({})).await;
    let theirs =
        api.call(OTTO, "POST", "/backups/retention-plan", json!({"keep_last": 1})).await.expect(200).json();
    assert_eq!(theirs["backups"], json!([]));
    api.call(OTTO, "POST", "/backups/retention-plan", json!({"job_id": plain})).await.expect(404);
    api.call(NOBODY, "POST", "/backups/retention-plan", json!({"keep_last": 1})).await.expect(403);
    api.call(READER, "POST", "/backups/retention-plan", json!({"keep_last": 1})).await.expect(200);
}

#[tokio::test]
async fn many_records_are_read_with_few_statements() {
    let api = Api::start().await;
    let full = |age: i64| {
        let metadata = json!({"container": "vault", "hostname": "h", "backup_name": "etc", "storage": "swift", "mode": "fs",
            "engine_name": "tar", "curr_backup_level": 0, "chain_time_stamp": NOW - age * 60, "time_stamp": NOW - age * 60});
        Backup {
            project_id: ProjectId::from("p1"),
            backup_id: BackupId::from(format!("b{age}")),
            user_id: UserId::from("alice"),
            job_id: None,
            status: BackupStatus::Available,
            status_is_explicit: false,
            metadata: metadata.as_object().unwrap().clone(),
            created_at: Timestamp::from_secs(NOW - age * 60),
        }
    };
    let records: Vec<Backup> = (1..=3000).map(full).collect();
    api.db.transaction(|tx| -> Result<(), DbError> { tx.backups().insert_many(&records) }).unwrap();
    let before = api.db.statements();
    let answer = plan(&api, json!({"keep_last": 10})).await;
    let cost = api.db.statements() - before;
    assert!(cost < 20, "{cost} statements");
    let told = &answer["backups"][0];
    let count = |key: &str| told[key].as_array().unwrap().len();
    assert_eq!((count("remove"), count("keep")), (2990, 10));
}

/// What a project has recorded is not all held for one plan; what is asked for is planned, however much else there is.
#[tokio::test]
async fn more_than_one_plan_looks_at_is_refused() {
    let api = Api::start().await;
    api.client(ALICE, "node1").await;
    let job = api.job(ALICE, json!({})).await;
    for name in ["etc", "var"] {
        record(&api, name, 0, (2, 2), json!({"job_id": job})).await;
        record(&api, name, 0, (1, 1), json!({"job_id": "another"})).await;
    }
    let long = "x".repeat(64_000);
    let large = |n: i64| {
        let metadata = json!({"container": "vault", "hostname": "h", "backup_name": "large", "storage": "ssh", "mode": "fs",
            "ssh_host": long, "curr_backup_level": 0, "time_stamp": NOW - n});
        Backup {
            project_id: ProjectId::from("p1"),
            backup_id: BackupId::from(format!("large{n}")),
            user_id: UserId::from("alice"),
            job_id: None,
            status: BackupStatus::Available,
            status_is_explicit: false,
            metadata: metadata.as_object().unwrap().clone(),
            created_at: Timestamp::from_secs(NOW),
        }
    };
    let records: Vec<Backup> = (0..600).map(large).collect();
    for records in records.chunks(100) {
        api.db.transaction(|tx| -> Result<(), DbError> { tx.backups().insert_many(records) }).unwrap();
    }
    let refused = api.call(ALICE, "POST", "/backups/retention-plan", json!({"keep_last": 1})).await;
    refused.expect_refusal("name a job, a 'container', a 'hostname' or a 'backup_name'");
    for (body, places) in
        [(json!({"job_id": job, "keep_last": 1}), 2), (json!({"backup_name": "etc", "keep_last": 1}), 1)]
    {
        let answer = plan(&api, body).await;
        let backups = answer["backups"].as_array().unwrap();
        assert_eq!(backups.len(), places, "{answer:#}");
        for place in backups {
            assert_eq!((days(&place["remove"]), days(&place["keep"])), (vec![2], vec![1]), "{place:#}");
        }
    }
}
