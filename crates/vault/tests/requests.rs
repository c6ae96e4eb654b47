//! How often a store is asked: counted, because it decides what small increments cost on object stores.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "requests/locks.rs"]
mod locks;
#[path = "requests/stamped.rs"]
mod stamped;
mod support;
#[path = "requests/telling.rs"]
mod telling;

use freezer_storage::{Counted, Counts, Method, Store};
use freezer_vault::{BackupReport, BackupRequest, Monitor, backup};
use locks::locks;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use support::*;
use telling::Telling;

async fn counted(room: &Room, request: BackupRequest) -> (BackupReport, BTreeMap<Method, u64>) {
    counted_on(room.store.clone(), request).await
}

async fn counted_on(store: Arc<dyn Store>, request: BackupRequest) -> (BackupReport, BTreeMap<Method, u64>) {
    let (report, counts) = counts_of(store, request).await;
    (report, counts.all())
}

async fn counts_of(store: Arc<dyn Store>, request: BackupRequest) -> (BackupReport, Counts) {
    let counts = Counts::default();
    let store: Arc<dyn Store> = Arc::new(Counted::new(store, counts.clone()));
    let report = backup(store, request, Arc::new(Monitor::new())).await.unwrap();
    (report, counts)
}

/// The lock, what there is, manifests that must be fetched, three objects together, the manifest. Together is one request where a store
/// can do that (on Swift), elsewhere three; the lock stays where that is so.
fn expected(fetched: u64) -> BTreeMap<Method, u64> {
    let calls = [(Method::Put, 2), (Method::PutAll, 1), (Method::ListTree, 1), (Method::Get, fetched)];
    calls.into_iter().filter(|(_, calls)| *calls > 0).collect()
}

