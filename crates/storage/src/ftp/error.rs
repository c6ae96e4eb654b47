//! What the server's answers mean for a store.

use super::FtpStore;
use super::connect::Conn;
use crate::store::StoreError;
use std::future::Future;
use std::time::Duration;
use suppaftp::{FtpError, FtpResult};

/// Why a command did not do what it should.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server said no; the connection is good for the next command.
    Reply { code: u32, text: String },
    /// The connection is of no more use.
    Lost(String),
    /// The server has something else than what was sent.
    Damaged(String),
}

/// The longest text of a server that goes into a message.
const LONGEST_TEXT: usize = 200;

impl Failure {
    /// The command was understood and refused for good: for what the name stands for, or for the rights of the user.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Reply { code, .. } if (500..600).contains(code) && !matches!(*code, 530 | 532 | 534))
    }

    /// The server does not know the command, or does not allow it.
    pub fn is_unknown_command(&self) -> bool {
        matches!(self, Self::Reply { code: 500..=504, .. })
    }

    /// The server says in so many words that there is no such file or folder. Not every server does.
    pub fn says_missing(&self) -> bool {
        let Self::Reply { text, .. } = self else { return false };
        let text = text.to_ascii_lowercase();
        self.is_refusal()
            && ["no such file", "not found", "does not exist", "doesn't exist", "cannot find", "can't find"]
                .iter()
                .any(|words| text.contains(words))
    }

    /// Whether the connection can serve another command. One that got no data connection (425) would get none again, if the server
    /// refused it for its TLS session.
    pub fn leaves_connection(&self) -> bool {
        matches!(self, Self::Reply { code, .. } if !matches!(*code, 421 | 425))
            || matches!(self, Self::Damaged(_))
    }

    /// The server wants another protection of the data connection; some say so when they want a session to be gone on with.
    pub fn is_unprotected(&self) -> bool {
        matches!(self, Self::Reply { code: 522, .. })
    }
}

impl From<FtpError> for Failure {
    fn from(error: FtpError) -> Self {
        match error {
            FtpError::UnexpectedResponse(response) => {
                let text = String::from_utf8_lossy(&response.body);
                let last = text.trim_end().lines().next_back().unwrap_or_default().trim();
                Self::Reply { code: response.status.code(), text: last.chars().take(LONGEST_TEXT).collect() }
            }
            FtpError::ConnectionError(error) => Self::Lost(error.to_string()),
            error => Self::Lost(error.to_string()),
        }
    }
}

/// Gives up on an answer that does not come. The connection cannot be used after that.
pub(super) async fn within<T>(
    time: Duration,
    answer: impl Future<Output = FtpResult<T>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(time, answer).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(Failure::Lost(format!("no answer within {} s", time.as_secs_f32()))),
    }
}

impl FtpStore {
    pub(super) fn missing(&self, name: &str) -> StoreError {
        StoreError::NotFound { store: self.inner.label.clone(), name: name.to_string() }
    }
    pub(super) fn other(&self, name: &str, cause: impl Into<String>) -> StoreError {
        StoreError::Other { store: self.inner.label.clone(), name: name.to_string(), cause: cause.into() }
    }
    pub(super) fn refused(&self, cause: impl Into<String>) -> StoreError {
        StoreError::Refused { store: self.inner.label.clone(), cause: cause.into() }
    }
    pub(super) fn unavailable(&self, name: &str, cause: impl Into<String>) -> StoreError {
        let (store, name) = (self.inner.label.clone(), name.to_string());
        StoreError::Unavailable { store, name, cause: cause.into(), retry_after: None }
    }

    /// Puts the connection back, unless it broke, and turns a failure into an error of the store.
    pub(super) fn settle<T>(
        &self,
        conn: Conn,
        name: &str,
        doing: &str,
        result: Result<T, Failure>,
    ) -> Result<T, StoreError> {
        let result = result.map_err(|failure| self.doubt(&conn, failure));
        if result.as_ref().is_err_and(|failure| !failure.leaves_connection()) {
            // What ended this one has ended the others, as a rule.
            self.inner.pool.clear();
        } else if !conn.is_broken {
            self.inner.pool.give_back(conn);
        }
        result.map_err(|failure| self.meaning(name, doing, failure))
    }

    pub(super) fn meaning(&self, name: &str, doing: &str, failure: Failure) -> StoreError {
        let (store, name) = (self.inner.label.clone(), name.to_string());
        let says_missing = failure.says_missing();
        let (code, text) = match failure {
            Failure::Reply { code, text } => (code, text),
            Failure::Lost(cause) => return self.unavailable(&name, format!("{doing}: {cause}")),
            Failure::Damaged(cause) => return StoreError::Damaged { store, name, cause },
        };
        let cause = format!("{doing}: the server says '{text}'");
        let lower = text.to_ascii_lowercase();
        let is_full = matches!(code, 452 | 552)
            || ["no space", "quota", "disk full", "insufficient storage"]
                .iter()
                .any(|words| lower.contains(words));
        match code {
            _ if is_full => StoreError::Full { store, name, cause },
            522 => StoreError::Refused {
                store,
                cause: format!("{cause}; the server wants another protection of the data connection"),
            },
            530 | 532 | 534 => StoreError::Refused { store, cause },
            400..=499 => StoreError::Unavailable { store, name, cause, retry_after: None },
            550 | 553 if says_missing => StoreError::NotFound { store, name },
            550 | 553 => StoreError::Refused {
                store,
                cause: format!("{name}: {cause}; check what the user may do there"),
            },
            _ => StoreError::Other { store, name, cause },
        }
    }
}
