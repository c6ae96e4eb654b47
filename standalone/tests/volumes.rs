//! Mode cinder on a real Cinder with volumes in Ceph: through Glance and from the cluster, backups, restores, and that nothing
//! stays behind, whatever happens.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "volumes/boot_disk.rs"]
mod boot_disk;
mod cloud;
#[path = "volumes/exchange.rs"]
mod exchange;
#[allow(dead_code)]
#[path = "../../crates/storage/tests/support/proxy.rs"]
mod proxy;
#[path = "volumes/put_back.rs"]
mod put_back;

use cloud::admin::VolumeType;
use cloud::detour::keystone_with;
use cloud::left::goes_with_the_next;
use cloud::one_shot::{CEPH, Said, agent_of, at_work, heard_at_work, quota, without_files};
use cloud::project::{CINDER, Hands, Project, content, scribble};
use cloud::servers::{has_temporary, resources};
use cloud::service::Service;
use cloud::whole::as_admin;
use cloud::{LOOK, PATIENCE, adopted, cut};
use freezer_testkit::random_name;
use proxy::{Action, Proxy};
use reqwest::Method;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::time::Instant;
use tempfile::TempDir;

/// A project with a volume, and an agent that keeps backups in a folder.
struct Stage {
    project: Project,
    hands: Hands,
    folder: TempDir,
    volume: String,
    /// Of the volume, if it is not of the default one. The last to go.
    kind: Option<VolumeType>,
    /// Port of a Keystone that leads elsewhere than the usual one.
    keystone: Option<u16>,
}

impl Stage {
    async fn new(agent_conf: &str) -> Self {
        Self::with(agent_conf, None, true).await
    }

