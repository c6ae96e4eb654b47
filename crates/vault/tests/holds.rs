//! What is held stays, whatever anybody prunes, and restores.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use freezer_vault::backup::USUAL_LOCK_EXPIRY;
use freezer_vault::hold::{self, HoldRequest};
use freezer_vault::image::{self, ImageInput, ImageRequest, OpenImage, OpenedImage};
use freezer_vault::levels::LevelPolicy;
use freezer_vault::prune::{PruneRequest, Retention, apply, plan, withdraw};
use freezer_vault::set::{self, NewMember, SetRequest};
use freezer_vault::{BackupRequest, Engine, Hbn, LevelId, Monitor, RestoreRequest, VaultError, catalogue};
use proptest::prelude::*;
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;
use support::*;

fn request(now: i64) -> HoldRequest {
    HoldRequest { by: "the court".into(), reason: "case 17".into(), ..HoldRequest::new(hbn(), now) }
}

fn keep_last(count: u32) -> Retention {
    Retention { keep_last: Some(count), ..Retention::default() }
}

async fn prune(room: &Room, hbn: Hbn, retention: Retention, now: i64) -> u64 {
    let request = PruneRequest::new(hbn, retention, now);
    let plan = plan(&room.store, &request).await.unwrap();
    apply(&room.store, &request, &plan, &Monitor::new()).await.unwrap().chains
}

