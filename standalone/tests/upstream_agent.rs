//! Freezer in Python as it is on PyPI, unmodified: what its agent saves comes back here, level by level, and what is added here
//! comes back there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod cloud;

use cloud::one_shot::Said;
use cloud::{login, remove_container};
use freezer_testkit::{noise, program, random_name, services, venv};
use serde_json::Value;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A folder of one host, both agents, and where they keep backups. Both log in: Freezer in Python always does.
struct Host {
    work: tempfile::TempDir,
    python: PathBuf,
    storage: &'static str,
    container: String,
}

impl Host {
    fn new() -> Self {
        let work = tempfile::tempdir().unwrap();
        let container = work.path().join("store").display().to_string();
        let host = Self { work, python: venv::freezer_in_python(), storage: "local", container };
        let source = host.path("source");
        std::fs::create_dir_all(source.join("sub/deeper")).unwrap();
        std::fs::write(source.join("a"), "hello\n").unwrap();
        std::fs::write(source.join("sub/big"), noise(1, 300_000)).unwrap();
        std::fs::write(source.join("sub/deeper/text"), "text ".repeat(10_000)).unwrap();
        symlink("sub/big", source.join("link")).unwrap();
        std::fs::write(host.path("pass"), "pass of the job\n").unwrap();
        host
    }

