//! Mode glance on a real Glance: images come back with content, properties, tags, members and visibility.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod cloud;

use cloud::adopted;
use cloud::one_shot::{Said, agent_of};
use cloud::project::{GLANCE, Hands, Project, call};
use freezer_testkit::venv;
use reqwest::Method;
use serde_json::{Value, json};
use std::process::Command;

/// `freezer-agent` as a user of the project: its document, or the last line of what it complains.
async fn agent(project: &Project, store: &str, arguments: &[&str]) -> Result<Value, String> {
    let mut command = agent_of(project, &project.user);
    command
        .args(["--mode", "glance", "--engine", "glance", "--storage", "local", "--container", store])
        .args(["--backup-name", "images", "--metadata-out", "-"])
        .args(arguments);
    let said = Said::by(command).await;
    match said.status {
        Some(0) => Ok(said.document()),
        _ => Err(said.err.lines().last().unwrap_or_default().to_owned()),
    }
}

async fn show(hands: &Hands, id: &str) -> Value {
    let (status, image) = call(Method::GET, &format!("{GLANCE}/images/{id}"), &hands.login.token, None).await;
    assert_eq!(status, 200, "{image}");
    image
}

async fn make(hands: &Hands, body: Value, content: Vec<u8>) -> String {
    let token = &hands.login.token;
    let (status, made) = call(Method::POST, &format!("{GLANCE}/images"), token, Some(&body)).await;
    assert_eq!(status, 201, "{made}");
    let id = made["id"].as_str().unwrap().to_owned();
    let sent = cloud::http()
        .put(format!("{GLANCE}/images/{id}/file"))
        .header("X-Auth-Token", token)
        .header("Content-Type", "application/octet-stream")
        .body(content)
        .send()
        .await
        .unwrap();
    assert_eq!(sent.status(), 204);
    id
}

