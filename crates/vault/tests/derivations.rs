//! How keys come from the pass phrase: as asked for in a new chain, as in the chain on top of others.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use freezer_storage::{LocalStore, Store};
use freezer_vault::backup::backup_to_all;
use freezer_vault::encryption::{EncryptionOptions, KeyDerivation};
use freezer_vault::{BackupRequest, Monitor, RestoreRequest};
use serde_json::json;
use std::path::Path;
use std::sync::Arc;
use support::*;

const OPENSSL: KeyDerivation = KeyDerivation::EvpSha256;
const SLOW: KeyDerivation = KeyDerivation::Pbkdf2Sha256 { iterations: 10_000 };
const SLOWER: KeyDerivation = KeyDerivation::Pbkdf2Sha256 { iterations: 20_000 };

fn said(derivation: KeyDerivation) -> Option<EncryptionOptions> {
    Some(EncryptionOptions { derivation, ..encryption("secret words").unwrap() })
}

/// Nothing is said of it; this would be that of a new chain.
fn unsaid(derivation: KeyDerivation) -> Option<EncryptionOptions> {
    Some(EncryptionOptions { keeps_derivation: true, ..said(derivation).unwrap() })
}

/// What the manifest of the backup of that time says, wherever it is below `store`.
fn encryption_at(store: &Path, timestamp: i64) -> (serde_json::Value, serde_json::Value) {
    let end = format!("_{timestamp}/manifest");
    let found: Vec<String> = tree(store).into_keys().filter(|name| name.ends_with(&end)).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    let body = std::fs::read(store.join(&found[0])).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&body).unwrap();
    (manifest["version"].clone(), manifest["encryption"].clone())
}

fn derivation_at(store: &Path, timestamp: i64) -> KeyDerivation {
    let (_, encryption) = encryption_at(store, timestamp);
    serde_json::from_value(encryption["derivation"].clone()).unwrap()
}

