//! Sets: backups that belong together are saved, found, checked and removed together.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use freezer_vault::backup::USUAL_LOCK_EXPIRY;
use freezer_vault::image::{self, ImageInput, ImageRequest, OpenImage, OpenedImage};
use freezer_vault::levels::LevelPolicy;
use freezer_vault::prune::{PruneRequest, Retention, withdraw};
use freezer_vault::set::{self, NewMember, SetReadRequest, SetRequest};
use freezer_vault::verify::{Scope, VerifyRequest};
use freezer_vault::{BackupReport, Engine, FileProblem, Hbn, Monitor, VaultError, Weight};
use serde_json::{Value, json};
use std::sync::Arc;
use support::*;

const SET: &str = "project p1";

fn set_hbn() -> Hbn {
    Hbn::of(Engine::Set, HOST, SET).unwrap()
}

async fn save_disk(room: &Room, name: &str, now: i64, seed: u64, incremental: bool) -> BackupReport {
    let levels = LevelPolicy { incremental, ..LevelPolicy::default() };
    save_image(room, ImageRequest { levels, ..ImageRequest::new(HOST, name, now) }, seed).await
}

async fn save_image(room: &Room, request: ImageRequest, seed: u64) -> BackupReport {
    let image = noise(seed, 100_000);
    let open: OpenImage = Box::new(move |_| {
        Box::pin(async move {
            let size_bytes = Some(image.len() as u64);
            let input = ImageInput::Whole { reader: Box::new(std::io::Cursor::new(image)), size_bytes };
            Ok(OpenedImage { input, source: Value::Null, description: Value::Null })
        })
    });
    image::backup(room.store.clone(), request, open, Arc::new(Monitor::new())).await.unwrap()
}

fn member(report: &BackupReport, role: &str) -> NewMember {
    NewMember::of(Engine::Image, report, role).unwrap()
}

fn request(now: i64, members: Vec<NewMember>) -> SetRequest {
    let topology = json!({"server": {"name": "THE-SERVER"}});
    SetRequest { members, topology, ..SetRequest::new(HOST, SET, now) }
}

async fn save(room: &Room, request: SetRequest) -> Result<BackupReport, VaultError> {
    set::save(room.store.clone(), request, Arc::new(Monitor::new())).await
}

#[tokio::test]
async fn a_set_names_what_is_there_and_nothing_else() {
    let room = Room::new();
    let root = save_disk(&room, "root", T0, 1, false).await;
    let data = save_disk(&room, "data", T0, 2, false).await;
    let named = vec![member(&root, "root"), member(&data, "data")];
    let report = save(&room, request(T0 + 1, named.clone())).await.unwrap();
    assert_eq!((report.level, report.files, report.is_partial), (0, 2, false));
    let found = set::read(&room.store, &SetReadRequest::new(HOST, SET)).await.unwrap();
    assert_eq!(found.topology, json!({"server": {"name": "THE-SERVER"}}));
    let roles: Vec<&str> = found.members.iter().map(|member| member.role.as_str()).collect();
    assert_eq!((roles, found.missing.len(), found.timestamp), (vec!["root", "data"], 0, T0 + 1));

    let before = room.objects();
    let mut absent = member(&root, "root");
    absent.id.timestamp += 1;
    for bad in [vec![absent], vec![named[0].clone(), named[0].clone()]] {
        let error = save(&room, request(T0 + 2, bad)).await.unwrap_err();
        assert!(matches!(error, VaultError::BadRequest { .. }), "{error}");
        assert_eq!(room.objects(), before, "a set that failed left something");
    }
}

