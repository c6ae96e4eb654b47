//! The HTTP client: TLS from the options, and redirects that cannot carry a token to another host.

use crate::error::KeystoneError;
use crate::options::{Auth, SessionOptions};
use reqwest::{Certificate, Client, ClientBuilder, Identity, Url, redirect};
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Idle connections are given up before a usual server does: 5 s are Apache's `KeepAliveTimeout`, before many services. A request
/// sent on one that is just being closed fails, and a POST is not for anybody to repeat.
const IDLE_CONNECTION: Duration = Duration::from_secs(4);

/// A client for services that have logins of their own, with the same care for certificates. `cafile`: PEM file with the CAs to
/// trust instead of the system's.
pub fn plain_client(cafile: Option<&Path>, insecure: bool) -> Result<Client, KeystoneError> {
    let options = SessionOptions::new("", Auth::None { user_id: String::new(), project_id: String::new() });
    build_client(&SessionOptions { cafile: cafile.map(Path::to_path_buf), insecure, ..options })
}

/// Builds the client all requests of a session go through.
pub(crate) fn build_client(options: &SessionOptions) -> Result<Client, KeystoneError> {
    // Needed once for the process; another crate may have been first, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match with_tls(plain_builder(options), options)?.build() {
        Ok(client) => Ok(client),
        Err(error) if options.cafile.is_none() && !options.insecure => {
            // A machine without any CA: plain http must work all the same, https will be refused.
            tracing::warn!(%error, "no system CA certificates, https will not work; set cafile");
            with_client_certificate(plain_builder(options).tls_certs_only([]), options)?
                .build()
                .map_err(client_error)
        }
        Err(error) => Err(client_error(error)),
    }
}

fn client_error(error: reqwest::Error) -> KeystoneError {
    KeystoneError::Client { cause: format!("{error:?}") }
}

fn plain_builder(options: &SessionOptions) -> ClientBuilder {
    let builder = Client::builder()
        .user_agent(&options.user_agent)
        .redirect(same_origin_redirects())
        .pool_idle_timeout(IDLE_CONNECTION);
    match options.connect_timeout {
        Some(limit) => builder.connect_timeout(limit),
        None => builder,
    }
}

fn with_tls(mut builder: ClientBuilder, options: &SessionOptions) -> Result<ClientBuilder, KeystoneError> {
    if let Some(path) = &options.cafile {
        let pem = read(path)?;
        let certificates = Certificate::from_pem_bundle(&pem).map_err(|error| bad_file(path, &error))?;
        if certificates.is_empty() {
            return Err(bad_file(path, &"it holds no certificate"));
        }
        builder = builder.tls_certs_only(certificates);
    }
    if options.insecure {
        builder = builder.tls_danger_accept_invalid_certs(true);
    }
    with_client_certificate(builder, options)
}

fn with_client_certificate(
    builder: ClientBuilder,
    options: &SessionOptions,
) -> Result<ClientBuilder, KeystoneError> {
    let Some(certfile) = &options.certfile else { return Ok(builder) };
    let mut pem = zeroize::Zeroizing::new(read(certfile)?);
    if let Some(keyfile) = &options.keyfile {
        let key = zeroize::Zeroizing::new(read(keyfile)?);
        pem.push(b'\n');
        pem.extend_from_slice(&key);
    }
    let identity = Identity::from_pem(&pem).map_err(|error| bad_file(certfile, &error))?;
    Ok(builder.identity(identity))
}

fn read(path: &Path) -> Result<Vec<u8>, KeystoneError> {
    fs::read(path).map_err(|error| bad_file(path, &error))
}

fn bad_file(path: &Path, cause: &dyn std::fmt::Display) -> KeystoneError {
    KeystoneError::TlsFile { file: path.display().to_string(), cause: cause.to_string() }
}

/// `X-Auth-Token` is no header the client knows as secret: it would follow a redirect anywhere.
fn same_origin_redirects() -> redirect::Policy {
    redirect::Policy::custom(|attempt| {
        let same = attempt.previous().last().is_some_and(|from| same_origin(from, attempt.url()));
        if same && attempt.previous().len() <= 5 { attempt.follow() } else { attempt.stop() }
    })
}

fn same_origin(one: &Url, other: &Url) -> bool {
    one.origin() == other.origin()
}
