//! Mode nova on a real Nova: servers with all their disks, their network and their names come back; and that nothing stays
//! behind, whatever happens.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod cloud;
#[path = "servers/ended.rs"]
mod ended;
#[path = "servers/frozen.rs"]
mod frozen;
#[path = "servers/of_one_name.rs"]
mod of_one_name;
#[allow(dead_code)]
#[path = "../../crates/storage/tests/support/proxy.rs"]
mod proxy;

use cloud::adopted;
use cloud::detour::{keystone_with, revoke_token_after};
use cloud::left::goes_with_the_next;
use cloud::one_shot::{CEPH, Said, agent_of, at_work, heard_at_work, quota, without_files};
use cloud::project::{Hands, Project, content, scribble};
use cloud::servers::{resources, servers_allowed};
use cloud::service::Service;
use cloud::stage::PARTIAL;
use freezer_testkit::random_name;
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::TempDir;

const USER_DATA: &str = "OS-EXT-SRV-ATTR:user_data";
const SCRIPT: &str = "IyEvYmluL3NoCg==";

fn folder(agent_conf: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("agent.conf"), agent_conf).unwrap();
    folder
}

fn command(project: &Project, folder: &Path, action: &str, more: &[&str]) -> Command {
    let mut command = agent_of(project, &project.user);
    let path = |name: &str| folder.join(name).display().to_string();
    command
        .args([
            "--config-file",
            &path("agent.conf"),
            "--action",
            action,
            "--mode",
            "nova",
            "--engine",
            "nova",
        ])
        .args(["--storage", "local", "--container", &path("store"), "--backup-name", "b", "--hostname", "h"])
        .args(["--metadata-out", "-"])
        .args(more);
    command
}

async fn agent(project: &Project, folder: &Path, action: &str, more: &[&str]) -> Said {
    Said::by(command(project, folder, action, more)).await
}

