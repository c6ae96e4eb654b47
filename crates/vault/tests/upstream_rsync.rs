//! Backups of upstream's engines rsync and rsyncv2, written from their description by `support/upstream_rsync.py`, and hostile
//! and damaged ones.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use freezer_vault::catalogue::{self, Standing};
use freezer_vault::restore::Selection;
use freezer_vault::{Engine, Hbn, RestoreRequest, VaultError};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use support::*;

/// One level as upstream's agent writes it.
struct Made<'a> {
    engine: &'a str,
    codec: &'a str,
    /// A pass phrase file and `cfb8`, `cfb128-6` or `cfb128-7`.
    cipher: Option<(PathBuf, &'a str)>,
}

impl Made<'_> {
    /// Writes level `number` of the chain that began at `T0`.
    fn level(&self, room: &Room, number: u32) {
        let (data, base) = (folder(room, "data", number), number.checked_sub(1));
        let base = base.map(|before| folder(room, "data", before).join("engine_metadata"));
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/upstream_rsync.py");
        let mut command = Command::new("python3");
        command.arg(script).arg(self.engine).arg(room.source()).arg(base.unwrap_or_else(|| "-".into()));
        command.arg(data.join("data")).arg(data.join("engine_metadata")).arg(self.codec);
        if let Some((pass_file, cipher)) = &self.cipher {
            command.arg(pass_file).arg(cipher);
        }
        let output = command.output().expect("python3");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        commit(room, number, self.engine, self.codec, self.cipher.is_some());
    }
}