async fn an_unchanged_increment(room: &Room, secret: Option<&str>) {
    plant_before_now(&room.source());
    let encrypted =
        |request: BackupRequest| BackupRequest { encryption: secret.and_then(encryption), ..request };
    let mut now = T0;
    for kept in 1..=3 {
        let full = BackupRequest { memory: Some(room.path("memory")), ..room.request(now) };
        room.backup(encrypted(full)).await.unwrap();
        for level in 1..=3 {
            now += DAY;
            let (report, counts) = counts_of(room.store.clone(), encrypted(remembering(room, now))).await;
            assert_eq!(report.level, level, "{}", report.level_reason);
            assert_eq!(counts.all(), expected(0), "level {level}, {kept} chains");
            assert_eq!(counts.one_by_one(), 6);
        }
        now += DAY;
    }
    let expected = tree(&room.source());
    let secret = secret.map(pass);
    room.expect(freezer_vault::RestoreRequest { pass_phrase: secret, ..room.to("target") }, &expected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_increment_takes_six_requests_whatever_is_kept() {
    an_unchanged_increment(&Room::new(), None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_one_takes_as_many() {
    an_unchanged_increment(&Room::new(), Some("secret")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_level_again_reads_what_it_is_built_on() {
    // Where nothing is kept here. And the newest manifest, which says that the lock is over that lies there.
    let room = Room::new();
    plant_before_now(&room.source());
    let levels = freezer_vault::levels::LevelPolicy {
        incremental: true,
        always_level: Some(1),
        ..freezer_vault::levels::LevelPolicy::default()
    };
    for round in 0..4 {
        let (report, calls) = counted(&room, BackupRequest { levels, ..room.request(T0 + round) }).await;
        assert_eq!(report.level, u32::from(round > 0));
        if round > 0 {
            assert_eq!(calls, expected(if round > 1 { 2 } else { 1 }));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_index_is_an_object_of_its_own() {
    let room = Room::new();
    for number in 0..2000u64 {
        let name: String = noise(number + 1, 40).iter().map(|byte| format!("{byte:02x}")).collect();
        std::fs::write(room.source().join(name), b"").unwrap();
    }
    room.backup(room.incremental(T0)).await.unwrap();
    assert!(room.object("/index").exists());
    let (report, calls) = counted(&room, room.incremental(T0 + DAY)).await;
    assert_eq!(report.level, 1, "{}", report.level_reason);
    assert_eq!((calls[&Method::Put], calls[&Method::PutAll]), (2, 1), "the index goes with the others");
    assert_eq!(calls[&Method::Get], 2, "manifest and index");
    // Damage to it is seen, and nothing is built on it.
    let index = room.object(&format!("1_{}/index", T0 + DAY));
    let mut body = std::fs::read(&index).unwrap();
    let middle = body.len() / 2;
    body[middle] ^= 1;
    std::fs::write(&index, body).unwrap();
    let report = room.backup(room.incremental(T0 + 2 * DAY)).await.unwrap();
    assert_eq!(report.parent.unwrap().timestamp, T0, "the one with the damaged index is passed over");
    room.expect(room.to("target"), &tree(&room.source())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_freezer_left_is_found_by_the_full_search() {
    let room = Room::new();
    plant_before_now(&room.source());
    room.backup(room.incremental(T0)).await.unwrap();
    UpstreamLevel { chain: T0 + 1, timestamp: T0 + 1, level: 0, codec: "gzip", encrypt: None }
        .make(&room, None);
    let report = room.backup(room.incremental(T0 + DAY)).await.unwrap();
    assert_eq!((report.level, report.chain_timestamp), (1, T0 + 1), "{}", report.level_reason);
    room.expect(room.to("target"), &tree(&room.source())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_listings_tell_enough_no_level_takes_more() {
    for secret in [None, Some("secret")] {
        let room = Room::new();
        plant_before_now(&room.source());
        let mut left = 0;
        for level in 0..6 {
            if level == 4 {
                change(&room.source(), 1);
            }
            let request = BackupRequest {
                encryption: secret.and_then(encryption),
                memory: Some(room.path("memory")),
                ..room.incremental(T0 + i64::from(level) * DAY)
            };
            let (report, counts) = counts_of(Telling::of(&room), request).await;
            assert_eq!(report.level, level, "{}", report.level_reason);
            if level == 0 {
                continue;
            }
            let mut calls = counts.all();
            let (single, several) = (calls.remove(&Method::Delete), calls.remove(&Method::DeleteAll));
            assert_eq!(calls, expected(0), "level {level}");
            if report.bytes_read == 0 {
                assert_eq!((single, several), (None, None), "level {level}");
                assert_eq!(counts.one_by_one(), 6);
                left += 1;
            } else {
                // The locks that lie there go with its own.
                assert_eq!((single, several), if left > 0 { (None, Some(1)) } else { (Some(1), None) });
                left = 0;
            }
            assert!(left == level || level >= 4, "nothing has changed up to there");
            assert_eq!(locks(&room), left as usize);
        }
        let secret = secret.map(pass);
        let request = freezer_vault::RestoreRequest { pass_phrase: secret, ..room.to("target") };
        room.expect(request, &tree(&room.source())).await;
    }
}

/// Three levels of `room`, and what the next one found; `harm` is what happens before it.
async fn after(harm: impl FnOnce(&Room)) -> (Room, BackupReport, u64) {
    let room = Room::new();
    plant_before_now(&room.source());
    for level in 0..3 {
        let request = room.incremental(T0 + level * DAY);
        assert_eq!(i64::from(counted_on(Telling::of(&room), request).await.0.level), level);
    }
    harm(&room);
    let (report, calls) = counted_on(Telling::of(&room), room.incremental(T0 + 3 * DAY)).await;
    room.expect(room.to("target"), &tree(&room.source())).await;
    (room, report, calls[&Method::Get])
}

fn turn_a_byte(file: PathBuf) {
    let mut body = std::fs::read(&file).unwrap();
    let middle = body.len() / 2;
    body[middle] ^= 1;
    std::fs::write(file, body).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn levels_that_are_not_listed_as_they_were_are_read() {
    // Something is there that was not: all is read again, is sound, and the new level vouches for it as it is now.
    let foreign = |room: &Room| {
        let manifest = room.object(&format!("/0_{T0}/manifest"));
        std::fs::write(manifest.with_file_name("note"), b"of somebody").unwrap();
    };
    let (room, report, read) = after(foreign).await;
    assert_eq!((report.level, read), (3, 3), "{}", report.level_reason);
    let (report, calls) = counted_on(Telling::of(&room), room.incremental(T0 + 4 * DAY)).await;
    assert_eq!((report.level, calls), (4, expected(1)), "{}", report.level_reason);

    // A manifest below that is another one, of the same length: nothing is built on it.
    let (_, report, _) = after(|room| turn_a_byte(room.object(&format!("/0_{T0}/manifest")))).await;
    assert_eq!(report.level, 0, "{}", report.level_reason);
    let (_, report, _) = after(|room| turn_a_byte(room.object(&format!("/1_{}/manifest", T0 + DAY)))).await;
    assert_eq!(report.parent.unwrap().timestamp, T0, "{}", report.level_reason);

    // A payload below that is gone, or shorter.
    let payload = |room: &Room| room.object(&format!("/1_{}/data", T0 + DAY));
    let (_, report, _) = after(|room| std::fs::remove_file(payload(room)).unwrap()).await;
    assert_eq!(report.parent.unwrap().timestamp, T0, "{}", report.level_reason);
    let (_, report, _) = after(|room| std::fs::write(payload(room), b"short").unwrap()).await;
    assert_eq!(report.parent.unwrap().timestamp, T0, "{}", report.level_reason);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_that_vouches_for_nothing_is_not_enough() {
    let room = Room::new();
    plant_before_now(&room.source());
    for level in 0..3 {
        counted_on(Telling::blind(&room), room.incremental(T0 + level * DAY)).await;
    }
    let manifest = std::fs::read_to_string(room.object(&format!("/2_{}/manifest", T0 + 2 * DAY))).unwrap();
    assert!(!manifest.contains("ancestors_sha256"), "its listing tells nothing");
    for (level, read) in [(3, 3), (4, 1)] {
        let request = room.incremental(T0 + level * DAY);
        let (report, calls) = counted_on(Telling::of(&room), request).await;
        let expected = (level, expected(read));
        assert_eq!((i64::from(report.level), calls), expected, "{}", report.level_reason);
    }
    room.expect(room.to("target"), &tree(&room.source())).await;
}

fn remembering(room: &Room, now: i64) -> BackupRequest {
    BackupRequest { memory: Some(room.path("memory")), ..room.incremental(now) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_that_is_kept_here_counts_only_while_it_is_listed_so() {
    let room = Room::new();
    plant_before_now(&room.source());
    for level in 0..3 {
        counted_on(Telling::of(&room), remembering(&room, T0 + level * DAY)).await;
    }
    std::fs::remove_dir_all(room.path("memory")).unwrap();
    for (level, fetched) in [(3, Some(1)), (4, None)] {
        let (report, calls) = counted_on(Telling::of(&room), remembering(&room, T0 + level * DAY)).await;
        assert_eq!((i64::from(report.level), calls.get(&Method::Get).copied()), (level, fetched));
    }
    // It is damaged on the store; that it is whole here helps nobody who restores.
    turn_a_byte(room.object(&format!("/4_{}/manifest", T0 + 4 * DAY)));
    let (report, _) = counted_on(Telling::of(&room), remembering(&room, T0 + 5 * DAY)).await;
    assert_eq!(report.parent.unwrap().timestamp, T0 + 3 * DAY, "{}", report.level_reason);
    room.expect(room.to("target"), &tree(&room.source())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_level_that_all_are_built_on_is_kept_here_too() {
    let room = Room::new();
    plant_before_now(&room.source());
    for round in 0..4 {
        let mut request = remembering(&room, T0 + round);
        request.levels.always_level = Some(1);
        let (report, counts) = counts_of(Telling::of(&room), request).await;
        assert_eq!(report.level, u32::from(round > 0), "{}", report.level_reason);
        if round > 0 {
            assert_eq!((counts.all(), counts.one_by_one()), (expected(0), 6));
        }
    }
    // Where listings tell nothing of the content, nothing is kept that could never be recognised.
    let request = BackupRequest { memory: Some(room.path("other")), ..room.incremental(T0 + DAY) };
    counted_on(Telling::blind(&room), request).await;
    assert!(!room.path("other").exists());
}
