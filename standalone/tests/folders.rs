//! The agent of one host: names of folders that nobody named, checksums, commands around an action, streams.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod cloud;

use cloud::one_shot::Said;
use freezer_testkit::adopted::as_told;
use freezer_testkit::program;
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Stdio};

fn command(work: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program("freezer-agent"));
    command.env_clear().env("PATH", "/usr/bin:/bin").current_dir(work);
    command.args(["--storage", "local", "--hostname", "h", "--metadata-out", "-", "--container"]);
    command.arg(work.join("store")).args(arguments);
    command
}

async fn agent(work: &Path, arguments: &[&str]) -> Said {
    Said::by(command(work, arguments)).await
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// Folders of one name in two places, with a file of one name.
fn two_folders(work: &Path) -> [String; 2] {
    ["one", "two"].map(|place| {
        let folder = work.join(place).join("data");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("file"), format!("content of {place}\n")).unwrap();
        text(&folder)
    })
}

fn restored(work: &Path, target: &str) -> String {
    std::fs::read_to_string(work.join(target).join("file")).unwrap()
}

#[tokio::test]
async fn folders_that_nobody_named_never_mix() {
    let work = tempfile::tempdir().unwrap();
    let work = work.path();
    let [one, two] = two_folders(work);
    let mut levels = Vec::new();
    for folder in [&one, &two, &one, &two] {
        let said = agent(work, &["--action", "backup", "--incremental", "--path-to-backup", folder])
            .await
            .document();
        levels.push(said["curr_backup_level"].as_u64().unwrap());
    }
    assert_eq!(levels, [0, 0, 1, 1]);
    let to = |name: &str| text(&work.join(name));
    let said = agent(work, &["--action", "restore", "--restore-abs-path", &to("any")]).await;
    said.fails_with(&["several folders of h", "path_to_backup", "freezer_fs_h_data-"]);
    let (first, second) = (to("first"), to("second"));
    for (folder, target) in [(&one, &first), (&two, &second)] {
        let restore = ["--action", "restore", "--path-to-backup", folder, "--restore-abs-path", target];
        assert_eq!(agent(work, &restore).await.status, Some(0));
    }
    assert_eq!(restored(work, "first"), "content of one\n");
    assert_eq!(restored(work, "second"), "content of two\n");

    // Without a folder, verification and rotation are about all of them, each by itself.
    let checked = agent(work, &["--action", "verify"]).await.document();
    assert_eq!((&checked["is_sound"], &checked["levels"]), (&json!(true), &json!(4)), "{checked}");
    agent(work, &["--action", "backup", "--path-to-backup", &one]).await.document();
    let plans = agent(work, &["--action", "admin", "--keep-last", "1"]).await.document();
    let removed: Vec<usize> =
        plans.as_array().unwrap().iter().map(|plan| plan["remove"].as_array().unwrap().len()).collect();
    assert_eq!(removed.iter().sum::<usize>(), 1, "{plans}");
    let restore =
        ["--action", "restore", "--path-to-backup", &two, "--restore-abs-path", &second, "--overwrite"];
    assert_eq!(agent(work, &restore).await.status, Some(0));
}

