//! Retention never breaks what it keeps.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use freezer_storage::{Fault, FaultKind, Faulty, Method, Store};
use freezer_vault::levels::LevelPolicy;
use freezer_vault::prune::{PruneReport, PruneRequest, Retention, Subject, apply, plan};
use freezer_vault::verify::{Scope, VerifyRequest};
use freezer_vault::{BackupRequest, Monitor, RestoreRequest, VaultError, catalogue, verify};
use proptest::prelude::*;
use std::sync::Arc;
use support::*;

fn older_than(days: f64) -> Retention {
    Retention { remove_older_than_days: Some(days), ..Retention::default() }
}

fn keep_last(count: u32) -> Retention {
    Retention { keep_last: Some(count), ..Retention::default() }
}

async fn prune(room: &Room, retention: Retention, now: i64) -> PruneReport {
    let request = PruneRequest::new(hbn(), retention, now);
    let plan = plan(&room.store, &request).await.unwrap();
    apply(&room.store, &request, &plan, &Monitor::new()).await.unwrap()
}

async fn timestamps(room: &Room) -> Vec<i64> {
    let found = catalogue::list(&room.store, &hbn()).await.unwrap();
    found.chains.iter().flat_map(|chain| chain.existing()).map(|level| level.id.timestamp).collect()
}

