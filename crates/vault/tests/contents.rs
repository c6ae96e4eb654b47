//! Restoring parts by the table of contents: the same as from whole archives, out of little, and never wrong.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use freezer_storage::{Counted, Counts, Method, Store};
use freezer_vault::codecs::{Compression, CompressionOptions};
use freezer_vault::prune::{PruneRequest, Retention, apply, plan};
use freezer_vault::restore::Selection;
use freezer_vault::tar::Extract;
use freezer_vault::verify::{Scope, VerifyRequest};
use freezer_vault::{BackupRequest, Monitor, RestoreReport, RestoreRequest, VaultError, restore, verify};
use proptest::prelude::*;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use support::*;

fn only(paths: &[&str]) -> Extract {
    Extract { only: Selection::of(paths).unwrap(), ..Extract::default() }
}

/// Numbers that are the same for the same seed.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// All names below `root`, folders before what is in them.
fn names(root: &Path) -> Vec<String> {
    if root.exists() { tree(root).into_keys().filter(|name| name != ".").collect() } else { Vec::new() }
}

/// Makes, changes, links, renames and deletes.
fn stir(root: &Path, dice: &mut Dice, times: u64) {
    for _ in 0..times {
        let all = names(root);
        let mut folders: Vec<String> =
            all.iter().filter(|name| root.join(name).symlink_metadata().unwrap().is_dir()).cloned().collect();
        folders.push(".".into());
        let folder = folders[dice.throw(folders.len() as u64) as usize].clone();
        let long = "long name ".repeat(dice.throw(2) as usize * 12);
        let new = root.join(folder).join(format!("{long}{}", dice.throw(40)));
        let old = (!all.is_empty()).then(|| root.join(&all[dice.throw(all.len() as u64) as usize]));
        match (dice.throw(12), old) {
            (0..=3, _) if !new.is_dir() => {
                let size = [0, 10, 5000, 300_000][dice.throw(4) as usize];
                let _ = std::fs::remove_file(&new);
                std::fs::write(&new, noise(dice.throw(1000), size)).unwrap();
            }
            (4 | 5, _) => drop(std::fs::create_dir(&new)),
            (6, _) => drop(std::os::unix::fs::symlink("../nowhere", &new)),
            (7, _) if !new.exists() => {
                let file = std::fs::File::create(&new).unwrap();
                file.set_len(3_000_000).unwrap();
                file.write_all_at(&noise(9, 5000), 1_000_000).unwrap();
            }
            (8, Some(old)) if old.is_file() => drop(std::fs::hard_link(old, &new)),
            (9, Some(old)) if !new.starts_with(&old) => drop(std::fs::rename(old, &new)),
            (10, Some(old)) if old.is_dir() => drop(std::fs::remove_dir_all(old)),
            (11, Some(old)) if !old.is_dir() => std::fs::remove_file(old).unwrap(),
            _ => {}
        }
    }
}

/// What came back, links among it, and what was said about it.
type Outcome = (Tree, Vec<(String, u64, u64)>, Result<(bool, Vec<String>), String>);

fn outcome(target: PathBuf, report: Result<RestoreReport, VaultError>) -> Outcome {
    let facts = |name: String| {
        let facts = target.join(&name).symlink_metadata().unwrap();
        (name, if facts.is_dir() { 0 } else { facts.nlink() }, facts.blocks())
    };
    let said = report.map_err(|error| error.to_string()).map(|report| {
        let problems = report.problems.iter().map(|problem| format!("{}: {}", problem.path, problem.reason));
        (report.is_partial, problems.collect())
    });
    let mut found = if target.exists() { tree(&target) } else { Tree::new() };
    if said.is_err() {
        // A target that nothing came into is as old as it is.
        found.remove(".");
    }
    (found, names(&target).into_iter().map(facts).collect(), said)
}