/// As an agent of before has left it: under the name that all folders of the host shared.
#[tokio::test]
async fn backups_under_the_old_default_name_are_found() {
    let work = tempfile::tempdir().unwrap();
    let work = work.path();
    let [one, two] = two_folders(work);
    let old = ["--action", "backup", "--backup-name", "freezer_fs_h", "--path-to-backup", &one];
    agent(work, &old).await.document();
    let to = |name: &str| text(&work.join(name));
    let any = agent(work, &["--action", "restore", "--restore-abs-path", &to("any")]).await;
    assert_eq!(any.status, Some(0), "{}", any.err);
    let restore = async |folder: &str, target: &str| {
        let target = to(target);
        agent(work, &["--action", "restore", "--path-to-backup", folder, "--restore-abs-path", &target]).await
    };
    let found = restore(&one, "first").await.document();
    assert!(found["warnings"].to_string().contains("shared"), "{found}");
    assert_eq!(restored(work, "first"), "content of one\n");
    restore(&two, "second").await.fails_with(&["h_freezer_fs_h holds no backup of"]);
    assert_eq!(agent(work, &["--action", "verify", "--path-to-backup", &one]).await.document()["levels"], 1);
    // What is saved from now on has its own name.
    let said =
        agent(work, &["--action", "backup", "--incremental", "--path-to-backup", &one]).await.document();
    assert_eq!(said["curr_backup_level"], 0);
    assert!(said["backup_name"].as_str().unwrap().starts_with("freezer_fs_h_data-"), "{said}");
    let plans = agent(work, &["--action", "admin", "--keep-last", "1", "--dry-run"]).await.document();
    assert_eq!(plans.as_array().unwrap().len(), 2, "old and new names are rotated: {plans}");
}

#[tokio::test]
async fn the_consistency_checksum_is_made_and_compared() {
    let work = tempfile::tempdir().unwrap();
    let work = work.path();
    let [one, _] = two_folders(work);
    let backup = ["--action", "backup", "--backup-name", "b", "--path-to-backup", &one];
    let without = agent(work, &backup).await.document();
    assert_eq!(without["consistency_checksum"], "");
    let said = agent(work, &[&backup[..], &["--consistency-check"]].concat()).await.document();
    let sum = said["consistency_checksum"].as_str().unwrap();
    assert_eq!(sum.len(), 64, "{said}");
    let restore = async |target: &str, sum: &str| {
        let target = text(&work.join(target));
        let arguments = ["--action", "restore", "--backup-name", "b", "--restore-abs-path", &target];
        agent(work, &[&arguments[..], &["--consistency-checksum", sum]].concat()).await
    };
    assert_eq!(restore("same", sum).await.status, Some(0));
    let other = "0".repeat(64);
    restore("other", &other).await.fails_with(&["the data are written", "consistency_checksum"]);
    assert_eq!(restored(work, "other"), "content of one\n");
    restore("nonsense", "x").await.fails_with(&["64 hexadecimal digits"]);
}

#[tokio::test]
async fn a_command_that_fails_shows_what_it_said() {
    let work = tempfile::tempdir().unwrap();
    let work = work.path();
    let exec = ["--action", "exec", "--exec-shell", "--command", "echo said; echo trouble >&2; exit 7"];
    let said = agent(work, &exec).await;
    said.fails_with(&["ended with status 7: trouble"]);
    let told: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(told, json!({"exit_code": 7, "stdout": "said\n", "stderr": "trouble\n"}));
    let loud = ["--action", "exec", "--command", "true", "--max-priority", "9", "--insecure"];
    let said = agent(work, &loud).await;
    assert!(said.err.contains("option max_priority has no effect"), "{}", said.err);
}

/// Lines that hooks have written.
fn trace(work: &Path) -> String {
    std::fs::read_to_string(work.join("trace")).unwrap_or_default()
}

