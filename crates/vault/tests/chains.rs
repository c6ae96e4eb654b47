//! Backups and restores on a local store: every codec with every encryption, series of levels, dates.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use freezer_vault::codecs::{Compression, CompressionOptions};
use freezer_vault::encryption::{EncryptionOptions, KeyDerivation};
use freezer_vault::levels::LevelPolicy;
use freezer_vault::restore::Authenticity;
use freezer_vault::verify::{Scope, VerifyRequest};
use freezer_vault::{
    BackupRequest, Monitor, Phase, RestoreRequest, VaultError, catalogue, restore::plan as plan_restore,
    verify,
};
use std::sync::Arc;
use support::*;

const PBKDF2: KeyDerivation = KeyDerivation::Pbkdf2Sha256 { iterations: 10_000 };

/// Three levels with changes between them; answers the tree at each.
async fn series(room: &Room, request: impl Fn(i64) -> BackupRequest) -> Vec<Tree> {
    plant(&room.source());
    let mut trees = Vec::new();
    for round in 0..3u32 {
        if round > 0 {
            change(&room.source(), u64::from(round));
        }
        let report = room.backup(request(T0 + i64::from(round) * DAY)).await.unwrap();
        assert_eq!((report.level, report.problem_count), (round, 0), "{:?}", report.problems);
        trees.push(tree(&room.source()));
    }
    trees
}

#[tokio::test(flavor = "multi_thread")]
async fn every_codec_and_encryption_restores_here_and_with_tools() {
    let kinds = [None, Some(KeyDerivation::EvpSha256), Some(PBKDF2)];
    for format in Compression::ALL {
        for kind in kinds {
            let room = Room::new();
            let secret = kind
                .map(|derivation| EncryptionOptions { derivation, ..encryption("secret words").unwrap() });
            let request = |now| BackupRequest {
                compression: CompressionOptions::of(format),
                encryption: secret.clone(),
                max_segment_size_bytes: 1_000_000,
                ..room.incremental(now)
            };
            let trees = series(&room, request).await;
            let pass_phrase = kind.map(|_| pass("secret words"));
            let request = RestoreRequest { pass_phrase, ..room.to("restored") };
            let report = room.expect(request, &trees[2]).await;
            assert_eq!(report.levels, [T0, T0 + DAY, T0 + 2 * DAY]);
            with_tools(&room, format, kind, &trees[2]);
        }
    }
}

