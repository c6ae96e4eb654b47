//! `[keystone_authtoken]` read and checked: everything that is wrong is told at once, before the first request.

use crate::authtoken_options::{AUTHTOKEN_GROUP, OptionInfo, OptionKind, authtoken_options};
use crate::error::KeystoneError;
use crate::memcached::MemcachePool;
use crate::options::{Interface, RetryPolicy, SessionOptions};
use crate::secret::Secret;
use crate::token_binding::TokenBinding;
use crate::token_store::CacheProtection;
use std::time::Duration;

/// How tokens are validated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthTokenConfig {
    /// The service's own login. Its interface and region say where tokens are validated.
    pub session: SessionOptions,
    /// Told to clients without a valid token.
    pub www_authenticate_uri: String,
    pub delay_auth_decision: bool,
    /// How long Keystone's yes is believed. None: never.
    pub token_cache_time: Option<Duration>,
    /// Tokens kept in memory at most.
    pub token_cache_limit: usize,
    /// How long Keystone's no is believed.
    pub refusal_cache_time: Duration,
    pub memcached_servers: Vec<String>,
    pub memcache_protection: CacheProtection,
    pub memcache_pool: MemcachePool,
    pub include_service_catalog: bool,
    pub enforce_token_bind: TokenBinding,
    pub service_token_roles: Vec<String>,
    pub service_token_roles_required: bool,
    pub service_type: Option<String>,
    /// Repetitions of a validating request when Keystone cannot be reached.
    pub validation_retries: RetryPolicy,
}

impl AuthTokenConfig {
    /// The defaults of `[keystone_authtoken]` around a login.
    pub fn new(mut session: SessionOptions) -> Self {
        session.interface = Interface::Internal;
        let validation_retries = session.retries;
        // A client is waiting: without a login it is told 503 at once, and the next request tries again.
        session.retries.max_retries = 0;
        Self {
            www_authenticate_uri: session.auth_url.clone(),
            session,
            delay_auth_decision: false,
            token_cache_time: Some(Duration::from_secs(300)),
            token_cache_limit: 10_000,
            refusal_cache_time: Duration::from_secs(10),
            memcached_servers: Vec::new(),
            memcache_protection: CacheProtection::Plain,
            memcache_pool: MemcachePool::default(),
            include_service_catalog: true,
            enforce_token_bind: TokenBinding::default(),
            service_token_roles: vec!["service".to_owned()],
            service_token_roles_required: true,
            service_type: None,
            validation_retries,
        }
    }

    /// From the section's values as text, by [`authtoken_options`]' names; defaults are filled in here.
    /// With `auth_section` use [`AuthTokenConfig::from_sections`].
    pub fn from_section(get: &dyn Fn(&str) -> Option<String>) -> Result<Self, KeystoneError> {
        Self::from_sections(get, get)
    }

