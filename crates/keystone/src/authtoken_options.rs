//! The options of `[keystone_authtoken]` as plain data: names, types, defaults and help.
//!
//! Data only, so that any configuration library can register them and print a sample file.
//! [`AuthTokenConfig`](crate::AuthTokenConfig) reads them.

/// Section in which the options stand.
pub const AUTHTOKEN_GROUP: &str = "keystone_authtoken";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionKind {
    Text,
    Bool,
    Int,
    /// Comma-separated.
    List,
    /// One of these words; case is ignored.
    Choice(&'static [&'static str]),
}

/// One option of a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OptionInfo {
    pub name: &'static str,
    pub kind: OptionKind,
    /// As it would be written in the file.
    pub default: Option<&'static str>,
    pub help: &'static str,
    pub secret: bool,
    /// Older spellings, read when `name` is absent.
    pub deprecated_names: &'static [&'static str],
}

const fn option(
    name: &'static str,
    kind: OptionKind,
    default: Option<&'static str>,
    help: &'static str,
) -> OptionInfo {
    OptionInfo { name, kind, default, help, secret: false, deprecated_names: &[] }
}

const fn secret(name: &'static str, help: &'static str) -> OptionInfo {
    OptionInfo { secret: true, ..option(name, OptionKind::Text, None, help) }
}

const fn renamed(old: &'static [&'static str], info: OptionInfo) -> OptionInfo {
    OptionInfo { deprecated_names: old, ..info }
}

use OptionKind::{Bool, Choice, Int, List, Text};

const STRATEGIES: OptionKind = Choice(&["None", "MAC", "ENCRYPT"]);

static OPTIONS: &[OptionInfo] = &[
    renamed(
        &["auth_uri"],
        option(
            "www_authenticate_uri",
            Text,
            None,
            "Public address of Keystone, told to clients that come without a valid token. Defaults to auth_url.",
        ),
    ),
    option(
        "interface",
        Choice(&["public", "internal", "admin"]),
        Some("internal"),
        "Interface of Keystone at which tokens are validated.",
    ),
    option("region_name", Text, None, "Region of the Keystone at which tokens are validated."),
    option(
        "delay_auth_decision",
        Bool,
        Some("false"),
        "Let requests without a valid token through, without an identity, for the service to decide.",
    ),
    option("http_connect_timeout", Int, None, "Seconds to wait for a connection to Keystone."),
    option(
        "http_request_max_retries",
        Int,
        Some("3"),
        "How often a validation is repeated when Keystone cannot be reached.",
    ),
    option("cafile", Text, None, "PEM file with the CAs to trust for Keystone, instead of the system's."),
    option("certfile", Text, None, "PEM file with the client certificate for Keystone."),
    option("keyfile", Text, None, "PEM file with the key of the client certificate."),
    option("insecure", Bool, Some("false"), "Do not check Keystone's certificate."),
    renamed(
        &["memcache_servers"],
        option(
            "memcached_servers",
            List,
            None,
            "Memcached servers (host:port) that keep validated tokens, shared with other processes and services. \
             Without any, tokens are cached in each process.",
        ),
    ),
    option(
        "token_cache_time",
        Int,
        Some("300"),
        "Seconds for which a validated token is believed without asking Keystone; a revoked token works that long. \
         -1: ask each time.",
    ),
    option(
        "memcache_security_strategy",
        STRATEGIES,
        Some("None"),
        "Authenticate (MAC) or also encrypt (ENCRYPT) what is put into memcached.",
    ),
    secret("memcache_secret_key", "Key for memcache_security_strategy; needed unless that is None."),
    option(
        "memcache_pool_dead_retry",
        Int,
        Some("300"),
        "Seconds for which a failing memcached server is left alone.",
    ),
    option("memcache_pool_maxsize", Int, Some("10"), "Connections to each memcached server at most."),
    option("memcache_pool_socket_timeout", Int, Some("3"), "Seconds to wait for an answer of memcached."),
    option(
        "memcache_pool_unused_timeout",
        Int,
        Some("60"),
        "Seconds for which an unused connection to memcached is kept.",
    ),
    option(
        "memcache_pool_conn_get_timeout",
        Int,
        Some("10"),
        "Seconds to wait for a free connection to memcached.",
    ),
    option(
        "include_service_catalog",
        Bool,
        Some("true"),
        "Ask Keystone for the user's service catalogue, too.",
    ),
    option(
        "enforce_token_bind",
        Text,
        Some("permissive"),
        "Tokens bound to a way of logging in: disabled, permissive, strict, required, or the name of the way.",
    ),
    option(
        "service_token_roles",
        List,
        Some("service"),
        "Roles of which a service token must have one, to vouch for expired user tokens.",
    ),
    option(
        "service_token_roles_required",
        Bool,
        Some("true"),
        "Refuse service tokens that have none of service_token_roles.",
    ),
    option(
        "service_type",
        Text,
        None,
        "Type of this service in the catalogue; needed to let in tokens with access rules.",
    ),
    renamed(
        &["auth_plugin"],
        option(
            "auth_type",
            Text,
            None,
            "How the service logs in: password, v3applicationcredential, v3token.",
        ),
    ),
    option(
        "auth_section",
        Text,
        None,
        "Another section from which to read the options of the service's own login.",
    ),
    option("auth_url", Text, None, "Address of Keystone."),
    renamed(&["user_name"], option("username", Text, None, "Name of the service user.")),
    option("user_id", Text, None, "Id of the service user, instead of its name and domain."),
    secret("password", "Password of the service user."),
    option("user_domain_id", Text, None, "Id of the service user's domain."),
    option("user_domain_name", Text, None, "Name of the service user's domain."),
    renamed(&["tenant_name"], option("project_name", Text, None, "Name of the service project.")),
    renamed(&["tenant_id"], option("project_id", Text, None, "Id of the service project.")),
    option("project_domain_id", Text, None, "Id of the service project's domain."),
    option("project_domain_name", Text, None, "Name of the service project's domain."),
    option(
        "default_domain_id",
        Text,
        None,
        "Id of the domain where user_domain_* or project_domain_* is not set.",
    ),
    option(
        "default_domain_name",
        Text,
        None,
        "Name of the domain where user_domain_* or project_domain_* is not set.",
    ),
    option("domain_id", Text, None, "Id of the domain to be scoped to, instead of a project."),
    option("domain_name", Text, None, "Name of the domain to be scoped to, instead of a project."),
    option("system_scope", Text, None, "\"all\": be scoped to the whole cloud, instead of a project."),
    option("trust_id", Text, None, "Id of a trust to be scoped to, instead of a project."),
    option("application_credential_id", Text, None, "Id of an application credential to log in with."),
    option("application_credential_name", Text, None, "Name of an application credential of the user."),
    secret("application_credential_secret", "Secret of the application credential."),
    secret("token", "Token to log in with (auth_type v3token)."),
];

/// All options of `[keystone_authtoken]`, those of the service's own login included.
pub fn authtoken_options() -> &'static [OptionInfo] {
    OPTIONS
}
