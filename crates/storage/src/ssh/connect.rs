//! Coming up: TCP, host key, login, the SFTP subsystem, and what the server can do.

use super::known_hosts::KnownHosts;
use crate::config::{SshAuth, SshConfig};
use russh::client::{AuthResult, Handle, Handler, KeyboardInteractiveAuthResponse};
use russh::keys::{Algorithm, PrivateKeyWithHashAlg, PublicKeyOrCertificate, load_secret_key};
use russh::{Disconnect, Preferred};
use russh_sftp::client::RawSftpSession;
use russh_sftp::client::rawsession::Limits as SftpLimits;
use russh_sftp::extensions;
use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// A logged-in connection with its SFTP channel.
pub(super) struct Link {
    pub sftp: Arc<RawSftpSession>,
    handle: Handle<HostCheck>,
    /// Absolute path of the store's root on the host.
    pub root: String,
    pub posix_rename: bool,
    pub fsync: bool,
    pub statvfs: bool,
    /// The most bytes of one read or write request.
    pub packet_bytes: usize,
}

/// Why there is no connection.
pub(super) enum ConnectError {
    /// Waiting will not help.
    Refused(String),
    Unavailable(String),
}

/// Requests of this size keep many small acknowledgements away, and fit the rate limiters' quantum.
const PACKET_BYTES: usize = 64 << 10;
/// What every SFTP server takes.
const SAFE_PACKET_BYTES: usize = 32 << 10;
const POSIX_RENAME: &str = "posix-rename@openssh.com";

impl Link {
    pub async fn open(config: &SshConfig) -> Result<Self, ConnectError> {
        match tokio::time::timeout(config.timeout, Self::open_patiently(config)).await {
            Ok(result) => result,
            Err(_) => {
                let cause = format!("no connection within {} s", config.timeout.as_secs());
                Err(ConnectError::Unavailable(cause))
            }
        }
    }

    async fn open_patiently(config: &SshConfig) -> Result<Self, ConnectError> {
        let known = KnownHosts {
            host: config.host.clone(),
            port: config.port,
            file: config.known_hosts.clone(),
            insecure: config.insecure,
        };
        let ssh = Arc::new(ssh_config(&known));
        let address = (config.host.as_str(), config.port);
        let mut handle = russh::client::connect(ssh, address, HostCheck { known }).await?;
        log_in(&mut handle, config).await?;
        let channel = handle.channel_open_session().await?;
        channel.request_subsystem(true, "sftp").await?;
        let settings = russh_sftp::client::Config {
            // Requests queue behind megabytes of others on a slow line. A dead connection is noticed by its
            // keepalives, but a request that was being sent when it died may hear of that never.
            request_timeout_secs: config.timeout.as_secs().max(1).saturating_mul(2),
            ..russh_sftp::client::Config::default()
        };
        let mut sftp = RawSftpSession::new_with_config(channel.into_stream(), settings);
        let version = sftp.init().await.map_err(|error| {
            ConnectError::Refused(format!("the host offers no SFTP: {error}; check 'Subsystem sftp' there"))
        })?;
        let offers = |name: &str, version_of: &str| {
            version
                .extensions
                .get(name)
                .is_some_and(|versions| versions.split(',').any(|one| one == version_of))
        };
        let mut packet_bytes = SAFE_PACKET_BYTES;
        if offers(extensions::LIMITS, "1")
            && let Ok(limits) = sftp.limits().await
        {
            let limits = SftpLimits::from(limits);
            packet_bytes = [limits.read_len, limits.write_len]
                .into_iter()
                .map(|limit| limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(SAFE_PACKET_BYTES))
                .fold(PACKET_BYTES, usize::min);
            sftp.set_limits(limits);
        }
        let root = absolute(&sftp, &config.dir).await?;
        Ok(Self {
            sftp: Arc::new(sftp),
            handle,
            root,
            posix_rename: offers(POSIX_RENAME, "1"),
            fsync: offers(extensions::FSYNC, "1"),
            statvfs: offers(extensions::STATVFS, "2"),
            packet_bytes,
        })
    }

