//! Mode mysql: a server that is written to is saved at one point in time, and comes back on a fresh one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod cloud;

use cloud::one_shot::Said;
use freezer_testkit::adopted::as_told;
use freezer_testkit::archive_files;
use freezer_testkit::bank::{SETUP, ask, checked, moved, write_on};
use freezer_testkit::private::PrivateMariadb;
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

async fn agent(work: &Path, arguments: &[&str]) -> Said {
    Said::by_agent("mysql", &work.join("store"), &[], arguments).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_written_to_comes_back_at_one_point_in_time() {
    let work = tempfile::tempdir().unwrap();
    let work = work.path();
    // The server's own user has to get to its data.
    std::fs::set_permissions(work, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    for folder in ["old", "new"] {
        std::fs::create_dir(work.join(folder)).unwrap();
    }
    let server = PrivateMariadb::start_with(&work.join("old"), &["--log-bin=log", "--server-id=7"]);
    ask(server.port, SETUP);
    let conf = work.join("mysql.conf");
    std::fs::write(
        &conf,
        format!("[default]\nhost = 127.0.0.1\nport = {}\nuser = root\nexclude = freezer\n", server.port),
    )
    .unwrap();
    let conf = conf.display().to_string();
    let stop = AtomicBool::new(false);
    let saved = std::thread::scope(|scope| {
        scope.spawn(|| write_on(server.port, &stop));
        while moved(server.port) < 50 {
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

    let records = agent(work, &["--action", "adopt"]).await.document();
    as_told(&records, &[&saved], &[]);
    assert_eq!((&saved["mode"], &records[0]["mysql_form"]), (&"mysql".into(), &Value::Null), "{records:#}");

    let target = work.join("restored").display().to_string();
    agent(work, &["--action", "restore", "--restore-abs-path", &target]).await.document();
    let fresh = PrivateMariadb::start(&work.join("new"));
    for database in ["bank", "other"] {
        let line = format!(
            "cat '{target}/databases/{database}/'* | mariadb --no-defaults -uroot -h127.0.0.1 -P{}",
            fresh.port
        );
        let loaded = Command::new("bash").args(["-o", "pipefail", "-c", &line]).output().unwrap();
        assert!(loaded.status.success(), "{}", String::from_utf8_lossy(&loaded.stderr));
    }
    let (then, now) = (checked(fresh.port), moved(server.port));
    assert!((50..=now).contains(&then), "{then} of {now}");
    assert_eq!(ask(fresh.port, "SELECT a FROM other.t; CALL bank.twice(21)"), "7\n42");

    // The position is that of the dump: what was written after it is what the dump lacks.
    let document: Value =
        serde_json::from_slice(&std::fs::read(work.join("restored/databases.json")).unwrap()).unwrap();
    let parts = document["parts"].as_array().unwrap();
    let names: Vec<&str> = parts.iter().map(|part| part["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["bank", "other"]);
    let position = &parts[0]["position"];
    let file = position["log_file"].as_str().unwrap();
    assert!(position["gtid"].as_str().unwrap().starts_with("0-7-"), "{position}");
    let read = Command::new("mariadb-binlog")
        .args([
            "--no-defaults",
            "--read-from-remote-server",
            "-uroot",
            "-h127.0.0.1",
            &format!("-P{}", server.port),
        ])
        .args([&format!("--start-position={}", position["log_position"]), file])
        .output()
        .unwrap();
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    let later = String::from_utf8_lossy(&read.stdout).matches("INSERT INTO moved").count() as u64;
    assert_eq!(then + later, now);
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
    said("[default]\nuser = u\npasword = p\n").await.fails_with(&["'pasword' is none of"]);
    assert_eq!(archive_files(&work.join("store")), [""; 0], "nothing is left behind");
    agent(work, &["--action", "backup"]).await.fails_with(&["mysql_conf"]);
}