async fn timestamps(room: &Room, hbn: &Hbn) -> BTreeSet<i64> {
    let found = catalogue::list(&room.store, hbn).await.unwrap();
    found.chains.iter().flat_map(|chain| chain.existing()).map(|level| level.id.timestamp).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_backup_keeps_its_chain_until_its_end_or_release() {
    let room = Room::new();
    plant(&room.source());
    room.backup(room.request(T0)).await.unwrap();
    room.backup(room.incremental(T0 + 1)).await.unwrap();
    let state = tree(&room.source());
    room.backup(room.request(T0 + 2)).await.unwrap();
    room.backup(room.request(T0 + 3)).await.unwrap();

    let until = Some(T0 + 100 * DAY);
    let wanted = HoldRequest { not_after_secs: Some(T0 + 1), until_secs: until, ..request(T0 + 10) };
    let report = hold::place(&room.store, &wanted).await.unwrap();
    assert_eq!((report.timestamp, report.level, report.chain_timestamp), (T0 + 1, 1, T0));
    let asked = PruneRequest::new(hbn(), keep_last(1), T0 + DAY);
    let text = plan(&room.store, &asked).await.unwrap().to_string();
    assert!(
        text.contains("held by the court since 2023-11-14T22:13:30Z until 2024-02-22T22:13:20Z: case 17"),
        "{text}"
    );
    assert_eq!(prune(&room, hbn(), keep_last(1), T0 + DAY).await, 1);
    assert_eq!(timestamps(&room, &hbn()).await, [T0, T0 + 1, T0 + 3].into());
    let at = RestoreRequest { not_after_secs: Some(T0 + 1), ..room.to("held") };
    room.expect(at, &state).await;
    // Nor is it taken back as part of nothing.
    let id = LevelId { chain_timestamp: T0, timestamp: T0 + 1, level: 1 };
    assert!(!withdraw(&room.store, &hbn(), id, T0 + DAY, USUAL_LOCK_EXPIRY).await.unwrap());
    // It ends by itself.
    assert_eq!(prune(&room, hbn(), keep_last(1), T0 + 100 * DAY).await, 1);
    assert_eq!(timestamps(&room, &hbn()).await, [T0 + 3].into());

    // One without an end ends when it is released.
    room.backup(room.request(T0 + 101 * DAY)).await.unwrap();
    let wanted = HoldRequest { not_after_secs: Some(T0 + 3), ..request(T0 + 101 * DAY) };
    hold::place(&room.store, &wanted).await.unwrap();
    assert_eq!(prune(&room, hbn(), keep_last(1), T0 + 9999 * DAY).await, 0);
    let released = hold::release(&room.store, &request(T0 + 102 * DAY)).await.unwrap();
    assert_eq!(released.iter().map(|one| one.timestamp).collect::<Vec<_>>(), [T0 + 1, T0 + 3]);
    assert_eq!(prune(&room, hbn(), keep_last(1), T0 + 9999 * DAY).await, 1);
    assert!(room.objects().iter().all(|name| !name.contains("/holds/")), "{:?}", room.objects());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_is_of_something_and_ends_in_the_future() {
    let room = Room::new();
    let error = hold::place(&room.store, &request(T0)).await.unwrap_err();
    assert!(matches!(error, VaultError::NoBackup { .. }), "{error}");
    plant(&room.source());
    room.backup(room.request(T0)).await.unwrap();
    let past = HoldRequest { until_secs: Some(T0 + 1), ..request(T0 + 1) };
    assert!(matches!(hold::place(&room.store, &past).await.unwrap_err(), VaultError::BadRequest { .. }));
    let error = hold::release(&room.store, &request(T0)).await.unwrap_err().to_string();
    assert!(error.contains("nothing of host1_daily job is held"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_that_cannot_be_read_holds() {
    let room = Room::new();
    plant(&room.source());
    for day in 0..2 {
        room.backup(room.request(T0 + day * DAY)).await.unwrap();
    }
    hold::place(&room.store, &HoldRequest { not_after_secs: Some(T0), ..request(T0) }).await.unwrap();
    let note = room.object(&format!("/holds/{T0}-0-{T0}"));
    for body in ["", "{", "[]"] {
        std::fs::write(&note, body).unwrap();
        assert_eq!(prune(&room, hbn(), keep_last(1), T0 + 9 * DAY).await, 0, "{body}");
    }
    // Also a backup whose manifest is lost: it may be brought back.
    std::fs::remove_file(room.object(&format!("/0_{T0}/manifest"))).unwrap();
    let asked = PruneRequest::new(hbn(), keep_last(1), T0 + 9 * DAY);
    assert!(plan(&room.store, &asked).await.unwrap().remove.is_empty());
    hold::release(&room.store, &request(T0)).await.unwrap();
    assert_eq!(plan(&room.store, &asked).await.unwrap().remove.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_set_keeps_its_members() {
    let room = Room::new();
    let set_hbn = Hbn::of(Engine::Set, HOST, "project").unwrap();
    let disk = Hbn::of(Engine::Image, HOST, "disk").unwrap();
    for day in 0..3 {
        let now = T0 + day * DAY;
        let open: OpenImage = Box::new(move |_| {
            Box::pin(async move {
                let reader = Box::new(std::io::Cursor::new(noise(day as u64 + 1, 1000)));
                let input = ImageInput::Whole { reader, size_bytes: Some(1000) };
                Ok(OpenedImage { input, source: Value::Null, description: Value::Null })
            })
        });
        let monitor = Arc::new(Monitor::new());
        let saved = ImageRequest::new(HOST, "disk", now);
        let saved = image::backup(room.store.clone(), saved, open, monitor.clone()).await.unwrap();
        let members = vec![NewMember::of(Engine::Image, &saved, "root").unwrap()];
        let wanted = SetRequest { members, ..SetRequest::new(HOST, "project", now + 1) };
        set::save(room.store.clone(), wanted, monitor).await.unwrap();
    }
    let wanted = HoldRequest { not_after_secs: Some(T0 + 1), hbn: set_hbn.clone(), ..request(T0 + DAY) };
    assert_eq!(hold::place(&room.store, &wanted).await.unwrap().members, 1);
    let prune_sets = async || {
        let asked = PruneRequest::new(set_hbn.clone(), keep_last(1), T0 + 9 * DAY);
        let agreed = set::plan_prune(&room.store, &asked).await.unwrap();
        set::apply(&room.store, &asked, &agreed, &Monitor::new()).await.unwrap()
    };
    // By the set's name, and by the member's own.
    assert_eq!(prune_sets().await.sets.chains, 1);
    prune(&room, disk.clone(), keep_last(1), T0 + 9 * DAY).await;
    assert_eq!(timestamps(&room, &set_hbn).await, [T0 + 1, T0 + 2 * DAY + 1].into());
    assert_eq!(timestamps(&room, &disk).await, [T0, T0 + 2 * DAY].into());
    hold::release(&room.store, &wanted).await.unwrap();
    let done = prune_sets().await;
    assert_eq!((done.sets.chains, done.members.chains), (1, 1));
    assert!(room.objects().iter().all(|name| !name.contains("/holds/")), "{:?}", room.objects());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_held_restores_after_any_rotation(
        backups in prop::collection::vec((1i64..4, any::<bool>()), 1..7),
        held in prop::collection::btree_set((0usize..7, prop::option::of(1i64..30)), 0..3),
        days in prop::option::of(0.5f64..12.0),
        last in prop::option::of(1u32..4),
        later in 1i64..30,
    ) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let room = Room::new();
            let mut now = T0;
            let mut made = Vec::new();
            for (gap, incremental) in backups {
                now += gap * DAY;
                std::fs::write(room.source().join("a"), format!("at {now}")).unwrap();
                let levels = LevelPolicy { incremental, ..LevelPolicy::default() };
                room.backup(BackupRequest { levels, ..room.request(now) }).await.unwrap();
                made.push((now, tree(&room.source())));
            }
            let then = now + later * DAY;
            let mut holding = Vec::new();
            for (number, until) in held {
                let Some((at, state)) = made.get(number) else { continue };
                let until_secs = until.map(|days| now + days * DAY);
                let wanted = HoldRequest { not_after_secs: Some(*at), until_secs, ..request(now) };
                hold::place(&room.store, &wanted).await.unwrap();
                holding.retain(|(other, _, _)| other != at);
                holding.push((*at, until_secs, state.clone()));
            }
            let retention = Retention { remove_older_than_days: days, keep_last: last, ..Retention::default() };
            let before = timestamps(&room, &hbn()).await;
            prune(&room, hbn(), retention, then).await;
            let after = timestamps(&room, &hbn()).await;
            for (at, until, state) in &holding {
                if until.is_none_or(|until| then < until) {
                    let target = format!("held {at}");
                    room.expect(RestoreRequest { not_after_secs: Some(*at), ..room.to(&target) }, state).await;
                }
            }
            // A hold that is over holds nothing: what stays is what would have stayed without it.
            if holding.iter().all(|(_, until, _)| until.is_some_and(|until| until <= then)) {
                let asked = PruneRequest::new(hbn(), retention, then);
                let plan = plan(&room.store, &asked).await.unwrap();
                assert!(plan.keep.iter().all(|row| !row.reason.contains("held by")), "{plan}");
            }
            assert!(after.is_subset(&before) && !after.is_empty());
        });
    }
}