    pub fn is_closed(&self) -> bool {
        self.handle.is_closed()
    }

    /// `rename` that replaces what is there. Without the extension there is a moment without the object.
    pub async fn rename_over(&self, from: &str, to: &str) -> Result<(), russh_sftp::client::error::Error> {
        use russh_sftp::client::error::Error;
        use russh_sftp::protocol::{Packet, StatusCode};
        if !self.posix_rename {
            match self.sftp.remove(to).await {
                Ok(_) => {}
                Err(Error::Status(status)) if status.status_code == StatusCode::NoSuchFile => {}
                Err(error) => return Err(error),
            }
            return self.sftp.rename(from, to).await.map(|_| ());
        }
        let mut data = Vec::with_capacity(from.len() + to.len() + 8);
        for path in [from, to] {
            // An SFTP string: length in four bytes, then the text.
            data.extend_from_slice(&u32::try_from(path.len()).unwrap_or(u32::MAX).to_be_bytes());
            data.extend_from_slice(path.as_bytes());
        }
        match self.sftp.extended(POSIX_RENAME, data).await? {
            Packet::Status(status) if status.status_code == StatusCode::Ok => Ok(()),
            Packet::Status(status) => Err(Error::Status(status)),
            _ => Err(Error::UnexpectedPacket),
        }
    }

    /// Says goodbye; the host notices a lost connection by itself, too.
    pub async fn close(&self) {
        let _ = self.sftp.close_session();
        let _ = self.handle.disconnect(Disconnect::ByApplication, "", "en").await;
    }
}

fn ssh_config(known: &KnownHosts) -> russh::client::Config {
    let mut preferred = Preferred::DEFAULT;
    let on_file = known.algorithms();
    let is_on_file = |algorithm: &Algorithm| match algorithm {
        Algorithm::Rsa { .. } => on_file.iter().any(|known| matches!(known, Algorithm::Rsa { .. })),
        other => on_file.contains(other),
    };
    let (mut keys, others): (Vec<_>, Vec<_>) = preferred.key.iter().cloned().partition(is_on_file);
    keys.extend(others);
    preferred.key = Cow::Owned(keys);
    russh::client::Config {
        preferred,
        nodelay: true,
        // A host that vanished without a word is noticed after a minute.
        keepalive_interval: Some(Duration::from_secs(20)),
        keepalive_max: 3,
        ..russh::client::Config::default()
    }
}

/// An absolute path without a slash at its end.
async fn absolute(sftp: &RawSftpSession, dir: &str) -> Result<String, ConnectError> {
    if dir.starts_with('/') {
        return Ok(dir.trim_end_matches('/').to_string());
    }
    let answer = sftp.realpath(".").await.map_err(|error| ConnectError::Unavailable(error.to_string()))?;
    let home = answer.files.first().map(|file| file.filename.trim_end_matches('/').to_string());
    let home =
        home.ok_or_else(|| ConnectError::Unavailable("the host does not name the user's home".into()))?;
    let below = dir.strip_prefix("~/").unwrap_or(dir).trim_matches('/');
    match below {
        "" | "." | "~" => Ok(home),
        below => Ok(format!("{home}/{below}")),
    }
}

async fn log_in(handle: &mut Handle<HostCheck>, config: &SshConfig) -> Result<(), ConnectError> {
    let result = match &config.auth {
        SshAuth::Key { path, passphrase } => {
            let (file, phrase) = (path.clone(), passphrase.clone());
            let load = move || load_secret_key(&file, phrase.as_ref().map(|phrase| phrase.expose()));
            let key = tokio::task::spawn_blocking(load)
                .await
                .map_err(|error| ConnectError::Unavailable(format!("key task: {error}")))?
                .map_err(|error| ConnectError::Refused(bad_key(path, passphrase.is_some(), &error)))?;
            let hash = match key.algorithm().is_rsa() {
                true => handle.best_supported_rsa_hash().await?.flatten(),
                false => None,
            };
            let key = PrivateKeyWithHashAlg::new(Arc::new(key), hash);
            handle.authenticate_publickey(&config.user, key).await?
        }
        SshAuth::Password(password) => {
            match handle.authenticate_password(&config.user, password.expose()).await? {
                AuthResult::Success => AuthResult::Success,
                refused => answer_prompts(handle, config, password.expose(), refused).await?,
            }
        }
    };
    let AuthResult::Failure { remaining_methods, .. } = result else { return Ok(()) };
    let with = match &config.auth {
        SshAuth::Key { path, .. } => format!("the key {}", path.display()),
        SshAuth::Password(_) => "the password".to_string(),
    };
    let methods: Vec<String> =
        remaining_methods.iter().map(|method| String::from(<&str>::from(method))).collect();
    Err(ConnectError::Refused(format!(
        "the host does not accept {with} for user {} (it offers: {})",
        config.user,
        methods.join(", ")
    )))
}

