//! From an action's options to an open store.

use crate::logins::Logins;
use crate::openstack::ceph::CephAccess;
use crate::openstack::secret;
use crate::openstack::trail::Trail;
use crate::options::ftp::{FtpOptions, FtpPassword};
use crate::options::mirror::Place;
use crate::options::typed::{ActionOptions, S3Options, StorageOptions};
use freezer_model::RateLimits;
use freezer_storage::{
    FtpConfig, FtpTls, Limiter, Limits, Retry, RetryPolicy, S3Config, Secret, SessionAccess, SshAuth,
    SshConfig, Store, StoreConfig, StoreError, SwiftConfig, open_with,
};
use freezer_vault::present_secs;
use keystone::{Auth, Session};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// What a step may move in a second by its action; changed while it runs.
#[derive(Clone)]
pub struct OwnRates {
    upload: Limiter,
    download: Limiter,
}

impl OwnRates {
    pub fn of(options: &ActionOptions) -> Self {
        Self { upload: Limiter::new(options.upload_limit), download: Limiter::new(options.download_limit) }
    }

    /// At once, also for what is under way.
    pub fn set(&self, limits: &RateLimits) {
        let rates = [(&self.upload, limits.upload_limit), (&self.download, limits.download_limit)];
        for (limiter, rate) in rates {
            let Some(rate) = rate.map(|rate| u64::try_from(rate).ok()) else { continue };
            if limiter.rate() != rate {
                tracing::info!(
                    "the limit is {} bytes a second now",
                    rate.map_or("no".into(), |rate| rate.to_string())
                );
                limiter.set_rate(rate);
            }
        }
    }
}

/// What an action finds around it and does not choose itself.
#[derive(Clone, Default)]
pub struct Surroundings {
    /// `OS_…` variables: the agent's own credentials. Only looked at by storages and modes that need them.
    pub auth: BTreeMap<String, String>,
    /// The action's own limits, where they may change while it runs; else those of its options hold.
    pub own_rates: Option<OwnRates>,
    /// Limits of the host, in bytes a second; they hold beside the action's own.
    pub upload_limit: Option<u64>,
    pub download_limit: Option<u64>,
    /// Resources that one action may move at the same time on this host.
    pub parallel_limit: Option<usize>,
    /// Epoch seconds, when the action began.
    pub now_secs: i64,
    /// When that was read.
    pub began: Option<Instant>,
    /// The project a central agent works for at the moment: its token must be for this one and no other.
    pub acts_for: Option<String>,
    /// The run that this action is part of; temporary resources bear it.
    pub run_id: String,
    /// How this host reaches a Ceph cluster, if it does.
    pub ceph: Option<CephAccess>,
    /// Whoever started this process ends its whole process group when it is done, whatever happens to it.
    pub is_step: bool,
    /// Folder where this host's agent remembers what it must undo.
    pub state_dir: PathBuf,
    /// What the step has logged in to.
    pub logins: Arc<Logins>,
    /// What the step makes in the cloud for a while.
    pub trail: Arc<Trail>,
}

impl Surroundings {
    /// Epoch seconds, now.
    pub fn present_secs(&self) -> i64 {
        present_secs(self.now_secs, self.began)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("no login with Keystone, which storage swift and resources of the cloud need: {0}")]
    Login(String),
    #[error("{}: {cause}; give a readable file whose first line is the secret", path.display())]
    SecretFile { path: PathBuf, cause: String },
    #[error("{0}")]
    Secret(String),
    #[error("keys of storage s3: {}: {cause}; name the file by s3_credentials_file", path.display())]
    S3File { path: PathBuf, cause: String },
    #[error("storage local: '{0}' is no absolute path; give container as an absolute directory")]
    NotAbsolute(String),
}

/// Opens the store the options name. A cloud login is made only for a storage that needs one.
pub async fn open_store(
    options: &ActionOptions,
    around: &Surroundings,
) -> Result<Arc<dyn Store>, StorageError> {
    open_limited(options, around, limits(options, around)).await
}

