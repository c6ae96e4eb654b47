//! Coming up: TCP, TLS, login, and what the server can do. And the simple commands.

use super::error::{Failure, within};
use super::sessions::Sessions;
use super::tls::client_config;
use crate::config::FtpConfig;
use futures_util::FutureExt;
use std::sync::Arc;
use std::time::Duration;
use suppaftp::tokio::{AsyncRustlsConnector, AsyncRustlsFtpStream, AsyncRustlsStream, TransferStream};
use suppaftp::tokio_rustls::TlsConnector;
use suppaftp::types::FileType;
use suppaftp::{FtpError, Mode};
use tokio::net::TcpStream;

pub(super) type Transfer = TransferStream<AsyncRustlsStream>;

/// A logged-in control connection.
pub(super) struct Conn {
    pub ftp: AsyncRustlsFtpStream,
    /// Path of the store's root on the server, without a slash at its end.
    root: String,
    /// It answers MLST and MLSD, which tell facts in a form that is laid down.
    pub has_facts: bool,
    /// It answers MFMT, which sets the time of a file.
    pub sets_times: bool,
    /// No answer for so long: the connection is given up.
    pub patience: Duration,
    /// Answers are out of step with commands, or none comes any more.
    pub is_broken: bool,
    /// Its TLS sessions are spent, and it is used on as the server did without one before.
    pub goes_without_session: bool,
    /// What data connections over TLS go on with.
    sessions: Arc<Sessions>,
}

/// Why there is no connection.
pub(super) enum ConnectError {
    /// Waiting will not help.
    Refused(String),
    Unavailable(String),
}

impl From<Failure> for ConnectError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Reply { code: 400..=499, text } => {
                Self::Unavailable(format!("the server says '{text}'"))
            }
            Failure::Reply { text, .. } => Self::Refused(format!("the server says '{text}'")),
            Failure::Lost(cause) | Failure::Damaged(cause) => Self::Unavailable(cause),
        }
    }
}

impl Conn {
    pub async fn open(config: &FtpConfig) -> Result<Self, ConnectError> {
        match tokio::time::timeout(config.timeout, Self::open_patiently(config)).await {
            Ok(result) => result,
            Err(_) => {
                let cause = format!("no connection within {} s", config.timeout.as_secs());
                Err(ConnectError::Unavailable(cause))
            }
        }
    }

    async fn open_patiently(config: &FtpConfig) -> Result<Self, ConnectError> {
        let lost = |error: std::io::Error| ConnectError::Unavailable(error.to_string());
        let socket = TcpStream::connect((config.host.as_str(), config.port)).await.map_err(lost)?;
        socket.set_nodelay(true).map_err(lost)?;
        let is_ipv6 = socket.peer_addr().map_err(lost)?.is_ipv6();
        let ftp = AsyncRustlsFtpStream::connect_with_stream(socket).await.map_err(Failure::from)?;
        let sessions = Arc::new(Sessions::new());
        let mut ftp = secure(ftp, config, &sessions).await?;
        log_in(&mut ftp, config).await?;
        let features = match ftp.feat().await {
            Ok(features) => features,
            Err(FtpError::ConnectionError(error)) => return Err(lost(error)),
            // A server without FEAT, or with one of its own, is asked for what every server has.
            Err(_) => suppaftp::types::Features::new(),
        };
        let has = |name: &str| features.keys().any(|key| key.eq_ignore_ascii_case(name));
        if has("UTF8") {
            // Most servers use UTF-8 whatever is asked for; some only then.
            let _ = ftp.opts("UTF8", Some("ON")).await;
        }
        ftp.transfer_type(FileType::Binary).await.map_err(Failure::from)?;
        // The server's idea of its own address is never followed, only its port: it may be wrong behind NAT, and could lead
        // to another host.
        ftp.set_passive_nat_workaround(true);
        let extended = is_ipv6 || has("EPSV");
        ftp.set_mode(if extended { Mode::ExtendedPassive } else { Mode::Passive });
        let root = absolute(&mut ftp, &config.dir).await?;
        Ok(Self {
            ftp,
            root,
            has_facts: has("MLST") || has("MLSD"),
            sets_times: has("MFMT"),
            patience: config.stall_timeout,
            is_broken: false,
            goes_without_session: false,
            sessions,
        })
    }