/// The server `web` that boots from the image `tiny`, with a volume, an address, groups, a key and names of all kinds.
async fn web(hands: &Hands, volume: &str) -> String {
    hands.keypair("key").await;
    let network = hands.network("lan", "10.9.0.0/24").await;
    let group = hands.security_group("web-only").await;
    let port = hands.port(&network, "10.9.0.77", &group).await;
    let image = hands.image_id().await;
    let apart = json!({"server_group": {"name": "apart", "policy": "soft-anti-affinity"}});
    let (_, made) = hands.nova(Method::POST, "/os-server-groups", Some(&apart)).await;
    let fields = json!({
        "name": "web", "flavorRef": hands.flavor_id("tiny").await, "imageRef": image, "key_name": "key",
        "networks": [{"port": port}], "metadata": {"role": "front"}, "tags": ["gold"], "description": "the web",
        "user_data": SCRIPT,
        "block_device_mapping_v2": [
            {"uuid": image, "source_type": "image", "destination_type": "local", "boot_index": 0, "delete_on_termination": true},
            {"uuid": volume, "source_type": "volume", "destination_type": "volume", "boot_index": null, "tag": "db"},
        ],
    });
    let apart = made["server_group"]["id"].as_str().unwrap_or_else(|| panic!("no server group: {made}"));
    hands.server_in(fields, apart).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_comes_back_with_its_disks_its_address_and_its_names() {
    let project = Project::create().await;
    let hands = Hands::of(&project).await;
    let folder = folder(CEPH);
    let run = async |action: &str, more: &[&str]| agent(&project, folder.path(), action, more).await;
    let volume = hands.volume("data", false).await;
    scribble(&volume);
    let server = web(&hands, &volume).await;
    hands.booted(&server, 1).await;
    let before = resources(&hands).await;

    let save = ["--nova-inst-id", server.as_str(), "--incremental"];
    let full = run("backup", &save).await.document();
    let disk = |saved: &Value, role: &str, key: &str| saved["disks"][role][key].as_u64().unwrap();
    assert_eq!((&full["consistency"], &full["mode"]), (&"per-volume".into(), &"nova".into()), "{full}");
    assert_eq!((disk(&full, "root", "level"), disk(&full, &volume, "level")), (0, 0), "{full}");
    assert_eq!(resources(&hands).await, before);
    scribble(&volume);
    let changed = content(&volume);
    let increment = run("backup", &save).await.document();
    assert_eq!(
        (disk(&increment, "root", "level"), disk(&increment, &volume, "level")),
        (1, 1),
        "{increment}"
    );
    let read = disk(&increment, &volume, "bytes_read");
    assert!(read > 0 && read < 1 << 20, "only what changed is read of the volume: {increment}");
    assert!(
        disk(&increment, "root", "bytes_stored") < disk(&full, "root", "bytes_stored") / 4,
        "{increment}"
    );
    assert_eq!(resources(&hands).await, before);
    let records = run("adopt", &[]).await.document();
    adopted::as_told(&records, &[&full, &increment], &["nova_inst_id", "server_name", "consistency"]);

    let (old, old_port) = (hands.shown_server(&server).await, hands.ports_of(&server).await.remove(0));
    let groups = old["server_groups"].as_array().map(Vec::len);
    assert_eq!((&old[USER_DATA], groups), (&json!(SCRIPT), Some(1)), "{old}");
    hands.delete_server(&server).await;
    hands.neutron(Method::DELETE, &format!("/ports/{}", old_port["id"].as_str().unwrap()), None).await;
    plans(&project, &hands, folder.path(), (&volume, &old)).await;
    fails_half_way(&project, &hands, folder.path()).await;
    ended::told_to_stop_at_the_end(&project, &hands, folder.path()).await;
    let (restored, asked) = again(&project, folder.path()).await;
    assert_eq!(restored["missing"], json!([]), "{restored}");
    let new = restored["server_id"].as_str().unwrap();
    let shown = hands.shown_server(new).await;
    assert_eq!((&shown["name"], &shown["status"]), (&"again".into(), &"ACTIVE".into()));
    let zone = "OS-EXT-AZ:availability_zone";
    for key in ["metadata", "tags", "description", "key_name", "flavor", "server_groups", USER_DATA, zone] {
        assert_eq!(shown[key], old[key], "{key}");
    }
    // The test cloud has one zone, where Nova puts a server without being asked.
    assert_eq!((&asked["server"]["availability_zone"], &old[zone]), (&"nova".into(), &"nova".into()));
    assert_eq!(asked["os:scheduler_hints"]["group"], old["server_groups"][0], "{asked}");
    let port = hands.ports_of(new).await.remove(0);
    for key in ["name", "mac_address", "fixed_ips", "security_groups", "network_id"] {
        assert_eq!(port[key], old_port[key], "{key}");
    }
    let disks = hands.disks_of(new).await;
    assert_eq!((disks[0].0.as_str(), &disks[0].1["tag"]), ("/dev/vdb", &"db".into()), "{disks:?}");
    assert_eq!(content(disks[0].1["volumeId"].as_str().unwrap()), changed);
    // The guest counts the boots of its disk.
    hands.booted(new, 2).await;
    let after = resources(&hands).await;
    let own = ["volumes data", "volumes data~", "images again~disk", "ports eth", "servers again"];
    assert_eq!(after.len(), own.len(), "{after:?}");
    assert!(own.iter().all(|name| after.iter().any(|row| row.starts_with(name))), "{after:?}");
}

/// Restores the server as `again`; the result, and what Nova was asked for.
async fn again(project: &Project, folder: &Path) -> (Value, Value) {
    let nova = proxy::Proxy::http("127.0.0.1:8774".to_owned()).await;
    let keystone = keystone_with(&[(8774, nova.port)]).await;
    let mut command = command(project, folder, "restore", &["--restore-name", "again"]);
    command.env("OS_AUTH_URL", format!("http://127.0.0.1:{keystone}/v3"));
    let restored = Said::by(command).await.document();
    let asked = nova.documents("POST", "/servers");
    assert_eq!(asked.len(), 1, "{asked:?}");
    (restored, serde_json::from_str(&asked[0]).unwrap())
}

/// A dry run tells what the restore would make, and makes nothing.
async fn plans(project: &Project, hands: &Hands, folder: &Path, (volume, old): (&str, &Value)) {
    let before = resources(hands).await;
    let plan = async |more: &[&str]| {
        let flags = [&["--dry-run", "--restore-name", "again"], more].concat();
        agent(project, folder, "restore", &flags).await
    };
    let planned = plan(&[]).await.document();
    let server = &planned["servers"][0];
    assert_eq!((&server["name"], &server["missing"]), (&"again".into(), &json!([])), "{planned}");
    assert_eq!(server["availability_zone"], "nova", "{planned}");
    assert!(server["flavor_id"].as_str().is_some_and(|id| !id.is_empty()), "{planned}");
    let roles: Vec<_> = server["disks"].as_array().unwrap().iter().map(|disk| &disk["role"]).collect();
    assert_eq!(roles, ["root", volume], "{planned}");
    assert_eq!(server["disks"][1]["device"], "/dev/vdb", "{planned}");
    let address = old["addresses"].as_object().unwrap().values().next().unwrap()[0]["addr"].clone();
    assert_eq!(server["ports"][0]["addresses"], json!([address]), "{planned}");
    plan(&["--nova-restore-network", "nowhere"])
        .await
        .fails_with(&["network 'nowhere'", "nova_restore_network"]);
    plan(&["--nova-restore-flavor", "none"]).await.fails_with(&["flavor 'none'", "nova_restore_flavor"]);
    assert_eq!(resources(hands).await, before);
}

/// A restore that Nova refuses when disks and ports are there, and such as are killed: with the first part, with more of them, before
/// Nova has heard of the server, and when nothing but the server bears a mark any more. Nothing is left of any.
async fn fails_half_way(project: &Project, hands: &Hands, folder: &Path) {
    let before = resources(hands).await;
    servers_allowed(project, 0).await;
    agent(project, folder, "restore", &[]).await.fails_with(&["quota", "server"]);
    assert_eq!(resources(hands).await, before);
    servers_allowed(project, 10).await;
    let nova = proxy::Proxy::http("127.0.0.1:8774".to_owned()).await;
    let keystone = keystone_with(&[(8774, nova.port)]).await;
    for (seen, method, path) in [
        ("volumes freezer_", "POST", "/servers"),
        ("images freezer_", "POST", "/servers"),
        ("its server", "POST", "/servers"),
        ("its metadata", "PUT", "/metadata"),
    ] {
        // Each comes as far as this, unless it is killed before. Of an earlier one the rule may not have come to pass.
        nova.forget_rules();
        nova.rule(method, path, 1, proxy::Action::Stall);
        let mut command = command(project, folder, "restore", &[]);
        command.env("OS_AUTH_URL", format!("http://127.0.0.1:{keystone}/v3"));
        let has = async |kind: &str| resources(hands).await.iter().any(|row| row.starts_with(kind));
        let is_there = async || nova.unused_rules() == 0 || has(seen).await;
        let mut child = at_work(command, seen, is_there).await;
        child.kill().unwrap();
        child.wait().unwrap();
        // Nova is asked for the server when its ports are there.
        assert!(seen != "its server" || has("ports freezer_").await, "{seen}");
        let nobodys = uuid::Uuid::new_v4().to_string();
        let next = async || {
            agent(project, folder, "backup", &["--nova-inst-id", &nobodys]).await.fails_with(&["no server"]);
        };
        goes_with_the_next(&before, async || resources(hands).await, next).await;
    }
    assert_eq!((nova.requests("PUT", "/metadata"), nova.unused_rules()), (1, 0));
}

/// A server in a server group that boots from a volume and has another one, to be switched off.
async fn off(hands: &Hands, data: &str) -> (String, String) {
    let root = hands.volume("root", true).await;
    let apart = json!({"server_group": {"name": "apart", "policy": "soft-anti-affinity"}});
    let (_, made) = hands.nova(Method::POST, "/os-server-groups", Some(&apart)).await;
    let fields = json!({
        "name": "db", "flavorRef": hands.flavor_id("tiny0").await, "networks": "none",
        "block_device_mapping_v2": [
            {"uuid": root, "source_type": "volume", "destination_type": "volume", "boot_index": 0},
            {"uuid": data, "source_type": "volume", "destination_type": "volume", "boot_index": null},
        ],
    });
    let apart = made["server_group"]["id"].as_str().unwrap_or_else(|| panic!("no server group: {made}"));
    let server = hands.server_in(fields, apart).await;
    hands.booted(&server, 1).await;
    (server, root)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn volumes_of_a_server_come_back_in_another_project() {
    let (project, mut other) = (Project::create().await, Project::create().await);
    let (hands, theirs) = (Hands::of(&project).await, Hands::of(&other).await);
    let administrator = other.administrator().await;
    let folder = folder("[DEFAULT]\n");
    let data = hands.volume("data", false).await;
    scribble(&data);
    let (server, root) = off(&hands, &data).await;
    let lan = hands.network("lan", "10.9.0.0/24").await;
    let port = hands.port(&lan, "10.9.0.77", &hands.security_group("mine").await).await;
    let plug = json!({"interfaceAttachment": {"port_id": port}});
    let (status, plugged) =
        hands.nova(Method::POST, &format!("/servers/{server}/os-interface"), Some(&plug)).await;
    assert_eq!(status, 200, "{plugged}");
    let stop = json!({"os-stop": null});
    hands.nova(Method::POST, &format!("/servers/{server}/action"), Some(&stop)).await;
    hands.server_is(&server, "SHUTOFF").await;
    let before = resources(&hands).await;
    let saved = agent(&project, folder.path(), "backup", &["--nova-inst-name", "db"]).await.document();
    assert_eq!(saved["consistency"], "crash-consistent", "nothing ran: {saved}");
    assert_eq!(saved["disks"].as_object().unwrap().len(), 2, "{saved}");
    assert_eq!(resources(&hands).await, before);
    let originals = (content(&root), content(&data));

    // They were read through Glance; a restore into the cluster needs no image of each.
    std::fs::write(folder.path().join("agent.conf"), CEPH).unwrap();
    // Nothing of the network is there under its id or its name: one must be named.
    let restore = async |more: &[&str]| agent(&other, folder.path(), "restore", more).await;
    restore(&[]).await.fails_with(&["network", "lan", "nova_restore_network"]);
    // An administrator is shown the old one, which is still the other project's.
    let over_there = format!("lan={lan}");
    for more in [&[] as &[&str], &["--nova-restore-network", &over_there]] {
        let mut command = command(&other, folder.path(), "restore", more);
        command.env("OS_USERNAME", &administrator);
        Said::by(command).await.fails_with(&["network", "is not there", "nova_restore_network"]);
    }
    assert_eq!(resources(&theirs).await, Vec::<String>::new());
    let their_lan = theirs.network("their-lan", "10.9.0.0/24").await;
    theirs.security_group("mine").await;
    let other_place = ["--nova-restore-network", "lan=their-lan", "--nova-restore-flavor", "tiny"];
    // A server group is its project's own, and none of its name is here: the server comes without, and that is said.
    let planned = restore(&[&other_place[..], &["--dry-run"]].concat()).await.document();
    let missing = planned["servers"][0]["missing"].clone();
    assert!(missing[0].as_str().unwrap().starts_with("server group apart ("), "{planned}");
    let restored = restore(&other_place).await.document_of(PARTIAL);
    assert_eq!((restored["missing"].as_array().unwrap().len(), &restored["missing"]), (1, &missing));
    let new = restored["server_id"].as_str().unwrap();
    let shown = theirs.shown_server(new).await;
    assert_eq!(shown["flavor"]["original_name"], "tiny", "it was tiny0: {shown}");
    assert_eq!((&shown["status"], &shown["tenant_id"]), (&"SHUTOFF".into(), &other.id.clone().into()));
    assert_eq!(shown["server_groups"], json!([]));
    let port = theirs.ports_of(new).await.remove(0);
    assert_eq!(
        (&port["network_id"], &port["fixed_ips"][0]["ip_address"]),
        (&their_lan.into(), &"10.9.0.77".into())
    );
    let disks = theirs.disks_of(new).await;
    let devices: Vec<&str> = disks.iter().map(|(device, _)| device.as_str()).collect();
    assert_eq!(devices, ["/dev/vda", "/dev/vdb"]);
    assert_eq!(content(disks[1].1["volumeId"].as_str().unwrap()), originals.1);
    // It ran until it was stopped again, so that its root disk has gone on from where it was.
    let path = format!("/volumes/{}", restored["volumes"][&root].as_str().unwrap());
    assert_eq!(theirs.cinder(Method::GET, &path, None).await.1["volume"]["bootable"], "true");
    let start = json!({"os-start": null});
    theirs.nova(Method::POST, &format!("/servers/{new}/action"), Some(&start)).await;
    theirs.server_is(new, "ACTIVE").await;
    assert_eq!(content(&root), originals.0, "the old server is not touched");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_wrong_is_said_and_leaves_nothing() {
    let (project, other) = (Project::create().await, Project::create().await);
    let (hands, folder) = (Hands::of(&project).await, folder("[DEFAULT]\n"));
    let run = async |action: &str, more: &[&str]| agent(&project, folder.path(), action, more).await;
    let nobodys = uuid::Uuid::new_v4().to_string();
    run("backup", &["--nova-inst-id", &nobodys]).await.fails_with(&["Nova has no server", &nobodys]);
    run("backup", &["--nova-inst-name", "nothing"]).await.fails_with(&["server named 'nothing'"]);
    run("backup", &["--nova-inst-id", &nobodys, "--cinder-vol-id", "v"])
        .await
        .fails_with(&["nova_inst_id", "cinder_vol_id"]);
    run("backup", &["--nova-inst-id", &nobodys, "--nova-inst-tag", "t"]).await.fails_with(&["exclude"]);
    run("backup", &["--project-id", &other.id]).await.fails_with(&["refused the login"]);
    run("backup", &["--nova-inst-tag", "none"]).await.fails_with(&["no server fits"]);
    run("restore", &["--overwrite"]).await.fails_with(&["cannot be written over"]);
    run("restore", &[]).await.fails_with(&["no complete backup"]);

    let volume = hands.volume("data", true).await;
    let server = hands.server_with(&volume).await;
    let before = resources(&hands).await;
    // Another project's, though its id is right.
    agent(&other, folder.path(), "backup", &["--nova-inst-id", &server])
        .await
        .fails_with(&["Nova has no server", &server]);
    // The image of the disk is there when Cinder refuses the snapshot of the volume.
    quota(&project, json!({"snapshots": 0})).await;
    run("backup", &["--nova-inst-id", &server]).await.fails_with(&["quota", "snapshot", &volume]);
    assert_eq!(resources(&hands).await, before);
    // The disk is saved when Cinder refuses the copy of the volume: it is taken back.
    quota(&project, json!({"snapshots": 10, "volumes": 1})).await;
    run("backup", &["--nova-inst-id", &server]).await.fails_with(&["quota", "volume"]);
    assert_eq!(resources(&hands).await, before);
    assert!(
        !folder.path().join("store/metadata/image/h_b_root").exists() || {
            let chains = std::fs::read_dir(folder.path().join("store/metadata/image/h_b_root")).unwrap();
            chains.count() == 0
        }
    );
    run("restore", &[]).await.fails_with(&["no complete backup"]);
    quota(&project, json!({"snapshots": 10, "volumes": 10})).await;

    ended::at_each_step_of_a_backup(&project, &hands, folder.path(), &server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_download_that_breaks_off_and_a_token_that_is_revoked_leave_nothing_half() {
    use proxy::Action;
    let project = Project::create().await;
    let (hands, folder) = (Hands::of(&project).await, folder("[DEFAULT]\n"));
    let fields = json!({
        "name": "web", "flavorRef": hands.flavor_id("tiny").await, "imageRef": hands.image_id().await,
        "networks": "none",
    });
    let server = hands.server(fields).await;
    let before = resources(&hands).await;
    let glance = proxy::Proxy::http("127.0.0.1:9292".to_owned()).await;
    let nova = proxy::Proxy::http("127.0.0.1:8774".to_owned()).await;
    let keystone = keystone_with(&[(9292, glance.port), (8774, nova.port)]).await;
    // As Nova's policy has it by default.
    nova.rule("GET", "/servers/", u32::MAX, Action::RewordAnswer(USER_DATA, "hidden"));
    let save = || {
        let mut command = command(&project, folder.path(), "backup", &["--nova-inst-id", &server]);
        command.env("OS_AUTH_URL", format!("http://127.0.0.1:{keystone}/v3"));
        Said::by(command)
    };
    // Lost for good at half of the disk.
    glance.rule("GET", "/file", 1, Action::CutAnswer(1_000_000));
    glance.rule("GET", "/file", 1, Action::Answer(404, Vec::new()));
    save().await.fails_with(&["disk root", "Glance has no", "content of image"]);
    assert_eq!(glance.unused_rules(), 0);
    assert_eq!(resources(&hands).await, before);
    agent(&project, folder.path(), "restore", &[]).await.fails_with(&["no complete backup"]);

    // Refused tokens are replaced, and a download goes on where it broke off. Services that have the token in a cache take it on.
    let seen = glance.tokens().len();
    glance.rule("GET", "/file", 1, Action::CutAnswer(1_000_000));
    glance.rule("GET", "/file", 1, Action::Answer(401, Vec::new()));
    let (saved, ()) = tokio::join!(save(), revoke_token_after(|| glance.tokens(), seen));
    let saved = saved.document();
    assert_eq!(glance.unused_rules(), 0, "{saved}");
    let used: BTreeSet<String> = glance.tokens().split_off(seen).into_iter().collect();
    let used: Vec<&String> = used.iter().filter(|token| !token.is_empty()).collect();
    assert!(used.len() > 1, "one token all along: {saved}");
    assert_eq!(resources(&hands).await, before);
    let restored = agent(&project, folder.path(), "restore", &[]).await.document();
    assert_eq!(restored["server_of_backup"], json!(server), "{restored}");
    let notes = restored["notes"].to_string();
    assert!(notes.contains("user data were not saved") && notes.contains("policy"), "{restored}");
}

/// Ids of the servers in a result.
fn ids(saved: &Value) -> BTreeSet<&str> {
    let servers = saved["servers"].as_object().unwrap_or_else(|| panic!("no servers: {saved}"));
    servers.keys().map(String::as_str).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_servers_are_worked_on_at_the_same_time() {
    let project = Project::create().await;
    let (hands, folder) = (Hands::of(&project).await, folder("[DEFAULT]\n"));
    let (flavor, image) = (hands.flavor_id("tiny").await, hands.image_id().await);
    let mut made = Vec::new();
    for (name, role) in [("one", "front"), ("two", "back")] {
        let fields = json!({
            "name": name, "flavorRef": flavor, "imageRef": image, "networks": "none", "tags": ["gold"],
            "metadata": {"role": role},
        });
        made.push(hands.server(fields).await);
    }
    let before = resources(&hands).await;
    let mut command = command(&project, folder.path(), "backup", &["--project-id", &project.id]);
    let both = async || {
        let found = resources(&hands).await;
        found.iter().filter(|row| row.starts_with("images freezer_backup_")).count() >= 2
    };
    let heard = command.stdout(Stdio::piped()).stderr(Stdio::null());
    let child = heard_at_work(heard, "a second image at the same time", both).await;
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(0));
    let saved: Value = serde_json::from_slice(&ended.stdout).unwrap();
    assert_eq!(ids(&saved), made.iter().map(String::as_str).collect::<BTreeSet<_>>(), "{saved}");
    assert_eq!(resources(&hands).await, before);
    let front = ["--nova-inst-metadata", "role=front"];
    // By agents that may not write a byte to any file, here to Swift and below from a folder; nor do they leave any without bytes.
    let nowhere = tempfile::tempdir().unwrap();
    let streamed = async |action: &str, more: &[&str]| {
        let command = self::command(&project, folder.path(), action, more);
        Said::by(without_files(&command, nowhere.path())).await.document()
    };
    let to_swift = [&front[..], &["--storage", "swift", "--container", "streamed"]].concat();
    let saved = streamed("backup", &to_swift).await;
    assert_eq!(ids(&saved), BTreeSet::from([made[0].as_str()]), "{saved}");
    assert_eq!(resources(&hands).await, before);

    let restore = async |which: &[&str]| agent(&project, folder.path(), "restore", which).await;
    let planned = restore(&[&front[..], &["--dry-run"]].concat()).await.document();
    let rows = planned["servers"].as_array().unwrap();
    assert_eq!((rows.len(), &rows[0]["server"]), (1, &json!(made[0])), "{planned}");
    let planned = restore(&["--project-id", &project.id, "--dry-run"]).await.document();
    assert_eq!(planned["servers"].as_array().unwrap().len(), 2, "{planned}");
    let restored = streamed("restore", &["--nova-inst-tag", "gold"]).await;
    assert_eq!(std::fs::read_dir(nowhere.path()).unwrap().count(), 0);
    let rows = restored["servers"].as_array().unwrap();
    let mut names: Vec<&str> = rows.iter().map(|row| row["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert!(names.len() == 2 && names[0].starts_with("one~") && names[1].starts_with("two~"), "{restored}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_saves_servers_by_tag_and_brings_them_back() {
    let project = Project::create().await;
    let hands = Hands::of(&project).await;
    let fields = json!({
        "name": "web", "flavorRef": hands.flavor_id("tiny").await, "imageRef": hands.image_id().await,
        "networks": "none", "tags": ["gold"],
    });
    let server = hands.server(fields).await;
    let glance = proxy::Proxy::http("127.0.0.1:9292".to_owned()).await;
    let keystone = keystone_with(&[(9292, glance.port)]).await;
    // In place of the usual one, which stands before it.
    let keystone = format!("auth_url = http://127.0.0.1:{keystone}/v3\n");
    let mut service = Service::of(&project, &hands, &keystone).await;
    let container = format!("saved-{}", random_name());
    let mut runs = 0;
    for (verb, more) in [
        ("backup", json!({})),
        ("restore", json!({})),
        ("backup", json!({})),
        ("admin", json!({"keep_last": 1})),
    ] {
        let mut action = json!({
            "action": verb, "mode": "nova", "nova_inst_tag": "gold", "storage": "swift", "container": container,
            "backup_name": "nightly",
        });
        action.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        runs += 1;
        let run = match runs {
            1 => ended::killed_under_a_daemon(&mut service, &hands, &glance, action).await,
            _ => service.job(action).await.1,
        };
        assert_eq!(run["state"], "success", "{run:#}");
        if verb == "backup" {
            let last = run["steps"].as_array().unwrap().last().unwrap();
            let made = &last["result"]["temporaries"][0];
            assert_eq!((&made["kind"], &made["error"]), (&json!("image"), &Value::Null), "{run:#}");
            assert!(made["removed"].as_i64() >= made["made"].as_i64() && made["made"].is_i64(), "{run:#}");
        }
        if verb == "admin" {
            let removed = &run["steps"][0]["result"]["removed"];
            let counts = (&removed["sets"]["levels"], &removed["members"]["chains"]);
            assert_eq!(counts, (&json!(1), &json!(1)), "{run:#}");
        }
    }
    let backups = service.user.get("/backups").await;
    let metadata = &backups["backups"][0]["backup_metadata"];
    assert_eq!(
        backups["backups"].as_array().unwrap().len(),
        1,
        "the record of what is gone is gone: {backups}"
    );
    assert_eq!((&metadata["mode"], &metadata["engine_name"]), (&"nova".into(), &"nova".into()), "{backups}");
    assert!(metadata["servers"][&server]["disks"]["root"].is_object(), "{backups}");
    let (_, servers) = hands.nova(Method::GET, "/servers", None).await;
    let names: Vec<&str> =
        servers["servers"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(names.iter().any(|name| name.starts_with("web~")), "{names:?}");
}
