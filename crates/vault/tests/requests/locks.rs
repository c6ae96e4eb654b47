//! Locks that stay where removing them is a request more, and levels that are made at the same time.

use super::support::*;
use super::telling::Telling;
use super::{counted_on, remembering};
use freezer_storage::{Fault, FaultKind, Faulty, Method, Store};
use freezer_vault::prune::{PruneRequest, Retention, apply, plan};
use freezer_vault::{Monitor, VaultError, backup};
use std::path::PathBuf;
use std::sync::Arc;

pub fn locks(room: &Room) -> usize {
    let folder = room.path("store/data/tar/host1_daily job/locks");
    if folder.exists() { std::fs::read_dir(folder).unwrap().count() } else { 0 }
}

/// A lock of somebody else, of the time `renewed`.
fn hold(room: &Room, renewed: i64) -> PathBuf {
    let note = format!(
        r#"{{"host":"elsewhere","purpose":"backup","since_secs":{T0},"renewed_secs":{renewed},"expiry_secs":600,"process":null}}"#
    );
    let file = room.path("store/data/tar/host1_daily job/locks/theirs");
    std::fs::write(&file, note).unwrap();
    file
}

async fn is_kept_out_until(room: &Room, now: i64) {
    let request = |now| backup(Telling::blind(room), room.incremental(now), Arc::new(Monitor::new()));
    let error = request(now - 1).await.unwrap_err();
    assert!(matches!(error, VaultError::Locked { .. }), "{error}");
    assert_eq!(locks(room), 1);
    assert_eq!(request(now).await.unwrap().level, 2);
    assert_eq!(locks(room), 0);
}

