//! Action verify: what is on the storage is read again, and damage is found before anybody needs the backup.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod cloud;

use cloud::ground::Ground;
use cloud::one_shot::Said;
use cloud::{Cloud, User, login};
use freezer_testkit::program;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

async fn agent(work: &Path, arguments: &[&str]) -> Said {
    let mut command = Command::new(program("freezer-agent"));
    command.env_clear().env("PATH", "/usr/bin:/bin");
    command.args(["--storage", "local", "--hostname", "h", "--backup-name", "b", "--container"]);
    command.arg(work.join("store")).args(["--metadata-out", "-"]).args(arguments);
    Said::by(command).await
}

/// A folder with a file that was saved twice.
async fn saved_twice(work: &Path, more: &[&str]) {
    for folder in ["source", "store"] {
        std::fs::create_dir(work.join(folder)).unwrap();
    }
    let source = work.join("source").display().to_string();
    for content in ["first\n", "second, and longer\n"] {
        std::fs::write(work.join("source/file"), content).unwrap();
        let backup = ["--action", "backup", "--incremental", "--path-to-backup", &source];
        assert_eq!(agent(work, &[&backup[..], more].concat()).await.status, Some(0));
    }
}

/// Files of the storage whose path holds this text.
fn objects(folder: &Path, part: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(objects(&path, part));
        } else if path.to_string_lossy().contains(part) {
            found.push(path);
        }
    }
    found.sort();
    found
}

const VOLUME: &str = "11111111-2222-4333-8444-555555555555";

