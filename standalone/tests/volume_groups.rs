//! Groups of volumes in the real Cinder: a server whose volumes are all in one is saved by one snapshot of the group, where its type is
//! known to be taken at one instant; else each volume by its own. Here Cinder takes one after the other, whatever the type says; that
//! the back end can do better is what the option claims.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod cloud;

use cloud::admin::GroupType;
use cloud::left::goes_with_the_next;
use cloud::one_shot::{CEPH, Said, agent_of, at_work, quota};
use cloud::project::{Hands, Project, content, scribble};
use cloud::servers::resources;
use cloud::{LOOK, PATIENCE};
use reqwest::Method;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

fn command(project: &Project, folder: &Path, action: &str, more: &[&str]) -> Command {
    let mut command = agent_of(project, &project.user);
    command.args([
        "--action",
        action,
        "--mode",
        "nova",
        "--engine",
        "nova",
        "--storage",
        "local",
        "--container",
    ]);
    command
        .arg(folder.join("store"))
        .args(["--backup-name", "b", "--hostname", "h", "--metadata-out", "-"])
        .args(more);
    command
}

/// A server that boots from one volume of a group and has the other; answers it and both volumes.
async fn grouped(hands: &Hands, kind: &GroupType) -> (String, [String; 2]) {
    let (_, types) = hands.cinder(Method::GET, "/types", None).await;
    let rbd = types["volume_types"].as_array().unwrap().iter().find(|row| row["name"] == "rbd").unwrap();
    let body = json!({"group": {"name": "all", "group_type": kind.id, "volume_types": [rbd["id"]]}});
    let (status, made) = hands.cinder(Method::POST, "/groups", Some(&body)).await;
    assert_eq!(status, 202, "{made}");
    let group = made["group"]["id"].as_str().unwrap().to_owned();
    let end = Instant::now() + PATIENCE;
    while hands.cinder(Method::GET, &format!("/groups/{group}"), None).await.1["group"]["status"]
        != "available"
    {
        assert!(Instant::now() < end, "group {group} is not there");
        tokio::time::sleep(LOOK).await;
    }
    let volume = |name: &str| json!({"name": name, "size": 1, "volume_type": "rbd", "group_id": group});
    let mut root = volume("root");
    root["imageRef"] = json!(hands.image_id().await);
    let (root, data) = (hands.volume_of(root).await, hands.volume_of(volume("data")).await);
    scribble(&data);
    let disk = |volume: &str, boot_index: Option<u32>| json!({"uuid": volume, "source_type": "volume", "destination_type": "volume", "boot_index": boot_index});
    let fields = json!({
        "name": "db", "flavorRef": hands.flavor_id("tiny0").await, "networks": "none",
        "block_device_mapping_v2": [disk(&root, Some(0)), disk(&data, None)],
    });
    (hands.server(fields).await, [root, data])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn volumes_of_a_group_are_taken_by_one_snapshot_of_it_and_nothing_of_it_stays() {
    let kind = GroupType::create().await;
    let project = Project::create().await;
    let (hands, folder) = (Hands::of(&project).await, tempfile::tempdir().unwrap());
    let (server, [_, data]) = grouped(&hands, &kind).await;
    let before = resources(&hands).await;
    // Glance may have other things to do.
    let known = ["--nova-inst-id", &server, "--consistent-group-types", &kind.name, "--timeout", "900"];
    // A restore needs no image of each volume.
    let conf = folder.path().join("agent.conf");
    std::fs::write(&conf, CEPH).unwrap();
    let run =
        async |action: &str, more: &[&str]| Said::by(command(&project, folder.path(), action, more)).await;
    let all = async || {
        let ids = hands.group_snapshots().await;
        let snapshots = ids.iter().map(|id| format!("snapshot {id} of a group"));
        snapshots.chain(resources(&hands).await).collect::<Vec<String>>()
    };

    // Told to stop while the snapshot is there, it removes it itself; killed, the next one does, and its own.
    for signal in [Signal::TERM, Signal::KILL] {
        let ended = command(&project, folder.path(), "backup", &known);
        let is_there = async || !hands.group_snapshots().await.is_empty();
        let mut child = at_work(ended, "a snapshot of the group", is_there).await;
        kill_process(Pid::from_child(&child), signal).unwrap();
        let code = child.wait().unwrap().code();
        if signal == Signal::TERM {
            assert_eq!((code, all().await), (Some(143), before.clone()));
        }
    }
    let next = async || {
        let saved = run("backup", &known).await.document();
        assert_eq!(saved["consistency"], "crash-consistent", "{saved}");
    };
    goes_with_the_next(&before, all, next).await;
    // An agent that reads the volumes itself takes each for itself, and says so.
    let conf = conf.display().to_string();
    let near = ["--config-file", conf.as_str()];
    let saved = run("backup", &[&known[..], &near].concat()).await.document();
    let note = saved["notes"][0].as_str().unwrap_or_default();
    let is_told = note.contains("consistent_group_types") && note.contains("[ceph]");
    assert!(saved["consistency"] == "per-volume" && is_told, "{saved}");
    assert_eq!(resources(&hands).await, before);
    let restored = run("restore", &near).await.document();
    let new = restored["volumes"][&data].as_str().unwrap();
    assert_eq!(content(new), content(&data));

    // Without room for all of the group there is none for each.
    let before = resources(&hands).await;
    quota(&project, json!({"snapshots": 1})).await;
    run("backup", &known).await.fails_with(&["quota", "snapshot"]);
    assert_eq!(resources(&hands).await, before);
    assert_eq!(hands.group_snapshots().await, Vec::<String>::new());
}
