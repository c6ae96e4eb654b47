//! Mode mysql: a server that is written to is saved at one point in time, and comes back on a fresh one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod cloud;

use cloud::one_shot::Said;
use freezer_testkit::adopted::as_told;
use freezer_testkit::archive_files;
use freezer_testkit::bank::{SETUP, ask, checked, moved, seen, write_on};
use freezer_testkit::private::PrivateMariadb;
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

async fn agent(work: &Path, arguments: &[&str]) -> Said {
    Said::by_agent("mysql", &work.join("store"), &[], arguments).await
}

/// A server with a binary log and the bank, in a folder of its own.
fn bank(work: &Path) -> PrivateMariadb {
    // The server's own user has to get to its data.
    std::fs::set_permissions(work, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    for folder in ["old", "new"] {
        std::fs::create_dir(work.join(folder)).unwrap();
    }
    let server = PrivateMariadb::start_with(&work.join("old"), &["--log-bin=log", "--server-id=7"]);
    ask(server.port, SETUP);
    server
}

/// Saves the server while it is written to; what the agent says of that.
fn save_under_load(work: &Path, port: u16, more: &str) -> Value {
    let conf = work.join("mysql.conf");
    let text = format!("[default]\nhost = 127.0.0.1\nport = {port}\nuser = root\nexclude = freezer\n{more}");
    std::fs::write(&conf, text).unwrap();
    let conf = conf.display().to_string();
    let stop = AtomicBool::new(false);
    let saved = std::thread::scope(|scope| {
        scope.spawn(|| write_on(port, &stop));
        while moved(port) < 50 {
            std::thread::yield_now();
        }
        let saved = tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current()
                .block_on(agent(work, &["--action", "backup", "--mysql-conf", &conf]))
        });
        stop.store(true, Ordering::Relaxed);
        saved
    });
    let saved = saved.document();
    assert_eq!((&saved["is_partial"], &saved["engine_name"]), (&false.into(), &"tar".into()), "{saved}");
    saved
}

/// Restores the dumps, and loads those of these folders into a fresh server; answers also the document about them.
async fn loaded(work: &Path, folders: &[&str]) -> (PrivateMariadb, Value) {
    let target = work.join("restored").display().to_string();
    agent(work, &["--action", "restore", "--restore-abs-path", &target]).await.document();
    let fresh = PrivateMariadb::start(&work.join("new"));
    for folder in folders {
        let line = format!(
            "cat '{target}/databases/{folder}/'* | mariadb --no-defaults -uroot -h127.0.0.1 -P{}",
            fresh.port
        );
        let loaded = Command::new("bash").args(["-o", "pipefail", "-c", &line]).output().unwrap();
        assert!(loaded.status.success(), "{}", String::from_utf8_lossy(&loaded.stderr));
    }
    let document = std::fs::read(work.join("restored/databases.json")).unwrap();
    (fresh, serde_json::from_slice(&document).unwrap())
}

fn names(document: &Value) -> Vec<&str> {
    document["parts"].as_array().unwrap().iter().map(|part| part["name"].as_str().unwrap()).collect()
}

/// How much was moved after the place in the binary log that a part names: this is what its dump lacks.
fn moved_after(part: &Value, port: u16) -> u64 {
    let position = &part["position"];
    let file = position["log_file"].as_str().unwrap();
    assert!(position["gtid"].as_str().unwrap().starts_with("0-7-"), "{position}");
    let read = Command::new("mariadb-binlog")
        .args(["--no-defaults", "--read-from-remote-server", "-uroot", "-h127.0.0.1", &format!("-P{port}")])
        .args([&format!("--start-position={}", position["log_position"]), file])
        .output()
        .unwrap();
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    String::from_utf8_lossy(&read.stdout).matches("INSERT INTO moved").count() as u64
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_written_to_comes_back_at_one_point_in_time() {
    let work = tempfile::tempdir().unwrap();
    let work = work.path();
    let server = bank(work);
    let saved = save_under_load(work, server.port, "");
    let records = agent(work, &["--action", "adopt"]).await.document();
    as_told(&records, &[&saved], &[]);
    assert_eq!((&saved["mode"], &records[0]["mysql_form"]), (&"mysql".into(), &Value::Null), "{records:#}");

    let (fresh, document) = loaded(work, &["bank", "other"]).await;
    let (then, now) = (checked(fresh.port), moved(server.port));
    assert!((50..=now).contains(&then), "{then} of {now}");
    assert_eq!(ask(fresh.port, "SELECT a FROM other.t; CALL bank.twice(21)"), "7\n42");
    assert_eq!(names(&document), ["bank", "other"]);
    assert_eq!(then + moved_after(&document["parts"][0], server.port), now);
    // The second one is of a moment of its own, and says of which.
    assert_eq!(seen(fresh.port) + moved_after(&document["parts"][1], server.port), now);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn databases_of_one_transaction_come_back_at_one_point_in_time() {
    let work = tempfile::tempdir().unwrap();
    let work = work.path();
    let server = bank(work);
    save_under_load(work, server.port, "one_transaction = true\n");
    let (fresh, document) = loaded(work, &["together"]).await;
    let (then, now) = (checked(fresh.port), moved(server.port));
    assert!((50..=now).contains(&then), "{then} of {now}");
    assert_eq!(seen(fresh.port), then, "each move is in both databases or in none");
    assert_eq!(ask(fresh.port, "SELECT a FROM other.t; CALL bank.twice(21)"), "7\n42");
    assert_eq!(names(&document), ["bank,other"]);
    assert_eq!(then + moved_after(&document["parts"][0], server.port), now);
}

#[tokio::test]
async fn without_a_server_there_is_no_backup() {
    let work = tempfile::tempdir().unwrap();
    let work = work.path();
    let conf = work.join("mysql.conf");
    let said = async |text: &str| {
        std::fs::write(&conf, text).unwrap();
        agent(work, &["--action", "backup", "--mysql-conf", &conf.display().to_string()]).await
    };
    said("[default]\nhost = 127.0.0.1\nport = 1\nuser = u\n").await.fails_with(&["nothing was stored"]);
    said("[default]\nhost = 127.0.0.1\n").await.fails_with(&["mysql_conf", "user is not set"]);
    said("[default]\nuser = u\nnames = --all\n").await.fails_with(&["no name of a database"]);
    said("[default]\nuser = u\none_transaction = perhaps\n").await.fails_with(&["neither true nor false"]);
    said("[default]\nuser = u\npasword = p\n").await.fails_with(&["'pasword' is none of"]);
    assert_eq!(archive_files(&work.join("store")), [""; 0], "nothing is left behind");
    agent(work, &["--action", "backup"]).await.fails_with(&["mysql_conf"]);
}