    /// The path of an object, or of the root.
    pub fn path(&self, name: &str) -> String {
        if name.is_empty() { self.root.clone() } else { format!("{}/{name}", self.root) }
    }

    /// A data connection finds a session to go on with, where the server has any.
    pub fn has_sessions_left(&self) -> bool {
        !self.sessions.are_spent()
    }

    /// The next data connection comes up without a session of before.
    pub fn forget_sessions(&self) {
        self.sessions.forget();
    }

    /// Nothing waits to be read: the server has neither hung up nor said goodbye.
    pub async fn is_quiet(&self) -> bool {
        let socket = self.ftp.get_ref().await;
        let mut first = [0u8; 1];
        socket.peek(&mut first).now_or_never().is_none()
    }

    pub async fn enter(&mut self, folder: &str) -> Result<(), Failure> {
        // The root of a server has no name of its own here.
        let folder = if folder.is_empty() { "/" } else { folder };
        within(self.patience, self.ftp.cwd(folder)).await
    }
    pub async fn remove(&mut self, path: &str) -> Result<(), Failure> {
        within(self.patience, self.ftp.rm(path)).await
    }
    pub async fn remove_folder(&mut self, path: &str) -> Result<(), Failure> {
        within(self.patience, self.ftp.rmdir(path)).await
    }
    pub async fn rename(&mut self, from: &str, to: &str) -> Result<(), Failure> {
        within(self.patience, self.ftp.rename(from, to)).await
    }
}

async fn secure(
    ftp: AsyncRustlsFtpStream,
    config: &FtpConfig,
    sessions: &Arc<Sessions>,
) -> Result<AsyncRustlsFtpStream, ConnectError> {
    let Some(tls) = &config.tls else { return Ok(ftp) };
    let client = {
        let (tls, sessions) = (tls.clone(), sessions.clone());
        tokio::task::spawn_blocking(move || client_config(&tls, sessions))
            .await
            .map_err(|error| ConnectError::Unavailable(format!("certificate task: {error}")))?
            .map_err(ConnectError::Refused)?
    };
    let connector = AsyncRustlsConnector::from(TlsConnector::from(Arc::new(client)));
    ftp.into_secure(connector, &config.host).await.map_err(|error| match error {
        FtpError::UnexpectedResponse(_) => match Failure::from(error) {
            Failure::Reply { text, .. } => ConnectError::Refused(format!(
                "the server offers no TLS ('{text}'); switch it on there, or use storage ftp in a network that is trusted"
            )),
            failure => failure.into(),
        },
        error => {
            let cause = error.to_string();
            // The server's word that it wants a certificate may come after the handshake.
            if cause.contains("certificate") || cause.contains("alert") {
                ConnectError::Refused(format!(
                    "TLS: {cause}; check the server's certificate and the CA file here, and whether the server wants \
                     one of the client (ftp_certfile, ftp_keyfile)"
                ))
            } else {
                ConnectError::Unavailable(cause)
            }
        }
    })
}

async fn log_in(ftp: &mut AsyncRustlsFtpStream, config: &FtpConfig) -> Result<(), ConnectError> {
    // Both are lines of their own on the wire.
    if super::has_control(&config.user) || super::has_control(config.password.expose()) {
        return Err(ConnectError::Refused("user or password holds a line end".to_owned()));
    }
    match ftp.login(config.user.as_str(), config.password.expose()).await.map_err(Failure::from) {
        Ok(()) => Ok(()),
        Err(Failure::Reply { code: 500..=599, text }) => Err(ConnectError::Refused(format!(
            "the server does not accept user {} with this password ('{text}')",
            config.user
        ))),
        Err(failure) => Err(failure.into()),
    }
}

/// An absolute path without a slash at its end.
async fn absolute(ftp: &mut AsyncRustlsFtpStream, dir: &str) -> Result<String, ConnectError> {
    if dir.starts_with('/') {
        return Ok(dir.trim_end_matches('/').to_string());
    }
    let home = ftp.pwd().await.map_err(Failure::from)?;
    // A quote inside a path is doubled in this answer.
    let home = home.replace("\"\"", "\"");
    let home = home.trim_end_matches('/');
    match dir.strip_prefix("~/").unwrap_or(dir).trim_matches('/') {
        "" | "." | "~" => Ok(home.to_owned()),
        below => Ok(format!("{home}/{below}")),
    }
}
