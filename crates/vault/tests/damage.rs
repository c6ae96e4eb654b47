//! Every kind of damage to every kind of object: never wrong data, always a clear error.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use freezer_vault::verify::{Scope, VerifyRequest};
use freezer_vault::{BackupRequest, Monitor, RestoreRequest, verify};
use std::path::Path;
use std::sync::Arc;
use support::*;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Damage {
    Delete,
    Truncate,
    FlipFirst,
    FlipMiddle,
    FlipLast,
    Extend,
}

const KINDS: [Damage; 6] = [
    Damage::Delete,
    Damage::Truncate,
    Damage::FlipFirst,
    Damage::FlipMiddle,
    Damage::FlipLast,
    Damage::Extend,
];
const PARTS: [&str; 4] = ["data", "engine_metadata", "metadata", "manifest"];

fn apply(damage: Damage, path: &Path) {
    let mut body = std::fs::read(path).unwrap();
    let last = body.len() - 1;
    match damage {
        Damage::Delete => return std::fs::remove_file(path).unwrap(),
        Damage::Truncate => body.truncate(last),
        Damage::FlipFirst => body[0] ^= 0x40,
        Damage::FlipMiddle => body[last / 2] ^= 0x01,
        Damage::FlipLast => body[last] ^= 0x80,
        Damage::Extend => body.push(b'x'),
    }
    std::fs::write(path, body).unwrap();
}

/// Two levels, the second damaged or the first; then a restore of the newest.
async fn check(part: &str, damage: Damage, secret: Option<&str>, damaged_level: i64) {
    let what = format!("{part}, {damage:?}, {secret:?}, level {damaged_level}");
    let room = Room::new();
    plant(&room.source());
    let mut trees = Vec::new();
    for level in 0..2 {
        if level > 0 {
            change(&room.source(), 1);
        }
        let request = BackupRequest {
            encryption: secret.and_then(encryption),
            max_segment_size_bytes: 1_000_000,
            ..room.incremental(T0 + level)
        };
        room.backup(request).await.unwrap();
        trees.push(tree(&room.source()));
    }
    apply(damage, &room.object(&format!("/{damaged_level}_{}/{part}", T0 + damaged_level)));

    let pass_phrase = secret.map(pass);
    let request = RestoreRequest { pass_phrase: pass_phrase.clone(), ..room.to("target") };
    match room.restore(request).await {
        Ok(report) => {
            // Only what a restore does not need may be damaged without an error; and an unfinished
            // backup does not exist, which is said.
            let state = usize::try_from(report.timestamp - T0).unwrap();
            assert_same(&tree(&room.path("target")), &trees[state]);
            let unfinished = part == "manifest" && damage == Damage::Delete && damaged_level == 1;
            assert_eq!(state, usize::from(!unfinished), "{what}");
            if unfinished {
                assert!(report.warnings.iter().any(|text| text.contains("never finished")), "{what}");
            }
            let extended_data = part == "data" && damage == Damage::Extend;
            assert!(part != "data" && !extended_data, "{what}: must not restore");
        }
        Err(error) => {
            let text = error.to_string();
            assert!(["data", "manifest"].contains(&part), "{what}: {text}");
            assert!(text.contains(&format!("level {damaged_level}")), "{what}: {text}");
            for name in tree_names(&room.path("target")) {
                // What came before the damage waits for the same restore to go on.
                let (first, rest) = name.split_once('/').unwrap_or((name.as_str(), "."));
                let place = if first.starts_with(".freezer-restore-") { rest } else { name.as_str() };
                assert!(trees.iter().any(|tree| tree.contains_key(place)), "{what}: {name}");
            }
        }
    }
    let request = VerifyRequest { hbn: hbn(), scope: Scope::All, pass_phrase, sample: None };
    let sound = verify(room.store.clone(), request, Arc::new(Monitor::new())).await.unwrap().is_sound();
    // A deleted manifest of the newest level leaves something unfinished, which is not damage.
    let unfinished = part == "manifest" && damage == Damage::Delete && damaged_level == 1;
    assert_eq!(sound, unfinished, "{what}: verify");

    // The next backup never builds on what is broken: it must restore.
    change(&room.source(), 2);
    let request = BackupRequest { encryption: secret.and_then(encryption), ..room.incremental(T0 + 10) };
    room.backup(request).await.unwrap();
    let request = RestoreRequest { pass_phrase: secret.map(pass), ..room.to("after") };
    if part != "data" || [Damage::Delete, Damage::Truncate, Damage::Extend].contains(&damage) {
        room.expect(request, &tree(&room.source())).await;
    }
}