/// Many hosts ask for the password as an interactive prompt instead.
async fn answer_prompts(
    handle: &mut Handle<HostCheck>,
    config: &SshConfig,
    password: &str,
    refused: AuthResult,
) -> Result<AuthResult, ConnectError> {
    let mut answer = handle.authenticate_keyboard_interactive_start(&config.user, None::<String>).await?;
    // A host that never stops asking is not answered for ever.
    for _ in 0..5 {
        match answer {
            KeyboardInteractiveAuthResponse::Success => return Ok(AuthResult::Success),
            KeyboardInteractiveAuthResponse::Failure { .. } => return Ok(refused),
            KeyboardInteractiveAuthResponse::InfoRequest { prompts, .. } => {
                // An echoed prompt asks for something else than a password.
                let replies =
                    prompts.iter().map(|p| if p.echo { String::new() } else { password.to_string() });
                answer = handle.authenticate_keyboard_interactive_respond(replies.collect()).await?;
            }
        }
    }
    Ok(refused)
}

fn bad_key(path: &Path, with_passphrase: bool, error: &russh::keys::Error) -> String {
    use russh::keys::Error;
    let path = path.display();
    match error {
        Error::KeyIsEncrypted => {
            format!("the key {path} has a passphrase: give it, or use a key without one")
        }
        Error::SshKey(_) if with_passphrase => {
            format!("the key {path} cannot be read with this passphrase ({error}): check the passphrase")
        }
        Error::IO(error) => format!("the key {path} cannot be read: {error}"),
        error => format!("the key {path} is no usable private key: {error}"),
    }
}

/// Judges the host's key while the connection comes up.
pub(super) struct HostCheck {
    known: KnownHosts,
}

/// What may go wrong inside russh, our own verdict included.
#[derive(Debug, thiserror::Error)]
pub(super) enum HandlerError {
    #[error(transparent)]
    Ssh(#[from] russh::Error),
    #[error("{0}")]
    Host(String),
}

impl Handler for HostCheck {
    type Error = HandlerError;

    async fn check_server_key(&mut self, key: &PublicKeyOrCertificate) -> Result<bool, HandlerError> {
        let PublicKeyOrCertificate::PublicKey { key, .. } = key else {
            return Err(HandlerError::Host("the host shows a certificate, which was not asked for".into()));
        };
        let (known, key) = (self.known.clone(), key.clone());
        let verdict = tokio::task::spawn_blocking(move || known.check(&key)).await;
        match verdict {
            Ok(Ok(())) => Ok(true),
            Ok(Err(why)) => Err(HandlerError::Host(why)),
            Err(error) => Err(HandlerError::Host(format!("the key check failed: {error}"))),
        }
    }
}

impl From<HandlerError> for ConnectError {
    fn from(error: HandlerError) -> Self {
        match error {
            HandlerError::Host(why) => Self::Refused(why),
            HandlerError::Ssh(error) => error.into(),
        }
    }
}

impl From<russh::Error> for ConnectError {
    fn from(error: russh::Error) -> Self {
        match error {
            russh::Error::NoCommonAlgo { .. } => Self::Refused(format!("no common algorithm: {error}")),
            error => Self::Unavailable(error.to_string()),
        }
    }
}
