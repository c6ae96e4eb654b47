//! Mode mysql with mysql_form physical: the files of a server that is written to come back, and its binary logs bring them to the
//! wanted moment.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use freezer_testkit::Said;
use freezer_testkit::adopted::as_told;
use freezer_testkit::bank::{SETUP, ask, checked, moved, write_on};
use freezer_testkit::private::PrivateMariadb;
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

async fn agent(work: &Path, arguments: &[&str]) -> Said {
    Said::by_agent("mysql", &work.join("store"), &[], arguments).await
}

/// The rights that the documentation names.
const RIGHTS: &str = "CREATE USER backup@127.0.0.1 IDENTIFIED BY 'se\"cret'; \
    GRANT RELOAD, PROCESS, LOCK TABLES, BINLOG MONITOR, REPLICATION SLAVE ON *.* TO backup@127.0.0.1";

/// Where the files of level 0 stand in the binary log, as the backup says: log, position, GTID.
fn position(work: &Path) -> [String; 3] {
    let line = "gzip -dc store/data/tar/h_db/*/0_*/data | tar --extract --to-stdout ./position.json";
    let output =
        Command::new("bash").current_dir(work).args(["-o", "pipefail", "-c", line]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let parts: Vec<String> = document["binlog"].as_str().unwrap().split('\'').map(str::to_owned).collect();
    assert_eq!(parts.len(), 7, "{document}");
    [1, 3, 5].map(|part| parts[part].clone())
}

/// mariadb-backup of another release, which has other words for the place in the log.
const OTHER_WORDS: &str = "#!/bin/bash\nset -o pipefail\n\
    { mariadb-backup \"$@\" 2>&1 >&3 | sed 's/binlog position:/place in the log:/' >&2; } 3>&1\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_a_server_come_back_at_any_moment() {
    let work = tempfile::tempdir().unwrap();
    let work = work.path();
    std::fs::set_permissions(work, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::create_dir(work.join("old")).unwrap();
    let server = PrivateMariadb::start_with(&work.join("old"), &["--log-bin=log", "--server-id=7"]);
    let port = server.port;
    ask(port, SETUP);
    ask(port, RIGHTS);
    let conf = work.join("mysql.conf");
    let text = format!("[default]\nhost = 127.0.0.1\nport = {port}\nuser = backup\npassword = se\"cret\n");
    std::fs::write(&conf, &text).unwrap();
    let conf = conf.display().to_string();
    let backup = async || {
        let physical = ["--mysql-form", "physical", "--incremental", "--mysql-conf", &conf];
        agent(work, &[&["--action", "backup"][..], &physical].concat()).await.document()
    };
    let in_place = |count: u64| {
        while moved(port) < count {
            std::thread::yield_now();
        }
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(backup()))
    };
    let stop = AtomicBool::new(false);
    let (base, log) = std::thread::scope(|scope| {
        scope.spawn(|| write_on(port, &stop));
        let base = in_place(50);
        let log = in_place(moved(port) + 50);
        stop.store(true, Ordering::Relaxed);
        (base, log)
    });
    let levels = [&base["curr_backup_level"], &log["curr_backup_level"]];
    assert_eq!(levels, [&Value::from(0), &Value::from(1)], "{base} {log}");

    let [file, offset, gtid] = position(work);
    assert!(file.starts_with("log.") && gtid.starts_with("0-7-"), "{file} {offset} {gtid}");

    // A moment that is known, and what comes after it.
    ask(port, "CREATE USER later@localhost IDENTIFIED BY 'x'");
    let then = moved(port);
    let place = ask(port, "SHOW MASTER STATUS").split('\t').take(2).collect::<Vec<_>>().join(":");
    let now: i64 = ask(port, "SELECT CEIL(UNIX_TIMESTAMP(SYSDATE(6)))").parse().unwrap();
    let moment = now.max(log["time_stamp"].as_i64().unwrap() + 1);
    while ask(port, &format!("SELECT UNIX_TIMESTAMP(SYSDATE(6)) > {moment} + 1")) != "1" {
        std::thread::yield_now();
    }
    ask(port, "INSERT INTO bank.moved (text) SELECT text FROM bank.moved LIMIT 7; DROP TABLE bank.account");
    let last = backup().await;
    assert_eq!(last["curr_backup_level"], 2, "{last}");

    let records = agent(work, &["--action", "adopt"]).await.document();
    as_told(&records, &[&base, &log, &last], &["mysql_form"]);

    let restored = async |name: &str, mode: &str, more: &[&str]| {
        let target = work.join(name);
        let place = target.display().to_string();
        let what = ["--action", "restore", "--restore-abs-path", &place];
        let said = Said::by_agent(mode, &work.join("store"), &[], &[&what[..], more].concat()).await;
        let told = said.document()["warnings"].to_string();
        assert!(told.contains(&format!("the files are of {file}:{offset}, GTID {gtid}")), "{told}");
        let run = work.join(format!("{name}.run"));
        std::fs::create_dir(&run).unwrap();
        PrivateMariadb::start_on(&run, &target, &[])
    };
    let time = chrono::DateTime::from_timestamp(moment, 0).unwrap().format("%Y-%m-%dT%H:%M:%SZ").to_string();
    for (name, more) in
        [("time", ["--restore-from-date", &time]), ("place", ["--recovery-target-binlog", &place])]
    {
        let server = restored(name, "mysql", &[&["--mysql-form", "physical"][..], &more].concat()).await;
        assert_eq!(checked(server.port), then, "{name}");
        assert_eq!(ask(server.port, "SELECT COUNT(*) FROM mysql.user WHERE user = 'later'"), "1");
    }
    // Whoever does not say what the backup is of has a server all the same, and no parts of one.
    let before = restored("untold", "mysql", &["--restore-from-date", &time]).await;
    assert_eq!(checked(before.port), then);
    drop(before);
    let newest = restored("newest", "fs", &[]).await;
    assert_eq!(moved(newest.port), then + 7);
    assert_eq!(ask(newest.port, "SHOW TABLES FROM bank LIKE 'account'"), "");
    drop(newest);
    let nowhere = work.join("nowhere").display().to_string();
    let other = ["--action", "restore", "--restore-abs-path", &nowhere];
    Said::by_agent("stream", &work.join("store"), &[], &other).await.fails_with(&[
        "the files of a MariaDB server",
        "mode stream",
        "mysql_form physical",
    ]);
    assert!(!work.join("nowhere").exists(), "nothing was written");
    let left =
        std::fs::read_dir(work).unwrap().filter_map(|entry| entry.unwrap().file_name().into_string().ok());
    assert!(!left.into_iter().any(|name| name.starts_with(".freezer")), "nothing is left behind");
    agent(work, &["--action", "verify", "--mysql-form", "physical"]).await.document();

    // Logs that begin anew are not taken for those that were to come.
    ask(port, "RESET MASTER");
    assert_eq!(backup().await["curr_backup_level"], 0);

    // Where nobody says how the files stand in the logs, the run says that.
    let program = work.join("other-words");
    std::fs::write(&program, OTHER_WORDS).unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let other = work.join("other.conf").display().to_string();
    std::fs::write(&other, format!("{text}backup_program = {}\n", program.display())).unwrap();
    let whole = ["--action", "backup", "--mysql-form", "physical", "--mysql-conf"];
    for (conf, is_told) in [(&conf, false), (&other, true)] {
        let said = agent(work, &[&whole[..], &[conf.as_str()]].concat()).await;
        assert_eq!(said.document()["is_partial"], false);
        assert_eq!(said.err.contains("did not say where in the binary log"), is_told, "{}", said.err);
    }
}
