//! The services of the test machine, stores made for one test, and a proxy that misbehaves.

#![allow(dead_code)]

pub mod proxy;

use async_trait::async_trait;
use freezer_storage::suite::SuiteStore;
use freezer_storage::*;
use keystone::{Auth, Domain, Named, Scope, Secret, Session, SessionOptions};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

pub fn variable(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_string())
}

pub fn options(user: &str, project: &str) -> SessionOptions {
    let domain = || Domain::Name("Default".into());
    let named = |name: &str| Named::Name { name: name.into(), domain: domain() };
    let auth = Auth::Password {
        user: named(user),
        password: Secret::new(variable("FREEZER_TEST_PASSWORD", "minicloud")),
        scope: Scope::Project(named(project)),
    };
    SessionOptions::new(variable("FREEZER_TEST_KEYSTONE", "http://127.0.0.1:5000/v3"), auth)
}

/// A session of the demo project; fails with what to do when there is no cloud.
pub async fn demo_session() -> Session {
    let session = Session::new(options("demo", "demo")).unwrap();
    if let Err(error) = session.token().await {
        panic!("no Keystone for the tests ({error}); start the services: make services");
    }
    session
}

/// The clock of tests with faults: notes the pauses, but makes them short.
#[derive(Default)]
pub struct QuickClock {
    slept: Mutex<Vec<Duration>>,
}

impl QuickClock {
    pub fn slept(&self) -> Vec<Duration> {
        self.slept.lock().unwrap().clone()
    }
}

#[async_trait]
impl Clock for QuickClock {
    fn now(&self) -> Duration {
        Duration::ZERO
    }
    async fn sleep(&self, time: Duration) {
        self.slept.lock().unwrap().push(time);
        tokio::time::sleep(time.min(Duration::from_millis(30))).await;
    }
}

/// Plenty of short tries, with the pauses on record.
pub fn quick_retry() -> (Retry, Arc<QuickClock>) {
    let clock = Arc::new(QuickClock::default());
    (Retry::new(RetryPolicy { tries: 8, ..RetryPolicy::default() }, clock.clone()), clock)
}

pub fn unique(test: &str) -> String {
    format!("freezer_test_{test}_{}", uuid::Uuid::new_v4().simple())
}

/// A container of its own in the demo project.
pub struct SwiftFixture {
    pub container: String,
    pub session: Session,
    pub store: Arc<dyn Store>,
}

impl SwiftFixture {
    pub async fn new(test: &str, prefix: &str, change: impl FnOnce(&mut SwiftConfig)) -> Self {
        let session = demo_session().await;
        let container = unique(test);
        let access = Arc::new(SessionAccess::new(session.clone()));
        let mut config = SwiftConfig::new(access, format!("{container}{prefix}"));
        change(&mut config);
        let store = open(StoreConfig::Swift(config)).unwrap();
        Self { container, session, store }
    }

    /// A request of our own to the account, beside the client under test.
    pub async fn raw(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> reqwest::Response {
        let base = self.session.endpoint("object-store", None, None).await.unwrap();
        let token = self.session.token().await.unwrap();
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.session.http().request(method, format!("{base}/{}{path}", self.container));
        request = request.header("X-Auth-Token", token.expose());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    }

    /// The container and all that is in it.
    pub async fn remove(&self) {
        let base = self.session.endpoint("object-store", None, None).await.unwrap();
        let names = self.raw("GET", "", &[]).await.text().await.unwrap();
        for name in names.lines() {
            let mut url = reqwest::Url::parse(&base).unwrap();
            url.path_segments_mut().unwrap().push(&self.container).extend(name.split('/'));
            let token = self.session.token().await.unwrap();
            let gone =
                self.session.http().delete(url).header("X-Auth-Token", token.expose()).send().await.unwrap();
            assert!(gone.status().is_success() || gone.status() == 404, "{name}: {}", gone.status());
        }
        let gone = self.raw("DELETE", "", &[]).await;
        assert!(gone.status().is_success() || gone.status() == 404, "{}: {}", self.container, gone.status());
    }
}

/// A failed test leaves nothing behind either.
impl Drop for SwiftFixture {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let (container, store) = (self.container.clone(), self.store.clone());
        // A runtime of its own, as the test's cannot be waited for here.
        let cleaner = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let session = demo_session().await;
                SwiftFixture { container, session, store }.remove().await;
            });
        });
        let _ = cleaner.join();
    }
}

#[async_trait]
impl SuiteStore for SwiftFixture {
    fn store(&self) -> Arc<dyn Store> {
        self.store.clone()
    }
    async fn clean(self) {
        self.remove().await;
    }
}

/// A folder of its own, reached over the machine's sshd.
pub struct SshFixture {
    pub folder: tempfile::TempDir,
    pub config: SshConfig,
    pub store: Arc<dyn Store>,
}

pub fn ssh_address() -> (String, u16) {
    let address = variable("FREEZER_TEST_SSH", "127.0.0.1:2222");
    let (host, port) = address.rsplit_once(':').expect("FREEZER_TEST_SSH is host:port");
    if std::net::TcpStream::connect(&address).is_err() {
        panic!("no sshd at {address}; start the services: make services");
    }
    (host.to_string(), port.parse().unwrap())
}

pub fn ssh_key() -> PathBuf {
    variable("FREEZER_TEST_SSH_KEY", "/var/lib/minicloud/ssh/id_ed25519").into()
}

pub fn ssh_known_hosts() -> PathBuf {
    variable("FREEZER_TEST_SSH_KNOWN_HOSTS", "/var/lib/minicloud/ssh/known_hosts").into()
}

pub fn ssh_config(folder: &std::path::Path) -> SshConfig {
    let (host, port) = ssh_address();
    let auth = SshAuth::Key { path: ssh_key(), passphrase: None };
    let user = variable("FREEZER_TEST_SSH_USER", "root");
    let mut config = SshConfig::new(host, user, auth, ssh_known_hosts(), folder.to_str().unwrap());
    config.port = port;
    config
}

impl SshFixture {
    pub fn new(test: &str) -> Self {
        let folder = tempfile::Builder::new().prefix(test).tempdir().unwrap();
        let config = ssh_config(&folder.path().join("root"));
        let store = open(StoreConfig::Ssh(config.clone())).unwrap();
        Self { folder, config, store }
    }
}

#[async_trait]
impl SuiteStore for SshFixture {
    fn store(&self) -> Arc<dyn Store> {
        self.store.clone()
    }
    async fn clean(self) {}
}

/// A file system of one MiB; needs root, as the tests with real parts do.
pub struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    pub fn mount() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(folder.path());
        let done = mount.status().expect("mount is installed");
        assert!(done.success(), "a tmpfs cannot be mounted; run the tests as root");
        Self(folder)
    }
    pub fn path(&self) -> &std::path::Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(self.0.path()).status();
    }
}
