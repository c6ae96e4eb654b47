//! What a store is made from, and the one function that makes it.

use crate::clock::{Clock, SystemClock};
use crate::ftp::FtpStore;
use crate::local::LocalStore;
use crate::retry::{Retry, RetryPolicy, Retrying};
use crate::s3::S3Store;
use crate::ssh::SshStore;
use crate::store::{Store, StoreError};
use crate::swift::{SwiftAccess, SwiftStore};
use crate::throttle::{Limits, Throttled};
use keystone::Secret;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Which store, and where.
#[derive(Clone, Debug)]
pub enum StoreConfig {
    Local { path: PathBuf },
    Swift(SwiftConfig),
    Ssh(SshConfig),
    S3(S3Config),
    Ftp(FtpConfig),
}

/// A bucket of S3, or of a server that speaks its protocol.
#[derive(Clone)]
pub struct S3Config {
    /// Address of the service: `https://s3.eu-central-1.amazonaws.com`, `https://objects.example:8080`.
    pub endpoint: String,
    pub region: String,
    /// The bucket is part of the host's name, not of the path.
    pub has_bucket_in_host: bool,
    pub access_key: String,
    pub secret_key: Secret,
    /// Of keys that are lent for a while.
    pub session_token: Option<Secret>,
    /// Upstream's container option: `bucket`, or `bucket/prefix/of/names`.
    pub container: String,
    /// PEM file with the CAs to trust instead of the system's.
    pub cafile: Option<PathBuf>,
    /// Accept any certificate. Only for a network that is trusted by other means.
    pub insecure: bool,
    /// Bytes of a part of a large object; at least 5 MiB. Default 32 MiB.
    pub part_bytes: usize,
    /// Parts of one large object that are uploaded at the same time, beside the one that is filled; at least 1. Default 2.
    pub parts_in_flight: usize,
    /// No byte moved for so long: the request is given up and repeated. Default 120 s.
    pub stall_timeout: Duration,
    /// Names asked for per listing page. Default `None`: as many as the server gives.
    pub page_names: Option<usize>,
}

impl S3Config {
    pub fn new(
        endpoint: impl Into<String>,
        access_key: impl Into<String>,
        secret_key: Secret,
        container: impl Into<String>,
    ) -> Self {
        Self {
            endpoint: endpoint.into(),
            region: "us-east-1".to_owned(),
            has_bucket_in_host: false,
            access_key: access_key.into(),
            secret_key,
            session_token: None,
            container: container.into(),
            cafile: None,
            insecure: false,
            part_bytes: 32 << 20,
            parts_in_flight: 2,
            stall_timeout: Duration::from_secs(120),
            page_names: None,
        }
    }
}

impl fmt::Debug for S3Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Config")
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .field("container", &self.container)
            .finish_non_exhaustive()
    }
}

/// A container of an OpenStack object store.
#[derive(Clone)]
pub struct SwiftConfig {
    /// Tokens and the address of the account; [`crate::SessionAccess`] makes one from a Keystone session.
    pub access: Arc<dyn SwiftAccess>,
    /// Upstream's container option: `container`, or `container/prefix/of/names`.
    pub container: String,
    /// Segments of one large object that are uploaded at the same time; at least 1. Default 2.
    pub segments_in_flight: usize,
    /// Bytes of not yet acknowledged segments one large object may hold in memory. It must fit the
    /// largest segment; with less than two segments there is no overlap. Default 64 MiB.
    pub buffer_bytes: usize,
    /// No byte moved for so long: the request is given up and repeated. Default 120 s.
    pub stall_timeout: Duration,
    /// Names asked for per listing page. Default `None`: as many as the server gives.
    pub page_names: Option<usize>,
}

impl SwiftConfig {
    pub fn new(access: Arc<dyn SwiftAccess>, container: impl Into<String>) -> Self {
        Self {
            access,
            container: container.into(),
            segments_in_flight: 2,
            buffer_bytes: 64 << 20,
            stall_timeout: Duration::from_secs(120),
            page_names: None,
        }
    }
}

impl fmt::Debug for SwiftConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SwiftConfig")
            .field("container", &self.container)
            .field("segments_in_flight", &self.segments_in_flight)
            .field("buffer_bytes", &self.buffer_bytes)
            .finish_non_exhaustive()
    }
}