#[tokio::test]
async fn what_a_set_lost_is_named() {
    let room = Room::new();
    let root = save_disk(&room, "root", T0, 1, false).await;
    let data = save_disk(&room, "data", T0, 2, false).await;
    save(&room, request(T0 + 1, vec![member(&root, "root"), member(&data, "data")])).await.unwrap();
    let verify = async || {
        let request = VerifyRequest { hbn: set_hbn(), scope: Scope::Newest, pass_phrase: None, sample: None };
        set::verify(room.store.clone(), request, Arc::new(Monitor::new())).await.unwrap()
    };
    assert!(verify().await.is_sound());
    let payload = room.path("store").join(&data.folder).join("data");
    let mut body = std::fs::read(&payload).unwrap();
    body[50] ^= 1;
    std::fs::write(&payload, &body).unwrap();
    let report = verify().await;
    assert!(!report.is_sound() && report.set.is_sound());
    std::fs::remove_file(&payload).unwrap();
    let found = set::read(&room.store, &SetReadRequest::new(HOST, SET)).await.unwrap();
    assert_eq!((found.members.len(), found.missing.len()), (1, 1));
    assert_eq!(found.missing[0].member.role, "data");
    std::fs::remove_dir_all(room.path("store").join(&data.folder)).unwrap();
    let report = verify().await;
    assert!(report.members[1].fault.as_ref().unwrap().contains("is not there"), "{report:?}");
}

#[tokio::test]
async fn a_set_is_encrypted_and_partial_when_it_should_be() {
    for (encryption, cipher) in [(encryption("right"), "aes-256-cfb"), (sealed("right"), "aes-256-gcm")] {
        let room = Room::new();
        let disk = ImageRequest { encryption: encryption.clone(), ..ImageRequest::new(HOST, "root", T0) };
        let root = save_image(&room, disk, 1).await;
        let problem = FileProblem {
            path: "volume v2".into(),
            kind: "failed".into(),
            weight: Weight::Partial,
            reason: "snapshot in error".into(),
        };
        let wanted = SetRequest {
            encryption,
            problems: vec![problem.clone()],
            ..request(T0 + 1, vec![member(&root, "THE-ROLE")])
        };
        let report = save(&room, wanted).await.unwrap();
        assert!(report.is_partial && report.encrypted);
        for name in room.objects() {
            let body = std::fs::read(room.path("store").join(&name)).unwrap();
            for word in [&b"THE-SERVER"[..], b"THE-ROLE"] {
                assert!(!body.windows(word.len()).any(|part| part == word), "{name} tells");
            }
        }
        let with = |pass_phrase| SetReadRequest { pass_phrase, ..SetReadRequest::new(HOST, SET) };
        let found = set::read(&room.store, &with(Some(pass("right")))).await.unwrap();
        assert_eq!((found.members[0].role.as_str(), found.problems), ("THE-ROLE", vec![problem]));
        assert!(set::read(&room.store, &with(Some(pass("wrong")))).await.is_err());
        assert!(set::read(&room.store, &with(None)).await.is_err());
        an_encrypted_set_is_checked(&room, &report, cipher).await;
    }
}

/// Whole, and with a bit of its document turned.
async fn an_encrypted_set_is_checked(room: &Room, saved: &BackupReport, cipher: &str) {
    let manifest = std::fs::read(room.object(&format!("/0_{}/manifest", saved.timestamp))).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    assert_eq!(manifest["encryption"]["cipher"], cipher);
    let verify = async || {
        let pass_phrase = Some(pass("right"));
        let request = VerifyRequest { hbn: set_hbn(), scope: Scope::Newest, pass_phrase, sample: None };
        set::verify(room.store.clone(), request, Arc::new(Monitor::new())).await.unwrap()
    };
    let report = verify().await;
    assert!(report.is_sound() && report.members.len() == 1, "{report:?}");
    let payload = room.path("store").join(&saved.folder).join("data");
    let mut body = std::fs::read(&payload).unwrap();
    let middle = body.len() / 2;
    body[middle] ^= 1;
    std::fs::write(&payload, &body).unwrap();
    assert!(!verify().await.set.is_sound());
    let request = SetReadRequest { pass_phrase: Some(pass("right")), ..SetReadRequest::new(HOST, SET) };
    let error = set::read(&room.store, &request).await.unwrap_err();
    assert!(matches!(error, VaultError::Damaged { .. }), "{error}");
}

