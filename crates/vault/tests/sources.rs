//! One name with backups of several folders: none of them is built on, restored or rotated for another.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use freezer_vault::backup::Source;
use freezer_vault::encryption::EncryptionOptions;
use freezer_vault::prune::{PruneRequest, Retention, apply, plan};
use freezer_vault::verify::{Scope, VerifyRequest};
use freezer_vault::{
    BackupReport, BackupRequest, Monitor, RestoreReport, RestoreRequest, VaultError, catalogue, verify,
};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use support::*;

/// Folders `a` and `b` with a file of the same name.
fn two_folders() -> Room {
    let room = Room::new();
    for name in ["a", "b"] {
        std::fs::create_dir(room.path(name)).unwrap();
        std::fs::write(room.path(name).join("file"), format!("content of {name}\n")).unwrap();
    }
    room
}

async fn save(room: &Room, folder: &str, now: i64, encryption: Option<EncryptionOptions>) -> BackupReport {
    let source = Source::new(room.path(folder));
    room.backup(BackupRequest { source, encryption, ..room.incremental(now) }).await.unwrap()
}

fn of(room: &Room, folder: &str, target: &str) -> RestoreRequest {
    RestoreRequest { source: Some(room.path(folder)), ..room.to(target) }
}

async fn keep_one(room: &Room) -> Vec<i64> {
    let retention = Retention { keep_last: Some(1), ..Retention::default() };
    let request = PruneRequest::new(hbn(), retention, T0 + 100 * DAY);
    let plan = plan(&room.store, &request).await.unwrap();
    apply(&room.store, &request, &plan, &Monitor::new()).await.unwrap();
    let left = catalogue::list(&room.store, &hbn()).await.unwrap();
    left.chains.iter().map(|chain| chain.timestamp).collect()
}

