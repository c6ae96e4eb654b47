//! Backups with AES-256-GCM: whatever is saved comes back, also by the program in the documents, and nothing wrong does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use freezer_storage::{Counted, Counts, Store};
use freezer_vault::codecs::{Compression, CompressionOptions};
use freezer_vault::encryption::{Cipher, EncryptionOptions};
use freezer_vault::image::{self, ImageInput, ImageOutput, ImageRequest, ImageRestoreRequest, OpenedImage};
use freezer_vault::levels::LevelPolicy;
use freezer_vault::prune::{PruneRequest, Retention, apply, plan};
use freezer_vault::restore::Selection;
use freezer_vault::tar::Extract;
use freezer_vault::verify::{Scope, VerifyRequest};
use freezer_vault::{
    BackupRequest, Monitor, RestoreRequest, Sample, VaultError, VerifyReport, backup, restore, verify,
};
use serde_json::json;
use std::sync::Arc;
use support::*;

fn with(cipher: Cipher) -> Option<EncryptionOptions> {
    Some(EncryptionOptions { cipher, ..sealed("secret words").unwrap() })
}

fn request(room: &Room, cipher: Cipher, format: Compression, now: i64) -> BackupRequest {
    BackupRequest {
        compression: CompressionOptions::of(format),
        encryption: with(cipher),
        max_segment_size_bytes: 1_000_000,
        ..room.incremental(now)
    }
}

fn back(room: &Room, target: &str) -> RestoreRequest {
    RestoreRequest { pass_phrase: Some(pass("secret words")), ..room.to(target) }
}

fn parts_of(room: &Room, target: &str, paths: &[&str]) -> RestoreRequest {
    let extract = Extract { only: Selection::of(paths).unwrap(), ..Extract::default() };
    RestoreRequest { extract, ..back(room, target) }
}

async fn check(room: &Room, phrase: Option<&str>, sample: Option<Sample>) -> VerifyReport {
    let request = VerifyRequest { hbn: hbn(), scope: Scope::All, pass_phrase: phrase.map(pass), sample };
    verify(room.store.clone(), request, Arc::new(Monitor::new())).await.unwrap()
}

/// The program that the documents show.
fn program() -> String {
    let document = include_str!("../../../docs/storage-format.md");
    let (_, program) = document.split_once("```python\n").expect("a program in the document");
    program.split_once("```").unwrap().0.to_owned()
}

