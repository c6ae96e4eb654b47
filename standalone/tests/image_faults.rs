//! Mode glance where it is hard: everything an image has, all images of a project, downloads and uploads that break off.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod cloud;
#[allow(dead_code)]
#[path = "../../crates/storage/tests/support/proxy.rs"]
mod proxy;

use cloud::detour::{keystone_with_glance_at, revoke_token_after};
use cloud::http;
use cloud::one_shot::{Said, agent_of, without_files};
use cloud::project::{GLANCE, Hands, Project, call};
use freezer_testkit::noise;
use reqwest::Method;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

const UNKNOWN: &str = "11111111-2222-3333-4444-555555555555";

fn command(project: &Project, store: &Path, arguments: &[&str]) -> Command {
    let mut command = agent_of(project, &project.user);
    command
        .args(arguments)
        .args(["--metadata-out", "-", "--storage", "local", "--container"])
        .arg(store)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    command
}

/// `freezer-agent --action …` as a user of the project.
async fn agent(project: &Project, store: &Path, arguments: &[&str]) -> Said {
    Said::by(command(project, store, arguments)).await
}

/// Ids of all images of the project.
async fn ids(hands: &Hands) -> Vec<String> {
    hands.images().await.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

fn text<'a>(document: &'a Value, key: &str) -> &'a str {
    document[key].as_str().unwrap_or_else(|| panic!("no {key}: {document}"))
}

