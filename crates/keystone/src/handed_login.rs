//! A login that one process hands to another of the same owner, so that the other need not log in again. It holds the token:
//! for pipes only, never for arguments, environments, files or logs.

use crate::login::Login;
use crate::secret::Secret;
use crate::token_document::TokenDocument;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct HandedLogin {
    token: String,
    identity_url: String,
    document: TokenDocument,
}

impl HandedLogin {
    pub fn expires_at(&self) -> DateTime<Utc> {
        self.document.expires_at
    }

    pub(crate) fn of(login: &Login) -> Self {
        let token = login.token.expose().to_owned();
        Self { token, identity_url: login.identity_url.clone(), document: login.document.clone() }
    }

    pub(crate) fn taken(self, now: DateTime<Utc>, margin: Duration) -> Login {
        Login {
            token: Secret::from(self.token.as_str()),
            renew_at: Login::renewal_time(self.document.expires_at, now, margin),
            document: self.document,
            identity_url: self.identity_url,
        }
    }
}

impl fmt::Debug for HandedLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandedLogin").field("expires_at", &self.document.expires_at).finish_non_exhaustive()
    }
}
