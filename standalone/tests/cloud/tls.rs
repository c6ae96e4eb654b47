//! TLS before a service that speaks without.

use super::PATIENCE;
use freezer_testkit::Daemon;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// A certificate of its own for `localhost`, and something that speaks TLS with it before a port.
pub struct TlsFront {
    pub certificate: String,
    pub port: u16,
    _relay: Daemon,
}

impl TlsFront {
    pub async fn start(folder: &Path, behind: u16) -> Self {
        let path = |name: &str| folder.join(name).display().to_string();
        let (key, certificate) = (path("tls.key"), path("tls.pem"));
        let made = Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-days",
                "2",
            ])
            .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout", &key, "-out", &certificate])
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let script =
            concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/oslo-messaging/tests/python/tls_relay.py");
        let arguments = [script, "127.0.0.1", &behind.to_string(), &certificate, &key];
        let log = folder.join("relay.log");
        let mut relay = Daemon::new("tls_relay", "/usr/bin/python3".into(), &arguments, log);
        relay.start();
        let end = Instant::now() + PATIENCE;
        let port = loop {
            if let Some(port) = relay.log().lines().next().and_then(|line| line.trim().parse().ok()) {
                break port;
            }
            assert!(Instant::now() < end, "{}", relay.last_words());
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        Self { certificate, port, _relay: relay }
    }
}