/// An image of the project with this content.
async fn image(hands: &Hands, body: Value, bytes: &[u8]) -> String {
    let token = &hands.login.token;
    let (status, made) = call(Method::POST, &format!("{GLANCE}/images"), token, Some(&body)).await;
    assert_eq!(status, 201, "{made}");
    let id = text(&made, "id").to_owned();
    let request = http().put(format!("{GLANCE}/images/{id}/file")).header("X-Auth-Token", token);
    let sent = request.header("Content-Type", "application/octet-stream").body(bytes.to_vec()).send().await;
    assert_eq!(sent.unwrap().status(), 204);
    id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn images_come_back_with_content_properties_members_and_tags() {
    let (project, friend) = (Project::create().await, Project::create().await);
    let hands = Hands::of(&project).await;
    let folder = tempfile::tempdir().unwrap();
    let run = async |arguments: &[&str]| agent(&project, folder.path(), arguments).await;
    let body = json!({
        "name": "golden", "disk_format": "qcow2", "container_format": "bare", "visibility": "shared", "min_disk": 1,
        "min_ram": 64, "protected": true, "tags": ["a", "b"], "hw_disk_bus": "scsi", "os_distro": "tiny",
    });
    let id = image(&hands, body, &noise(1, 3_000_001)).await;
    let members = format!("{GLANCE}/images/{id}/members");
    let member = json!({"member": friend.id});
    let (status, document) = call(Method::POST, &members, &hands.login.token, Some(&member)).await;
    assert_eq!(status, 200, "{document}");
    // Glance lists a hidden one to nobody who does not ask for it.
    let other = json!({
        "name": "scratch", "disk_format": "raw", "container_format": "bare", "visibility": "private", "os_hidden": true,
    });
    let other = image(&hands, other, &noise(2, 70_000)).await;
    let open =
        json!({"name": "open", "disk_format": "raw", "container_format": "bare", "visibility": "community"});
    image(&hands, open, &noise(7, 1_000)).await;

    let common = ["--backup-name", "i", "--hostname", "h", "--glance-image-id"];
    let saved = run(&[&["--action", "backup"], &common[..], &[&id]].concat()).await.document();
    assert_eq!(text(&saved, "glance_image_id"), id);
    let restored = run(&[&["--action", "restore"], &common[..], &[&id]].concat()).await.document();
    let new = text(&restored, "image_id").to_owned();
    let images = hands.images().await;
    let find = |id: &str| images.iter().find(|image| image["id"] == id).unwrap().clone();
    let (mut old, mut made) = (find(&id), find(&new));
    assert_eq!(made["name"], format!("golden~{}", saved["time_stamp"]));
    for row in [&mut old, &mut made] {
        for key in ["id", "name", "created_at", "updated_at", "file", "self"] {
            row.as_object_mut().unwrap().remove(key);
        }
        row["tags"].as_array_mut().unwrap().sort_by_key(ToString::to_string);
    }
    assert_eq!(made, old);
    let (_, shared) =
        call(Method::GET, &format!("{GLANCE}/images/{new}/members"), &hands.login.token, None).await;
    assert_eq!(shared["members"][0]["member_id"], friend.id.as_str());

    // All of the project, each in its own chain, and all of them back.
    let all =
        ["--backup-name", "all", "--hostname", "h", "--mode", "glance", "--glance-image-name-filter", "~"];
    let saved = run(&[&["--action", "backup"], &all[..]].concat()).await.document();
    assert_eq!(saved["images"].as_object().unwrap().len(), 3, "{saved}");
    let before = hands.images().await.len();
    let restored = run(&[&["--action", "restore"], &all[..]].concat()).await.document();
    let rows = restored["images"].as_array().unwrap();
    assert_eq!((rows.len(), hands.images().await.len()), (3, before + 3), "{restored}");
    let images = hands.images().await;
    let facts = |id: &str| {
        let found = images.iter().find(|image| image["id"] == id).unwrap();
        ["os_hash_value", "visibility", "os_hidden"].map(|key| found[key].clone())
    };
    for row in rows {
        assert_eq!(facts(text(row, "image_id")), facts(text(row, "image_of_backup")), "{row}");
    }
    assert_eq!(facts(&other)[1..], [json!("private"), json!(true)]);

    // By its name the image is meant that took the place of a hidden one.
    let hidden =
        json!({"name": "golden", "disk_format": "raw", "container_format": "bare", "os_hidden": true});
    let hidden = image(&hands, hidden, &noise(8, 1_000)).await;
    let by_name = ["--backup-name", "n", "--hostname", "h", "--glance-image-name", "golden"];
    let saved = run(&[&["--action", "backup"], &by_name[..]].concat()).await.document();
    assert_eq!(text(&saved, "glance_image_id"), id);
    let url = format!("{GLANCE}/images/{hidden}");
    assert_eq!(call(Method::DELETE, &url, &hands.login.token, None).await.0, 204);

    nothing_is_put_down_on_the_way(&project, &hands, &other).await;

    // What holds no data of its own is not saved as if it did, and what agents make for a while is left out.
    let body = json!({"name": "of-a-server", "disk_format": "qcow2", "container_format": "bare"});
    let empty = image(&hands, body, b"").await;
    let lone = ["--action", "backup", "--glance-image-id", &empty, "--backup-name", "e", "--hostname", "h"];
    run(&lone).await.fails_with(&[&empty, "no data of its own"]);
    let partial = run(&[&["--action", "backup"], &all[..]].concat()).await;
    assert_eq!(partial.status, Some(3), "{}", partial.err);
    let saved: Value = serde_json::from_str(&partial.out).unwrap();
    assert_eq!(saved["images"].as_object().unwrap().len(), 3, "{saved}");
    assert!(saved["failed"][0].as_str().unwrap().contains(&empty), "{saved}");

    let unknown = run(&["--action", "backup", "--glance-image-id", UNKNOWN]).await;
    unknown.fails_with(&["Glance has no image", UNKNOWN]);
    let stranger = Project::create().await;
    let theirs = agent(&stranger, folder.path(), &["--action", "backup", "--glance-image-id", &other]).await;
    theirs.fails_with(&["Glance has no image", &other]);
    let over = run(&[&["--action", "restore", "--overwrite"], &common[..], &[&id]].concat()).await;
    over.fails_with(&["cannot be written over"]);
}

/// From Glance to Swift and back by an agent that may not write a byte to any file, and leaves none without bytes either.
async fn nothing_is_put_down_on_the_way(project: &Project, hands: &Hands, image: &str) {
    let (folder, before) = (tempfile::tempdir().unwrap(), hands.images().await);
    let of_image: &[&str] = &["--glance-image-id", image];
    for (action, more) in [("backup", of_image), ("restore", &of_image[..0])] {
        let mut agent = agent_of(project, &project.user);
        agent.args(["--action", action, "--mode", "glance", "--engine", "glance", "--storage", "swift"]);
        agent.args(["--container", "streamed", "--backup-name", "s", "--hostname", "h"]);
        agent.args(["--metadata-out", "-"]).args(more);
        let command = without_files(&agent, folder.path());
        Said::by(command).await.document();
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    let after = hands.images().await;
    let new = after.iter().find(|row| before.iter().all(|old| old["id"] != row["id"])).unwrap();
    let old = after.iter().find(|row| row["id"] == image).unwrap();
    assert_eq!(new["os_hash_value"], old["os_hash_value"]);
    let url = format!("{GLANCE}/images/{}", text(new, "id"));
    assert_eq!(call(Method::DELETE, &url, &hands.login.token, None).await.0, 204);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_download_goes_on_where_glance_broke_off_and_one_that_is_lost_is_no_backup() {
    use proxy::Action;
    let project = Project::create().await;
    let hands = Hands::of(&project).await;
    let folder = tempfile::tempdir().unwrap();
    let body = json!({"name": "golden", "disk_format": "raw", "container_format": "bare"});
    let id = image(&hands, body, &noise(3, 3_000_001)).await;
    let glance = proxy::Proxy::http("127.0.0.1:9292".to_owned()).await;
    let keystone = keystone_with_glance_at(glance.port).await;
    let run = async |arguments: &[&str]| {
        let mut command = command(&project, folder.path(), arguments);
        command.env("OS_AUTH_URL", format!("http://127.0.0.1:{keystone}/v3"));
        Said::by(command).await
    };
    let save = ["--action", "backup", "--glance-image-id", &id, "--backup-name", "i", "--hostname", "h"];
    let back = ["--action", "restore", "--glance-image-id", &id, "--backup-name", "i", "--hostname", "h"];

    // Glance stops at half of a download. It takes the agent most of a minute to believe it, so that is looked at in the end.
    let (gone, other) = (proxy::Proxy::http("127.0.0.1:9292".to_owned()).await, tempfile::tempdir().unwrap());
    gone.rule("GET", "/file", 1, Action::CutAnswer(1_000_000));
    gone.rule("GET", "/file", u32::MAX, Action::ResetAnswer(0));
    let mut stopped = command(&project, other.path(), &save);
    let url = format!("http://127.0.0.1:{}/v3", keystone_with_glance_at(gone.port).await);
    stopped.env("OS_AUTH_URL", url);
    let stopped = tokio::spawn(Said::by(stopped));

    // Lost for good: refused before anything is committed.
    glance.rule("GET", "/file", 1, Action::CutAnswer(1_000_000));
    glance.rule("GET", "/file", 1, Action::Answer(404, Vec::new()));
    run(&save).await.fails_with(&["Glance has no", "content of image"]);
    run(&back).await.fails_with(&["h_i"]);

    // A login that has ended is no backup, and is said.
    glance.rule("GET", "/file", 2, Action::Answer(401, Vec::new()));
    run(&save).await.fails_with(&["Glance refuses", "401", "the login or its trust was ended"]);
    run(&back).await.fails_with(&["h_i"]);

    // Where Keystone revokes the token meanwhile, a new one is got.
    glance.rule("GET", "/file", 1, Action::CutAnswer(1_000_000));
    glance.rule("GET", "/file", 1, Action::Answer(401, Vec::new()));
    glance.rule("GET", "/file", 1, Action::ResetAnswer(500_000));
    let (seen, asked) = (glance.tokens().len(), glance.requests("GET", "/file"));
    let in_the_middle = || match glance.requests("GET", "/file") > asked {
        true => glance.tokens(),
        false => Vec::new(),
    };
    let (saved, ()) = tokio::join!(run(&save), revoke_token_after(in_the_middle, seen));
    assert_eq!(saved.document()["bytes_read"], 3_000_001);
    assert_eq!((glance.unused_rules(), glance.requests("GET", "/file") - asked), (0, 4));
    let used: BTreeSet<String> = glance.tokens().split_off(seen).into_iter().collect();
    assert!(used.iter().filter(|token| !token.is_empty()).count() > 1, "one token all along");

    // An upload that is cut or refused leaves nothing; a whole one brings back what was there.
    for action in [Action::ResetRequest(1_000_000), Action::Answer(401, Vec::new())] {
        glance.rule("PUT", "/file", 1, action);
        run(&back).await.fails_with(&["Glance"]);
        assert_eq!(ids(&hands).await, std::slice::from_ref(&id));
    }
    agent(&project, folder.path(), &back).await.document();
    let images = hands.images().await;
    assert_eq!((images.len(), &images[0]["os_hash_value"]), (2, &images[1]["os_hash_value"]));
    let stopped = stopped.await.unwrap();
    stopped.fails_with(&["the download of image", &id, "broken at byte 1000000 of 3000001"]);
    agent(&project, other.path(), &back).await.fails_with(&["h_i"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_is_killed_or_aborted_in_the_middle_of_an_upload_leaves_nothing_for_long() {
    use proxy::Action;
    let project = Project::create().await;
    let hands = Hands::of(&project).await;
    let folder = tempfile::tempdir().unwrap();
    let body = json!({"name": "golden", "disk_format": "raw", "container_format": "bare"});
    let id = image(&hands, body, &noise(4, 300_001)).await;
    let of = ["--glance-image-id", &id, "--backup-name", "i", "--hostname", "h"];
    agent(&project, folder.path(), &[&["--action", "backup"], &of[..]].concat()).await.document();
    let glance = proxy::Proxy::http("127.0.0.1:9292".to_owned()).await;
    let keystone = keystone_with_glance_at(glance.port).await;
    for (signal, code, sent) in [(Signal::KILL, None, 0), (Signal::TERM, Some(143), 1)] {
        glance.rule("PUT", "/file", 1, Action::Stall);
        let mut command = command(&project, folder.path(), &[&["--action", "restore"], &of[..]].concat());
        command.env("OS_AUTH_URL", format!("http://127.0.0.1:{keystone}/v3"));
        let mut child = command.spawn().unwrap();
        let end = std::time::Instant::now() + cloud::PATIENCE;
        while glance.requests("PUT", "/file") == sent {
            assert!(
                child.try_wait().unwrap().is_none() && std::time::Instant::now() < end,
                "nothing was sent"
            );
            tokio::time::sleep(cloud::LOOK).await;
        }
        assert_eq!(ids(&hands).await.len(), 2);
        kill_process(Pid::from_child(&child), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), code);
        if signal == Signal::KILL {
            let next = [&["--action", "backup", "--glance-image-id", UNKNOWN], &of[2..]].concat();
            agent(&project, folder.path(), &next).await.fails_with(&["Glance has no image"]);
        }
        assert_eq!(ids(&hands).await, std::slice::from_ref(&id));
    }
}
