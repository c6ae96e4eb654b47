//! How often a store is asked: counted, because it decides what small increments cost on object stores.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use async_trait::async_trait;
use bytes::Bytes;
use freezer_storage::{
    ByteStream, Counted, Counts, Entry, Fault, FaultKind, Faulty, FtpConfig, FtpTls, LargeWriter, Method,
    ObjectInfo, ObjectName, Secret, Skips, SshAuth, SshConfig, Store, StoreConfig, StoreError, open,
};
use freezer_vault::prune::{PruneRequest, Retention, apply, plan};
use freezer_vault::{BackupReport, BackupRequest, Monitor, VaultError, backup};
use md5::{Digest, Md5};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use support::*;

async fn counted(room: &Room, request: BackupRequest) -> (BackupReport, BTreeMap<Method, u64>) {
    counted_on(room.store.clone(), request).await
}

async fn counted_on(store: Arc<dyn Store>, request: BackupRequest) -> (BackupReport, BTreeMap<Method, u64>) {
    let (report, counts) = counts_of(store, request).await;
    (report, counts.all())
}

async fn counts_of(store: Arc<dyn Store>, request: BackupRequest) -> (BackupReport, Counts) {
    let counts = Counts::default();
    let store: Arc<dyn Store> = Arc::new(Counted::new(store, counts.clone()));
    let report = backup(store, request, Arc::new(Monitor::new())).await.unwrap();
    (report, counts)
}

/// The lock, what there is, manifests that must be fetched, three objects together, the manifest. Together is one request where a store
/// can do that (on Swift), elsewhere three; the lock stays where that is so.
fn expected(fetched: u64) -> BTreeMap<Method, u64> {
    let calls = [(Method::Put, 2), (Method::PutAll, 1), (Method::ListTree, 1), (Method::Get, fetched)];
    calls.into_iter().filter(|(_, calls)| *calls > 0).collect()
}

