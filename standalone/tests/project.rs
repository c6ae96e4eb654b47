//! Mode project on a real cloud: everything a project has is saved as one set, is deleted, and comes back equal; parts and servers
//! come back elsewhere; what fails is named.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod cloud;
#[allow(dead_code)]
#[path = "../../crates/storage/tests/support/proxy.rs"]
mod proxy;

use cloud::detour::keystone_with;
use cloud::left::goes_with_the_next;
use cloud::one_shot::{Said, at_work, quota, without_files};
use cloud::project::{CINDER, Hands, NEUTRON, NOVA, Project, content, scribble};
use cloud::servers::{resources, servers_allowed};
use cloud::service::Service;
use cloud::stage::{PARTIAL, Stage, count};
use cloud::whole::{as_admin, let_in, neutron, volumes};
use cloud::{adopted, login};
use freezer_testkit::random_name;
use proxy::{Action, Proxy};
use reqwest::Method;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::process::{Child, Command};
use std::sync::Arc;
use tokio::sync::Barrier;

async fn reset(volume: &str, status: &str) {
    let url = format!("{CINDER}/{{admin}}/volumes/{volume}/action");
    as_admin(Method::POST, &url, json!({"os-reset_status": {"status": status}})).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_comes_back_equal() {
    let stage = Stage::new().await;
    let friends = Project::create().await;
    let_in(&stage.project, &friends).await;
    stage.hands.furnish().await;
    let before = stage.hands.facts().await;
    let full = stage.save().await.document();
    assert_eq!(full["absent"], json!([]), "{full:#}");
    assert_eq!((count(&full, "missing"), count(&full, "members")), (0, 4), "{full:#}");
    let again = stage.save().await.document();
    let stored = |document: &Value| document["bytes_stored"].as_u64().unwrap();
    assert!(stored(&again) < 64 << 10 && stored(&again) * 20 < stored(&full), "{full:#} {again:#}");
    assert!(again["members"].as_array().unwrap().iter().all(|member| member["level"] == 1), "{again:#}");
    adopted::as_told(&stage.run("adopt", &[]).await.document(), &[&full, &again], &["project_id"]);

    stage.hands.clear().await;
    // The plan for people, and nothing is made.
    let plan = stage.agent("restore", &["--dry-run"]).await;
    assert_eq!(plan.status, Some(0), "{}", plan.err);
    for words in
        [["network", "net", "create"], ["volume", "data", "create"], ["container", "photos", "create"]]
    {
        let is_told = |line: &str| words.iter().all(|word| line.contains(word));
        assert!(plan.out.lines().any(is_told), "{words:?}: {}", plan.out);
    }
    assert!(neutron(&stage.hands, "/networks", "networks").await.is_empty());
    assert!(volumes(&stage.hands).await.is_empty());

    parts_of_several_services_come_back(&stage).await;
    // The rest, with what the parts lacked.
    let restored = stage.run("restore", &[]).await.document();
    assert_eq!((count(&restored, "failed"), count(&restored, "notes")), (0, 0), "{restored:#}");
    assert_eq!(stage.hands.facts().await, before);
    // What is there is kept.
    let repeated = stage.run("restore", &[]).await.document();
    assert_eq!(count(&repeated, "made"), 0, "{repeated:#}");
    assert_eq!(stage.hands.facts().await, before);
    everything_comes_back_elsewhere_without_files(&stage, &friends, &before).await;
    stage.hands.clear().await;
}

/// Of a set, with what they need and nothing else, when nothing of the project is there.
async fn parts_of_several_services_come_back(stage: &Stage) {
    let select = ["--project-select", "router/gate,container/photos,image/gold"];
    let part = stage.run("restore", &select).await.document_of(PARTIAL);
    let made: Vec<(&str, &str)> = part["made"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["kind"].as_str().unwrap(), row["name"].as_str().unwrap()))
        .collect();
    let wanted = [
        ("network", "net"),
        ("subnet", "sub"),
        ("router", "gate"),
        ("image", "gold"),
        ("container", "photos"),
    ];
    assert_eq!(made, wanted, "{part:#}");
    // Of one object the parts were in a container that nobody asked for.
    let notes = part["notes"].as_array().unwrap();
    assert!(notes.len() == 1 && notes[0].as_str().unwrap().contains("object photos/slo"), "{part:#}");
    assert_eq!(count(&part, "failed"), 0, "{part:#}");
    let hands = &stage.hands;
    assert!(volumes(hands).await.is_empty());
    assert!(neutron(hands, "/ports", "ports").await.iter().all(|port| port["name"] != "eth"));
    let images = hands.images().await;
    assert_eq!((images.len(), &images[0]["name"]), (1, &json!("gold")));
    let listed = hands.swift(Method::GET, "", &[], Vec::new()).await.text().await.unwrap();
    assert_eq!(listed, "photos\n");
}

