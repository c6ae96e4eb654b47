//! Mode cindernative against a real Cinder that keeps its backups in Swift.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod cloud;
#[allow(dead_code)]
#[path = "../../crates/storage/tests/support/proxy.rs"]
mod proxy;

use cloud::detour::keystone_with;
use cloud::one_shot::{Said, agent_of};
use cloud::project::{Hands, Project, content, scribble};
use serde_json::Value;
use std::process::Command;

/// `freezer-agent --action …` as a user of the project.
async fn agent(project: &Project, user: &str, arguments: &[&str]) -> Said {
    let mut command = agent_of(project, user);
    command.args(arguments).args(["--mode", "cindernative", "--metadata-out", "-"]);
    Said::by(command).await
}

fn ids(backups: &[Value]) -> Vec<&str> {
    backups.iter().map(|backup| backup["id"].as_str().unwrap()).collect()
}

/// Saves into a container named by ids, in a zone. What Cinder is asked for tells: the one of Debian 12 does not follow the
/// zone. `save` lacks the container.
async fn elsewhere(project: &Project, volume: &str, save: &[&str]) -> Value {
    let cinder = proxy::Proxy::http("127.0.0.1:8776".to_owned()).await;
    let keystone = keystone_with(&[(8776, cinder.port)]).await;
    let mut command = agent_of(project, &project.user);
    command.env("OS_AUTH_URL", format!("http://127.0.0.1:{keystone}/v3")).args(save);
    command.args(["{project_id}-{volume_id}", "--cindernative-backup-az", "nova"]);
    command.args(["--mode", "cindernative", "--metadata-out", "-"]);
    let saved = Said::by(command).await.document();
    let asked: Value = serde_json::from_str(&cinder.documents("POST", "/backups")[0]).unwrap();
    let container = format!("{}-{volume}", project.id);
    assert_eq!(
        (&asked["backup"]["availability_zone"], &asked["backup"]["container"]),
        (&"nova".into(), &container.as_str().into()),
        "{asked}"
    );
    assert_eq!((&saved["container"], &saved["cindernative_backup_az"]), (&container.into(), &"nova".into()));
    saved
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_increment_restore_and_rotation() {
    let project = Project::create().await;
    let hands = Hands::of(&project).await;
    let volume = hands.volume("data", true).await;
    let original = content(&volume);
    let run = async |arguments: &[&str]| agent(&project, &project.user, arguments).await;
    let save = [
        "--action",
        "backup",
        "--cindernative-vol-id",
        &volume,
        "--backup-name",
        "nightly",
        "--incremental",
        "--cindernative-backup-container",
        "saved-{backup_name}",
    ];

    let plan = run(&[&save[..], &["--dry-run"]].concat()).await.document();
    assert_eq!((plan["is_incremental"].as_bool(), plan["level"].as_u64()), (Some(false), Some(0)));
    assert_eq!(hands.backups(&volume).await.len(), 0);

    let full = run(&save).await.document();
    let text = |document: &Value, key: &str| document[key].as_str().unwrap().to_owned();
    assert_eq!(full["curr_backup_level"], 0);
    assert!(text(&full, "level_reason").contains("no available backup"), "{full}");
    let listed = hands.backups(&volume).await;
    assert_eq!(ids(&listed), [text(&full, "cinder_backup_id")]);
    let known = &listed[0];
    assert_eq!(
        (&known["status"], &known["name"], &known["container"]),
        (&"available".into(), &"nightly".into(), &"saved-nightly".into())
    );
    assert_eq!(known["description"], format!("Backup created by Freezer for volume {volume}"));
    assert_eq!(known["metadata"]["created_by"], "freezer");
    assert_eq!(known["metadata"]["freezer_backup_id"], full["backup_id"]);

    scribble(&volume);
    let changed = content(&volume);
    assert_ne!(changed, original);
    let increment = run(&save).await.document();
    assert_eq!((&increment["curr_backup_level"], &increment["is_incremental"]), (&1.into(), &true.into()));

    // The state of an increment, by id, into a new volume of its own.
    let id = text(&increment, "cinder_backup_id");
    let restored = run(&["--action", "restore", "--cindernative-backup-id", &id]).await.document();
    let new = text(&restored, "volume_id");
    assert_eq!((&restored["is_new_volume"], new == volume), (&true.into(), false));
    assert_eq!(content(&new), changed);
    // The state of a time, over the volume.
    let date = format!("@{}", full["time_stamp"]);
    let date =
        String::from_utf8(Command::new("date").args(["-u", "+%FT%TZ", "-d", &date]).output().unwrap().stdout)
            .unwrap();
    let back = ["--action", "restore", "--cindernative-vol-id", &volume, "--restore-from-date"];
    let restored = run(&[&back[..], &[date.trim()]].concat()).await.document();
    assert_eq!(
        (&restored["volume_id"], &restored["cinder_backup_id"]),
        (&volume.as_str().into(), &full["cinder_backup_id"])
    );
    assert_eq!(content(&volume), original);
    run(&[&back[..], &["2020-01-01T00:00:00Z"]].concat())
        .await
        .fails_with(&["no available Cinder backup of 2020", "the oldest is of"]);
    assert_eq!(content(&volume), original);

    // A user's own backup is no base for Freezer's, is not counted and not removed.
    let own = hands.own_backup(&volume, "mine").await;
    let second = elsewhere(&project, &volume, &save[..8]).await;
    assert!(
        second["curr_backup_level"] == 0 && text(&second, "level_reason").contains("not Freezer's"),
        "{second}"
    );
    let rotate = ["--action", "admin", "--cindernative-vol-id", &volume, "--fullbackup-rotation", "1"];
    let plan = run(&[&rotate[..], &["--dry-run"]].concat()).await.document();
    assert_eq!(
        plan["remove"][0]["backups"],
        serde_json::json!([increment["cinder_backup_id"], full["cinder_backup_id"]])
    );
    assert_eq!(hands.backups(&volume).await.len(), 4);
    run(&rotate).await.document();
    assert_eq!(ids(&hands.backups(&volume).await), [own.as_str(), &text(&second, "cinder_backup_id")]);
    run(&[&rotate[..], &["--nocindernative-freezer-only"]].concat()).await.document();
    assert_eq!(ids(&hands.backups(&volume).await), [text(&second, "cinder_backup_id")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_done_says_why_and_leaves_nothing() {
    let (project, stranger) = (Project::create().await, Project::create().await);
    let hands = Hands::of(&project).await;
    let volume = hands.volume("data", false).await;
    let unknown = "11111111-2222-3333-4444-555555555555";
    let run = async |arguments: &[&str]| agent(&project, &project.user, arguments).await;
    let backup = |id| ["--action", "backup", "--cindernative-vol-id", id];
    run(&backup(unknown)).await.fails_with(&[unknown, "not in this project"]);
    run(&backup("volume1")).await.fails_with(&["cindernative_vol_id", "no id"]);
    run(&["--action", "backup"]).await.fails_with(&["needs cindernative_vol_id"]);
    run(&[&backup(&volume)[..], &["--container", "a/b"]].concat()).await.fails_with(&["'a/b'", "'/'"]);
    run(&[&backup(&volume)[..], &["--max-level", "3"]].concat()).await.fails_with(&["incremental=true"]);
    let secret = [&backup(&volume)[..], &["--encrypt-pass-file", "/etc/pass"]].concat();
    run(&secret).await.fails_with(&["encrypt_pass_file", "mode cinder, which encrypts"]);
    let foreign = agent(&stranger, &stranger.user, &backup(&volume)).await;
    foreign.fails_with(&[&volume, "not in this project"]);

    // Cinder's reason, and nothing left of what it could not make.
    let refused = agent(&project, &project.weak, &backup(&volume)).await;
    refused.fails_with(&["ended in error", "it was removed", "403"]);
    assert_eq!(hands.backups(&volume).await.len(), 0);

    let restore = |key, id| ["--action", "restore", key, id];
    run(&restore("--cindernative-backup-id", unknown)).await.fails_with(&[unknown, "not in this project"]);
    run(&restore("--cindernative-vol-id", &volume)).await.fails_with(&["no available Cinder backup"]);
    run(&["--action", "restore"]).await.fails_with(&["cindernative_backup_id or cindernative_vol_id"]);
    let admin = ["--action", "admin", "--cindernative-vol-id"];
    run(&[&admin[..], &[&volume]].concat()).await.fails_with(&["fullbackup_rotation"]);
    let rotation = ["--fullbackup-rotation", "2"];
    run(&[&admin[..], &[unknown], &rotation].concat()).await.fails_with(&[unknown, "not in this project"]);
    run(&[&admin[..], &[&volume, "--fullbackup-rotation", "0"]].concat())
        .await
        .fails_with(&["fullbackup_rotation"]);

    // A volume that is used cannot be written over: said before Cinder is asked.
    let own = hands.own_backup(&volume, "mine").await;
    let theirs = agent(&stranger, &stranger.user, &restore("--cindernative-backup-id", &own)).await;
    theirs.fails_with(&[&own, "not in this project"]);
    let reserve = serde_json::json!({"os-reserve": {}});
    let (status, _) =
        hands.cinder(reqwest::Method::POST, &format!("/volumes/{volume}/action"), Some(&reserve)).await;
    assert_eq!(status, 202);
    let over = run(&restore("--cindernative-vol-id", &volume)).await;
    over.fails_with(&["is attaching", "detach it first"]);
    let unreserve = serde_json::json!({"os-unreserve": {}});
    hands.cinder(reqwest::Method::POST, &format!("/volumes/{volume}/action"), Some(&unreserve)).await;
}