/// One bit of the payload of the full backup turns.
fn rot(store: &Path) -> PathBuf {
    let path = objects(store, "/0_").into_iter().find(|path| path.file_name().unwrap() == "data");
    let path = path.unwrap_or_else(|| panic!("no segment among {:?}", objects(store, "")));
    let mut content = std::fs::read(&path).unwrap();
    let middle = content.len() / 2;
    content[middle] ^= 1;
    std::fs::write(&path, content).unwrap();
    path
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_finds_the_bit_that_turned() {
    let work = tempfile::tempdir().unwrap();
    let key = work.path().join("key");
    std::fs::write(&key, "correct horse\n").unwrap();
    let encrypted = ["--encrypt-pass-file", key.to_str().unwrap()];
    saved_twice(work.path(), &encrypted).await;

    let sound = agent(work.path(), &[&["--action", "verify"], &encrypted[..]].concat()).await.document();
    assert_eq!((&sound["is_sound"], &sound["levels"]), (&json!(true), &json!(2)), "{sound}");
    assert_eq!(sound["reports"][0]["levels"][0]["notes"], json!([]), "the codes were checked, too");
    let blind = agent(work.path(), &["--action", "verify"]).await.document();
    assert!(blind["reports"][0]["levels"][0]["notes"][0].as_str().unwrap().contains("no pass phrase"));

    rot(&work.path().join("store"));
    let damaged = agent(work.path(), &[&["--action", "verify"], &encrypted[..]].concat()).await;
    damaged.fails_with(&["damaged in one place", "h_b level 0", "restore an older date"]);
    let found: Value = serde_json::from_str(&damaged.out).unwrap();
    assert_eq!((&found["is_sound"], &found["levels"]), (&json!(false), &json!(2)), "{found}");
}

#[tokio::test]
async fn what_is_asked_for_is_what_is_read() {
    let work = tempfile::tempdir().unwrap();
    saved_twice(work.path(), &[]).await;
    let source = work.path().join("source").display().to_string();
    let full = ["--action", "backup", "--path-to-backup", &source];
    assert_eq!(agent(work.path(), &full).await.status, Some(0));
    let verify = async |more: &[&str]| agent(work.path(), &[&["--action", "verify"], more].concat()).await;
    assert_eq!(verify(&[]).await.document()["levels"], 1, "the newest chain has one level");
    assert_eq!(verify(&["--verify-scope", "all"]).await.document()["levels"], 3);
    let long_ago = ["--restore-from-date", "2001-01-01T00:00:00Z"];
    verify(&long_ago).await.fails_with(&["no complete backup up to 2001-01-01T00:00:00Z"]);
    let both = [&long_ago[..], &["--verify-scope", "all"]].concat();
    verify(&both).await.fails_with(&["verify_scope=all reads every state"]);
    verify(&["--mode", "cindernative", "--cindernative-vol-id", VOLUME])
        .await
        .fails_with(&["only Cinder reads"]);
}

#[tokio::test]
async fn what_is_held_stays_and_is_shown_until_it_is_released() {
    let work = tempfile::tempdir().unwrap();
    saved_twice(work.path(), &[]).await;
    let source = work.path().join("source").display().to_string();
    agent(work.path(), &["--action", "hold"]).await.fails_with(&["hold_reason", "is needed"]);
    let held = ["--action", "hold", "--hold-reason", "case 17", "--hold-by", "the court"];
    assert_eq!(agent(work.path(), &held).await.document()["backups"][0]["level"], 1);
    let full = ["--action", "backup", "--path-to-backup", &source, "--exclude-rules", "file"];
    assert_eq!(agent(work.path(), &full).await.document()["curr_backup_level"], 0);
    let info = async || agent(work.path(), &["--action", "info"]).await.document();
    let told = info().await;
    let backups = told["backups"].as_array().unwrap();
    assert_eq!(backups.len(), 3, "{told:#}");
    assert_eq!(backups[1]["held"]["reason"], "case 17");
    assert_eq!(backups[0]["held"], Value::Null);
    assert!(backups.iter().all(|one| one["source"] == source && one["age_secs"].as_i64().unwrap() < 3600));
    assert!(backups.iter().all(|one| one["bytes_stored"].as_u64() > Some(0) && one["compression"] == "gzip"));
    let rotate = ["--action", "admin", "--keep-last", "1"];
    let plan = agent(work.path(), &rotate).await.document();
    assert!(plan["keep"][0]["reason"].as_str().unwrap().contains("held by the court"), "{plan:#}");
    assert_eq!(agent(work.path(), &["--action", "release"]).await.document()["backups"][0]["level"], 1);
    assert_eq!(agent(work.path(), &rotate).await.status, Some(0));
    assert_eq!(info().await["backups"].as_array().unwrap().len(), 1);
    // What the rules left out is not in the one that is left.
    let target = work.path().join("restored").display().to_string();
    let restore = ["--action", "restore", "--restore-abs-path", &target];
    assert_eq!(agent(work.path(), &restore).await.status, Some(0));
    assert!(work.path().join("restored").exists() && !work.path().join("restored/file").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_finds_damage_fails_and_says_where() {
    let work = tempfile::tempdir().unwrap();
    saved_twice(work.path(), &[]).await;
    let ground = Ground::new();
    let demo = login("demo", "demo").await;
    let parts = ground.parts(&demo.project_id, ("demo", "demo"));
    let cloud = Cloud::start(work.path(), &parts);
    let user = User::new(cloud.api_port, &demo);
    cloud.wait_for_agent(&user).await;
    let ended = async |what: &str| {
        let action = json!({"action": what, "storage": "local", "container": work.path().join("store"), "hostname": "h",
            "backup_name": "b"});
        let job = json!({"client_id": cloud.client_id, "job_schedule": {}, "job_actions": [{"freezer_action": action, "max_retries": 0}]});
        let job_id = user.post("/jobs", &job).await["job_id"].as_str().unwrap().to_owned();
        user.finished_run(&job_id, 1).await
    };
    // Nobody has told the service of these backups yet; telling it twice changes nothing.
    for _ in 0..2 {
        assert_eq!(ended("adopt").await["state"], "success");
        let records = user.get("/backups").await["backups"].clone();
        let mut levels: Vec<_> =
            records.as_array().unwrap().iter().map(|one| one["backup_metadata"].clone()).collect();
        levels.sort_by_key(|level| level["curr_backup_level"].as_i64());
        let source = work.path().join("source").display().to_string();
        assert_eq!(levels.len(), 2, "{levels:#?}");
        for (number, level) in levels.iter().enumerate() {
            assert_eq!(
                (&level["curr_backup_level"], &level["path_to_backup"]),
                (&json!(number), &json!(source))
            );
            assert_eq!(
                (&level["hostname"], &level["backup_name"], &level["mode"]),
                (&json!("h"), &json!("b"), &json!("fs"))
            );
        }
    }
    let run = ended("verify").await;
    assert_eq!(
        (&run["state"], &run["steps"][0]["result"]["verify"]["is_sound"]),
        (&json!("success"), &json!(true))
    );
    rot(&work.path().join("store"));
    let run = ended("verify").await;
    let step = &run["steps"][0];
    assert_eq!(
        (&run["state"], &step["result"]["verify"]["is_sound"]),
        (&json!("fail"), &json!(false)),
        "{run:#}"
    );
    assert!(run["error"].as_str().unwrap().contains("h_b level 0"), "{run:#}");
}
