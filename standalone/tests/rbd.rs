//! Mode rbd on a real cluster: images with holes come back as they were, into any pool, under their name only when they are whole.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod cloud;

use cloud::one_shot::{CEPH, Said, agent_of, measured, without_files};
use cloud::project::Project;
use cloud::{adopted, cut};
use freezer_testkit::{noise, program, random_name};
use serde_json::Value;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::TempDir;

const MIB: usize = 1 << 20;
/// What one object of an image takes in the cluster.
const OBJECT: u64 = 4 << 20;
const IMAGE: &str = "image";

fn run(program: &str, words: &[&str], input: &[u8]) -> Vec<u8> {
    let mut command = Command::new(program);
    command.args(["-c", "/etc/ceph/ceph.conf"]).args(words);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{program} {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn rbd(words: &[&str]) -> Vec<u8> {
    run("rbd", words, b"")
}

/// A pool of one test, removed with everything in it.
struct Pool(String);

impl Pool {
    fn new() -> Self {
        let name = format!("freezer-test-{}", random_name());
        run("ceph", &["osd", "pool", "create", &name, "4", "4", "replicated", "--size", "1"], b"");
        Self(name)
    }

    fn at(&self, image: &str) -> String {
        format!("{}/{image}", self.0)
    }

    /// Names of its images, sorted.
    fn images(&self) -> Vec<String> {
        let mut names: Vec<String> =
            serde_json::from_slice(&rbd(&["ls", "--format", "json", &self.0])).unwrap();
        names.sort();
        names
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let words = ["-c", "/etc/ceph/ceph.conf", "osd", "pool", "rm", &self.0, &self.0];
        let removed = Command::new("ceph").args(words).arg("--yes-i-really-really-mean-it").output().unwrap();
        assert!(removed.status.success() || std::thread::panicking(), "{removed:?}");
    }
}

fn content(image: &str) -> Vec<u8> {
    rbd(&["export", "--no-progress", image, "-"])
}

/// Bytes that an image takes in the cluster.
fn used(image: &str) -> u64 {
    let listed: Value = serde_json::from_slice(&rbd(&["du", "--format", "json", image])).unwrap();
    listed["images"].as_array().unwrap().iter().map(|row| row["used_size"].as_u64().unwrap()).sum()
}

/// An image of 64 MiB with something in two of its sixteen objects.
fn fill(image: &str) {
    let mut bytes = vec![0; 64 * MIB];
    bytes[8 * MIB..9 * MIB].copy_from_slice(&noise(1, MIB));
    bytes[40 * MIB + 5000..41 * MIB].copy_from_slice(&noise(2, MIB - 5000));
    run("rbd", &["import", "--no-progress", "-", image], &bytes);
}

/// Writes `data` and discards `holes` (place and length), in one.
fn put(image: &str, data: &[(usize, Vec<u8>)], holes: &[(usize, usize)]) {
    let mut diff = b"rbd diff v1\n".to_vec();
    let number = |number: usize| (number as u64).to_le_bytes();
    for (place, bytes) in data {
        diff.push(b'w');
        diff.extend([number(*place), number(bytes.len())].concat());
        diff.extend(bytes);
    }
    for (place, length) in holes {
        diff.push(b'z');
        diff.extend([number(*place), number(*length)].concat());
    }
    diff.push(b'e');
    run("rbd", &["import-diff", "--no-progress", "-", image], &diff);
}

/// Something where nothing was, and a hole where something was.
fn change(image: &str) {
    put(image, &[(20 * MIB, noise(3, 70_000))], &[(40 * MIB, 4 * MIB)]);
}

fn resize(image: &str, size: &str) {
    rbd(&["resize", "--no-progress", "--allow-shrink", "--size", size, image]);
}

/// `freezer-agent --action …` that saves to a folder, with nothing else in its environment.
fn command(folder: &Path, pool: &str, action: &str, more: &[&str]) -> Command {
    let path = |name: &str| folder.join(name).display().to_string();
    let mut command = Command::new(program("freezer-agent"));
    command.env_clear().envs([("PATH", "/usr/bin:/bin"), ("HOME", "/nonexistent")]);
    command.args(["--config-file", &path("agent.conf"), "--action", action, "--mode", "rbd"]);
    command.args(["--rbd-pool", pool, "--rbd-image", IMAGE, "--storage", "local"]);
    command.args(["--container", &path("store"), "--hostname", "h", "--backup-name", "b"]);
    command.args(["--metadata-out", "-"]).args(more);
    command
}

/// A pool with an image, and an agent that keeps backups in a folder.
struct Stage {
    pool: Pool,
    folder: TempDir,
}

impl Stage {
    fn new() -> Self {
        let stage = Self::empty();
        fill(&stage.pool.at(IMAGE));
        stage
    }

    fn empty() -> Self {
        let (pool, folder) = (Pool::new(), tempfile::tempdir().unwrap());
        std::fs::write(folder.path().join("agent.conf"), CEPH).unwrap();
        std::fs::write(folder.path().join("pass"), "correct horse battery staple\n").unwrap();
        Self { pool, folder }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    async fn agent(&self, action: &str, more: &[&str]) -> Said {
        Said::by(command(self.folder.path(), &self.pool.0, action, more)).await
    }

    async fn save(&self) -> Value {
        self.agent("backup", &["--incremental"]).await.document()
    }

    /// Saves; answers also how `rbd` was asked for what changed.
    async fn save_noting(&self) -> (Value, String) {
        let (path, notes) = cut::path_that_notes(self.folder.path());
        let mut command = command(self.folder.path(), &self.pool.0, "backup", &["--incremental"]);
        command.env("PATH", path);
        let saved = Said::by(command).await.document();
        let calls = std::fs::read_to_string(&notes).unwrap();
        let export = calls.lines().rfind(|call| call.contains("export-diff")).unwrap().to_owned();
        (saved, export)
    }

    /// A level by the cluster's map: changed objects are read whole, and `stored` bytes of them were new.
    async fn save_by_map(&self, objects: u64, stored: std::ops::Range<u64>) {
        let (saved, export) = self.save_noting().await;
        assert!(export.contains("--whole-object"), "{export}: {saved}");
        assert_eq!(saved["bytes_read"], objects * OBJECT, "{saved}");
        let bytes = saved["bytes_stored"].as_u64().unwrap();
        assert!(stored.contains(&bytes), "{saved}");
    }

    /// A restore of which the import ends in its middle.
    async fn cut(&self, then: &str, more: &[&str]) -> Said {
        let mut command = command(self.folder.path(), &self.pool.0, "restore", more);
        command.env("PATH", cut::path_where_imports_end(self.folder.path(), then));
        Said::by(command).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_with_holes_comes_back_into_any_pool() {
    let (stage, other) = (Stage::new(), Pool::new());
    let source = stage.pool.at(IMAGE);
    let (first, first_used) = (content(&source), used(&source));
    assert_eq!(first_used, 2 * OBJECT);
    what_is_read_breaks_off(&stage).await;
    let read = |document: &Value| document["bytes_read"].as_u64().unwrap();
    let full = stage.save().await;
    assert_eq!(full["curr_backup_level"], 0, "{full}");
    assert!((1..4 << 20).contains(&read(&full)), "only what there is gets read: {full}");
    change(&source);
    let second = content(&source);
    assert_ne!(first, second);
    let changed = stage.save().await;
    assert_eq!(changed["curr_backup_level"], 1, "{changed}");
    assert!((1..1 << 20).contains(&read(&changed)), "{changed}");
    let unchanged = stage.save().await;
    assert_eq!((&unchanged["curr_backup_level"], read(&unchanged)), (&2.into(), 0), "{unchanged}");
    assert_eq!(snapshots(&source), 1);
    let records = stage.agent("adopt", &[]).await.document();
    adopted::as_told(&records, &[&full, &changed, &unchanged], &["rbd_pool", "rbd_image"]);

    // A dry run first: it names the target and makes nothing.
    let copy = other.at("copy");
    let into = ["--rbd-restore-to", copy.as_str()];
    let planned = stage.agent("restore", &[&into[..], &["--dry-run"]].concat()).await.document();
    assert_eq!(
        (&planned["dry_run"], &planned["target"]["pool"], &planned["target"]["name"]),
        (&true.into(), &other.0.clone().into(), &"copy".into()),
        "{planned}"
    );
    assert!(other.images().is_empty());
    let restored = stage.agent("restore", &into).await.document();
    assert_eq!(restored["target"], planned["target"], "{restored}");
    assert!(content(&copy) == second, "another content");
    // The first object of the change took the place of the one that became a hole.
    assert_eq!(used(&copy), first_used);
    // It is not written over, and what is named wrongly is nobody's.
    stage.agent("restore", &into).await.fails_with(&[&copy, "is there already", "rbd_restore_to"]);
    let nowhere = format!("{}-gone", other.0);
    let target = format!("{nowhere}/copy");
    stage.agent("restore", &["--rbd-restore-to", &target]).await.fails_with(&[&nowhere, "no such pool"]);
    stage.agent("restore", &["--rbd-restore-to", "copy"]).await.fails_with(&["'copy' is not pool/image"]);
    assert_eq!(other.images(), ["copy"]);
    assert!(content(&copy) == second, "it was written over");

    // The older state, and the target that nobody named.
    let at = full["time_stamp"].as_i64().unwrap();
    let date = chrono::DateTime::from_timestamp(at, 0).unwrap().format("%FT%TZ").to_string();
    stage.agent("restore", &["--restore-from-date", &date]).await.document();
    let usual = format!("{IMAGE}~{at}");
    assert_eq!(stage.pool.images(), [IMAGE, usual.as_str()]);
    assert!(content(&stage.pool.at(&usual)) == first, "another content");
    assert_eq!(used(&stage.pool.at(&usual)), first_used);
    a_large_image_is_read_where_it_changed(&stage, &other).await;
    a_large_clone_is_read_where_it_changed(&source, &other).await;
}

/// The image has become so large that nobody would ask for each of its objects.
async fn a_large_image_is_read_where_it_changed(stage: &Stage, other: &Pool) {
    let source = stage.pool.at(IMAGE);
    resize(&source, "32G");
    let read = |document: &Value| document["bytes_read"].as_u64().unwrap();
    let grown = stage.save().await;
    assert_eq!((&grown["curr_backup_level"], read(&grown)), (&3.into(), 0), "{grown}");
    stage.save_by_map(0, 1..1000).await;
    // Written within one object, where another had something; and the one with 8 to 9 MiB loses its end with all behind it.
    resize(&source, "8704K");
    resize(&source, "32G");
    put(&source, &[(24 * MIB + 123, noise(5, 70_000))], &[]);
    stage.save_by_map(2, 70_000..300_000).await;
    // Written again as it was.
    put(&source, &[(24 * MIB + 123, noise(5, 70_000))], &[]);
    stage.save_by_map(1, 1..1000).await;
    // So many objects that to read them whole would take longer than to ask for each.
    let scattered: Vec<_> = (0..17).map(|number| ((14 + number) * 4 * MIB, noise(6, 4096))).collect();
    put(&source, &scattered, &[]);
    let (changed, export) = stage.save_noting().await;
    assert!((1..1 << 20).contains(&read(&changed)), "{changed}");
    assert!(!export.contains("--whole-object"), "{export}");
    // Whoever does not trust the map has every object asked for.
    let config = stage.path("agent.conf");
    std::fs::write(&config, format!("{CEPH}use_fast_diff = false\n")).unwrap();
    let (unchanged, export) = stage.save_noting().await;
    assert!(read(&unchanged) == 0 && !export.contains("--whole-object"), "{export}: {unchanged}");
    std::fs::write(&config, CEPH).unwrap();
    // One of these once more, and a hole where one was.
    put(&source, &[(60 * MIB, noise(7, 4096))], &[(24 * MIB, 4 * MIB)]);
    stage.save_by_map(1, 4096..100_000).await;
    // Set back to a snapshot that is older than the base: the map comes back with it and tells nothing of what is undone.
    let older = format!("{source}@older");
    rbd(&["snap", "create", "--no-progress", &older]);
    put(&source, &[(60 * MIB, noise(8, 4096))], &[]);
    stage.save_by_map(1, 4096..100_000).await;
    rbd(&["snap", "rollback", "--no-progress", &older]);
    let (undone, export) = stage.save_noting().await;
    assert!(read(&undone) > 0 && !export.contains("--whole-object"), "{export}: {undone}");
    rbd(&["snap", "rm", "--no-progress", &older]);

    let again = other.at("grown");
    let restore = command(stage.folder.path(), &stage.pool.0, "restore", &["--rbd-restore-to", &again]);
    let (restored, mib) = measured(&restore, stage.folder.path()).await;
    restored.document();
    assert!(mib <= 256, "{mib} MiB");
    for image in [&source, &again] {
        let facts: Value = serde_json::from_slice(&rbd(&["info", "--format", "json", image])).unwrap();
        assert_eq!(facts["size"], 32_u64 << 30, "{facts}");
        // There is nothing beyond.
        resize(image, "128M");
    }
    assert!(content(&again) == content(&source), "another content");
}

/// What an image has of another: written in part, discarded, and left as it is there.
async fn a_large_clone_is_read_where_it_changed(parent: &str, other: &Pool) {
    let stage = Stage::empty();
    let source = stage.pool.at(IMAGE);
    let cloned = format!("{parent}@cloned");
    rbd(&["snap", "create", "--no-progress", &cloned]);
    rbd(&["clone", "--rbd-default-clone-format", "2", &cloned, &source]);
    resize(&source, "32G");
    assert_eq!(stage.save().await["curr_backup_level"], 0);
    put(&source, &[(8 * MIB + 100, noise(8, 5000))], &[(60 * MIB, 4 * MIB)]);
    stage.save_by_map(1, 5000..200_000).await;
    let again = other.at("cloned");
    stage.agent("restore", &["--rbd-restore-to", &again]).await.document();
    for image in [&source, &again] {
        resize(image, "128M");
    }
    assert!(content(&again) == content(&source), "another content");
}

/// Snapshots that the cluster keeps of an image.
fn snapshots(image: &str) -> usize {
    let rows: Value = serde_json::from_slice(&rbd(&["snap", "ls", "--format", "json", image])).unwrap();
    rows.as_array().unwrap().len()
}

/// Backups that break off while they read are none, and their snapshots go: at once, or with the next backup of the chain.
async fn what_is_read_breaks_off(stage: &Stage) {
    let source = stage.pool.at(IMAGE);
    let until = async |then: &str| {
        let mut command = command(stage.folder.path(), &stage.pool.0, "backup", &["--incremental"]);
        command.env("PATH", cut::path_where_exports_end(stage.folder.path(), then));
        Said::by(command).await
    };
    until(":").await.fails_with(&["export-diff"]);
    assert_eq!(snapshots(&source), 0);
    let stopped = until(cut::HANGS).await;
    assert_eq!((stopped.status, snapshots(&source)), (Some(143), 0), "{}", stopped.err);
    let killed = until(cut::DIES).await;
    assert_eq!((killed.status, snapshots(&source)), (None, 1), "{}", killed.err);
    stage.agent("restore", &[]).await.fails_with(&["no complete backup"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_breaks_off_leaves_no_half_image() {
    let stage = Stage::new();
    let original = content(&stage.pool.at(IMAGE));
    let pass = stage.path("pass");
    let sealed = ["--encrypt-pass-file", pass.as_str()];
    let full = stage.agent("backup", &sealed).await.document();
    assert_eq!(full["encrypted"], true, "{full}");
    let usual = format!("{IMAGE}~{}", full["time_stamp"]);
    stage.agent("restore", &[]).await.fails_with(&["encrypted", "pass phrase"]);
    assert_eq!(stage.pool.images(), [IMAGE]);

    // One that fails or is told to stop tidies up itself.
    stage.cut(cut::FAILS, &sealed).await.fails_with(&["import-diff", "ended with status"]);
    assert_eq!(stage.pool.images(), [IMAGE]);
    let stopped = stage.cut(cut::STOPS, &sealed).await;
    assert_eq!(stopped.status, Some(143), "{}", stopped.err);
    assert_eq!(stage.pool.images(), [IMAGE]);

    // One that is killed leaves what cannot be taken for the image.
    let killed = stage.cut(cut::DIES, &sealed).await;
    assert_eq!(killed.status, None, "{}", killed.err);
    let left = stage.pool.images();
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(left[0].starts_with(&format!("freezer_restore_{usual}~")), "{left:?}");
    cut::is_let_go(&stage.pool.at(&left[0]));
    // What somebody else has named so that it looks alike stays.
    let alike = "freezer_restore_image~1700000000";
    rbd(&["create", "--size", "1M", &stage.pool.at(alike)]);
    let planned = stage.agent("restore", &[&sealed[..], &["--dry-run"]].concat()).await.document();
    assert_eq!(planned["target"]["name"], usual.as_str(), "{planned}");
    assert_eq!(stage.pool.images().len(), 3, "a dry run removes nothing");
    let again = stage.agent("restore", &sealed).await;
    assert_eq!(again.document()["target"]["name"], usual.as_str());
    assert!(again.err.contains(&left[0]), "what was removed is said: {}", again.err);
    assert_eq!(stage.pool.images(), [alike, IMAGE, usual.as_str()]);
    assert!(content(&stage.pool.at(&usual)) == original, "another content");
    assert!(content(&streamed(&stage).await) == original, "another content");
}

/// To Swift and back by an agent that may not write a byte to any file, and leaves none without bytes either. Answers the new image.
async fn streamed(stage: &Stage) -> String {
    let (project, folder) = (Project::create().await, tempfile::tempdir().unwrap());
    let (conf, copy) = (stage.path("agent.conf"), stage.pool.at("streamed"));
    let into = ["--rbd-restore-to", copy.as_str()];
    for (action, more) in [("backup", &into[..0]), ("restore", &into[..])] {
        let mut agent = agent_of(&project, &project.user);
        agent.args(["--config-file", &conf, "--action", action, "--mode", "rbd", "--metadata-out", "-"]);
        agent.args(["--rbd-pool", &stage.pool.0, "--rbd-image", IMAGE, "--backup-name", "s"]);
        agent.args(["--storage", "swift", "--container", "streamed", "--hostname", "h"]).args(more);
        Said::by(without_files(&agent, folder.path())).await.document();
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    copy
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_missing_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let pool = format!("freezer-test-{}", random_name());
    for action in ["backup", "restore"] {
        std::fs::write(folder.path().join("agent.conf"), "[DEFAULT]\n").unwrap();
        let said = Said::by(command(folder.path(), &pool, action, &[])).await;
        said.fails_with(&["mode rbd needs [ceph] conf", "configuration of the agent"]);
    }
    std::fs::write(folder.path().join("agent.conf"), CEPH).unwrap();
    let said = Said::by(command(folder.path(), &pool, "backup", &[])).await;
    said.fails_with(&["Ceph has no image", &pool]);
}
