//! Backups as upstream's agent makes them (real tar and openssl), restored and continued here, and ours
//! continued by GNU tar.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use freezer_vault::catalogue::{self, Standing};
use freezer_vault::restore::Authenticity;
use freezer_vault::upstream::list_volumes;
use freezer_vault::{Engine, Hbn, RestoreRequest, VaultError};
use std::path::PathBuf;
use support::*;

fn level(number: u32, codec: &str, encrypt: Option<String>) -> UpstreamLevel<'_> {
    UpstreamLevel { chain: T0, timestamp: T0 + i64::from(number) * DAY, level: number, codec, encrypt }
}

#[tokio::test(flavor = "multi_thread")]
async fn chains_of_upstream_restore() {
    for codec in ["gzip", "bzip2", "xz"] {
        for digest in [None, Some("-md sha256"), Some("-md md5")] {
            let room = Room::new();
            std::fs::write(room.path("pass"), "pass of the job\n").unwrap();
            let encrypt = digest.map(|digest| {
                format!("openssl enc -aes-256-cfb {digest} -pass file:{}", room.path("pass").display())
            });
            plant(&room.source());
            let mut base = None;
            let mut trees = Vec::new();
            for number in 0..3 {
                if number > 0 {
                    change(&room.source(), u64::from(number));
                }
                base = Some(level(number, codec, encrypt.clone()).make(&room, base.as_deref()));
                trees.push(tree(&room.source()));
            }
            let pass_phrase = digest.map(|_| pass("pass of the job"));
            let request = RestoreRequest { pass_phrase: pass_phrase.clone(), ..room.to("restored") };
            let report = room.expect(request, &trees[2]).await;
            assert!(
                report.warnings.iter().any(|warning| warning.contains("upstream")),
                "{:?}",
                report.warnings
            );
            let not_after_secs = Some(T0 + DAY);
            let older =
                RestoreRequest { pass_phrase: pass_phrase.clone(), not_after_secs, ..room.to("older") };
            room.expect(older, &trees[1]).await;
            // What is taken where nothing tells the compression is gzip: this one is seen from the bytes.
            if codec == "xz" {
                as_osbrick(&room);
                let named = Hbn::of(Engine::Osbrick, HOST, NAME).unwrap();
                assert_eq!(catalogue::list_hbns(&room.store, Engine::Osbrick).await.unwrap(), [named]);
                let error = room.restore(room.to("volume")).await.unwrap_err();
                assert!(matches!(error, VaultError::NoBackup { .. }), "{error}");
                let request = RestoreRequest { engine: Engine::Osbrick, pass_phrase, ..room.to("volume") };
                room.expect(request, &trees[2]).await;
            }
        }
    }
}