#[tokio::test]
async fn hooks_run_before_and_after_whatever_happens() {
    let work = tempfile::tempdir().unwrap();
    let work = work.path();
    let [one, _] = two_folders(work);
    let after = "echo after $FREEZER_ACTION $FREEZER_BACKUP_NAME $FREEZER_OUTCOME >> trace";
    let backup = async |folder: &str, before: &str, after: &str| {
        let arguments =
            ["--action", "backup", "--backup-name", "b", "--path-to-backup", folder, "--exec-shell"];
        let said =
            agent(work, &[&arguments[..], &["--hook-before", before, "--hook-after", after]].concat()).await;
        (said, std::mem::take(&mut trace(work)), std::fs::remove_file(work.join("trace")))
    };
    let (said, trace, _) =
        backup(&one, "echo before $FREEZER_PATH >> trace; echo frozen > one/data/state", after).await;
    assert_eq!(said.status, Some(0), "{}", said.err);
    assert_eq!(trace, format!("before {one}\nafter backup b success\n"));

    let (said, trace, _) = backup(&one, "seq 1 9999; echo no >&2; false", after).await;
    said.fails_with(&["hook_before ended with status 1: no", "the action was not done"]);
    assert_eq!(trace, "after backup b fail\n");
    // Of what they said the result keeps the end.
    let told = said.document_of(1);
    let kept = told["before"]["stdout"].as_str().unwrap();
    assert!(kept.ends_with("\n9998\n9999\n") && (8000..=8192).contains(&kept.len()), "{kept}");
    assert_eq!((&told["before"]["stderr"], &told["before"]["exit_code"]), (&json!("no\n"), &json!(1)));
    assert_eq!((&told["after"]["stdout"], &told["after"]["exit_code"]), (&json!(""), &json!(0)));
    let (said, trace, _) = backup("/nonexistent/folder", "true", after).await;
    assert_eq!((said.status, trace.as_str()), (Some(1), "after backup b fail\n"), "{}", said.err);
    let (said, _, _) = backup(&one, "true", "exit 5").await;
    assert_eq!(said.status, Some(3), "it is saved, and not all is well: {}", said.err);

    let count = |name: &str| {
        let found = Command::new("find").arg(work.join("store")).args(["-name", name]).output().unwrap();
        String::from_utf8(found.stdout).unwrap().lines().count()
    };
    assert_eq!(count("manifest"), 2, "those whose hook before succeeded and whose source was there");
    let target = text(&work.join("target"));
    let restore = ["--action", "restore", "--backup-name", "b", "--restore-abs-path", &target];
    agent(work, &restore).await.document();
    assert_eq!(std::fs::read_to_string(work.join("target/state")).unwrap(), "frozen\n");
}

