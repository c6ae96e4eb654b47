#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
//! `freezer-manage` as a program, on SQLite.

use std::path::Path;
use std::process::{Command, Output};

fn manage(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_freezer-manage")).args(arguments).env_clear().output().unwrap()
}

fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn configuration(folder: &Path) -> String {
    let path = folder.join("freezer.conf");
    std::fs::write(&path, format!("[database]\nconnection = sqlite:///{}/f.sqlite\n", folder.display()))
        .unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn the_schema_is_made_and_known() {
    let folder = tempfile::tempdir().unwrap();
    let file = configuration(folder.path());
    let run = |words: &[&str]| manage(&[&["--config-file", &file][..], words].concat());
    let before = printed(&run(&["db", "version"]));
    assert!(before.starts_with("empty\nmissing: "), "{before}");
    // the service does not start on such a database
    let service =
        Command::new(env!("CARGO_BIN_EXE_freezer-api")).args(["--config-file", &file]).output().unwrap();
    let said = String::from_utf8_lossy(&service.stderr).into_owned();
    assert!(!service.status.success() && said.contains("run: freezer-manage db sync"), "{said}");
    assert!(printed(&run(&["db", "sync"])).starts_with("done: "));
    assert_eq!(printed(&run(&["db", "sync"])), "The schema is up to date.\n");
    // Freezer's name for the same.
    assert_eq!(printed(&run(&["db", "update"])), "The schema is up to date.\n");
    assert!(!printed(&run(&["db", "version"])).contains("missing"));
    assert_eq!(printed(&run(&["db", "purge", "--dry-run"])), "would delete: 0 runs, 0 backup records\n");
    assert!(!run(&["db", "purge", "--older-than-days", "0"]).status.success());
}

fn tables(output: &Output) -> Vec<String> {
    serde_json::from_str(&printed(output)).unwrap()
}

#[test]
fn tables_are_shown_and_removed_when_that_is_meant() {
    let folder = tempfile::tempdir().unwrap();
    let file = configuration(folder.path());
    let run = |words: &[&str]| manage(&[&["--config-file", &file, "db"][..], words].concat());
    assert_eq!(printed(&run(&["show"])), "[]\n");
    printed(&run(&["sync"]));
    let all = tables(&run(&["show"]));
    for table in ["clients", "jobs", "sessions", "backups", "client_names"] {
        assert!(all.iter().any(|name| name == table), "{table}: {all:?}");
    }
    let refused = run(&["remove"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && said.contains("nothing was removed") && said.contains("--yes"),
        "{said}"
    );
    let plan = printed(&run(&["remove", "--plan"]));
    assert_eq!(plan, String::from_utf8_lossy(&refused.stdout));
    assert_eq!(
        (plan.lines().count(), plan.contains("would remove: jobs, 0 rows\n")),
        (all.len(), true),
        "{plan}"
    );
    assert!(!run(&["remove", "--plan", "--yes"]).status.success());
    assert_eq!(tables(&run(&["show"])), all);
    let removed = printed(&run(&["remove", "--yes"]));
    assert_eq!(removed.lines().count(), all.len(), "{removed}");
    assert_eq!(printed(&run(&["show"])), "[]\n");
    assert!(printed(&run(&["remove", "--yes"])).starts_with("nothing is removed"));
    // And once more from the start.
    assert!(printed(&run(&["sync"])).starts_with("done: "));
    assert_eq!(tables(&run(&["show"])), all);
}

#[test]
fn samples_need_no_configuration_and_load_back() {
    let sample = printed(&manage(&["config", "sample", "api"]));
    for words in [
        "[DEFAULT]",
        "#bind_port = 9090",
        "[database]",
        "#connection = mysql+pymysql://",
        "[keystone_authtoken]",
        "#www_authenticate_uri",
        "[oslo_policy]",
        "[oslo_middleware]",
        "#max_request_body_size = 1048576",
        "[healthcheck]",
        "#disable_by_file_path = /etc/freezer/healthcheck_disable",
        "#max_limit = 1000",
    ] {
        assert!(sample.contains(words), "{words}\n{sample}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sample.conf");
    std::fs::write(&path, sample).unwrap();
    let override_file = configuration(folder.path());
    printed(&manage(&[
        "--config-file",
        path.to_str().unwrap(),
        "--config-file",
        &override_file,
        "db",
        "sync",
    ]));
    let policy = printed(&manage(&["policy", "sample"]));
    assert!(policy.contains("#\"runs:get\": \"rule:admin_or_reader_or_service\""), "{policy}");
    assert!(policy.contains("#\"sessions:job:remove\": \"rule:admin_or_owner\""), "{policy}");
}

#[test]
fn mistakes_are_told_and_end_with_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bad.conf");
    std::fs::write(&path, "[database]\nconnection = oracle://user:secretword@host/db\n").unwrap();
    for (words, expected) in [
        (vec!["--config-file", "/does/not/exist", "db", "sync"], "/does/not/exist"),
        (vec!["--config-file", path.to_str().unwrap(), "db", "sync"], "database URL"),
        (vec!["db", "explode"], "explode"),
    ] {
        let output = manage(&words);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(expected), "{words:?}: {said}");
        assert!(!said.contains("secretword"), "{said}");
    }
}
