//! Restores that were interrupted go on when they are started again, and end as if nothing had been.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use freezer_storage::{Counted, Counts, Fault, FaultKind, Faulty, LocalStore, Method, Store};
use freezer_vault::backup::Source;
use freezer_vault::codecs::{Compression, CompressionOptions};
use freezer_vault::restore::{Existing, Selection};
use freezer_vault::tar::Extract;
use freezer_vault::{BackupRequest, Monitor, RestoreReport, RestoreRequest, VaultError, restore};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::*;

/// A tree of files, none of which is large, with links and holes.
fn plant_many(root: &Path, seed: u64) {
    for folder in ["first", "many", "many/below"] {
        std::fs::create_dir_all(root.join(folder)).unwrap();
        for number in 0..10 {
            std::fs::write(root.join(format!("{folder}/{number}")), noise(seed + number, 100_000)).unwrap();
        }
    }
    std::fs::hard_link(root.join("first/0"), root.join("many/linked")).unwrap();
    std::os::unix::fs::symlink("first/0", root.join("symbolic")).unwrap();
    let sparse = std::fs::File::create(root.join("first/sparse")).unwrap();
    sparse.set_len(1 << 20).unwrap();
    std::os::unix::fs::FileExt::write_at(&sparse, b"data", 500_000).unwrap();
}

/// In pieces of this size, so that there are several.
fn pieces(request: BackupRequest) -> BackupRequest {
    BackupRequest { max_segment_size_bytes: 300_000, ..request }
}

async fn saved(format: Compression) -> Room {
    let room = Room::new();
    plant_many(&room.source(), 1);
    let compression = CompressionOptions::of(format);
    room.backup(pieces(BackupRequest { compression, ..room.request(T0) })).await.unwrap();
    room
}

/// Three levels of a tree that changes.
async fn saved_chain(secret: Option<&str>) -> Room {
    let room = Room::new();
    let request =
        |now| pieces(BackupRequest { encryption: secret.and_then(encryption), ..room.incremental(now) });
    plant_many(&room.source(), 1);
    plant_before_now(&room.source());
    room.backup(request(T0)).await.unwrap();
    for round in 1..3u64 {
        change(&room.source(), round);
        std::fs::write(room.source().join("many/5"), noise(100 + round, 400_000)).unwrap();
        std::fs::remove_file(room.source().join(format!("first/{round}"))).unwrap();
        room.backup(request(T0 + round as i64 * DAY)).await.unwrap();
    }
    room
}

/// Restores while the storage refuses its `nth` answer.
async fn try_broken_at(room: &Room, nth: u64, request: RestoreRequest) -> Result<RestoreReport, VaultError> {
    let faults = vec![Fault { method: Method::Get, nth, kind: FaultKind::Refused }];
    let store: Arc<dyn Store> = Arc::new(Faulty::new(room.store.clone(), faults));
    restore(store, request, Arc::new(Monitor::new())).await
}

async fn broken_at(room: &Room, nth: u64, request: RestoreRequest) {
    let error = try_broken_at(room, nth, request).await.expect_err("the storage was there");
    assert!(matches!(error, VaultError::Store(_)), "{nth}: {error}");
}

/// Restores, and counts how often the storage is asked for an object.
async fn counted(room: &Room, request: RestoreRequest) -> (RestoreReport, u64) {
    let counts = Counts::default();
    let store: Arc<dyn Store> = Arc::new(Counted::new(room.store.clone(), counts.clone()));
    let report = restore(store, request, Arc::new(Monitor::new())).await.unwrap();
    (report, counts.calls(Method::Get))
}

/// What a restore keeps in its target while it is at work: the journal, and the folder.
fn kept(target: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(target) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    let is_kept = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with(".freezer-");
    let mut found: Vec<PathBuf> = paths.filter(is_kept).collect();
    found.sort();
    found
}

fn journal(target: &Path) -> Option<PathBuf> {
    kept(target).into_iter().find(|path| path.extension().is_some_and(|end| end == "journal"))
}

fn staging(target: &Path) -> PathBuf {
    kept(target).into_iter().find(|path| path.is_dir()).expect("a folder")
}

