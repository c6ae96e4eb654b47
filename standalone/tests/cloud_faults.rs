//! Faults of the cloud in the middle of the work, on the real services with something between them and the agent that breaks one
//! answer: a clear error, nothing lost, and nothing left in the project but what was there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod cloud;
#[allow(dead_code)]
#[path = "../../crates/storage/tests/support/proxy.rs"]
mod proxy;

use cloud::admin::External;
use cloud::detour::keystone_with;
use cloud::heat::stack;
use cloud::one_shot::{Said, agent_of, at_work, heard_at_work, measured, without_files};
use cloud::project::{CINDER, Hands, Project};
use cloud::servers::{has_temporary, resources};
use cloud::stage::{PARTIAL, Stage, count};
use cloud::whole::neutron;
use cloud::{LOOK, PATIENCE};
use proxy::{Action, Proxy};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

/// The agent of a project's user for a backup to a local folder, by way of `keystone`.
fn saving(project: &Project, folder: &Path, keystone: u16, what: &[&str]) -> Command {
    let mut command = agent_of(project, &project.user);
    command
        .env("OS_AUTH_URL", format!("http://127.0.0.1:{keystone}/v3"))
        .args(["--action", "backup", "--storage", "local", "--container"])
        .arg(folder)
        .args(["--backup-name", "b", "--metadata-out", "-"])
        .args(what);
    command
}

