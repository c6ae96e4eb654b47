//! The options of the API process: declared for the sample file and the checks, read into typed settings.

use crate::pipeline::health::{self, HealthOptions, Network};
use crate::state::ApiOptions;
use crate::trusts::{TrustOptions, Trustees};
use freezer_model::document::StatusShown;
use keystone::{
    AuthTokenConfig, KeystoneError, OptionInfo, OptionKind, Session, SessionOptions, TokenValidator,
    authtoken_options,
};
use oslo_config::{Config, Opt, OptGroup, Registry};
use std::path::PathBuf;
use std::time::Duration;

const AUTHTOKEN: &str = keystone::AUTHTOKEN_GROUP;
const CENTRALIZED: &str = "centralized_scheduler";

/// Everything `freezer-api` reads, under the project's usual file names.
pub fn registry(program: &str) -> Registry {
    Registry::new("freezer", program)
        .groups_of(options())
        .groups_of(oslo_log::options())
        .groups_of(oslo_policy::options())
        .groups_of(vec![oslo_messaging::config::rabbit_options()])
}

/// The options declared here.
pub fn options() -> Vec<OptGroup> {
    vec![
        default_group(),
        api_group(),
        freezer_database::options(),
        authtoken_group(),
        centralized_group(),
        middleware_group(),
        import_group(),
        healthcheck_group(),
        freezer_database::quota_options(),
        oslo_messaging::config::notification_options("jobs and backups"),
        audit_group(),
    ]
}

fn default_group() -> OptGroup {
    OptGroup::new(
        "DEFAULT",
        vec![
            Opt::host_address("bind_host").default("0.0.0.0").help("Address to listen on."),
            Opt::port("bind_port").default("9090").help("Port to listen on."),
            Opt::str("transport_url").secret().sample_default("rabbit://user:password@host:5672/").help(
                "The bus on which conductors are told about changed jobs: rabbit://user:password@host:port/vhost, more hosts \
                 separated by commas. Without it conductors notice changes when they look at the database the next time.",
            ),
            Opt::str("auth_strategy").default("keystone").choices(&["keystone", "noauth"]).help(
                "How callers are known: by Keystone tokens, or not at all (noauth: everybody is whom they claim to be; for \
                 trying out on a closed machine).",
            ),
            Opt::bool("metrics").default("false").help("Serve Prometheus metrics as /metrics on bind_port, without authentication."),
            Opt::str("metrics_host").default("127.0.0.1").help("Address for metrics_port."),
            Opt::port("metrics_port").help("Serve Prometheus metrics as /metrics on this port."),
        ],
    )
}

fn api_group() -> OptGroup {
    OptGroup::new(
        "api",
        vec![
            Opt::int("workers").min(1).max(1024).help("Threads that serve HTTP. Default: one for each core."),
            Opt::int("max_limit").default("1000").min(1).max(100_000).help("Most items in one answer of a list."),
            Opt::str("backup_status").default("when_set").choices(&["when_set", "always"]).help(
                "When backup records show their status: always, or when a client has set it or it is not \"available\" (clients \
                 older than that key compare records exactly).",
            ),
            Opt::str("url_prefix").default("").help("Path under which a proxy publishes this service without taking it off, such as /backup."),
            Opt::int("keep_alive_timeout").default("75").min(1).max(3600).help(
                "Seconds that a connection is kept for its next request. A proxy before this service should give up idle \
                 connections sooner than this, or a request may meet a connection that is just being closed.",
            ),
            Opt::int("request_head_timeout").default("5").min(1).max(3600).help(
                "Seconds in which a request's line and headers must be there; then the connection is closed with 408.",
            ),
            Opt::int("request_body_timeout").default("60").min(1).max(3600).help(
                "Seconds in which a request's body must be there after its headers; then it is refused with 408.",
            ),
            Opt::int("send_timeout").default("60").min(1).max(3600).help(
                "Seconds in which the reader of an answer may take none of it; then the connection is closed.",
            ),
            Opt::int("database_timeout").default("30").min(1).max(3600).help(
                "Seconds without an answer from the database after which a request is answered with 503.",
            ),
            Opt::int("shutdown_timeout").default("30").min(0).max(3600).help("Seconds that requests being worked on get to end when the service stops."),
        ],
    )
    .help("Limits and habits of the REST API.")
}

fn audit_group() -> OptGroup {
    let opts = vec![
        Opt::bool("enabled")
            .default("false")
            .help("Also send CADF audit events of every call; needs [oslo_messaging_notifications] driver."),
    ];
    OptGroup::new("audit", opts).help("Audit events.")
}

/// This machine's name, for publisher ids.
pub fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if name.trim().is_empty() { "localhost".to_owned() } else { name.trim().to_owned() }
}

fn authtoken_group() -> OptGroup {
    OptGroup::new(AUTHTOKEN, authtoken_options().iter().map(as_opt).collect())
        .help("How tokens of callers are validated, and the service user's own login.")
}

