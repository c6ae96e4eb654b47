//! `[keystone_authtoken]` as operators write it.

use super::*;

fn read(pairs: &[(&str, &str)]) -> Result<AuthTokenConfig, KeystoneError> {
    let login = [
        ("auth_type", "password"),
        ("auth_url", "http://k:5000"),
        ("username", "backup"),
        ("password", "pw"),
        ("user_domain_id", "default"),
        ("project_name", "service"),
        ("project_domain_id", "default"),
    ];
    let all: Vec<_> = pairs.iter().copied().chain(login).collect();
    AuthTokenConfig::from_section(&|name| {
        all.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
    })
}

#[test]
fn defaults_are_those_of_new_and_of_the_table() {
    let config = read(&[]).unwrap();
    assert_eq!(
        config,
        AuthTokenConfig::new(SessionOptions { interface: Interface::Internal, ..config.session.clone() })
            .with_same_retries(&config)
    );
    assert_eq!(config.token_cache_time, Some(Duration::from_secs(300)));
    assert_eq!(config.www_authenticate_uri, "http://k:5000");
    assert_eq!(config.session.interface, Interface::Internal);
    assert!(
        config.include_service_catalog && config.service_token_roles_required && !config.delay_auth_decision
    );
}

impl AuthTokenConfig {
    /// `new` takes the retries of the session it is given, which here already has none.
    fn with_same_retries(mut self, other: &Self) -> Self {
        self.validation_retries = other.validation_retries;
        self
    }
}

#[test]
fn values_and_old_names() {
    let config = read(&[
        ("auth_uri", "https://public:5000"),
        ("memcache_servers", "a:11211, b"),
        ("memcache_security_strategy", "encrypt"),
        ("memcache_secret_key", "sekret"),
        ("memcache_pool_maxsize", "3"),
        ("token_cache_time", "-1"),
        ("service_token_roles", "service,admin"),
        ("service_token_roles_required", "False"),
        ("interface", "admin"),
        ("region_name", "Two"),
        ("http_request_max_retries", "0"),
        ("http_connect_timeout", "4"),
        ("enforce_token_bind", "kerberos"),
    ])
    .unwrap();
    assert_eq!(config.www_authenticate_uri, "https://public:5000");
    assert_eq!(config.memcached_servers, ["a:11211", "b"]);
    assert_eq!(config.memcache_protection, CacheProtection::Encrypt("sekret".into()));
    assert_eq!(config.memcache_pool.max_connections, 3);
    assert_eq!(config.token_cache_time, None);
    assert_eq!(config.service_token_roles, ["service", "admin"]);
    assert!(!config.service_token_roles_required);
    assert_eq!((config.session.interface, config.session.region.as_deref()), (Interface::Admin, Some("Two")));
    assert_eq!(config.validation_retries.max_retries, 0);
    assert_eq!(config.session.connect_timeout, Some(Duration::from_secs(4)));
    assert_eq!(config.enforce_token_bind, TokenBinding::Named("kerberos".to_owned()));
    assert!(!format!("{config:?}").contains("sekret"));
}

#[test]
fn all_problems_at_once() {
    let told = AuthTokenConfig::from_section(&|name| match name {
        "memcache_security_strategy" => Some("MAC".to_owned()),
        "interface" => Some("outside".to_owned()),
        "token_cache_time" => Some("soon".to_owned()),
        "memcache_pool_maxsize" => Some("-4".to_owned()),
        "delay_auth_decision" => Some("perhaps".to_owned()),
        _ => None,
    })
    .unwrap_err()
    .to_string();
    for part in [
        "[keystone_authtoken]",
        "auth_url",
        "username",
        "memcache_secret_key",
        "outside",
        "soon",
        "-4",
        "perhaps",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
}

#[test]
fn the_table_is_sound() {
    let options = authtoken_options();
    for (place, option) in options.iter().enumerate() {
        assert!(
            !options.iter().skip(place + 1).any(|other| other.name == option.name),
            "{} twice",
            option.name
        );
        assert!(option.help.ends_with('.') || option.help.contains(':'), "{}", option.name);
        let looks_secret = ["password", "secret", "token"].iter().any(|word| option.name.ends_with(word));
        assert!(option.secret || !looks_secret, "{} should be secret", option.name);
    }
}