/// What it makes of a stored object.
fn opened_by_program(room: &Room, sealed: &[u8]) -> Vec<u8> {
    std::fs::write(room.path("pass"), "secret words\n").unwrap();
    std::fs::write(room.path("open_sealed.py"), program()).unwrap();
    let (script, phrase) = (room.path("open_sealed.py"), room.path("pass"));
    pipe(&format!("/usr/bin/python3 '{}' '{}' {SEALED_ROUNDS}", script.display(), phrase.display()), sealed)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_codec_restores_here_and_with_the_program_in_the_documents() {
    assert!(program().lines().count() <= 20);
    for format in Compression::ALL {
        let room = Room::new();
        plant(&room.source());
        for round in 0..2u64 {
            if round > 0 {
                change(&room.source(), round);
            }
            let now = T0 + round as i64 * DAY;
            let report = room.backup(request(&room, Cipher::Aes256Gcm, format, now)).await.unwrap();
            assert_eq!(u64::from(report.level), round);
        }
        let expected = tree(&room.source());
        room.expect(back(&room, "restored"), &expected).await;
        let report = check(&room, Some("secret words"), None).await;
        assert!(report.is_sound(), "{report:?}");
        assert!(check(&room, None, None).await.is_sound(), "SHA-256 alone");

        let target = room.path("tools");
        for level in 0..2i64 {
            let data = room.object(&format!("{T0}/{level}_{}/data", T0 + level * DAY));
            let clear = room.path("clear");
            std::fs::write(&clear, opened_by_program(&room, &std::fs::read(data).unwrap())).unwrap();
            extract_with_tools(&clear, &target, None, format.name());
        }
        let (mut found, mut expected) = (tree(&target), expected);
        // GNU tar sets the time of the root before it deletes in it.
        found.get_mut(".").unwrap().mtime = 0;
        expected.get_mut(".").unwrap().mtime = 0;
        assert_same(&found, &expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn levels_of_both_ciphers_are_one_chain() {
    let room = Room::new();
    plant(&room.source());
    let ciphers = [Cipher::Aes256Cfb, Cipher::Aes256Gcm, Cipher::Aes256Gcm, Cipher::Aes256Cfb];
    for (round, cipher) in ciphers.into_iter().enumerate() {
        if round > 0 {
            change(&room.source(), round as u64);
        }
        let now = T0 + round as i64 * DAY;
        let report = room.backup(request(&room, cipher, Compression::Gzip, now)).await.unwrap();
        assert_eq!((report.level as usize, report.chain_timestamp), (round, T0));
        let manifest = std::fs::read(room.object(&format!("/{round}_{now}/manifest"))).unwrap();
        let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
        assert_eq!(manifest["encryption"]["cipher"], cipher.name());
        let is_sealed = cipher == Cipher::Aes256Gcm;
        // Programs that know of no sealed chunks, or of no pass phrase beside the payload's, refuse them by the version.
        assert_eq!((&manifest["version"], &manifest["encryption"]["beside"]), (&json!(3), &json!("mac-key")));
        let data = std::fs::read(room.object(&format!("/{round}_{now}/data"))).unwrap();
        assert_eq!(
            (data.starts_with(b"FZSEAL\0\x01"), data.starts_with(b"Salted__")),
            (is_sealed, !is_sealed)
        );
        let metadata = std::fs::read(room.object(&format!("/{round}_{now}/engine_metadata"))).unwrap();
        assert!(!metadata.starts_with(b"GNU tar-"), "names are hidden");
    }
    let expected = tree(&room.source());
    room.expect(back(&room, "restored"), &expected).await;
    let report = room.restore(parts_of(&room, "part", &["a", "sub/big"])).await.unwrap();
    assert!(!report.is_partial && report.warnings.is_empty(), "{:?}", report.warnings);
    for name in ["a", "sub/big"] {
        assert_eq!(tree(&room.path("part"))[name], expected[name], "{name}");
    }
    assert!(check(&room, Some("secret words"), None).await.is_sound());

    // A new chain, and rotation removes the mixed one.
    let levels = LevelPolicy::default();
    let now = T0 + 9 * DAY;
    let full = BackupRequest { levels, ..request(&room, Cipher::Aes256Gcm, Compression::Zstd, now) };
    room.backup(full).await.unwrap();
    let retention = Retention { keep_last: Some(1), ..Retention::default() };
    let wanted = PruneRequest::new(hbn(), retention, now + DAY);
    let planned = plan(&room.store, &wanted).await.unwrap();
    assert_eq!(apply(&room.store, &wanted, &planned, &Monitor::new()).await.unwrap().chains, 1);
    room.expect(back(&room, "after"), &expected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_restored_out_of_the_chunks_that_hold_it() {
    for format in [Compression::Zstd, Compression::None, Compression::Gzip] {
        let room = Room::new();
        std::fs::create_dir(room.source().join("sub")).unwrap();
        for number in 0..26u64 {
            let content = noise(number, 700_000);
            std::fs::write(room.source().join(format!("sub/file {number:02}")), content).unwrap();
        }
        room.backup(request(&room, Cipher::Aes256Gcm, format, T0)).await.unwrap();
        for number in [0, 17, 25u64] {
            let counts = Counts::default();
            let store: Arc<dyn Store> = Arc::new(Counted::new(room.store.clone(), counts.clone()));
            let (target, name) = (format!("target {number}"), format!("sub/file {number:02}"));
            let wanted = parts_of(&room, &target, &[&name]);
            let report = restore(store, wanted, Arc::new(Monitor::new())).await.unwrap();
            assert!(!report.is_partial && report.warnings.is_empty(), "{:?}", report.warnings);
            let found = tree(&room.path(&target));
            assert!(found[&name].content == noise(number, 700_000), "{format}, {name}");
            assert!(counts.received_bytes() < 10_000_000, "{format}: {} of 18 MB", counts.received_bytes());
        }
        // A changed chunk is named, and nothing of the file appears.
        let data = room.object("/data");
        let mut body = std::fs::read(&data).unwrap();
        let middle = body.len() / 2;
        body[middle] ^= 1;
        std::fs::write(&data, body).unwrap();
        let error = room.restore(parts_of(&room, "damaged", &["sub"])).await.unwrap_err().to_string();
        let chunk = (middle - 43) / (65_536 + 16);
        assert!(error.contains(&format!("chunk {chunk} does not fit its tag")), "{error}");
        assert!(error.contains("/data (level 0"), "{error}");
    }
}

/// A backup of some chunks, and what a restore says after `change`.
async fn told(change: impl Fn(&mut Vec<u8>)) -> (String, bool) {
    let room = Room::new();
    std::fs::write(room.source().join("noise"), noise(1, 300_000)).unwrap();
    let segment = BackupRequest {
        max_segment_size_bytes: 150_000,
        ..request(&room, Cipher::Aes256Gcm, Compression::None, T0)
    };
    room.backup(segment).await.unwrap();
    let data = room.object("/data");
    let mut body = std::fs::read(&data).unwrap();
    change(&mut body);
    std::fs::write(&data, body).unwrap();
    let error = room.restore(back(&room, "target")).await.unwrap_err();
    assert!(!room.path("target/noise").exists());
    (error.to_string(), check(&room, Some("secret words"), None).await.is_sound())
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_names_object_and_chunks() {
    const SEALED: usize = 65_536 + 16;
    for (place, chunks) in [
        (0, "chunks 0 to 2"),
        (9, "chunks 0 to 2"),
        (30, "chunks 0 to 2"),
        (43 + 1000, "chunks 0 to 2"),
        (43 + SEALED - 1, "chunks 0 to 2"),
        (43 + 4 * SEALED + 10, "chunks 2 to 4"),
    ] {
        let (text, is_sound) = told(|body| body[place] ^= 1).await;
        assert!(text.contains("/data (level 0") && text.contains(chunks) && !is_sound, "{place}: {text}");
    }
    let (text, is_sound) = told(|body| {
        let one = body[43..43 + SEALED].to_vec();
        body.copy_within(43 + SEALED..43 + 2 * SEALED, 43);
        body[43 + SEALED..43 + 2 * SEALED].copy_from_slice(&one);
    })
    .await;
    assert!(text.contains("chunks 0 to 2") && !is_sound, "swapped: {text}");
    let (text, is_sound) = told(|body| body.truncate(43 + 3 * SEALED)).await;
    assert!(text.contains("data") && text.contains("bytes") && !is_sound, "cut: {text}");
}

/// Makes hashes and codes of the manifest fit what somebody with the pass phrase has done to the backup.
fn seal_again(room: &Room, change: impl Fn(&mut serde_json::Map<String, serde_json::Value>)) {
    use freezer_vault::encryption::{MacKey, MacParameters};
    let path = room.object("/manifest");
    let mut map: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    map.shift_remove("sha256");
    map.shift_remove("hmac");
    let parameters: MacParameters = serde_json::from_value(map["encryption"]["mac"].clone()).unwrap();
    let key = MacKey::derive(&pass("secret words"), &parameters).unwrap();
    let data = std::fs::read(room.object("/data")).unwrap();
    map["pieces"] = json!([{"offset_bytes": 0, "size_bytes": data.len(), "sha256": digest(&data),
        "hmac": key.code_of(&data).unwrap()}]);
    map["totals"]["stored_bytes"] = json!(data.len());
    change(&mut map);
    let canonical = serde_json::to_vec(&map).unwrap();
    map.insert("sha256".into(), json!(digest(&canonical)));
    map.insert("hmac".into(), json!(key.code_of(&canonical).unwrap()));
    std::fs::write(&path, serde_json::to_vec(&map).unwrap()).unwrap();
}

fn digest(data: &[u8]) -> String {
    String::from_utf8(pipe("sha256sum", data)).unwrap().split(' ').next().unwrap().to_owned()
}

/// The tags hold where nothing else does: what a manifest was made for that says something else of the payload.
#[tokio::test(flavor = "multi_thread")]
async fn tags_are_checked_by_themselves() {
    const SEALED: usize = 65_536 + 16;
    type Change = fn(&mut Vec<u8>);
    let changes: [(&str, Change); 4] = [
        ("chunk 1 does not fit its tag", |body| body[43 + SEALED + 5] ^= 1),
        ("chunk 2 is not the last one: the rest is missing", |body| body.truncate(43 + 3 * SEALED)),
        ("chunk 1 does not fit its tag", |body| drop(body.drain(43 + SEALED..43 + 2 * SEALED))),
        ("chunk 0 does not fit its tag", |body| body[25] ^= 1),
    ];
    for (expected, change) in changes {
        let room = Room::new();
        std::fs::write(room.source().join("noise"), noise(1, 300_000)).unwrap();
        room.backup(request(&room, Cipher::Aes256Gcm, Compression::None, T0)).await.unwrap();
        let data = room.object("/data");
        let mut body = std::fs::read(&data).unwrap();
        change(&mut body);
        std::fs::write(&data, body).unwrap();
        seal_again(&room, |_| {});
        let error = room.restore(back(&room, "target")).await.unwrap_err().to_string();
        assert!(error.contains("object data: ") && error.contains(expected), "{expected}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_pass_phrases_and_unknown_ciphers_are_refused() {
    let room = Room::new();
    plant(&room.source());
    room.backup(request(&room, Cipher::Aes256Gcm, Compression::Gzip, T0)).await.unwrap();
    let wrong = RestoreRequest { pass_phrase: Some(pass("other")), ..room.to("target") };
    let error = room.restore(wrong).await.unwrap_err();
    assert!(matches!(error, VaultError::WrongPassPhrase { .. }), "{error}");
    let error = room.restore(room.to("target")).await.unwrap_err();
    assert!(matches!(error, VaultError::PassPhraseMissing { .. }), "{error}");

    seal_again(&room, |map| map["encryption"]["cipher"] = json!("aes-256-xts"));
    let error = room.restore(back(&room, "target")).await.unwrap_err().to_string();
    assert!(error.contains("'aes-256-xts'") && error.contains("update it"), "{error}");
    assert!(!room.path("target").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sample_finds_damage_when_its_piece_comes_up() {
    let room = Room::new();
    std::fs::write(room.source().join("noise"), noise(1, 3_000_000)).unwrap();
    let full = request(&room, Cipher::Aes256Gcm, Compression::None, T0);
    room.backup(BackupRequest { max_segment_size_bytes: 200_000, ..full }).await.unwrap();
    let data = room.object("/data");
    let mut body = std::fs::read(&data).unwrap();
    body[1_234_567] ^= 1;
    std::fs::write(&data, body).unwrap();
    let mut sound = Vec::new();
    for day in 0..20 {
        let sample = Some(Sample { percent: 25.0, seed: day.to_string() });
        let report = check(&room, None, sample).await;
        for fault in &report.levels[0].faults {
            // The piece of 200 000 bytes from 1 200 000 on.
            assert!(fault.contains("(chunks 18 to 21)"), "{fault}");
        }
        sound.push(report.is_sound());
    }
    assert!(sound.contains(&true) && sound.contains(&false), "{sound:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn mirrors_hold_the_same_chunks() {
    let rooms = [Room::new(), Room::new()];
    plant(&rooms[0].source());
    for now in [T0, T0 + DAY] {
        let stores = rooms.iter().map(|room| room.store.clone()).collect();
        let wanted = request(&rooms[0], Cipher::Aes256Gcm, Compression::Zstd, now);
        backup::backup_to_all(stores, wanted, Arc::new(Monitor::new())).await.unwrap();
        change(&rooms[0].source(), 1 + (now - T0) as u64 / DAY as u64);
        if now == T0 {
            continue;
        }
        for room in &rooms {
            let report = room.restore(back(room, "back")).await.unwrap();
            assert_eq!(report.levels, [T0, T0 + DAY]);
            assert!(check(room, Some("secret words"), None).await.is_sound());
        }
        assert_same(&tree(&rooms[0].path("back")), &tree(&rooms[1].path("back")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn images_come_back_level_by_level() {
    let room = Room::new();
    let mut disk = noise(5, 900_000);
    for (round, cipher) in [Cipher::Aes256Gcm, Cipher::Aes256Gcm, Cipher::Aes256Cfb].into_iter().enumerate() {
        disk[round * 200_000..][..1000].fill(round as u8);
        let levels = LevelPolicy { incremental: true, ..LevelPolicy::default() };
        let now = T0 + round as i64;
        let encryption = with(cipher);
        let wanted = ImageRequest { levels, encryption, ..ImageRequest::new(HOST, NAME, now) };
        let content = disk.clone();
        let open: image::OpenImage = Box::new(move |_| {
            let size_bytes = Some(content.len() as u64);
            let input = ImageInput::Whole { reader: Box::new(std::io::Cursor::new(content)), size_bytes };
            Box::pin(async move {
                Ok(OpenedImage { input, source: json!(null), description: json!("secret disk") })
            })
        });
        let saved = image::backup(room.store.clone(), wanted, open, Arc::new(Monitor::new())).await.unwrap();
        assert_eq!(saved.level as usize, round);
    }
    let newest = ImageRestoreRequest {
        pass_phrase: Some(pass("secret words")),
        ..ImageRestoreRequest::new(HOST, NAME)
    };
    let planned = image::plan(&room.store, &newest).await.unwrap();
    assert_eq!(planned.description, json!("secret disk"));
    let output = ImageOutput::File(room.path("disk"));
    image::read(room.store.clone(), planned, output, Arc::new(Monitor::new())).await.unwrap();
    assert!(std::fs::read(room.path("disk")).unwrap() == disk);
}