fn centralized_group() -> OptGroup {
    OptGroup::new(
        CENTRALIZED,
        vec![
            Opt::bool("enabled").default("true").help(
                "Make a Keystone trust for each job of a central client, so that the client can act in the job's project.",
            ),
            Opt::bool("enforce_trusts").default("false").help("Make one for every job, whatever its client."),
            Opt::str("auth_section").default(AUTHTOKEN).help(
                "Section with user name and password of the user that acts under the trusts: the central clients' own.",
            ),
            Opt::list("trusts_delegated_roles").default("member").help(
                "Roles that a trust gives; empty: all roles of the user who writes the job. Whoever may edit the job acts with them.",
            ),
            Opt::str("service_user").help("No longer read; set auth_section."),
            Opt::str("service_user_domain").help("No longer read; set auth_section."),
        ],
    )
    .help("Clients that work for all projects.")
}

fn import_group() -> OptGroup {
    let connection = Opt::str("connection")
        .secret()
        .sample_default("mysql+pymysql://freezer:password@host/old_freezer")
        .help(
            "The database of Freezer in Python that freezer-manage import reads; the environment variable \
         FREEZER_IMPORT_CONNECTION counts before this.",
        );
    OptGroup::new("import", vec![connection]).help("Only for freezer-manage import.")
}

fn as_opt(info: &OptionInfo) -> Opt {
    let mut opt = match info.kind {
        OptionKind::Text => Opt::str(info.name),
        OptionKind::Bool => Opt::bool(info.name),
        OptionKind::Int => Opt::int(info.name),
        OptionKind::List => Opt::list(info.name),
        OptionKind::Choice(choices) => Opt::str(info.name).choices(choices).ignore_case(),
    };
    opt = opt.help(info.help);
    if let Some(default) = info.default {
        opt = opt.default(default);
    }
    if info.secret {
        opt = opt.secret();
    }
    info.deprecated_names.iter().fold(opt, |opt, old| opt.deprecated_name(AUTHTOKEN, old))
}

fn middleware_group() -> OptGroup {
    OptGroup::new(
        "oslo_middleware",
        vec![
            Opt::bool("enable_proxy_headers_parsing").default("false").help(
                "Believe Forwarded and X-Forwarded-* headers. Only with a proxy in front that sets them itself.",
            ),
            Opt::int("max_request_body_size").default("1048576").min(1024).max(1 << 30).help("Largest body of a request, in bytes."),
        ],
    )
}

fn healthcheck_group() -> OptGroup {
    OptGroup::new(
        "healthcheck",
        vec![
            Opt::list("backends")
                .default("disable_by_file")
                .help("What decides: disable_by_file, disable_by_files_ports, enable_by_files."),
            Opt::str("disable_by_file_path")
                .default("/etc/freezer/healthcheck_disable")
                .help("While this file exists /healthcheck answers 503."),
            Opt::list("disable_by_file_paths").help("The same for each port: port:path."),
            Opt::list("enable_by_file_paths").help("All of these files must exist."),
            Opt::bool("detailed").default("false").help("Say more in JSON answers."),
            Opt::list("allowed_source_ranges").help("Networks that may ask, such as 10.0.0.0/8; empty: all."),
            Opt::bool("ignore_proxied_requests")
                .default("false")
                .help("Answer 404 to requests that came through a proxy."),
        ],
    )
}

/// A setting that is well-formed and still impossible.
#[derive(Debug, thiserror::Error)]
#[error("[{group}] {name}: {reason}")]
pub struct SettingError {
    group: &'static str,
    name: &'static str,
    reason: String,
}

/// Whether callers are authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthStrategy {
    Keystone,
    NoAuth,
}

pub fn auth_strategy(config: &Config) -> AuthStrategy {
    match config.str("DEFAULT", "auth_strategy") {
        "noauth" => AuthStrategy::NoAuth,
        _ => AuthStrategy::Keystone,
    }
}

pub fn api(config: &Config) -> Result<ApiOptions, SettingError> {
    let metrics_port = config.opt_int("DEFAULT", "metrics_port").and_then(|port| u16::try_from(port).ok());
    Ok(ApiOptions {
        keep_alive: seconds(config.int("api", "keep_alive_timeout")),
        head_timeout: seconds(config.int("api", "request_head_timeout")),
        body_timeout: seconds(config.int("api", "request_body_timeout")),
        send_timeout: seconds(config.int("api", "send_timeout")),
        database_timeout: seconds(config.int("api", "database_timeout")),
        bind_host: config.str("DEFAULT", "bind_host").to_owned(),
        bind_port: config.port("DEFAULT", "bind_port"),
        workers: config.opt_int("api", "workers").and_then(|workers| usize::try_from(workers).ok()),
        max_body_bytes: usize::try_from(config.int("oslo_middleware", "max_request_body_size"))
            .unwrap_or(1 << 20),
        max_limit: config.int("api", "max_limit").unsigned_abs(),
        backup_status: match config.str("api", "backup_status") {
            "always" => StatusShown::Always,
            _ => StatusShown::WhenTelling,
        },
        quota: freezer_database::default_limits(config),
        serves_metrics: config.bool("DEFAULT", "metrics"),
        metrics_address: metrics_port.map(|port| (config.str("DEFAULT", "metrics_host").to_owned(), port)),
        trusts_proxy_headers: config.bool("oslo_middleware", "enable_proxy_headers_parsing"),
        url_prefix: prefix(config.str("api", "url_prefix"))?,
        shutdown_timeout: seconds(config.int("api", "shutdown_timeout")),
        health: health(config)?,
    })
}

