//! Mode sqlserver against a recorded peer: a program in the place of `sqlcmd` that checks how it is called, and does with a pretended server
//! what Microsoft's documentation says of the statements. No server was at hand.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use freezer_testkit::adopted::as_told;
use freezer_testkit::{Said, archive_files};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

const PASSWORD: &str = "se'cret; #7";
/// Exit status of an action that saved something, but not everything.
const EXIT_PARTIAL: i32 = 3;
/// What a name may hold.
const NAME: &str = "it's [a] $(b)";

struct Scene {
    folder: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let scene = Self { folder: tempfile::tempdir().unwrap() };
        for folder in ["share", "tmp"] {
            std::fs::create_dir(scene.at(folder)).unwrap();
        }
        let databases = [database("bank", &[1, 2]), database(NAME, &[3])];
        scene.server("old", &json!(databases));
        scene.server("new", &json!([]));
        scene.conf("");
        scene
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn server(&self, peer: &str, databases: &Value) {
        std::fs::create_dir_all(self.at(peer)).unwrap();
        std::fs::write(self.at(peer).join("how"), "ok").unwrap();
        let server = json!({"name": "SQL1", "address": "sql1\\PROD", "password": PASSWORD, "folder": "\\\\files\\freezer",
            "folder_here": self.at("share"), "lsn": 1000, "history": [], "databases": databases});
        std::fs::write(self.at(peer).join("server.json"), server.to_string()).unwrap();
    }

    fn look(&self, peer: &str) -> Value {
        serde_json::from_slice(&std::fs::read(self.at(peer).join("server.json")).unwrap()).unwrap()
    }

    fn change(&self, change: impl FnOnce(&mut Value)) {
        let mut server = self.look("old");
        change(&mut server);
        std::fs::write(self.at("old/server.json"), server.to_string()).unwrap();
    }

    /// A row that comes now, by the server's own clock, two hours before Greenwich.
    fn write(&self, value: u64) {
        let now = chrono::DateTime::from_timestamp(now() + 7200, 0).unwrap().format("%Y-%m-%dT%H:%M:%S");
        self.change(|server| {
            let lsn = server["lsn"].as_u64().unwrap() + 1;
            server["lsn"] = lsn.into();
            let rows = server["databases"][0]["rows"].as_array_mut().unwrap();
            rows.push(json!({"lsn": lsn, "time": now.to_string(), "value": value}));
        });
    }

    fn how(&self, how: &str) {
        for peer in ["old", "new"] {
            std::fs::write(self.at(peer).join("how"), how).unwrap();
        }
    }

    fn conf(&self, more: &str) {
        let text = format!(
            "[default]\ninstance = PROD\nhost = sql1\nuser = backup\npassword = {PASSWORD}\nfolder = \\\\files\\freezer\nagent_folder = {}\n{more}\n",
            self.at("share").display()
        );
        std::fs::write(self.at("sql.conf"), text).unwrap();
        std::fs::set_permissions(self.at("sql.conf"), std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .unwrap();
    }

    async fn agent(&self, peer: &str, arguments: &[&str]) -> Said {
        let path = peers_first();
        let (peer, tmp) = (self.at(peer).display().to_string(), self.at("tmp").display().to_string());
        let around = [
            ("PATH", path.as_str()),
            ("PEER", peer.as_str()),
            ("TMPDIR", tmp.as_str()),
            // Not for the agent's server.
            ("SQLCMDSERVER", "elsewhere"),
        ];
        let said = Said::by_agent("sqlserver", &self.at("store"), &around, arguments).await;
        assert!(!said.out.contains("cret") && !said.err.contains("cret"), "{}{}", said.out, said.err);
        assert_eq!(names(&self.at("share")), [""; 0], "nothing is left in the shared folder");
        said
    }

    async fn backup(&self, more: &[&str]) -> Said {
        let conf = self.at("sql.conf").display().to_string();
        self.agent("old", &[&["--action", "backup", "--sql-server-conf", &conf][..], more].concat()).await
    }

    async fn load(&self, more: &[&str]) -> Said {
        let conf = self.at("sql.conf").display().to_string();
        let what = ["--action", "restore", "--load-into-server", "--sql-server-conf", &conf];
        self.agent("new", &[&what[..], more].concat()).await
    }

    /// The statements of all calls; nothing but one variable has the password.
    fn statements(&self, peer: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.at(peer).join("calls")).unwrap();
        let calls: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        for call in &calls {
            assert!(!call.to_string().contains("cret") && !call.to_string().contains("elsewhere"), "{call}");
        }
        calls
            .iter()
            .map(|call| call["argv"].as_array().unwrap().last().unwrap().as_str().unwrap().to_owned())
            .collect()
    }
}