/// Makes a level, after a change of the source, and answers which one it is and how its keys were made.
async fn level(
    room: &Room,
    encryption: Option<EncryptionOptions>,
    request: BackupRequest,
) -> (u32, KeyDerivation) {
    change(&room.source(), u64::try_from((request.now_secs - T0) / DAY).unwrap());
    let report = room.backup(BackupRequest { encryption, ..request }).await.unwrap();
    (report.level, derivation_at(&room.path("store"), report.timestamp))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_level_keeps_the_derivation_of_its_chain() {
    // What something unfinished is beside is looked at one by one, in another way than the usual one.
    for is_usual in [true, false] {
        let room = Room::new();
        plant(&room.source());
        let made = level(&room, said(OPENSSL), room.request(T0)).await;
        assert_eq!(made, (0, OPENSSL));
        if !is_usual {
            let folder = room.path("store").join(format!("data/tar/{HOST}_{NAME}/{T0}/1_{}", T0 + 1));
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join("data"), "unfinished").unwrap();
        }
        let made = level(&room, unsaid(SLOW), room.incremental(T0 + DAY)).await;
        assert_eq!(made, (1, OPENSSL), "{is_usual}");
        // Whoever reads the chain with openssl goes on, and Freezer in Python has its snapshot file.
        let level_folder = format!("{T0}/1_{}", T0 + DAY);
        let snapshot = std::fs::read(room.object(&format!("{level_folder}/engine_metadata"))).unwrap();
        assert!(snapshot.starts_with(b"GNU tar-"));
        std::fs::write(room.path("pass"), "secret words\n").unwrap();
        let decrypt = format!("openssl enc -d -aes-256-cfb -pass file:{}", room.path("pass").display());
        for folder in [format!("{T0}/0_{T0}"), level_folder] {
            let data = room.object(&format!("{folder}/data"));
            extract_with_tools(&data, &room.path("tools"), Some(&decrypt), "gzip");
        }
        assert_eq!(tree(&room.path("tools")).len(), tree(&room.source()).len());

        // A job that says another one gets that, and the chain restores.
        let made = level(&room, said(SLOW), room.incremental(T0 + 2 * DAY)).await;
        assert_eq!(made, (2, SLOW), "{is_usual}");
        let made = level(&room, unsaid(SLOWER), room.incremental(T0 + 3 * DAY)).await;
        assert_eq!(made, (3, SLOW), "{is_usual}");
        let request = RestoreRequest { pass_phrase: Some(pass("secret words")), ..room.to("target") };
        room.expect(request, &tree(&room.source())).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_chain_has_the_one_of_new_chains() {
    let room = Room::new();
    plant(&room.source());
    let made = level(&room, said(OPENSSL), room.request(T0)).await;
    assert_eq!(made, (0, OPENSSL));
    // Whatever chains there are.
    let made = level(&room, unsaid(SLOW), room.request(T0 + DAY)).await;
    assert_eq!(made, (0, SLOW));
    let snapshot = std::fs::read(room.object(&format!("0_{}/engine_metadata", T0 + DAY))).unwrap();
    assert!(snapshot.starts_with(b"Salted__"), "names are hidden where nobody else reads the backup");
    let made = level(&room, unsaid(SLOWER), room.incremental(T0 + 2 * DAY)).await;
    assert_eq!(made, (1, SLOW));
    let request = RestoreRequest { pass_phrase: Some(pass("secret words")), ..room.to("target") };
    room.expect(request, &tree(&room.source())).await;
}

/// The pass phrase of what Freezer in Python encrypted cannot be proved, so nothing is built on it.
#[tokio::test(flavor = "multi_thread")]
async fn a_chain_that_freezer_in_python_encrypted_is_followed_by_a_new_one() {
    let room = Room::new();
    plant(&room.source());
    std::fs::write(room.path("pass"), "secret words\n").unwrap();
    let encrypt = format!("openssl enc -aes-256-cfb -pass file:{}", room.path("pass").display());
    let theirs = UpstreamLevel { chain: T0, timestamp: T0, level: 0, codec: "gzip", encrypt: Some(encrypt) };
    theirs.make(&room, None);
    let before = tree(&room.source());
    let made = level(&room, unsaid(SLOW), room.incremental(T0 + DAY)).await;
    assert_eq!(made, (0, SLOW));
    let made = level(&room, unsaid(SLOW), room.incremental(T0 + 2 * DAY)).await;
    assert_eq!(made, (1, SLOW));
    let pass_phrase = Some(pass("secret words"));
    let newest = RestoreRequest { pass_phrase: pass_phrase.clone(), ..room.to("newest") };
    room.expect(newest, &tree(&room.source())).await;
    let first = RestoreRequest { pass_phrase, not_after_secs: Some(T0), ..room.to("first") };
    room.expect(first, &before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_storages_of_a_backup_keep_the_same() {
    let room = Room::new();
    plant(&room.source());
    let places = [room.path("store"), room.path("second")];
    let stores = || places.iter().map(|place| Arc::new(LocalStore::new(place.clone())) as Arc<dyn Store>);
    let save = async |encryption: Option<EncryptionOptions>, now: i64| {
        let request = BackupRequest { encryption, ..room.incremental(now) };
        backup_to_all(stores().collect(), request, Arc::new(Monitor::new())).await.unwrap()
    };
    save(said(OPENSSL), T0).await;
    change(&room.source(), 1);
    assert_eq!(save(unsaid(SLOW), T0 + DAY).await.level, 1);
    for place in &places {
        assert_eq!(derivation_at(place, T0 + DAY), OPENSSL);
    }
    // One was emptied: all begin anew.
    std::fs::remove_dir_all(&places[1]).unwrap();
    assert_eq!(save(unsaid(SLOW), T0 + 2 * DAY).await.level, 0);
    for place in &places {
        assert_eq!(derivation_at(place, T0 + 2 * DAY), SLOW);
    }
}

/// A key that is slow to guess is slow to derive: one is for the payload, and one for all else, whatever there is.
#[tokio::test(flavor = "multi_thread")]
async fn objects_beside_the_payload_need_no_slow_key_of_their_own() {
    use freezer_vault::encryption::MacParameters;
    for derivation in [OPENSSL, SLOW] {
        let room = Room::new();
        plant(&room.source());
        let encryption = EncryptionOptions { hides_names: true, ..said(derivation).unwrap() };
        let request = BackupRequest { encryption: Some(encryption), ..room.request(T0) };
        room.backup(request).await.unwrap();
        let (version, encryption) = encryption_at(&room.path("store"), T0);
        let phrase = if derivation == OPENSSL {
            assert_eq!((&version, encryption.get("beside")), (&json!(1), None));
            "secret words".to_owned()
        } else {
            assert_eq!((&version, &encryption["beside"]), (&json!(3), &json!("mac-key")));
            let mac: MacParameters = serde_json::from_value(encryption["mac"].clone()).unwrap();
            // As the document says it is made of the key, here by other programs.
            let line = format!(
                "python3 -c \"import hashlib, sys; key = hashlib.pbkdf2_hmac('sha256', b'secret words', \
                 bytes.fromhex('{}'), {}); print(hashlib.sha256(b'freezer: objects beside the payload' + key)\
                 .hexdigest(), end='')\"",
                mac.salt, mac.iterations
            );
            String::from_utf8(shell(&line)).unwrap()
        };
        std::fs::write(room.path("phrase"), phrase).unwrap();
        let snapshot = shell(&format!(
            "openssl enc -d -aes-256-cfb -md sha256 -pass 'file:{}' -in '{}' 2>/dev/null | zstd -dc",
            room.path("phrase").display(),
            room.object("/engine_metadata").display()
        ));
        assert!(snapshot.starts_with(b"GNU tar-"));
    }
}