/// Opens each storage the options name. All together keep the limits: a byte counts as often as it is sent.
pub async fn open_stores(
    options: &ActionOptions,
    around: &Surroundings,
) -> Vec<(Place, Result<Arc<dyn Store>, StorageError>)> {
    let limits = limits(options, around);
    let mut stores = Vec::new();
    for place in options.places() {
        let store = open_limited(&options.at(&place), around, limits.clone()).await;
        stores.push((place, store));
    }
    stores
}

async fn open_limited(
    options: &ActionOptions,
    around: &Surroundings,
    limits: Limits,
) -> Result<Arc<dyn Store>, StorageError> {
    let password = match (&options.storage, &options.storage_secret) {
        (StorageOptions::Local | StorageOptions::Swift, _) | (_, None) => None,
        (_, Some(id)) => Some(secret::of_storage(options, id, around).await?),
    };
    let config = match &options.storage {
        StorageOptions::Local => StoreConfig::Local { path: local_root(&options.container)? },
        StorageOptions::Swift => StoreConfig::Swift(swift(options, around).await?),
        StorageOptions::Ssh { host, port, username, key, known_hosts } => {
            let auth = match password {
                Some(password) => SshAuth::Password(password),
                None => ssh_auth(options, key)?,
            };
            let mut config = SshConfig::new(
                host.as_str(),
                username.as_str(),
                auth,
                known_hosts,
                options.container.as_str(),
            );
            config.port = *port;
            config.insecure = options.insecure;
            StoreConfig::Ssh(config)
        }
        StorageOptions::S3(s3) => StoreConfig::S3(s3_config(options, s3, around, password)?),
        StorageOptions::Ftp(ftp) => StoreConfig::Ftp(ftp_config(options, ftp, around, password)?),
    };
    let retry = Retry::new(RetryPolicy::default(), freezer_storage::config::system_clock());
    Ok(open_with(config, limits, retry)?)
}

fn ftp_config(
    options: &ActionOptions,
    ftp: &FtpOptions,
    around: &Surroundings,
    fetched: Option<Secret>,
) -> Result<FtpConfig, StorageError> {
    let password = match (fetched, &ftp.password) {
        (Some(password), _) => password,
        (None, FtpPassword::File(file)) => secret_in(file)?,
        (None, FtpPassword::Text(password)) => Secret::new(password.0.as_str()),
        (None, FtpPassword::Barbican) => {
            return Err(StorageError::Secret("the password of the storage was not asked of Barbican".into()));
        }
    };
    let mut config =
        FtpConfig::new(ftp.host.as_str(), ftp.username.as_str(), password, options.container.as_str());
    config.port = ftp.port;
    config.tls = ftp.has_tls.then(|| FtpTls {
        cafile: authorities(around),
        insecure: options.insecure,
        client: ftp.client.clone(),
    });
    Ok(config)
}

/// The CAs that the agent's configuration names instead of the system's.
fn authorities(around: &Surroundings) -> Option<PathBuf> {
    around.auth.get("OS_CACERT").filter(|file| !file.is_empty()).map(PathBuf::from)
}

fn s3_config(
    options: &ActionOptions,
    s3: &S3Options,
    around: &Surroundings,
    fetched: Option<Secret>,
) -> Result<S3Config, StorageError> {
    let keys = match &s3.keys {
        Some((access, secret)) => {
            let secret = fetched.unwrap_or_else(|| Secret::new(secret.0.as_str()));
            S3Keys { access: access.clone(), secret, token: None }
        }
        None => S3Keys::in_file(&s3.credentials_file)?,
    };
    let mut config =
        S3Config::new(s3.endpoint.as_str(), keys.access, keys.secret, options.container.as_str());
    config.session_token = keys.token;
    config.region = s3.region.clone();
    config.has_bucket_in_host = s3.has_bucket_in_host;
    config.cafile = authorities(around);
    config.insecure = options.insecure;
    config.part_bytes = usize::try_from(options.max_segment_size_bytes).unwrap_or(usize::MAX);
    Ok(config)
}

/// What a request to S3 is signed with.
struct S3Keys {
    access: String,
    secret: Secret,
    token: Option<Secret>,
}