/// Interrupts a restore at each of the storage's answers that `picks` takes, and goes on. Answers the last two reports: of a whole
/// restore, and of one that goes on.
async fn goes_on(
    room: &Room,
    make: impl Fn(&str) -> RestoreRequest,
    picks: impl Fn(u64, u64) -> bool,
) -> (RestoreReport, RestoreReport) {
    let (whole, total) = counted(room, make("whole")).await;
    let expected = tree(&room.path("whole"));
    assert_eq!((whole.already_there, kept(&room.path("whole"))), (0, Vec::new()));
    let mut last = None;
    for nth in (1..=total).filter(|nth| picks(*nth, total)) {
        let target = format!("target {nth}");
        broken_at(room, nth, make(&target)).await;
        if let Some(journal) = journal(&room.path(&target)) {
            let mode = std::fs::metadata(journal).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{nth}: a journal is nobody else's business");
        }
        let report = room.expect(make(&target), &expected).await;
        assert_eq!(report.files, whole.files, "{nth}");
        assert_eq!(report.warnings, whole.warnings, "{nth}");
        last = Some(report);
    }
    (whole, last.expect("something was interrupted"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_goes_on_wherever_it_was_interrupted() {
    for format in [Compression::None, Compression::Zstd] {
        let room = saved(format).await;
        let (whole, last) = goes_on(&room, |name| room.to(name), |_, _| true).await;
        assert_same(&tree(&room.path("whole")), &tree(&room.source()));
        if format == Compression::None {
            assert!(last.already_there > 20, "{} files", last.already_there);
            assert!(last.bytes_written < whole.bytes_written / 2, "{} bytes", last.bytes_written);
        }
        let late = (1..=10).rev().map(|nth| room.path(&format!("target {nth}"))).find(|path| path.exists());
        let inode = |name: &str| {
            let facts = std::fs::metadata(late.as_ref().unwrap().join(name)).unwrap();
            (facts.ino(), facts.nlink())
        };
        assert_eq!(inode("first/0"), inode("many/linked"));
        assert_eq!(inode("first/0").1, 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_there_is_not_even_fetched() {
    let room = Room::new();
    for number in 0..60 {
        std::fs::write(room.source().join(format!("file {number}")), noise(number + 1, 100_000)).unwrap();
    }
    let compression = CompressionOptions::of(Compression::None);
    room.backup(pieces(BackupRequest { compression, ..room.request(T0) })).await.unwrap();
    let (whole, last) = goes_on(&room, |name| room.to(name), |nth, total| nth == total).await;
    assert!(last.already_there > 40, "{} files", last.already_there);
    assert!(last.bytes_fetched < whole.bytes_fetched / 2, "{} bytes", last.bytes_fetched);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_archive_can_be_read_again_without_its_table() {
    let room = saved(Compression::None).await;
    let make = |name: &str| RestoreRequest { reads_whole: true, ..room.to(name) };
    let (whole, last) = goes_on(&room, make, |nth, total| nth + 1 >= total).await;
    assert!(last.already_there > 20, "{} files", last.already_there);
    assert!(last.bytes_written < whole.bytes_written / 2);
    assert_eq!(last.bytes_fetched, whole.bytes_fetched);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_goes_on_with_the_level_it_was_interrupted_in() {
    let room = saved_chain(None).await;
    let picks = |nth: u64, total: u64| nth % 3 == 0 || nth + 3 > total;
    let (whole, last) = goes_on(&room, |name| room.to(name), picks).await;
    assert_same(&tree(&room.path("whole")), &tree(&room.source()));
    assert_eq!(whole.levels.len(), 3);
    assert!(last.already_there > 20, "{} files", last.already_there);
    assert!(last.bytes_fetched < whole.bytes_fetched / 4, "{} bytes", last.bytes_fetched);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_chain_goes_on_too() {
    let room = saved_chain(Some("secret")).await;
    let make = |name: &str| RestoreRequest { pass_phrase: Some(pass("secret")), ..room.to(name) };
    let (_, last) = goes_on(&room, make, |nth, total| nth == total || nth == total / 2).await;
    assert_same(&tree(&room.path("whole")), &tree(&room.source()));
    assert!(last.already_there > 20, "{} files", last.already_there);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_over_files_goes_on() {
    let room = saved(Compression::None).await;
    let (_, total) = counted(&room, room.to("whole")).await;
    let occupy = |target: &str| {
        plant_many(&room.path(target), 50);
        std::fs::write(room.path(target).join("many/foreign"), "mine").unwrap();
    };
    for (existing, delete_foreign) in
        [(Existing::Replace, false), (Existing::Replace, true), (Existing::Keep, false)]
    {
        let make = |name: &str| {
            let extract = Extract { existing, ..Extract::default() };
            RestoreRequest { overwrite: true, delete_foreign, extract, ..room.to(name) }
        };
        let names =
            [format!("{existing:?} {delete_foreign}"), format!("{existing:?} {delete_foreign} twice")];
        names.iter().for_each(|name| occupy(name));
        let once = room.restore(make(&names[0])).await.unwrap();
        broken_at(&room, total, make(&names[1])).await;
        assert!(journal(&room.path(&names[1])).is_some());
        let twice = room.restore(make(&names[1])).await.unwrap();
        let mut found = tree(&room.path(&names[1]));
        let expected = tree(&room.path(&names[0]));
        // What was there before keeps its time, and was planted twice.
        for (name, entry) in found.iter_mut() {
            if existing == Existing::Keep || name == "many/foreign" {
                entry.mtime = expected[name].mtime;
            }
        }
        assert_same(&found, &expected);
        assert_eq!(room.path(&names[1]).join("many/foreign").exists(), !delete_foreign);
        assert!(twice.already_there > 20, "{} files", twice.already_there);
        assert_eq!((twice.deleted, twice.is_partial), (once.deleted, once.is_partial));
        assert_eq!(twice.problem_count, once.problem_count);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_of_a_chain_go_on() {
    let room = saved_chain(None).await;
    let make = |name: &str| {
        let only = Selection::of(&["many", "sub", "gone"]).unwrap();
        RestoreRequest { extract: Extract { only, ..Extract::default() }, ..room.to(name) }
    };
    let (whole, total) = counted(&room, make("whole")).await;
    assert!(whole.is_partial, "one of the parts is in no backup");
    for nth in (1..=total).filter(|nth| nth % 2 == 0 || nth + 3 > total) {
        let target = format!("target {nth}");
        // Without its table of contents, a level is read whole.
        let report = match try_broken_at(&room, nth, make(&target)).await {
            Ok(report) => report,
            Err(_) => room.restore(make(&target)).await.unwrap(),
        };
        assert_same(&tree(&room.path(&target)), &tree(&room.path("whole")));
        assert_eq!(report.problems, whole.problems);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_changed_between_is_written_again() {
    let room = saved(Compression::None).await;
    let expected = tree(&room.source());
    let (_, total) = counted(&room, room.to("whole")).await;
    broken_at(&room, total, room.to("untouched")).await;
    let untouched = room.expect(room.to("untouched"), &expected).await;

    broken_at(&room, total, room.to("target")).await;
    let target = room.path("target");
    let file = std::fs::File::options().write(true).open(target.join("first/1")).unwrap();
    let modified = file.metadata().unwrap().modified().unwrap();
    std::os::unix::fs::FileExt::write_at(&file, b"not what it was", 50_000).unwrap();
    file.set_modified(modified).unwrap();
    std::fs::set_permissions(target.join("first/2"), std::fs::Permissions::from_mode(0o700)).unwrap();
    std::fs::remove_file(target.join("first/3")).unwrap();
    let report = room.expect(room.to("target"), &expected).await;
    assert_eq!(report.already_there + 3, untouched.already_there);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_begins_anew_when_somebody_changed_what_it_is_built_on() {
    let room = saved_chain(None).await;
    let expected = tree(&room.source());
    let (_, total) = counted(&room, room.to("whole")).await;
    for (round, touch) in [
        (|folder: PathBuf| std::fs::write(folder.join("sub/big"), "mine").unwrap()) as fn(PathBuf),
        |folder: PathBuf| std::fs::remove_file(folder.join("many/7")).unwrap(),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("target {round}");
        broken_at(&room, total, room.to(&name)).await;
        touch(staging(&room.path(&name)));
        let report = room.expect(room.to(&name), &expected).await;
        assert_eq!(report.already_there, 0);
        assert!(report.warnings.iter().any(|text| text.contains("begins anew")), "{:?}", report.warnings);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_files_that_came_between_are_left_alone() {
    let room = saved(Compression::None).await;
    let expected = tree(&room.source());
    let (_, total) = counted(&room, room.to("whole")).await;
    // In the middle: the last folder has begun, and is not complete.
    broken_at(&room, total - 1, room.to("target")).await;
    let target = room.path("target");
    std::fs::write(target.join("foreign"), "mine").unwrap();
    let error = room.restore(room.to("target")).await.unwrap_err();
    assert!(matches!(error, VaultError::TargetNotEmpty { .. }), "{error}");
    std::fs::remove_file(target.join("foreign")).unwrap();

    let missing = expected.keys().filter(|name| name.starts_with("many/below/"));
    let missing =
        missing.map(|name| target.join(name)).find(|path| !path.exists()).expect("a file that is missing");
    std::fs::create_dir_all(missing.parent().unwrap()).unwrap();
    std::fs::write(&missing, "mine").unwrap();
    let error = room.restore(room.to("target")).await.unwrap_err();
    assert!(error.to_string().contains("already exists"), "{error}");
    assert_eq!(std::fs::read(&missing).unwrap(), b"mine");
    std::fs::remove_file(&missing).unwrap();

    // What somebody has edited since is theirs, too.
    let edited = target.join("first/1");
    std::fs::write(&edited, "mine").unwrap();
    let later = std::time::SystemTime::now() + Duration::from_secs(60);
    std::fs::File::options().write(true).open(&edited).unwrap().set_modified(later).unwrap();
    let error = room.restore(room.to("target")).await.unwrap_err();
    assert!(error.to_string().contains("'first/1' already exists"), "{error}");
    assert_eq!(std::fs::read(&edited).unwrap(), b"mine");
    let over = RestoreRequest { overwrite: true, ..room.to("target") };
    let report = room.expect(over, &expected).await;
    assert!(report.already_there > 0);
}

/// Who may write into the target may put a link in the place of what lies there.
#[tokio::test(flavor = "multi_thread")]
async fn no_link_is_taken_for_the_folder_of_an_interrupted_restore() {
    let room = saved_chain(None).await;
    let (_, total) = counted(&room, room.to("whole")).await;
    broken_at(&room, total, room.to("target")).await;
    let folder = staging(&room.path("target"));
    std::fs::rename(&folder, room.path("elsewhere")).unwrap();
    let before = tree(&room.path("elsewhere"));
    std::os::unix::fs::symlink(room.path("elsewhere"), &folder).unwrap();
    let report = room.expect(room.to("target"), &tree(&room.source())).await;
    assert_eq!(report.already_there, 0);
    assert!(report.warnings.iter().any(|text| text.contains("its folder is gone")), "{:?}", report.warnings);
    assert_same(&tree(&room.path("elsewhere")), &before);
}

/// In a chain, deletions are replayed, which foreign files must not be hit by.
#[tokio::test(flavor = "multi_thread")]
async fn foreign_files_beside_an_interrupted_chain_are_left_alone() {
    let room = saved_chain(None).await;
    let (_, total) = counted(&room, room.to("whole")).await;
    broken_at(&room, total, room.to("target")).await;
    let foreign = room.path("target/sub/foreign");
    std::fs::create_dir(room.path("target/sub")).unwrap();
    std::fs::write(&foreign, "mine").unwrap();
    let error = room.restore(room.to("target")).await.unwrap_err();
    assert!(matches!(error, VaultError::TargetNotEmpty { .. }), "{error}");
    let report = room.restore(RestoreRequest { overwrite: true, ..room.to("target") }).await.unwrap();
    assert!(report.already_there > 20, "{} files", report.already_there);
    assert_eq!(std::fs::read(&foreign).unwrap(), b"mine");
    std::fs::remove_file(&foreign).unwrap();
    let mut found = tree(&room.path("target"));
    let expected = tree(&room.source());
    found.get_mut("sub").unwrap().mtime = expected["sub"].mtime;
    assert_same(&found, &expected);

    // What was being moved over files of others, who had allowed it, asks again.
    broken_at(&room, total, room.to("over")).await;
    let foreign = room.path("over/foreign");
    std::fs::write(&foreign, "mine").unwrap();
    let path = journal(&room.path("over")).unwrap();
    let begun = "m {\"existing\":\"replace\",\"is_alone\":false,\"problems\":[]}\n";
    let mut file = std::fs::File::options().append(true).open(&path).unwrap();
    std::io::Write::write_all(&mut file, begun.as_bytes()).unwrap();
    drop(file);
    let error = room.restore(room.to("over")).await.unwrap_err();
    assert!(matches!(error, VaultError::TargetNotEmpty { .. }), "{error}");
    assert!(path.exists() && staging(&room.path("over")).exists(), "it goes on when that is said");
    assert_eq!(std::fs::read(&foreign).unwrap(), b"mine");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_restore_takes_the_place_of_an_interrupted_one() {
    let room = saved_chain(None).await;
    std::fs::create_dir(room.path("other")).unwrap();
    std::fs::write(room.path("other/file"), "of another backup").unwrap();
    let other = BackupRequest::new(HOST, "other", Source::new(room.path("other")), T0);
    room.backup(other).await.unwrap();
    let other = |name: &str| RestoreRequest { backup_name: "other".into(), ..room.to(name) };
    let (_, total) = counted(&room, room.to("whole")).await;

    broken_at(&room, total, room.to("target")).await;
    assert_eq!(kept(&room.path("target")).len(), 2);
    let report = room.expect(other("target"), &tree(&room.path("other"))).await;
    assert_eq!(report.already_there, 0);
    assert!(report.warnings.iter().any(|text| text.contains("will not go on")), "{:?}", report.warnings);
    // The same backup of another day is another restore as well.
    broken_at(&room, total, room.to("older")).await;
    let older = |name: &str| RestoreRequest { not_after_secs: Some(T0), ..room.to(name) };
    room.restore(older("old")).await.unwrap();
    room.expect(older("older"), &tree(&room.path("old"))).await;
    // What was restored into the target itself stays there, and is in the way.
    let (_, total) = counted(&room, older("old again")).await;
    broken_at(&room, total - 1, older("direct")).await;
    assert!(journal(&room.path("direct")).is_some());
    let error = room.restore(other("direct")).await.unwrap_err();
    assert!(matches!(error, VaultError::TargetNotEmpty { .. }), "{error}");
    let over = RestoreRequest { overwrite: true, delete_foreign: true, ..other("direct") };
    room.expect(over, &tree(&room.path("other"))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_was_copied_or_torn_is_not_believed() {
    let room = saved(Compression::None).await;
    let expected = tree(&room.source());
    let (_, total) = counted(&room, room.to("whole")).await;
    // Its last line is half a line, as a full disk leaves it.
    broken_at(&room, total, room.to("torn")).await;
    let path = journal(&room.path("torn")).unwrap();
    let length = std::fs::metadata(&path).unwrap().len();
    std::fs::File::options().write(true).open(&path).unwrap().set_len(length - 5).unwrap();
    let report = room.expect(room.to("torn"), &expected).await;
    assert!(report.already_there > 20, "{} files", report.already_there);
    // A copy has another inode: whatever it tells, nobody has done it here.
    broken_at(&room, total, room.to("copied")).await;
    let path = journal(&room.path("copied")).unwrap();
    let text = std::fs::read(&path).unwrap();
    std::fs::rename(&path, room.path("aside")).unwrap();
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let error = room.restore(room.to("copied")).await.unwrap_err();
    assert!(matches!(error, VaultError::TargetNotEmpty { .. }), "{error}");
    assert!(path.exists(), "what is not ours is not deleted");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_start_of_the_machine_nothing_is_believed() {
    for room in [saved(Compression::None).await, saved_chain(None).await] {
        let expected = tree(&room.source());
        let (_, total) = counted(&room, room.to("whole")).await;
        broken_at(&room, total, room.to("target")).await;
        let path = journal(&room.path("target")).unwrap();
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
        let other = boot.trim().replace(|digit: char| digit.is_ascii_hexdigit(), "0");
        // In its place, as a copy would not be believed for another reason.
        let text = String::from_utf8(std::fs::read(&path).unwrap()).unwrap().replace(boot.trim(), &other);
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, text.as_bytes(), 0).unwrap();
        let report = room.expect(room.to("target"), &expected).await;
        assert_eq!(report.already_there, 0);
    }
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !done() {
        assert!(Instant::now() < deadline, "{what} did not happen in time");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_of_the_same_restore_do_not_meet() {
    let room = saved_chain(None).await;
    let (_, total) = counted(&room, room.to("whole")).await;
    let kind = FaultKind::Slow(Duration::from_secs(600));
    let faults = vec![Fault { method: Method::Get, nth: total, kind }];
    let store: Arc<dyn Store> = Arc::new(Faulty::new(room.store.clone(), faults));
    let monitor = Arc::new(Monitor::new());
    let first = tokio::spawn(restore(store, room.to("target"), monitor.clone()));
    until("the first one's journal", || journal(&room.path("target")).is_some()).await;
    let error = room.restore(room.to("target")).await.unwrap_err();
    assert!(matches!(error, VaultError::TargetInUse { .. }), "{error}");
    monitor.cancel();
    let error = first.await.unwrap().unwrap_err();
    assert!(matches!(error, VaultError::Cancelled), "{error}");
    room.expect(room.to("target"), &tree(&room.source())).await;
}

/// The body of the process killed by [`a_killed_restore_goes_on`]; does nothing on its own.
#[tokio::test(flavor = "multi_thread")]
async fn restoring_victim() {
    let Ok(root) = std::env::var("VAULT_RESTORING_ROOT") else { return };
    let root = PathBuf::from(root);
    let store: Arc<dyn Store> = Arc::new(LocalStore::new(root.join("store")));
    let target = std::env::var("VAULT_RESTORING_TARGET").unwrap();
    let request = RestoreRequest::new(HOST, NAME, root.join(target));
    restore(store, request, Arc::new(Monitor::new())).await.unwrap();
}

/// Kills a restore when it has noted some files. Answers whether that was before its end.
async fn kill_in_the_middle(room: &Room, target: &str) -> bool {
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["restoring_victim", "--exact", "--nocapture"])
        .env("VAULT_RESTORING_ROOT", room.folder.path())
        .env("VAULT_RESTORING_TARGET", target)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let notes = || {
        let text = journal(&room.path(target)).and_then(|path| std::fs::read(path).ok()).unwrap_or_default();
        text.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"f ")).count()
    };
    until("the first notes", || notes() > 5 || child.try_wait().unwrap().is_some()).await;
    let _ = child.kill();
    child.wait().unwrap();
    journal(&room.path(target)).is_some()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_restore_goes_on() {
    let room = Room::new();
    for number in 0..60 {
        std::fs::write(room.source().join(format!("file {number}")), noise(number + 1, 2_000_000)).unwrap();
    }
    let compression = CompressionOptions::of(Compression::None);
    room.backup(BackupRequest { compression, ..room.incremental(T0) }).await.unwrap();
    for (levels, name) in [(1, "one level"), (2, "two levels")] {
        if levels == 2 {
            std::fs::write(room.source().join("file 7"), "changed").unwrap();
            room.backup(room.incremental(T0 + DAY)).await.unwrap();
        }
        let mut attempts = 0;
        let target = loop {
            attempts += 1;
            assert!(attempts < 20, "it always came to its end");
            let target = format!("{name} {attempts}");
            if kill_in_the_middle(&room, &target).await {
                break target;
            }
        };
        let report = room.expect(room.to(&target), &tree(&room.source())).await;
        assert_eq!(report.levels.len(), levels);
        assert!(report.already_there > 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_filled_the_disk_goes_on_when_there_is_room() {
    for room in [saved(Compression::None).await, saved_chain(None).await] {
        let expected = tree(&room.source());
        let small = Small::mount(room.path("small"));
        let error = room.restore(room.to("small/target")).await.unwrap_err();
        assert!(error.to_string().contains("space"), "{error}");
        // It stays full: what was done is not lost by another attempt.
        let again = room.restore(room.to("small/target")).await.unwrap_err();
        assert!(again.to_string().contains("space"), "{again}");
        small.grow();
        let report = room.expect(room.to("small/target"), &expected).await;
        assert!(report.already_there > 10, "{} files", report.already_there);
    }
}

/// Nothing can be renamed into it: what was carried there before it was full is carried again, and nothing is fetched again.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_mounted_in_the_target_may_be_full_for_a_time() {
    let room = saved_chain(None).await;
    for existing in [Existing::Replace, Existing::Refuse] {
        let name = format!("target {existing:?}");
        let target = room.path(&name);
        std::fs::create_dir(&target).unwrap();
        let small = Small::mount(target.join("many"));
        let over = || {
            let extract = Extract { existing, ..Extract::default() };
            RestoreRequest { overwrite: true, extract, ..room.to(&name) }
        };
        let error = room.restore(over()).await.unwrap_err();
        assert!(error.to_string().contains("space"), "{error}");
        small.grow();
        let report = room.expect(over(), &tree(&room.source())).await;
        assert_eq!((report.bytes_written, kept(&target)), (0, Vec::new()));
    }
}