/// A detour to the service at `usual` on this machine; answers it and the port of a Keystone that leads there.
async fn before(usual: u16) -> (Proxy, u16) {
    let proxy = Proxy::http(format!("127.0.0.1:{usual}")).await;
    let keystone = keystone_with(&[(usual, proxy.port)]).await;
    (proxy, keystone)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_that_cinder_cannot_make_is_told_and_removed() {
    let project = Project::create().await;
    let (hands, folder) = (Hands::of(&project).await, tempfile::tempdir().unwrap());
    let volume = hands.volume("data", false).await;
    let before_it = resources(&hands).await;
    let (cinder, keystone) = before(8776).await;
    // Whatever it really is, and however often it is looked at.
    let in_error = Action::RewordAnswer("\"status\": \"", "\"status\": \"error\", \"was\": \"");
    cinder.rule("GET", "/snapshots/", u32::MAX, in_error);
    let what = ["--mode", "cinder", "--cinder-vol-id", &volume];
    let said = Said::by(saving(&project, folder.path(), keystone, &what)).await;
    said.fails_with(&["snapshot", "is error instead of available"]);
    assert_eq!(resources(&hands).await, before_it);
    let restore = ["--mode", "cinder", "--action", "restore", "--storage", "local", "--backup-name", "b"];
    let mut command = agent_of(&project, &project.user);
    command.args(restore).arg("--container").arg(folder.path());
    Said::by(command).await.fails_with(&["no complete backup"]);

    // A login that ends in the middle cannot tidy up either: both are said, and the next agent does it.
    let (cinder, keystone) = before(8776).await;
    let login_ends = async {
        let end = Instant::now() + PATIENCE;
        while cinder.requests("POST", "/snapshots") == 0 {
            assert!(Instant::now() < end, "no snapshot was asked for");
            tokio::time::sleep(LOOK).await;
        }
        for method in ["GET", "POST", "DELETE"] {
            cinder.rule(method, "/", u32::MAX, Action::Answer(401, Vec::new()));
        }
    };
    let (said, ()) = tokio::join!(Said::by(saving(&project, folder.path(), keystone, &what)), login_ends);
    said.fails_with(&["401", "the login or its trust was ended", "left behind", "snapshot"]);
    assert!(resources(&hands).await.len() > before_it.len());
    let (_, keystone) = before(8776).await;
    let nobodys = uuid::Uuid::new_v4().to_string();
    let what = ["--mode", "cinder", "--cinder-vol-id", &nobodys];
    Said::by(saving(&project, folder.path(), keystone, &what)).await.fails_with(&["no volume"]);
    assert_eq!(resources(&hands).await, before_it);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_being_deleted_is_refused_and_one_that_goes_meanwhile_leaves_nothing() {
    let project = Project::create().await;
    let (hands, folder) = (Hands::of(&project).await, tempfile::tempdir().unwrap());
    let fields = json!({
        "name": "web", "flavorRef": hands.flavor_id("tiny").await, "imageRef": hands.image_id().await, "networks": "none",
    });
    let server = hands.server(fields).await;
    let before_it = resources(&hands).await;
    let what = ["--mode", "nova", "--engine", "nova", "--nova-inst-id", &server];
    let (nova, keystone) = before(8774).await;
    let (rest, deleting) = ("\"OS-EXT-STS:task_state\": null", "\"OS-EXT-STS:task_state\": \"deleting\"");
    nova.rule(
        "GET",
        &*Box::leak(format!("/servers/{server}").into_boxed_str()),
        9,
        Action::RewordAnswer(rest, deleting),
    );
    let said = Said::by(saving(&project, folder.path(), keystone, &what)).await;
    said.fails_with(&[&server, "deleting"]);
    assert_eq!(resources(&hands).await, before_it);

    let (_, keystone) = before(8774).await;
    let mut command = saving(&project, folder.path(), keystone, &what);
    let heard = command.stdout(Stdio::null()).stderr(Stdio::piped());
    let is_there = async || has_temporary(&hands, &["images"]).await;
    let child = heard_at_work(heard, "an image", is_there).await;
    hands.delete_server(&server).await;
    let ended = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    // Nova may have taken the disk by then: that is a backup.
    match ended.status.code() {
        Some(0) => {}
        Some(1) => assert!(said.lines().last().unwrap_or_default().contains("server"), "{said}"),
        other => panic!("{other:?}: {said}"),
    }
    assert_eq!(resources(&hands).await, Vec::<String>::new());
}

/// Rows of a container's list, as Swift tells them.
fn rows(from: usize, count: usize) -> String {
    let row = |number| json!({"name": format!("{number:07}"), "hash": "0", "bytes": 0, "last_modified": "2026-01-01T00:00:00.0"});
    Value::Array((from..from + count).map(row).collect()).to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_is_listed_to_its_end_and_one_with_too_many_objects_is_named() {
    let stage = Stage::new().await;
    let hands = &stage.hands;
    hands.swift(Method::PUT, "/photos", &[], Vec::new()).await;
    for number in 0..7 {
        hands.swift(Method::PUT, &format!("/photos/{number}"), &[], vec![b'x'; number]).await;
    }
    let (swift, keystone) = before(8080).await;
    let save = || {
        let mut command = stage.command("backup", &["--metadata-out", "-"]);
        command.env("OS_AUTH_URL", format!("http://127.0.0.1:{keystone}/v3"));
        command
    };
    // An operator's pages are shorter than asked for, and the token ends before the first of them.
    swift.rule("GET", "limit=5000", 1, Action::Answer(401, Vec::new()));
    swift.rule("GET", "limit=5000", 4, Action::RewordRequest("limit=5000", "limit=3"));
    let saved = Said::by(save()).await.document();
    assert_eq!((swift.unused_rules(), count(&saved, "missing")), (0, 0), "{saved:#}");
    hands.clear().await;
    stage.run("restore", &[]).await.document();
    let names = hands.swift(Method::GET, "/photos", &[], Vec::new()).await.text().await.unwrap();
    assert_eq!(names.lines().count(), 7, "{names}");

    // One page after the other, and no more of them than may be kept.
    for page in 0..21 {
        swift.rule("GET", "limit=5000", 1, Action::Say(rows(page * 5000, 5000)));
    }
    let asked = swift.requests("GET", "limit=5000");
    let saved = Said::by(save()).await.document_of(PARTIAL);
    let reason = saved["missing"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("container photos") && reason.contains("more than 100000 objects"), "{saved:#}");
    assert_eq!(swift.requests("GET", "limit=5000") - asked, 21);
}

/// One of several of each kind: a container, a router, a network of others, and a stack of which the template is not for everybody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_row_that_cannot_be_read_is_named_and_the_others_are_saved() {
    let external = External::create("172.30.9.0/24").await;
    let stage = Stage::new().await;
    let hands = &stage.hands;
    for name in ["photos", "locked"] {
        hands.swift(Method::PUT, &format!("/{name}"), &[], Vec::new()).await;
        hands.swift(Method::PUT, &format!("/{name}/one"), &[], b"one".to_vec()).await;
    }
    let gate = json!({"router": {"name": "gate", "external_gateway_info": {"network_id": external.id}}});
    hands.neutron(Method::POST, "/routers", Some(&gate)).await;
    let lost = json!({"router": {"name": "lost"}});
    let lost = hands.neutron(Method::POST, "/routers", Some(&lost)).await["router"]["id"].take();
    let lost = lost.as_str().unwrap();
    let blog = stack(hands, "blog").await;

    let swift = Proxy::http("127.0.0.1:8080".to_owned()).await;
    let network = Proxy::http("127.0.0.1:9696".to_owned()).await;
    let heat = Proxy::http("127.0.0.1:8004".to_owned()).await;
    let keystone = keystone_with(&[(8080, swift.port), (9696, network.port), (8004, heat.port)]).await;
    let path = |text: String| -> &'static str { Box::leak(text.into_boxed_str()) };
    swift.rule("HEAD", "/locked", u32::MAX, Action::Answer(403, Vec::new()));
    network.rule("GET", path(format!("device_id={lost}")), u32::MAX, Action::Answer(500, Vec::new()));
    let shown = path(format!("/networks/{}", external.id));
    network.rule("GET", shown, u32::MAX, Action::Answer(403, Vec::new()));
    // As if it were deleted between the list and the looks at it.
    heat.rule("GET", "/stacks/blog/", 3, Action::Answer(404, Vec::new()));
    heat.rule("GET", "/template", u32::MAX, Action::Answer(403, Vec::new()));
    let save = |more: &[&str]| {
        let mut command = stage.command("backup", more);
        command.env("OS_AUTH_URL", format!("http://127.0.0.1:{keystone}/v3"));
        Said::by(command)
    };
    let without = save(&["--dry-run"]).await;
    assert!(without.status == Some(0) && !without.out.contains("stack"), "{} {}", without.out, without.err);
    let with = save(&["--dry-run"]).await;
    assert!(with.out.contains("stack/blog: its template is not saved: Heat refuses"), "{}", with.out);
    // What nobody wants is not missed.
    let unwanted = format!("container/locked,network/{},router/{lost}", external.id);
    save(&["--metadata-out", "-", "--project-exclude", &unwanted]).await.document();
    let saved = save(&["--metadata-out", "-"]).await.document_of(PARTIAL);
    let missing = saved["missing"].as_array().unwrap();
    let ids: BTreeSet<&str> = missing.iter().map(|row| row["id"].as_str().unwrap()).collect();
    assert_eq!(
        (missing.len(), ids),
        (3, BTreeSet::from(["locked", lost, external.id.as_str()])),
        "{saved:#}"
    );
    let of_router = missing.iter().find(|row| row["kind"] == "router").unwrap()["reason"].as_str().unwrap();
    assert!(of_router.contains("router 'lost'") && of_router.contains("logs of the service"), "{of_router}");
    let resources = &saved["resources"];
    let kinds = ["router", "container", "stack"].map(|kind| &resources[kind]);
    assert_eq!(kinds, [&json!(1), &json!(1), &json!(1)], "{saved:#}");

    let shown = stage.run("restore", &["--project-select", "stack/blog", "--dry-run"]).await.document();
    let kept = &shown["documents"][format!("stack {blog}")];
    assert!(kept["template"].is_null() && kept["environment"].is_object(), "{shown:#}");
    hands.clear_stacks().await;
    hands.clear().await;
    // The network of others is there, though it could not be looked at.
    let restored = stage.run("restore", &[]).await.document();
    assert_eq!((count(&restored, "refused"), count(&restored, "failed")), (0, 0), "{restored:#}");
    let routers = neutron(hands, "/routers", "routers").await;
    assert_eq!((routers.len(), &routers[0]["name"]), (1, &json!("gate")));
    assert_eq!(routers[0]["external_gateway_info"]["network_id"], external.id, "{routers:?}");
    let containers = hands.swift(Method::GET, "", &[], Vec::new()).await.text().await.unwrap();
    assert_eq!(containers.lines().collect::<Vec<_>>(), ["photos"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_that_is_full_in_the_middle_holds_nothing_of_the_backup() {
    let project = Project::create().await;
    let (hands, folder) = (Hands::of(&project).await, tempfile::tempdir().unwrap());
    let volume = hands.volume("data", true).await;
    let before_it = resources(&hands).await;
    hands.swift(Method::PUT, "/full", &[("X-Container-Meta-Quota-Bytes", "3000000")], Vec::new()).await;
    let (swift, keystone) = before(8080).await;
    let save = |container: &str| {
        let mut command = agent_of(&project, &project.user);
        command
            .env("OS_AUTH_URL", format!("http://127.0.0.1:{keystone}/v3"))
            .args([
                "--action",
                "backup",
                "--mode",
                "cinder",
                "--cinder-vol-id",
                &volume,
                "--storage",
                "swift",
            ])
            .args(["--container", container, "--backup-name", "b", "--max-segment-size", "1048576"]);
        command.current_dir(folder.path());
        command
    };
    // Swift knows for a minute what a container holds, unless somebody looks.
    let looking = async {
        loop {
            hands.swift(Method::HEAD, "/full", &[], Vec::new()).await;
        }
    };
    let said = tokio::select! {
        said = Said::by(save("full")) => said,
        _ = looking => unreachable!("it looks until the backup has ended"),
    };
    said.fails_with(&["quota"]);
    assert!(swift.requests("PUT", "/full") > 1, "in the middle");
    assert_eq!(resources(&hands).await, before_it);
    let left = hands.swift(Method::GET, "/full", &[], Vec::new()).await.text().await.unwrap();
    assert_eq!(left, "");
    // With room it is whole.
    hands.swift(Method::POST, "/full", &[("X-Remove-Container-Meta-Quota-Bytes", "x")], Vec::new()).await;
    // Nothing is put down on the way, and the memory is that of any image.
    let nowhere = tempfile::tempdir().unwrap();
    let (said, mib) = measured(&without_files(&save("full"), nowhere.path()), folder.path()).await;
    assert_eq!(said.status, Some(0), "{}", said.err);
    assert_eq!(std::fs::read_dir(nowhere.path()).unwrap().count(), 0);
    assert!(mib <= 256, "{mib} MiB");
}

/// Ids and states of the project's backups in Cinder.
async fn backups(hands: &Hands) -> Vec<(String, String)> {
    let url = format!("{CINDER}/{}/backups/detail", hands.login.project_id);
    let (status, list) = cloud::project::call(Method::GET, &url, &hands.login.token, None).await;
    assert_eq!(status, 200, "{list}");
    let text = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
    list["backups"].as_array().unwrap().iter().map(|row| (text(row, "id"), text(row, "status"))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_of_cinders_backups_that_is_killed_or_aborted_leaves_nothing() {
    let project = Project::create().await;
    let hands = Hands::of(&project).await;
    let volume = hands.volume("data", false).await;
    let native = |action: &str, more: &[&str]| {
        let mut command = agent_of(&project, &project.user);
        command.args(["--mode", "cindernative", "--cindernative-vol-id", &volume, "--metadata-out", "-"]);
        command.args(["--action", action, "--backup-name", "nightly"]).args(more);
        command
    };
    // The next one of this volume, whatever it does, finds what is left.
    let next = async || Said::by(native("backup", &["--dry-run"])).await.document();
    for is_killed in [true, false] {
        let is_begun = async || !backups(&hands).await.is_empty();
        let mut child = at_work(native("backup", &[]), "Cinder's backup", is_begun).await;
        let signal = if is_killed { rustix::process::Signal::KILL } else { rustix::process::Signal::TERM };
        rustix::process::kill_process(rustix::process::Pid::from_child(&child), signal).unwrap();
        let ended = child.wait().unwrap();
        assert_eq!(ended.code(), if is_killed { None } else { Some(143) });
        assert_eq!(backups(&hands).await.len(), 1, "Cinder goes on");
        next().await;
        assert_eq!(backups(&hands).await, []);
        hands.volume_is(&volume, "available").await;
    }
    // Refused tokens are replaced.
    let (cinder, keystone) = before(8776).await;
    for (method, path) in [("POST", "/backups"), ("GET", "/backups/"), ("PUT", "/backups/")] {
        cinder.rule(method, path, 1, Action::Answer(401, Vec::new()));
    }
    let mut command = native("backup", &[]);
    command.env("OS_AUTH_URL", format!("http://127.0.0.1:{keystone}/v3"));
    let saved = Said::by(command).await.document();
    assert_eq!(cinder.unused_rules(), 0, "{saved}");
    let id = saved["cinder_backup_id"].as_str().unwrap().to_owned();
    let metadata = hands.backups(&volume).await.remove(0)["metadata"].take();
    assert_eq!(metadata.as_object().unwrap().len(), 2, "nobody takes it for one that was left: {metadata}");

    let restore = || native("restore", &["--nooverwrite"]);
    for (signal, code) in [(rustix::process::Signal::KILL, None), (rustix::process::Signal::TERM, Some(143))]
    {
        let is_new =
            async || resources(&hands).await.iter().any(|row| row.starts_with("volumes freezer_restore_"));
        let mut child = at_work(restore(), "a new volume", is_new).await;
        rustix::process::kill_process(rustix::process::Pid::from_child(&child), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), code);
        next().await;
        assert_eq!(resources(&hands).await, ["volumes data"]);
        assert_eq!(backups(&hands).await, [(id.clone(), "available".to_owned())]);
    }
    let restored = Said::by(restore()).await.document();
    let mut names = resources(&hands).await;
    names.sort();
    assert!(names.len() == 2 && names[1].starts_with("volumes data~"), "{names:?}: {restored}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_cinders_into_a_container_that_is_full_in_the_middle_leaves_nothing() {
    let project = Project::create().await;
    let hands = Hands::of(&project).await;
    let volume = hands.volume("data", false).await;
    // A gigabyte of nothing is a megabyte in twenty objects.
    hands.swift(Method::PUT, "/full", &[("X-Container-Meta-Quota-Bytes", "400000")], Vec::new()).await;
    let mut command = agent_of(&project, &project.user);
    command.args(["--mode", "cindernative", "--cindernative-vol-id", &volume, "--action", "backup"]);
    command.args(["--backup-name", "nightly", "--cindernative-backup-container", "full"]);
    Said::by(command).await.fails_with(&["ended in error", "it was removed", "413"]);
    assert_eq!(backups(&hands).await, []);
    assert_eq!(resources(&hands).await, ["volumes data"]);
    let left = hands.swift(Method::GET, "/full", &[], Vec::new()).await.text().await.unwrap();
    assert_eq!(left, "");
}