#[tokio::test]
async fn members_go_with_the_last_set_that_names_them() {
    let room = Room::new();
    // Three sets: `root` begins a new chain in the third, `data` goes on in one chain, `alone` is in none.
    let mut newest_root = None;
    for round in 0..3 {
        let now = T0 + round * DAY;
        let root = save_disk(&room, "root", now, 1, round == 1).await;
        let data = save_disk(&room, "data", now, 2, true).await;
        save(&room, request(now + 60, vec![member(&root, "root"), member(&data, "data")])).await.unwrap();
        newest_root = Some(root);
    }
    let alone = save_disk(&room, "alone", T0, 3, false).await;
    let retention = Retention { keep_last: Some(1), ..Retention::default() };
    let request = PruneRequest::new(set_hbn(), retention, T0 + 9 * DAY);
    let plan = set::plan_prune(&room.store, &request).await.unwrap();
    assert_eq!(plan.set.remove.len(), 2);
    let before = room.objects();
    let again = set::plan_prune(&room.store, &request).await.unwrap();
    assert_eq!((again, room.objects()), (plan.clone(), before), "a plan changes nothing");
    let report = set::apply(&room.store, &request, &plan, &Monitor::new()).await.unwrap();
    assert_eq!((report.sets.chains, report.members.chains, report.members.levels), (2, 1, 2));
    assert!(report.members.skipped.is_empty(), "{:?}", report.members.skipped);

    let found = set::read(&room.store, &SetReadRequest::new(HOST, SET)).await.unwrap();
    assert_eq!((found.members.len(), found.missing.len()), (2, 0));
    let objects = room.objects();
    assert!(objects.iter().any(|name| name.starts_with(&alone.folder)), "what no set names stays");
    let kept = newest_root.unwrap();
    let roots = objects.iter().filter(|name| name.starts_with("data/image/host1_root/"));
    assert!(roots.clone().count() > 0 && roots.clone().all(|name| name.starts_with(&kept.folder)));
}

#[tokio::test]
async fn a_set_that_lost_a_member_takes_no_whole_ones_place() {
    let room = Room::new();
    let mut newest_root = None;
    for round in 0..3 {
        let now = T0 + round * DAY;
        let root = save_disk(&room, "root", now, 1, false).await;
        let data = save_disk(&room, "data", now, 2, false).await;
        save(&room, request(now + 60, vec![member(&root, "root"), member(&data, "data")])).await.unwrap();
        newest_root = Some(root);
    }
    std::fs::remove_file(room.path("store").join(&newest_root.unwrap().folder).join("data")).unwrap();
    let retention = Retention { keep_last: Some(1), ..Retention::default() };
    // What a set names is not rotated by its own name.
    let own = PruneRequest::new(Hbn::of(Engine::Image, HOST, "data").unwrap(), retention, T0 + 9 * DAY);
    let plan = freezer_vault::prune::plan(&room.store, &own).await.unwrap();
    assert!(plan.remove.is_empty() && plan.to_string().contains("rotate the set"), "{plan}");

    let request = PruneRequest::new(set_hbn(), retention, T0 + 9 * DAY);
    let plan = set::plan_prune(&room.store, &request).await.unwrap();
    let going: Vec<i64> = plan.set.remove.iter().map(|row| row.chain_timestamp).collect();
    assert_eq!(going, [T0 + 60], "{plan}");
    assert!(plan.to_string().contains("a member is lost"), "what is left of the newest stays: {plan}");
    let report = set::apply(&room.store, &request, &plan, &Monitor::new()).await.unwrap();
    assert_eq!((report.sets.chains, report.members.chains), (1, 2));
    let whole = SetReadRequest { not_after_secs: Some(T0 + DAY + 60), ..SetReadRequest::new(HOST, SET) };
    let found = set::read(&room.store, &whole).await.unwrap();
    assert_eq!((found.timestamp, found.missing.len()), (T0 + DAY + 60, 0));
}

#[tokio::test]
async fn a_backup_outside_of_sets_keeps_its_chain() {
    let room = Room::new();
    let first = save_disk(&room, "root", T0, 1, true).await;
    save(&room, request(T0 + 60, vec![member(&first, "root")])).await.unwrap();
    save_disk(&room, "root", T0 + DAY, 2, true).await;
    let other = save_disk(&room, "other", T0 + DAY, 3, true).await;
    save(&room, request(T0 + DAY + 60, vec![member(&other, "other")])).await.unwrap();
    let retention = Retention { keep_last: Some(1), ..Retention::default() };
    let request = PruneRequest::new(set_hbn(), retention, T0 + 9 * DAY);
    let plan = set::plan_prune(&room.store, &request).await.unwrap();
    let reason = &plan.members[0].plan.keep[0].reason;
    assert!(reason.contains("no set names level 1"), "{reason}");
    let report = set::apply(&room.store, &request, &plan, &Monitor::new()).await.unwrap();
    assert_eq!((report.sets.chains, report.members.chains), (1, 0));
    assert!(room.objects().iter().any(|name| name.starts_with(&first.folder)));
}

