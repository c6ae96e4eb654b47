//! The services of the test machine, stores made for one test, and a proxy that misbehaves.

#![allow(dead_code)]

pub mod far;
pub mod faulted;
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
        Self::mount_on(tempfile::tempdir().unwrap())
    }
    pub fn mount_on(folder: tempfile::TempDir) -> Self {
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

/// Keys for S3 that Keystone made for a user of the test cloud.
pub struct Ec2Keys {
    pub access: String,
    pub secret: String,
    session: Session,
    address: String,
}

pub async fn ec2_keys(user: &str, project: &str) -> Ec2Keys {
    let session = Session::new(options(user, project)).unwrap();
    let login = session.login().await.unwrap();
    let (user, project) = (&login.document.user.id, &login.document.project.as_ref().unwrap().id);
    let keystone = variable("FREEZER_TEST_KEYSTONE", "http://127.0.0.1:5000/v3");
    let address = format!("{keystone}/users/{user}/credentials/OS-EC2");
    let token = session.token().await.unwrap();
    let body = serde_json::json!({"tenant_id": project});
    let answer = session
        .http()
        .post(&address)
        .header("X-Auth-Token", token.expose())
        .json(&body)
        .send()
        .await
        .unwrap();
    assert!(answer.status().is_success(), "keys for S3: {}", answer.status());
    let made: serde_json::Value = answer.json().await.unwrap();
    let text = |key: &str| made["credential"][key].as_str().unwrap().to_owned();
    Ec2Keys { access: text("access"), secret: text("secret"), session, address }
}

impl Ec2Keys {
    pub async fn remove(&self) {
        let token = self.session.token().await.unwrap();
        let one = format!("{}/{}", self.address, self.access);
        let gone =
            self.session.http().delete(one).header("X-Auth-Token", token.expose()).send().await.unwrap();
        assert!(gone.status().is_success(), "keys for S3 stay: {}", gone.status());
    }
}

/// A bucket of its own in the demo project. Swift has it as a container, and another for the parts.
pub struct S3Fixture {
    pub config: S3Config,
    pub store: Arc<dyn Store>,
    bucket: String,
    keys: Ec2Keys,
}

impl S3Fixture {
    pub async fn new(_test: &str, prefix: &str, change: impl FnOnce(&mut S3Config)) -> Self {
        let keys = ec2_keys("demo", "demo").await;
        // Names of buckets are those of hosts, and as short.
        let bucket = format!("freezer-test-{}", uuid::Uuid::new_v4().simple());
        let base = keys.session.endpoint("object-store", None, None).await.unwrap();
        let endpoint = base.split("/v1").next().unwrap();
        let mut config = S3Config::new(
            endpoint,
            keys.access.clone(),
            Secret::new(keys.secret.clone()),
            format!("{bucket}{prefix}"),
        );
        change(&mut config);
        let store = open(StoreConfig::S3(config.clone())).unwrap();
        store.prepare().await.unwrap();
        Self { config, store, bucket, keys }
    }

    /// The server's list of uploads that are under way.
    pub async fn raw_uploads(&self) -> String {
        let bucket = rusty_s3::Bucket::new(
            self.config.endpoint.parse().unwrap(),
            rusty_s3::UrlStyle::Path,
            self.bucket.clone(),
            self.config.region.clone(),
        )
        .unwrap();
        let keys = rusty_s3::Credentials::new(self.keys.access.clone(), self.keys.secret.clone());
        let mut action = bucket.list_objects_v2(Some(&keys));
        let query = rusty_s3::S3Action::query_mut(&mut action);
        query.remove("list-type");
        query.remove("encoding-type");
        query.insert("uploads", "");
        let url = rusty_s3::S3Action::sign(&action, Duration::from_secs(60));
        let answer = self.keys.session.http().get(url).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.status());
        answer.text().await.unwrap()
    }
}

#[async_trait]
impl SuiteStore for S3Fixture {
    fn store(&self) -> Arc<dyn Store> {
        self.store.clone()
    }
    async fn clean(self) {
        for container in [self.bucket.clone(), format!("{}+segments", self.bucket)] {
            SwiftFixture { container, session: self.keys.session.clone(), store: self.store.clone() }
                .remove()
                .await;
        }
        self.keys.remove().await;
    }
}

/// A folder of its own on the machine's FTP server. The server shows the account a folder of this machine as `/`.
pub struct FtpFixture {
    pub config: FtpConfig,
    pub store: Arc<dyn Store>,
    /// The store's root, as this machine has it.
    pub folder: PathBuf,
}

pub fn ftp_home() -> PathBuf {
    variable("FREEZER_TEST_FTP_HOME", "/var/lib/minicloud/data/ftp").into()
}

/// A file of the server's: `ca.pem`, `client.pem`, `client.key`.
pub fn ftp_file(name: &str) -> PathBuf {
    PathBuf::from(variable("FREEZER_TEST_FTP_DIR", "/var/lib/minicloud/ftp")).join(name)
}

pub fn ftp_tls() -> FtpTls {
    FtpTls { cafile: Some(ftp_file("ca.pem")), ..FtpTls::default() }
}

/// `which`: the variable that has the server's address, and what it is by default.
pub fn ftp_config(which: (&str, &str), tls: Option<FtpTls>, dir: &str) -> FtpConfig {
    let address = variable(which.0, which.1);
    if std::net::TcpStream::connect(&address).is_err() {
        panic!("no FTP server at {address}; start the services: make services");
    }
    let (host, port) = address.rsplit_once(':').expect("host:port");
    let password = Secret::new(variable("FREEZER_TEST_PASSWORD", "minicloud"));
    let mut config = FtpConfig::new(host, "freezer", password, dir);
    config.port = port.parse().unwrap();
    config.tls = tls;
    config
}

pub const FTP: (&str, &str) = ("FREEZER_TEST_FTP", "127.0.0.1:2121");
/// Without MLSD, and with TLS 1.2 only.
pub const FTP_OLD: (&str, &str) = ("FREEZER_TEST_FTP_OLD", "127.0.0.1:2122");
/// Wants a certificate of the client, and lets no file take the place of another.
pub const FTP_CLIENT: (&str, &str) = ("FREEZER_TEST_FTP_CLIENT", "127.0.0.1:2123");
/// Does not demand that data connections go on with a TLS session.
pub const FTP_LAX: (&str, &str) = ("FREEZER_TEST_FTP_LAX", "127.0.0.1:2124");

impl FtpFixture {
    pub fn new(test: &str, which: (&str, &str), tls: Option<FtpTls>) -> Self {
        let dir = unique(test);
        let config = ftp_config(which, tls, &format!("/{dir}/root"));
        let store = open(StoreConfig::Ftp(config.clone())).unwrap();
        Self { config, store, folder: ftp_home().join(dir).join("root") }
    }
}

impl Drop for FtpFixture {
    fn drop(&mut self) {
        if let Some(above) = self.folder.parent() {
            let _ = std::fs::remove_dir_all(above);
        }
    }
}

#[async_trait]
impl SuiteStore for FtpFixture {
    fn store(&self) -> Arc<dyn Store> {
        self.store.clone()
    }
    async fn clean(self) {}
}