async fn an_unchanged_increment(room: &Room, secret: Option<&str>) {
    plant_before_now(&room.source());
    let encrypted =
        |request: BackupRequest| BackupRequest { encryption: secret.and_then(encryption), ..request };
    let mut now = T0;
    for kept in 1..=3 {
        let full = BackupRequest { memory: Some(room.path("memory")), ..room.request(now) };
        room.backup(encrypted(full)).await.unwrap();
        for level in 1..=3 {
            now += DAY;
            let (report, counts) = counts_of(room.store.clone(), encrypted(remembering(room, now))).await;
            assert_eq!(report.level, level, "{}", report.level_reason);
            assert_eq!(counts.all(), expected(0), "level {level}, {kept} chains");
            assert_eq!(counts.one_by_one(), 6);
        }
        now += DAY;
    }
    let expected = tree(&room.source());
    let secret = secret.map(pass);
    room.expect(freezer_vault::RestoreRequest { pass_phrase: secret, ..room.to("target") }, &expected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_increment_takes_six_requests_whatever_is_kept() {
    an_unchanged_increment(&Room::new(), None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_one_takes_as_many() {
    an_unchanged_increment(&Room::new(), Some("secret")).await;
}

fn variable(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}

/// Host and port of a service of the test machine.
fn address(name: &str, default: &str) -> (String, u16) {
    let address = variable(name, default);
    if std::net::TcpStream::connect(&address).is_err() {
        panic!("nobody answers at {address}; start the services: make services");
    }
    let (host, port) = address.rsplit_once(':').expect("host:port");
    (host.to_owned(), port.parse().unwrap())
}

fn ssh(folder: &std::path::Path) -> StoreConfig {
    let (host, port) = address("FREEZER_TEST_SSH", "127.0.0.1:2222");
    let key = variable("FREEZER_TEST_SSH_KEY", "/var/lib/minicloud/ssh/id_ed25519");
    let known_hosts = variable("FREEZER_TEST_SSH_KNOWN_HOSTS", "/var/lib/minicloud/ssh/known_hosts");
    let user = variable("FREEZER_TEST_SSH_USER", "root");
    let auth = SshAuth::Key { path: key.into(), passphrase: None };
    let config = SshConfig::new(host, user, auth, known_hosts, folder.to_str().unwrap());
    StoreConfig::Ssh(SshConfig { port, ..config })
}

fn ftps(dir: &str) -> StoreConfig {
    let (host, port) = address("FREEZER_TEST_FTP", "127.0.0.1:2121");
    let password = Secret::new(variable("FREEZER_TEST_PASSWORD", "minicloud"));
    let files = PathBuf::from(variable("FREEZER_TEST_FTP_DIR", "/var/lib/minicloud/ftp"));
    let tls = Some(FtpTls { cafile: Some(files.join("ca.pem")), ..FtpTls::default() });
    StoreConfig::Ftp(FtpConfig { port, tls, ..FtpConfig::new(host, "freezer", password, dir) })
}

/// A folder that the FTP server's account makes, and that is gone afterwards.
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Neither takes several objects at once, nor tells what is in the objects that it lists: that nobody has written to the manifests since
/// is known by their stamps.
async fn a_level_takes_six(config: StoreConfig, secret: Option<&str>) {
    let room = Room { store: open(config).unwrap(), ..Room::new() };
    plant_before_now(&room.source());
    let request = |level: u32| {
        let now = T0 + i64::from(level) * DAY;
        BackupRequest { encryption: secret.and_then(encryption), ..remembering(&room, now) }
    };
    room.backup(request(0)).await.unwrap();
    for level in 1..=3 {
        let (report, counts) = counts_of(room.store.clone(), request(level)).await;
        assert_eq!(report.level, level, "{}", report.level_reason);
        assert_eq!((counts.all(), counts.one_by_one()), (expected(0), 6), "level {level}");
    }
    let to = freezer_vault::RestoreRequest { pass_phrase: secret.map(pass), ..room.to("target") };
    room.expect(to, &tree(&room.source())).await;
}

/// The root of a store, and what is to be done to the manifest of the level that the newest is built on, and to that of the newest: it is
/// another one then, of the same length. Nothing is built on either, though this machine has kept both as they were.
async fn a_manifest_that_was_written_to_is_read(config: StoreConfig, root: PathBuf, harm: fn(PathBuf)) {
    for (harmed, expected) in [(1, T0), (2, T0 + DAY)] {
        let room = Room { store: open(config.clone()).unwrap(), ..Room::new() };
        plant_before_now(&room.source());
        for level in 0..3 {
            let report = room.backup(remembering(&room, T0 + level * DAY)).await.unwrap();
            assert_eq!(i64::from(report.level), level, "{}", report.level_reason);
        }
        let folder = format!("data/tar/{}/{T0}/{harmed}_{}", hbn().as_str(), T0 + harmed * DAY);
        harm(root.join(folder).join("manifest"));
        let report = room.backup(remembering(&room, T0 + 3 * DAY)).await.unwrap();
        assert_eq!(report.parent.unwrap().timestamp, expected, "{}", report.level_reason);
        room.expect(room.to("target"), &tree(&room.source())).await;
        std::fs::remove_dir_all(&root).unwrap();
    }
}

/// As [`turn_a_byte`], by somebody who sets the file's time to what it was.
fn turn_a_byte_secretly(file: PathBuf) {
    let modified = std::fs::metadata(&file).unwrap().modified().unwrap();
    turn_a_byte(file.clone());
    std::fs::File::options().append(true).open(file).unwrap().set_modified(modified).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_folder_a_manifest_that_was_written_to_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    for harm in [turn_a_byte, turn_a_byte_secretly] {
        let config = StoreConfig::Local { path: root.clone() };
        a_manifest_that_was_written_to_is_read(config, root.clone(), harm).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn over_ssh_a_level_takes_six() {
    let folder = tempfile::tempdir().unwrap();
    for secret in [None, Some("secret")] {
        a_level_takes_six(ssh(&folder.path().join(secret.unwrap_or("clear"))), secret).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn over_ssh_a_manifest_that_was_written_to_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    a_manifest_that_was_written_to_is_read(ssh(&root), root, turn_a_byte).await;
}

/// A folder on the FTP server, by its name there, and here.
fn ftp_folder() -> (String, Removed) {
    let home = PathBuf::from(variable("FREEZER_TEST_FTP_HOME", "/var/lib/minicloud/data/ftp"));
    let name = format!("freezer_test_requests_{}", uuid::Uuid::new_v4().simple());
    let folder = Removed(home.join(&name));
    (format!("/{name}"), folder)
}

#[tokio::test(flavor = "multi_thread")]
async fn over_ftps_a_level_takes_six() {
    let (name, folder) = ftp_folder();
    for secret in [None, Some("secret")] {
        let root = secret.unwrap_or("clear");
        a_level_takes_six(ftps(&format!("{name}/{root}")), secret).await;
        assert!(folder.0.join(root).join("data").is_dir());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn over_ftps_a_manifest_that_was_written_to_is_read() {
    let (name, folder) = ftp_folder();
    let config = ftps(&format!("{name}/root"));
    a_manifest_that_was_written_to_is_read(config, folder.0.join("root"), turn_a_byte).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_level_again_reads_what_it_is_built_on() {
    // Where nothing is kept here. And the newest manifest, which says that the lock is over that lies there.
    let room = Room::new();
    plant_before_now(&room.source());
    let levels = freezer_vault::levels::LevelPolicy {
        incremental: true,
        always_level: Some(1),
        ..freezer_vault::levels::LevelPolicy::default()
    };
    for round in 0..4 {
        let (report, calls) = counted(&room, BackupRequest { levels, ..room.request(T0 + round) }).await;
        assert_eq!(report.level, u32::from(round > 0));
        if round > 0 {
            assert_eq!(calls, expected(if round > 1 { 2 } else { 1 }));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_index_is_an_object_of_its_own() {
    let room = Room::new();
    for number in 0..2000u64 {
        let name: String = noise(number + 1, 40).iter().map(|byte| format!("{byte:02x}")).collect();
        std::fs::write(room.source().join(name), b"").unwrap();
    }
    room.backup(room.incremental(T0)).await.unwrap();
    assert!(room.object("/index").exists());
    let (report, calls) = counted(&room, room.incremental(T0 + DAY)).await;
    assert_eq!(report.level, 1, "{}", report.level_reason);
    assert_eq!((calls[&Method::Put], calls[&Method::PutAll]), (2, 1), "the index goes with the others");
    assert_eq!(calls[&Method::Get], 2, "manifest and index");
    // Damage to it is seen, and nothing is built on it.
    let index = room.object(&format!("1_{}/index", T0 + DAY));
    let mut body = std::fs::read(&index).unwrap();
    let middle = body.len() / 2;
    body[middle] ^= 1;
    std::fs::write(&index, body).unwrap();
    let report = room.backup(room.incremental(T0 + 2 * DAY)).await.unwrap();
    assert_eq!(report.parent.unwrap().timestamp, T0, "the one with the damaged index is passed over");
    room.expect(room.to("target"), &tree(&room.source())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_freezer_left_is_found_by_the_full_search() {
    let room = Room::new();
    plant_before_now(&room.source());
    room.backup(room.incremental(T0)).await.unwrap();
    UpstreamLevel { chain: T0 + 1, timestamp: T0 + 1, level: 0, codec: "gzip", encrypt: None }
        .make(&room, None);
    let report = room.backup(room.incremental(T0 + DAY)).await.unwrap();
    assert_eq!((report.level, report.chain_timestamp), (1, T0 + 1), "{}", report.level_reason);
    room.expect(room.to("target"), &tree(&room.source())).await;
}

/// A folder whose listings tell what is in its objects, and that spares requests, as S3 does; or one whose listings tell nothing of
/// objects but their size, as those of FTP may be, for somebody who knows of no locks that stay.
struct Telling {
    inner: Arc<dyn Store>,
    root: PathBuf,
    is_blind: bool,
}

impl Telling {
    fn of(room: &Room) -> Arc<dyn Store> {
        Arc::new(Self { inner: room.store.clone(), root: room.path("store"), is_blind: false })
    }
    fn blind(room: &Room) -> Arc<dyn Store> {
        Arc::new(Self { inner: room.store.clone(), root: room.path("store"), is_blind: true })
    }
}

#[async_trait]
impl Store for Telling {
    fn describe(&self) -> String {
        self.inner.describe()
    }
    async fn prepare(&self) -> Result<(), StoreError> {
        self.inner.prepare().await
    }
    async fn put(&self, name: &ObjectName, body: Bytes) -> Result<(), StoreError> {
        self.inner.put(name, body).await
    }
    async fn get(&self, name: &ObjectName, range: Option<Range<u64>>) -> Result<ByteStream, StoreError> {
        self.inner.get(name, range).await
    }
    async fn head(&self, name: &ObjectName) -> Result<Option<ObjectInfo>, StoreError> {
        self.inner.head(name).await
    }
    async fn list(&self, folder: Option<&ObjectName>) -> Result<Vec<Entry>, StoreError> {
        self.inner.list(folder).await
    }
    async fn list_tree_without(
        &self,
        folder: &ObjectName,
        most: usize,
        _skips: Skips<'_>,
    ) -> Result<Option<Vec<Entry>>, StoreError> {
        let tell = |entry: Entry| {
            // A lock may be gone already.
            let body = std::fs::read(self.root.join(folder.as_str()).join(&entry.name)).ok();
            let tag = body.map(|body| format!("\"{}\"", hex::encode(Md5::digest(body))));
            Entry { tag: tag.filter(|_| !self.is_blind), stamp: None, ..entry }
        };
        let entries = self.inner.list_tree(folder, most).await?;
        Ok(entries.map(|entries| entries.into_iter().map(tell).collect()))
    }
    async fn delete(&self, name: &ObjectName) -> Result<(), StoreError> {
        self.inner.delete(name).await
    }
    fn spares_requests(&self) -> bool {
        !self.is_blind
    }
    fn refuses_wrong_clocks(&self) -> bool {
        !self.is_blind
    }
    async fn delete_tree(&self, folder: &ObjectName) -> Result<u64, StoreError> {
        self.inner.delete_tree(folder).await
    }
    async fn create_large(&self, name: &ObjectName) -> Result<Box<dyn LargeWriter>, StoreError> {
        self.inner.create_large(name).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_listings_tell_enough_no_level_takes_more() {
    for secret in [None, Some("secret")] {
        let room = Room::new();
        plant_before_now(&room.source());
        let mut left = 0;
        for level in 0..6 {
            if level == 4 {
                change(&room.source(), 1);
            }
            let request = BackupRequest {
                encryption: secret.and_then(encryption),
                memory: Some(room.path("memory")),
                ..room.incremental(T0 + i64::from(level) * DAY)
            };
            let (report, counts) = counts_of(Telling::of(&room), request).await;
            assert_eq!(report.level, level, "{}", report.level_reason);
            if level == 0 {
                continue;
            }
            let mut calls = counts.all();
            let (single, several) = (calls.remove(&Method::Delete), calls.remove(&Method::DeleteAll));
            assert_eq!(calls, expected(0), "level {level}");
            if report.bytes_read == 0 {
                assert_eq!((single, several), (None, None), "level {level}");
                assert_eq!(counts.one_by_one(), 6);
                left += 1;
            } else {
                // The locks that lie there go with its own.
                assert_eq!((single, several), if left > 0 { (None, Some(1)) } else { (Some(1), None) });
                left = 0;
            }
            assert!(left == level || level >= 4, "nothing has changed up to there");
            assert_eq!(locks(&room), left as usize);
        }
        let secret = secret.map(pass);
        let request = freezer_vault::RestoreRequest { pass_phrase: secret, ..room.to("target") };
        room.expect(request, &tree(&room.source())).await;
    }
}

/// Three levels of `room`, and what the next one found; `harm` is what happens before it.
async fn after(harm: impl FnOnce(&Room)) -> (Room, BackupReport, u64) {
    let room = Room::new();
    plant_before_now(&room.source());
    for level in 0..3 {
        let request = room.incremental(T0 + level * DAY);
        assert_eq!(i64::from(counted_on(Telling::of(&room), request).await.0.level), level);
    }
    harm(&room);
    let (report, calls) = counted_on(Telling::of(&room), room.incremental(T0 + 3 * DAY)).await;
    room.expect(room.to("target"), &tree(&room.source())).await;
    (room, report, calls[&Method::Get])
}

fn turn_a_byte(file: PathBuf) {
    let mut body = std::fs::read(&file).unwrap();
    let middle = body.len() / 2;
    body[middle] ^= 1;
    std::fs::write(file, body).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn levels_that_are_not_listed_as_they_were_are_read() {
    // Something is there that was not: all is read again, is sound, and the new level vouches for it as it is now.
    let foreign = |room: &Room| {
        let manifest = room.object(&format!("/0_{T0}/manifest"));
        std::fs::write(manifest.with_file_name("note"), b"of somebody").unwrap();
    };
    let (room, report, read) = after(foreign).await;
    assert_eq!((report.level, read), (3, 3), "{}", report.level_reason);
    let (report, calls) = counted_on(Telling::of(&room), room.incremental(T0 + 4 * DAY)).await;
    assert_eq!((report.level, calls), (4, expected(1)), "{}", report.level_reason);

    // A manifest below that is another one, of the same length: nothing is built on it.
    let (_, report, _) = after(|room| turn_a_byte(room.object(&format!("/0_{T0}/manifest")))).await;
    assert_eq!(report.level, 0, "{}", report.level_reason);
    let (_, report, _) = after(|room| turn_a_byte(room.object(&format!("/1_{}/manifest", T0 + DAY)))).await;
    assert_eq!(report.parent.unwrap().timestamp, T0, "{}", report.level_reason);

    // A payload below that is gone, or shorter.
    let payload = |room: &Room| room.object(&format!("/1_{}/data", T0 + DAY));
    let (_, report, _) = after(|room| std::fs::remove_file(payload(room)).unwrap()).await;
    assert_eq!(report.parent.unwrap().timestamp, T0, "{}", report.level_reason);
    let (_, report, _) = after(|room| std::fs::write(payload(room), b"short").unwrap()).await;
    assert_eq!(report.parent.unwrap().timestamp, T0, "{}", report.level_reason);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_that_vouches_for_nothing_is_not_enough() {
    let room = Room::new();
    plant_before_now(&room.source());
    for level in 0..3 {
        counted_on(Telling::blind(&room), room.incremental(T0 + level * DAY)).await;
    }
    let manifest = std::fs::read_to_string(room.object(&format!("/2_{}/manifest", T0 + 2 * DAY))).unwrap();
    assert!(!manifest.contains("ancestors_sha256"), "its listing tells nothing");
    for (level, read) in [(3, 3), (4, 1)] {
        let request = room.incremental(T0 + level * DAY);
        let (report, calls) = counted_on(Telling::of(&room), request).await;
        let expected = (level, expected(read));
        assert_eq!((i64::from(report.level), calls), expected, "{}", report.level_reason);
    }
    room.expect(room.to("target"), &tree(&room.source())).await;
}

fn locks(room: &Room) -> usize {
    let folder = room.path("store/data/tar/host1_daily job/locks");
    if folder.exists() { std::fs::read_dir(folder).unwrap().count() } else { 0 }
}

fn remembering(room: &Room, now: i64) -> BackupRequest {
    BackupRequest { memory: Some(room.path("memory")), ..room.incremental(now) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_that_is_kept_here_counts_only_while_it_is_listed_so() {
    let room = Room::new();
    plant_before_now(&room.source());
    for level in 0..3 {
        counted_on(Telling::of(&room), remembering(&room, T0 + level * DAY)).await;
    }
    std::fs::remove_dir_all(room.path("memory")).unwrap();
    for (level, fetched) in [(3, Some(1)), (4, None)] {
        let (report, calls) = counted_on(Telling::of(&room), remembering(&room, T0 + level * DAY)).await;
        assert_eq!((i64::from(report.level), calls.get(&Method::Get).copied()), (level, fetched));
    }
    // It is damaged on the store; that it is whole here helps nobody who restores.
    turn_a_byte(room.object(&format!("/4_{}/manifest", T0 + 4 * DAY)));
    let (report, _) = counted_on(Telling::of(&room), remembering(&room, T0 + 5 * DAY)).await;
    assert_eq!(report.parent.unwrap().timestamp, T0 + 3 * DAY, "{}", report.level_reason);
    room.expect(room.to("target"), &tree(&room.source())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_level_that_all_are_built_on_is_kept_here_too() {
    let room = Room::new();
    plant_before_now(&room.source());
    for round in 0..4 {
        let mut request = remembering(&room, T0 + round);
        request.levels.always_level = Some(1);
        let (report, counts) = counts_of(Telling::of(&room), request).await;
        assert_eq!(report.level, u32::from(round > 0), "{}", report.level_reason);
        if round > 0 {
            assert_eq!((counts.all(), counts.one_by_one()), (expected(0), 6));
        }
    }
    // Where listings tell nothing of the content, nothing is kept that could never be recognised.
    let request = BackupRequest { memory: Some(room.path("other")), ..room.incremental(T0 + DAY) };
    counted_on(Telling::blind(&room), request).await;
    assert!(!room.path("other").exists());
}

/// A lock of somebody else, of the time `renewed`.
fn hold(room: &Room, renewed: i64) -> PathBuf {
    let note = format!(
        r#"{{"host":"elsewhere","purpose":"backup","since_secs":{T0},"renewed_secs":{renewed},"expiry_secs":600,"process":null}}"#
    );
    let file = room.path("store/data/tar/host1_daily job/locks/theirs");
    std::fs::write(&file, note).unwrap();
    file
}

async fn is_kept_out_until(room: &Room, now: i64) {
    let request = |now| backup(Telling::blind(room), room.incremental(now), Arc::new(Monitor::new()));
    let error = request(now - 1).await.unwrap_err();
    assert!(matches!(error, VaultError::Locked { .. }), "{error}");
    assert_eq!(locks(room), 1);
    assert_eq!(request(now).await.unwrap().level, 2);
    assert_eq!(locks(room), 0);
}

/// Nobody keeps the clocks of those together who use a folder: it keeps out as long as one that does not stay.
#[tokio::test(flavor = "multi_thread")]
async fn in_a_folder_a_lock_that_is_left_is_as_good_as_any() {
    let room = Room::new();
    plant_before_now(&room.source());
    for level in 0..2 {
        room.backup(remembering(&room, T0 + level * DAY)).await.unwrap();
    }
    assert_eq!(locks(&room), 1);
    is_kept_out_until(&room, T0 + DAY + 3600).await;
    // Who knows is not stopped; and one that saves something takes all of them away with its own.
    for level in 3..5 {
        let report = room.backup(remembering(&room, T0 + 2 * DAY + level)).await.unwrap();
        assert_eq!(i64::from(report.level), level, "{}", report.level_reason);
    }
    assert_eq!(locks(&room), 2);
    change(&room.source(), 1);
    room.backup(remembering(&room, T0 + 2 * DAY + 5)).await.unwrap();
    assert_eq!(locks(&room), 0);
    room.expect(room.to("target"), &tree(&room.source())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_is_left_stops_nobody_for_long() {
    let room = Room::new();
    plant_before_now(&room.source());
    for level in 0..2 {
        counted_on(Telling::of(&room), room.incremental(T0 + level * DAY)).await;
    }
    assert_eq!(locks(&room), 1);
    // Who knows nothing of what manifests say (here a store that does not spare requests) waits until it expires, and removes it.
    is_kept_out_until(&room, T0 + DAY + 1900).await;
    // Who knows does not.
    for (level, now) in [(3, T0 + 2 * DAY), (4, T0 + 2 * DAY + 1)] {
        let (report, _) = counted_on(Telling::of(&room), room.incremental(now)).await;
        assert_eq!(report.level, level, "{}", report.level_reason);
    }
    assert_eq!(locks(&room), 2);
    // One that no manifest names is respected, whatever else lies there.
    let theirs = hold(&room, T0 + 2 * DAY);
    let request = room.incremental(T0 + 2 * DAY + 2);
    let error = backup(Telling::of(&room), request, Arc::new(Monitor::new())).await.unwrap_err();
    assert!(matches!(error, VaultError::Locked { .. }), "{error}");
    let retention = Retention { keep_last: Some(1), ..Retention::default() };
    let request = PruneRequest::new(hbn(), retention, T0 + 2 * DAY + 2);
    let store = Telling::of(&room);
    let agreed = plan(&store, &request).await.unwrap();
    let error = apply(&store, &request, &agreed, &Monitor::new()).await.unwrap_err();
    assert!(matches!(error, VaultError::Locked { .. }), "{error}");
    assert_eq!(locks(&room), 3);
    std::fs::remove_file(theirs).unwrap();
    // Those that are over cannot be removed: its own goes all the same.
    let faults = vec![Fault { method: Method::DeleteAll, nth: 1, kind: FaultKind::Refused }];
    let faulty: Arc<dyn Store> = Arc::new(Faulty::new(store.clone(), faults));
    apply(&faulty, &request, &agreed, &Monitor::new()).await.unwrap();
    assert_eq!(locks(&room), 2);
    // Retention takes away those that are over with its own.
    apply(&store, &request, &agreed, &Monitor::new()).await.unwrap();
    assert_eq!(locks(&room), 0);
    room.expect(room.to("target"), &tree(&room.source())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn locks_that_are_left_do_not_grow_many() {
    // Nothing is in it.
    let room = Room::new();
    let mut swept = Vec::new();
    for level in 0..36 {
        let (report, calls) = counted_on(Telling::of(&room), remembering(&room, T0 + level)).await;
        assert_eq!(i64::from(report.level), level, "{}", report.level_reason);
        if calls.contains_key(&Method::DeleteAll) {
            swept.push(level);
            assert_eq!(locks(&room), 0);
        }
        assert!(locks(&room) <= 32);
    }
    assert_eq!(swept, [33]);
    assert_eq!(locks(&room), 2);
}

/// The manifest says that the lock is over, and nobody knows whether it got there: what it names must not be removed any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_that_may_be_there_keeps_what_it_names() {
    for (kind, next) in [(FaultKind::LostAnswer, 2), (FaultKind::Refused, 1)] {
        let room = Room::new();
        plant_before_now(&room.source());
        counted_on(Telling::of(&room), room.incremental(T0)).await;
        // The lock is the first.
        let faults = vec![Fault { method: Method::Put, nth: 2, kind }];
        let store: Arc<dyn Store> = Arc::new(Faulty::new(Telling::of(&room), faults));
        backup(store, room.incremental(T0 + DAY), Arc::new(Monitor::new())).await.unwrap_err();
        assert!(room.object(&format!("/1_{}/data", T0 + DAY)).exists());
        assert_eq!(locks(&room), 0, "a run that failed leaves none");
        let (report, _) = counted_on(Telling::of(&room), room.incremental(T0 + DAY)).await;
        assert_eq!((report.level, report.timestamp), (next, T0 + DAY + 1), "{}", report.level_reason);
        room.expect(room.to("target"), &tree(&room.source())).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_at_once_never_make_the_same_level() {
    let room = Room::new();
    two_at_once(&room, &Telling::of(&room)).await;
    let room = Room::new();
    two_at_once(&room, &room.store).await;
}

async fn two_at_once(room: &Room, store: &Arc<dyn Store>) {
    plant_before_now(&room.source());
    counted_on(store.clone(), room.incremental(T0)).await;
    let mut made = Vec::new();
    for round in 1..=8 {
        let run = || backup(store.clone(), remembering(room, T0 + round), Arc::new(Monitor::new()));
        let (one, other) = tokio::join!(tokio::spawn(run()), tokio::spawn(run()));
        for result in [one.unwrap(), other.unwrap()] {
            match result {
                Ok(report) => made.push(report.timestamp),
                Err(error) => assert!(matches!(error, VaultError::Locked { .. }), "{error}"),
            }
        }
        // Whoever gave up has gone; whoever did not is over.
        let (report, _) = counted_on(store.clone(), remembering(room, T0 + round)).await;
        made.push(report.timestamp);
    }
    let distinct: std::collections::BTreeSet<i64> = made.iter().copied().collect();
    assert_eq!(distinct.len(), made.len(), "{made:?}");
    room.expect(room.to("target"), &tree(&room.source())).await;
}