impl S3Keys {
    /// The keys under `[default]` in a file as the AWS tools have it, or those before any heading.
    fn in_file(file: &Path) -> Result<Self, StorageError> {
        let fail = |cause: String| StorageError::S3File { path: file.to_path_buf(), cause };
        let text = std::fs::read_to_string(file)
            .map(zeroize::Zeroizing::new)
            .map_err(|error| fail(error.to_string()))?;
        let mut is_ours = true;
        let mut found: BTreeMap<&str, &str> = BTreeMap::new();
        for line in text.lines().map(str::trim) {
            if let Some(section) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                is_ours = section.trim() == "default";
            } else if let Some((key, value)) = line.split_once('=').filter(|_| is_ours) {
                found.insert(key.trim(), value.trim());
            }
        }
        let get = |key: &str| found.get(key).copied().filter(|value| !value.is_empty());
        let need = |key: &str| get(key).ok_or_else(|| fail(format!("it has no {key} under [default]")));
        Ok(Self {
            access: need("aws_access_key_id")?.to_owned(),
            secret: Secret::new(need("aws_secret_access_key")?),
            token: get("aws_session_token").map(Secret::new),
        })
    }
}

fn ssh_auth(options: &ActionOptions, key: &Path) -> Result<SshAuth, StorageError> {
    if let Some(file) = &options.ssh_password_file {
        return Ok(SshAuth::Password(secret_in(file)?));
    }
    if let Some(password) = &options.ssh_password {
        return Ok(SshAuth::Password(Secret::new(password.0.as_str())));
    }
    let passphrase = options.ssh_key_passphrase_file.as_deref().map(secret_in).transpose()?;
    Ok(SshAuth::Key { path: key.to_path_buf(), passphrase })
}

/// The first line of a file.
fn secret_in(file: &Path) -> Result<Secret, StorageError> {
    let fail = |cause: String| StorageError::SecretFile { path: file.to_path_buf(), cause };
    let text = std::fs::read_to_string(file)
        .map(zeroize::Zeroizing::new)
        .map_err(|error| fail(error.to_string()))?;
    let line = text.lines().next().unwrap_or_default();
    if line.is_empty() {
        return Err(fail("its first line is empty".to_owned()));
    }
    Ok(Secret::new(line))
}

fn limits(options: &ActionOptions, around: &Surroundings) -> Limits {
    let OwnRates { upload, download } = match &around.own_rates {
        Some(rates) => rates.clone(),
        None => OwnRates::of(options),
    };
    let is_changeable = around.own_rates.is_some();
    let counts = |limiter: &Limiter| is_changeable || limiter.rate().is_some();
    let host = |rate: Option<u64>| rate.map(|rate| Limiter::new(Some(rate)));
    let uploads = Some(upload).filter(counts).into_iter().chain(host(around.upload_limit));
    let downloads = Some(download).filter(counts).into_iter().chain(host(around.download_limit));
    let limits = uploads.fold(Limits::none(), Limits::upload);
    downloads.fold(limits, Limits::download)
}

fn local_root(container: &str) -> Result<PathBuf, StorageError> {
    let path = Path::new(container);
    if !path.is_absolute() {
        return Err(StorageError::NotAbsolute(container.to_owned()));
    }
    Ok(path.to_path_buf())
}

/// A login with the agent's credentials in the project, or under the trust, of the action.
pub async fn cloud_session(options: &ActionOptions, around: &Surroundings) -> Result<Session, StorageError> {
    let mut auth = around.auth.clone();
    if let Some(trust) = &options.trust_id {
        auth.insert("OS_TRUST_ID".to_owned(), trust.clone());
    } else if let Some(project) = &options.project_id {
        auth.insert("OS_PROJECT_ID".to_owned(), project.clone());
        auth.remove("OS_PROJECT_NAME");
    }
    if options.insecure {
        auth.insert("OS_INSECURE".to_owned(), "true".to_owned());
    }
    if auth
        .get("OS_INSECURE")
        .is_some_and(|text| matches!(text.to_ascii_lowercase().as_str(), "1" | "true" | "yes" | "on"))
    {
        static TOLD: std::sync::Once = std::sync::Once::new();
        TOLD.call_once(|| {
            tracing::warn!(
                "insecure: the certificates of Keystone and of the cloud's services are not verified"
            );
        });
    }
    let session = around.logins.session(&auth).map_err(|error| StorageError::Login(error.to_string()))?;
    if let Some(project) = &around.acts_for {
        check_scope(&session, options.trust_id.as_deref(), project).await?;
    }
    if let (None, Some(project)) = (&options.trust_id, &options.project_id) {
        check_credential(&session, project).await?;
    }
    Ok(session)
}