#[tokio::test]
async fn a_hook_that_hangs_is_ended_and_the_run_says_so() {
    let work = tempfile::tempdir().unwrap();
    let work = work.path();
    let [one, _] = two_folders(work);
    let backup = ["--action", "backup", "--backup-name", "b", "--path-to-backup", &one, "--exec-shell"];
    let run =
        async |more: &[&str]| agent(work, &[&backup[..], &["--hook-timeout", "1"], more].concat()).await;
    let hangs = "echo $$ >> shells; sleep 1000";
    let saved = || Command::new("find").arg(work).args(["-name", "manifest"]).output().unwrap().stdout;

    let late = run(&["--hook-before", hangs, "--hook-after", "echo $FREEZER_OUTCOME >> trace"]).await;
    late.fails_with(&["hook_before did not end within 1 s", "the action was not done"]);
    assert_eq!((trace(work).as_str(), saved()), ("fail\n", Vec::new()));
    let late = run(&["--hook-after", hangs]).await;
    assert_eq!(late.document_of(3)["curr_backup_level"], 0, "it is saved, and not all is well");
    assert!(late.err.contains("hook_after did not end within 1 s"), "{}", late.err);
    assert!(!saved().is_empty());
    // An abort is an end, too.
    let (stream, after) = ("touch begun; sleep 1000", "echo $FREEZER_OUTCOME >> trace");
    let aborted =
        ["--action", "backup", "--mode", "stream", "--backup-name", "s", "--exec-shell", "--stream-command"];
    let aborted = [&aborted[..], &[stream, "--hook-after", after]].concat();
    let mut child = command(work, &aborted).stdout(Stdio::null()).spawn().unwrap();
    while !work.join("begun").exists() {
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    assert!(!child.wait().unwrap().success());
    assert_eq!(trace(work), "fail\naborted\n");
    let shells = std::fs::read_to_string(work.join("shells")).unwrap();
    let alive = shells.lines().filter(|shell| Path::new("/proc").join(shell).exists());
    assert_eq!((shells.lines().count(), alive.count()), (2, 0));
}

#[tokio::test]
async fn the_level_reaches_the_compressor() {
    let work = tempfile::tempdir().unwrap();
    let work = work.path();
    let [one, _] = two_folders(work);
    let backup = ["--action", "backup", "--backup-name", "b", "--path-to-backup", &one, "--compression"];
    let at = async |codec: &str, level: &str| {
        agent(work, &[&backup[..], &[codec, "--compression-level", level]].concat()).await
    };
    // What only one of the formats takes, and none.
    at("zstd", "12").await.document();
    at("gzip", "12").await.fails_with(&["compression level 12 does not exist for gzip"]);
    at("zstd", "99").await.fails_with(&["compression_level", "not 99"]);
}

/// What `cat stream/*` gives of the newest backup.
async fn stream_of(work: &Path, target: &str) -> Vec<u8> {
    let folder = text(&work.join(target));
    let restore =
        ["--action", "restore", "--mode", "stream", "--backup-name", "s", "--restore-abs-path", &folder];
    agent(work, &restore).await.document();
    let mut parts: Vec<_> = std::fs::read_dir(work.join(target).join("stream"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    parts.sort();
    parts.into_iter().flat_map(|part| std::fs::read(part).unwrap()).collect()
}

#[tokio::test]
async fn a_stream_is_saved_whole_or_not_at_all() {
    let work = tempfile::tempdir().unwrap();
    let work = work.path();
    let backup = ["--action", "backup", "--mode", "stream", "--backup-name", "s"];
    let save = async |more: &[&str]| agent(work, &[&backup[..], more].concat()).await;
    // More than one part, through a pipe of two programs.
    save(&["--stream-command", "seq 1 3000000 | cat"]).await.document();
    let saved = stream_of(work, "first").await;
    let expected = Command::new("seq").args(["1", "3000000"]).output().unwrap().stdout;
    assert!(saved == expected, "{} of {} bytes", saved.len(), expected.len());

    let failing = ["--exec-shell", "--stream-command", "seq 1 3000000; echo disk is gone >&2; exit 4"];
    save(&failing).await.fails_with(&["not whole", "disk is gone", "nothing was stored"]);
    let hanging = ["--exec-shell", "--stream-command", "echo begun; sleep 1000", "--timeout", "2"];
    save(&hanging).await.fails_with(&["did not end within 2 s"]);
    save(&["--incremental", "--stream-command", "true"]).await.fails_with(&["incremental=false"]);
    assert!(stream_of(work, "again").await == expected, "the failed ones have left nothing");

    let mut child = command(work, &backup).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"piped in\n").unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(stream_of(work, "piped").await, b"piped in\n");
}

/// Of each record its mode and folder, by the name of the backup.
fn kinds(records: &Value) -> Vec<(String, String, String)> {
    let text = |record: &Value, key: &str| record[key].as_str().unwrap_or("none").to_owned();
    let kind =
        |record: &Value| (text(record, "backup_name"), text(record, "mode"), text(record, "path_to_backup"));
    let mut kinds: Vec<_> = records.as_array().unwrap().iter().map(kind).collect();
    kinds.sort();
    kinds
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_adopted_is_called_what_it_is_or_nothing() {
    let work = tempfile::tempdir().unwrap();
    let work = work.path();
    let [folder, _] = two_folders(work);
    for key in ["right", "wrong"] {
        std::fs::write(work.join(key), format!("the {key} one\n")).unwrap();
    }
    let (right, wrong) = (text(&work.join("right")), text(&work.join("wrong")));
    let sealed = ["--encrypt-pass-file", &right];
    let stream = ["--action", "backup", "--mode", "stream", "--stream-command", "seq 1 9"];
    let files = ["--action", "backup", "--path-to-backup", &folder];
    let save = async |name: &str, what: &[&str], more: &[&str]| {
        agent(work, &[what, more, &["--backup-name", name]].concat()).await.document()
    };
    let told = [
        save("folder", &files, &[]).await,
        save("sealed-folder", &files, &sealed).await,
        save("sealed-stream", &stream, &sealed).await,
        save("stream", &stream, &[]).await,
    ];
    let adopt = async |more: &[&str]| agent(work, &[&["--action", "adopt"], more].concat()).await;
    let own = |name: &str, mode: &str, path: &str| (name.to_owned(), mode.to_owned(), path.to_owned());

    let said = adopt(&sealed).await;
    as_told(&said.document(), &told.iter().collect::<Vec<_>>(), &[]);
    let known = [
        own("folder", "fs", &folder),
        own("sealed-folder", "fs", ""),
        own("sealed-stream", "stream", "none"),
        own("stream", "stream", "none"),
    ];
    assert_eq!(kinds(&said.document()), known);
    assert!(!said.err.contains("no mode"), "{}", said.err);
    // Who cannot tell says nothing, but that.
    for (key, cause) in
        [(&[][..], "no pass phrase was given"), (&["--encrypt-pass-file", &wrong][..], "another")]
    {
        let said = adopt(key).await;
        let unknown = [
            own("folder", "fs", &folder),
            own("sealed-folder", "", "none"),
            own("sealed-stream", "", "none"),
            own("stream", "stream", "none"),
        ];
        assert_eq!(kinds(&said.document()), unknown);
        assert!(said.err.contains("2 records have no mode") && said.err.contains(cause), "{}", said.err);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_is_not_taken_for_a_server() {
    let work = tempfile::tempdir().unwrap();
    let work = work.path();
    std::fs::write(work.join("key"), "correct horse\n").unwrap();
    let key = text(&work.join("key"));
    let stream = ["--mode", "stream", "--action", "backup", "--stream-command", "seq 1 9"];
    for (name, more) in [("clear", &[][..]), ("sealed", &["--encrypt-pass-file", &key][..])] {
        let target = text(&work.join(name));
        let what = [&["--backup-name", name][..], more].concat();
        agent(work, &[&stream[..], &what].concat()).await.document();
        let restore = ["--action", "restore", "--restore-abs-path", &target, "--mode"];
        let as_server = [&restore[..], &["postgresql"], &what].concat();
        let told = format!("h_{name} is a backup of a stream");
        agent(work, &as_server).await.fails_with(&[&told, "mode postgresql was", "by mode stream"]);
        assert!(!work.join(name).exists(), "nothing was written");
        agent(work, &[&restore[..], &["fs"], &what].concat()).await.document();
        let part = std::fs::read_to_string(work.join(name).join("stream/000001")).unwrap();
        assert_eq!(part.split_whitespace().collect::<String>(), "123456789");
    }
}

#[tokio::test]
async fn what_upstream_made_in_other_ways_is_counted_where_it_gets_no_record() {
    let work = tempfile::tempdir().unwrap();
    let work = work.path();
    let put = |path: &str, body: &str| {
        let path = work.join("store").join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, body).unwrap();
    };
    for level in ["0_1500000000", "1_1500000100"] {
        put(&format!("metadata/rsync/h_old/1500000000/{level}/metadata"), r#"{"engine_name": "rsync"}"#);
    }
    put("h_older/1400000000/h_older_1400000000_0", "an archive");
    put("metadata/rsync/other_old/1500000000/0_1500000000/metadata", r#"{"engine_name": "rsync"}"#);
    let adopted = agent(work, &["--action", "adopt"]).await;
    assert_eq!(adopted.document(), json!([]));
    for words in ["2 backups of engine rsync", "1 backups of Freezer 1.x and 2.0", "can be restored"] {
        assert!(adopted.err.contains(words), "'{words}' is not in: {}", adopted.err);
    }
}
