//! Mode mongo against a recorded peer: programs in the place of `mongodump` and `mongorestore` that check how they are called, and answer
//! as their sources say. No server was at hand.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use freezer_testkit::adopted::as_told;
use freezer_testkit::{Said, archive_files};
use serde_json::Value;
use std::path::{Path, PathBuf};

const PASSWORD: &str = "se\"cret: #7";

struct Scene {
    folder: tempfile::TempDir,
}

impl Scene {
    fn new(how: &str) -> Self {
        let scene = Self { folder: tempfile::tempdir().unwrap() };
        std::fs::create_dir(scene.at("peer")).unwrap();
        std::fs::create_dir(scene.at("tmp")).unwrap();
        scene.how(how);
        scene.conf("uri = mongodb://backup@db1,db2/?replicaSet=rs0", 0o600);
        scene
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn how(&self, how: &str) {
        std::fs::write(self.at("peer/how"), how).unwrap();
    }

    fn conf(&self, lines: &str, mode: u32) {
        let text = format!("[default]\n{lines}\npassword = {PASSWORD}\n");
        std::fs::write(self.at("mongo.conf"), text).unwrap();
        std::fs::set_permissions(self.at("mongo.conf"), std::os::unix::fs::PermissionsExt::from_mode(mode))
            .unwrap();
    }

    async fn agent(&self, arguments: &[&str]) -> Said {
        let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers");
        let path = format!("{}:/usr/bin:/bin", peers.display());
        let (peer, tmp) = (self.at("peer").display().to_string(), self.at("tmp").display().to_string());
        let around = [("PATH", path.as_str()), ("PEER", peer.as_str()), ("TMPDIR", tmp.as_str())];
        let said = Said::by_agent("mongo", &self.at("store"), &around, arguments).await;
        assert!(!said.out.contains(PASSWORD) && !said.err.contains(PASSWORD), "{}{}", said.out, said.err);
        assert_eq!(names(&self.at("tmp")), [""; 0], "nothing is left behind");
        said
    }

    async fn backup(&self) -> Said {
        let conf = self.at("mongo.conf").display().to_string();
        self.agent(&["--action", "backup", "--mongo-conf", &conf]).await
    }

    async fn load(&self, more: &[&str]) -> Said {
        let (conf, target) =
            (self.at("mongo.conf").display().to_string(), self.at("stage").display().to_string());
        let what = [
            "--action",
            "restore",
            "--load-into-server",
            "--mongo-conf",
            &conf,
            "--restore-abs-path",
            &target,
        ];
        let said = self.agent(&[&what[..], more].concat()).await;
        assert_eq!(names(&self.at("stage")), [""; 0], "nothing is left behind");
        said
    }

    /// What the programs were called with; none of it but the configuration has the password.
    fn calls(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.at("peer/calls")).unwrap();
        let calls: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        for call in &calls {
            assert!(
                !call["argv"].to_string().contains("cret") && !call["environ"].to_string().contains("cret"),
                "{call}"
            );
            assert!(!call["argv"].to_string().contains("db1"), "{call}");
            assert_eq!(call["config"]["password"], PASSWORD);
        }
        calls
    }
}

fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[tokio::test]
async fn a_dump_with_its_oplog_comes_back() {
    let scene = Scene::new("ok");
    let saved = scene.backup().await.document();
    assert_eq!((&saved["mode"], &saved["is_partial"]), (&"mongo".into(), &false.into()), "{saved}");
    let listed = scene.agent(&["--action", "info"]).await.document();
    assert!(listed.to_string().contains("h_db"), "{listed}");
    scene.agent(&["--action", "verify"]).await.document();
    as_told(&scene.agent(&["--action", "adopt"]).await.document(), &[&saved], &[]);

    // As files.
    let target = scene.at("files");
    scene
        .agent(&["--action", "restore", "--restore-abs-path", &target.display().to_string()])
        .await
        .document();
    let dumped = std::fs::read(scene.at("peer/dumped")).unwrap();
    let mut parts = names(&target.join("mongo"));
    parts.sort();
    let read = |name: &String| std::fs::read(target.join("mongo").join(name)).unwrap();
    assert!(parts.len() > 1 && parts.iter().flat_map(read).collect::<Vec<u8>>() == dumped);
    let told: Value = serde_json::from_slice(&std::fs::read(target.join("mongo.json")).unwrap()).unwrap();
    assert_eq!(told["oplog_start"], serde_json::json!({"seconds": 1_764_000_000, "ordinal": 3}), "{told}");
    assert_eq!(told["oplog_end"], serde_json::json!({"seconds": 1_764_000_007, "ordinal": 1}), "{told}");
    assert_eq!(told["collections"], 2, "{told}");

    // Into a server.
    scene.load(&[]).await.document();
    assert!(std::fs::read(scene.at("peer/loaded")).unwrap() == dumped);
    let late = ["--replace-databases", "--recovery-target-oplog", "1764000009"];
    scene.load(&late).await.document();
    let calls = scene.calls();
    let argv: Vec<&Value> = calls.iter().map(|call| &call["argv"]).collect();
    assert_eq!(*argv[0], serde_json::json!(["--config=/dev/stdin", "--archive", "--oplog"]));
    assert_eq!(*argv[1], serde_json::json!(["--archive", "--stopOnError", "--oplogReplay"]));
    let wanted = serde_json::json!([
        "--archive",
        "--stopOnError",
        "--oplogReplay",
        "--oplogLimit=1764000009:0",
        "--drop"
    ]);
    assert_eq!(*argv[2], wanted);
    assert_eq!(calls[1]["modes"], serde_json::json!([0o600, 0o700]));
    assert_eq!(calls[0]["config"]["uri"], "mongodb://backup@db1,db2/?replicaSet=rs0");
}