async fn swift(options: &ActionOptions, around: &Surroundings) -> Result<SwiftConfig, StorageError> {
    let session = cloud_session(options, around).await?;
    let mut config = SwiftConfig::new(Arc::new(SessionAccess::new(session)), options.container.as_str());
    // Two segments may be on their way, one is being filled.
    config.buffer_bytes = config
        .buffer_bytes
        .max(usize::try_from(options.max_segment_size_bytes).unwrap_or(usize::MAX).saturating_mul(2));
    Ok(config)
}

/// An application credential is good for one project: Keystone gives a token for that, whichever is asked for.
async fn check_credential(session: &Session, project: &str) -> Result<(), StorageError> {
    if !matches!(session.options().auth, Auth::ApplicationCredential { .. }) {
        return Ok(());
    }
    let own = session.project_id().await.map_err(|error| StorageError::Login(error.to_string()))?;
    if own.as_deref() == Some(project) {
        return Ok(());
    }
    Err(StorageError::Login(format!(
        "an application credential is for one project, and that of this agent is not for project {project}; use one of that project, or a \
         login by user name and password"
    )))
}

/// A token for another project would put one tenant's data into another's account.
async fn check_scope(session: &Session, trust: Option<&str>, project: &str) -> Result<(), StorageError> {
    let login = session.login().await.map_err(|error| {
        let text = match trust {
            // Whose id it is, is for nobody's log.
            Some(id) => error.to_string().replace(id, "***"),
            None => error.to_string(),
        };
        StorageError::Login(format!(
            "{text}; if the job's trust was ended in Keystone, set the job's client again"
        ))
    })?;
    let document = &login.document;
    let is_under_trust = trust.is_some() && document.trust.as_ref().map(|used| used.id.as_str()) == trust;
    if is_under_trust && document.project.as_ref().is_some_and(|owner| owner.id == project) {
        return Ok(());
    }
    Err(StorageError::Login(format!(
        "the token is not good for project {project} under the trust of the job"
    )))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::options::Values;
    use serde_json::{Value, json};

    fn options(said: Value) -> ActionOptions {
        let mut values = Values::default();
        values.fill(said.as_object().unwrap());
        values.fill(json!({"action": "info", "container": "/srv"}).as_object().unwrap());
        ActionOptions::from_values(&values, "own").unwrap()
    }

    #[test]
    fn each_direction_has_its_own_rate() {
        let options = options(json!({"storage": "local", "upload_limit": "1M", "download_limit": "2M"}));
        let rates = OwnRates::of(&options);
        let found = || (rates.upload.rate(), rates.download.rate());
        assert_eq!(found(), (Some(1 << 20), Some(2 << 20)));
        rates.set(&RateLimits { upload_limit: None, download_limit: Some(7) });
        assert_eq!(found(), (Some(1 << 20), Some(7)));
        rates.set(&RateLimits { upload_limit: Some(-1), download_limit: None });
        assert_eq!(found(), (None, Some(7)));
    }

    #[test]
    fn what_is_said_of_s3_is_what_is_opened() {
        let keys = json!({"storage": "s3", "endpoint": "https://store.example", "access_key": "a", "secret_key": "s"});
        let config_of = |more: Value| {
            let mut said = keys.as_object().unwrap().clone();
            said.extend(more.as_object().unwrap().clone());
            let options = options(Value::Object(said));
            let StorageOptions::S3(s3) = &options.storage else { panic!("{:?}", options.storage) };
            let config = s3_config(&options, s3, &Surroundings::default(), None).unwrap();
            (config.region, config.has_bucket_in_host, config.part_bytes, config.insecure)
        };
        assert_eq!(config_of(json!({})), ("us-east-1".to_owned(), false, 32 << 20, false));
        let said = json!({"s3_region": "eu", "s3_bucket_in_host": true, "max_segment_size": 65536, "insecure": true});
        assert_eq!(config_of(said), ("eu".to_owned(), true, 65536, true));
    }
}
