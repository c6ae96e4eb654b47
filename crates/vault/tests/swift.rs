//! The whole of it on a real Swift: segments, increments, damage, cancelling, retention.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use bytes::Bytes;
use freezer_storage::{
    Counted, Counts, Method, ObjectName, S3Config, SessionAccess, Store, StoreConfig, SwiftConfig, open,
};
use freezer_vault::codecs::{Compression, CompressionOptions};
use freezer_vault::prune::{PruneRequest, Retention, apply, plan};
use freezer_vault::restore::Selection;
use freezer_vault::tar::Extract;
use freezer_vault::{BackupRequest, Monitor, RestoreRequest, VaultError, backup, catalogue, restore};
use futures_util::TryStreamExt;
use keystone::{Auth, Domain, Named, Scope, Secret, Session, SessionOptions};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use support::*;

fn variable(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}

async fn session() -> Session {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let named = |name: &str| Named::Name { name: name.into(), domain: Domain::Name("Default".into()) };
    let auth = Auth::Password {
        user: named("demo"),
        password: Secret::new(variable("FREEZER_TEST_PASSWORD", "minicloud")),
        scope: Scope::Project(named("demo")),
    };
    let options = SessionOptions::new(variable("FREEZER_TEST_KEYSTONE", "http://127.0.0.1:5000/v3"), auth);
    let session = Session::new(options).unwrap();
    if let Err(error) = session.token().await {
        panic!("no Keystone for the tests ({error}); start the services: make services");
    }
    session
}

/// A room whose store is a container of its own.
struct Cloud {
    room: Room,
    session: Session,
    container: String,
}

impl Cloud {
    async fn new(test: &str) -> Self {
        let session = session().await;
        let container = format!("freezer_test_vault_{test}_{}", uuid::Uuid::new_v4().simple());
        let access = Arc::new(SessionAccess::new(session.clone()));
        let config = SwiftConfig::new(access, format!("{container}/pre fix"));
        let store = open(StoreConfig::Swift(config)).unwrap();
        Self { room: Room { store, ..Room::new() }, session, container }
    }

    /// The same with a bucket, by S3's protocol. Answers too where the keys are that were made for it.
    async fn by_s3() -> (Self, String) {
        let session = session().await;
        let login = session.login().await.unwrap();
        let (user, project) = (&login.document.user.id, &login.document.project.as_ref().unwrap().id);
        let keystone = variable("FREEZER_TEST_KEYSTONE", "http://127.0.0.1:5000/v3");
        let keys = format!("{keystone}/users/{user}/credentials/OS-EC2");
        let token = session.token().await.unwrap();
        let wanted = serde_json::json!({"tenant_id": project});
        let request = session.http().post(&keys).header("X-Auth-Token", token.expose()).json(&wanted);
        let made: serde_json::Value = request.send().await.unwrap().json().await.unwrap();
        let text = |key: &str| made["credential"][key].as_str().unwrap().to_owned();
        let endpoint = session.endpoint("object-store", None, None).await.unwrap();
        let endpoint = endpoint.split("/v1").next().unwrap();
        // Names of buckets are those of hosts, and as short.
        let container = format!("freezer-test-{}", uuid::Uuid::new_v4().simple());
        let (access, secret) = (text("access"), Secret::new(text("secret")));
        let keys = format!("{keys}/{access}");
        let config = S3Config::new(endpoint, access, secret, container.clone());
        let store = open(StoreConfig::S3(config)).unwrap();
        store.prepare().await.unwrap();
        (Self { room: Room { store, ..Room::new() }, session, container }, keys)
    }

    async fn objects(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut waiting: Vec<Option<ObjectName>> = vec![None];
        while let Some(folder) = waiting.pop() {
            for entry in self.room.store.list(folder.as_ref()).await.unwrap() {
                let name = match &folder {
                    Some(folder) => folder.join(&entry.name).unwrap(),
                    None => ObjectName::new(entry.name).unwrap(),
                };
                if entry.is_folder { waiting.push(Some(name)) } else { found.push(name.to_string()) }
            }
        }
        found.sort();
        found
    }

    async fn read(&self, name: &str) -> Vec<u8> {
        let stream = self.room.store.get(&ObjectName::new(name).unwrap(), None).await.unwrap();
        stream
            .try_fold(Vec::new(), |mut all, piece| async move {
                all.extend_from_slice(&piece);
                Ok(all)
            })
            .await
            .unwrap()
    }

    async fn remove(self) {
        for folder in ["data", "metadata"] {
            self.room.store.delete_tree(&ObjectName::new(folder).unwrap()).await.unwrap();
        }
        let endpoint = self.session.endpoint("object-store", None, None).await.unwrap();
        let token = self.session.token().await.unwrap();
        let url = format!("{endpoint}/{}", self.container);
        let request = self.session.http().delete(url).header("X-Auth-Token", token.expose());
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "removing the container: {}", answer.status());
    }
}