fn prefix(text: &str) -> Result<String, SettingError> {
    let text = text.trim_end_matches('/');
    if text.is_empty() || text.starts_with('/') {
        return Ok(text.to_owned());
    }
    Err(SettingError {
        group: "api",
        name: "url_prefix",
        reason: format!("{text:?} must start with a slash"),
    })
}

fn health(config: &Config) -> Result<HealthOptions, SettingError> {
    const GROUP: &str = "healthcheck";
    let refuse = |name, text: &str, expected: &str| SettingError {
        group: GROUP,
        name,
        reason: format!("{text:?} is not {expected}"),
    };
    let backends = config.list(GROUP, "backends");
    let known = ["disable_by_file", "disable_by_files_ports", "enable_by_files"];
    if let Some(unknown) = backends.iter().find(|backend| !known.contains(&backend.as_str())) {
        return Err(refuse("backends", unknown, &format!("one of {}", known.join(", "))));
    }
    let mut options = HealthOptions {
        backends,
        disable_by_file_path: config.opt_str(GROUP, "disable_by_file_path").map(PathBuf::from),
        enable_by_file_paths: config
            .list(GROUP, "enable_by_file_paths")
            .into_iter()
            .map(PathBuf::from)
            .collect(),
        detailed: config.bool(GROUP, "detailed"),
        ignore_proxied_requests: config.bool(GROUP, "ignore_proxied_requests"),
        ..HealthOptions::default()
    };
    for text in config.list(GROUP, "disable_by_file_paths") {
        let marker = health::port_and_path(&text);
        options
            .disable_by_file_paths
            .push(marker.ok_or_else(|| refuse("disable_by_file_paths", &text, "port:path"))?);
    }
    for text in config.list(GROUP, "allowed_source_ranges") {
        let network = Network::parse(&text);
        options
            .allowed_sources
            .push(network.ok_or_else(|| refuse("allowed_source_ranges", &text, "a network"))?);
    }
    Ok(options)
}

/// `[keystone_authtoken]`, with the login from another section where `auth_section` names one.
pub fn authtoken(config: &Config) -> Result<AuthTokenConfig, KeystoneError> {
    let own = |name: &str| text_of(config, name);
    let Some(section) = config.opt_str(AUTHTOKEN, "auth_section").filter(|section| *section != AUTHTOKEN)
    else {
        return AuthTokenConfig::from_section(&own);
    };
    let login = config.section_raw(section).unwrap_or_default();
    AuthTokenConfig::from_sections(&own, &|name| login.get(name).cloned())
}

/// `[centralized_scheduler]`: what trusts are made for and with.
pub fn trusts(config: &Config, validator: &TokenValidator) -> Result<Trustees, KeystoneError> {
    let options = TrustOptions {
        is_enabled: config.bool(CENTRALIZED, "enabled"),
        for_every_job: config.bool(CENTRALIZED, "enforce_trusts"),
        roles: config.list(CENTRALIZED, "trusts_delegated_roles"),
    };
    let section = config.str(CENTRALIZED, "auth_section");
    let service = validator.session().clone();
    if section == AUTHTOKEN || section.is_empty() {
        return Ok(Trustees::new(options, service.clone(), service));
    }
    let login = config.section_raw(section).unwrap_or_default();
    let mut trustee = SessionOptions::from_section(&|name| login.get(name).cloned()).map_err(|error| {
        let problems =
            vec![format!("section [{section}], which [{CENTRALIZED}] auth_section names: {error}")];
        KeystoneError::Options { place: format!("[{CENTRALIZED}]"), problems }
    })?;
    trustee.identity_retries = service.options().identity_retries;
    Ok(Trustees::new(options, service, Session::new(trustee)?))
}

fn text_of(config: &Config, name: &str) -> Option<String> {
    match config.get(AUTHTOKEN, name) {
        Ok(oslo_config::Value::Null) | Err(_) => None,
        Ok(value) => Some(value.to_string()),
    }
}

fn seconds(number: i64) -> Duration {
    Duration::from_secs(number.unsigned_abs())
}