fn folder(room: &Room, kind: &str, number: u32) -> PathBuf {
    let name = format!("{kind}/rsync/{HOST}_{NAME}/{T0}/{number}_{}", T0 + i64::from(number) * DAY);
    let folder = room.path("store").join(name);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn commit(room: &Room, number: u32, engine: &str, codec: &str, encrypted: bool) {
    let size = if engine == "v2" { r#", "rsync_block_size": 4096"# } else { "" };
    let text =
        format!(r#"{{"engine_name": "rsync", "compression": "{codec}", "encryption": {encrypted}{size}}}"#);
    std::fs::write(folder(room, "metadata", number).join("metadata"), text).unwrap();
}

/// What the rsync engines keep of a tree: not the root's own facts (v2), no links to folders, none that dangle (v1).
fn kept(root: &Path) -> Tree {
    let mut found = tree(root);
    found.remove(".");
    found
}

fn plant_blocks(root: &Path) {
    plant(root);
    std::fs::write(root.join("sub/big"), noise(7, 300_000)).unwrap();
    std::fs::write(root.join("blocks"), noise(11, 50_000)).unwrap();
    std::fs::write(root.join("sub/patched"), noise(12, 9000)).unwrap();
    std::fs::write(root.join("sub/cut"), noise(13, 30_000)).unwrap();
    std::fs::write(root.join("comes back"), noise(14, 20_000)).unwrap();
    std::fs::set_permissions(root.join("sub/cut"), std::fs::Permissions::from_mode(0o600)).unwrap();
    let name = format!("a name of more than a hundred bytes, {}", "x".repeat(150));
    std::fs::write(root.join(name), b"long").unwrap();
}

fn write_at(path: &Path, offset: u64, bytes: &[u8]) {
    let mut file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(offset)).unwrap();
    file.write_all(bytes).unwrap();
}

/// The first engine compares whole seconds: what it shall see must have changed in another one.
fn touch(path: &Path, round: u64) {
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(10 * round);
    std::fs::File::options().write(true).open(path).unwrap().set_modified(later).unwrap();
}

/// Each round with the changes that the engines see in their own ways.
fn change_blocks(root: &Path, round: u64) {
    change(root, round);
    if round == 1 {
        write_at(&root.join("sub/patched"), 8500, b"x");
        std::fs::remove_file(root.join("comes back")).unwrap();
    } else {
        let mut content = std::fs::read(root.join("blocks")).unwrap();
        content.splice(5000..5000, *b"inserted");
        std::fs::write(root.join("blocks"), content).unwrap();
        std::fs::File::options().write(true).open(root.join("sub/cut")).unwrap().set_len(10_000).unwrap();
        let mut content = noise(14, 20_000);
        content[100] ^= 1;
        std::fs::write(root.join("comes back"), content).unwrap();
        std::fs::remove_file(root.join("link")).unwrap();
        std::fs::create_dir(root.join("link")).unwrap();
        std::fs::write(root.join("link/inside"), b"a folder now").unwrap();
        touch(&root.join("sub/cut"), round);
        touch(&root.join("comes back"), round);
    }
    // In the first round `blocks` is touched only.
    for name in ["a", "blocks", "sub/patched"] {
        touch(&root.join(name), round);
    }
}

async fn expect(room: &Room, request: RestoreRequest, expected: &Tree) -> freezer_vault::RestoreReport {
    let target = request.target.clone();
    let report = room.restore(request).await.expect("restore");
    assert!(!report.is_partial, "{:?}", report.problems);
    assert_same(&kept(&target), expected);
    report
}

#[tokio::test(flavor = "multi_thread")]
async fn chains_restore() {
    for (engine, codec) in [("v1", "gzip"), ("v1", "bzip2"), ("v2", "gzip"), ("v2", "bzip2")] {
        let room = Room::new();
        plant_blocks(&room.source());
        let made = Made { engine, codec, cipher: None };
        let mut trees = Vec::new();
        for number in 0..3 {
            if number > 0 {
                change_blocks(&room.source(), u64::from(number));
            }
            made.level(&room, number);
            trees.push(kept(&room.source()));
        }
        let report = expect(&room, room.to("newest"), &trees[2]).await;
        assert_eq!(report.levels.len(), 3, "{engine} {codec}");
        let at = |secs| RestoreRequest { not_after_secs: Some(secs), ..room.to(&format!("at {secs}")) };
        expect(&room, at(T0 + DAY), &trees[1]).await;
        expect(&room, at(T0), &trees[0]).await;
        // A dry run compares all it can and writes nothing.
        let report = room.restore(RestoreRequest { dry_run: true, ..room.to("dry") }).await.unwrap();
        assert!(!report.is_partial && !room.path("dry").exists(), "{:?}", report.problems);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn encrypted_chains_restore() {
    for (engine, cipher) in [("v1", "cfb8"), ("v2", "cfb128-6"), ("v1", "cfb128-7"), ("v2", "cfb128-7")] {
        for word in ["with an end of line\n", "without"] {
            let room = Room::new();
            std::fs::write(room.path("pass"), word).unwrap();
            plant_blocks(&room.source());
            let made = Made { engine, codec: "gzip", cipher: Some((room.path("pass"), cipher)) };
            made.level(&room, 0);
            change_blocks(&room.source(), 1);
            made.level(&room, 1);
            let with = |text: &str, target: &str| RestoreRequest {
                pass_phrase: Some(pass(text)),
                ..room.to(target)
            };
            let report = expect(&room, with(word.trim_end(), "restored"), &kept(&room.source())).await;
            assert_eq!(report.levels.len(), 2);
            let error = room.restore(with("wrong", "none")).await.unwrap_err();
            assert!(matches!(error, VaultError::WrongPassPhrase { .. }), "{error}");
            let error = room.restore(room.to("none")).await.unwrap_err();
            assert!(matches!(error, VaultError::PassPhraseMissing { .. }), "{error}");
            assert!(!room.path("none").exists());
        }
    }
}

/// Release 7 begins its encryption anew with each piece: where bzip2 was used, only segments tell where that is.
#[tokio::test(flavor = "multi_thread")]
async fn bzip2_of_release_7_needs_its_segments() {
    let room = Room::new();
    std::fs::write(room.path("pass"), "word\n").unwrap();
    plant_blocks(&room.source());
    // Several blocks of bzip2.
    std::fs::write(room.source().join("sub/large"), noise(31, 3_000_000)).unwrap();
    let made = Made { engine: "v2", codec: "bzip2", cipher: Some((room.path("pass"), "cfb128-7")) };
    made.level(&room, 0);
    let first = kept(&room.source());
    change_blocks(&room.source(), 1);
    made.level(&room, 1);
    let with = |target: &str| RestoreRequest { pass_phrase: Some(pass("word")), ..room.to(target) };
    expect(&room, RestoreRequest { not_after_secs: Some(T0), ..with("before") }, &first).await;
    expect(&room, with("restored"), &kept(&room.source())).await;

    std::fs::remove_dir_all(folder(&room, "data", 0).join("segments")).unwrap();
    let request = RestoreRequest { not_after_secs: Some(T0), ..with("without") };
    // The first piece ends with the first block, but for some bits: that unpacks to nonsense or not at all.
    let refused = room.restore(request).await.unwrap_err().to_string();
    assert!(refused.contains("bzip2") && refused.contains("0_1700000000/data"), "{refused}");
}

/// bzip2 gives what it unpacks before it looks at the block's checksum.
#[tokio::test(flavor = "multi_thread")]
async fn nonsense_of_a_damaged_block_is_no_content() {
    for engine in ["v1", "v2"] {
        let room = Room::new();
        plant_blocks(&room.source());
        std::fs::write(room.source().join("sub/large"), noise(31, 3_000_000)).unwrap();
        Made { engine, codec: "bzip2", cipher: None }.level(&room, 0);
        let data = folder(&room, "data", 0).join("data");
        let mut body = std::fs::read(&data).unwrap();
        // Behind the heads of stream and block, with its checksum: where in the sorted bytes the first one is.
        body[15] ^= 0x10;
        std::fs::write(&data, body).unwrap();
        let refused = room.restore(room.to("none")).await.unwrap_err().to_string();
        assert!(refused.contains("bzip2") && refused.contains("0_1700000000/data"), "{engine}: {refused}");
        assert_eq!(kept(&room.path("none")).len(), 0, "{engine}");
    }
}

/// Release 6 of the first engine loses the last bytes of what it encrypts.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_end_is_told_and_the_rest_restored() {
    let room = Room::new();
    std::fs::write(room.path("pass"), "word\n").unwrap();
    plant_blocks(&room.source());
    let made = Made { engine: "v1", codec: "gzip", cipher: Some((room.path("pass"), "cfb128-6")) };
    let mut report = None;
    // One length in sixteen loses nothing.
    for length in 0..8 {
        std::fs::write(room.source().join("filler"), noise(5, 100 + length)).unwrap();
        made.level(&room, 0);
        let request =
            RestoreRequest { pass_phrase: Some(pass("word")), overwrite: true, ..room.to("restored") };
        report = Some(room.restore(request).await.unwrap()).filter(|report| report.is_partial);
        if report.is_some() {
            break;
        }
    }
    let report = report.unwrap();
    let place = format!("data/rsync/{HOST}_{NAME}/{T0}/0_{T0}/data, byte ");
    assert!(report.problems.iter().any(|problem| problem.reason.contains(&place)), "{:?}", report.problems);
    assert_eq!(std::fs::read(room.path("restored/sub/big")).unwrap(), noise(7, 300_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_and_foreign_files() {
    for engine in ["v1", "v2"] {
        let room = Room::new();
        plant_blocks(&room.source());
        let made = Made { engine, codec: "gzip", cipher: None };
        made.level(&room, 0);
        change_blocks(&room.source(), 1);
        made.level(&room, 1);
        let mut request = room.to("parts");
        request.extract.only = Selection::of(&["sub/patched", "a"]).unwrap();
        let report = room.restore(request).await.unwrap();
        assert!(!report.is_partial, "{:?}", report.problems);
        let found: Vec<String> = kept(&room.path("parts")).into_keys().collect();
        assert_eq!(found, ["a", "sub", "sub/patched"]);
        let source = room.source();
        let same = |name: &str| {
            std::fs::read(room.path("parts").join(name)).unwrap() == std::fs::read(source.join(name)).unwrap()
        };
        assert!(same("sub/patched") && same("a"));

        // What was there before stays, also where the chain deletes something of that name.
        let target = room.path("occupied");
        std::fs::create_dir_all(target.join("to go")).unwrap();
        std::fs::write(target.join("to go/foreign"), b"mine").unwrap();
        std::fs::write(target.join("comes back"), b"mine too").unwrap();
        let error = room.restore(room.to("occupied")).await.unwrap_err();
        assert!(matches!(error, VaultError::TargetNotEmpty { .. }), "{error}");
        room.restore(RestoreRequest { overwrite: true, ..room.to("occupied") }).await.unwrap();
        assert_eq!(std::fs::read(target.join("to go/foreign")).unwrap(), b"mine");
        assert_eq!(std::fs::read(target.join("comes back")).unwrap(), b"mine too");
        assert_eq!(
            std::fs::read(target.join("blocks")).unwrap(),
            std::fs::read(source.join("blocks")).unwrap()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn they_are_listed_and_tar_comes_first() {
    let room = Room::new();
    plant(&room.source());
    Made { engine: "v2", codec: "gzip", cipher: None }.level(&room, 0);
    let hbns = catalogue::list_hbns(&room.store, Engine::Rsync).await.unwrap();
    assert_eq!(hbns, [Hbn::of(Engine::Rsync, HOST, NAME).unwrap()]);
    let found = catalogue::list(&room.store, &hbns[0]).await.unwrap();
    assert_eq!(found.chains[0].levels[0].standing, Standing::Upstream);
    room.backup(room.request(T0 + 7)).await.unwrap();
    let report = room.restore(room.to("tar")).await.unwrap();
    assert_eq!(report.timestamp, T0 + 7);
    let report = room.restore(RestoreRequest { engine: Engine::Rsync, ..room.to("rsync") }).await.unwrap();
    assert_eq!(report.timestamp, T0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_level_says_what_it_lost() {
    for engine in ["v1", "v2"] {
        let room = Room::new();
        plant_blocks(&room.source());
        Made { engine, codec: "gzip", cipher: None }.level(&room, 0);
        let data = folder(&room, "data", 0).join("data");
        let body = std::fs::read(&data).unwrap();
        std::fs::write(&data, &body[..body.len() * 9 / 10]).unwrap();
        let report = room.restore(room.to("restored")).await.unwrap();
        assert!(report.is_partial);
        let text = format!("{:?}", report.problems);
        assert!(text.contains("data, byte ") && text.contains("only its first"), "{text}");
        // What is not named as lost or damaged is right.
        let named = |name: &String| report.problems.iter().any(|problem| &problem.path == name);
        let restored = kept(&room.path("restored"));
        for (name, entry) in
            kept(&room.source()).into_iter().filter(|(name, entry)| entry.kind == 'f' && !named(name))
        {
            assert!(
                restored.get(&name).is_some_and(|found| found.content == entry.content),
                "{engine}: {name}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn contents_are_compared_with_their_checksums() {
    let room = Room::new();
    plant_blocks(&room.source());
    let made = Made { engine: "v2", codec: "gzip", cipher: None };
    made.level(&room, 0);
    let other = Room::new();
    plant_blocks(&other.source());
    std::fs::write(other.source().join("sub/patched"), noise(99, 9000)).unwrap();
    made.level(&other, 0);
    std::fs::copy(
        folder(&other, "data", 0).join("engine_metadata"),
        folder(&room, "data", 0).join("engine_metadata"),
    )
    .unwrap();
    let report = room.restore(room.to("restored")).await.unwrap();
    let found: Vec<_> =
        report.problems.iter().map(|problem| (problem.path.as_str(), problem.kind.as_str())).collect();
    assert_eq!(found, [("sub/patched", "damaged")]);
    assert!(report.is_partial);
    // Without them a backup restores with a word about it.
    std::fs::write(folder(&room, "data", 0).join("engine_metadata"), b"no metadata").unwrap();
    let report = room.restore(room.to("unchecked")).await.unwrap();
    assert!(
        !report.is_partial && report.warnings.iter().any(|text| text.contains("without comparing")),
        "{:?}",
        report.warnings
    );
}

/// An entry of rsyncv2 in MessagePack.
fn entry(path: &[u8], mode: u16, size: u8, link: &[u8]) -> Vec<u8> {
    let text = |bytes: &[u8]| [&[0xda, 0, u8::try_from(bytes.len()).unwrap()][..], bytes].concat();
    let mut out = vec![0x83];
    out.extend([text(b"path"), text(path), text(b"lname"), text(link), text(b"inode")].concat());
    out.push(0x82);
    out.extend([text(b"mode"), vec![0xcd], mode.to_be_bytes().to_vec(), text(b"size"), vec![size]].concat());
    out
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

const FILE: u16 = 0o100_644;
const LINK: u16 = 0o120_777;

/// Level 0 of entries and what follows them.
fn forge(room: &Room, entries: &[Vec<u8>], contents: &[u8]) {
    let count = 0x90 | u8::try_from(entries.len()).unwrap();
    std::fs::write(
        folder(room, "data", 0).join("data"),
        zlib(&[vec![count], entries.concat(), contents.to_vec()].concat()),
    )
    .unwrap();
    commit(room, 0, "v2", "gzip", false);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_leads_out_of_the_target() {
    for name in [&b"../escaped"[..], b"/tmp/freezer-escaped", b"a/../../escaped"] {
        let room = Room::new();
        forge(&room, &[entry(name, FILE, 3, b"")], b"bad");
        let error = room.restore(room.to("target")).await.unwrap_err();
        assert!(error.to_string().contains("refused member"), "{error}");
        assert!(!room.path("escaped").exists() && !Path::new("/tmp/freezer-escaped").exists());
    }
    let room = Room::new();
    std::fs::create_dir(room.path("outside")).unwrap();
    let outside = room.path("outside").to_string_lossy().into_owned();
    forge(&room, &[entry(b"l", LINK, 0, outside.as_bytes()), entry(b"l/x", FILE, 3, b"")], b"bad");
    let report = room.restore(room.to("target")).await.unwrap();
    assert!(report.is_partial && std::fs::read_dir(room.path("outside")).unwrap().next().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn sizes_are_not_believed() {
    let room = Room::new();
    // A size of 2^62 bytes.
    let mut huge = entry(b"huge", FILE, 0, b"");
    huge.pop();
    huge.extend([0xcf, 0x40, 0, 0, 0, 0, 0, 0, 0]);
    forge(&room, &[huge], b"three");
    let error = room.restore(room.to("target")).await.unwrap_err();
    assert!(matches!(error, VaultError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("/0_1700000000/data"), "{error}");

    for (bytes, word) in [
        (&b"\xdd\xff\xff\xff\xff"[..], "ends too early"),
        (b"\x91\x81\xa4path\xdb\xff\xff\xff\xff", "were expected"),
        (b"\x91\xc1", "no type"),
    ] {
        let room = Room::new();
        std::fs::write(folder(&room, "data", 0).join("data"), zlib(bytes)).unwrap();
        commit(&room, 0, "v2", "gzip", false);
        let error = room.restore(room.to("target")).await.unwrap_err();
        assert!(matches!(error, VaultError::Damaged { .. }), "{error}");
        assert!(error.to_string().contains(word), "{word}: {error}");
    }
    let room = Room::new();
    std::fs::write(folder(&room, "data", 0).join("data"), b"neither zlib nor bzip2").unwrap();
    commit(&room, 0, "v1", "gzip", false);
    let error = room.restore(room.to("target")).await.unwrap_err();
    assert!(error.to_string().contains("neither like zlib nor like bzip2"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn images_become_files_of_their_length() {
    let image = noise(21, 700_001);
    let facts = r#"{"server_name": "s", "length": "700001", "image_disk_format": "qcow2"}"#;
    let long = format!(r#"{{"length": 700001, "disk_format": "{}"}}"#, "a".repeat(300));
    for (engine, facts, file) in [
        (Engine::Nova, facts, "id-1.qcow2"),
        (Engine::Glance, r#"{"length": 700001}"#, "id-1.raw"),
        (Engine::Glance, long.as_str(), "id-1.raw"),
    ] {
        let room = Room::new();
        let place = |kind: &str| {
            let folder = room.path("store").join(format!("{kind}/{engine}/{HOST}_{NAME}/id-1/{T0}/0_{T0}"));
            std::fs::create_dir_all(&folder).unwrap();
            folder
        };
        let metadata = format!(r#"{{"engine_name": "{engine}", "encryption": true}}"#);
        std::fs::write(place("metadata").join("metadata"), metadata).unwrap();
        std::fs::write(place("data").join("engine_metadata"), facts).unwrap();
        let data = place("data").join("data");
        // Upstream appends an archive where it was asked to encrypt.
        std::fs::write(&data, [image.as_slice(), b"an archive of its folder"].concat()).unwrap();
        let name = format!("{NAME}/id-1");
        let hbn = Hbn::of(engine, HOST, &name).unwrap();
        assert_eq!(catalogue::list_hbns(&room.store, engine).await.unwrap(), [hbn]);
        let request = |target: &str| RestoreRequest { engine, backup_name: name.clone(), ..room.to(target) };
        let report = room.restore(request("restored")).await.unwrap();
        assert!(!report.is_partial && std::fs::read(room.path("restored").join(file)).unwrap() == image);
        std::fs::write(&data, &image[..600_000]).unwrap();
        let error = room.restore(request("cut")).await.unwrap_err().to_string();
        assert!(error.contains("data/") && error.contains("offset 600000"), "{error}");
        assert_eq!(std::fs::read_dir(room.path("cut")).unwrap().count(), 0);
    }
}