/// Nobody keeps the clocks of those together who use a folder: it keeps out as long as one that does not stay.
#[tokio::test(flavor = "multi_thread")]
async fn in_a_folder_a_lock_that_is_left_is_as_good_as_any() {
    let room = Room::new();
    plant_before_now(&room.source());
    for level in 0..2 {
        room.backup(remembering(&room, T0 + level * DAY)).await.unwrap();
    }
    assert_eq!(locks(&room), 1);
    is_kept_out_until(&room, T0 + DAY + 3600).await;
    // Who knows is not stopped; and one that saves something takes all of them away with its own.
    for level in 3..5 {
        let report = room.backup(remembering(&room, T0 + 2 * DAY + level)).await.unwrap();
        assert_eq!(i64::from(report.level), level, "{}", report.level_reason);
    }
    assert_eq!(locks(&room), 2);
    change(&room.source(), 1);
    room.backup(remembering(&room, T0 + 2 * DAY + 5)).await.unwrap();
    assert_eq!(locks(&room), 0);
    room.expect(room.to("target"), &tree(&room.source())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_is_left_stops_nobody_for_long() {
    let room = Room::new();
    plant_before_now(&room.source());
    for level in 0..2 {
        counted_on(Telling::of(&room), room.incremental(T0 + level * DAY)).await;
    }
    assert_eq!(locks(&room), 1);
    // Who knows nothing of what manifests say (here a store that does not spare requests) waits until it expires, and removes it.
    is_kept_out_until(&room, T0 + DAY + 1900).await;
    // Who knows does not.
    for (level, now) in [(3, T0 + 2 * DAY), (4, T0 + 2 * DAY + 1)] {
        let (report, _) = counted_on(Telling::of(&room), room.incremental(now)).await;
        assert_eq!(report.level, level, "{}", report.level_reason);
    }
    assert_eq!(locks(&room), 2);
    // One that no manifest names is respected, whatever else lies there.
    let theirs = hold(&room, T0 + 2 * DAY);
    let request = room.incremental(T0 + 2 * DAY + 2);
    let error = backup(Telling::of(&room), request, Arc::new(Monitor::new())).await.unwrap_err();
    assert!(matches!(error, VaultError::Locked { .. }), "{error}");
    let retention = Retention { keep_last: Some(1), ..Retention::default() };
    let request = PruneRequest::new(hbn(), retention, T0 + 2 * DAY + 2);
    let store = Telling::of(&room);
    let agreed = plan(&store, &request).await.unwrap();
    let error = apply(&store, &request, &agreed, &Monitor::new()).await.unwrap_err();
    assert!(matches!(error, VaultError::Locked { .. }), "{error}");
    assert_eq!(locks(&room), 3);
    std::fs::remove_file(theirs).unwrap();
    // Those that are over cannot be removed: its own goes all the same.
    let faults = vec![Fault { method: Method::DeleteAll, nth: 1, kind: FaultKind::Refused }];
    let faulty: Arc<dyn Store> = Arc::new(Faulty::new(store.clone(), faults));
    apply(&faulty, &request, &agreed, &Monitor::new()).await.unwrap();
    assert_eq!(locks(&room), 2);
    // Retention takes away those that are over with its own.
    apply(&store, &request, &agreed, &Monitor::new()).await.unwrap();
    assert_eq!(locks(&room), 0);
    room.expect(room.to("target"), &tree(&room.source())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn locks_that_are_left_do_not_grow_many() {
    // Nothing is in it.
    let room = Room::new();
    let mut swept = Vec::new();
    for level in 0..36 {
        let (report, calls) = counted_on(Telling::of(&room), remembering(&room, T0 + level)).await;
        assert_eq!(i64::from(report.level), level, "{}", report.level_reason);
        if calls.contains_key(&Method::DeleteAll) {
            swept.push(level);
            assert_eq!(locks(&room), 0);
        }
        assert!(locks(&room) <= 32);
    }
    assert_eq!(swept, [33]);
    assert_eq!(locks(&room), 2);
}

/// The manifest says that the lock is over, and nobody knows whether it got there: what it names must not be removed any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_that_may_be_there_keeps_what_it_names() {
    for (kind, next) in [(FaultKind::LostAnswer, 2), (FaultKind::Refused, 1)] {
        let room = Room::new();
        plant_before_now(&room.source());
        counted_on(Telling::of(&room), room.incremental(T0)).await;
        // The lock is the first.
        let faults = vec![Fault { method: Method::Put, nth: 2, kind }];
        let store: Arc<dyn Store> = Arc::new(Faulty::new(Telling::of(&room), faults));
        backup(store, room.incremental(T0 + DAY), Arc::new(Monitor::new())).await.unwrap_err();
        assert!(room.object(&format!("/1_{}/data", T0 + DAY)).exists());
        assert_eq!(locks(&room), 0, "a run that failed leaves none");
        let (report, _) = counted_on(Telling::of(&room), room.incremental(T0 + DAY)).await;
        assert_eq!((report.level, report.timestamp), (next, T0 + DAY + 1), "{}", report.level_reason);
        room.expect(room.to("target"), &tree(&room.source())).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_at_once_never_make_the_same_level() {
    let room = Room::new();
    two_at_once(&room, &Telling::of(&room)).await;
    let room = Room::new();
    two_at_once(&room, &room.store).await;
}

async fn two_at_once(room: &Room, store: &Arc<dyn Store>) {
    plant_before_now(&room.source());
    counted_on(store.clone(), room.incremental(T0)).await;
    let mut made = Vec::new();
    for round in 1..=8 {
        let run = || backup(store.clone(), remembering(room, T0 + round), Arc::new(Monitor::new()));
        let (one, other) = tokio::join!(tokio::spawn(run()), tokio::spawn(run()));
        for result in [one.unwrap(), other.unwrap()] {
            match result {
                Ok(report) => made.push(report.timestamp),
                Err(error) => assert!(matches!(error, VaultError::Locked { .. }), "{error}"),
            }
        }
        // Whoever gave up has gone; whoever did not is over.
        let (report, _) = counted_on(store.clone(), remembering(room, T0 + round)).await;
        made.push(report.timestamp);
    }
    let distinct: std::collections::BTreeSet<i64> = made.iter().copied().collect();
    assert_eq!(distinct.len(), made.len(), "{made:?}");
    room.expect(room.to("target"), &tree(&room.source())).await;
}