    /// As [`AuthTokenConfig::from_section`], with the options of the login in another section (`auth_section`).
    pub fn from_sections(
        get: &dyn Fn(&str) -> Option<String>,
        get_auth: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, KeystoneError> {
        let mut reader = Reader { get, problems: Vec::new() };
        // `interface` and `region_name` of the login's section mean something else if it is another one.
        let login = |name: &str| match name {
            "interface" | "endpoint_type" | "valid_interfaces" | "region_name" | "connect_retries" => None,
            "cafile" | "certfile" | "keyfile" | "insecure" | "http_connect_timeout" => {
                get(name).or_else(|| get_auth(name))
            }
            name => get_auth(name),
        };
        let session = match SessionOptions::from_section(&login) {
            Ok(session) => Some(session),
            Err(KeystoneError::Options { problems, .. }) => {
                reader.problems.extend(problems);
                None
            }
            Err(other) => return Err(other),
        };
        let placeholder = || {
            SessionOptions::new("", crate::Auth::None { user_id: String::new(), project_id: String::new() })
        };
        let mut config = Self::new(session.unwrap_or_else(placeholder));
        config.read(&mut reader);
        match reader.problems.is_empty() {
            true => Ok(config),
            false => Err(KeystoneError::Options {
                place: format!("[{AUTHTOKEN_GROUP}]"),
                problems: reader.problems,
            }),
        }
    }

    fn read(&mut self, reader: &mut Reader<'_>) {
        if let Some(uri) = reader.text("www_authenticate_uri") {
            self.www_authenticate_uri = uri;
        } else {
            tracing::warn!(
                "www_authenticate_uri is not set: clients without a token are sent to auth_url, which may not be public"
            );
        }
        match reader.text("interface").unwrap_or_default().parse() {
            Ok(interface) => self.session.interface = interface,
            Err(problem) => reader.problems.push(problem),
        }
        self.session.region = reader.text("region_name");
        self.validation_retries.max_retries = reader.unsigned("http_request_max_retries");
        self.session.identity_retries = Some(self.validation_retries);
        self.delay_auth_decision = reader.flag("delay_auth_decision");
        self.include_service_catalog = reader.flag("include_service_catalog");
        self.enforce_token_bind =
            TokenBinding::from(reader.text("enforce_token_bind").unwrap_or_default().as_str());
        self.service_token_roles = reader.list("service_token_roles");
        self.service_token_roles_required = reader.flag("service_token_roles_required");
        self.service_type = reader.text("service_type");
        let seconds = reader.int("token_cache_time");
        self.token_cache_time =
            u64::try_from(seconds).ok().filter(|seconds| *seconds > 0).map(Duration::from_secs);
        self.memcached_servers = reader.list("memcached_servers");
        self.memcache_protection = reader.protection();
        self.memcache_pool = MemcachePool {
            dead_retry: reader.seconds("memcache_pool_dead_retry"),
            max_connections: reader.unsigned("memcache_pool_maxsize"),
            socket_timeout: reader.seconds("memcache_pool_socket_timeout"),
            unused_timeout: reader.seconds("memcache_pool_unused_timeout"),
            connection_wait: reader.seconds("memcache_pool_conn_get_timeout"),
        };
    }
}

struct Reader<'a> {
    get: &'a dyn Fn(&str) -> Option<String>,
    problems: Vec<String>,
}

impl Reader<'_> {
    fn info(name: &str) -> Option<&'static OptionInfo> {
        authtoken_options().iter().find(|option| option.name == name)
    }

    /// The value, under its name or an older one, else the default. Blank is absent.
    fn text(&mut self, name: &str) -> Option<String> {
        let set =
            |name: &str| (self.get)(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        let info = Self::info(name);
        let found = set(name).or_else(|| info?.deprecated_names.iter().find_map(|old| set(old)));
        let value = found.or_else(|| info?.default.map(str::to_owned))?;
        if let Some(OptionInfo { kind: OptionKind::Choice(choices), .. }) = info
            && !choices.iter().any(|choice| choice.eq_ignore_ascii_case(&value))
        {
            self.problems.push(format!("{name} = {value} is none of {}", choices.join(", ")));
            return info.and_then(|info| info.default).map(str::to_owned);
        }
        Some(value)
    }

    fn flag(&mut self, name: &str) -> bool {
        let text = self.text(name).unwrap_or_default();
        match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => true,
            "false" | "0" | "no" | "off" => false,
            _ => {
                self.problems.push(format!("{name} = {text} is neither true nor false"));
                false
            }
        }
    }

    fn int(&mut self, name: &str) -> i64 {
        let text = self.text(name).unwrap_or_default();
        text.parse().unwrap_or_else(|_| {
            self.problems.push(format!("{name} = {text} is no whole number"));
            0
        })
    }

    fn unsigned(&mut self, name: &str) -> u32 {
        let number = self.int(name);
        u32::try_from(number).unwrap_or_else(|_| {
            self.problems.push(format!("{name} = {number} is out of range, use 0 or more"));
            0
        })
    }

    fn seconds(&mut self, name: &str) -> Duration {
        Duration::from_secs(self.unsigned(name).into())
    }

    fn list(&mut self, name: &str) -> Vec<String> {
        let text = self.text(name).unwrap_or_default();
        text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
    }

    fn protection(&mut self) -> CacheProtection {
        let strategy = self.text("memcache_security_strategy").unwrap_or_default().to_ascii_uppercase();
        let key = self.text("memcache_secret_key").map(Secret::new);
        match (strategy.as_str(), key) {
            ("MAC", Some(key)) => CacheProtection::Mac(key),
            ("ENCRYPT", Some(key)) => CacheProtection::Encrypt(key),
            ("MAC" | "ENCRYPT", None) => {
                let problem = format!("memcache_security_strategy = {strategy} needs memcache_secret_key");
                self.problems.push(problem);
                CacheProtection::Plain
            }
            _ => CacheProtection::Plain,
        }
    }
}

#[cfg(test)]
#[path = "authtoken_config_tests.rs"]
mod tests;
