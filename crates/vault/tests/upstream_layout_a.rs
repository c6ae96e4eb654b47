//! Backups as Freezer 1.x and 2.0 named them, made with real tar and openssl.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use freezer_vault::catalogue;
use freezer_vault::upstream::list_layout_a;
use freezer_vault::{RestoreRequest, VaultError};
use std::path::PathBuf;
use support::*;

/// Where upstream put a level: a folder for each chain on disks, side by side in Swift.
#[derive(Clone, Copy)]
enum Kind {
    Folders,
    Container,
}

/// Makes level `number` at day `day`; the answer is where it is.
fn make(room: &Room, kind: Kind, (number, day): (u32, i64), codec: &str, encrypt: Option<&str>) -> PathBuf {
    let name = format!("{HOST}_{NAME}");
    let folder = match kind {
        Kind::Folders => room.path("store").join(&name).join(T0.to_string()),
        Kind::Container => room.path("store"),
    };
    std::fs::create_dir_all(&folder).unwrap();
    let data = folder.join(format!("{name}_{}_{number}", T0 + day * DAY));
    let snapshot = folder.join(format!("tar_metadata_{name}_{}_{number}", T0 + day * DAY));
    let bases = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let is_base = |path: &PathBuf| {
        let file = path.file_name().unwrap().to_string_lossy().into_owned();
        number > 0 && file.starts_with("tar_metadata_") && file.ends_with(&format!("_{}", number - 1))
    };
    if let Some(base) = bases.filter(is_base).max() {
        std::fs::copy(base, &snapshot).unwrap();
    }
    let encrypt = encrypt.map(|line| format!("| {line} 2>/dev/null")).unwrap_or_default();
    shell(&format!(
        "cd '{}' && tar --create {codec} --warning=none --no-check-device --one-file-system --preserve-permissions \
         --same-owner --seek --ignore-failed-read --listed-incremental='{}' . {encrypt} > '{}'",
        room.source().display(),
        snapshot.display(),
        data.display()
    ));
    data
}

#[tokio::test(flavor = "multi_thread")]
async fn chains_restore() {
    let (old, new) = ([("-z", None), ("-J", Some("sha256"))], [("-z", Some("md5")), ("-j", None)]);
    for (kind, ways) in [(Kind::Folders, old), (Kind::Container, new)] {
        for (codec, digest) in ways {
            let room = Room::new();
            std::fs::write(room.path("pass"), "word\n").unwrap();
            let line = digest.map(|digest| {
                format!("openssl enc -aes-256-cfb -md {digest} -pass file:{}", room.path("pass").display())
            });
            plant(&room.source());
            std::fs::write(room.source().join("sub/big"), noise(7, 300_000)).unwrap();
            let mut trees = Vec::new();
            // Two of level 1: the newer one counts.
            for (step, number) in [0, 1, 1].into_iter().enumerate() {
                if step > 0 {
                    change(&room.source(), step as u64);
                }
                make(&room, kind, (number, step as i64), codec, line.as_deref());
                trees.push(tree(&room.source()));
            }
            let pass_phrase = digest.map(|_| pass("word"));
            let request = RestoreRequest { pass_phrase: pass_phrase.clone(), ..room.to("newest") };
            let report = room.expect(request, &trees[2]).await;
            assert_eq!(report.levels, [T0, T0 + 2 * DAY]);
            let older = RestoreRequest { pass_phrase, not_after_secs: Some(T0 + DAY), ..room.to("older") };
            room.expect(older, &trees[1]).await;
            if digest.is_some() {
                let error = room.restore(room.to("none")).await.unwrap_err();
                assert!(matches!(error, VaultError::PassPhraseMissing { .. }), "{error}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn they_are_listed_and_never_written() {
    for kind in [Kind::Folders, Kind::Container] {
        let room = Room::new();
        plant(&room.source());
        let data = make(&room, kind, (0, 0), "-z", None);
        make(&room, kind, (1, 1), "-z", None);
        let found = list_layout_a(&room.store).await.unwrap();
        assert_eq!(found.len(), 1);
        let (name, view) = &found[0];
        assert_eq!(name, &hbn());
        let levels = &catalogue::list(view, name).await.unwrap().chains[0].levels;
        assert_eq!(levels.iter().map(|level| level.id.level).collect::<Vec<_>>(), [0, 1]);
        let object = freezer_storage::ObjectName::new("data/tar/x").unwrap();
        assert!(
            view.put(&object, bytes::Bytes::new()).await.is_err() && view.delete_tree(&object).await.is_err()
        );

        // A chain without its beginning is refused as a whole.
        std::fs::remove_file(&data).unwrap();
        let error = room.restore(room.to("target")).await.unwrap_err();
        assert!(error.to_string().contains("level 0 is missing"), "{error}");
        assert!(!room.path("target").exists());

        // What is in today's layout comes first.
        room.backup(room.request(T0 - DAY)).await.unwrap();
        assert_eq!(room.restore(room.to("today")).await.unwrap().timestamp, T0 - DAY);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_payload_never_passes() {
    let room = Room::new();
    plant(&room.source());
    let data = make(&room, Kind::Folders, (0, 0), "-z", None);
    let body = std::fs::read(&data).unwrap();
    std::fs::write(&data, &body[..body.len() / 2]).unwrap();
    let error = room.restore(room.to("target")).await.unwrap_err();
    assert!(error.to_string().contains("level 0"), "{error}");
}
