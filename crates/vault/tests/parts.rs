//! Restores of parts, and what happens to files that are in the target.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use freezer_vault::backup::{Rules, Source};
use freezer_vault::restore::{Existing, LeftOut, OwnerMap, Selection};
use freezer_vault::tar::Extract;
use freezer_vault::{BackupRequest, RestoreReport, RestoreRequest, VaultError};
use std::os::unix::fs::MetadataExt;
use support::*;

/// Three levels of a tree that changes.
async fn saved() -> Room {
    let room = Room::new();
    plant(&room.source());
    room.backup(room.incremental(T0)).await.unwrap();
    for round in 1..3u64 {
        change(&room.source(), round);
        room.backup(room.incremental(T0 + round as i64 * DAY)).await.unwrap();
    }
    room
}

fn only(paths: &[&str]) -> Extract {
    Extract { only: Selection::of(paths).unwrap(), ..Extract::default() }
}

fn names(tree: &Tree) -> Vec<&str> {
    tree.keys().map(String::as_str).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_come_back_as_they_were() {
    let room = saved().await;
    let whole = tree(&room.source());
    let report = room
        .restore(RestoreRequest { extract: only(&["sub/renamed", "./a"]), ..room.to("now") })
        .await
        .unwrap();
    assert!(!report.is_partial, "{:?}", report.problems);
    let found = tree(&room.path("now"));
    assert_eq!(names(&found), [".", "a", "sub", "sub/renamed", "sub/renamed/text"]);
    for (name, entry) in found.iter().filter(|(name, _)| *name != ".") {
        assert_eq!(entry, &whole[name], "{name}");
    }
    let old = RestoreRequest { not_after_secs: Some(T0), extract: only(&["to go"]), ..room.to("old") };
    room.restore(old).await.unwrap();
    assert_eq!(names(&tree(&room.path("old"))), [".", "to go", "to go/away", "to go/away/file"]);

    let one = RestoreRequest { extract: only(&["a", "to go/away/file"]), ..room.to("one") };
    let report = room.restore(one).await.unwrap();
    assert!(report.is_partial && report.problems[0].path == "to go/away/file", "{:?}", report.problems);
    assert_eq!(names(&tree(&room.path("one"))), [".", "a"]);
    let error =
        room.restore(RestoreRequest { extract: only(&["to go"]), ..room.to("none") }).await.unwrap_err();
    assert!(matches!(error, VaultError::NoSuchPath { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_leave_the_rest_of_the_target_alone() {
    let room = saved().await;
    plant(&room.path("target"));
    std::fs::write(room.path("target/sub/big"), "mine").unwrap();
    let request = RestoreRequest { overwrite: true, extract: only(&["a"]), ..room.to("target") };
    room.restore(request).await.unwrap();
    assert_eq!(std::fs::read(room.path("target/a")).unwrap(), b"hello in round 2\n");
    assert_eq!(std::fs::read(room.path("target/sub/big")).unwrap(), b"mine");
    assert!(room.path("target/to go/away/file").exists());
    let request =
        RestoreRequest { overwrite: true, delete_foreign: true, extract: only(&["a"]), ..room.to("target") };
    let error = room.restore(request).await.unwrap_err();
    assert!(error.to_string().contains("delete_foreign"), "{error}");
}

/// One of two hard links has the content.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_to_what_was_not_asked_for_is_told() {
    let room = Room::new();
    std::fs::write(room.source().join("first"), "content").unwrap();
    std::fs::hard_link(room.source().join("first"), room.source().join("second")).unwrap();
    std::fs::write(room.source().join("third"), "other").unwrap();
    room.backup(room.request(T0)).await.unwrap();
    let request = RestoreRequest { extract: only(&["second", "third"]), ..room.to("target") };
    let report = room.restore(request).await.unwrap();
    assert!(report.is_partial && report.problems[0].reason.contains("restore both"), "{:?}", report.problems);
    assert_eq!(names(&tree(&room.path("target"))), [".", "third"]);
}

/// A target with a file of the backup's and a foreign one, in old and new folders.
fn occupied(room: &Room) {
    std::fs::create_dir_all(room.path("target/sub/deep/foreign")).unwrap();
    for name in ["a", "foreign", "sub/foreign", "sub/deep/foreign/file"] {
        std::fs::write(room.path("target").join(name), "mine").unwrap();
    }
}

fn with(room: &Room, existing: Existing, delete_foreign: bool) -> RestoreRequest {
    let extract = Extract { existing, ..Extract::default() };
    RestoreRequest { overwrite: true, delete_foreign, extract, ..room.to("target") }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_in_the_target_are_kept_refused_or_deleted_as_asked() {
    for levels in [1, 3] {
        let room = Room::new();
        plant(&room.source());
        for level in 0..levels {
            room.backup(room.incremental(T0 + level * DAY)).await.unwrap();
            change(&room.source(), level as u64 + 1);
        }
        occupied(&room);
        let before = tree(&room.path("target"));
        let error = room.restore(with(&room, Existing::Refuse, false)).await.unwrap_err();
        assert!(error.to_string().contains("'a' already exists"), "{error}");
        let mut after = tree(&room.path("target"));
        // A folder in which something was made and removed has other times.
        after.get_mut(".").unwrap().mtime = before["."].mtime;
        assert_same(&after, &before);

        let report = room.restore(with(&room, Existing::Keep, false)).await.unwrap();
        assert!(!report.is_partial && report.problems.iter().any(|problem| problem.kind == "kept"));
        let read = |name: &str| std::fs::read_to_string(room.path("target").join(name)).unwrap();
        assert_eq!(
            (read("a"), read("foreign"), read("sub/foreign")),
            ("mine".into(), "mine".into(), "mine".into())
        );
        assert!(room.path("target/sub/big").exists());

        let report = room.restore(with(&room, Existing::Replace, true)).await.unwrap();
        assert!(!report.is_partial, "{:?}", report.problems);
        assert_eq!(report.deleted, 5, "foreign, sub/foreign, sub/deep, sub/deep/foreign and the file in it");
        room.restore(room.to("fresh")).await.unwrap();
        assert_same(&tree(&room.path("target")), &tree(&room.path("fresh")));
    }
}

/// Whether a dry run tells so many objects that would go.
fn would_delete(report: &RestoreReport, count: u64) -> bool {
    report.warnings.iter().any(|text| text.contains(&format!("would delete {count} objects: ")))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_mounted_in_the_target_is_filled_and_not_emptied() {
    for levels in [1, 3] {
        let room = Room::new();
        plant(&room.source());
        std::fs::create_dir_all(room.source().join("mnt/deep")).unwrap();
        std::fs::write(room.source().join("mnt/deep/file"), "saved").unwrap();
        std::fs::hard_link(room.source().join("mnt/deep/file"), room.source().join("mnt/linked")).unwrap();
        for level in 0..levels {
            room.backup(room.incremental(T0 + level * DAY)).await.unwrap();
            change(&room.source(), level as u64 + 1);
        }
        occupied(&room);
        let _mounted = Small::mount(room.path("target/mnt"));
        let precious = ["target/mnt/precious", "target/mnt/old/precious"].map(|name| room.path(name));
        std::fs::create_dir(room.path("target/mnt/old")).unwrap();
        precious.iter().for_each(|path| std::fs::write(path, "mine").unwrap());
        // Of a folder that goes, all goes but what is mounted in it.
        std::fs::create_dir(room.path("target/old")).unwrap();
        let mounted_below = Small::mount(room.path("target/old/mnt"));
        for name in ["target/old/file", "target/old/mnt/precious", "target/old/zero"] {
            std::fs::write(room.path(name), "mine").unwrap();
        }
        let _listener = std::os::unix::net::UnixListener::bind(room.path("target/old/socket")).unwrap();
        let over = with(&room, Existing::Replace, true);
        let dry = room.restore(RestoreRequest { dry_run: true, ..over.clone() }).await.unwrap();
        assert!(would_delete(&dry, 8) && dry.spared == 2, "{:?}", dry.warnings);

        let report = room.restore(over).await.unwrap();
        assert!(!report.is_partial, "{:?}", report.problems);
        assert_eq!((report.deleted, report.spared), (8, 2));
        for report in [&dry, &report] {
            for (kind, path) in [("mount", "mnt"), ("undeleted", "old/mnt")] {
                let told: Vec<_> = report.problems.iter().filter(|problem| problem.kind == kind).collect();
                assert!(told.len() == 1 && told[0].path == path, "{:?}", report.problems);
            }
        }
        precious.iter().for_each(|path| assert_eq!(std::fs::read(path).unwrap(), b"mine"));
        assert_eq!(std::fs::read(room.path("target/old/mnt/precious")).unwrap(), b"mine");
        drop(mounted_below);
        std::fs::remove_dir(room.path("target/old/mnt")).unwrap();
        std::fs::remove_dir(room.path("target/old")).unwrap();
        let inode = |name: &str| std::fs::metadata(room.path("target/mnt").join(name)).unwrap().ino();
        assert_eq!(inode("deep/file"), inode("linked"));
        std::fs::remove_file(&precious[0]).unwrap();
        std::fs::remove_dir_all(room.path("target/mnt/old")).unwrap();
        room.restore(room.to("fresh")).await.unwrap();
        let (mut found, expected) = (tree(&room.path("target")), tree(&room.path("fresh")));
        for name in [".", "mnt"] {
            found.get_mut(name).unwrap().mtime = expected[name].mtime;
        }
        assert_same(&found, &expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_backup_left_out_or_could_not_save_is_not_deleted() {
    let room = Room::new();
    let source = |name: &str| room.source().join(name);
    plant(&room.source());
    std::fs::create_dir(source("cache")).unwrap();
    let mounted = Small::mount(source("db"));
    for name in ["a.log", "cache/x", "db/precious"] {
        std::fs::write(source(name), "mine").unwrap();
    }
    let _listener = std::os::unix::net::UnixListener::bind(source("socket")).unwrap();
    let (excludes, rules) = (vec![b"*.log".to_vec()], Rules::new(&["/cache/".to_owned()], &[]).unwrap());
    let saved = Source { excludes: excludes.clone(), rules: rules.clone(), ..Source::new(room.source()) };
    room.backup(BackupRequest { source: saved, ..room.request(T0) }).await.unwrap();
    std::fs::create_dir(source("new")).unwrap();
    for name in ["foreign", "new/keep.log", "new/other"] {
        std::fs::write(source(name), "mine").unwrap();
    }

    let over = RestoreRequest { overwrite: true, delete_foreign: true, ..room.to("source") };
    for dry_run in [true, false] {
        let error = room.restore(RestoreRequest { dry_run, ..over.clone() }).await.unwrap_err();
        assert!(error.to_string().contains("delete_excluded"), "{error}");
    }
    assert!(source("foreign").exists(), "nothing is done before it is clear");
    let told = RestoreRequest { left_out: LeftOut::new(&excludes, rules), ..over.clone() };
    let dry = room.restore(RestoreRequest { dry_run: true, ..told.clone() }).await.unwrap();
    assert!(would_delete(&dry, 2) && dry.spared == 5, "{:?}", dry.warnings);
    let report = room.restore(told).await.unwrap();
    assert_eq!((report.deleted, report.spared), (2, 5), "foreign and new/other");
    for name in ["a.log", "cache/x", "db/precious", "socket", "new/keep.log"] {
        assert!(source(name).exists(), "{name}");
    }

    // Where something else was mounted when it was saved, the backup knows nothing.
    drop(mounted);
    std::fs::write(source("db/plain"), "mine").unwrap();
    let report = room.restore(RestoreRequest { delete_excluded: true, ..over }).await.unwrap();
    assert_eq!((report.deleted, report.spared), (5, 2), "a.log, cache and new with what is in them");
    assert!(source("db/plain").exists() && source("socket").exists() && !source("cache").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_backup_holds_and_cannot_be_restored_is_not_deleted() {
    let room = Room::new();
    for name in ["first", "third"] {
        std::fs::write(room.source().join(name), "saved").unwrap();
    }
    std::fs::hard_link(room.source().join("first"), room.source().join("second")).unwrap();
    UpstreamLevel { chain: T0, timestamp: T0, level: 0, codec: "gzip", encrypt: None }.make(&room, None);
    // The file that the second one is a link to is not in the archive any more.
    let data = room.path(&format!("store/data/tar/{HOST}_{NAME}/{T0}/0_{T0}/data"));
    shell(&format!(
        "cd '{}' && gzip -dc < '{data}' > plain && tar --delete --file=plain ./first && gzip < plain > '{data}'",
        room.folder.path().display(),
        data = data.display()
    ));
    std::fs::create_dir_all(room.path("target/third")).unwrap();
    for name in ["second", "third/mine", "foreign"] {
        std::fs::write(room.path("target").join(name), "mine").unwrap();
    }
    let report = room.restore(with(&room, Existing::Replace, true)).await.unwrap();
    let told: Vec<(&str, &str)> =
        report.problems.iter().map(|problem| (problem.path.as_str(), problem.kind.as_str())).collect();
    assert_eq!(told, [("second", "unwritable"), ("third", "unwritable")]);
    assert!(report.is_partial && !room.path("target/foreign").exists());
    assert_eq!((report.deleted, report.spared), (1, 1));
    for name in ["second", "third/mine"] {
        assert_eq!(std::fs::read(room.path("target").join(name)).unwrap(), b"mine", "{name}");
    }
    // No journal is kept of such a restore: nobody could go on with what could not be moved.
    let left = names(&tree(&room.path("target"))).join(" ");
    assert!(!left.contains(".freezer-"), "{left}");
    assert!(report.warnings.iter().all(|text| !text.contains("could not be moved")), "{:?}", report.warnings);
}

#[tokio::test(flavor = "multi_thread")]
async fn places_of_snapshots_are_nothing_that_was_left_out() {
    let room = Room::new();
    for name in ["place", "sub/place"] {
        std::fs::create_dir_all(room.source().join(name)).unwrap();
    }
    let source = Source { places: vec!["place".to_owned()], ..Source::new(room.source()) };
    room.backup(BackupRequest { source, ..room.request(T0) }).await.unwrap();
    std::fs::create_dir(room.path("target")).unwrap();
    room.restore(with(&room, Existing::Replace, true)).await.unwrap();
    assert_eq!(names(&tree(&room.path("target"))), [".", "sub", "sub/place"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_moved_is_not_restored_again() {
    let room = saved().await;
    std::fs::create_dir_all(room.path("target/a")).unwrap();
    std::fs::write(room.path("target/a/mine"), "mine").unwrap();
    let over = RestoreRequest { overwrite: true, ..room.to("target") };
    let report = room.restore(over.clone()).await.unwrap();
    assert!(report.is_partial && report.problems[0].path == "a", "{:?}", report.problems);
    let is_told =
        |report: &RestoreReport| report.warnings.iter().any(|text| text.contains("could not be moved"));
    assert!(is_told(&report), "{:?}", report.warnings);
    assert_eq!(std::fs::read(room.path("target/a/mine")).unwrap(), b"mine");
    std::fs::remove_dir_all(room.path("target/a")).unwrap();
    let report = room.restore(over).await.unwrap();
    assert!(!report.is_partial && !is_told(&report), "{report:?}");
    assert_eq!(report.bytes_written, 0);
    room.restore(room.to("fresh")).await.unwrap();
    assert_same(&tree(&room.path("target")), &tree(&room.path("fresh")));
}

#[tokio::test(flavor = "multi_thread")]
async fn owners_are_changed_as_asked() {
    assert!(rustix::process::geteuid().is_root(), "owners are root's business");
    let room = Room::new();
    for (name, uid, gid) in [("one", 12_345, 54_321), ("two", 1, 1)] {
        std::fs::write(room.source().join(name), name).unwrap();
        std::os::unix::fs::chown(room.source().join(name), Some(uid), Some(gid)).unwrap();
    }
    room.backup(room.request(T0)).await.unwrap();
    let owners = async |target: &str, extract: Extract| {
        room.restore(RestoreRequest { extract, ..room.to(target) }).await.unwrap();
        ["one", "two"].map(|name| {
            let facts = std::fs::metadata(room.path(target).join(name)).unwrap();
            (facts.uid(), facts.gid())
        })
    };
    assert_eq!(owners("same", Extract::default()).await, [(12_345, 54_321), (1, 1)]);
    let owner_map = OwnerMap::parse(&["user:12345=777", "user:daemon=778", "group:*=0"]).unwrap();
    assert_eq!(owners("mapped", Extract { owner_map, ..Extract::default() }).await, [(777, 0), (778, 0)]);
    assert_eq!(
        owners("mine", Extract { restore_owner: false, ..Extract::default() }).await,
        [(0, 0), (0, 0)]
    );
}