async fn remove_images(hands: &Hands) {
    let token = &hands.login.token;
    let url = format!("{GLANCE}/images?owner={}", hands.login.project_id);
    let (_, list) = call(Method::GET, &url, token, None).await;
    for id in list["images"].as_array().unwrap().iter().filter_map(|image| image["id"].as_str()) {
        let (status, _) = call(Method::DELETE, &format!("{GLANCE}/images/{id}"), token, None).await;
        assert_eq!(status, 204, "image {id} stays");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_comes_back_whole() {
    let (project, friends) = (Project::create().await, Project::create().await);
    let hands = Hands::of(&project).await;
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().display().to_string();
    let run = async |arguments: &[&str]| agent(&project, &store, arguments).await;
    // Neither a multiple of a block nor all of one kind.
    let content: Vec<u8> =
        (0..3_000_007_u32).map(|at| if at < 1_000_000 { 0 } else { (at % 251) as u8 }).collect();
    let body = json!({
        "name": "gold", "disk_format": "raw", "container_format": "bare", "visibility": "shared", "min_ram": 64,
        "tags": ["a", "b"], "hw_qemu_guest_agent": "yes", "os_distro": "debian",
    });
    let id = make(&hands, body, content.clone()).await;
    saved_by_freezer_in_python(&project, &id, &content).await;
    let member = json!({"member": friends.id});
    call(Method::POST, &format!("{GLANCE}/images/{id}/members"), &hands.login.token, Some(&member)).await;

    let by_name = ["--action", "backup", "--glance-image-name", "gold", "--incremental"];
    let full = run(&by_name).await.unwrap();
    assert_eq!((&full["glance_image_id"], &full["curr_backup_level"]), (&id.clone().into(), &0.into()));
    let again = run(&by_name).await.unwrap();
    assert_eq!(again["curr_backup_level"], 1);
    assert!(again["bytes_stored"].as_u64().unwrap() < 4096, "{again}");

    let restored = run(&["--action", "restore", "--restore-name", "gold again"]).await.unwrap();
    let new = restored["image_id"].as_str().unwrap();
    let (old, shown) = (show(&hands, &id).await, show(&hands, new).await);
    for key in
        ["os_hash_value", "size", "visibility", "min_ram", "hw_qemu_guest_agent", "os_distro", "disk_format"]
    {
        assert_eq!(shown[key], old[key], "{key}");
    }
    assert_eq!((&shown["name"], shown["tags"].as_array().unwrap().len()), (&"gold again".into(), 2));
    let url = format!("{GLANCE}/images/{new}/members");
    let (_, members) = call(Method::GET, &url, &hands.login.token, None).await;
    assert_eq!(members["members"][0]["member_id"], friends.id.as_str());

    // Two images by project, each in a chain of its own; one comes back by its id.
    let all = run(&["--action", "backup", "--project-id", &project.id]).await.unwrap();
    let each: Vec<&Value> = all["images"].as_object().unwrap().values().collect();
    assert_eq!(each.len(), 2, "{all}");
    let stored: u64 = each.iter().map(|one| one["bytes_stored"].as_u64().unwrap()).sum();
    assert_eq!((&all["bytes_stored"], &all["image_name"]), (&stored.into(), &Value::Null), "{all}");
    let records = run(&["--action", "adopt"]).await.unwrap();
    let told: Vec<&Value> = [&full, &again].into_iter().chain(each).collect();
    adopted::as_told(&records, &told, &["glance_image_id", "image_name"]);
    let one = run(&["--action", "restore", "--glance-image-id", new]).await.unwrap();
    assert_eq!(one["image_of_backup"], new);

    // The one that came back is a third. What was saved together is checked and rotated together.
    run(&["--action", "backup", "--project-id", &project.id]).await.unwrap();
    let checked =
        run(&["--action", "verify", "--project-id", &project.id, "--verify-scope", "all"]).await.unwrap();
    assert_eq!((&checked["is_sound"], &checked["levels"]), (&true.into(), &5.into()), "{checked}");
    let checked = run(&["--action", "verify", "--glance-image-id", new]).await.unwrap();
    assert_eq!(checked["levels"], 1, "{checked}");
    let plan = run(&["--action", "admin", "--project-id", &project.id, "--keep-last", "1", "--dry-run"])
        .await
        .unwrap();
    let removes = |plan: &Value| plan["remove"].as_array().unwrap().len();
    assert_eq!(plan.as_array().unwrap().iter().map(removes).sum::<usize>(), 2, "{plan}");
    run(&["--action", "admin", "--project-id", &project.id, "--keep-last", "1"]).await.unwrap();
    let checked =
        run(&["--action", "verify", "--project-id", &project.id, "--verify-scope", "all"]).await.unwrap();
    assert_eq!(checked["levels"], 3, "{checked}");

    // What is wrong is said.
    let nobodys = uuid::Uuid::new_v4().to_string();
    let said = run(&["--action", "backup", "--glance-image-id", &nobodys]).await.unwrap_err();
    assert!(said.contains("Glance has no image") && said.contains(&nobodys), "{said}");
    let said = run(&["--action", "backup", "--project-id", &friends.id]).await.unwrap_err();
    assert!(!said.is_empty() && !said.contains("panicked"), "{said}");
    let hidden = make(
        &Hands::of(&friends).await,
        json!({"name": "h", "disk_format": "raw", "container_format": "bare"}),
        vec![1],
    )
    .await;
    let said = run(&["--action", "backup", "--glance-image-id", &hidden]).await.unwrap_err();
    assert!(said.contains("Glance has no image"), "{said}");
    encrypted(&project, &hands, &id).await;
    remove_images(&hands).await;
    remove_images(&Hands::of(&friends).await).await;
}

/// What the agent of PyPI, unmodified, makes of the image becomes a file here.
async fn saved_by_freezer_in_python(project: &Project, id: &str, content: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (store, target) = (path("store"), path("restored"));
    let programs = venv::freezer_in_python();
    let ours = agent_of(project, &project.user);
    let mut theirs = Command::new(programs.join("freezer-agent"));
    theirs.env_clear().envs(ours.get_envs().filter_map(|(name, value)| Some((name, value?))));
    theirs.env("PATH", format!("{}:/usr/bin:/bin", programs.display())).env("HOME", folder.path());
    theirs.args(["--action", "backup", "--mode", "glance", "--engine", "glance", "--glance-image-id", id]);
    theirs.args(["--storage", "local", "--container", &store, "--hostname", "h", "--backup-name", "b"]);
    theirs.args(["--log-file", &path("agent.log")]);
    let said = Said::by(theirs).await;
    let log = std::fs::read_to_string(path("agent.log")).unwrap_or_default();
    assert_eq!(said.status, Some(0), "{}\n{}\n{log}", said.out, said.err);
    let mut restore = ours;
    restore.args(["--action", "restore", "--mode", "fs", "--engine", "glance", "--hostname", "h"]);
    restore.args(["--backup-name", &format!("b/{id}"), "--storage", "local", "--container", &store]);
    restore.args(["--restore-abs-path", &target]);
    let said = Said::by(restore).await;
    assert_eq!(said.status, Some(0), "{}\n{}", said.out, said.err);
    assert!(std::fs::read(folder.path().join(format!("restored/{id}.raw"))).unwrap() == content);
}

/// The image comes back from an encrypted backup, and from that only with the pass phrase.
async fn encrypted(project: &Project, hands: &Hands, id: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (store, pass, wrong) = (path("store"), path("pass"), path("wrong"));
    std::fs::write(&pass, "correct horse battery staple\n").unwrap();
    std::fs::write(&wrong, "wrong horse\n").unwrap();
    let save = ["--action", "backup", "--glance-image-id", id, "--encrypt-pass-file", &pass];
    let saved = agent(project, &store, &save).await.unwrap();
    assert_eq!(saved["encrypted"], true, "{saved}");
    let restore = ["--action", "restore", "--restore-name", "sealed"];
    let before = hands.images().await.len();
    let said = agent(project, &store, &restore).await.unwrap_err();
    assert!(said.contains("encrypted") && said.contains("no pass phrase"), "{said}");
    let other = [&restore[..], &["--encrypt-pass-file", &wrong]].concat();
    let said = agent(project, &store, &other).await.unwrap_err();
    assert!(said.contains("wrong pass phrase"), "{said}");
    assert_eq!(hands.images().await.len(), before, "nothing is made of what cannot be read");
    let with = [&restore[..], &["--encrypt-pass-file", &pass]].concat();
    let restored = agent(project, &store, &with).await.unwrap();
    let (old, shown) = (show(hands, id).await, show(hands, restored["image_id"].as_str().unwrap()).await);
    assert_eq!(shown["name"], "sealed");
    for key in ["os_hash_value", "size", "os_distro", "hw_qemu_guest_agent"] {
        assert_eq!(shown[key], old[key], "{key}");
    }
}
