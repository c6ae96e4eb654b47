//! One backup onto several stores: each has all of it, one that fails is told, and all restore by themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use freezer_storage::{Fault, FaultKind, Faulty, LocalStore, Method, Store};
use freezer_vault::codecs::{Compression, CompressionOptions};
use freezer_vault::{BackupReport, BackupRequest, Hbn, Monitor, VaultError, backup, catalogue};
use std::sync::Arc;
use support::*;

/// Stores beside each other, with one source.
struct Mirror {
    rooms: Vec<Room>,
    faults: Vec<Arc<Faulty>>,
}

impl Mirror {
    fn new(count: usize) -> Self {
        let rooms: Vec<Room> = (0..count).map(|_| Room::new()).collect();
        let faults = rooms.iter().map(|room| Arc::new(Faulty::new(room.store.clone(), Vec::new()))).collect();
        plant(&rooms[0].source());
        Self { rooms, faults }
    }

    fn request(&self, now: i64) -> BackupRequest {
        // What goes to the stores is as long as what is read.
        let compression = CompressionOptions::of(Compression::None);
        BackupRequest { compression, max_segment_size_bytes: 1 << 20, ..self.rooms[0].incremental(now) }
    }

    async fn save(&self, which: &[usize], request: BackupRequest) -> Result<BackupReport, VaultError> {
        let stores = which.iter().map(|index| -> Arc<dyn Store> { self.faults[*index].clone() }).collect();
        backup::backup_to_all(stores, request, Arc::new(Monitor::new())).await
    }

    /// Levels that exist on one of the stores, oldest first.
    async fn levels(&self, index: usize) -> Vec<(u32, i64)> {
        let found = catalogue::list(&self.rooms[index].store, &hbn()).await.unwrap();
        let mut levels: Vec<(u32, i64)> = found
            .chains
            .iter()
            .flat_map(|chain| chain.existing().map(|level| (level.id.level, level.id.timestamp)))
            .collect();
        levels.sort_by_key(|(_, time)| *time);
        levels
    }

    /// Each of them gives back the source as it is, by itself.
    async fn expect_everywhere(&self, which: &[usize]) {
        let expected = tree(&self.rooms[0].source());
        for index in which {
            let target = tempfile::tempdir().unwrap();
            let room = &self.rooms[*index];
            let mut request = room.to("unused");
            request.target = target.path().join("back");
            room.expect(request, &expected).await;
        }
    }
}

fn failures(report: &BackupReport) -> Vec<bool> {
    report.copies.iter().map(|copy| copy.failure.is_some()).collect()
}

