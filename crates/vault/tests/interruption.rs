//! Cancelling, failing stores, and two at once: nothing unfinished is ever visible.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use freezer_storage::{Fault, FaultKind, Faulty, LocalStore, Method, Store};
use freezer_vault::codecs::{Compression, CompressionOptions};
use freezer_vault::encryption::EncryptionOptions;
use freezer_vault::{BackupRequest, Monitor, RestoreRequest, VaultError, backup, catalogue, restore};
use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::*;

async fn visible(room: &Room) -> usize {
    let found = catalogue::list(&room.store, &hbn()).await.unwrap();
    found.chains.iter().flat_map(|chain| chain.existing()).count()
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !done() {
        assert!(Instant::now() < deadline, "{what} did not happen in time");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Enough that a backup takes a while.
fn plant_much(room: &Room) {
    for number in 0..40 {
        std::fs::write(room.source().join(format!("file {number}")), noise(number + 1, 2_000_000)).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_backups_leave_nothing() {
    for (format, encryption) in [
        (Compression::Xz, encryption("x")),
        (Compression::Zstd, encryption("x")),
        (Compression::None, encryption("x")),
        (Compression::None, sealed("x")),
    ] {
        let room = Room::new();
        plant_much(&room);
        let monitor = Arc::new(Monitor::new());
        let compression = CompressionOptions::of(format);
        let request = BackupRequest { compression, encryption, ..room.request(T0) };
        let task = tokio::spawn(backup(room.store.clone(), request, monitor.clone()));
        until("reading", || monitor.progress().bytes_read > 1_000_000).await;
        let asked = Instant::now();
        monitor.cancel();
        let error = task.await.unwrap().unwrap_err();
        assert!(matches!(error, VaultError::Cancelled), "{error}");
        assert!(asked.elapsed() < Duration::from_secs(60), "{format}: promptly");
        assert_eq!(room.objects(), Vec::<String>::new());
        assert!(!is_locked(&room));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_backup_tidies_up() {
    let room = Room::new();
    plant_much(&room);
    let monitor = Arc::new(Monitor::new());
    let task = tokio::spawn(backup(room.store.clone(), room.request(T0), monitor.clone()));
    until("reading", || monitor.progress().bytes_read > 1_000_000).await;
    task.abort();
    until("tidying", || room.objects().is_empty() && !is_locked(&room)).await;
    // The name is free again.
    room.backup(room.request(T0 + 1)).await.unwrap();
}

fn is_locked(room: &Room) -> bool {
    let locks = room.path("store/data/tar/host1_daily job/locks");
    locks.exists() && tree(&locks).values().any(|entry| entry.kind == 'f')
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_restores_stop() {
    let room = Room::new();
    plant_much(&room);
    room.backup(room.request(T0)).await.unwrap();
    let monitor = Arc::new(Monitor::new());
    let task = tokio::spawn(restore(room.store.clone(), room.to("target"), monitor.clone()));
    until("writing", || monitor.progress().bytes_read > 1_000_000).await;
    monitor.cancel();
    let error = task.await.unwrap().unwrap_err();
    assert!(matches!(error, VaultError::Cancelled), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_store_at_every_call() {
    let methods = [
        Method::ListTree,
        Method::Get,
        Method::Put,
        Method::PutAll,
        Method::CreateLarge,
        Method::WritePiece,
        Method::EndSegment,
        Method::Finish,
    ];
    for method in methods {
        // The first thing that is written is tried again when the store is prepared.
        let first = if method == Method::Put { 2 } else { 1 };
        for nth in first.. {
            let refused = fault_once(method, nth, FaultKind::Refused, None).await;
            if refused {
                // There is no such call any more: every one before failed the backup.
                assert!(nth > first, "{method:?} is never called");
                break;
            }
            fault_once(method, nth, FaultKind::LostAnswer, None).await;
        }
    }
    // Of the objects that are written together only the first.
    for stored in 0..2 {
        assert!(!fault_once(Method::PutAll, 1, FaultKind::CutBody(stored), None).await);
    }
    // The same of sealed chunks, where they are on their way.
    for method in [Method::WritePiece, Method::EndSegment, Method::Finish] {
        assert!(!fault_once(method, 1, FaultKind::Refused, sealed("x")).await, "{method:?}");
    }
}

/// The second backup of a chain with one fault; answers whether it was made.
async fn fault_once(
    method: Method,
    nth: u64,
    kind: FaultKind,
    encryption: Option<EncryptionOptions>,
) -> bool {
    let what = format!("{method:?} {nth} {kind:?}");
    let room = Room::new();
    std::fs::write(room.source().join("a"), noise(1, 300_000)).unwrap();
    let pass_phrase = encryption.as_ref().map(|_| pass("x"));
    let request = |now| BackupRequest {
        max_segment_size_bytes: 200_000,
        encryption: encryption.clone(),
        ..room.incremental(now)
    };
    room.backup(request(T0)).await.unwrap();
    let (first, stored) = (tree(&room.source()), room.objects());
    std::fs::write(room.source().join("b"), noise(2, 300_000)).unwrap();
    let faults = vec![Fault { method, nth, kind }];
    let store: Arc<dyn Store> = Arc::new(Faulty::new(room.store.clone(), faults));
    let made = backup(store, request(T0 + 1), Arc::new(Monitor::new())).await.is_ok();
    let expected = if made { tree(&room.source()) } else { first };
    assert_eq!(visible(&room).await, if made { 2 } else { 1 }, "{what}");
    if !made {
        assert_eq!(room.objects(), stored, "{what}: nothing is left");
    }
    room.expect(RestoreRequest { pass_phrase, ..room.to("target") }, &expected).await;
    made
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_transfer_is_fetched_again() {
    for encryption in [None, sealed("x")] {
        let room = Room::new();
        plant(&room.source());
        let pass_phrase = encryption.as_ref().map(|_| pass("x"));
        room.backup(BackupRequest { encryption, ..room.request(T0) }).await.unwrap();
        for kind in [FaultKind::FlipByte(1000), FaultKind::ShortBody(1000)] {
            // Calls of `get`: metadata, manifest, then the payload.
            let faults = vec![Fault { method: Method::Get, nth: 3, kind: kind.clone() }];
            let store: Arc<dyn Store> = Arc::new(Faulty::new(room.store.clone(), faults));
            let pass_phrase = pass_phrase.clone();
            let request = RestoreRequest { overwrite: true, pass_phrase, ..room.to("target") };
            restore(store, request, Arc::new(Monitor::new())).await.unwrap();
            assert_same(&tree(&room.path("target")), &tree(&room.source()));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_source_is_an_error() {
    let room = Room::new();
    let mut request = room.request(T0);
    request.source.root = room.path("nowhere");
    let error = room.backup(request).await.unwrap_err().to_string();
    assert!(error.contains("nowhere"), "{error}");
    assert_eq!(room.objects(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_at_once_do_not_interleave() {
    let room = Room::new();
    plant_much(&room);
    let monitor = Arc::new(Monitor::new());
    // Its action began two hours ago: the lock is of now, and good for an hour.
    let began = Instant::now().checked_sub(Duration::from_secs(7200));
    let late = BackupRequest { began, ..room.request(T0) };
    let task = tokio::spawn(backup(room.store.clone(), late, monitor.clone()));
    until("reading", || monitor.progress().bytes_read > 0).await;
    let error = room.backup(room.request(T0 + 7200 + 3599)).await.unwrap_err();
    assert!(matches!(error, VaultError::Locked { .. }), "{error}");
    let text = error.to_string();
    assert!(
        text.contains("host1_daily job is in use by a backup on") && text.contains("2023-11-15T01:13:"),
        "{text}"
    );
    let other = BackupRequest { backup_name: "another".into(), ..room.request(T0) };
    room.backup(other).await.expect("another name is free");
    task.await.unwrap().unwrap();
    assert_eq!(room.backup(room.request(T0)).await.unwrap().timestamp, T0 + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn locks_expire_and_dead_owners_lose_them() {
    let room = Room::new();
    plant(&room.source());
    room.store.prepare().await.unwrap();
    let folder = room.path("store/data/tar/host1_daily job/locks");
    let lock = |renewed: i64, process: &str| {
        std::fs::create_dir_all(&folder).unwrap();
        let text = format!(
            r#"{{"host":"elsewhere","purpose":"backup","since_secs":{T0},"renewed_secs":{renewed},"expiry_secs":3600,"process":{process}}}"#
        );
        std::fs::write(folder.join("theirs"), text).unwrap();
    };
    lock(T0, "null");
    let error = room.backup(room.request(T0 + 3599)).await.unwrap_err();
    assert!(matches!(error, VaultError::Locked { .. }), "{error}");
    room.backup(room.request(T0 + 3600)).await.expect("expired");
    lock(T0 + 4000, "null");
    let began = Instant::now().checked_sub(Duration::from_secs(3600));
    let late = BackupRequest { began, ..room.request(T0 + 4000) };
    room.backup(late).await.expect("expired while the action was at something else");
    // A process of this machine that is gone.
    let read = |path: &str| std::fs::read_to_string(path).unwrap().trim().to_owned();
    let boot = read("/proc/sys/kernel/random/boot_id");
    let namespace = std::fs::read_link("/proc/self/ns/pid").unwrap();
    let mark = |boot: &str, pid: u32| {
        format!(
            r#"{{"boot_id":"{boot}","pid_namespace":"{}","pid":{pid},"start_ticks":1}}"#,
            namespace.display()
        )
    };
    lock(T0 + 5000, &mark(&boot, 4_000_000));
    room.backup(room.request(T0 + 5001)).await.expect("its owner is gone");
    lock(T0 + 5000, &mark("another boot", 4_000_000));
    let error = room.backup(room.request(T0 + 5001)).await.unwrap_err();
    assert!(matches!(error, VaultError::Locked { .. }), "a process elsewhere cannot be judged: {error}");
}

/// The body of the process killed by [`killed_backups_are_invisible`]; does nothing on its own.
#[tokio::test(flavor = "multi_thread")]
async fn victim() {
    let Ok(root) = std::env::var("VAULT_VICTIM_ROOT") else { return };
    let root = std::path::PathBuf::from(root);
    let store: Arc<dyn Store> = Arc::new(LocalStore::new(root.join("store")));
    let source = freezer_vault::backup::Source::new(root.join("source"));
    let levels = freezer_vault::levels::LevelPolicy { incremental: true, ..Default::default() };
    let format = std::env::var("VAULT_VICTIM_FORMAT").unwrap_or_else(|_| "gzip".into());
    let compression = CompressionOptions::of(format.parse().unwrap());
    let encryption = std::env::var("VAULT_VICTIM_SEALED").ok().and_then(|phrase| sealed(&phrase));
    let request =
        BackupRequest { levels, compression, encryption, ..BackupRequest::new(HOST, NAME, source, T0 + 100) };
    backup(store, request, Arc::new(Monitor::new())).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_backups_are_invisible() {
    killed_after(&[5, 20, 60, 120, 250, 400], None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_backups_of_sealed_chunks_are_invisible() {
    killed_after(&[60, 250], Some("x")).await;
}

async fn killed_after(times_ms: &[u64], phrase: Option<&str>) {
    let room = Room::new();
    plant_much(&room);
    let encrypted = |request: BackupRequest| BackupRequest { encryption: phrase.and_then(sealed), ..request };
    let to = |target: &str| RestoreRequest { pass_phrase: phrase.map(pass), ..room.to(target) };
    room.backup(encrypted(room.incremental(T0))).await.unwrap();
    let before = tree(&room.source());
    for number in 0..40 {
        std::fs::write(room.source().join(format!("file {number}")), noise(number + 100, 2_000_000)).unwrap();
    }
    for millis in times_ms {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["victim", "--exact", "--nocapture"])
            .env("VAULT_VICTIM_ROOT", room.folder.path())
            .envs(phrase.map(|phrase| ("VAULT_VICTIM_SEALED", phrase)))
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(*millis));
        let _ = child.kill();
        let ended = child.wait().unwrap();
        let done = visible(&room).await;
        if done == 2 {
            assert!(ended.signal().is_some() || ended.success());
            break;
        }
        let target = format!("after {millis}");
        room.expect(to(&target), &before).await;
    }
    // Whatever the dead left, the next one works, and the leftovers are found.
    let report = room.backup(encrypted(room.incremental(T0 + 1000))).await.unwrap();
    assert!(report.level >= 1);
    room.expect(to("newest"), &tree(&room.source())).await;
    let retention = freezer_vault::prune::Retention::default();
    let request = freezer_vault::prune::PruneRequest::new(hbn(), retention, T0 + 10 * DAY);
    let plan = freezer_vault::prune::plan(&room.store, &request).await.unwrap();
    freezer_vault::prune::apply(&room.store, &request, &plan, &Monitor::new()).await.unwrap();
    let found = catalogue::list(&room.store, &hbn()).await.unwrap();
    assert!(found.chains.iter().flat_map(|chain| &chain.levels).all(freezer_vault::catalogue::Level::exists));
    room.expect(to("last"), &tree(&room.source())).await;
}