fn tree_names(root: &Path) -> Vec<String> {
    if root.exists() { tree(root).into_keys().collect() } else { Vec::new() }
}

macro_rules! matrix {
    ($($name:ident: $part:expr, $secret:expr;)*) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            for damage in KINDS {
                for level in 0..2 {
                    check(PARTS[$part], damage, $secret, level).await;
                }
            }
        }
    )*};
}

matrix! {
    data_clear: 0, None;
    data_encrypted: 0, Some("secret");
    engine_metadata_clear: 1, None;
    engine_metadata_encrypted: 1, Some("secret");
    metadata_clear: 2, None;
    metadata_encrypted: 2, Some("secret");
    manifest_clear: 3, None;
    manifest_encrypted: 3, Some("secret");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_damaged_place_is_named() {
    let room = Room::new();
    plant(&room.source());
    room.backup(BackupRequest { max_segment_size_bytes: 1_000_000, ..room.request(T0) }).await.unwrap();
    let data = room.object("/data");
    let mut body = std::fs::read(&data).unwrap();
    body[2_500_000] ^= 1;
    std::fs::write(&data, body).unwrap();
    let text = room.restore(room.to("target")).await.unwrap_err().to_string();
    let object = format!("data/tar/host1_daily job/{T0}/0_{T0}/data");
    assert!(text.contains(&object) && text.contains("level 0") && text.contains("offset 2000000"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_manifest_is_refused() {
    let room = Room::new();
    plant(&room.source());
    let make = |now| BackupRequest { encryption: encryption("right"), ..room.request(now) };
    room.backup(make(T0)).await.unwrap();
    // Somebody without the pass phrase rewrites the manifest and makes its SHA-256 fit.
    let manifest = room.object("/manifest");
    let text = std::fs::read_to_string(&manifest).unwrap();
    let canonical = text[..text.find(r#","sha256":"#).map_or(0, |_| text.rfind(r#","sha256":"#).unwrap())]
        .to_owned()
        + "}";
    let forged = canonical.replacen(r#""compression":"gzip""#, r#""compression":"none""#, 1);
    assert_ne!(forged, canonical);
    let digest = shell_digest(&forged);
    let hmac = &text[text.rfind(r#""hmac":"#).unwrap()..];
    let body = format!(r#"{},"sha256":"{digest}",{hmac}"#, &forged[..forged.len() - 1]);
    std::fs::write(&manifest, body).unwrap();
    let request = RestoreRequest { pass_phrase: Some(pass("right")), ..room.to("target") };
    let error = room.restore(request).await.unwrap_err().to_string();
    assert!(error.contains("wrong pass phrase"), "{error}");
    assert!(!room.path("target").exists());
}

fn shell_digest(text: &str) -> String {
    let out = pipe("sha256sum", text.as_bytes());
    String::from_utf8(out).unwrap().split(' ').next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_level_is_named_before_anything_is_written() {
    let room = Room::new();
    plant(&room.source());
    for level in 0..3 {
        change(&room.source(), level + 1);
        room.backup(room.incremental(T0 + level as i64)).await.unwrap();
    }
    let store = room.path("store");
    for kind in ["data", "metadata"] {
        std::fs::remove_dir_all(store.join(format!("{kind}/tar/host1_daily job/{T0}/1_{}", T0 + 1))).unwrap();
    }
    let error = room.restore(room.to("target")).await.unwrap_err().to_string();
    assert!(error.contains("level 1") && error.contains("is missing"), "{error}");
    assert!(!room.path("target").exists());
    // An older date still restores, and the next backup starts a chain.
    let older = RestoreRequest { not_after_secs: Some(T0), ..room.to("older") };
    room.restore(older).await.unwrap();
    assert_eq!(room.backup(room.incremental(T0 + 5)).await.unwrap().level, 1);
    room.expect(room.to("newest"), &tree(&room.source())).await;
}