fn folder(level: i64) -> String {
    format!("tar/host1_daily job/{T0}/{level}_{}", T0 + level)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_chain_and_its_damage() {
    let cloud = Cloud::new("chain").await;
    let room = &cloud.room;
    plant(&room.source());
    let mut trees = Vec::new();
    for level in 0..2 {
        if level > 0 {
            change(&room.source(), 1);
        }
        let request = BackupRequest {
            encryption: encryption("secret words"),
            max_segment_size_bytes: 1_000_000,
            ..room.incremental(T0 + level)
        };
        let report = room.backup(request).await.unwrap();
        assert_eq!(i64::from(report.level), level, "{}", report.level_reason);
        trees.push(tree(&room.source()));
    }
    let objects = cloud.objects().await;
    assert!(objects.contains(&format!("data/{}/segments/00000003", folder(0))), "{objects:?}");
    assert!(!objects.iter().any(|name| name.contains("/locks/")), "{objects:?}");
    let restore =
        |target: &str| RestoreRequest { pass_phrase: Some(pass("secret words")), ..room.to(target) };
    room.expect(restore("newest"), &trees[1]).await;
    room.expect(RestoreRequest { not_after_secs: Some(T0), ..restore("older") }, &trees[0]).await;

    // Plain tools read what Swift puts together.
    std::fs::write(room.path("pass"), "secret words\n").unwrap();
    let decrypt = format!("openssl enc -d -aes-256-cfb -pass file:{}", room.path("pass").display());
    for level in 0..2 {
        std::fs::write(room.path("data"), cloud.read(&format!("data/{}/data", folder(level))).await).unwrap();
        extract_with_tools(&room.path("data"), &room.path("tools"), Some(&decrypt), "gzip");
    }
    assert_eq!(tree(&room.path("tools")).keys().collect::<Vec<_>>(), trees[1].keys().collect::<Vec<_>>());

    // One byte of one segment, then the segment as a whole.
    let name = ObjectName::new(format!("data/{}/segments/00000001", folder(0))).unwrap();
    let mut body = cloud.read(name.as_str()).await;
    body[777] ^= 1;
    room.store.put(&name, Bytes::from(body)).await.unwrap();
    let error = room.restore(restore("flipped")).await.unwrap_err();
    assert!(matches!(error, VaultError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains(name.as_str()), "{error}");
    room.store.delete(&name).await.unwrap();
    let error = room.restore(restore("missing")).await.unwrap_err().to_string();
    assert!(error.contains("segments/00000001 is missing"), "{error}");
    assert!(!room.path("missing").exists());
    cloud.remove().await;
}

/// What the next level takes when nothing changed, on a machine that has made the others in this folder of its own, if in any.
async fn counted(room: &Room, level: u32, memory: Option<PathBuf>) -> Counts {
    let counts = Counts::default();
    let store: Arc<dyn Store> = Arc::new(Counted::new(room.store.clone(), counts.clone()));
    let request = BackupRequest { memory, ..room.incremental(T0 + i64::from(level)) };
    let report = backup(store, request, Arc::new(Monitor::new())).await.unwrap();
    assert_eq!(report.level, level, "{}", report.level_reason);
    counts
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_increment_takes_six_requests() {
    let cloud = Cloud::new("requests").await;
    let room = &cloud.room;
    plant_before_now(&room.source());
    let memory = Some(room.path("memory"));
    counted(room, 0, memory.clone()).await;
    let once = [Method::PutAll, Method::ListTree, Method::Delete].map(|method| (method, 1));
    let mut expected: BTreeMap<Method, u64> = once.into_iter().chain([(Method::Put, 2)]).collect();
    for level in 1..4 {
        // Five calls. Swift shows the end of a listing by an empty page, which is one request more.
        assert_eq!(counted(room, level, memory.clone()).await.all(), expected, "level {level}");
    }
    // A machine that remembers nothing fetches what it builds on.
    expected.insert(Method::Get, 1);
    assert_eq!(counted(room, 4, None).await.all(), expected);
    let objects = cloud.objects().await;
    let below = |part: &str| objects.contains(&format!("data/{}/{part}", folder(1)));
    assert!(below("data") && below("engine_metadata") && !below("segments/00000000"), "{objects:?}");
    // What Freezer in Python and people read.
    assert!(!cloud.read(&format!("data/{}/data", folder(1))).await.is_empty());
    room.expect(room.to("target"), &tree(&room.source())).await;
    cloud.remove().await;
}

/// S3 takes one object at a time. What lies there is what Freezer in Python reads (three objects), what makes it ours (the manifest), and
/// the lock, which goes with the next that is removed; what is built on is known here, or looked at.
#[tokio::test(flavor = "multi_thread")]
async fn by_s3_it_takes_six_on_every_level() {
    let (cloud, keys) = Cloud::by_s3().await;
    let room = &cloud.room;
    plant_before_now(&room.source());
    let memory = Some(room.path("memory"));
    counted(room, 0, memory.clone()).await;
    let mut expected = BTreeMap::from([(Method::Put, 2), (Method::PutAll, 1), (Method::ListTree, 1)]);
    for level in 1..4 {
        let counts = counted(room, level, memory.clone()).await;
        assert_eq!(counts.all(), expected, "level {level}");
        assert_eq!(counts.one_by_one(), 6);
    }
    // A machine that remembers nothing fetches what it builds on.
    expected.insert(Method::Get, 1);
    let counts = counted(room, 4, None).await;
    assert_eq!((counts.all(), counts.one_by_one()), (expected, 7));
    let locks = |names: Vec<String>| names.iter().filter(|name| name.contains("/locks/")).count();
    assert_eq!(locks(cloud.objects().await), 4);
    // One that saves something takes them away with its own, in one request.
    change(&room.source(), 1);
    let counts = counted(room, 5, None).await;
    assert_eq!((counts.calls(Method::Delete), counts.calls(Method::DeleteAll)), (0, 1));
    assert_eq!(locks(cloud.objects().await), 0);
    room.expect(room.to("target"), &tree(&room.source())).await;
    let token = cloud.session.token().await.unwrap();
    let request = cloud.session.http().delete(keys).header("X-Auth-Token", token.expose());
    // While the keys are good for it.
    cloud.remove().await;
    let gone = request.send().await.unwrap();
    assert!(gone.status().is_success(), "keys for S3 stay: {}", gone.status());
}

/// Parts of a payload lie anywhere in its segments, and begin in the middle of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_single_file_comes_out_of_the_segments_it_is_in() {
    let cloud = Cloud::new("parts").await;
    let room = &cloud.room;
    for number in 0..8u64 {
        std::fs::write(room.source().join(format!("file {number}")), noise(number, 1_500_000)).unwrap();
    }
    let request = BackupRequest {
        encryption: encryption("secret words"),
        max_segment_size_bytes: 400_000,
        ..room.request(T0)
    };
    room.backup(request).await.unwrap();
    let counts = Counts::default();
    let store: Arc<dyn Store> = Arc::new(Counted::new(room.store.clone(), counts.clone()));
    let extract = Extract { only: Selection::of(&["file 5"]).unwrap(), ..Extract::default() };
    let request = RestoreRequest { extract, pass_phrase: Some(pass("secret words")), ..room.to("target") };
    let report = restore(store, request, Arc::new(Monitor::new())).await.unwrap();
    assert!(!report.is_partial && report.warnings.is_empty(), "{:?}", report.warnings);
    assert!(tree(&room.path("target"))["file 5"].content == noise(5, 1_500_000));
    assert!(counts.received_bytes() < 5_500_000, "{} of 12 MB", counts.received_bytes());
    cloud.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_leaves_no_segment() {
    let cloud = Cloud::new("cancel").await;
    let room = &cloud.room;
    for number in 0..20 {
        std::fs::write(room.source().join(format!("file {number}")), noise(number + 1, 1_000_000)).unwrap();
    }
    let monitor = Arc::new(Monitor::new());
    let compression = CompressionOptions::of(Compression::Zstd);
    let request = BackupRequest { max_segment_size_bytes: 500_000, compression, ..room.request(T0) };
    let task = tokio::spawn(backup(room.store.clone(), request, monitor.clone()));
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(120);
    while monitor.progress().bytes_stored < 2_000_000 {
        assert!(std::time::Instant::now() < deadline, "nothing is stored");
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    monitor.cancel();
    let error = task.await.unwrap().unwrap_err();
    assert!(matches!(error, VaultError::Cancelled), "{error}");
    assert_eq!(cloud.objects().await, Vec::<String>::new());
    cloud.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_removes_segments_too() {
    let cloud = Cloud::new("prune").await;
    let room = &cloud.room;
    plant(&room.source());
    for level in 0..3 {
        let request = BackupRequest { max_segment_size_bytes: 500_000, ..room.request(T0 + level) };
        room.backup(request).await.unwrap();
    }
    let retention = Retention { keep_last: Some(1), ..Retention::default() };
    let request = PruneRequest::new(hbn(), retention, T0 + 10);
    let agreed = plan(&room.store, &request).await.unwrap();
    let report = apply(&room.store, &request, &agreed, &Monitor::new()).await.unwrap();
    assert_eq!(report.chains, 2);
    let kept = format!("/{}/", T0 + 2);
    assert!(cloud.objects().await.iter().all(|name| name.contains(&kept)), "{:?}", cloud.objects().await);
    assert_eq!(catalogue::list(&room.store, &hbn()).await.unwrap().chains.len(), 1);
    room.expect(room.to("target"), &tree(&room.source())).await;
    cloud.remove().await;
}