#[tokio::test]
async fn what_was_made_for_a_set_that_never_came_to_be_goes_after_long() {
    const DAY: i64 = 86_400;
    let room = Room::new();
    let of_set = format!("{SET}_disk");
    let part = async |now: i64, is_part: bool, name: &str| {
        let part_of = is_part.then(|| set_hbn().to_string());
        let levels = LevelPolicy { incremental: true, ..LevelPolicy::default() };
        let request = ImageRequest { levels, part_of, ..ImageRequest::new(HOST, name, now) };
        save_image(&room, request, now as u64).await
    };
    // Its run was ended before it could name these; and somebody's own backup has such a name too.
    part(T0, true, &of_set).await;
    part(T0, false, &format!("{SET}_own")).await;
    let live = part(T0 + 10, true, &format!("{SET}_live")).await;
    part(T0 + 20, true, &format!("{SET}_live")).await;
    save(&room, request(T0 + 20, vec![member(&live, "live")])).await.unwrap();
    let removed = async |now: i64| -> Vec<String> {
        let retention = Retention { keep_last: Some(1), ..Retention::default() };
        let request = PruneRequest::new(set_hbn(), retention, now);
        let plan = set::plan_prune(&room.store, &request).await.unwrap();
        set::apply(&room.store, &request, &plan, &Monitor::new()).await.unwrap();
        plan.members.iter().map(|member| member.hbn.to_string()).collect()
    };
    // It may be just being made.
    assert_eq!(removed(T0 + DAY).await, Vec::<String>::new());
    assert_eq!(removed(T0 + 8 * DAY).await, [format!("{HOST}_{of_set}")]);
    assert_eq!(removed(T0 + 9 * DAY).await, Vec::<String>::new());
    // With its set goes also what a later run has left on top.
    let other = save_disk(&room, "other", T0 + 30, 3, false).await;
    save(&room, request(T0 + 30, vec![member(&other, "other")])).await.unwrap();
    assert_eq!(removed(T0 + 10 * DAY).await, [format!("{HOST}_{SET}_live")]);
    assert!(set::read(&room.store, &SetReadRequest::new(HOST, SET)).await.unwrap().missing.is_empty());
    // Also where there never was a set.
    let lone = Hbn::of(Engine::Set, HOST, "lone").unwrap();
    let part_of = Some(lone.to_string());
    save_image(&room, ImageRequest { part_of, ..ImageRequest::new(HOST, "lone_disk", T0) }, 9).await;
    let retention = Retention { keep_last: Some(1), ..Retention::default() };
    let plan = set::plan_prune(&room.store, &PruneRequest::new(lone, retention, T0 + 8 * DAY)).await.unwrap();
    assert_eq!(plan.members.len(), 1, "{plan}");
    assert!(plan.to_string().contains("never came to be"), "{plan}");
}

#[tokio::test]
async fn only_the_newest_level_can_be_taken_back() {
    let room = Room::new();
    let first = save_disk(&room, "root", T0, 1, true).await;
    let before = room.objects();
    let second = save_disk(&room, "root", T0 + 10, 2, true).await;
    let take = async |report: &BackupReport| {
        let member = member(report, "root");
        withdraw(&room.store, &member.hbn, member.id, T0 + 20, USUAL_LOCK_EXPIRY).await.unwrap()
    };
    assert!(!take(&first).await, "something is built on it");
    assert!(take(&second).await);
    assert_eq!(room.objects(), before);
    assert!(!take(&second).await, "it is gone");
    // The next level is what it would have been without.
    let third = save_disk(&room, "root", T0 + 30, 3, true).await;
    assert_eq!((third.level, third.chain_timestamp), (1, T0));
    assert!(take(&third).await && take(&first).await);
    assert_eq!(room.objects(), Vec::<String>::new());
}