/// The same levels as the engine osbrick names them, whose `metadata` do not tell the compression.
fn as_osbrick(room: &Room) {
    for kind in ["data", "metadata"] {
        let folder = room.path("store").join(kind);
        std::fs::rename(folder.join("tar"), folder.join("osbrick")).unwrap();
    }
    for name in room.objects().into_iter().filter(|name| name.ends_with("/metadata")) {
        let path = room.path("store").join(name);
        let text = std::fs::read_to_string(&path).unwrap();
        let tars = r#""engine_name": "tar", "compression": "xz""#;
        let theirs = r#""engine_name": "osbrick", "volume_info": {"size": 1}"#;
        std::fs::write(&path, text.replace(tars, theirs)).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_pass_phrase_and_authenticity() {
    let room = Room::new();
    std::fs::write(room.path("pass"), "right\n").unwrap();
    plant(&room.source());
    let encrypt = format!("openssl enc -aes-256-cfb -pass file:{}", room.path("pass").display());
    level(0, "gzip", Some(encrypt)).make(&room, None);
    let with = |text: &str| RestoreRequest { pass_phrase: Some(pass(text)), ..room.to("target") };
    let error = room.restore(with("wrong")).await.unwrap_err();
    assert!(matches!(error, VaultError::WrongPassPhrase { .. }), "{error}");
    let error = room.restore(room.to("target")).await.unwrap_err();
    assert!(matches!(error, VaultError::PassPhraseMissing { .. }), "{error}");
    let strict = RestoreRequest { authenticity: Authenticity::Required, ..with("right") };
    let error = room.restore(strict).await.unwrap_err();
    assert!(matches!(error, VaultError::NotAuthenticated { .. }), "{error}");
    assert!(!room.path("target").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hole_in_the_chain_is_refused() {
    let room = Room::new();
    plant(&room.source());
    let mut base = level(0, "gzip", None).make(&room, None);
    for number in 1..3 {
        change(&room.source(), u64::from(number));
        base = level(number, "gzip", None).make(&room, Some(&base));
    }
    let folder = room.object("/1_1700086400/metadata");
    std::fs::remove_file(folder).unwrap();
    let error = room.restore(room.to("target")).await.unwrap_err();
    assert!(error.to_string().contains("level 1 is missing"), "{error}");
    assert!(!room.path("target").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn truncated_payloads_never_pass() {
    let room = Room::new();
    plant(&room.source());
    level(0, "gzip", None).make(&room, None);
    let data = room.object("/data");
    let body = std::fs::read(&data).unwrap();
    std::fs::write(&data, &body[..body.len() / 2]).unwrap();
    let error = room.restore(room.to("target")).await.unwrap_err();
    assert!(error.to_string().contains("level 0"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn our_increment_on_upstreams_chain() {
    let room = Room::new();
    plant(&room.source());
    let base = level(0, "gzip", None).make(&room, None);
    change(&room.source(), 1);
    level(1, "gzip", None).make(&room, Some(&base));
    change(&room.source(), 2);
    let report = room.backup(room.incremental(T0 + 2 * DAY)).await.unwrap();
    assert_eq!((report.level, report.chain_timestamp), (2, T0), "{}", report.level_reason);
    room.expect(room.to("restored"), &tree(&room.source())).await;
    let found = catalogue::list(&room.store, &hbn()).await.unwrap();
    let standings: Vec<_> = found.chains[0].levels.iter().map(|level| level.standing.clone()).collect();
    assert_eq!(standings, [Standing::Upstream, Standing::Upstream, Standing::Complete]);
}

#[tokio::test(flavor = "multi_thread")]
async fn upstreams_increment_on_our_chain() {
    let room = Room::new();
    plant(&room.source());
    room.backup(room.incremental(T0)).await.unwrap();
    change(&room.source(), 1);
    let base = room.object("/engine_metadata");
    level(1, "gzip", None).make(&room, Some(&base));
    room.expect(room.to("restored"), &tree(&room.source())).await;
    let target = room.path("tools");
    for end in [format!("/0_{T0}/data"), format!("/1_{}/data", T0 + DAY)] {
        extract_with_tools(&room.object(&end), &target, None, "gzip");
    }
    assert_eq!(tree(&target).keys().collect::<Vec<_>>(), tree(&room.source()).keys().collect::<Vec<_>>());
}

const VOLUME: &str = "5d2d1d31-7a54-4a0e-a0d4-2b6f4f2a7c11";

/// As mode cinder puts a volume on disks; `facts` is written last.
fn volume(room: &Room, day: i64, image: &[u8], facts: Option<usize>) -> PathBuf {
    let folder = room.path("store").join(format!("{VOLUME}/{}", T0 + day * DAY));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(VOLUME), image).unwrap();
    if let Some(length) = facts {
        let text = format!(
            r#"{{"x-object-meta-length": "{length}", "volume_name": "data", "availability_zone": "nova"}}"#
        );
        std::fs::write(folder.join("metadata"), text).unwrap();
    }
    folder.join(VOLUME)
}

fn volume_to(room: &Room, target: &str) -> RestoreRequest {
    RestoreRequest { engine: Engine::Cinder, backup_name: VOLUME.into(), ..room.to(target) }
}

#[tokio::test(flavor = "multi_thread")]
async fn volumes_of_upstream_restore() {
    let room = Room::new();
    // Whoever owns the volume decides what it begins with.
    let first = [b"QFI\xfb".as_slice(), &noise(31, 700_001)[..]].concat();
    let second = noise(32, 500_000);
    volume(&room, 0, &first, Some(first.len()));
    let newest = volume(&room, 1, &second, Some(second.len()));
    // Broken off before the last of its objects.
    volume(&room, 2, &second[..100_000], None);
    let restored = |target: &str| std::fs::read(room.path(target).join(format!("{VOLUME}.raw"))).unwrap();
    let report = room.restore(volume_to(&room, "newest")).await.unwrap();
    assert_eq!((report.timestamp, report.is_partial), (T0 + DAY, false));
    assert!(restored("newest") == second);
    let older = RestoreRequest { not_after_secs: Some(T0 + DAY - 1), ..volume_to(&room, "older") };
    room.restore(older).await.unwrap();
    assert!(restored("older") == first);

    let found = list_volumes(&room.store).await.unwrap();
    assert_eq!(found.len(), 1);
    let (hbn, view) = &found[0];
    assert_eq!(hbn.as_str(), VOLUME);
    let chains = catalogue::list(view, hbn).await.unwrap().chains;
    assert_eq!(chains.iter().map(|chain| chain.timestamp).collect::<Vec<_>>(), [T0, T0 + DAY]);
    assert!(chains.iter().all(|chain| chain.levels[0].standing == Standing::Upstream));

    std::fs::write(newest, &second[..400_000]).unwrap();
    let error = room.restore(volume_to(&room, "cut")).await.unwrap_err().to_string();
    assert!(error.contains("500000 bytes") && error.contains("offset 400000"), "{error}");
    let unknown = RestoreRequest { backup_name: "none".into(), ..volume_to(&room, "none") };
    let error = room.restore(unknown).await.unwrap_err();
    assert!(matches!(error, VaultError::NoBackup { .. }), "{error}");
}

/// Where Swift has it there are no facts beside the manifest; of 1.x and 2.x the manifest lies in the folder of the volume.
#[tokio::test(flavor = "multi_thread")]
async fn volumes_in_the_places_of_swift_restore() {
    for (at, place) in ["c_segments/VOLUME/TIME/TIME", "VOLUME/TIME"].into_iter().enumerate() {
        let room = Room::new();
        let image = noise(at as u64, 300_000);
        let name = place.replace("VOLUME", VOLUME).replace("TIME", &T0.to_string());
        let path = room.path("store").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &image).unwrap();
        let report = room.restore(volume_to(&room, "restored")).await.unwrap();
        assert!(std::fs::read(room.path("restored").join(format!("{VOLUME}.raw"))).unwrap() == image);
        let unmeasured = report.warnings.iter().filter(|warning| warning.contains("how long")).count();
        assert_eq!(unmeasured, 1, "{:?}", report.warnings);
        assert_eq!(list_volumes(&room.store).await.unwrap().len(), 1);
    }
}
