//! TLS to the broker: the chain and the host name are verified, a client certificate is shown when asked for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod stage;

use oslo_messaging::{Context, Error, RabbitOptions, TlsOptions, Transport};
use serde_json::json;
use stage::{Desk, Vhost, client, quick, serve};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// An authority of the test's own, made with openssl.
struct Authority(TempDir);

impl Authority {
    fn new() -> Self {
        let authority = Self(TempDir::new().unwrap());
        let (key, cert) = (authority.path("ca.key"), authority.path("ca.pem"));
        openssl(&[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=test authority",
            "-addext",
            "keyUsage=critical,keyCertSign",
            "-keyout",
            text(&key),
            "-out",
            text(&cert),
        ]);
        authority
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A certificate for a host and its key.
    fn issue(&self, name: &str, host: &str) -> (PathBuf, PathBuf) {
        let (key, cert, request) = (
            self.path(&format!("{name}.key")),
            self.path(&format!("{name}.pem")),
            self.path(&format!("{name}.csr")),
        );
        let extensions = self.path(&format!("{name}.ext"));
        std::fs::write(&extensions, format!("subjectAltName=DNS:{host}\n")).unwrap();
        openssl(&[
            "req",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-subj",
            "/CN=peer",
            "-keyout",
            text(&key),
            "-out",
            text(&request),
        ]);
        openssl(&[
            "x509",
            "-req",
            "-in",
            text(&request),
            "-CA",
            text(&self.path("ca.pem")),
            "-CAkey",
            text(&self.path("ca.key")),
            "-CAcreateserial",
            "-days",
            "2",
            "-extfile",
            text(&extensions),
            "-out",
            text(&cert),
        ]);
        (cert, key)
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn openssl(args: &[&str]) {
    let output = std::process::Command::new("openssl").args(args).output().expect("openssl is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A TLS front for the broker, at the port.
async fn front(vhost: &Vhost, cert: &Path, key: &Path, client_ca: Option<&Path>) -> (Child, u16) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/tls_relay.py");
    let address = vhost.address();
    let (host, port) = address.rsplit_once(':').unwrap();
    let mut command = Command::new("python3");
    command.arg(script).args([host, port]).arg(cert).arg(key).args(client_ca);
    let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let port = lines.next_line().await.unwrap().expect("the port of the relay").parse().unwrap();
    (child, port)
}

fn options(tls: TlsOptions) -> RabbitOptions {
    RabbitOptions { tls: TlsOptions { enabled: true, ..tls }, ..quick() }
}

async fn reaches(url: &str, options: RabbitOptions) -> Result<(), Error> {
    let transport = Transport::connect(url, options).unwrap();
    client(&transport).send_timeout(Duration::from_secs(4)).cast(&Context::new(), "echo", json!({})).await
}

/// The same where nothing is in the way, with all the time that it needs.
async fn is_reached(url: &str, options: RabbitOptions) {
    let transport = Transport::connect(url, options).unwrap();
    let patient = client(&transport).send_timeout(Duration::from_secs(60));
    patient.cast(&Context::new(), "echo", json!({})).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chain_and_host_name_are_verified() {
    let (vhost, authority, stranger) = (Vhost::new(), Authority::new(), Authority::new());
    let (cert, key) = authority.issue("broker", "localhost");
    let (_child, port) = front(&vhost, &cert, &key, None).await;
    let named = vhost.url_at(&format!("localhost:{port}"));
    let trusting = |authority: &Authority| {
        options(TlsOptions { ca_file: Some(authority.path("ca.pem")), ..TlsOptions::default() })
    };
    let transport = Transport::connect(&named, trusting(&authority)).unwrap();
    let server = serve(&transport, &Desk::new("host1")).await;
    let answer = client(&transport).call(&Context::new(), "big", json!({"size": 500_000})).await.unwrap();
    assert_eq!(answer.as_str().unwrap().len(), 500_000);
    server.stop().await;
    transport.close().await;

    let by_query = format!("{named}?ssl=1&ssl_ca_file={}", authority.path("ca.pem").display());
    is_reached(&by_query, quick()).await;
    let error = reaches(&named, trusting(&stranger)).await.unwrap_err().to_string();
    assert!(error.contains("UnknownIssuer") || error.contains("certificate"), "{error}");
    let error = reaches(&named, options(TlsOptions::default())).await.unwrap_err().to_string();
    assert!(
        error.contains("UnknownIssuer") || error.contains("certificate"),
        "the system's authorities: {error}"
    );
    let by_address = vhost.url_at(&format!("127.0.0.1:{port}"));
    let error = reaches(&by_address, trusting(&authority)).await.unwrap_err().to_string();
    assert!(error.contains("not valid for name"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_certificate_is_shown_and_bad_files_are_named() {
    let (vhost, authority) = (Vhost::new(), Authority::new());
    let (cert, key) = authority.issue("broker", "localhost");
    let (own_cert, own_key) = authority.issue("client", "client");
    let (_child, port) = front(&vhost, &cert, &key, Some(&authority.path("ca.pem"))).await;
    let url = vhost.url_at(&format!("localhost:{port}"));
    let ca_file = Some(authority.path("ca.pem"));
    let without = options(TlsOptions { ca_file: ca_file.clone(), ..TlsOptions::default() });
    assert!(reaches(&url, without).await.is_err());
    let with =
        TlsOptions { ca_file, cert_file: Some(own_cert), key_file: Some(own_key), ..TlsOptions::default() };
    is_reached(&url, options(with.clone())).await;
    let missing = TlsOptions { ca_file: Some(authority.path("absent.pem")), ..with.clone() };
    let error = reaches(&url, options(missing)).await.unwrap_err();
    assert!(matches!(&error, Error::TlsFile { path, .. } if path.ends_with("absent.pem")), "{error}");
    let half = options(TlsOptions { key_file: None, ..with });
    assert!(matches!(Transport::connect(&url, half).unwrap_err(), Error::InvalidOption { .. }));
}
