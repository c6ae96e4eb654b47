//! What the options of backups, restores, checks and rotation of folders do, each given to the program itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use freezer_testkit::{Said, program};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::os::unix::fs::{MetadataExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

async fn agent(store: &Path, action: &[&str], more: &[&str]) -> Said {
    Said::by_agent("fs", store, &[], &[action, more].concat()).await
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// Runs a line of the shell; answers what it printed.
fn ran(line: &str) -> String {
    let output = Command::new("bash").args(["-o", "pipefail", "-c", line]).output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What is below a folder: `folder/`, `symbolic-link@`, `one-of-several-names=`, in their order, with spaces between.
fn shown(folder: &Path) -> String {
    let (mut names, mut open) = (BTreeSet::new(), vec![folder.to_path_buf()]);
    while let Some(place) = open.pop() {
        for entry in std::fs::read_dir(&place).unwrap() {
            let path = entry.unwrap().path();
            let name = text(path.strip_prefix(folder).unwrap());
            let facts = std::fs::symlink_metadata(&path).unwrap();
            let mark = match facts.nlink() {
                _ if facts.is_symlink() => "@",
                _ if facts.is_dir() => "/",
                1 => "",
                _ => "=",
            };
            if facts.is_dir() {
                open.push(path);
            }
            names.insert(format!("{name}{mark}"));
        }
    }
    names.into_iter().collect::<Vec<_>>().join(" ")
}

/// Another file system, taken away at the end.
struct Mounted(PathBuf);

impl Mounted {
    fn on(folder: PathBuf) -> Self {
        ran(&format!("mount -t tmpfs -o size=1m tmpfs {}", folder.display()));
        Self(folder)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

/// Folders `cache` and `mnt`, the second one a file system of its own, logs, links of both kinds.
fn varied(source: &Path) -> Mounted {
    for folder in ["cache", "mnt"] {
        std::fs::create_dir_all(source.join(folder)).unwrap();
    }
    let mounted = Mounted::on(source.join("mnt"));
    std::fs::write(source.with_file_name("outside"), "outside").unwrap();
    for name in ["cache/note.log", "cache/x", "first", "keep.txt", "mnt/inner", "note.log"] {
        std::fs::write(source.join(name), name).unwrap();
    }
    std::fs::hard_link(source.join("first"), source.join("second")).unwrap();
    symlink("../outside", source.join("link")).unwrap();
    mounted
}

#[tokio::test]
async fn a_backup_holds_what_its_options_say() {
    let work = tempfile::tempdir().unwrap();
    let work = work.path();
    let source = work.join("source");
    let _mounted = varied(&source);
    let (from, rules) = (text(&source), text(&work.join("rules")));
    std::fs::write(&rules, "# of logs\n*.log\n").unwrap();
    let whole = "cache/ cache/note.log cache/x first= keep.txt link@ mnt/ note.log second=";
    let rows: &[(&[&str], &str)] = &[
        (&[], whole),
        // To GNU tar a star is anything, to git it ends at a slash.
        (&["--exclude", "ca*x"], "cache/ cache/note.log first= keep.txt link@ mnt/ note.log second="),
        (
            &["--exclude-rules", "ca*x\n/note.log"],
            "cache/ cache/note.log cache/x first= keep.txt link@ mnt/ second=",
        ),
        (&["--exclude-rules-file", &rules], "cache/ cache/x first= keep.txt link@ mnt/ second="),
        (
            &["--exclude-rules-file", &rules, "--exclude-rules", "!/note.log"],
            "cache/ cache/x first= keep.txt link@ mnt/ note.log second=",
        ),
        (&["--include-rules", r#"["*.txt", "cache/"]"#], "cache/ cache/note.log cache/x keep.txt mnt/"),
        (&["--one-file-system"], whole),
        (
            &["--noone-file-system"],
            "cache/ cache/note.log cache/x first= keep.txt link@ mnt/ mnt/inner note.log second=",
        ),
        (&["--dereference-symlink", "none"], whole),
        (
            &["--dereference-symlink", "soft"],
            "cache/ cache/note.log cache/x first= keep.txt link mnt/ note.log second=",
        ),
        (
            &["--dereference-symlink", "true"],
            "cache/ cache/note.log cache/x first= keep.txt link mnt/ note.log second=",
        ),
        (
            &["--dereference-symlink", "hard"],
            "cache/ cache/note.log cache/x first keep.txt link@ mnt/ note.log second",
        ),
        (
            &["--dereference-symlink", "all"],
            "cache/ cache/note.log cache/x first keep.txt link mnt/ note.log second",
        ),
    ];
    for (number, (options, expected)) in rows.iter().enumerate() {
        let (store, target) = (work.join(format!("store-{number}")), work.join(format!("target-{number}")));
        agent(&store, &["--action", "backup", "--path-to-backup", &from], options).await.document();
        agent(&store, &["--action", "restore", "--restore-abs-path", &text(&target)], &[]).await.document();
        assert_eq!(shown(&target), *expected, "{options:?}");
    }
}

/// A target in which others have files, one of them under a name of the backup's.
fn occupied(target: &Path) {
    std::fs::create_dir_all(target.join("sub")).unwrap();
    for name in ["a", "foreign", "kept.log", "sub/foreign"] {
        std::fs::write(target.join(name), "mine").unwrap();
    }
}

#[tokio::test]
async fn a_restore_leaves_what_its_options_say() {
    let work = tempfile::tempdir().unwrap();
    let work = work.path();
    let (source, store) = (work.join("source"), work.join("store"));
    std::fs::create_dir_all(source.join("sub")).unwrap();
    for name in ["a", "b", "note.log", "sub/c"] {
        std::fs::write(source.join(name), "saved").unwrap();
    }
    let backup = ["--action", "backup", "--path-to-backup", &text(&source), "--exclude-rules", "*.log"];
    agent(&store, &backup, &[]).await.document();

    let (before, over) =
        ("a foreign kept.log sub/ sub/foreign", "a b foreign kept.log sub/ sub/c sub/foreign");
    // Options, the error if it is one, what the file of both then holds, and what is there.
    let rows: &[(&[&str], &[&str], &str, &str)] = &[
        (&[], &[], "saved", over),
        (&["--existing-files", "replace"], &[], "saved", over),
        (&["--existing-files", "keep"], &[], "mine", over),
        (&["--existing-files", "refuse"], &["'a' already exists"], "mine", before),
        (&["--restore-paths", "sub\nb"], &[], "mine", over),
        (&["--restore-paths", r#"["a"]"#], &[], "saved", before),
        (&["--delete-foreign"], &["delete_excluded"], "mine", before),
        (&["--delete-foreign", "--exclude-rules", "*.log"], &[], "saved", "a b kept.log sub/ sub/c"),
        (&["--delete-foreign", "--exclude", "*.log"], &[], "saved", "a b kept.log sub/ sub/c"),
        (&["--delete-foreign", "--delete-excluded"], &[], "saved", "a b sub/ sub/c"),
        (&["--delete-excluded"], &["delete_foreign"], "mine", before),
    ];
    for (number, (options, error, content, expected)) in rows.iter().enumerate() {
        let target = work.join(format!("target-{number}"));
        occupied(&target);
        let restore = ["--action", "restore", "--restore-abs-path", &text(&target), "--overwrite"];
        let said = agent(&store, &restore, options).await;
        if error.is_empty() {
            said.document();
        } else {
            said.fails_with(error);
        }
        let found = (std::fs::read_to_string(target.join("a")).unwrap(), shown(&target));
        assert_eq!((found.0.as_str(), found.1.as_str()), (*content, *expected), "{options:?}");
    }
}

/// The agent on a host where `daemon` has other numbers than here.
fn elsewhere(work: &Path, arguments: &[&str]) -> Command {
    std::fs::write(work.join("passwd"), "root:x:0:0::/root:/bin/sh\ndaemon:x:4321:4322::/:/bin/false\n")
        .unwrap();
    std::fs::write(work.join("group"), "root:x:0:\ndaemon:x:4322:\n").unwrap();
    let line = "mount --bind passwd /etc/passwd && mount --bind group /etc/group && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.current_dir(work).args(["--mount", "sh", "-c", line, "sh"]).arg(program("freezer-agent"));
    command.args(["--storage", "local", "--hostname", "h", "--backup-name", "db", "--container"]);
    command.arg(work.join("store")).args(arguments);
    command
}

#[tokio::test]
async fn owners_are_those_that_were_asked_for() {
    let work = tempfile::tempdir().unwrap();
    let work = work.path();
    let source = work.join("source");
    std::fs::create_dir(&source).unwrap();
    // One has a name on every host, one has none.
    for (name, user, group) in [("daemon", 1, 1), ("nobody knows", 12_345, 54_321)] {
        std::fs::write(source.join(name), name).unwrap();
        chown(source.join(name), Some(user), Some(group)).unwrap();
    }
    let backup = ["--action", "backup", "--path-to-backup", &text(&source)];
    agent(&work.join("store"), &backup, &[]).await.document();
    let rows: &[(&[&str], [(u32, u32); 2])] = &[
        (&[], [(4321, 4322), (12_345, 54_321)]),
        (&["--owners", "names"], [(4321, 4322), (12_345, 54_321)]),
        (&["--owners", "numbers"], [(1, 1), (12_345, 54_321)]),
        (&["--owners", "none"], [(0, 0), (0, 0)]),
        (&["--owner-map", "user:12345=777\ngroup:*=778"], [(4321, 778), (777, 778)]),
        (&["--owner-map", r#"["user:daemon=779"]"#], [(779, 4322), (12_345, 54_321)]),
    ];
    for (number, (options, expected)) in rows.iter().enumerate() {
        let target = work.join(format!("target-{number}"));
        let restore = ["--action", "restore", "--restore-abs-path", &text(&target)];
        let said = Said::by(elsewhere(work, &[&restore[..], *options].concat())).await;
        assert_eq!(said.status, Some(0), "{options:?}: {}", said.err);
        let found = ["daemon", "nobody knows"].map(|name| {
            let facts = std::fs::metadata(target.join(name)).unwrap();
            (facts.uid(), facts.gid())
        });
        assert_eq!(found, *expected, "{options:?}");
    }
    let mapped = ["--action", "restore", "--restore-abs-path", "/nonexistent", "--owner-map", "user:*=0"];
    agent(&work.join("store"), &mapped, &["--owners", "none"]).await.fails_with(&["owner_map"]);
}

/// `openssl` itself says how the key was made.
#[tokio::test]
async fn keys_and_names_are_as_the_options_say() {
    let work = tempfile::tempdir().unwrap();
    let work = work.path();
    let (source, pass) = (text(&work.join("source")), text(&work.join("pass")));
    std::fs::create_dir(&source).unwrap();
    std::fs::write(work.join("source/a-telling-name"), "content").unwrap();
    std::fs::write(&pass, "correct horse\n").unwrap();
    let (fast, slow) = ("-md sha256", "-pbkdf2 -iter 600000 -md sha256");
    let rows: &[(&[&str], &str, bool)] = &[
        (&["--encryption-kdf", "openssl"], fast, true),
        (&["--encryption-kdf", "openssl", "--noencrypt-names"], fast, true),
        (&["--encryption-kdf", "openssl", "--encrypt-names"], fast, false),
        (&["--encryption-kdf", "pbkdf2"], slow, false),
    ];
    for (number, (options, derivation, shows_names)) in rows.iter().enumerate() {
        let store = work.join(format!("store-{number}"));
        let backup = ["--action", "backup", "--path-to-backup", &source, "--encrypt-pass-file", &pass];
        agent(&store, &backup, options).await.document();
        let level = format!("{}/data/tar/h_db/*/0_*", store.display());
        let open = format!("openssl enc -d -aes-256-cfb {derivation} -pass file:{pass}");
        let listed = ran(&format!("{open} -in {level}/data | tar --list --gzip --file=-"));
        assert!(listed.contains("./a-telling-name"), "{options:?}: {listed}");
        let found = ran(&format!("grep -c -a a-telling-name {level}/engine_metadata || true"));
        assert_eq!(found.trim() != "0", *shows_names, "{options:?}");
    }
}

/// A chain that another Freezer has left at this time, with `data` as its level 0.
fn left_by_another(store: &Path, secs: i64, data: &str) {
    let place = format!("tar/h_db/{secs}/0_{secs}");
    for (kind, name, content) in [
        ("data", "data", data),
        ("metadata", "metadata", r#"{"engine_name": "tar", "compression": "gzip", "encryption": false}"#),
    ] {
        let folder = store.join(kind).join(&place);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(name), content).unwrap();
    }
}

#[tokio::test]
async fn chains_begin_anew_when_the_options_say() {
    let work = tempfile::tempdir().unwrap();
    let work = work.path();
    let source = text(&work.join("source"));
    std::fs::create_dir(&source).unwrap();
    std::fs::write(work.join("source/file"), "content").unwrap();
    let level = async |store: &Path, options: &[&str]| {
        let backup = ["--action", "backup", "--path-to-backup", &source, "--incremental"];
        agent(store, &backup, options).await.document()["curr_backup_level"].as_u64().unwrap()
    };
    for (option, expected) in [("--max-level", [0, 1, 0]), ("--always-level", [0, 1, 1])] {
        let store = work.join(option);
        for expected in expected {
            assert_eq!(level(&store, &[option, "1"]).await, expected, "{option}");
        }
    }
    let (store, now) = (work.join("old"), chrono::Utc::now().timestamp());
    let secs = now - 2 * 86_400;
    left_by_another(&store, secs, "");
    let place = format!("{}/data/tar/h_db/{secs}/0_{secs}", store.display());
    ran(&format!(
        "cd {source} && tar -cz --file=- --listed-incremental={place}/engine_metadata . > {place}/data"
    ));
    assert_eq!(level(&store, &["--restart-always-level", "3"]).await, 1);
    assert_eq!(level(&store, &["--restart-always-level", "1.5"]).await, 0);
}

#[tokio::test]
async fn rotation_keeps_what_its_options_say() {
    let store = tempfile::tempdir().unwrap();
    let store = store.path();
    let secs = |text: &str| chrono::DateTime::parse_from_rfc3339(text).unwrap().timestamp();
    let newest = "2025-03-20T10:30:00Z";
    let (hour, before_hour) = ("2025-03-20T10:15:00Z", "2025-03-20T09:30:00Z");
    let (before_day, before_week) = ("2025-03-19T10:00:00Z", "2025-03-13T10:00:00Z");
    let (before_month, before_year) = ("2025-02-10T10:00:00Z", "2024-05-05T10:00:00Z");
    let all = [newest, hour, before_hour, before_day, before_week, before_month, before_year];
    all.iter().for_each(|time| left_by_another(store, secs(time), "x"));
    let rows: &[(&[&str], &[&str])] = &[
        (&["--keep-last", "2"], &[newest, hour]),
        (&["--keep-hourly", "2"], &[newest, before_hour]),
        (&["--keep-daily", "2"], &[newest, before_day]),
        (&["--keep-weekly", "2"], &[newest, before_week]),
        (&["--keep-monthly", "2"], &[newest, before_month]),
        (&["--keep-yearly", "2"], &[newest, before_year]),
        (&["--keep-yearly", "2", "--keep-last", "2"], &[newest, hour, before_year]),
        (&["--remove-from-date", before_month], &all[..5]),
        (&["--remove-from-date", "2025-02-10T09:59:59Z"], &all[..6]),
    ];
    for (options, expected) in rows {
        let plan = agent(store, &["--action", "admin", "--dry-run"], options).await.document();
        let kept = plan["keep"].as_array().unwrap().iter();
        let kept: BTreeSet<i64> = kept.map(|chain| chain["chain_timestamp"].as_i64().unwrap()).collect();
        let expected: BTreeSet<i64> = expected.iter().map(|time| secs(time)).collect();
        assert_eq!(kept, expected, "{options:?}: {plan:#}");
    }
    // What is planned is done.
    agent(store, &["--action", "admin"], &["--remove-from-date", before_week]).await.document();
    let left = agent(store, &["--action", "info"], &[]).await.document();
    let left = left["backups"].as_array().unwrap().iter();
    let left: BTreeSet<i64> = left.map(|backup| backup["time_stamp"].as_i64().unwrap()).collect();
    assert_eq!(left, all[..4].iter().map(|time| secs(time)).collect::<BTreeSet<i64>>());
}

#[tokio::test]
async fn a_sample_is_a_part() {
    let work = tempfile::tempdir().unwrap();
    let (source, store) = (text(&work.path().join("source")), work.path().join("store"));
    std::fs::create_dir(&source).unwrap();
    std::fs::write(work.path().join("source/file"), vec![b'x'; 2 << 20]).unwrap();
    let pieces = ["--compression", "none", "--max-segment-size", "65536"];
    agent(&store, &["--action", "backup", "--path-to-backup", &source], &pieces).await.document();
    let verify = async |options: &[&str]| -> Value {
        agent(&store, &["--action", "verify"], options).await.document()
    };
    let (whole, part) = (verify(&[]).await, verify(&["--verify-sample", "10"]).await);
    assert!(whole["bytes_checked"].as_u64().unwrap() > 2 << 20, "{whole}");
    assert!(part["bytes_checked"].as_u64() < whole["bytes_checked"].as_u64(), "{part}");
    assert_eq!(part["is_sound"], json!(true), "{part}");
    let note = part["reports"][0]["levels"][0]["notes"][0].as_str().unwrap();
    assert!(note.starts_with("a sample: "), "{note}");
}