/// A chain of a tree that lives, and random parts of it, both ways.
async fn both_ways(seed: u64, format: Compression, secret: Option<&str>) {
    let room = Room::new();
    let mut dice = Dice(seed);
    // So much that an archive has several stretches.
    std::fs::create_dir(room.source().join("a")).unwrap();
    std::fs::write(room.source().join("a/large"), noise(seed, 2_500_000)).unwrap();
    let mut seen = Vec::new();
    for level in 0..3 {
        stir(&room.source(), &mut dice, 30);
        std::fs::write(room.source().join("some noise"), noise(seed + level, 1_300_000)).unwrap();
        let request = BackupRequest {
            compression: CompressionOptions::of(format),
            encryption: secret.and_then(encryption),
            max_segment_size_bytes: 500_000,
            ..room.incremental(T0 + level as i64)
        };
        room.backup(request).await.unwrap();
        seen.extend(names(&room.source()));
    }
    let rounds = if secret.is_some() { 2 } else { 5 };
    for round in 0..rounds {
        let paths: Vec<&str> =
            (0..=dice.throw(3)).map(|_| seen[dice.throw(seen.len() as u64) as usize].as_str()).collect();
        let not_after_secs = Some(T0 + dice.throw(3) as i64);
        let mut outcomes = Vec::new();
        for reads_whole in [false, true] {
            let target = room.path(&format!("{round} {reads_whole}"));
            let request = RestoreRequest {
                extract: only(&paths),
                pass_phrase: secret.map(pass),
                not_after_secs,
                reads_whole,
                ..RestoreRequest::new(HOST, NAME, &target)
            };
            let report = room.restore(request).await;
            if let Ok(report) = &report {
                assert_eq!(report.warnings, Vec::<String>::new(), "{format}, {seed}, {paths:?}");
            }
            outcomes.push(outcome(target, report));
        }
        assert!(
            outcomes[0].2 == outcomes[1].2,
            "{format}, {seed}, {paths:?}: {:?}, {:?}",
            outcomes[0].2,
            outcomes[1].2
        );
        assert_same(&outcomes[0].0, &outcomes[1].0);
        assert_eq!(outcomes[0].1, outcomes[1].1, "{format}, {seed}, {paths:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4, ..ProptestConfig::default() })]
    #[test]
    fn parts_are_as_out_of_whole_archives(seed in 0u64..1_000_000, format in 0usize..5, kind in 0u8..3) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(both_ways(seed, Compression::ALL[format], (kind == 0).then_some("secret")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_large_archive_little_is_read() {
    for (format, secret) in [
        (Compression::Gzip, Some("secret")),
        (Compression::Bzip2, None),
        (Compression::Xz, None),
        (Compression::Zstd, None),
        (Compression::Zstd, Some("secret")),
        (Compression::None, None),
    ] {
        let room = Room::new();
        std::fs::create_dir(room.source().join("sub")).unwrap();
        for number in 0..26u64 {
            std::fs::write(room.source().join(format!("sub/file {number:02}")), noise(number, 700_000))
                .unwrap();
        }
        let request = BackupRequest {
            compression: CompressionOptions::of(format),
            encryption: secret.and_then(encryption),
            max_segment_size_bytes: 1_500_000,
            ..room.request(T0)
        };
        room.backup(request).await.unwrap();
        let counts = Counts::default();
        let store: Arc<dyn Store> = Arc::new(Counted::new(room.store.clone(), counts.clone()));
        let request = RestoreRequest {
            extract: only(&["sub/file 17"]),
            pass_phrase: secret.map(pass),
            ..room.to("target")
        };
        let report = restore(store, request, Arc::new(Monitor::new())).await.unwrap();
        assert!(!report.is_partial && report.warnings.is_empty(), "{:?}", report.warnings);
        assert!(tree(&room.path("target"))["sub/file 17"].content == noise(17, 700_000), "{format}");
        // xz has blocks of 3 MiB: the first one for the folders, and at most two for the file.
        assert!(counts.received_bytes() < 10_000_000, "{format}: {} of 18 MB", counts.received_bytes());
        assert!(counts.calls(Method::Get) < 20, "{format}: {}", counts.calls(Method::Get));
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Damage {
    Delete,
    Truncate,
    Empty,
    Flip(usize),
    Extend,
}

fn damage(damage: Damage, path: &Path) {
    let mut body = std::fs::read(path).unwrap();
    match damage {
        Damage::Delete => return std::fs::remove_file(path).unwrap(),
        Damage::Truncate => body.truncate(body.len() - 1),
        Damage::Empty => body.clear(),
        Damage::Flip(part) => {
            let at = (body.len() - 1) * part / 4;
            body[at] ^= 1;
        }
        Damage::Extend => body.push(b'x'),
    }
    std::fs::write(path, body).unwrap();
}

/// So many names that the table of contents is an object of its own.
fn plant_many(root: &Path) {
    for number in 0..1500u64 {
        let name: String = noise(number + 1, 40).iter().map(|byte| format!("{byte:02x}")).collect();
        std::fs::write(root.join(name), number.to_string()).unwrap();
    }
    std::fs::write(root.join("wanted"), noise(3, 400_000)).unwrap();
}

async fn damaged_contents(secret: Option<&str>) {
    let room = Room::new();
    plant_many(&room.source());
    let request = |now| BackupRequest { encryption: secret.and_then(encryption), ..room.incremental(now) };
    room.backup(request(T0)).await.unwrap();
    std::fs::write(room.source().join("other"), "other").unwrap();
    room.backup(request(T0 + 1)).await.unwrap();
    let expected = tree(&room.source());
    let contents = room.object(&format!("0_{T0}/contents"));
    let right = std::fs::read(&contents).unwrap();
    let wanted = |name: &str| RestoreRequest {
        extract: only(&["wanted"]),
        pass_phrase: secret.map(pass),
        ..room.to(name)
    };
    assert_eq!(room.restore(wanted("right")).await.unwrap().warnings, Vec::<String>::new());
    let all = [
        (0..=4).map(Damage::Flip).collect(),
        vec![Damage::Delete, Damage::Truncate, Damage::Empty, Damage::Extend],
    ]
    .concat();
    // Deriving a key takes its time.
    let kinds = if secret.is_some() { vec![Damage::Flip(2), Damage::Delete, Damage::Truncate] } else { all };
    for kind in kinds {
        damage(kind, &contents);
        let name = format!("{kind:?}");
        let report = room.restore(wanted(&name)).await.unwrap();
        assert!(!report.is_partial, "{name}: {:?}", report.problems);
        let warned = |text: &String| text.contains("level 0") && text.contains("was read whole");
        assert!(report.warnings.iter().any(warned), "{name}: {:?}", report.warnings);
        let found = tree(&room.path(&name));
        assert_eq!(found.keys().collect::<Vec<_>>(), [".", "wanted"]);
        assert_eq!(found["wanted"], expected["wanted"]);
        let request =
            VerifyRequest { scope: Scope::All, pass_phrase: secret.map(pass), ..VerifyRequest::new(hbn()) };
        let report = verify(room.store.clone(), request, Arc::new(Monitor::new())).await.unwrap();
        let faults: Vec<&String> = report.levels.iter().flat_map(|level| &level.faults).collect();
        assert!(faults.len() == 1 && faults[0].contains("/contents: "), "{name}: {faults:?}");
        std::fs::write(&contents, &right).unwrap();
    }
    // Nothing else needs it: neither a whole restore nor the next level.
    std::fs::remove_file(&contents).unwrap();
    let whole = RestoreRequest { pass_phrase: secret.map(pass), ..room.to("whole") };
    assert_eq!(room.expect(whole, &expected).await.warnings, Vec::<String>::new());
    assert_eq!(room.backup(request(T0 + 2)).await.unwrap().level, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_table_is_done_without() {
    damaged_contents(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_encrypted_table_is_done_without() {
    damaged_contents(Some("secret")).await;
}

const MIB: usize = 1 << 20;

/// A bare archive with a byte flipped here; of `07`, which is in its seventh and eighth MiB, must then be said this.
async fn flipped(secret: Option<&str>, places: &[(usize, bool)]) {
    let room = Room::new();
    for number in 0..12u64 {
        std::fs::write(room.source().join(format!("{number:02}")), noise(number, 1_000_000)).unwrap();
    }
    let request = BackupRequest {
        compression: CompressionOptions::of(Compression::None),
        encryption: secret.and_then(encryption),
        ..room.request(T0)
    };
    room.backup(request).await.unwrap();
    let data = room.object("/data");
    let right = std::fs::read(&data).unwrap();
    for &(place, passes) in places {
        let mut body = right.clone();
        body[place] ^= 1;
        std::fs::write(&data, body).unwrap();
        let target = format!("target {place}");
        let request =
            RestoreRequest { extract: only(&["07"]), pass_phrase: secret.map(pass), ..room.to(&target) };
        match room.restore(request).await {
            Ok(_) => {
                assert!(passes, "{place} is read");
                assert!(tree(&room.path(&target))["07"].content == noise(7, 1_000_000), "{place}");
            }
            Err(VaultError::Damaged { place: at, cause }) => {
                assert!(!passes, "{place} is not needed");
                assert!(at.object.ends_with("/data") && cause.contains("table of contents"), "{at}");
                assert!(!room.path(&target).join("07").exists());
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_to_what_is_read_is_an_error_and_to_the_rest_is_not() {
    let fails = [0, MIB - 1, 6 * MIB, 8 * MIB - 1].map(|place| (place, false));
    let passes = [MIB, 6 * MIB - 1, 8 * MIB, 11 * MIB].map(|place| (place, true));
    flipped(None, &[fails, passes].concat()).await;
}

/// The block before an encrypted part is covered by its hash, too; the cipher's header is in the table itself.
#[tokio::test(flavor = "multi_thread")]
async fn damage_to_an_encrypted_part_is_an_error() {
    let fails = [16, MIB + 15, 6 * MIB, 6 * MIB + 15, 8 * MIB + 15].map(|place| (place, false));
    let passes = [8, MIB + 16, 6 * MIB - 1, 8 * MIB + 16].map(|place| (place, true));
    flipped(Some("secret"), &[&fails[..], &passes[..]].concat()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_level_of_another_freezer_is_read_whole() {
    let room = Room::new();
    plant_before_now(&room.source());
    UpstreamLevel { chain: T0, timestamp: T0, level: 0, codec: "gzip", encrypt: None }.make(&room, None);
    std::fs::write(room.source().join("sub/new"), noise(5, 2_500_000)).unwrap();
    assert_eq!(room.backup(room.incremental(T0 + 1)).await.unwrap().level, 1);
    let paths = ["sub/new", "sub/deeper"];
    let report = room.restore(RestoreRequest { extract: only(&paths), ..room.to("target") }).await.unwrap();
    assert!(!report.is_partial && report.warnings.iter().all(|text| !text.contains("read whole")));
    let (found, saved) = (tree(&room.path("target")), tree(&room.source()));
    assert_eq!(found.len(), 5);
    for name in ["sub/new", "sub/deeper", "sub/deeper/text"] {
        assert_eq!(found[name], saved[name], "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_costs_at_most_one_object_and_goes_with_its_level() {
    let room = Room::new();
    plant_many(&room.source());
    let counts = Counts::default();
    let store: Arc<dyn Store> = Arc::new(Counted::new(room.store.clone(), counts.clone()));
    let monitor = || Arc::new(Monitor::new());
    freezer_vault::backup(store, room.request(T0), monitor()).await.unwrap();
    // Lock and manifest; engine_metadata, index, contents, metadata together; the payload is a large object.
    assert_eq!((counts.calls(Method::Put), counts.calls(Method::PutAll)), (2, 1));
    assert!(room.object("/contents").exists());
    assert_eq!(counts.calls(Method::Finish), 1);
    // A short one is in the manifest, and what is read in one go has none.
    let small = Room::new();
    plant(&small.source());
    small.backup(small.request(T0)).await.unwrap();
    let manifest = |room: &Room| std::fs::read_to_string(room.object("/manifest")).unwrap();
    assert!(!small.objects().iter().any(|name| name.ends_with("/contents")));
    assert!(manifest(&small).contains("contents_body"));
    std::fs::remove_file(small.source().join("sub/big")).unwrap();
    std::fs::remove_dir_all(small.path("store")).unwrap();
    small.backup(small.request(T0)).await.unwrap();
    assert!(!manifest(&small).contains("contents"));

    room.backup(room.request(T0 + DAY)).await.unwrap();
    let retention = Retention { keep_last: Some(1), ..Retention::default() };
    let request = PruneRequest::new(hbn(), retention, T0 + 2 * DAY);
    let agreed = plan(&room.store, &request).await.unwrap();
    apply(&room.store, &request, &agreed, &monitor()).await.unwrap();
    assert!(room.objects().iter().all(|name| name.contains(&format!("/{}/", T0 + DAY))));
}