async fn two_folders_take_turns(encryption: Option<EncryptionOptions>) {
    let room = two_folders();
    let mut made = Vec::new();
    for (round, folder) in ["a", "b", "a", "b"].into_iter().enumerate() {
        let report = save(&room, folder, T0 + round as i64 * DAY, encryption.clone()).await;
        made.push((report.level, report.chain_timestamp, !report.warnings.is_empty()));
    }
    let second = T0 + DAY;
    assert_eq!(made, [(0, T0, false), (0, second, true), (1, T0, true), (1, second, false)]);

    let pass_phrase = encryption.map(|_| pass("secret words"));
    let with_pass = |request: RestoreRequest| RestoreRequest { pass_phrase: pass_phrase.clone(), ..request };
    let error = room.restore(with_pass(room.to("which"))).await.unwrap_err();
    assert!(matches!(error, VaultError::SeveralSources { .. }), "{error}");
    for folder in ["a", "b"] {
        let target = format!("restored {folder}");
        room.expect(with_pass(of(&room, folder, &target)), &tree(&room.path(folder))).await;
    }
    let dated = RestoreRequest { not_after_secs: Some(T0 + 2 * DAY), ..room.to("dated") };
    room.expect(with_pass(dated), &tree(&room.path("a"))).await;
    let error = room.restore(with_pass(of(&room, "c", "none"))).await.unwrap_err();
    assert!(matches!(error, VaultError::OtherSource { .. }), "{error}");

    let request =
        VerifyRequest { hbn: hbn(), scope: Scope::Newest, pass_phrase: pass_phrase.clone(), sample: None };
    let checked = verify(room.store.clone(), request, Arc::new(Monitor::new())).await.unwrap();
    assert!(checked.is_sound() && checked.levels.len() == 4, "{checked:?}");
    assert_eq!(keep_one(&room).await, [T0, second], "each keeps its own last");
    let manifest =
        String::from_utf8(std::fs::read(room.object(&format!("/0_{T0}/manifest"))).unwrap()).unwrap();
    assert_eq!(manifest.contains(room.path("a").to_str().unwrap()), pass_phrase.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_folders_under_one_name_stay_apart() {
    two_folders_take_turns(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn encrypted_folders_stay_apart_and_unnamed() {
    two_folders_take_turns(encryption("secret words")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_given_another_folder_begins_anew() {
    let room = two_folders();
    save(&room, "a", T0, None).await;
    save(&room, "a", T0 + DAY, None).await;
    for round in 2..5 {
        let report = save(&room, "b", T0 + round * DAY, None).await;
        assert_eq!(i64::from(report.level), round - 2);
    }
    assert_eq!(keep_one(&room).await, [T0, T0 + 2 * DAY], "the only chain of the first folder stays");
    room.expect(of(&room, "a", "old"), &tree(&room.path("a"))).await;
    // The same folder in other words.
    let source = Source::new(room.path("b/../b/.//"));
    let report = room.backup(BackupRequest { source, ..room.incremental(T0 + 6 * DAY) }).await.unwrap();
    assert_eq!(report.level, 0, "a link may stand for ..");
    let source = Source::new(room.path(".//b/./"));
    let report = room.backup(BackupRequest { source, ..room.incremental(T0 + 7 * DAY) }).await.unwrap();
    assert_eq!((report.level, report.chain_timestamp), (3, T0 + 2 * DAY));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_pass_phrase_is_no_other_folder() {
    let room = two_folders();
    save(&room, "a", T0, encryption("first words")).await;
    let report = save(&room, "a", T0 + DAY, encryption("secret words")).await;
    assert_eq!((report.level, report.warnings.len()), (0, 0));
    assert!(report.level_reason.contains("another pass phrase"), "{}", report.level_reason);
    let request = RestoreRequest { pass_phrase: Some(pass("secret words")), ..room.to("target") };
    room.expect(request, &tree(&room.path("a"))).await;
    assert_eq!(keep_one(&room).await, [T0 + DAY], "they are of one folder as far as anybody knows");
}

/// Where one of the folders is encrypted, nobody has to guess which the other one is.
#[tokio::test(flavor = "multi_thread")]
async fn a_clear_folder_and_an_encrypted_one_stay_apart() {
    let room = two_folders();
    save(&room, "a", T0, None).await;
    for day in 1..3 {
        let secret = BackupRequest {
            source: Source::new(room.path("b")),
            encryption: encryption("secret words"),
            ..room.request(T0 + day * DAY)
        };
        room.backup(secret).await.unwrap();
    }
    let with =
        |request: RestoreRequest| RestoreRequest { pass_phrase: Some(pass("secret words")), ..request };
    room.expect(with(of(&room, "a", "clear")), &tree(&room.path("a"))).await;
    room.expect(with(of(&room, "b", "sealed")), &tree(&room.path("b"))).await;
    // Who has no pass phrase has to do with the clear one only.
    room.expect(of(&room, "a", "by whom"), &tree(&room.path("a"))).await;
    let report = save(&room, "a", T0 + 2 * DAY + 3600, None).await;
    assert_eq!((report.level, report.chain_timestamp), (1, T0), "{}", report.level_reason);
    room.expect(of(&room, "a", "by whom again"), &tree(&room.path("a"))).await;
    let error = room.restore(with(room.to("which"))).await.unwrap_err();
    assert!(matches!(error, VaultError::SeveralSources { .. }), "{error}");
    assert_eq!(keep_one(&room).await, [T0, T0 + 2 * DAY], "the last of each");
    // A folder that is encrypted from now on is the same one, and goes on being rotated.
    let report = save(&room, "a", T0 + 3 * DAY, encryption("secret words")).await;
    assert_eq!((report.level, report.warnings.len()), (0, 1), "{:?}", report.warnings);
    assert_eq!(save(&room, "a", T0 + 4 * DAY, encryption("secret words")).await.level, 1);
    assert_eq!(keep_one(&room).await, [T0 + 2 * DAY, T0 + 3 * DAY]);
    room.expect(with(of(&room, "a", "again")), &tree(&room.path("a"))).await;
}

/// A job that was encrypted, or is from now on, is no reason to refuse its restore, though nobody can tell that it is one folder.
#[tokio::test(flavor = "multi_thread")]
async fn the_newest_of_what_followed_each_other_is_restored() {
    let secret = encryption("secret words");
    let with =
        |request: RestoreRequest| RestoreRequest { pass_phrase: Some(pass("secret words")), ..request };
    let is_told = |report: &RestoreReport| report.warnings.iter().any(|text| text.contains("older backups"));
    let room = two_folders();
    save(&room, "a", T0, secret.clone()).await;
    std::fs::write(room.path("a/file"), "newer\n").unwrap();
    save(&room, "a", T0 + DAY, None).await;
    let report = room.expect(room.to("clear"), &tree(&room.path("a"))).await;
    assert!(is_told(&report), "{:?}", report.warnings);
    assert_eq!(keep_one(&room).await, [T0, T0 + DAY], "rotation keeps them apart");

    let room = two_folders();
    save(&room, "a", T0, None).await;
    save(&room, "b", T0 + DAY, secret).await;
    let report = room.expect(with(room.to("sealed")), &tree(&room.path("b"))).await;
    assert!(is_told(&report), "{:?}", report.warnings);
    let report = room.expect(of(&room, "a", "by path"), &tree(&room.path("a"))).await;
    assert!(report.warnings.iter().any(|text| text.contains("passed over")), "{:?}", report.warnings);
}

/// Takes the mark out of a manifest, as it was before there were marks.
fn unmark(room: &Room, timestamp: i64) {
    let path = room.object(&format!("/0_{timestamp}/manifest"));
    let mut map: Map<String, Value> = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    map.shift_remove("sha256").unwrap();
    map.shift_remove("source").unwrap();
    let digest = hex::encode(Sha256::digest(serde_json::to_vec(&map).unwrap()));
    map.insert("sha256".into(), Value::String(digest));
    std::fs::write(path, serde_json::to_vec(&map).unwrap()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn chains_without_a_mark_are_taken_as_before() {
    let room = two_folders();
    save(&room, "a", T0, None).await;
    unmark(&room, T0);
    room.expect(room.to("before"), &tree(&room.path("a"))).await;
    room.expect(of(&room, "a", "asked for"), &tree(&room.path("a"))).await;
    let report = save(&room, "a", T0 + DAY, None).await;
    assert_eq!((report.level, report.warnings.len()), (1, 0), "{}", report.level_reason);
    assert_eq!(save(&room, "b", T0 + 2 * DAY, None).await.level, 0);
    room.expect(of(&room, "a", "then"), &tree(&room.path("a"))).await;

    // Of before the marks and never continued: it counts with what came after it.
    let room = two_folders();
    for day in 0..3 {
        room.backup(BackupRequest { source: Source::new(room.path("a")), ..room.request(T0 + day * DAY) })
            .await
            .unwrap();
    }
    unmark(&room, T0);
    unmark(&room, T0 + DAY);
    room.expect(room.to("newest"), &tree(&room.path("a"))).await;
    assert_eq!(keep_one(&room).await, [T0 + 2 * DAY]);
}
