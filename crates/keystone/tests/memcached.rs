//! The token cache in a real memcached.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod stand_in;

use keystone::{AuthFailure, AuthTokenConfig, CacheProtection, Secret, SharedClock, TokenValidator};
use serde_json::Value;
use sha2::{Digest, Sha256};
use stand_in::{HandClock, StandIn};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const ASK: &str = "GET /v3/auth/tokens";

fn server() -> String {
    std::env::var("FREEZER_TEST_MEMCACHED").unwrap_or_else(|_| "127.0.0.1:11211".to_owned())
}

/// A plain connection, to look at and to damage what the validator stored.
struct Peer(BufReader<TcpStream>);

impl Peer {
    fn connect() -> Self {
        let stream = TcpStream::connect(server()).unwrap_or_else(|error| {
            panic!("no memcached at {} ({error}): start the services: make services", server())
        });
        Self(BufReader::new(stream))
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn get(&mut self, key: &str) -> Option<Vec<u8>> {
        write!(self.0.get_mut(), "get {key}\r\n").unwrap();
        let line = self.line();
        if line == "END" {
            return None;
        }
        let words: Vec<_> = line.split(' ').collect();
        assert_eq!(words[2], "0", "flags");
        let mut value = vec![0; words[3].parse::<usize>().unwrap() + 2];
        self.0.read_exact(&mut value).unwrap();
        assert_eq!(self.line(), "END");
        value.truncate(value.len() - 2);
        Some(value)
    }

    fn set(&mut self, key: &str, value: &[u8]) {
        write!(self.0.get_mut(), "set {key} 0 300 {}\r\n", value.len()).unwrap();
        self.0.get_mut().write_all(value).unwrap();
        self.0.get_mut().write_all(b"\r\n").unwrap();
        assert_eq!(self.line(), "STORED");
    }

    /// Seconds the entry still lives.
    fn life(&mut self, key: &str) -> i64 {
        write!(self.0.get_mut(), "mg {key} t\r\n").unwrap();
        self.line().trim_start_matches("HD t").parse().unwrap()
    }
}

/// A token no other run has used.
fn fresh_token(keystone: &StandIn) -> String {
    let name = format!("token-{}", uuid::Uuid::new_v4());
    keystone.add_token(&name, keystone.project_token());
    name
}

fn plain_key(token: &str) -> String {
    format!("tokens/{}", hex::encode(Sha256::digest(token.as_bytes())))
}

fn validator(
    keystone: &StandIn,
    servers: &[String],
    protection: CacheProtection,
    clock: SharedClock,
) -> TokenValidator {
    let mut config = AuthTokenConfig::new(keystone.options());
    config.memcached_servers = servers.to_vec();
    config.memcache_protection = protection;
    TokenValidator::with_clock(config, clock).unwrap()
}

async fn who(validator: &TokenValidator, token: &str) -> Option<String> {
    match validator.validate(&Secret::from(token), false).await {
        Ok(document) => document.user.name.clone(),
        Err(AuthFailure::Invalid(_)) => None,
        Err(failure) => panic!("{failure}"),
    }
}

#[actix_web::test]
async fn processes_share_what_they_validated() {
    let keystone = StandIn::start().await;
    let clock = HandClock::new();
    for protection in [
        CacheProtection::Plain,
        CacheProtection::Mac("sekret".into()),
        CacheProtection::Encrypt("sekret".into()),
    ] {
        let token = fresh_token(&keystone);
        let one = validator(&keystone, &[server()], protection.clone(), clock.clone());
        assert_eq!(who(&one, &token).await.as_deref(), Some("alice"));
        assert_eq!(keystone.count(ASK), 1);
        keystone.take_log();
        let other = validator(&keystone, &[server()], protection.clone(), clock.clone());
        assert_eq!(who(&other, &token).await.as_deref(), Some("alice"));
        assert_eq!(who(&one, &token).await.as_deref(), Some("alice"));
        assert!(keystone.take_requests().is_empty(), "{protection:?}");
    }
    keystone.stop().await;
}

#[actix_web::test]
async fn keys_values_and_life_are_keystonemiddlewares() {
    let keystone = StandIn::start().await;
    let token = fresh_token(&keystone);
    let validator = validator(&keystone, &[server()], CacheProtection::Plain, HandClock::new());
    who(&validator, &token).await;
    let mut peer = Peer::connect();
    let value: Value = serde_json::from_slice(&peer.get(&plain_key(&token)).unwrap()).unwrap();
    let mut keys: Vec<_> = value["token"].as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    let expected = [
        "audit_ids",
        "auth_token",
        "catalog",
        "expires_at",
        "is_domain",
        "issued_at",
        "methods",
        "project",
        "roles",
        "user",
        "version",
    ];
    assert_eq!(keys, expected);
    assert_eq!(
        (&value["token"]["version"], &value["token"]["auth_token"]),
        (&"v3".into(), &token.as_str().into())
    );
    let life = peer.life(&plain_key(&token));
    assert!((290..=300).contains(&life), "{life}");
    keystone.stop().await;
}

#[actix_web::test]
async fn what_others_put_there() {
    let keystone = StandIn::start().await;
    let validator = validator(&keystone, &[server()], CacheProtection::Plain, HandClock::new());
    let mut peer = Peer::connect();
    validator.session().token().await.unwrap();
    keystone.take_log();

    let token = fresh_token(&keystone);
    peer.set(&plain_key(&token), b"\"invalid\"");
    assert_eq!(who(&validator, &token).await, None, "an older keystonemiddleware refused it");
    assert!(keystone.take_requests().is_empty());

    let mut foreign = keystone.project_token();
    foreign["user"]["name"] = "mallory".into();
    foreign["auth_token"] = "another-token".into();
    let foreign = serde_json::json!({"token": foreign}).to_string();
    let expired = r#"{"token": {"expires_at": "2020-01-01T00:00:00Z", "user": {"id": "u"}}}"#;
    for (value, expected, questions) in [
        (foreign.as_str(), Some("alice"), 1),
        ("{\"token\": 7}", Some("alice"), 1),
        ("garbage \r\nEND\r\n", Some("alice"), 1),
        ("", Some("alice"), 1),
        (expired, None, 0),
    ] {
        let token = fresh_token(&keystone);
        peer.set(&plain_key(&token), value.as_bytes());
        assert_eq!(who(&validator, &token).await.as_deref(), expected, "{value}");
        assert_eq!(keystone.take_requests().len(), questions, "{value}");
    }
    keystone.stop().await;
}

#[actix_web::test]
async fn damaged_sealed_values_are_misses() {
    let keystone = StandIn::start().await;
    let protection = CacheProtection::Plain;
    let token = fresh_token(&keystone);
    who(&validator(&keystone, &[server()], protection, HandClock::new()), &token).await;
    // The plain value under the sealed key: what an attacker without the key could write.
    let mut peer = Peer::connect();
    let plain = peer.get(&plain_key(&token)).unwrap();
    let secret = uuid::Uuid::new_v4().to_string();
    for protection in
        [CacheProtection::Mac(secret.as_str().into()), CacheProtection::Encrypt(secret.as_str().into())]
    {
        let sealed = validator(&keystone, &[server()], protection.clone(), HandClock::new());
        who(&sealed, &token).await;
        let key = sealed_key(&protection, &token);
        assert_ne!(peer.get(&key).unwrap_or_else(|| panic!("nothing under {key}")), plain);
        peer.set(&key, &plain);
        keystone.take_log();
        assert_eq!(who(&sealed, &token).await.as_deref(), Some("alice"));
        assert_eq!(keystone.take_requests(), [ASK], "not believed, asked again");
    }
    keystone.stop().await;
}

fn sealed_key(protection: &CacheProtection, token: &str) -> String {
    use base64::Engine;
    use hmac::{Hmac, KeyInit, Mac};
    let (secret, strategy) = match protection {
        CacheProtection::Mac(secret) => (secret, "MAC"),
        CacheProtection::Encrypt(secret) => (secret, "ENCRYPT"),
        CacheProtection::Plain => panic!("not sealed"),
    };
    let mut mac = Hmac::<sha2::Sha384>::new_from_slice(secret.expose().as_bytes()).unwrap();
    mac.update(format!("{token}{strategy}").as_bytes());
    let digest = mac.finalize().into_bytes();
    format!("tokens/b'{}'", base64::engine::general_purpose::STANDARD.encode(&digest[..16]))
}

#[actix_web::test]
async fn dead_servers_are_left_alone_and_memory_takes_over() {
    let keystone = StandIn::start().await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let dead = closed.local_addr().unwrap().to_string();
    drop(closed);
    let alone = validator(&keystone, std::slice::from_ref(&dead), CacheProtection::Plain, HandClock::new());
    let token = fresh_token(&keystone);
    for _ in 0..3 {
        assert_eq!(who(&alone, &token).await.as_deref(), Some("alice"));
    }
    assert_eq!(keystone.count(ASK), 1, "cached in memory");

    // With a living one beside it, every key finds a place.
    keystone.take_log();
    let both = validator(&keystone, &[dead, server()], CacheProtection::Plain, HandClock::new());
    let mut peer = Peer::connect();
    for _ in 0..8 {
        let token = fresh_token(&keystone);
        who(&both, &token).await;
        assert!(peer.get(&plain_key(&token)).is_some());
    }
    keystone.stop().await;
}

#[actix_web::test]
async fn a_silent_server_costs_one_timeout() {
    let keystone = StandIn::start().await;
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = AuthTokenConfig::new(keystone.options());
    config.memcached_servers = vec![silent.local_addr().unwrap().to_string()];
    config.memcache_pool.socket_timeout = Duration::from_millis(100);
    let clock = HandClock::new();
    let validator = TokenValidator::with_clock(config, clock.clone()).unwrap();
    for _ in 0..5 {
        let token = fresh_token(&keystone);
        assert_eq!(who(&validator, &token).await.as_deref(), Some("alice"));
    }
    silent.set_nonblocking(true).unwrap();
    let connections = || std::iter::from_fn(|| silent.accept().ok()).count();
    assert_eq!(connections(), 1, "left alone after the first timeout");
    clock.forward(301);
    let token = fresh_token(&keystone);
    who(&validator, &token).await;
    assert_eq!(connections(), 1, "tried again after dead_retry");
    keystone.stop().await;
}

/// A way to the real server that counts who comes.
async fn counting_way() -> (String, Arc<AtomicUsize>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, count) = (listener.local_addr().unwrap().to_string(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            let mut far = tokio::net::TcpStream::connect(server()).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut near, &mut far).await });
        }
    });
    (address, count)
}

#[actix_web::test]
async fn connections_are_kept_and_limited() {
    let keystone = StandIn::start().await;
    let (way, connections) = counting_way().await;
    let mut config = AuthTokenConfig::new(keystone.options());
    config.memcached_servers = vec![way];
    config.memcache_pool.max_connections = 2;
    let validator = TokenValidator::with_clock(config, HandClock::new()).unwrap();
    for _ in 0..20 {
        let tokens: Vec<_> = (0..10).map(|_| fresh_token(&keystone)).collect();
        let names = futures_util::future::join_all(tokens.iter().map(|token| who(&validator, token))).await;
        assert!(names.iter().all(|name| name.as_deref() == Some("alice")));
    }
    assert_eq!(keystone.count(ASK), 200);
    let connections = connections.load(Ordering::SeqCst);
    assert!((1..=2).contains(&connections), "{connections}");
    keystone.stop().await;
}
