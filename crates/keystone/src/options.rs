//! With what a session logs in, and how it speaks to Keystone.
//!
//! Plain data: made by hand, from the environment ([`SessionOptions::from_env`]) or from a section of a
//! configuration file ([`SessionOptions::from_section`]). Nothing here talks to a server.

use crate::error::KeystoneError;
use crate::secret::Secret;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// Something that has an id, or a name within a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    Id(String),
    Name { name: String, domain: Domain },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Domain {
    Id(String),
    Name(String),
}

/// What the token shall be good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    Project(Named),
    Domain(Domain),
    /// Id of a trust: act for the trustor within what was delegated.
    Trust(String),
    /// The whole cloud (`system: all`).
    System,
    Unscoped,
}

/// How the session proves who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    Password {
        user: Named,
        password: Secret,
        scope: Scope,
    },
    /// The scope is fixed by the credential itself.
    ApplicationCredential {
        credential: ApplicationCredential,
        secret: Secret,
    },
    Token {
        token: Secret,
        scope: Scope,
    },
    /// No Keystone at all (`auth_strategy = noauth`): `user:project` is sent as the token, endpoints come
    /// from [`SessionOptions::endpoint_overrides`] only.
    None {
        user_id: String,
        project_id: String,
    },
}

impl Auth {
    /// The same credentials, scoped to a trust instead.
    pub fn in_trust(&self, trust_id: &str) -> Result<Self, KeystoneError> {
        let scope = Scope::Trust(trust_id.to_owned());
        match self.clone() {
            Self::Password { user, password, .. } => Ok(Self::Password { user, password, scope }),
            Self::Token { token, .. } => Ok(Self::Token { token, scope }),
            Self::ApplicationCredential { .. } => Err(unscopable("an application credential")),
            Self::None { .. } => Err(unscopable("a service without Keystone")),
        }
    }
}

pub(crate) fn unscopable(what: &str) -> KeystoneError {
    let problem = format!("{what} cannot act under a trust; give user name and password instead");
    KeystoneError::Options { place: "credentials for a trust".to_owned(), problems: vec![problem] }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApplicationCredential {
    Id(String),
    /// A name is unique for one user only.
    Name {
        name: String,
        user: Named,
    },
}

/// Which of a service's endpoints to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Interface {
    #[default]
    Public,
    Internal,
    Admin,
}

impl Interface {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Internal => "internal",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Interface {
    type Err = String;

    /// Takes `public` as well as the old spelling `publicURL`.
    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "public" | "publicURL" => Ok(Self::Public),
            "internal" | "internalURL" => Ok(Self::Internal),
            "admin" | "adminURL" => Ok(Self::Admin),
            other => Err(format!("interface \"{other}\" is none of public, internal, admin")),
        }
    }
}

/// How often and how patiently a failed request is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Repetitions after the first try.
    pub max_retries: u32,
    /// Pause before the first repetition; doubled each time, with jitter.
    pub first_pause: Duration,
    /// No pause is longer, whatever `Retry-After` says.
    pub longest_pause: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_retries: 3,
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(30),
        }
    }
}

/// Everything a [`Session`](crate::Session) is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionOptions {
    /// Keystone's address, with or without `/v3`. Empty for [`Auth::None`].
    pub auth_url: String,
    pub auth: Auth,
    /// PEM file with the CAs to trust *instead of* the system's.
    pub cafile: Option<PathBuf>,
    /// Client certificate, PEM. With or without the key in the same file.
    pub certfile: Option<PathBuf>,
    pub keyfile: Option<PathBuf>,
    /// No check of server certificates.
    pub insecure: bool,
    pub region: Option<String>,
    pub interface: Interface,
    /// Service type → address, used instead of the catalogue.
    pub endpoint_overrides: BTreeMap<String, String>,
    pub connect_timeout: Option<Duration>,
    /// Limit for a whole exchange with Keystone. Requests to other services have none of their own.
    pub keystone_timeout: Duration,
    pub retries: RetryPolicy,
    /// Repetitions of calls to Keystone itself that are no logins (trusts); `None`: as `retries`.
    pub identity_retries: Option<RetryPolicy>,
    /// A token with less life left than this is renewed before it is handed out.
    pub renewal_margin: Duration,
    pub user_agent: String,
}

impl SessionOptions {
    /// Options with defaults for everything but address and credentials.
    pub fn new(auth_url: impl Into<String>, auth: Auth) -> Self {
        Self {
            auth_url: auth_url.into(),
            auth,
            cafile: None,
            certfile: None,
            keyfile: None,
            insecure: false,
            region: None,
            interface: Interface::default(),
            endpoint_overrides: BTreeMap::new(),
            connect_timeout: Some(Duration::from_secs(10)),
            keystone_timeout: Duration::from_secs(60),
            retries: RetryPolicy::default(),
            identity_retries: None,
            renewal_margin: Duration::from_secs(120),
            user_agent: concat!("keystone-rust/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}
