//! How often a store is asked: counted, because it decides what small increments cost on object stores.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use freezer_storage::{Counted, Counts, Method, Store};
use freezer_vault::{BackupReport, BackupRequest, Monitor, backup};
use std::collections::BTreeMap;
use std::sync::Arc;
use support::*;

async fn counted(room: &Room, request: BackupRequest) -> (BackupReport, BTreeMap<Method, u64>) {
    let counts = Counts::default();
    let store: Arc<dyn Store> = Arc::new(Counted::new(room.store.clone(), counts.clone()));
    let report = backup(store, request, Arc::new(Monitor::new())).await.unwrap();
    (report, counts.all())
}

/// The lock, what there is, a manifest for each level to build on, three objects together, the manifest, the lock. Together is one
/// request where a store can do that (on Swift), elsewhere three.
fn expected(level: u64) -> BTreeMap<Method, u64> {
    let writes = [(Method::Put, 2), (Method::PutAll, 1), (Method::Delete, 1)];
    writes.into_iter().chain([(Method::ListTree, 1), (Method::Get, level)]).collect()
}

async fn an_unchanged_increment(room: &Room, secret: Option<&str>) {
    plant_before_now(&room.source());
    let request = |now| BackupRequest { encryption: secret.and_then(encryption), ..room.incremental(now) };
    let full = |now| BackupRequest { encryption: secret.and_then(encryption), ..room.request(now) };
    let mut now = T0;
    for kept in 1..=3 {
        room.backup(full(now)).await.unwrap();
        for level in 1..=2 {
            now += DAY;
            let (report, calls) = counted(room, request(now)).await;
            assert_eq!(u64::from(report.level), level, "{}", report.level_reason);
            assert_eq!(calls, expected(level), "level {level}, {kept} chains");
            assert_eq!(calls.values().sum::<u64>(), 5 + level);
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
            assert_eq!(calls, expected(1));
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