/// A folder on a host reached over SFTP.
#[derive(Clone, Debug)]
pub struct SshConfig {
    pub host: String,
    /// Usually 22.
    pub port: u16,
    pub user: String,
    pub auth: SshAuth,
    /// In OpenSSH's format. An unknown or changed host key is refused.
    pub known_hosts: PathBuf,
    /// Absolute, or relative to the user's home there.
    pub dir: String,
    /// Accept any host key. Only for a network that is trusted by other means.
    pub insecure: bool,
    /// For the connection to come up. A single answer may take ten times as long. Default 60 s.
    pub timeout: Duration,
}

impl SshConfig {
    pub fn new(
        host: impl Into<String>,
        user: impl Into<String>,
        auth: SshAuth,
        known_hosts: impl Into<PathBuf>,
        dir: impl Into<String>,
    ) -> Self {
        Self {
            host: host.into(),
            port: 22,
            user: user.into(),
            auth,
            known_hosts: known_hosts.into(),
            dir: dir.into(),
            insecure: false,
            timeout: Duration::from_secs(60),
        }
    }
}

/// How the user proves itself to an SSH server.
#[derive(Clone, Debug)]
pub enum SshAuth {
    /// A private key file, with its passphrase when it has one.
    Key {
        path: PathBuf,
        passphrase: Option<Secret>,
    },
    Password(Secret),
}

/// A folder on an FTP server.
#[derive(Clone, Debug)]
pub struct FtpConfig {
    pub host: String,
    /// Usually 21.
    pub port: u16,
    pub user: String,
    pub password: Secret,
    /// Absolute, or relative to the user's home there.
    pub dir: String,
    /// `None`: password and data cross the network in the clear.
    pub tls: Option<FtpTls>,
    /// Connections that short calls share, and that are kept; at least 1. Reads have their own beside them. Default 4.
    pub connections: usize,
    /// For a connection to come up. Default 60 s.
    pub timeout: Duration,
    /// No byte moved, or no answer came, for so long: the connection is given up. A listing may take ten times as long.
    /// Default 120 s.
    pub stall_timeout: Duration,
}

impl FtpConfig {
    pub fn new(
        host: impl Into<String>,
        user: impl Into<String>,
        password: Secret,
        dir: impl Into<String>,
    ) -> Self {
        Self {
            host: host.into(),
            port: 21,
            user: user.into(),
            password,
            dir: dir.into(),
            tls: None,
            connections: 4,
            timeout: Duration::from_secs(60),
            stall_timeout: Duration::from_secs(120),
        }
    }
}

/// TLS on control and data connections, asked for by `AUTH TLS`.
#[derive(Clone, Debug, Default)]
pub struct FtpTls {
    /// PEM file with the CAs to trust instead of the system's.
    pub cafile: Option<PathBuf>,
    /// Accept any certificate. Only for a network that is trusted by other means.
    pub insecure: bool,
    /// PEM files with the client's certificate and its key, for a server that asks for them.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// Opens a store without limits and with the default retries. Nothing is contacted yet: call
/// [`Store::prepare`] before the first write.
pub fn open(config: StoreConfig) -> Result<Arc<dyn Store>, StoreError> {
    let retry = Retry::new(RetryPolicy::default(), Arc::new(SystemClock::default()));
    open_with(config, Limits::none(), retry)
}

/// Opens a store whose bytes are charged to `limits`, with these retries. Bytes that are sent a second
/// time are charged a second time.
pub fn open_with(config: StoreConfig, limits: Limits, retry: Retry) -> Result<Arc<dyn Store>, StoreError> {
    match config {
        StoreConfig::Local { path } => {
            let store: Arc<dyn Store> = Arc::new(LocalStore::new(path));
            if limits.is_none() { Ok(store) } else { Ok(Arc::new(Throttled::new(store, limits))) }
        }
        StoreConfig::Swift(config) => {
            let store = SwiftStore::new(config, limits, retry.clone())?;
            Ok(Arc::new(Retrying::new(Arc::new(store), retry)))
        }
        StoreConfig::S3(config) => {
            let store = S3Store::new(config, limits, retry.clone())?;
            Ok(Arc::new(Retrying::new(Arc::new(store), retry)))
        }
        StoreConfig::Ftp(config) => {
            let store = FtpStore::new(config, limits, retry.clone())?;
            Ok(Arc::new(Retrying::new(Arc::new(store), retry)))
        }
        StoreConfig::Ssh(config) => {
            let store = SshStore::new(config, limits, retry.clone())?;
            Ok(Arc::new(Retrying::new(Arc::new(store), retry)))
        }
    }
}

/// The clock of the machine, for those who build a [`Retry`] or a limiter themselves.
pub fn system_clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock::default())
}