/// One backup a day; chains of `per_chain` levels.
async fn days(room: &Room, count: i64, per_chain: u32) {
    plant(&room.source());
    for day in 0..count {
        let max_level = per_chain.checked_sub(1).filter(|level| *level > 0);
        let levels = LevelPolicy { incremental: max_level.is_some(), max_level, ..LevelPolicy::default() };
        room.backup(BackupRequest { levels, ..room.request(T0 + day * DAY) }).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_goes_when_its_newest_level_is_old() {
    let room = Room::new();
    days(&room, 6, 3).await;
    let now = T0 + 6 * DAY;
    // The first chain's level 0 is 6 days old, its newest level 4.
    assert_eq!(prune(&room, older_than(5.0), now).await.chains, 0);
    let report = prune(&room, older_than(4.0), now).await;
    assert_eq!((report.chains, report.levels), (1, 3));
    assert_eq!(timestamps(&room).await, [T0 + 3 * DAY, T0 + 4 * DAY, T0 + 5 * DAY]);
    assert!(room.objects().iter().all(|name| !name.contains(&format!("/{T0}/"))), "{:?}", room.objects());
    room.expect(room.to("target"), &tree(&room.source())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_restorable_chain_stays() {
    let room = Room::new();
    days(&room, 3, 1).await;
    let now = T0 + 1000 * DAY;
    for retention in [older_than(1.0), Retention { remove_from_secs: Some(now), ..Retention::default() }] {
        prune(&room, retention, now).await;
        assert_eq!(timestamps(&room).await, [T0 + 2 * DAY]);
    }
    room.restore(room.to("target")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_newer_chain_does_not_count_as_the_last() {
    let room = Room::new();
    days(&room, 3, 1).await;
    std::fs::remove_file(room.object(&format!("/0_{}/data", T0 + 2 * DAY))).unwrap();
    prune(&room, older_than(1.0), T0 + 1000 * DAY).await;
    assert_eq!(timestamps(&room).await, [T0 + DAY], "the newest that restores");
}

#[tokio::test(flavor = "multi_thread")]
async fn keep_last_counts_states() {
    let room = Room::new();
    days(&room, 6, 2).await;
    assert_eq!(prune(&room, keep_last(3), T0 + 6 * DAY).await.chains, 1);
    assert_eq!(timestamps(&room).await.len(), 4, "a chain goes whole or not at all");
    let both = Retention { remove_older_than_days: Some(100.0), ..keep_last(1) };
    assert_eq!(prune(&room, both, T0 + 6 * DAY).await.chains, 0, "all rules must agree");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_plan_is_printable_and_changes_nothing() {
    let room = Room::new();
    days(&room, 3, 1).await;
    let before = room.objects();
    let request = PruneRequest::new(hbn(), keep_last(1), T0 + 3 * DAY);
    let plan = plan(&room.store, &request).await.unwrap();
    assert_eq!(room.objects(), before);
    let text = plan.to_string();
    assert!(
        text.contains("2 to remove, 1 to keep") && text.contains("not among the last 1 states"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_no_longer_holds_is_not_executed() {
    let room = Room::new();
    days(&room, 2, 1).await;
    let request = PruneRequest::new(hbn(), keep_last(1), T0 + 3 * DAY);
    let agreed = plan(&room.store, &request).await.unwrap();
    // Meanwhile the chain that was to stay is lost.
    std::fs::remove_file(room.object(&format!("/0_{}/data", T0 + DAY))).unwrap();
    let report = apply(&room.store, &request, &agreed, &Monitor::new()).await.unwrap();
    assert_eq!((report.chains, report.skipped.len()), (0, 1));
    assert!(timestamps(&room).await.contains(&T0));
}

#[tokio::test(flavor = "multi_thread")]
async fn leftovers_are_collected_after_their_grace() {
    let room = Room::new();
    days(&room, 1, 1).await;
    let store = room.path("store");
    // An interrupted backup in a chain of its own, one inside the chain, and one without any marker.
    for (kind, folder, part) in [
        ("data", format!("{}/0_{}", T0 + 10, T0 + 10), "data"),
        ("data", format!("{T0}/1_{}", T0 + 20), "data"),
        ("data", format!("{T0}/1_{}", T0 + 30), "segments/00000000"),
    ] {
        let path = store.join(format!("{kind}/tar/host1_daily job")).join(folder).join(part);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, b"left").unwrap();
    }
    assert_eq!(prune(&room, Retention::default(), T0 + DAY).await.orphans, 0, "within the grace time");
    let report = prune(&room, Retention::default(), T0 + 2 * DAY).await;
    assert_eq!((report.orphans, report.chains), (3, 0));
    assert_eq!(room.objects().len(), 4);
    room.expect(room.to("target"), &tree(&room.source())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_manifest_that_is_needed_is_no_leftover() {
    let room = Room::new();
    days(&room, 2, 2).await;
    std::fs::remove_file(room.object(&format!("/0_{T0}/manifest"))).unwrap();
    let report = prune(&room, Retention::default(), T0 + 100 * DAY).await;
    assert_eq!(report.orphans, 0, "level 1 is built on it; it may be brought back");
}

#[tokio::test(flavor = "multi_thread")]
async fn impossible_rules_are_refused() {
    let room = Room::new();
    for retention in [older_than(0.0), older_than(f64::NAN), keep_last(0)] {
        let error = plan(&room.store, &PruneRequest::new(hbn(), retention, T0)).await.unwrap_err();
        assert!(matches!(error, VaultError::BadRequest { .. }), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interruption_never_leaves_a_broken_backup() {
    // The n-th delete fails, for every n there is.
    for method in [Method::Delete, Method::DeleteTree] {
        for nth in 1..=12 {
            let room = Room::new();
            days(&room, 4, 3).await;
            let faults = vec![Fault { method, nth, kind: FaultKind::Refused }];
            let store: Arc<dyn Store> = Arc::new(Faulty::new(room.store.clone(), faults));
            let now = T0 + 100 * DAY;
            let request = PruneRequest::new(hbn(), older_than(1.0), now);
            let agreed = plan(&store, &request).await.unwrap();
            let _ = apply(&store, &request, &agreed, &Monitor::new()).await;
            all_sound(&room, &format!("{method:?} {nth}")).await;
            // A second run finishes the work, leftovers included.
            prune(&room, older_than(1.0), now).await;
            assert_eq!(timestamps(&room).await, [T0 + 3 * DAY]);
            assert_eq!(room.objects().len(), 4, "{method:?} {nth}: {:?}", room.objects());
        }
    }
}

/// Everything that is visible can be restored.
async fn all_sound(room: &Room, what: &str) {
    let request = VerifyRequest { hbn: hbn(), scope: Scope::All, pass_phrase: None, sample: None };
    let report = verify(room.store.clone(), request, Arc::new(Monitor::new())).await.unwrap();
    assert!(report.is_sound(), "{what}: {report:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_retention_on_any_chains(
        backups in prop::collection::vec((1i64..4, any::<bool>(), prop::option::of(1u32..4)), 1..8),
        broken in prop::option::of(0usize..8),
        days in prop::option::of(0.5f64..12.0),
        last in prop::option::of(1u32..5),
        from in prop::option::of(0i64..12),
        each in prop::array::uniform5(prop::option::weighted(0.2, 1u32..4)),
    ) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let room = Room::new();
            std::fs::write(room.source().join("a"), b"small").unwrap();
            let mut now = T0;
            for (gap, incremental, max_level) in backups {
                now += gap * DAY;
                let levels = LevelPolicy { incremental, max_level, ..LevelPolicy::default() };
                std::fs::write(room.source().join("a"), format!("at {now}")).unwrap();
                room.backup(BackupRequest { levels, ..room.request(now) }).await.unwrap();
            }
            let manifests: Vec<String> =
                room.objects().into_iter().filter(|name| name.ends_with("/manifest")).collect();
            if let Some(name) = broken.and_then(|number| manifests.get(number)) {
                std::fs::remove_file(room.path("store").join(name)).unwrap();
            }
            let restorable = |points: Vec<i64>| {
                let room = &room;
                async move {
                    let mut good = Vec::new();
                    for at in points {
                        let request = RestoreRequest {
                            not_after_secs: Some(at), dry_run: true, ..room.to("never")
                        };
                        if room.restore(request).await.is_ok_and(|report| report.timestamp == at) {
                            good.push(at);
                        }
                    }
                    good
                }
            };
            let before = restorable(timestamps(&room).await).await;
            let retention = Retention {
                remove_older_than_days: days,
                keep_last: last,
                remove_from_secs: from.map(|day| T0 + day * DAY),
                keep_each: each,
            };
            let any_rule = days.is_some() || last.is_some() || from.is_some() || each != [None; 5];
            let request = PruneRequest::new(hbn(), retention, now + DAY);
            let agreed = plan(&room.store, &request).await.unwrap();
            let report = apply(&room.store, &request, &agreed, &Monitor::new()).await.unwrap();
            assert!(report.skipped.is_empty());
            assert!(any_rule || report.chains == 0);
            let after = restorable(timestamps(&room).await).await;
            // What is left is exactly what was not decided to go, and still restores.
            let gone: Vec<i64> = agreed.remove.iter().filter(|one| one.subject == Subject::Chain)
                .flat_map(|one| one.levels.iter().map(|id| id.timestamp)).collect();
            let expected: Vec<i64> = before.iter().copied().filter(|at| !gone.contains(at)).collect();
            assert_eq!(after, expected);
            assert_eq!(before.is_empty(), after.is_empty(), "something restorable always stays");
            // There is one state a day at most, so that hours and days count as states do.
            let week = |at: &mut i64| (at.div_euclid(DAY) + 3).div_euclid(7);
            let states: Vec<i64> = before.iter().rev().copied().collect();
            let mut weeks = states.clone();
            weeks.dedup_by_key(week);
            for (count, kept) in [(last, &states), (each[0], &states), (each[1], &states), (each[2], &weeks)] {
                let mut kept = kept.iter().take(count.unwrap_or(0) as usize);
                assert!(kept.all(|at| after.contains(at)), "what the rules keep stays: {retention:?}");
            }
        });
    }
}