/// From and to Swift by an agent that may not write a byte to any file, and leaves none without bytes either; into another project.
async fn everything_comes_back_elsewhere_without_files(stage: &Stage, friends: &Project, facts: &Value) {
    let folder = tempfile::tempdir().unwrap();
    let run = async |action: &str, more: &[&str]| {
        let streamed = ["--storage", "swift", "--container", "streamed", "--metadata-out", "-"];
        let command = stage.command(action, &[&streamed[..], more].concat());
        Said::by(without_files(&command, folder.path())).await.document()
    };
    let saved = run("backup", &[]).await;
    assert_eq!((count(&saved, "missing"), count(&saved, "members")), (0, 4), "{saved:#}");
    let restored = run("restore", &["--project-restore-to", &friends.id]).await;
    assert_eq!((count(&restored, "failed"), count(&restored, "notes")), (0, 0), "{restored:#}");
    assert_eq!((&restored["project_id"], count(&restored, "refused")), (&json!(friends.id), 0));
    let theirs = Hands { login: login(&stage.project.user, &friends.name).await };
    assert_eq!(&theirs.facts().await, facts);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_goes_where_the_user_may_and_the_quota_allows() {
    let stage = Stage::new().await;
    let (friends, strangers) = (Project::create().await, Project::create().await);
    let_in(&stage.project, &friends).await;
    let volume = stage.hands.volume("data", true).await;
    stage.hands.volume("other", false).await;
    stage.save().await.document();
    let part = ["--project-select", "volume/data", "--project-restore-to"];
    let to =
        |project: &Project| [part.as_slice(), &[Box::leak(project.id.clone().into_boxed_str())]].concat();

    stage.run("restore", &to(&strangers)).await.fails_with(&["Keystone", "refused the login"]);
    quota(&friends, json!({"volumes": 0})).await;
    stage
        .run("restore", &to(&friends))
        .await
        .fails_with(&["nothing was restored", "volumes: 1 needed, 0 left"]);
    let theirs = Hands { login: login(&stage.project.user, &friends.name).await };
    assert!(volumes(&theirs).await.is_empty());
    quota(&friends, json!({"volumes": 5})).await;
    // A type that is not there is asked for as the user mapped it.
    let mapped = [to(&friends), vec!["--project-map", "volume_type/rbd=absent"]].concat();
    stage.run("restore", &mapped).await.fails_with(&["nothing was restored", "volume"]);
    let restored = stage.run("restore", &to(&friends)).await.document();
    assert_eq!((&restored["project_id"], count(&restored, "made")), (&json!(friends.id), 1), "{restored:#}");
    let there = volumes(&theirs).await;
    assert_eq!((there.len(), &there[0]["name"]), (1, &json!("data")));
    assert_eq!(content(there[0]["id"].as_str().unwrap()), content(&volume));
    // At home it is still there, and stays.
    assert_eq!(volumes(&stage.hands).await.len(), 2);
    stage
        .run("restore", &["--project-select", "volume/nothing"])
        .await
        .fails_with(&["is not in this backup"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_fails_is_named_and_the_others_are_saved() {
    let stage = Stage::new().await;
    let (good, bad) = (stage.hands.volume("good", false).await, stage.hands.volume("bad", false).await);
    let group = json!({"security_group": {"name": "g"}});
    let token = &stage.hands.login.token;
    cloud::project::call(Method::POST, &format!("{NEUTRON}/security-groups"), token, Some(&group)).await;
    reset(&bad, "error").await;
    // Nothing of it is where the login looks for it.
    let mut elsewhere = stage.command("backup", &[]);
    elsewhere.env("OS_REGION_NAME", "nowhere");
    Said::by(elsewhere).await.fails_with(&["nothing was saved", "Nova", "region nowhere", "OS_REGION_NAME"]);
    let saved = stage.save().await.document_of(PARTIAL);
    assert_eq!((count(&saved, "members"), count(&saved, "missing")), (1, 1), "{saved:#}");
    assert_eq!((&saved["missing"][0]["id"], &saved["members"][0]["id"]), (&json!(bad), &json!(good)));
    assert!(saved["missing"][0]["reason"].as_str().unwrap().contains("is error"), "{saved:#}");
    reset(&bad, "available").await;
    stage.hands.clear().await;
    // What is lost is lost, and said; the rest comes back.
    let plan = stage.agent("restore", &["--dry-run"]).await;
    assert!(plan.out.lines().any(|line| line.contains("bad") && line.contains("REFUSED")), "{}", plan.out);
    let restored = stage.run("restore", &[]).await.document_of(PARTIAL);
    assert_eq!((count(&restored, "refused"), count(&restored, "failed")), (1, 0), "{restored:#}");
    let there = volumes(&stage.hands).await;
    assert_eq!((there.len(), &there[0]["name"]), (1, &json!("good")));
    assert!(
        neutron(&stage.hands, "/security-groups", "security_groups")
            .await
            .iter()
            .any(|one| one["name"] == "g")
    );
    stage.hands.clear().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_that_failed_in_the_middle_goes_on() {
    let stage = Stage::new().await;
    let pass = stage.folder.path().join("pass");
    std::fs::write(&pass, "a secret of the test\n").unwrap();
    let pass = pass.display().to_string();
    let encrypted = ["--encrypt-pass-file", &pass, "--encryption-cipher", "aes-256-gcm"];
    let network = json!({"network": {"name": "net"}});
    let token = &stage.hands.login.token;
    cloud::project::call(Method::POST, &format!("{NEUTRON}/networks"), token, Some(&network)).await;
    stage.hands.volume("one", false).await;
    stage.hands.volume("two", false).await;
    let mut saved = Value::Null;
    for _ in 0..2 {
        saved = stage.run("backup", &encrypted).await.document();
        assert_eq!(saved["encrypted"], true, "{saved:#}");
    }
    // Rotation takes the older set with what only it names.
    stage.agent("admin", &["--keep-last", "1"]).await;
    let metadata = stage.folder.path().join("store/metadata");
    let chains = |kind: &str| -> usize {
        let folders = std::fs::read_dir(metadata.join(kind)).unwrap();
        folders.map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap().count()).sum()
    };
    assert_eq!((chains("set"), chains("image")), (1, 2));
    adopted::as_told(&stage.run("adopt", &encrypted).await.document(), &[&saved], &["project_id"]);
    stage.hands.clear().await;

    // Not told by Cinder to its users before it is exceeded.
    quota(&stage.project, json!({"gigabytes_rbd": 1})).await;
    let first = stage.run("restore", &encrypted).await.document_of(PARTIAL);
    assert_eq!((count(&first, "made"), count(&first, "failed")), (2, 1), "{first:#}");
    assert!(first["failed"][0]["reason"].as_str().unwrap().contains("quota"), "{first:#}");
    quota(&stage.project, json!({"gigabytes_rbd": 9})).await;
    let second = stage.run("restore", &encrypted).await.document();
    assert_eq!(
        (count(&second, "made"), &second["made"][0]["name"]),
        (1, &first["failed"][0]["name"]),
        "{second:#}"
    );
    assert_eq!(volumes(&stage.hands).await.len(), 2);
    assert_eq!(neutron(&stage.hands, "/networks", "networks").await.len(), 1);
}

/// Snapshots on a volume in Ceph.
fn snapshots(volume: &str) -> usize {
    let name = format!("volumes/volume-{volume}");
    let words = ["-c", "/etc/ceph/ceph.conf", "snap", "ls", "--format", "json", &name];
    let output = Command::new("rbd").args(words).output().unwrap();
    serde_json::from_slice::<Vec<Value>>(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {output:?}"))
        .len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotation_takes_what_the_cluster_keeps_for_chains_that_are_gone() {
    let stage = Stage::new().await;
    let (stays, goes) = (stage.hands.volume("stays", false).await, stage.hands.volume("goes", false).await);
    stage.save().await.document();
    assert_eq!((snapshots(&stays), snapshots(&goes)), (1, 1));
    stage.run("backup", &["--incremental", "--project-exclude", "volume/goes"]).await.document();
    // Its chain is named by the older set as long as that is there.
    stage.agent("admin", &["--keep-last", "2"]).await;
    assert_eq!((snapshots(&stays), snapshots(&goes)), (1, 1));
    let rotated = stage.agent("admin", &["--keep-last", "1"]).await;
    assert_eq!((snapshots(&stays), snapshots(&goes)), (1, 0), "{}", rotated.out);
    let next = stage.save().await.document();
    let level = |id: &String| {
        let members = next["members"].as_array().unwrap();
        members.iter().find(|member| member["id"] == **id).unwrap()["level"].clone()
    };
    assert_eq!((level(&stays), level(&goes)), (json!(2), json!(0)), "{next:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_fails_does_not_take_from_others_at_work() {
    let stage = Stage::with("[DEFAULT]\n").await;
    stage.hands.volume("one", false).await;
    stage.hands.volume("two", false).await;
    // Through Glance each needs a snapshot for as long as it is read.
    quota(&stage.project, json!({"snapshots": 1})).await;
    let saved = stage.save().await.document_of(PARTIAL);
    assert_eq!((count(&saved, "members"), count(&saved, "missing")), (1, 1), "{saved:#}");
    assert!(saved["missing"][0]["reason"].as_str().unwrap().contains("quota"), "{saved:#}");
    let (_, snapshots) = stage.hands.cinder(Method::GET, "/snapshots", None).await;
    assert_eq!((count(&snapshots, "snapshots"), stage.hands.images().await.len()), (0, 0));
    assert_eq!(volumes(&stage.hands).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_says_what_it_could_not_save() {
    let project = Project::create().await;
    let hands = Hands::of(&project).await;
    let bad = hands.volume("bad", false).await;
    hands.swift(Method::PUT, "/things", &[], Vec::new()).await;
    hands.swift(Method::PUT, "/things/one", &[], b"one".to_vec()).await;
    let service = Service::of(&project, &hands, "").await;
    let user = &service.user;
    reset(&bad, "error").await;
    let container = format!("saved-{}", random_name());
    let (job_id, run) = service
        .job(json!({
            "action": "backup", "mode": "project", "engine_name": "set", "storage": "swift", "incremental": true,
            "container": container, "backup_name": "all",
        }))
        .await;
    assert_eq!(run["state"], "partial", "{run:#}");
    user.post(&format!("/jobs/{job_id}/event"), &json!({"start": null})).await;
    user.finished_run(&job_id, 2).await;
    let backups = user.get("/backups").await;
    for backup in backups["backups"].as_array().unwrap() {
        let metadata = &backup["backup_metadata"];
        assert_eq!(
            (&metadata["mode"], &metadata["missing"][0]["id"]),
            (&json!("project"), &json!(bad)),
            "{backups:#}"
        );
        // The container that the backups go to is not among those saved.
        assert_eq!(metadata["resources"]["container"], 1, "{backups:#}");
    }
    assert_eq!(backups["backups"].as_array().unwrap().len(), 2);
    adopted::come_back(&service, &container, &["project_id"]).await;
    reset(&bad, "available").await;

    // What a run makes for a while is told with its end, also of one that fails in the middle.
    quota(&project, json!({"volumes": 1})).await;
    let action = json!({
        "action": "backup", "mode": "cinder", "cinder_vol_id": bad, "storage": "swift",
        "container": format!("saved-{}", random_name()), "backup_name": "one",
    });
    let actions = json!([{"freezer_action": action, "max_retries": 0}]);
    let job = json!({"client_id": service.cloud.client_id, "job_schedule": {}, "job_actions": actions});
    let made = user.post("/jobs", &job).await;
    let run = user.finished_run(made["job_id"].as_str().unwrap(), 1).await;
    let told = &run["steps"][0]["result"]["temporaries"][0];
    assert_eq!(
        (&run["state"], &told["kind"], &told["error"]),
        (&json!("fail"), &json!("snapshot"), &Value::Null),
        "{run:#}"
    );
    assert!(told["removed"].as_i64() >= told["made"].as_i64() && told["made"].is_i64(), "{run:#}");
}

fn named<'a>(rows: &'a [Value], name: &str) -> &'a Value {
    rows.iter().find(|row| row["name"] == name).unwrap_or_else(|| panic!("no {name}: {rows:?}"))
}

async fn servers(hands: &Hands) -> Vec<Value> {
    hands.nova(Method::GET, "/servers/detail", None).await.1["servers"].as_array().unwrap().clone()
}

/// `web` boots from an image and has an address in `lan`; `db` boots from a volume, has another one and goes with both.
async fn two_servers(hands: &Hands) -> (String, String) {
    hands.keypair("key").await;
    let network = hands.network("lan", "10.9.0.0/24").await;
    let group = hands.security_group("web-only").await;
    let port = hands.port(&network, "10.9.0.77", &group).await;
    let web = hands
        .server(json!({
            "name": "web", "flavorRef": hands.flavor_id("tiny").await, "imageRef": hands.image_id().await,
            "key_name": "key", "networks": [{"port": port}], "metadata": {"role": "front"}, "tags": ["gold"],
        }))
        .await;
    let (root, data) = (hands.volume("root", true).await, hands.volume("data", false).await);
    scribble(&data);
    let disk = |volume: &str, boot_index: Option<u32>| {
        json!({
            "uuid": volume, "source_type": "volume", "destination_type": "volume", "boot_index": boot_index,
            "delete_on_termination": true,
        })
    };
    let db = hands
        .server(json!({
            "name": "db", "flavorRef": hands.flavor_id("tiny0").await, "networks": [{"uuid": network}],
            "block_device_mapping_v2": [disk(&root, Some(0)), disk(&data, None)],
        }))
        .await;
    hands.booted(&web, 1).await;
    hands.booted(&db, 1).await;
    (web, db)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_come_back_in_another_project_with_what_they_are_connected_with() {
    let stage = Stage::new().await;
    let friends = Project::create().await;
    let_in(&stage.project, &friends).await;
    let (web, db) = two_servers(&stage.hands).await;
    let before = resources(&stage.hands).await;
    let data = named(&volumes(&stage.hands).await, "data")["id"].as_str().unwrap().to_owned();
    let full = stage.save().await.document();
    // The disk of `web` and two volumes, each once; `db` has nothing of its own.
    assert_eq!((count(&full, "missing"), count(&full, "members")), (0, 4), "{full:#}");
    let consistency = |name: &str| named(full["members"].as_array().unwrap(), name)["consistency"].clone();
    assert_eq!((consistency("web"), consistency("db")), (json!("crash-consistent"), json!("per-volume")));
    assert_eq!(resources(&stage.hands).await, before);
    scribble(&data);
    let changed = content(&data);
    let again = stage.save().await.document();
    for member in again["members"].as_array().unwrap().iter().filter(|member| member["backup"].is_string()) {
        assert_eq!(member["level"], 1, "{member:#}");
        let read = member["bytes_read"].as_u64().unwrap();
        assert!(member["id"] != data || (read > 0 && read < 1 << 20), "{member:#}");
    }
    assert_eq!(resources(&stage.hands).await, before);
    let old_port = stage.hands.ports_of(&web).await.remove(0);

    let to = ["--project-restore-to", friends.id.as_str()];
    let theirs = Hands { login: login(&stage.project.user, &friends.name).await };
    servers_allowed(&friends, 1).await;
    stage.run("restore", &to).await.fails_with(&["nothing was restored", "instances: 2 needed, 1 left"]);
    assert_eq!(resources(&theirs).await, Vec::<String>::new());
    servers_allowed(&friends, 10).await;
    let plan = stage.agent("restore", &[&to[..], &["--dry-run"]].concat()).await;
    for words in [["server", "web", "create"], ["server", "db", "create"], ["Quota", "Nova ram", "needed"]] {
        let is_told = |line: &str| words.iter().all(|word| line.contains(word));
        assert!(plan.out.lines().any(is_told), "{words:?}: {}", plan.out);
    }
    let no_flavor = [&to[..], &["--project-map", "flavor/tiny=absent"]].concat();
    stage.run("restore", &no_flavor).await.fails_with(&["flavor 'absent'", "project_map"]);
    let restored = stage.run("restore", &to).await.document();
    assert_eq!((count(&restored, "failed"), count(&restored, "notes")), (0, 0), "{restored:#}");

    let there = servers(&theirs).await;
    let (new_web, new_db) = (named(&there, "web"), named(&there, "db"));
    assert_eq!((&new_web["key_name"], &new_web["metadata"]["role"]), (&json!("key"), &json!("front")));
    let port = theirs.ports_of(new_web["id"].as_str().unwrap()).await.remove(0);
    assert_eq!(port["fixed_ips"][0]["ip_address"], "10.9.0.77");
    assert_eq!((&port["name"], &port["mac_address"]), (&old_port["name"], &old_port["mac_address"]));
    let groups = neutron(&theirs, "/security-groups", "security_groups").await;
    assert_eq!(port["security_groups"], json!([named(&groups, "web-only")["id"]]));
    let disks = theirs.disks_of(new_db["id"].as_str().unwrap()).await;
    let found = volumes(&theirs).await;
    let attached = ["root", "data"].map(|name| &named(&found, name)["id"]);
    assert_eq!(disks.iter().map(|(device, _)| device.as_str()).collect::<Vec<_>>(), ["/dev/vda", "/dev/vdb"]);
    assert_eq!([&disks[0].1["volumeId"], &disks[1].1["volumeId"]], attached);
    assert!(disks.iter().all(|(_, disk)| disk["delete_on_termination"] == true), "{disks:?}");
    assert_eq!(content(attached[1].as_str().unwrap()), changed);
    // The guests count the boots of their disks.
    for server in [new_web, new_db] {
        theirs.booted(server["id"].as_str().unwrap(), 2).await;
    }
    let all = resources(&theirs).await;
    let repeated = stage.run("restore", &to).await.document();
    assert_eq!(count(&repeated, "made"), 0, "{repeated:#}");
    assert_eq!(resources(&theirs).await, all);

    // One at home, beside itself, with what it needs.
    let part = stage.run("restore", &["--project-select", "server/db"]).await.document_of(PARTIAL);
    let made: Vec<&str> =
        part["made"].as_array().unwrap().iter().map(|row| row["kind"].as_str().unwrap()).collect();
    assert_eq!(made, ["port", "volume", "volume", "server"], "{part:#}");
    assert!(part["notes"][0].as_str().unwrap().contains("another address"), "{part:#}");
    assert_eq!(servers(&stage.hands).await.iter().filter(|row| row["id"] == *db).count(), 1);
}

/// An agent is told to stop, and does.
fn stops(mut child: Child) {
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(143));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_fail_or_are_interrupted_leave_nothing_and_no_doubles() {
    let stage = Stage::new().await;
    let friends = Project::create().await;
    let_in(&stage.project, &friends).await;
    let hands = &stage.hands;
    let tiny = hands.flavor_id("tiny").await;
    for name in ["one", "two"] {
        let fields =
            json!({"name": name, "flavorRef": tiny, "imageRef": hands.image_id().await, "networks": "none"});
        hands.server(fields).await;
    }
    let data = hands.volume("data", false).await;
    let bad = hands.server_with(&data).await;
    let before = resources(hands).await;
    let images = |found: &[String]| found.iter().filter(|row| row.starts_with("images freezer_")).count();

    // Both are worked on at the same time, and the agent is killed.
    let mut child = stage.under_way(("backup", &[]), hands, |found| images(found) >= 2).await;
    child.kill().unwrap();
    child.wait().unwrap();
    for server in servers(hands).await {
        hands.server_rests(server["id"].as_str().unwrap()).await;
    }
    let next = async || drop(stage.agent("backup", &["--dry-run"]).await);
    goes_with_the_next(&before, async || resources(hands).await, next).await;
    // Told to stop, it tidies up itself.
    stops(stage.under_way(("backup", &[]), hands, |found| images(found) >= 2).await);
    assert_eq!(resources(hands).await, before);
    for server in servers(hands).await {
        hands.server_rests(server["id"].as_str().unwrap()).await;
    }

    let url = format!("{NOVA}/servers/{bad}/action");
    as_admin(Method::POST, &url, json!({"os-resetState": {"state": "error"}})).await;
    let saved = stage.save().await.document_of(PARTIAL);
    assert_eq!((count(&saved, "members"), count(&saved, "missing")), (3, 1), "{saved:#}");
    assert_eq!((&saved["missing"][0]["kind"], &saved["missing"][0]["id"]), (&json!("server"), &json!(bad)));
    let of_volume = saved["members"].as_array().unwrap().iter().find(|member| member["id"] == *data);
    assert!(of_volume.is_some_and(|member| member["kind"] == "volume"), "saved for itself: {saved:#}");
    assert_eq!(resources(hands).await, before);

    let to = ["--project-restore-to", friends.id.as_str()];
    let theirs = Hands { login: login(&stage.project.user, &friends.name).await };
    let nova = Proxy::http("127.0.0.1:8774".to_owned()).await;
    let glance = Proxy::http("127.0.0.1:9292".to_owned()).await;
    let keystone = keystone_with(&[(8774, nova.port), (9292, glance.port)]).await;
    let restoring = || {
        let mut command = stage.command("restore", &to);
        command.env("OS_AUTH_URL", format!("http://127.0.0.1:{keystone}/v3"));
        command
    };
    // Told to stop while the disks of both are on their way. What was whole by then stays.
    glance.rule("PUT", "/file", 2, Action::Stall);
    stops(at_work(restoring(), "two uploads", async || glance.unused_rules() == 0).await);
    assert_eq!(resources(&theirs).await, ["volumes data"]);
    // Nova has been asked for one server and does not get to hear of the other: nothing comes any more when the agent is dead.
    nova.rule("POST", "/servers", 1, Action::Meet(Arc::new(Barrier::new(1))));
    nova.rule("POST", "/servers", 1, Action::Stall);
    let is_one_asked_for = async || {
        let found = resources(&theirs).await;
        found.iter().any(|row| row.starts_with("servers ")) && nova.unused_rules() == 0
    };
    let mut child = at_work(restoring(), "the first of two servers", is_one_asked_for).await;
    child.kill().unwrap();
    child.wait().unwrap();
    let restored = stage.run("restore", &to).await.document_of(PARTIAL);
    assert_eq!((count(&restored, "failed"), count(&restored, "refused")), (0, 1), "{restored:#}");
    let mut found = resources(&theirs).await;
    found.sort();
    let own = ["images one~disk", "images two~disk", "servers one", "servers two", "volumes data"];
    assert_eq!(found, own);
}