/// Bytes of files in the source, read once however many stores there are.
fn source_bytes(mirror: &Mirror) -> u64 {
    tree(&mirror.rooms[0].source())
        .values()
        .filter(|entry| entry.kind == 'f')
        .map(|entry| entry.content.len() as u64)
        .sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_store_has_all_of_it() {
    let mirror = Mirror::new(3);
    for (round, encryption) in [(0, None), (1, encryption("secret"))] {
        let now = T0 + round * DAY;
        let full = BackupRequest { encryption: encryption.clone(), ..mirror.request(now) };
        let monitor = Arc::new(Monitor::new());
        let stores = mirror.faults.iter().map(|store| Arc::clone(store) as Arc<dyn Store>).collect();
        let report = backup::backup_to_all(stores, full.clone(), monitor.clone()).await.unwrap();
        assert_eq!((report.level, failures(&report)), (0, vec![false; 3]), "{}", report.level_reason);
        assert_eq!(report.bytes_read, source_bytes(&mirror));
        assert_eq!(monitor.progress().bytes_stored, report.bytes_stored);
        change(&mirror.rooms[0].source(), round as u64 + 1);
        let next = BackupRequest { now_secs: now + 1, ..full };
        let report = mirror.save(&[0, 1, 2], next).await.unwrap();
        assert_eq!((report.level, failures(&report)), (1, vec![false; 3]), "{}", report.level_reason);
        if encryption.is_none() {
            mirror.expect_everywhere(&[0, 1, 2]).await;
        }
    }
    for room in &mirror.rooms {
        let mut request = room.to("encrypted");
        request.pass_phrase = Some(pass("secret"));
        room.expect(request, &tree(&mirror.rooms[0].source())).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_fails_is_left_out_and_told() {
    for (method, nth, kind) in [
        (Method::Put, 1, FaultKind::Refused),
        (Method::CreateLarge, 1, FaultKind::Refused),
        (Method::WritePiece, 2, FaultKind::Full),
        (Method::EndSegment, 2, FaultKind::Unavailable),
        (Method::Finish, 1, FaultKind::Full),
        // The engine's metadata, the index, the metadata; the manifest is last, behind the lock.
        (Method::PutAll, 1, FaultKind::Full),
        (Method::PutAll, 1, FaultKind::CutBody(1)),
        (Method::Put, 2, FaultKind::Full),
    ] {
        let mirror = Mirror::new(3);
        let fault = Fault { method, nth, kind };
        mirror.faults[1].add(fault.clone());
        if (method, nth) == (Method::Put, 1) {
            // It is prepared and tried again before it counts as failed.
            mirror.faults[1].add(Fault { nth: 2, ..fault.clone() });
        }
        let report = mirror.save(&[0, 1, 2], mirror.request(T0)).await.unwrap();
        assert_eq!(failures(&report), [false, true, false], "{fault:?}");
        let copy = &report.copies[1];
        let cause = copy.failure.as_ref().unwrap();
        assert!(
            cause.contains(&mirror.rooms[1].store.describe()) && cause.contains(&copy.storage),
            "{cause}"
        );
        assert!(!report.is_partial, "what is saved is whole");
        mirror.expect_everywhere(&[0, 2]).await;
        assert_eq!(mirror.rooms[1].objects(), Vec::<String>::new(), "{fault:?}: nothing of it stays");
        assert!(mirror.levels(1).await.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_missed_a_level_is_brought_along() {
    let mirror = Mirror::new(2);
    let source = mirror.rooms[0].source();
    for (round, fails) in [(0, false), (1, false), (2, true)] {
        if fails {
            // How many there were before is not certain: what has just been changed is saved again.
            mirror.faults[1].fail_next(Method::CreateLarge, FaultKind::Full);
            std::fs::write(source.join("much"), noise(99, 1_000_000)).unwrap();
        }
        let report = mirror.save(&[0, 1], mirror.request(T0 + round)).await.unwrap();
        assert_eq!((report.level, failures(&report)), (round as u32, vec![false, fails]));
        change(&source, round as u64 + 1);
    }
    // Level 2 is on the first alone, so the next one is built on level 1, and is another level 2.
    let report = mirror.save(&[0, 1], mirror.request(T0 + 3)).await.unwrap();
    assert_eq!(
        (report.level, report.parent.as_ref().unwrap().timestamp),
        (2, T0 + 1),
        "{}",
        report.level_reason
    );
    assert!(report.level_reason.contains("is not on all storages"), "{}", report.level_reason);
    mirror.expect_everywhere(&[0, 1]).await;
    assert_eq!(mirror.levels(0).await, [(0, T0), (1, T0 + 1), (2, T0 + 2), (2, T0 + 3)]);
    assert_eq!(mirror.levels(1).await, [(0, T0), (1, T0 + 1), (2, T0 + 3)]);
    // And from there on as ever.
    std::fs::write(source.join("a"), "one more\n").unwrap();
    let report = mirror.save(&[0, 1], mirror.request(T0 + 4)).await.unwrap();
    assert_eq!(report.level, 3, "{}", report.level_reason);
    mirror.expect_everywhere(&[0, 1]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_store_gets_a_full_backup() {
    let mirror = Mirror::new(2);
    mirror.save(&[0], mirror.request(T0)).await.unwrap();
    mirror.save(&[0], mirror.request(T0 + 1)).await.unwrap();
    let report = mirror.save(&[0, 1], mirror.request(T0 + 2)).await.unwrap();
    assert_eq!((report.level, report.timestamp), (0, T0 + 2), "{}", report.level_reason);
    assert!(report.level_reason.contains(&mirror.rooms[1].store.describe()), "{}", report.level_reason);
    change(&mirror.rooms[0].source(), 1);
    // The second clock is behind; the time is that of none of them.
    let report = mirror.save(&[1, 0], mirror.request(T0)).await.unwrap();
    assert_eq!((report.level, report.timestamp), (1, T0 + 3));
    mirror.expect_everywhere(&[0, 1]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn backups_of_the_same_time_are_no_common_ground() {
    let mirror = Mirror::new(2);
    let source = mirror.rooms[0].source();
    mirror.save(&[0], mirror.request(T0)).await.unwrap();
    std::fs::write(source.join("later"), "not in the first\n").unwrap();
    mirror.save(&[1], mirror.request(T0)).await.unwrap();
    change(&source, 1);
    let report = mirror.save(&[0, 1], mirror.request(T0 + 1)).await.unwrap();
    assert_eq!(report.level, 0, "{}", report.level_reason);
    mirror.expect_everywhere(&[0, 1]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_on_one_store_does_not_reach_the_chain_of_the_other() {
    let mirror = Mirror::new(2);
    for round in 0..2 {
        mirror.save(&[0, 1], mirror.request(T0 + round)).await.unwrap();
        change(&mirror.rooms[0].source(), round as u64 + 1);
    }
    std::fs::remove_file(mirror.rooms[1].path(&format!("store/data/tar/{HOST}_{NAME}/{T0}/0_{T0}/data")))
        .unwrap();
    let report = mirror.save(&[0, 1], mirror.request(T0 + 2)).await.unwrap();
    assert_eq!((report.level, failures(&report)), (0, vec![false, false]), "{}", report.level_reason);
    mirror.expect_everywhere(&[0, 1]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_no_store_takes_fails() {
    let mirror = Mirror::new(2);
    for (index, nth) in [(0, 1), (1, 3)] {
        mirror.faults[index].add(Fault { method: Method::WritePiece, nth, kind: FaultKind::Full });
    }
    let error = mirror.save(&[0, 1], mirror.request(T0)).await.unwrap_err();
    assert!(matches!(&error, VaultError::NoStorageLeft { causes } if causes.len() == 2), "{error}");
    for room in &mirror.rooms {
        assert!(error.to_string().contains(&room.store.describe()), "{error}");
        assert_eq!(room.objects(), Vec::<String>::new());
    }
    // Nobody holds the name any more.
    mirror.save(&[0, 1], mirror.request(T0)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_backup_leaves_nothing_anywhere() {
    let mirror = Mirror::new(2);
    let monitor = Arc::new(Monitor::new());
    for number in 0..20 {
        std::fs::write(mirror.rooms[0].source().join(format!("{number}")), noise(number + 1, 1_000_000))
            .unwrap();
    }
    // Slow enough to be met on its way.
    for store in &mirror.faults {
        store.add(Fault {
            method: Method::WritePiece,
            nth: 6,
            kind: FaultKind::Slow(std::time::Duration::from_secs(60)),
        });
    }
    let stores = mirror.faults.iter().map(|store| Arc::clone(store) as Arc<dyn Store>).collect();
    let task = tokio::spawn(backup::backup_to_all(stores, mirror.request(T0), monitor.clone()));
    while monitor.progress().bytes_stored < 200_000 {
        tokio::task::yield_now().await;
    }
    monitor.cancel();
    assert!(matches!(task.await.unwrap().unwrap_err(), VaultError::Cancelled));
    for room in &mirror.rooms {
        assert_eq!(room.objects(), Vec::<String>::new());
        let name = Hbn::new(HOST, NAME).unwrap();
        let locks = room.path(&format!("store/data/tar/{}/locks", name.as_str()));
        assert!(!locks.exists() || tree(&locks).values().all(|entry| entry.kind != 'f'));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_one_failure() {
    let mirror = Mirror::new(1);
    let disk = Disk::of("1m");
    let small: Arc<dyn Store> = Arc::new(LocalStore::new(disk.0.path().join("store")));
    let stores = vec![small.clone(), mirror.rooms[0].store.clone()];
    let report = backup::backup_to_all(stores, mirror.request(T0), Arc::new(Monitor::new())).await.unwrap();
    assert_eq!(failures(&report), [true, false]);
    assert!(report.copies[0].failure.as_ref().unwrap().contains("no room left"), "{:?}", report.copies);
    mirror.expect_everywhere(&[0]).await;
    assert!(!catalogue::list(&small, &hbn()).await.unwrap().has_backup());
}

/// A disk of its own, as large as it says.
struct Disk(tempfile::TempDir);

impl Disk {
    fn of(size: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        shell(&format!("mount -t tmpfs -o size={size} tmpfs '{}'", folder.path().display()));
        Self(folder)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        shell(&format!("umount '{}'", self.0.path().display()));
    }
}