#[tokio::test]
async fn what_is_not_whole_is_no_backup() {
    let scene = Scene::new("broken");
    scene.backup().await.fails_with(&["socket was unexpectedly closed", "nothing was stored"]);
    scene.how("cut");
    scene.backup().await.fails_with(&["the archive ends too early", "nothing was stored"]);
    scene.how("garbage");
    scene.backup().await.fails_with(&["no archive of mongodump", "nothing was stored"]);
    scene.how("standalone");
    scene.backup().await.fails_with(&[
        "error getting oplog start",
        "replica set",
        "oplog=false",
        "nothing was stored",
    ]);
    scene.conf("uri = mongodb://nobody/", 0o600);
    scene.backup().await.fails_with(&["failed to connect to ***"]);
    scene.conf("uri = mongodb://db\ndump_program = mongodump-that-is-not-there", 0o600);
    scene.backup().await.fails_with(&["cannot start mongodump-that-is-not-there"]);
    assert_eq!(archive_files(&scene.at("store")), [""; 0], "nothing is left behind");
}

#[tokio::test]
async fn a_server_alone_is_saved_when_that_is_asked_for() {
    let scene = Scene::new("standalone");
    scene.conf("uri = mongodb://db\noplog = false", 0o600);
    let said = scene.backup().await;
    assert!(said.err.contains("each collection is as of the time when it was read"), "{}", said.err);
    said.document();
    scene.load(&["--recovery-target-oplog", "5"]).await.fails_with(&["without an oplog"]);
    scene.load(&[]).await.document();
    assert_eq!(scene.calls().last().unwrap()["argv"], serde_json::json!(["--archive", "--stopOnError"]));
}

#[tokio::test]
async fn a_server_that_does_not_take_all_is_told() {
    let scene = Scene::new("ok");
    scene.backup().await.document();
    for (how, words) in [
        ("away", &["could not connect to server", "not all is loaded"][..]),
        ("duplicate", &["duplicate key", "replace_databases"][..]),
        ("lenient", &["could not restore 3 documents"][..]),
    ] {
        scene.how(how);
        scene.load(&[]).await.fails_with(words);
    }
    scene.load(&["--recovery-target-oplog", "1764000000:3"]).await.fails_with(&["older one"]);
    scene.how("ok");
    let said = scene.load(&["--recovery-target-oplog", "1764000003"]).await;
    assert!(said.document().to_string().contains("as of one time only from 1764000007:1 on"), "{}", said.out);
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused() {
    let scene = Scene::new("ok");
    scene.conf("uri = mongodb://db", 0o644);
    scene.backup().await.fails_with(&["mongo.conf", "chmod 600"]);
    scene.conf("url = mongodb://db", 0o600);
    scene.backup().await.fails_with(&["'url' is none of"]);
    scene.conf("uri = http://db", 0o600);
    scene.backup().await.fails_with(&["mongodb+srv://"]);
    scene.agent(&["--action", "backup"]).await.fails_with(&["mongo_conf"]);
    scene
        .agent(&["--action", "restore", "--load-into-server", "--restore-abs-path", "/x"])
        .await
        .fails_with(&["mongo_conf"]);
    let conf = scene.at("mongo.conf").display().to_string();
    scene
        .agent(&["--action", "backup", "--incremental", "--mongo-conf", &conf])
        .await
        .fails_with(&["saved whole"]);
    scene
        .agent(&["--action", "restore", "--restore-abs-path", "/x", "--replace-databases"])
        .await
        .fails_with(&["load_into_server"]);
    assert!(!scene.at("peer/calls").exists(), "nobody was asked");
}

#[tokio::test]
async fn each_of_several_storages_has_the_dump() {
    let scene = Scene::new("ok");
    let place = |name: &str| serde_json::json!({"storage": "local", "container": scene.at(name)});
    let both = serde_json::json!([place("one"), place("two")]).to_string();
    let conf = scene.at("mongo.conf").display().to_string();
    let saved =
        scene.agent(&["--action", "backup", "--mongo-conf", &conf, "--storages", &both]).await.document();
    assert_eq!(saved["storages"].as_array().unwrap().len(), 2, "{saved}");
    for name in ["one", "two"] {
        let alone = serde_json::json!([place(name)]).to_string();
        scene.load(&["--storages", &alone]).await.document();
        let read = |name: &str| std::fs::read(scene.at(name)).unwrap();
        assert!(read("peer/loaded") == read("peer/dumped"), "{name}");
        std::fs::remove_file(scene.at("peer/loaded")).unwrap();
    }
}