fn peers_first() -> String {
    format!("{}:/usr/bin:/bin", Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers").display())
}

fn database(name: &str, values: &[u64]) -> Value {
    let rows: Vec<Value> = values
        .iter()
        .map(|value| json!({"lsn": 900, "time": "2026-01-01T00:00:00", "value": value}))
        .collect();
    json!({"name": name, "state": "ONLINE", "model": "FULL", "log_lsn": 990, "fork": "F-1", "rows": rows})
}

/// The values of a database that works.
fn values(server: &Value, name: &str) -> Vec<u64> {
    let found = server["databases"].as_array().unwrap().iter().find(|it| it["name"] == name).unwrap();
    assert_eq!(found["state"], "ONLINE", "{found}");
    found["rows"].as_array().unwrap().iter().map(|row| row["value"].as_u64().unwrap()).collect()
}

fn names(folder: &Path) -> Vec<String> {
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64
}

/// Times have whole seconds: this one begins a second.
fn after(time: i64) {
    while now() <= time {
        std::thread::yield_now();
    }
}

#[tokio::test]
async fn databases_and_their_logs_come_back_at_any_moment() {
    let scene = Scene::new();
    let base = scene.backup(&["--incremental"]).await.document();
    let began = base["time_stamp"].as_i64().unwrap();
    after(began);
    scene.write(10);
    let moment = now();
    after(moment);
    scene.write(11);
    let log = scene.backup(&["--incremental"]).await.document();
    assert_eq!(
        (&base["curr_backup_level"], &log["curr_backup_level"]),
        (&0.into(), &1.into()),
        "{base} {log}"
    );
    scene.write(12);
    let last = scene.backup(&["--incremental"]).await.document();
    assert_eq!((&last["curr_backup_level"], &last["mode"]), (&2.into(), &"sqlserver".into()), "{last}");
    scene.agent("old", &["--action", "verify"]).await.document();
    let listed = scene.agent("old", &["--action", "info"]).await.document();
    assert!(listed.to_string().contains("h_db"), "{listed}");
    as_told(&scene.agent("old", &["--action", "adopt"]).await.document(), &[&base, &log, &last], &[]);

    scene.load(&[]).await.document();
    let new = scene.look("new");
    assert_eq!((values(&new, "bank"), values(&new, NAME)), (vec![1, 2, 10, 11, 12], vec![3]));
    scene.load(&[]).await.fails_with(&["has a database bank already", "replace_databases"]);
    let time = chrono::DateTime::from_timestamp(moment, 0).unwrap().format("%Y-%m-%dT%H:%M:%SZ").to_string();
    scene.conf("data_folder = D:\\data\nnames = bank");
    scene.load(&["--replace-databases", "--restore-from-date", &time]).await.document();
    let new = scene.look("new");
    assert_eq!(values(&new, "bank"), [1, 2, 10]);
    let bank = new["databases"].as_array().unwrap().iter().find(|it| it["name"] == "bank").unwrap();
    assert!(bank["moves"][0][1].as_str().unwrap().starts_with("D:\\data\\bank-"), "{bank}");

    let target = scene.at("files").display().to_string();
    scene.agent("new", &["--action", "restore", "--restore-abs-path", &target]).await.document();
    let folders = names(&scene.at("files/databases"));
    let folder = folders.iter().find(|name| name.starts_with("bank-")).unwrap();
    assert_eq!(
        names(&scene.at("files/databases").join(folder)).len(),
        3,
        "one of the database, two of its log"
    );
    let statements = scene.statements("old");
    let quoted = "BACKUP DATABASE [it's [a]] $(b)] TO DISK = N'\\\\files\\freezer\\freezer-";
    assert!(
        statements.iter().any(|statement| statement.contains(quoted) && statement.contains("WITH COPY_ONLY"))
    );
    scene.statements("new");
}

#[tokio::test]
async fn each_of_several_storages_has_the_databases() {
    let scene = Scene::new();
    let place = |name: &str| json!({"storage": "local", "container": scene.at(name)});
    let both = json!([place("one"), place("two")]).to_string();
    for (level, value) in [(0, 10), (1, 11)] {
        scene.write(value);
        let saved = scene.backup(&["--incremental", "--storages", &both]).await.document();
        assert_eq!(saved["curr_backup_level"], level, "{saved}");
        assert_eq!(saved["storages"].as_array().unwrap().len(), 2, "{saved}");
    }
    for name in ["one", "two"] {
        scene.server("new", &json!([]));
        let alone = json!([place(name)]).to_string();
        scene.load(&["--storages", &alone]).await.document();
        assert_eq!(values(&scene.look("new"), "bank"), [1, 2, 10, 11], "{name}");
    }
}

#[tokio::test]
async fn a_log_with_a_gap_begins_a_new_chain() {
    let scene = Scene::new();
    let level =
        async || scene.backup(&["--incremental"]).await.document()["curr_backup_level"].as_u64().unwrap();
    assert_eq!((level().await, level().await), (0, 1));
    // Somebody else backs up the log.
    scene.change(|server| {
        server["lsn"] = 5000.into();
        server["databases"][0]["log_lsn"] = 5000.into();
    });
    assert_eq!((level().await, level().await), (0, 1));
    scene.change(|server| server["databases"][0]["fork"] = "F-2".into());
    assert_eq!((level().await, level().await), (0, 1));
    scene.change(|server| server["databases"].as_array_mut().unwrap().push(database("third", &[])));
    assert_eq!(level().await, 0);
    // A dry run ends no part of a log.
    let before = scene.look("old");
    scene.backup(&["--incremental", "--dry-run"]).await.document();
    assert_eq!(scene.look("old"), before);
    assert_eq!(level().await, 1);
}

#[tokio::test]
async fn a_backup_that_fails_leaves_nothing() {
    let scene = Scene::new();
    for (how, words) in [
        ("full", &["There is not enough space on the disk", "nothing was stored"][..]),
        ("verify", &["not a valid Microsoft Tape Format", "nothing was stored"][..]),
        ("history", &["msdb.dbo.backupset", "nothing was stored"][..]),
    ] {
        scene.how(how);
        scene.backup(&[]).await.fails_with(words);
    }
    scene.how("ok");
    let changed =
        |key: &'static str, value: Value| scene.change(|server| server["databases"][0][key] = value);
    changed("model", "SIMPLE".into());
    scene.backup(&["--incremental"]).await.fails_with(&["bank", "SIMPLE", "exclude"]);
    changed("model", "FULL".into());
    changed("log_lsn", Value::Null);
    scene.backup(&["--incremental"]).await.fails_with(&["bank", "copy_only=false"]);
    scene.conf("program = sqlcmd-that-is-not-there");
    scene.backup(&[]).await.fails_with(&["cannot start sqlcmd-that-is-not-there"]);
    scene.conf("names = bank,gone");
    scene.backup(&[]).await.fails_with(&["no database gone"]);
    scene.conf("password = wrong-secret");
    scene.backup(&[]).await.fails_with(&["Login failed", "***"]);
    assert_eq!(archive_files(&scene.at("store")), [""; 0], "nothing is left behind");
    scene.conf("copy_only = false");
    let level =
        async || scene.backup(&["--incremental"]).await.document()["curr_backup_level"].as_u64().unwrap();
    assert_eq!((level().await, level().await), (0, 1));
}

#[test]
fn an_abort_leaves_nothing_in_the_shared_folder() {
    let scene = Scene::new();
    scene.how("hang");
    let mut command = std::process::Command::new(freezer_testkit::program("freezer-agent"));
    command.env("PATH", peers_first()).env("PEER", scene.at("old"));
    command.args([
        "--action",
        "backup",
        "--mode",
        "sqlserver",
        "--storage",
        "local",
        "--hostname",
        "h",
        "--backup-name",
        "db",
    ]);
    command.arg("--container").arg(scene.at("store")).arg("--sql-server-conf").arg(scene.at("sql.conf"));
    let mut agent = command.spawn().unwrap();
    while names(&scene.at("share")).is_empty() {
        assert!(agent.try_wait().unwrap().is_none(), "it ended by itself");
        std::thread::yield_now();
    }
    kill_process(Pid::from_child(&agent), Signal::TERM).unwrap();
    assert!(!agent.wait().unwrap().success());
    assert_eq!(names(&scene.at("share")), [""; 0], "nothing is left behind");
    assert_eq!(archive_files(&scene.at("store")), [""; 0], "nothing is left behind");
}

#[tokio::test]
async fn a_database_that_is_offline_makes_the_backup_partial() {
    let scene = Scene::new();
    scene.change(|server| server["databases"][1]["state"] = "OFFLINE".into());
    let saved = scene.backup(&[]).await.document_of(EXIT_PARTIAL);
    assert_eq!((&saved["is_partial"], &saved["problem_count"]), (&true.into(), &1.into()), "{saved}");
    scene.load(&[]).await.document();
    assert_eq!(values(&scene.look("new"), "bank"), [1, 2]);
}

#[tokio::test]
async fn a_restore_that_fails_is_told() {
    let scene = Scene::new();
    scene.backup(&["--incremental"]).await.document();
    scene.write(10);
    scene.backup(&["--incremental"]).await.document();
    scene.how("log");
    scene.load(&[]).await.fails_with(&[
        "terminates too early",
        "bank is left restoring",
        "replace_databases",
    ]);
    scene.how("verify");
    scene
        .load(&["--replace-databases"])
        .await
        .fails_with(&["not a valid Microsoft Tape Format", "not all is loaded"]);
    scene.conf("names = gone");
    scene.load(&[]).await.fails_with(&["no database gone"]);
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused() {
    let scene = Scene::new();
    scene.agent("old", &["--action", "backup"]).await.fails_with(&["sql_server_conf"]);
    scene.agent("old", &["--action", "restore", "--load-into-server"]).await.fails_with(&["sql_server_conf"]);
    scene.agent("old", &["--action", "restore"]).await.fails_with(&["restore_abs_path"]);
    for (line, word) in [
        ("port = 1433", "instance and port"),
        ("agent_folder = D:\\share", "no path of this host"),
        ("agent_folder = /nowhere/at/all", "is no folder of this host"),
        ("host = -Qx", "an option"),
        ("encrypt = perhaps", "encrypt"),
        ("copy_only = perhaps", "copy_only"),
        ("database = bank", "'database' is none of"),
    ] {
        scene.conf(line);
        scene.backup(&[]).await.fails_with(&[word]);
    }
    assert!(!scene.at("old/calls").exists(), "nobody was asked");
}
