//! Writing and checking the hashes at the end of a manifest.

use super::Manifest;
use crate::VaultError;
use crate::encryption::MacKey;
use bytes::Bytes;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

const SHA256: &str = "sha256";
const HMAC: &str = "hmac";

/// A manifest as read, with its hash checked but not yet its authentication code.
#[derive(Clone, Debug)]
pub struct Sealed {
    pub manifest: Manifest,
    /// Over the canonical form; what children pin.
    pub sha256: String,
    canonical: Vec<u8>,
    hmac: Option<String>,
    /// Pieces and canonical form were let go; see [`Sealed::thin`].
    pub is_thin: bool,
}

/// The object to store: canonical form and hashes over it. Answers the SHA-256 as well.
pub fn seal(manifest: &Manifest, key: Option<&MacKey>) -> Result<(Bytes, String), VaultError> {
    let internal =
        |error: serde_json::Error| VaultError::Internal { what: "manifest", cause: error.to_string() };
    let Value::Object(mut map) = serde_json::to_value(manifest).map_err(internal)? else {
        return Err(VaultError::Internal { what: "manifest", cause: "it is no JSON object".into() });
    };
    let canonical = serde_json::to_vec(&map).map_err(internal)?;
    let digest = hex::encode(Sha256::digest(&canonical));
    map.insert(SHA256.into(), Value::String(digest.clone()));
    if let Some(key) = key {
        map.insert(HMAC.into(), Value::String(key.code_of(&canonical)?));
    }
    Ok((Bytes::from(serde_json::to_vec(&map).map_err(internal)?), digest))
}

impl Sealed {
    /// Parses `body` and checks its SHA-256. Errors are causes for [`VaultError::BadManifest`].
    pub fn open(body: &[u8]) -> Result<Self, String> {
        let mut map: Map<String, Value> =
            serde_json::from_slice(body).map_err(|error| format!("it is no JSON object: {error}"))?;
        let mut take = |key: &str| match map.shift_remove(key) {
            Some(Value::String(text)) => Ok(Some(text)),
            None => Ok(None),
            Some(_) => Err(format!("its {key} is no text")),
        };
        let hmac = take(HMAC)?;
        let sha256 = take(SHA256)?.ok_or("it has no sha256")?;
        let canonical = serde_json::to_vec(&map).map_err(|error| error.to_string())?;
        if hex::encode(Sha256::digest(&canonical)) != sha256 {
            return Err("its content does not fit its sha256".into());
        }
        let manifest: Manifest = serde_json::from_value(Value::Object(map))
            .map_err(|error| format!("it cannot be understood: {error}"))?;
        if let Some(fault) = manifest.fault() {
            return Err(fault);
        }
        if manifest.encryption.is_some() && hmac.is_none() {
            return Err("it is encrypted but has no authentication code".into());
        }
        Ok(Self { manifest, sha256, canonical, hmac, is_thin: false })
    }

    /// Without what is long, for lists of many backups. Reading it again brings the rest back.
    pub fn thin(mut self) -> Self {
        self.manifest.pieces = Vec::new();
        self.manifest.index_body = None;
        self.manifest.contents_body = None;
        self.canonical = Vec::new();
        self.is_thin = true;
        self
    }

    /// Whether `key` made the authentication code of this manifest.
    pub fn is_authentic(&self, key: &MacKey) -> Result<bool, VaultError> {
        match &self.hmac {
            Some(code) => key.matches(&self.canonical, code),
            None => Ok(false),
        }
    }
}