    /// With a volume of that type, with an image's content or none.
    async fn with(agent_conf: &str, kind: Option<VolumeType>, is_of_image: bool) -> Self {
        let project = Project::create().await;
        let hands = Hands::of(&project).await;
        let mut fields = json!({"name": "data", "size": 1});
        if let Some(kind) = &kind {
            fields["volume_type"] = json!(kind.name);
        }
        if is_of_image {
            fields["imageRef"] = json!(hands.image_id().await);
        }
        let volume = hands.volume_of(fields).await;
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("agent.conf"), agent_conf).unwrap();
        Self { project, hands, folder, volume, kind, keystone: None }
    }

    /// The way to Cinder leads through the proxy that is answered.
    async fn detour(&mut self) -> Proxy {
        let cinder = Proxy::http("127.0.0.1:8776".to_owned()).await;
        self.keystone = Some(keystone_with(&[(8776, cinder.port)]).await);
        cinder
    }

    fn command(&self, action: &str, more: &[&str]) -> Command {
        let mut command = agent_of(&self.project, &self.project.user);
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        command.envs(self.keystone.map(|port| ("OS_AUTH_URL", format!("http://127.0.0.1:{port}/v3"))));
        command
            .args([
                "--config-file",
                &path("agent.conf"),
                "--action",
                action,
                "--mode",
                "cinder",
                "--storage",
                "local",
            ])
            .args(["--container", &path("store"), "--backup-name", "b", "--metadata-out", "-"])
            .args(more);
        command
    }

    async fn agent(&self, action: &str, more: &[&str]) -> Said {
        Said::by(self.command(action, more)).await
    }

    async fn save(&self) -> Value {
        self.agent("backup", &["--cinder-vol-id", &self.volume, "--incremental"]).await.document()
    }

    /// Names of all volumes, snapshots and images of the project.
    async fn resources(&self) -> Vec<String> {
        let mut found = resources(&self.hands).await;
        found.retain(|row| !row.starts_with("ports ") && !row.starts_with("servers "));
        found
    }

    /// An agent of an action that cannot be done removes what dead ones left.
    async fn next_removes_all_but(&self, before: &[String]) {
        let nobodys = uuid::Uuid::new_v4().to_string();
        let next = async || {
            self.agent("backup", &["--cinder-vol-id", &nobodys]).await.fails_with(&["no volume"]);
        };
        goes_with_the_next(before, async || self.resources().await, next).await;
    }

    async fn shown(&self, volume: &str) -> Value {
        self.hands.cinder(Method::GET, &format!("/volumes/{volume}"), None).await.1["volume"].take()
    }

    /// How the exchanges ended that a volume's metadata tell of: which volume each server has.
    async fn ends(&self, volume: &str) -> Vec<String> {
        let shown = self.shown(volume).await;
        let metadata = shown["metadata"].as_object().unwrap();
        let marks = metadata.iter().filter(|(key, _)| key.starts_with("freezer_replaces_"));
        let ends = marks.map(|(_, value)| value.as_str().unwrap().rsplit(' ').next().unwrap());
        ends.map(|end| end.split('@').next().unwrap().to_owned()).collect()
    }

    /// Waits until so many servers have a volume; their ids, and the device it is there.
    async fn places(&self, volume: &str, count: usize) -> BTreeSet<(String, String)> {
        let end = Instant::now() + PATIENCE;
        loop {
            let shown = self.shown(volume).await;
            let rows = shown["attachments"].as_array().unwrap();
            if shown["status"] == "in-use" && rows.len() == count {
                let text = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
                return rows.iter().map(|row| (text(row, "server_id"), text(row, "device"))).collect();
            }
            assert!(Instant::now() < end, "{count} servers should have it: {shown}");
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Snapshots that the cluster keeps of the volume.
    fn kept(&self) -> usize {
        let image = format!("volumes/volume-{}", self.volume);
        let list = ["-c", "/etc/ceph/ceph.conf", "snap", "ls", "--format", "json", &image];
        let output = Command::new("rbd").args(list).output().unwrap();
        let rows: Value = serde_json::from_slice(&output.stdout).unwrap();
        rows.as_array().unwrap().len()
    }
}

fn date(seconds: &Value) -> String {
    chrono::DateTime::from_timestamp(seconds.as_i64().unwrap(), 0).unwrap().format("%FT%TZ").to_string()
}

/// Two states of a volume that has metadata and a type of its own.
async fn two_states(stage: &Stage, way: &str) -> [(Value, String); 2] {
    let tags = json!({"metadata": {"owner": "me"}});
    stage.hands.cinder(Method::POST, &format!("/volumes/{}/metadata", stage.volume), Some(&tags)).await;
    let first = content(&stage.volume);
    let full = stage.save().await;
    assert_eq!((&full["curr_backup_level"], &full["read_through"]), (&0.into(), &way.into()), "{full}");
    assert_eq!(stage.resources().await, ["volumes data"]);
    scribble(&stage.volume);
    let second = content(&stage.volume);
    assert_ne!(first, second);
    let increment = stage.save().await;
    assert_eq!(increment["curr_backup_level"], 1, "{increment}");
    assert!(increment["bytes_stored"].as_u64().unwrap() < 1 << 20, "{increment}");
    assert_eq!(stage.resources().await, ["volumes data"]);
    [(full, first), (increment, second)]
}

async fn comes_back(stage: &Stage, states: &[(Value, String); 2]) {
    let [(full, first), (_, second)] = states;
    let cinder = Proxy::http("127.0.0.1:8776".to_owned()).await;
    let keystone = keystone_with(&[(8776, cinder.port)]).await;
    let mut command = stage.command("restore", &["--restore-name", "again"]);
    command.env("OS_AUTH_URL", format!("http://127.0.0.1:{keystone}/v3"));
    // Nothing is put down on the way.
    let nowhere = tempfile::tempdir().unwrap();
    let restored = Said::by(without_files(&command, nowhere.path())).await.document();
    assert_eq!(std::fs::read_dir(nowhere.path()).unwrap().count(), 0);
    let new = restored["volume_id"].as_str().unwrap();
    assert_eq!(&content(new), second);
    let (old, shown) = (stage.shown(&stage.volume).await, stage.shown(new).await);
    assert_eq!(shown["name"], "again");
    for key in ["bootable", "volume_type", "availability_zone", "size", "metadata", "volume_image_metadata"] {
        assert_eq!(shown[key], old[key], "{key}");
    }
    // The test cloud has one zone, where Cinder puts a volume without being asked.
    let asked: Value = serde_json::from_str(&cinder.documents("POST", "/volumes")[0]).unwrap();
    let kind = stage.kind.as_ref().map(|kind| json!(kind.name));
    assert_eq!(Some(&asked["volume"]["volume_type"]), kind.as_ref(), "{asked}");
    assert_eq!(asked["volume"]["availability_zone"], "nova", "{asked}");
    assert_eq!(old["availability_zone"], "nova", "{old}");
    let date = date(&full["time_stamp"]);
    let over =
        ["--restore-from-date", &date, "--cinder-restore-to", "over", "--cinder-vol-id", &stage.volume];
    stage.agent("restore", &over).await.document();
    assert_eq!(&content(&stage.volume), first);
    let shown = stage.shown(&stage.volume).await;
    for key in ["bootable", "metadata", "volume_image_metadata", "status"] {
        assert_eq!(shown[key], old[key], "{key}");
    }
    assert_eq!(stage.resources().await.len(), 2);
}

/// A restore over the volume that breaks off says what that is now, and so does the volume until it is whole again.
async fn breaks_off(stage: &Stage, (full, first): &(Value, String)) {
    let date = date(&full["time_stamp"]);
    let over = ["--restore-from-date", &date, "--cinder-restore-to", "over"];
    let until = async |then: &str, more: &[&str]| {
        let mut command = stage.command("restore", more);
        command.env("PATH", cut::path_where_imports_end(stage.folder.path(), then));
        Said::by(command).await
    };
    // Into a new volume, by an agent that dies: the next one removes it.
    let before = stage.resources().await;
    let killed = until(cut::DIES, &["--restore-name", "dead"]).await;
    assert_eq!(killed.status, None, "{}", killed.err);
    let (_, listed) = stage.hands.cinder(Method::GET, "/volumes", None).await;
    let rows = listed["volumes"].as_array().unwrap();
    let left = rows.iter().find(|row| row["name"].as_str().unwrap().starts_with("freezer_restore_"));
    let left = left.unwrap_or_else(|| panic!("something must be there to be found: {listed}"));
    cut::is_let_go(&format!("volumes/volume-{}", left["id"].as_str().unwrap()));
    let nobodys = uuid::Uuid::new_v4().to_string();
    stage.agent("backup", &["--cinder-vol-id", &nobodys]).await.fails_with(&["no volume"]);
    assert_eq!(stage.resources().await, before);

    let killed = until(cut::DIES, &over).await;
    assert_eq!(killed.status, None, "{}", killed.err);
    cut::is_let_go(&format!("volumes/volume-{}", stage.volume));
    let dead = stage.shown(&stage.volume).await["metadata"]["freezer_restoring"].take();
    assert!(dead.is_string(), "{dead}");
    let words =
        ["import-diff", &stage.volume, "written over in part", "freezer_restoring", "restore it again"];
    until(cut::FAILS, &over).await.fails_with(&words);
    let shown = stage.shown(&stage.volume).await;
    assert_eq!((&shown["status"], &shown["metadata"]["owner"]), (&"available".into(), &"me".into()));
    let mark = &shown["metadata"]["freezer_restoring"];
    assert!(mark.as_str().unwrap().starts_with(&format!("{} ", full["time_stamp"])), "{shown}");
    assert_eq!(mark, &dead);
    // Who saves it now is told, and so is who looks at that backup; the mark itself is not restored.
    let half = stage.agent("backup", &["--cinder-vol-id", &stage.volume, "--incremental"]).await;
    assert_eq!(&half.document()["half_restored"], mark);
    assert!(half.err.contains("had broken off"), "{}", half.err);
    let planned = stage.agent("restore", &["--dry-run"]).await.document();
    assert_eq!(&planned["volume"]["restoring"], mark, "{planned}");
    assert!(planned["volume"]["metadata"]["freezer_restoring"].is_null(), "{planned}");
    stage.agent("restore", &over).await.document();
    let whole = stage.shown(&stage.volume).await;
    assert!(whole["metadata"]["freezer_restoring"].is_null(), "{whole}");
    assert_eq!(&content(&stage.volume), first);
}

/// The same where Cinder writes over the volume from an image: it goes on with that when the agent is gone.
async fn breaks_off_at_cinder(stage: &Stage, (full, first): &(Value, String)) {
    let date = date(&full["time_stamp"]);
    let over = ["--restore-from-date", &date, "--cinder-restore-to", "over"];
    let nobodys = uuid::Uuid::new_v4().to_string();
    let next =
        async || stage.agent("backup", &["--cinder-vol-id", &nobodys]).await.fails_with(&["no volume"]);
    let mark = async || stage.shown(&stage.volume).await["metadata"]["freezer_restoring"].take();
    let old = stage.shown(&stage.volume).await;
    scribble(&stage.volume);
    let (before, changed) = (stage.resources().await, content(&stage.volume));
    // What breaks off before Cinder has the whole image has written nothing.
    let glance = Proxy::http("127.0.0.1:9292".to_owned()).await;
    let keystone = keystone_with(&[(9292, glance.port)]).await;
    glance.rule("PUT", "/file", 1, Action::ResetRequest(1_000_000));
    let mut command = stage.command("restore", &over);
    command.env("OS_AUTH_URL", format!("http://127.0.0.1:{keystone}/v3"));
    Said::by(command).await.fails_with(&["Glance"]);
    assert_eq!((stage.resources().await, mark().await), (before.clone(), Value::Null));
    assert_eq!(content(&stage.volume), changed);

    for signal in [Signal::KILL, Signal::TERM] {
        let is_loading = async || stage.shown(&stage.volume).await["status"] == "downloading";
        let mut child = at_work(stage.command("restore", &over), "Cinder's download", is_loading).await;
        kill_process(Pid::from_child(&child), signal).unwrap();
        let code = child.wait().unwrap().code();
        assert_eq!(code, if signal == Signal::KILL { None } else { Some(143) });
        // Who comes meanwhile leaves Cinder its image: without it the volume would be in error.
        next().await;
        stage.hands.volume_is(&stage.volume, "available").await;
        next().await;
        assert_eq!(stage.resources().await, before);
        let found = mark().await;
        assert!(found.as_str().unwrap().starts_with(&format!("{} ", full["time_stamp"])), "{found}");
    }
    // Where Cinder itself failed, only an administrator gets the volume out of its error.
    let url = format!("{CINDER}/{{admin}}/volumes/{}/action", stage.volume);
    let reset = |status: &str| json!({"os-reset_status": {"status": status}});
    as_admin(Method::POST, &url, reset("error")).await;
    stage.agent("restore", &over).await.fails_with(&["is error", "--state available", "into a new volume"]);
    as_admin(Method::POST, &url, reset("available")).await;
    stage.agent("restore", &over).await.document();
    let shown = stage.shown(&stage.volume).await;
    for key in ["bootable", "metadata", "volume_image_metadata", "status"] {
        assert_eq!(shown[key], old[key], "{key}");
    }
    assert_eq!(&content(&stage.volume), first);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn through_glance() {
    let mut stage = Stage::with("[DEFAULT]\n", Some(VolumeType::another().await), true).await;
    // Cinder has volumes boot that it makes of images; this one does not.
    let body = json!({"os-set_bootable": {"bootable": false}});
    let url = format!("/volumes/{}/action", stage.volume);
    let (status, said) = stage.hands.cinder(Method::POST, &url, Some(&body)).await;
    assert_eq!(status, 200, "{said}");
    let cinder = stage.detour().await;
    // Tokens are refused at each kind of step: another one, and on.
    for (method, path) in
        [("POST", "/snapshots"), ("GET", "/snapshots/"), ("POST", "/volumes"), ("POST", "/action")]
    {
        cinder.rule(method, path, 1, Action::Answer(401, Vec::new()));
    }
    let states = two_states(&stage, "glance").await;
    let tokens: BTreeSet<String> = cinder.tokens().into_iter().collect();
    assert!(cinder.unused_rules() == 0 && tokens.len() > 2, "{} tokens", tokens.len());
    comes_back(&stage, &states).await;
    for kinds in [&["images"][..], &["images", "volumes"]] {
        for signal in [Signal::KILL, Signal::TERM] {
            a_restore_that_is_ended_leaves_nothing(&stage, kinds, signal).await;
        }
    }
    breaks_off_at_cinder(&stage, &states[0]).await;
}

/// While the content is being uploaded, or Cinder makes a volume of that: after a kill until the next agent comes, else by itself.
async fn a_restore_that_is_ended_leaves_nothing(stage: &Stage, kinds: &[&str], signal: Signal) {
    let before = stage.resources().await;
    let mut child = under_way(stage, ("restore", &["--restore-name", "ended"]), kinds).await;
    kill_process(Pid::from_child(&child), signal).unwrap();
    let code = child.wait().unwrap().code();
    assert_eq!(code, if signal == Signal::KILL { None } else { Some(143) });
    if signal == Signal::KILL {
        assert!(stage.resources().await.len() > before.len(), "something must be there to be found");
        stage.next_removes_all_but(&before).await;
    }
    assert_eq!(stage.resources().await, before);
}

/// An agent that reads from the cluster itself leaves nothing in the project: what it leaves is a snapshot in the cluster, which goes
/// with the next level.
async fn dies_while_it_reads(stage: &Stage) {
    let before = stage.resources().await;
    let mut command = stage.command("backup", &["--cinder-vol-id", &stage.volume, "--incremental"]);
    // Nothing has changed, so that little would come.
    command.env("PATH", cut::path_where_exports_end_after(stage.folder.path(), 20, cut::DIES));
    let killed = Said::by(command).await;
    assert_eq!(killed.status, None, "{}", killed.err);
    assert_eq!((stage.resources().await, stage.kept()), (before, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_the_cluster() {
    let stage = Stage::with(CEPH, Some(VolumeType::another().await), true).await;
    let states = two_states(&stage, "rbd").await;
    let read = |document: &Value| document["bytes_read"].as_u64().unwrap();
    assert!(read(&states[1].0) < 1 << 20, "only what changed is read: {}", states[1].0);
    assert_eq!(stage.kept(), 1);
    dies_while_it_reads(&stage).await;
    let unchanged = stage.save().await;
    assert_eq!((&unchanged["curr_backup_level"], read(&unchanged)), (&2.into(), 0));
    assert_eq!(stage.kept(), 1);
    let records = stage.agent("adopt", &[]).await.document();
    adopted::as_told(&records, &[&states[0].0, &states[1].0, &unchanged], &["cinder_vol_id", "volume_name"]);
    comes_back(&stage, &states).await;
    // What the volume was set back to differs from the last level: the change list says so.
    let after = stage.save().await;
    assert!(read(&after) > 0, "{after}");
    // A snapshot that somebody removed costs a whole read, not the backup.
    let image = format!("volumes/volume-{}", stage.volume);
    let purge = ["-c", "/etc/ceph/ceph.conf", "snap", "purge", "--no-progress", &image];
    assert!(Command::new("rbd").args(purge).status().unwrap().success());
    let without = stage.save().await;
    assert_eq!((&without["curr_backup_level"], read(&without)), (&4.into(), 1 << 30));
    // Stored are only regions of which a change list had told a part.
    assert!(without["bytes_stored"].as_u64().unwrap() < 1 << 20, "{without}");
    breaks_off(&stage, &states[0]).await;
    // The kept snapshot does not keep the owner from deleting the volume.
    let (status, _) = stage.hands.cinder(Method::DELETE, &format!("/volumes/{}", stage.volume), None).await;
    assert_eq!(status, 202);
    stage.hands.volume_is(&stage.volume, "gone").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attached_in_the_old_ones_place_to_both_servers_that_share_it() {
    let kind = VolumeType::multiattach().await;
    let stage = Stage::with(CEPH, Some(kind), false).await;
    scribble(&stage.volume);
    let original = content(&stage.volume);
    for _ in 0..2 {
        stage.hands.server_with(&stage.volume).await;
    }
    let places = stage.places(&stage.volume, 2).await;
    let saved = stage.agent("backup", &["--cinder-vol-name", "data"]).await.document();
    assert_eq!(saved["cinder_vol_id"], stage.volume.as_str(), "{saved}");
    let planned = stage.agent("restore", &["--dry-run"]).await.document();
    let kept = planned["volume"]["attachments"].as_array().unwrap();
    let text = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
    let kept: BTreeSet<(String, String)> =
        kept.iter().map(|row| (text(row, "server_id"), text(row, "device"))).collect();
    assert_eq!((&planned["volume"]["is_multiattach"], &kept), (&true.into(), &places), "{planned}");
    let over = ["--cinder-restore-to", "over"];
    stage.agent("restore", &over).await.fails_with(&["in-use", "detach it first"]);
    // Told to stop when the first server has lost the old one: it goes on until both have the new one.
    let mut command = stage.command("restore", &["--cinder-restore-to", "replace"]);
    let is_detached = async || stage.shown(&stage.volume).await["attachments"].as_array().unwrap().len() != 2;
    let heard = command.stdout(Stdio::piped()).stderr(Stdio::null());
    let child = heard_at_work(heard, "a server without the old one", is_detached).await;
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    let restored: Value = serde_json::from_slice(&ended.stdout).unwrap();
    let new = restored["volume_id"].as_str().unwrap();
    assert_eq!(stage.places(new, 2).await, places, "{restored}");
    assert_eq!(content(new), original);
    assert_eq!(stage.shown(&stage.volume).await["status"], "available");
    // The run might come again, if nobody has heard its end.
    assert_eq!(stage.ends(new).await, ["new", "new"]);
    exchange::that_breaks_off_is_gone_on_with(&stage, new, &places).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_said_and_leaves_nothing() {
    let stage = Stage::new("[DEFAULT]\n").await;
    let save = async |more: &[&str]| stage.agent("backup", more).await;
    let nobodys = uuid::Uuid::new_v4().to_string();
    save(&["--cinder-vol-id", &nobodys]).await.fails_with(&[
        "Cinder has no volume",
        &nobodys,
        "check the id",
    ]);
    save(&["--cinder-vol-id", "../volumes"]).await.fails_with(&["Cinder has no volume '../volumes'"]);
    save(&["--cinder-vol-name", "nothing"]).await.fails_with(&["volume named 'nothing'"]);
    let contradiction = ["--cinder-vol-id", &nobodys, "--nova-inst-id", "x"];
    save(&contradiction).await.fails_with(&["cinder_vol_id", "nova_inst_id"]);
    // A volume of another project.
    let other = Project::create().await;
    let theirs = Hands::of(&other).await.volume("theirs", false).await;
    save(&["--cinder-vol-id", &theirs]).await.fails_with(&["Cinder has no volume", &theirs]);
    // Quotas: at the first step, and in the middle.
    let id = ["--cinder-vol-id", stage.volume.as_str()];
    quota(&stage.project, json!({"snapshots": 0})).await;
    save(&id).await.fails_with(&["quota", "snapshot"]);
    quota(&stage.project, json!({"snapshots": 10, "volumes": 1})).await;
    save(&id).await.fails_with(&["quota", "create volume"]);
    assert_eq!(stage.resources().await, ["volumes data"]);
    assert!(!stage.folder.path().join("store/data/image/vm_b").exists());
    stage.agent("restore", &[]).await.fails_with(&["b"]);
}

/// Starts an action and answers it when the project holds a resource of each of `kinds` that is there for the work alone.
async fn under_way(stage: &Stage, (action, more): (&str, &[&str]), kinds: &[&str]) -> std::process::Child {
    let is_reached = async || has_temporary(&stage.hands, kinds).await;
    at_work(stage.command(action, more), &format!("{kinds:?}"), is_reached).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_or_aborted_it_leaves_nothing_for_long() {
    let stage = Stage::new("[DEFAULT]\n").await;
    let backup: (&str, &[&str]) = ("backup", &["--cinder-vol-id", &stage.volume]);
    let steps = [&["snapshots"][..], &["snapshots", "volumes"], &["snapshots", "volumes", "images"]];
    for kinds in steps {
        let mut child = under_way(&stage, backup, kinds).await;
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(stage.resources().await.len() > 1, "something must be there to be found");
    // The next agent finds what the dead ones left.
    stage.next_removes_all_but(&["volumes data".to_owned()]).await;
    // One that is told to stop tidies up itself.
    for kinds in steps {
        let mut child = under_way(&stage, backup, kinds).await;
        kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(143));
        assert_eq!(stage.resources().await, ["volumes data"], "{kinds:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_saves_and_brings_back() {
    let project = Project::create().await;
    let hands = Hands::of(&project).await;
    let volume = hands.volume("data", true).await;
    let original = content(&volume);
    let mut service = Service::of(&project, &hands, CEPH).await;
    let container = format!("saved-{}", random_name());
    for verb in ["backup", "restore"] {
        let (_, run) = service
            .job(json!({
                "action": verb, "mode": "cinder", "cinder_vol_id": volume, "storage": "swift", "container": container,
                "backup_name": "nightly", "incremental": verb == "backup", "restore_name": "again",
            }))
            .await;
        assert_eq!(run["state"], "success", "{run:#}");
    }
    let backups = service.user.get("/backups").await;
    let metadata = &backups["backups"][0]["backup_metadata"];
    assert_eq!(
        (&metadata["mode"], &metadata["cinder_vol_id"]),
        (&"cinder".into(), &volume.clone().into()),
        "{backups}"
    );
    assert_eq!(content(&hands.volume_named("again").await), original);
    adopted::come_back(&service, &container, &["cinder_vol_id", "volume_name"]).await;
    in_the_old_ones_place_once(&mut service, &hands, (&volume, &container)).await;
}

/// By an agent that dies when the server has lost the old volume: the run begins again, and does it once.
async fn in_the_old_ones_place_once(service: &mut Service, hands: &Hands, (volume, container): (&str, &str)) {
    let server = hands.server_with(volume).await;
    let action = json!({
        "action": "restore", "mode": "cinder", "cinder_vol_id": volume, "storage": "swift", "container": container,
        "backup_name": "nightly", "cinder_restore_to": "replace", "restore_name": "instead",
    });
    let job = json!({
        "client_id": service.cloud.client_id, "job_actions": [{"freezer_action": action, "max_retries": 1}],
        "job_schedule": {},
    });
    let made = service.user.post("/jobs", &job).await;
    let shown =
        async |id: &str| hands.cinder(Method::GET, &format!("/volumes/{id}"), None).await.1["volume"].take();
    let end = Instant::now() + PATIENCE;
    while !shown(volume).await["attachments"].as_array().unwrap().is_empty() {
        assert!(Instant::now() < end, "nothing was detached");
        tokio::time::sleep(LOOK).await;
    }
    service.cloud.crash("agent");
    let run = service.user.finished_run(made["job_id"].as_str().unwrap(), 1).await;
    assert!(run["state"] == "success" && run["losses"].as_i64() >= Some(1), "{run:#}");
    // There is one of this name.
    let instead = hands.volume_named("instead").await;
    let step = run["steps"].as_array().unwrap().last().unwrap();
    assert_eq!(step["result"]["restore"]["volume_id"], instead.as_str(), "{run:#}");
    let now = shown(&instead).await;
    assert_eq!(
        (&now["status"], &now["attachments"][0]["server_id"]),
        (&"in-use".into(), &server.into()),
        "{now}"
    );
    assert_eq!(shown(volume).await["status"], "available");
}
