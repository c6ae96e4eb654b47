//! Volumes that Cinder encrypts: what is saved is what is stored, and the key with it; a restored volume opens with its own key.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod cloud;

use cloud::admin::VolumeType;
use cloud::left::goes_with_the_next;
use cloud::one_shot::{CEPH, Said, agent_of, at_work};
use cloud::project::{Hands, Project, content};
use cloud::secrets::Secrets;
use cloud::servers::resources;
use cloud::stage::{PARTIAL, count};
use reqwest::Method;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

const PLAIN: &str = "what nobody may read without the key\n";
const OTHER: &str = "something else, written since\n";

struct Stage {
    project: Project,
    hands: Hands,
    secrets: Secrets,
    folder: tempfile::TempDir,
    volume: String,
}

impl Stage {
    async fn new(kind: &VolumeType, agent_conf: &str) -> Self {
        let project = Project::create().await;
        let (hands, secrets) = (Hands::of(&project).await, Secrets::of(&project).await);
        let volume = hands.volume_of(json!({"name": "data", "size": 1, "volume_type": kind.name})).await;
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("agent.conf"), agent_conf).unwrap();
        std::fs::write(folder.path().join("pass"), "correct horse battery staple\n").unwrap();
        Self { project, hands, secrets, folder, volume }
    }

    fn command(&self, (mode, name): (&str, &str), action: &str, more: &[&str]) -> Command {
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        let mut command = agent_of(&self.project, &self.project.user);
        command.args(["--config-file", &path("agent.conf"), "--action", action, "--mode", mode]);
        command.args(["--storage", "local", "--container", &path("store"), "--backup-name", name]);
        command.args(["--metadata-out", "-"]).args(more);
        command
    }

    /// An action of a mode, whose backups have a name of their own.
    async fn run_in(&self, backup: (&str, &str), action: &str, more: &[&str]) -> Said {
        Said::by(self.command(backup, action, more)).await
    }

    async fn run(&self, action: &str, more: &[&str]) -> Said {
        self.run_in(("cinder", "b"), action, more).await
    }

    fn pass(&self) -> String {
        self.folder.path().join("pass").display().to_string()
    }

    async fn sealed_in(&self, backup: (&str, &str), action: &str, more: &[&str]) -> Said {
        self.run_in(backup, action, &[&["--encrypt-pass-file", &self.pass()], more].concat()).await
    }

    async fn sealed(&self, action: &str, more: &[&str]) -> Said {
        self.sealed_in(("cinder", "b"), action, more).await
    }

    async fn shown(&self, volume: &str) -> Value {
        self.hands.cinder(Method::GET, &format!("/volumes/{volume}"), None).await.1["volume"].take()
    }

    /// Id of the key that Cinder names for a volume.
    async fn key_id(&self, volume: &str) -> String {
        let (_, encryption) =
            self.hands.cinder(Method::GET, &format!("/volumes/{volume}/encryption"), None).await;
        encryption["encryption_key_id"].as_str().unwrap_or_else(|| panic!("{encryption}")).to_owned()
    }

    /// A server that has come up with the volume. Its guest has to hear of what is detached.
    async fn server(&self) -> String {
        let server = self.hands.server_with(&self.volume).await;
        self.hands.booted(&server, 1).await;
        server
    }

    /// Has qemu open a volume with the key that Cinder names for it, to do this.
    async fn qemu_io(&self, volume: &str, order: &str) -> String {
        let key = self.secrets.key(&self.key_id(volume).await).await;
        let key_file = self.folder.path().join("luks");
        let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        std::fs::write(&key_file, hex).unwrap();
        let copy = self.folder.path().join("copy");
        rbd("export", volume, &copy);
        let secret = format!("secret,id=key,file={}", key_file.display());
        let image = format!("driver=luks,key-secret=key,file.driver=file,file.filename={}", copy.display());
        let output = Command::new("qemu-io")
            .args(["--object", &secret, "--image-opts", &image, "-c", order])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        if order.starts_with("write") {
            rbd("import", volume, &copy);
        }
        std::fs::remove_file(&copy).unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Writes the text into the volume as a guest would.
    async fn write(&self, text: &str) {
        let source = self.folder.path().join("text");
        std::fs::write(&source, text.repeat(4096 / text.len() + 1)).unwrap();
        let order = format!("write -s {} 1M 4k", source.display());
        self.qemu_io(&self.volume, &order).await;
    }

    async fn has(&self, volume: &str, text: &str) {
        let said = self.qemu_io(volume, "read -v 1M 64").await;
        let hex: String = text.bytes().take(8).map(|byte| format!("{byte:02x} ")).collect();
        assert!(said.contains(hex.trim_end()), "{hex} in {said}");
    }
}

