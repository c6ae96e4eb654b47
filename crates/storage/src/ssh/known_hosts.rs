//! Is this the host we think it is? Judged by a known_hosts file in OpenSSH's format.

use russh::keys::known_hosts::known_host_keys_path;
use russh::keys::ssh_key::{HashAlg, PublicKey};
use russh::keys::{Algorithm, PublicKeyBase64};
use std::path::PathBuf;

/// Whom we expect, and by which file.
#[derive(Clone, Debug)]
pub(super) struct KnownHosts {
    pub host: String,
    pub port: u16,
    pub file: PathBuf,
    pub insecure: bool,
}

impl KnownHosts {
    /// The algorithms of the keys on file, to be asked for first: a host has several keys, and another one
    /// than ours would only look unknown.
    pub fn algorithms(&self) -> Vec<Algorithm> {
        if self.insecure {
            return Vec::new();
        }
        let keys = known_host_keys_path(&self.host, self.port, &self.file).unwrap_or_default();
        keys.into_iter().map(|(_, key)| key.algorithm()).collect()
    }

    /// `Err` holds why the key is not accepted and what to do.
    pub fn check(&self, key: &PublicKey) -> Result<(), String> {
        if self.insecure {
            return Ok(());
        }
        let file = self.file.display();
        let known = known_host_keys_path(&self.host, self.port, &self.file)
            .map_err(|error| format!("{file} holds a line for this host that cannot be read: {error}"))?;
        if self.is_revoked(key) {
            return Err(format!("the host's key {} is marked @revoked in {file}", fingerprint(key)));
        }
        if known.iter().any(|(_, known)| known.key_data() == key.key_data()) {
            return Ok(());
        }
        let scan = self.scan_line();
        let seen = fingerprint(key);
        match known.iter().find(|(_, known)| known.algorithm() == key.algorithm()) {
            Some((_, other)) => Err(format!(
                "the host's key CHANGED: it shows {seen}, {file} line {} holds another one. If the host \
                 was really given a new key, remove that line and run: {scan}",
                self.line_of(other)
            )),
            None => Err(format!(
                "the host is unknown: it shows {seen}, which is not in {file}. Compare that fingerprint with the \
                 host's own, then run: {scan}"
            )),
        }
    }

    fn scan_line(&self) -> String {
        let file = self.file.display();
        if self.port == 22 {
            format!("ssh-keyscan {} >> {file}", self.host)
        } else {
            format!("ssh-keyscan -p {} {} >> {file}", self.port, self.host)
        }
    }

    /// The library does not count comments; editors do.
    fn line_of(&self, key: &PublicKey) -> usize {
        let text = std::fs::read_to_string(&self.file).unwrap_or_default();
        let key = key.public_key_base64();
        let holds = |line: &str| line.split_whitespace().any(|word| word == key);
        text.lines().position(holds).map_or(0, |at| at + 1)
    }

    fn is_revoked(&self, key: &PublicKey) -> bool {
        let Ok(text) = std::fs::read_to_string(&self.file) else { return false };
        let key = key.public_key_base64();
        text.lines()
            .filter_map(|line| line.trim_start().strip_prefix("@revoked"))
            .any(|line| line.split_whitespace().any(|word| word == key))
    }
}

fn fingerprint(key: &PublicKey) -> String {
    format!("{} {}", key.algorithm(), key.fingerprint(HashAlg::Sha256))
}
