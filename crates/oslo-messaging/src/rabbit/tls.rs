//! TLS from the options. The broker's certificate and host name are always verified.
//!
//! Trust comes from one place only: `ssl_ca_file`, or else the system's bundle, which is read here. Beware: built
//! without its TLS feature, lapin opens `amqps` connections in clear text and says nothing. The feature is switched on
//! through `amq-protocol-tcp`, and the constant below does not compile without it.

use crate::{Error, Result, TlsOptions};
use lapin::tcp::{OwnedIdentity, OwnedTLSConfig};
use std::path::Path;

/// Exists only when lapin can do TLS.
const _: fn() -> amq_protocol_tcp::RustlsConnectorConfig = amq_protocol_tcp::RustlsConnectorConfig::default;

/// Where systems keep their certificates, most common first.
const SYSTEM_BUNDLES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Reads the files anew for each connection, so that renewed certificates are taken without a restart.
pub(super) fn load(options: &TlsOptions) -> Result<OwnedTLSConfig> {
    let ca = match &options.ca_file {
        Some(path) => read(path)?,
        None => system_bundle()?,
    };
    let cert_chain = String::from_utf8(ca).map_err(|_| Error::TlsFile {
        path: options
            .ca_file
            .as_ref()
            .map_or_else(|| "system certificates".into(), |p| p.display().to_string()),
        cause: "it is no PEM text".to_owned(),
    })?;
    if !cert_chain.contains("-----BEGIN CERTIFICATE-----") {
        let path = options.ca_file.as_ref().map_or_else(String::new, |p| p.display().to_string());
        return Err(Error::TlsFile { path, cause: "it holds no PEM certificate".to_owned() });
    }
    let identity = match (&options.cert_file, &options.key_file) {
        (Some(cert), Some(key)) => Some(OwnedIdentity::PKCS8 { pem: read(cert)?, key: read(key)? }),
        _ => None,
    };
    Ok(OwnedTLSConfig { identity, cert_chain: Some(cert_chain) })
}

fn system_bundle() -> Result<Vec<u8>> {
    let from_environment = std::env::var_os("SSL_CERT_FILE").map(std::path::PathBuf::from);
    let known = SYSTEM_BUNDLES.iter().map(std::path::PathBuf::from);
    match from_environment.into_iter().chain(known).find(|path| path.is_file()) {
        Some(path) => read(&path),
        None => Err(Error::TlsFile {
            path: SYSTEM_BUNDLES.join(", "),
            cause: "there is no certificate bundle on this system; set ssl_ca_file".to_owned(),
        }),
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path)
        .map_err(|error| Error::TlsFile { path: path.display().to_string(), cause: error.to_string() })
}