    /// Its backups go to a container that is not there yet.
    fn on_swift() -> Self {
        Self { storage: "swift", container: format!("freezer_test_python_{}", random_name()), ..Self::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.work.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// New, changed, gone and renamed.
    fn change(&self) {
        let source = self.path("source");
        std::fs::write(source.join("new"), "new\n").unwrap();
        std::fs::write(source.join("sub/deeper/text"), "other text").unwrap();
        std::fs::remove_file(source.join("a")).unwrap();
        std::fs::rename(source.join("sub/deeper"), source.join("renamed")).unwrap();
    }

    fn command(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        let programs = self.python.display();
        command.env_clear().current_dir(self.work.path()).args(arguments).envs([
            ("PATH", format!("{programs}:/usr/bin:/bin").as_str()),
            ("HOME", self.text("").as_str()),
            ("LANG", "C.UTF-8"),
            ("PYTHONWARNINGS", "ignore"),
            ("OS_AUTH_URL", services::keystone_url().as_str()),
            ("OS_USERNAME", "demo"),
            ("OS_PASSWORD", services::password().as_str()),
            ("OS_PROJECT_NAME", "demo"),
            ("OS_USER_DOMAIN_NAME", "Default"),
            ("OS_PROJECT_DOMAIN_NAME", "Default"),
            ("OS_IDENTITY_API_VERSION", "3"),
        ]);
        command
    }

    fn agent(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = self.command(program, arguments);
        command.args(["--storage", self.storage, "--container", &self.container]);
        command.args(["--hostname", "h", "--backup-name", "b"]);
        command
    }

    async fn theirs(&self, arguments: &[&str]) {
        let log = self.text("agent.log");
        let more = [arguments, &["--mode", "fs", "--log-file", &log]].concat();
        let said = Said::by(self.agent(&self.python.join("freezer-agent"), &more)).await;
        let log = std::fs::read_to_string(&log).unwrap_or_default();
        assert_eq!(said.status, Some(0), "{arguments:?}: {}\n{}\n{log}", said.out, said.err);
    }

    /// A level of theirs.
    async fn save(&self, more: &[&str]) {
        let source = self.text("source");
        let usual = ["--action", "backup", "--path-to-backup", &source, "--incremental", "--max-level", "5"];
        self.theirs(&[&usual[..], more].concat()).await;
    }

    async fn ours(&self, arguments: &[&str]) -> Value {
        let more = [arguments, &["--metadata-out", "-"]].concat();
        Said::by(self.agent(&program("freezer-agent"), &more)).await.document()
    }

    /// Our restore into that folder; it answers how many levels it took.
    async fn restore(&self, target: &str, more: &[&str]) -> usize {
        let target = self.text(target);
        let usual = ["--action", "restore", "--restore-abs-path", &target];
        let said = self.ours(&[&usual[..], more].concat()).await;
        assert_eq!(said["is_partial"], false, "{said}");
        said["levels"].as_array().unwrap().len()
    }

    /// Whether two folders hold the same; links are compared as links.
    #[track_caller]
    fn same(&self, left: &str, right: &str) {
        let output = Command::new("diff")
            .args(["-r", "--no-dereference"])
            .args([self.path(left), self.path(right)])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }

    fn keep(&self, name: &str) {
        let copied =
            Command::new("cp").arg("-a").args([self.path("source"), self.path(name)]).status().unwrap();
        assert!(copied.success());
    }

    /// Timestamps of the levels on a local storage, oldest first.
    fn times(&self) -> Vec<i64> {
        let names = |folder: &Path| -> Vec<String> {
            let entries = std::fs::read_dir(folder).unwrap();
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
        };
        let chains = self.path("store/metadata/tar/h_b");
        let levels = names(&chains).into_iter().flat_map(|chain| names(&chains.join(chain)));
        let mut times: Vec<i64> =
            levels.map(|level| level.split_once('_').unwrap().1.parse().unwrap()).collect();
        times.sort_unstable();
        times
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_goes_from_one_agent_to_the_other() {
    let host = Host::new();
    host.save(&["--compression", "gzip"]).await;
    host.keep("first");
    host.change();
    host.save(&["--compression", "gzip"]).await;
    host.keep("second");
    assert_eq!(host.restore("newest", &[]).await, 2);
    host.same("second", "newest");
    let before = chrono::DateTime::from_timestamp(host.times()[1] - 1, 0).unwrap();
    let before = before.format("%Y-%m-%dT%H:%M:%SZ").to_string();
    assert_eq!(host.restore("older", &["--restore-from-date", &before]).await, 1);
    host.same("first", "older");

    // Ours goes on with it, theirs with that.
    std::fs::write(host.path("source/ours"), "added here\n").unwrap();
    let source = host.text("source");
    let said = host.ours(&["--action", "backup", "--incremental", "--path-to-backup", &source]).await;
    assert_eq!(said["curr_backup_level"], 2, "{said}");
    std::fs::remove_file(host.path("source/new")).unwrap();
    host.save(&["--compression", "gzip"]).await;
    assert_eq!(host.times().len(), 4);
    assert_eq!(host.restore("all", &[]).await, 4);
    host.same("source", "all");
    let there = host.text("there");
    host.theirs(&["--action", "restore", "--restore-abs-path", &there]).await;
    host.same("source", "there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn encrypted_chains_and_blocks_of_rsync_come_back() {
    let host = Host::new();
    let pass = host.text("pass");
    let secret = ["--encrypt-pass-file", pass.as_str()];
    for round in 0..2 {
        if round > 0 {
            host.change();
        }
        host.save(&[&["--compression", "xz"][..], &secret].concat()).await;
    }
    assert_eq!(host.restore("xz", &secret).await, 2);
    host.same("source", "xz");

    // A chain of ours that is meant for it, too: how its keys are made is said once, and kept.
    let source = host.text("source");
    let save = [&["--action", "backup", "--incremental", "--path-to-backup", &source][..], &secret].concat();
    let full = host.ours(&[&save[..], &["--encryption-kdf", "openssl"]].concat()).await;
    assert_eq!(full["curr_backup_level"], 0, "{full}");
    std::fs::write(host.path("source/ours"), "added here\n").unwrap();
    let increment = host.ours(&save).await;
    assert_eq!(increment["curr_backup_level"], 1, "{increment}");
    let there = host.text("there");
    host.theirs(&[&["--action", "restore", "--restore-abs-path", &there][..], &secret].concat()).await;
    host.same("source", "there");

    // Under Python 3 that engine of theirs saves, and never restores.
    let host = Host::new();
    host.save(&["--engine", "rsyncv2", "--compression", "bzip2"]).await;
    assert_eq!(host.restore("blocks", &[]).await, 1);
    host.same("source", "blocks");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_in_swift_comes_back() {
    let host = Host::on_swift();
    let small = ["--compression", "gzip", "--max-segment-size", "100000"];
    host.save(&small).await;
    host.change();
    host.save(&small).await;
    assert_eq!(host.restore("restored", &[]).await, 2);
    host.same("source", "restored");
    remove_container(&login("demo", "demo").await, &host.container).await;
}

/// What mode cinder does with the bytes that Glance gave it.
const SAVE_VOLUME: &str = r#"
import os
import sys
from freezer.openstack import osclients
from freezer.storage import local, swift

kind, container, volume, time, path = sys.argv[1:]
clients = osclients.OSClientManager(
    auth_url=os.environ["OS_AUTH_URL"], username=os.environ["OS_USERNAME"], password=os.environ["OS_PASSWORD"],
    project_name=os.environ["OS_PROJECT_NAME"], user_domain_name="Default", project_domain_name="Default")
storage = swift.SwiftStorage(clients, container, 100000) if kind == "swift" else local.LocalStorage(container, 100000)

def pieces():
    with open(path, "rb") as image:
        while piece := image.read(100000):
            yield piece

headers = {"x-object-meta-length": str(os.path.getsize(path)), "volume_name": "data", "availability_zone": "nova"}
storage.add_stream(pieces(), volume + "/" + time, headers=headers)
"#;

/// The storages of Freezer in Python lay the objects down; snapshot, copy and image, which come before, are Cinder's and Glance's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn volumes_come_back_as_files() {
    let volume = uuid::Uuid::new_v4().to_string();
    for host in [Host::new(), Host::on_swift()] {
        std::fs::write(host.path("older"), noise(1, 250_000)).unwrap();
        std::fs::write(host.path("newest"), noise(1, 350_001)).unwrap();
        for (time, name) in [("1700000000", "older"), ("1700086400", "newest")] {
            let path = host.text(name);
            let arguments = ["-c", SAVE_VOLUME, host.storage, &host.container, &volume, time, &path];
            let said = Said::by(host.command(&host.python.join("python3"), &arguments)).await;
            assert_eq!(said.status, Some(0), "{}\n{}", said.out, said.err);
        }
        let listed = host.command(
            &program("freezer-agent"),
            &["--action", "info", "--storage", host.storage, "--container", &host.container],
        );
        let listed = Said::by(listed).await;
        assert_eq!(listed.status, Some(0), "{}", listed.err);
        assert_eq!(listed.out.matches(&volume).count(), 2, "{}", listed.out);
        let states: [(&str, &[&str], &str); 2] =
            [("last", &[], "newest"), ("first", &["--restore-from-date", "2023-11-15T00:00:00Z"], "older")];
        for (target, more, expected) in states {
            let path = host.text(target);
            let usual = ["--action", "restore", "--engine", "cinder", "--restore-abs-path", &path];
            let place = ["--storage", host.storage, "--container", &host.container, "--backup-name", &volume];
            let arguments = [&usual[..], &place, more].concat();
            let said = Said::by(host.command(&program("freezer-agent"), &arguments)).await;
            assert_eq!(said.status, Some(0), "{}\n{}", said.out, said.err);
            let found = std::fs::read(Path::new(&path).join(format!("{volume}.raw"))).unwrap();
            assert!(found == std::fs::read(host.path(expected)).unwrap(), "{} {target}", host.storage);
        }
        if host.storage == "swift" {
            remove_container(&login("demo", "demo").await, &host.container).await;
        }
    }
}