fn with_tools(room: &Room, format: Compression, kind: Option<KeyDerivation>, expected: &Tree) {
    std::fs::write(room.path("pass"), "secret words\n").unwrap();
    let flags = if kind == Some(PBKDF2) { "-pbkdf2 -iter 10000" } else { "" };
    let decrypt = kind
        .map(|_| format!("openssl enc -d -aes-256-cfb {flags} -pass file:{}", room.path("pass").display()));
    let target = room.path("tools");
    for level in 0..3i64 {
        let data = room.object(&format!("{T0}/{level}_{}/data", T0 + level * DAY));
        extract_with_tools(&data, &target, decrypt.as_deref(), format.name());
    }
    let mut found = tree(&target);
    let mut expected = expected.clone();
    // GNU tar sets the time of the root before it deletes in it.
    found.get_mut(".").unwrap().mtime = 0;
    expected.get_mut(".").unwrap().mtime = 0;
    assert_same(&found, &expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_objects_are_layout_b() {
    let room = Room::new();
    plant(&room.source());
    room.backup(room.request(T0)).await.unwrap();
    let folder = format!("tar/host1_daily job/{T0}/0_{T0}");
    let mut expected: Vec<String> =
        ["data", "engine_metadata", "manifest"].iter().map(|part| format!("data/{folder}/{part}")).collect();
    expected.push(format!("metadata/{folder}/metadata"));
    assert_eq!(room.objects(), expected);
    let metadata = std::fs::read_to_string(room.object("/metadata")).unwrap();
    assert_eq!(metadata.lines().count(), 1);
    assert!(
        metadata.starts_with(r#"{"engine_name":"tar","compression":"gzip","encryption":false"#),
        "{metadata}"
    );
    let snapshot = std::fs::read(room.object("/engine_metadata")).unwrap();
    assert!(snapshot.starts_with(b"GNU tar-"), "upstream continues from a snapshot file");
}

#[tokio::test(flavor = "multi_thread")]
async fn restore_by_date_and_newest() {
    let room = Room::new();
    let trees = series(&room, |now| room.incremental(now)).await;
    for (number, expected) in trees.iter().enumerate() {
        let at = T0 + number as i64 * DAY + DAY / 2;
        let request = RestoreRequest { not_after_secs: Some(at), ..room.to(&format!("at {number}")) };
        room.expect(request, expected).await;
    }
    let exact = RestoreRequest { not_after_secs: Some(T0 + DAY), ..room.to("exact") };
    room.expect(exact, &trees[1]).await;
    let before = RestoreRequest { not_after_secs: Some(T0 - 1), ..room.to("before") };
    let error = room.restore(before).await.unwrap_err();
    assert!(matches!(error, VaultError::NoBackup { .. }), "{error}");
    assert!(error.to_string().contains("up to 2023-11-14T22:13:19Z"), "{error}");
    assert!(!room.path("before").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn newest_of_equal_levels_wins() {
    let room = Room::new();
    plant(&room.source());
    let mut levels = Vec::new();
    let mut trees = Vec::new();
    for round in 0..5 {
        change(&room.source(), round + 1);
        let policy = LevelPolicy { incremental: true, always_level: Some(2), ..LevelPolicy::default() };
        let request = BackupRequest { levels: policy, ..room.request(T0 + round as i64) };
        levels.push(room.backup(request).await.unwrap().level);
        trees.push(tree(&room.source()));
    }
    assert_eq!(levels, [0, 1, 2, 2, 2]);
    let report = room.expect(room.to("newest"), &trees[4]).await;
    assert_eq!(report.levels, [T0, T0 + 1, T0 + 4]);
    let third = RestoreRequest { not_after_secs: Some(T0 + 3), ..room.to("third") };
    assert_eq!(room.expect(third, &trees[3]).await.levels, [T0, T0 + 1, T0 + 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_through_real_backups() {
    let room = Room::new();
    plant(&room.source());
    let policy = LevelPolicy { incremental: true, max_level: Some(2), ..LevelPolicy::default() };
    let mut made = Vec::new();
    for round in 0..5 {
        let request = BackupRequest { levels: policy, ..room.request(T0 + round * DAY) };
        let report = room.backup(request).await.unwrap();
        made.push((report.level, report.chain_timestamp));
    }
    let second = T0 + 3 * DAY;
    assert_eq!(made, [(0, T0), (1, T0), (2, T0), (0, second), (1, second)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn timestamps_never_collide() {
    let room = Room::new();
    plant(&room.source());
    let mut made = Vec::new();
    // The clock stands still, then goes back.
    for now in [T0, T0, T0 - 1000] {
        made.push(room.backup(room.incremental(now)).await.unwrap().timestamp);
    }
    assert_eq!(made, [T0, T0 + 1, T0 + 2]);
    room.expect(room.to("restored"), &tree(&room.source())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_and_an_empty_folder() {
    let room = Room::new();
    let empty = tree(&room.source());
    room.backup(room.request(T0)).await.unwrap();
    room.expect(room.to("empty"), &empty).await;
    std::fs::write(room.path("single"), b"one file").unwrap();
    let mut request = room.request(T0 + 1);
    request.source.root = room.path("single");
    room.backup(request).await.unwrap();
    // The name has backups of two things by now.
    let of_file = RestoreRequest { source: Some(room.path("single")), ..room.to("file") };
    room.restore(of_file).await.unwrap();
    assert_eq!(std::fs::read(room.path("file/single")).unwrap(), b"one file");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_and_missing_pass_phrases() {
    let room = Room::new();
    plant(&room.source());
    room.backup(BackupRequest { encryption: encryption("right"), ..room.request(T0) }).await.unwrap();
    let with = |text: &str| RestoreRequest { pass_phrase: Some(pass(text)), ..room.to("target") };
    let error = room.restore(with("wrong")).await.unwrap_err();
    assert!(matches!(error, VaultError::WrongPassPhrase { .. }), "{error}");
    let error = room.restore(room.to("target")).await.unwrap_err();
    assert!(matches!(error, VaultError::PassPhraseMissing { .. }), "{error}");
    assert!(!room.path("target").exists(), "nothing may be written");
    room.expect(with("right"), &tree(&room.source())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_clear_in_an_encrypted_payload() {
    let room = Room::new();
    let needle = b"a sentence nobody else may read";
    std::fs::write(room.source().join("needle"), needle.repeat(100)).unwrap();
    let options = CompressionOptions::of(Compression::None);
    let request = BackupRequest { encryption: encryption("right"), compression: options, ..room.request(T0) };
    room.backup(request).await.unwrap();
    for part in ["/data", "/manifest"] {
        let body = std::fs::read(room.object(part)).unwrap();
        assert!(!body.windows(needle.len()).any(|window| window == needle), "{part}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_secret_starts_a_chain() {
    let room = Room::new();
    plant(&room.source());
    let mut made = Vec::new();
    for (number, secret) in [Some("a"), Some("a"), Some("b"), None, None].into_iter().enumerate() {
        let encryption = secret.and_then(encryption);
        let report =
            room.backup(BackupRequest { encryption, ..room.incremental(T0 + number as i64) }).await.unwrap();
        made.push((report.level, report.level_reason));
    }
    let levels: Vec<u32> = made.iter().map(|(level, _)| *level).collect();
    assert_eq!(levels, [0, 1, 0, 0, 1]);
    assert!(made[2].1.contains("another pass phrase"), "{}", made[2].1);
    assert!(made[3].1.contains("is encrypted and the new backup is not"), "{}", made[3].1);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_authenticated_when_asked() {
    let room = Room::new();
    plant(&room.source());
    room.backup(room.request(T0)).await.unwrap();
    let request = RestoreRequest {
        authenticity: Authenticity::Required,
        pass_phrase: Some(pass("x")),
        ..room.to("target")
    };
    let error = room.restore(request).await.unwrap_err();
    assert!(matches!(error, VaultError::NotAuthenticated { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn targets_that_are_not_empty() {
    let room = Room::new();
    plant(&room.source());
    room.backup(room.request(T0)).await.unwrap();
    std::fs::create_dir(room.path("target")).unwrap();
    std::fs::write(room.path("target/foreign"), b"mine").unwrap();
    std::fs::write(room.path("target/a"), b"old").unwrap();
    let error = room.restore(room.to("target")).await.unwrap_err();
    assert!(matches!(error, VaultError::TargetNotEmpty { .. }), "{error}");
    assert_eq!(std::fs::read(room.path("target/a")).unwrap(), b"old");
    room.restore(RestoreRequest { overwrite: true, ..room.to("target") }).await.unwrap();
    assert_eq!(std::fs::read(room.path("target/a")).unwrap(), b"hello\n");
    assert_eq!(std::fs::read(room.path("target/foreign")).unwrap(), b"mine", "foreign files stay");
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_files_survive_the_replay_of_levels() {
    let room = Room::new();
    let trees = series(&room, |now| room.incremental(now)).await;
    std::fs::create_dir_all(room.path("target/sub/deeper")).unwrap();
    for name in ["target/foreign", "target/sub/deeper/foreign", "target/sub/foreign"] {
        std::fs::write(room.path(name), b"mine").unwrap();
    }
    room.restore(RestoreRequest { overwrite: true, ..room.to("target") }).await.unwrap();
    for name in ["target/foreign", "target/sub/foreign", "target/sub/deeper/foreign"] {
        assert_eq!(std::fs::read(room.path(name)).unwrap(), b"mine", "{name}");
    }
    for (name, entry) in &trees[2] {
        if entry.kind == 'f' {
            assert!(std::fs::read(room.path("target").join(name)).unwrap() == entry.content, "{name}");
        }
    }
    assert!(!room.path("target/to go").exists(), "deletions of the backup still replay");
}

#[tokio::test(flavor = "multi_thread")]
async fn dry_runs_write_nothing() {
    let room = Room::new();
    plant(&room.source());
    let report = room.backup(BackupRequest { dry_run: true, ..room.request(T0) }).await.unwrap();
    assert!(report.dry_run && report.bytes_stored > 0);
    assert!(!room.path("store").exists());
    room.backup(room.request(T0)).await.unwrap();
    let report = room.restore(RestoreRequest { dry_run: true, ..room.to("target") }).await.unwrap();
    assert!(report.files > 0 && !room.path("target").exists());
    let plan = plan_restore(&room.store, &room.to("target")).await.unwrap();
    assert!(plan.to_string().contains("1 levels to replay"), "{plan}");
    assert_eq!(room.restore(room.to("target")).await.unwrap().files, report.files);
}

#[tokio::test(flavor = "multi_thread")]
async fn templates_are_found_under_both_spellings() {
    let room = Room::new();
    plant(&room.source());
    let raw = "freezer_{mode}_{resource_id}";
    room.backup(BackupRequest { backup_name: raw.into(), ..room.request(T0) }).await.unwrap();
    let request = RestoreRequest { also_named: vec![raw.into()], ..room.to("target") };
    let report = room.expect(request, &tree(&room.source())).await;
    assert_eq!(report.hbn, format!("{HOST}_{raw}"));
    let error = room.restore(room.to("other")).await.unwrap_err();
    assert!(error.to_string().contains("host1_daily job: no complete backup"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn catalogue_lists_all_names() {
    let room = Room::new();
    plant(&room.source());
    for name in ["a", "a/b", "a/1/c", "x y {z}"] {
        room.backup(BackupRequest { backup_name: name.into(), ..room.request(T0) }).await.unwrap();
    }
    let hbns = catalogue::list_hbns(&room.store, freezer_vault::Engine::Tar).await.unwrap();
    let names: Vec<&str> = hbns.iter().map(freezer_vault::Hbn::as_str).collect();
    assert_eq!(names, ["host1_a", "host1_a/1/c", "host1_a/b", "host1_x y {z}"]);
    for hbn in &hbns {
        assert!(catalogue::list(&room.store, hbn).await.unwrap().has_backup());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_is_seen() {
    let room = Room::new();
    plant(&room.source());
    let monitor = Arc::new(Monitor::new());
    let request = BackupRequest { scan_totals: true, ..room.request(T0) };
    let report = freezer_vault::backup(room.store.clone(), request, monitor.clone()).await.unwrap();
    let progress = monitor.progress();
    assert_eq!(progress.phase, Phase::Finished);
    assert_eq!((progress.bytes_read, progress.bytes_stored), (report.bytes_read, report.bytes_stored));
    assert_eq!(report.bytes_read, 6 + 3_000_000 + 50_000 + 9);
    assert!(progress.bytes_total.is_none_or(|total| total == report.bytes_read), "{progress:?}");
    let stored = std::fs::metadata(room.object("/data")).unwrap().len();
    assert_eq!(report.bytes_stored, stored);
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_finds_everything_in_order() {
    let room = Room::new();
    plant(&room.source());
    for round in 0..2 {
        let request = BackupRequest {
            encryption: encryption("right"),
            max_segment_size_bytes: 700_000,
            ..room.incremental(T0 + round)
        };
        room.backup(request).await.unwrap();
    }
    let run = |pass_phrase| {
        let request = VerifyRequest { hbn: hbn(), scope: Scope::All, pass_phrase, sample: None };
        verify(room.store.clone(), request, Arc::new(Monitor::new()))
    };
    let report = run(Some(pass("right"))).await.unwrap();
    assert!(report.is_sound(), "{report:?}");
    assert!(report.levels.len() == 2 && report.levels[0].bytes_checked > 3_000_000);
    assert!(report.levels.iter().all(|verdict| verdict.notes.is_empty()));
    let report = run(None).await.unwrap();
    assert!(report.is_sound() && !report.levels[0].notes.is_empty());
    assert!(!run(Some(pass("wrong"))).await.unwrap().is_sound());
}

#[tokio::test(flavor = "multi_thread")]
async fn manifests_too_long_for_a_list_work_all_the_same() {
    let room = Room::new();
    let request = |now| BackupRequest {
        encryption: encryption("right"),
        max_segment_size_bytes: 1000,
        ..room.incremental(now)
    };
    let trees = series(&room, request).await;
    assert!(std::fs::metadata(room.object(&format!("/0_{T0}/manifest"))).unwrap().len() > 200_000);
    room.expect(RestoreRequest { pass_phrase: Some(pass("right")), ..room.to("target") }, &trees[2]).await;
    let request =
        VerifyRequest { hbn: hbn(), scope: Scope::Newest, pass_phrase: Some(pass("right")), sample: None };
    let report = verify(room.store.clone(), request, Arc::new(Monitor::new())).await.unwrap();
    assert!(report.is_sound() && report.levels.len() == 3, "{report:?}");
}

/// Whether the bytes of a name are in any object of the store.
fn is_told(room: &Room, name: &[u8]) -> bool {
    let has_name = |object: &String| {
        let body = std::fs::read(room.path("store").join(object)).unwrap();
        body.windows(name.len()).any(|bytes| bytes == name)
    };
    room.objects().iter().any(has_name)
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_files_are_hidden_when_asked() {
    for hides_names in [false, true] {
        let room = Room::new();
        std::fs::write(room.source().join("a-telling-name"), "content").unwrap();
        let secret = EncryptionOptions { hides_names, ..encryption("secret words").unwrap() };
        for level in 0..2 {
            let encryption = Some(secret.clone());
            let request = BackupRequest { encryption, ..room.incremental(T0 + level * DAY) };
            let report = room.backup(request).await.unwrap();
            assert_eq!(i64::from(report.level), level, "{}", report.level_reason);
        }
        assert_eq!(is_told(&room, b"a-telling-name"), !hides_names);
        let pass_phrase = Some(pass("secret words"));
        let request = RestoreRequest { pass_phrase: pass_phrase.clone(), ..room.to("target") };
        room.expect(request, &tree(&room.source())).await;
        let request = VerifyRequest { hbn: hbn(), scope: Scope::All, pass_phrase, sample: None };
        let checked = verify(room.store.clone(), request, Arc::new(Monitor::new())).await.unwrap();
        assert!(checked.is_sound(), "{checked:?}");
    }
}