/// Between a volume in Ceph and a file.
fn rbd(verb: &str, volume: &str, file: &Path) {
    let image = format!("volumes/volume-{volume}");
    let mut command = Command::new("rbd");
    command.args(["-c", "/etc/ceph/ceph.conf", verb, "--no-progress"]);
    match verb {
        "export" => command.arg(&image).arg(file),
        _ => {
            // With what a backup keeps of it for the next one.
            for verb in [&["snap", "purge"][..], &["rm"]] {
                let mut gone = Command::new("rbd");
                gone.args(["-c", "/etc/ceph/ceph.conf"]).args(verb).args(["--no-progress", &image]);
                assert!(gone.output().unwrap().status.success());
            }
            command.arg(file).arg(&image)
        }
    };
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// Restores that end when the key is there which they need for a while. Told to stop, one removes it; killed, the next agent does, and
/// leaves the one that the old volume has. What Cinder copies of a key for a volume that it then cannot make, it does not remove: that
/// has no end, and nobody else can tell it from one that a volume needs. Answers how many there are.
async fn leaves_no_key(stage: &Stage) -> usize {
    let all = async || {
        let ends = stage.secrets.ends().await;
        let keys = ends.iter().filter(|end| !end.is_null()).map(|end| format!("key until {end}"));
        resources(&stage.hands).await.into_iter().chain(keys).collect::<Vec<String>>()
    };
    let before = all().await;
    for signal in [Signal::TERM, Signal::KILL] {
        let pass = stage.pass();
        let more = ["--encrypt-pass-file", pass.as_str(), "--restore-name", "ended"];
        let restoring = stage.command(("cinder", "b"), "restore", &more);
        let is_there = async || stage.secrets.ends().await.iter().any(|end| !end.is_null());
        let mut child = at_work(restoring, "the key", is_there).await;
        kill_process(Pid::from_child(&child), signal).unwrap();
        let code = child.wait().unwrap().code();
        if signal == Signal::TERM {
            assert_eq!((code, all().await), (Some(143), before.clone()));
        }
    }
    assert!(
        stage.secrets.ends().await.iter().any(|end| !end.is_null()),
        "something must be there to be found"
    );
    let nobodys = uuid::Uuid::new_v4().to_string();
    let next = async || {
        stage.run("backup", &["--cinder-vol-id", &nobodys]).await.fails_with(&["no volume"]);
    };
    goes_with_the_next(&before, all, next).await;
    stage.has(&stage.volume, PLAIN).await;
    let copies = stage.secrets.ends().await.len() - 1;
    assert!(copies <= 1, "{copies} keys beside that of the volume");
    copies
}

async fn comes_back(agent_conf: &str, way: &str) {
    let kind = VolumeType::encrypted().await;
    let stage = Stage::new(&kind, agent_conf).await;
    stage.write(PLAIN).await;
    let save = ["--cinder-vol-id", stage.volume.as_str(), "--incremental"];
    // Its key does not go into a backup that anybody can read.
    stage.run("backup", &save).await.fails_with(&["is encrypted by Cinder", "encrypt_pass_file"]);
    assert_eq!(stage.secrets.ends().await, [Value::Null]);
    let full = stage.sealed("backup", &save).await.document();
    assert_eq!((&full["read_through"], &full["encrypted"]), (&way.into(), &true.into()), "{full}");
    assert_eq!(stage.secrets.ends().await, [Value::Null], "keys of copies are gone with them");
    if way == "rbd" {
        let increment = stage.sealed("backup", &save).await.document();
        assert_eq!(increment["curr_backup_level"], 1, "{increment}");
        stage.write(OTHER).await;
        stage.has(&stage.volume, OTHER).await;
        stage.sealed("restore", &["--cinder-restore-to", "over"]).await.document();
        stage.has(&stage.volume, PLAIN).await;
    }
    if way == "glance" {
        let over = stage.sealed("restore", &["--cinder-restore-to", "over"]).await;
        over.fails_with(&["is encrypted", "once more", "into a new volume"]);
        stage.hands.volume_is(&stage.volume, "available").await;
    }
    let copies = leaves_no_key(&stage).await;
    // The key of the old one goes with it.
    let old = stage.shown(&stage.volume).await;
    let was = content(&stage.volume);
    stage.hands.cinder(Method::DELETE, &format!("/volumes/{}", stage.volume), None).await;
    let restored = stage.sealed("restore", &["--restore-name", "again"]).await.document();
    assert!(!restored.to_string().contains("bytes\":\""), "the key is not told: {restored}");
    let new = restored["volume_id"].as_str().unwrap();
    let shown = stage.shown(new).await;
    for key in ["volume_type", "encrypted", "bootable", "metadata", "volume_image_metadata"] {
        assert_eq!(shown[key], old[key], "{key}: {shown}");
    }
    stage.has(new, PLAIN).await;
    if way == "rbd" {
        assert_eq!(shown["size"], old["size"]);
        assert_eq!(content(new), was);
    }
    // The new volume's own, which Cinder made.
    assert_eq!(stage.secrets.ends().await, vec![Value::Null; 1 + copies]);
    stage.hands.volume_is(new, "available").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_encrypted_volume_comes_back_from_the_cluster() {
    comes_back(CEPH, "rbd").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_encrypted_volume_comes_back_through_glance() {
    comes_back("[DEFAULT]\n", "glance").await;
}

/// At a server whose hypervisor opens each with the key that Cinder names for it: it takes no volume with another one's.
async fn takes_the_old_ones_place(agent_conf: &str, way: &str) {
    let kind = VolumeType::encrypted().await;
    let stage = Stage::new(&kind, agent_conf).await;
    let old = stage.volume.as_str();
    stage.write(PLAIN).await;
    let server = stage.server().await;
    let (before, was) = (stage.shown(old).await, content(old));
    let saved = stage.sealed("backup", &["--cinder-vol-id", old]).await.document();
    assert_eq!(saved["read_through"], way, "{saved}");
    let replace = ["--cinder-restore-to", "replace", "--restore-name", "instead"];
    stage.run("restore", &replace).await.fails_with(&["encrypted", "pass phrase"]);
    assert_eq!(stage.shown(old).await["attachments"], before["attachments"]);
    let restored = stage.sealed("restore", &replace).await.document();
    let new = restored["volume_id"].as_str().unwrap();
    stage.hands.volume_is(new, "in-use").await;
    let now = stage.shown(new).await;
    assert_eq!((&now["name"], count(&now, "attachments")), (&"instead".into(), 1), "{now}");
    for key in ["server_id", "device"] {
        assert_eq!(now["attachments"][0][key], before["attachments"][0][key], "{key}: {now}");
    }
    assert_eq!(now["attachments"][0]["server_id"], server.as_str());
    // Nothing tells of the exchange any more, nor of the image that the new one was made of.
    for key in ["volume_type", "encrypted", "bootable", "metadata", "volume_image_metadata"] {
        assert_eq!(now[key], before[key], "{key}: {now}");
    }
    stage.has(new, PLAIN).await;
    // The old one is kept, with its own key.
    stage.hands.volume_is(old, "available").await;
    assert_eq!(content(old), was);
    stage.has(old, PLAIN).await;
    assert_ne!(stage.key_id(new).await, stage.key_id(old).await);
    assert_eq!(stage.secrets.ends().await, [Value::Null, Value::Null]);
    let found = resources(&stage.hands).await;
    assert!(found.len() == 3 && !found.iter().any(|row| row.contains(" freezer_")), "{found:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_encrypted_volume_takes_the_old_ones_place_from_the_cluster() {
    takes_the_old_ones_place(CEPH, "rbd").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_encrypted_volume_takes_the_old_ones_place_through_glance() {
    takes_the_old_ones_place("[DEFAULT]\n", "glance").await;
}

/// What the volume of a restored server is: the old one's likeness, opened by the hypervisor with a key of its own.
async fn is_at_a_server(stage: &Stage, volume: &str) -> String {
    let shown = stage.shown(volume).await;
    assert_eq!((&shown["encrypted"], count(&shown, "attachments")), (&true.into(), 1), "{shown}");
    let server = shown["attachments"][0]["server_id"].as_str().unwrap().to_owned();
    stage.hands.server_is(&server, "ACTIVE").await;
    stage.has(volume, PLAIN).await;
    // The key of the old one went with it, and what was made for the restore is gone.
    assert_eq!(stage.secrets.ends().await, [Value::Null]);
    server
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn encrypted_volumes_come_back_with_servers_and_with_projects() {
    let kind = VolumeType::encrypted().await;
    let stage = Stage::new(&kind, CEPH).await;
    let hands = &stage.hands;
    stage.write(PLAIN).await;
    let server = stage.server().await;
    let before = resources(hands).await;
    // In the clear neither takes the key: the one saves nothing, the other one what is left of the project, and says so.
    let of_server = ["--engine", "nova", "--nova-inst-id", server.as_str()];
    let plain = stage.run_in(("nova", "clear"), "backup", &of_server).await;
    plain.fails_with(&["is encrypted by Cinder", "encrypt_pass_file"]);
    let partial = stage.run_in(("project", "clear"), "backup", &[]).await.document_of(PARTIAL);
    let missing = partial["missing"].as_array().unwrap();
    let is_told = |row: &Value| row["reason"].as_str().unwrap().contains("is encrypted by Cinder");
    assert!(missing.len() == 2 && missing.iter().all(is_told), "{partial:#}");
    assert_eq!(resources(hands).await, before);

    let one = stage.sealed_in(("nova", "one"), "backup", &of_server).await.document();
    let all = stage.sealed_in(("project", "all"), "backup", &[]).await.document();
    assert_eq!((&one["encrypted"], &all["encrypted"]), (&true.into(), &true.into()), "{one} {all}");
    assert_eq!(count(&all, "missing"), 0, "{all:#}");
    assert_eq!(resources(hands).await, before);
    assert_eq!(stage.secrets.ends().await, [Value::Null]);

    hands.delete_server(&server).await;
    hands.clear().await;
    assert!(stage.secrets.ends().await.is_empty());
    let restored = stage.sealed_in(("nova", "one"), "restore", &["--engine", "nova"]).await.document();
    assert_eq!(restored["missing"], json!([]), "{restored}");
    let new = restored["volumes"][&stage.volume].as_str().unwrap();
    let server = is_at_a_server(&stage, new).await;
    assert_eq!(restored["server_id"], server.as_str(), "{restored}");

    hands.delete_server(&server).await;
    hands.clear().await;
    let restored = stage.sealed_in(("project", "all"), "restore", &[]).await.document();
    assert_eq!((count(&restored, "failed"), count(&restored, "notes")), (0, 0), "{restored:#}");
    is_at_a_server(&stage, &hands.volume_named("data").await).await;
}
