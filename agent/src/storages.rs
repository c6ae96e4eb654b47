//! From an action's options to an open store.

use crate::logins::Logins;
use crate::openstack::ceph::CephAccess;
use crate::options::typed::{ActionOptions, StorageOptions};
use freezer_storage::{
    Limiter, Limits, Retry, RetryPolicy, Secret, SessionAccess, SshAuth, SshConfig, Store, StoreConfig,
    StoreError, SwiftConfig, open_with,
};
use keystone::Session;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What an action finds around it and does not choose itself.
#[derive(Clone, Default)]
pub struct Surroundings {
    /// `OS_…` variables: the agent's own credentials. Only looked at by storages and modes that need them.
    pub auth: BTreeMap<String, String>,
    /// Limits of the host, in bytes a second; they hold beside the action's own.
    pub upload_limit: Option<u64>,
    pub download_limit: Option<u64>,
    /// Resources that one action may move at the same time on this host.
    pub parallel_limit: Option<usize>,
    /// Epoch seconds.
    pub now_secs: i64,
    /// The project a central agent works for at the moment: its token must be for this one and no other.
    pub acts_for: Option<String>,
    /// The run that this action is part of; temporary resources bear it.
    pub run_id: String,
    /// How this host reaches a Ceph cluster, if it does.
    pub ceph: Option<CephAccess>,
    /// What the step has logged in to.
    pub logins: Arc<Logins>,
}

#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("no login with Keystone, which storage swift and resources of the cloud need: {0}")]
    Login(String),
    #[error("storage local: '{0}' is no absolute path; give container as an absolute directory")]
    NotAbsolute(String),
}

/// Opens the store the options name. A cloud login is made only for a storage that needs one.
pub async fn open_store(
    options: &ActionOptions,
    around: &Surroundings,
) -> Result<Arc<dyn Store>, StorageError> {
    let limits = limits(options, around);
    let config = match &options.storage {
        StorageOptions::Local => StoreConfig::Local { path: local_root(&options.container)? },
        StorageOptions::Swift => StoreConfig::Swift(swift(options, around).await?),
        StorageOptions::Ssh { host, port, username, key, known_hosts } => {
            let auth = match &options.ssh_password {
                Some(password) => SshAuth::Password(Secret::new(password.0.as_str())),
                None => SshAuth::Key { path: key.clone(), passphrase: None },
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
    };
    let retry = Retry::new(RetryPolicy::default(), freezer_storage::config::system_clock());
    Ok(open_with(config, limits, retry)?)
}

fn limits(options: &ActionOptions, around: &Surroundings) -> Limits {
    let mut limits = Limits::none();
    for rate in [options.upload_limit, around.upload_limit].into_iter().flatten() {
        limits = limits.upload(Limiter::new(Some(rate)));
    }
    for rate in [options.download_limit, around.download_limit].into_iter().flatten() {
        limits = limits.download(Limiter::new(Some(rate)));
    }
    limits
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
    let session = around.logins.session(&auth).map_err(|error| StorageError::Login(error.to_string()))?;
    if let Some(project) = &around.acts_for {
        check_scope(&session, options.trust_id.as_deref(), project).await?;
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
