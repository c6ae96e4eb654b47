//! One job onto several storages, by the agent's program and by the service: a local folder, Swift and a host reached by SSH, one of
//! which is full, or unknown, or damaged.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod cloud;

use cloud::ground::Ground;
use cloud::one_shot::Said;
use cloud::{Cloud, Login, User, login, remove_container};
use freezer_testkit::{noise, program, random_name, services};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

fn variable(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}

fn ssh(folder: &Path) -> Value {
    let address = variable("FREEZER_TEST_SSH", "127.0.0.1:2222");
    let (host, port) = address.rsplit_once(':').unwrap();
    json!({"storage": "ssh", "container": folder, "ssh_host": host, "ssh_port": port, "ssh_username": variable("FREEZER_TEST_SSH_USER", "root"),
        "ssh_key": variable("FREEZER_TEST_SSH_KEY", "/var/lib/minicloud/ssh/id_ed25519"),
        "ssh_known_hosts": variable("FREEZER_TEST_SSH_KNOWN_HOSTS", "/var/lib/minicloud/ssh/known_hosts")})
}

/// A disk of its own, too small for the backup.
struct Disk(PathBuf);

impl Disk {
    fn small(folder: &Path) -> Self {
        std::fs::create_dir(folder).unwrap();
        let mut mount = Command::new("mount");
        let done = mount.args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(folder).status().unwrap();
        assert!(done.success(), "a tmpfs cannot be mounted; run the tests as root");
        Self(folder.to_path_buf())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

/// Where a test works, and its container.
struct Room {
    work: tempfile::TempDir,
    container: String,
    demo: Login,
}

impl Room {
    async fn new() -> Self {
        let work = tempfile::tempdir().unwrap();
        std::fs::create_dir(work.path().join("source")).unwrap();
        let room =
            Self { work, container: format!("mirror-{}", random_name()), demo: login("demo", "demo").await };
        room.write("big", &noise(1, 3_000_000));
        room
    }
    fn path(&self, name: &str) -> PathBuf {
        self.work.path().join(name)
    }
    fn write(&self, name: &str, content: &[u8]) {
        std::fs::write(self.path("source").join(name), content).unwrap();
    }
    fn storages(&self) -> [Value; 3] {
        let local = json!({"storage": "local", "container": self.path("near")});
        [local, json!({"storage": "swift", "container": self.container}), ssh(&self.path("far"))]
    }
    /// The agent with a job file that has a section for each of these storages.
    async fn agent(&self, storages: &[Value], arguments: &[&str]) -> Said {
        let mut text =
            "[action]\nhostname = h\nbackup_name = b\nmax_segment_size = 1048576\ncompression = none\n"
                .to_owned();
        for (number, storage) in storages.iter().enumerate() {
            text.push_str(&format!("[storage:number{number}]\n"));
            for (key, value) in storage.as_object().unwrap() {
                text.push_str(&format!("{key} = {}\n", value.as_str().unwrap()));
            }
        }
        let file = self.path("job.conf");
        std::fs::write(&file, text).unwrap();
        let mut command = Command::new(program("freezer-agent"));
        command.env_clear().envs([
            ("PATH", "/usr/bin:/bin"),
            ("HOME", "/nonexistent"),
            ("OS_AUTH_URL", services::keystone_url().as_str()),
            ("OS_USERNAME", "demo"),
            ("OS_PASSWORD", services::password().as_str()),
            ("OS_PROJECT_NAME", "demo"),
            ("OS_USER_DOMAIN_ID", "default"),
            ("OS_PROJECT_DOMAIN_ID", "default"),
        ]);
        command.arg("--config").arg(file).args(["--metadata-out", "-"]).args(arguments);
        Said::by(command).await
    }
    async fn save(&self, storages: &[Value]) -> Said {
        let source = self.path("source");
        let backup = ["--action", "backup", "--incremental", "--path-to-backup", source.to_str().unwrap()];
        self.agent(storages, &backup).await
    }
    /// A restore gives back the source as it is now.
    async fn comes_back(&self, storages: &[Value], target: &str) -> Said {
        let target = self.path(target);
        let said = self
            .agent(storages, &["--action", "restore", "--restore-abs-path", target.to_str().unwrap()])
            .await;
        assert!(matches!(said.status, Some(0 | 3)), "{}{}", said.out, said.err);
        let same = Command::new("diff").arg("-r").args([self.path("source"), target]).status().unwrap();
        assert!(same.success());
        said
    }
}

fn kinds(record: &Value, key: &str) -> Vec<String> {
    let listed = record[key].as_array().cloned().unwrap_or_default();
    listed.iter().map(|place| place["storage"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_storages_have_the_same() {
    let room = Room::new().await;
    let storages = room.storages();
    for level in 0..2 {
        let record = room.save(&storages).await.document();
        assert_eq!(record["curr_backup_level"], level, "{record}");
        assert_eq!(kinds(&record, "storages"), ["local", "swift", "ssh"]);
        assert_eq!((&record["storage"], &record["storages_failed"]), (&json!("local"), &Value::Null));
        room.write("more", b"worth saving too\n");
    }
    std::fs::remove_file(room.path("source/more")).unwrap();
    room.save(&storages).await.document();
    // Each by itself, and without the list.
    for (index, storage) in storages.iter().enumerate() {
        room.comes_back(std::slice::from_ref(storage), &format!("back-{index}")).await;
    }
    let verified = room.agent(&storages, &["--action", "verify"]).await.document();
    assert_eq!(kinds(&verified, "storages"), ["local", "swift", "ssh"], "{verified}");
    // A full backup; the chain before it goes from all of them.
    let source = room.path("source");
    let full = ["--action", "backup", "--path-to-backup", source.to_str().unwrap()];
    assert_eq!(room.agent(&storages, &full).await.document()["curr_backup_level"], 0);
    room.agent(&storages, &["--action", "admin", "--keep-last", "1"]).await.document();
    let info = room.agent(&storages, &["--action", "info"]).await.document();
    for storage in info["storages"].as_array().unwrap() {
        assert_eq!(storage["result"]["info"]["backups"].as_array().unwrap().len(), 1, "{info}");
    }
    remove_container(&room.demo, &room.container).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_full_is_reported_and_the_others_are_complete() {
    let room = Room::new().await;
    let disk = Disk::small(&room.path("small"));
    let [near, swift, _] = room.storages();
    let storages = [ssh(&disk.0.join("store")), near.clone(), swift.clone()];
    let said = room.save(&storages).await;
    let record = said.document_of(3);
    assert_eq!(kinds(&record, "storages"), ["local", "swift"], "{record}");
    assert_eq!(kinds(&record, "storages_failed"), ["ssh"]);
    assert!(record["storages_failed"][0]["failure"].as_str().unwrap().contains("no room left"), "{record}");
    // It can be restored from where the record says.
    assert_eq!((&record["storage"], &record["container"]), (&near["storage"], &near["container"]));
    assert_eq!(record["ssh_host"], "");
    let restored = room.comes_back(&storages, "back").await;
    assert!(restored.out.contains("\"local\""), "{}", restored.out);
    room.comes_back(std::slice::from_ref(&swift), "back-swift").await;
    // One that cannot be reached, or does not know this user, is no more than that either.
    drop(disk);
    let unknown = {
        let mut unknown = ssh(&room.path("far"));
        unknown["ssh_key"] = json!("/nonexistent");
        unknown
    };
    room.write("more", b"worth saving too\n");
    let record = room.save(&[unknown.clone(), near.clone(), swift.clone()]).await.document_of(3);
    assert_eq!(
        (&record["curr_backup_level"], kinds(&record, "storages_failed")),
        (&json!(1), vec!["ssh".to_owned()])
    );
    room.save(&[unknown.clone(), json!({"storage": "local", "container": "relative"})]).await.fails_with(&[
        "ssh",
        "/nonexistent",
        "relative",
    ]);
    remove_container(&room.demo, &room.container).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_takes_the_newest_state_and_says_from_where() {
    let room = Room::new().await;
    let near = json!({"storage": "local", "container": room.path("near")});
    let far = ssh(&room.path("far"));
    let both = [near.clone(), far.clone()];
    room.save(&both).await.document();
    room.write("more", b"on the second alone\n");
    room.save(std::slice::from_ref(&far)).await.document();
    let said = room.comes_back(&both, "newest").await.document();
    assert_eq!(said["restored_from"]["storage"], "ssh", "{said}");
    // It is not a backup any more without its manifest: both hold the same then, and the first counts.
    let level = Command::new("find")
        .arg(room.path("far"))
        .args(["-path", "*/1_*/manifest", "-delete", "-print"])
        .output()
        .unwrap();
    assert!(!level.stdout.is_empty());
    let target = room.path("older");
    let arguments = ["--action", "restore", "--restore-abs-path", target.to_str().unwrap()];
    let older = room.agent(&both, &arguments).await.document();
    assert_eq!(older["restored_from"]["storage"], "local", "{older}");
    assert!(!target.join("more").exists());
    // One that is gone is passed over.
    std::fs::rename(room.path("near"), room.path("elsewhere")).unwrap();
    let target = room.path("passed");
    let arguments = ["--action", "restore", "--restore-abs-path", target.to_str().unwrap()];
    let passed = room.agent(&both, &arguments).await.document();
    assert_eq!(passed["restored_from"]["storage"], "ssh", "{passed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pin_is_on_each_of_them_and_adoption_knows_one_backup_once() {
    let room = Room::new().await;
    let [near, _, far] = room.storages();
    let both = [near.clone(), far.clone()];
    let source = room.path("source");
    let full = ["--action", "backup", "--path-to-backup", source.to_str().unwrap()];
    let rotate = ["--action", "admin", "--keep-last", "1"];
    let counts = async || {
        let info = room.agent(&both, &["--action", "info"]).await.document();
        let storages = info["storages"].as_array().unwrap().clone();
        let count = |one: &Value| one["result"]["info"]["backups"].as_array().unwrap().len();
        storages.iter().map(count).collect::<Vec<_>>()
    };
    room.agent(&both, &full).await.document();
    let held = room.agent(&both, &["--action", "hold", "--hold-reason", "case 17"]).await.document();
    assert_eq!(kinds(&held, "storages"), ["local", "ssh"], "{held}");
    room.agent(&both, &full).await.document();
    room.agent(&both, &rotate).await.document();
    assert_eq!(counts().await, [2, 2], "held on both");
    // Let go on one alone, it goes there alone.
    room.agent(std::slice::from_ref(&far), &["--action", "release"]).await.document();
    room.agent(&both, &rotate).await.document();
    assert_eq!(counts().await, [2, 1]);
    let adopted = room.agent(&both, &["--action", "adopt"]).await.document();
    let mut records = adopted["adopted_backups"].as_array().unwrap().clone();
    records.sort_by_key(|record| record["time_stamp"].as_i64());
    let places: Vec<_> = records.iter().map(|record| kinds(record, "storages")).collect();
    assert_eq!(places, [vec!["local"], vec!["local", "ssh"]], "{adopted:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_record_follows_its_storages() {
    let room = Room::new().await;
    let ground = Ground::new();
    let parts = ground.parts(&room.demo.project_id, ("demo", "demo"));
    let cloud = Cloud::start(room.work.path(), &parts);
    let user = User::new(cloud.api_port, &room.demo);
    cloud.wait_for_agent(&user).await;
    let disk = Disk::small(&room.path("small"));
    let small = json!({"storage": "local", "container": disk.0.join("store")});
    let [near, _, far] = room.storages();
    let run = async |storages: Value, more: Value| {
        let mut action =
            json!({"mode": "fs", "backup_name": "b", "compression": "none", "storages": storages});
        action.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let job = json!({"description": "mirror", "client_id": cloud.client_id, "job_schedule": {},
            "job_actions": [{"freezer_action": action, "max_retries": 0}]});
        let created = user.post("/jobs", &job).await;
        user.finished_run(created["job_id"].as_str().unwrap(), 1).await
    };
    let backup = json!({"action": "backup", "path_to_backup": room.path("source")});
    let saved = run(json!([small, near, far]), backup.clone()).await;
    assert_eq!(saved["state"], "partial", "{saved:#}");
    let failed = &saved["steps"][0]["result"]["storages_failed"][0];
    assert!(failed["failure"].as_str().unwrap().contains("no room left"), "{saved:#}");
    let records = async || user.get("/backups?limit=100").await["backups"].as_array().unwrap().clone();
    let record = records().await[0]["backup_metadata"].clone();
    assert_eq!(
        (kinds(&record, "storages"), &record["container"]),
        (vec!["local".into(), "ssh".into()], &near["container"])
    );
    // A newer backup, and the first one is rotated away: from one of its storages, then from both.
    assert_eq!(run(json!([near, far]), backup).await["state"], "success");
    let rotation = json!({"action": "admin", "keep_last": 1});
    let rotated = run(json!([near]), rotation.clone()).await;
    assert_eq!(rotated["state"], "success", "{rotated:#}");
    let old = records().await.into_iter().map(|record| record["backup_metadata"].clone());
    let old = old.min_by_key(|metadata| metadata["time_stamp"].as_i64()).unwrap();
    assert_eq!(
        (kinds(&old, "storages"), &old["storage"], &old["ssh_host"]),
        (vec!["ssh".into()], &json!("ssh"), &far["ssh_host"])
    );
    let rotated = run(json!([near, far]), rotation).await;
    assert_eq!(rotated["state"], "success", "{rotated:#}");
    let left = records().await;
    assert_eq!(left.len(), 1, "{left:#?}");
    assert_eq!(kinds(&left[0]["backup_metadata"], "storages"), ["local", "ssh"]);
    drop(disk);
}
