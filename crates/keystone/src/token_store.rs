//! Tokens in memcached, in keystonemiddleware's keys and values, so that a cloud's Python services and this
//! one share their caches.
//!
//! Plain: key `tokens/<hex SHA-256 of the token>`, value JSON. MAC and ENCRYPT: HMAC-SHA384(secret, token ‖
//! strategy) gives, in thirds, cache key, MAC key and cipher key; the value is base64(HMAC-SHA384(MAC key, d)) ‖
//! d with d = base64(JSON) or base64(IV ‖ AES-128-CBC(JSON)). What does not verify is not there.

use crate::error::KeystoneError;
use crate::memcached::Memcached;
use crate::secret::Secret;
use crate::token_document::TokenDocument;
use aes::Aes128;
use aes::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit, block_padding::Pkcs7};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::{Digest, Sha256, Sha384};
use std::time::Duration;
use zeroize::Zeroizing;

/// Length of base64(HMAC-SHA384).
const MAC_TEXT_BYTES: usize = 64;
const IV_BYTES: usize = 16;

/// `memcache_security_strategy` with its key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CacheProtection {
    #[default]
    Plain,
    /// Values are authenticated.
    Mac(Secret),
    /// Values are encrypted and authenticated.
    Encrypt(Secret),
}

/// What the store knows of a token.
#[derive(Debug, PartialEq)]
pub(crate) enum Stored {
    Good(Box<TokenDocument>),
    /// Older keystonemiddleware notes refused tokens.
    Invalid,
}

pub(crate) struct TokenStore {
    pub memcached: Memcached,
    pub protection: CacheProtection,
    pub life: Duration,
}

impl TokenStore {
    pub async fn get(&self, token: &str) -> Option<Stored> {
        let slot = Slot::new(&self.protection, token)?;
        let value = Zeroizing::new(self.memcached.get(&slot.key).await?);
        let json = slot.open(&value)?;
        let document: Value = serde_json::from_slice(&json).ok()?;
        if document == "invalid" {
            return Some(Stored::Invalid);
        }
        // An entry of another token under this key cannot be an accident: it is not believed.
        let inner = document.pointer("/token/auth_token").and_then(Value::as_str);
        if inner.is_some_and(|inner| inner != token) {
            return None;
        }
        TokenDocument::from_answer(&document).ok().map(|document| Stored::Good(Box::new(document)))
    }

    /// True if stored. `answer` is Keystone's `{"token": {…}}`.
    pub async fn put(&self, token: &str, answer: &Value) -> bool {
        let Some(slot) = Slot::new(&self.protection, token) else { return false };
        let mut document = answer.clone();
        let Some(inner) = document.get_mut("token").and_then(Value::as_object_mut) else { return false };
        inner.insert("version".to_owned(), json!("v3"));
        inner.insert("auth_token".to_owned(), json!(token));
        let Ok(json) = serde_json::to_vec(&document).map(Zeroizing::new) else { return false };
        match slot.seal(&json) {
            Ok(value) => self.memcached.set(&slot.key, &value, self.life).await,
            Err(error) => {
                tracing::error!(%error, "a token cannot be put into memcached");
                false
            }
        }
    }
}

/// Hex SHA-256: the plain key, and what this service calls a token in its own memory.
pub(crate) fn token_digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// Where one token lies, and how it is locked.
struct Slot {
    key: String,
    lock: Lock,
}

enum Lock {
    Open,
    Mac { mac: Zeroizing<Vec<u8>> },
    Encrypt { mac: Zeroizing<Vec<u8>>, cipher: Zeroizing<Vec<u8>> },
}

impl Slot {
    fn new(protection: &CacheProtection, token: &str) -> Option<Self> {
        let (secret, strategy) = match protection {
            CacheProtection::Plain => {
                return Some(Self {
                    key: format!("tokens/{}", hex::encode(token_digest(token))),
                    lock: Lock::Open,
                });
            }
            CacheProtection::Mac(secret) => (secret, "MAC"),
            CacheProtection::Encrypt(secret) => (secret, "ENCRYPT"),
        };
        let digest =
            Zeroizing::new(mac_of(secret.expose().as_bytes(), &[token.as_bytes(), strategy.as_bytes()])?);
        let third = |from: usize| digest.get(from..from + 16).map(|part| Zeroizing::new(part.to_vec()));
        // The b and the quotes are Python's way to write bytes, by accident, and now the format.
        let key = format!("tokens/b'{}'", STANDARD.encode(third(0)?));
        let lock = match protection {
            CacheProtection::Encrypt(_) => Lock::Encrypt { mac: third(16)?, cipher: third(32)? },
            _ => Lock::Mac { mac: third(16)? },
        };
        Some(Self { key, lock })
    }

    fn seal(&self, json: &[u8]) -> Result<Vec<u8>, KeystoneError> {
        let broken = |cause: &str| KeystoneError::Client { cause: cause.to_owned() };
        let (mac, data) = match &self.lock {
            Lock::Open => return Ok(json.to_vec()),
            Lock::Mac { mac } => (mac, STANDARD.encode(json)),
            Lock::Encrypt { mac, cipher } => {
                let mut iv = [0; IV_BYTES];
                let random = rustls::crypto::ring::default_provider().secure_random;
                random.fill(&mut iv).map_err(|_| broken("the system has no random numbers"))?;
                let encryptor = cbc::Encryptor::<Aes128>::new_from_slices(cipher, &iv);
                let encryptor = encryptor.map_err(|_| broken("a cipher key has the wrong length"))?;
                let mut sealed = iv.to_vec();
                sealed.extend(encryptor.encrypt_padded_vec::<Pkcs7>(json));
                (mac, STANDARD.encode(sealed))
            }
        };
        let tag = mac_of(mac, &[data.as_bytes()]).ok_or_else(|| broken("a MAC key cannot be used"))?;
        Ok([STANDARD.encode(tag).into_bytes(), data.into_bytes()].concat())
    }

    fn open(&self, value: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (mac, cipher) = match &self.lock {
            Lock::Open => return Some(Zeroizing::new(value.to_vec())),
            Lock::Mac { mac } => (mac, None),
            Lock::Encrypt { mac, cipher } => (mac, Some(cipher)),
        };
        let (tag, data) = value.split_at_checked(MAC_TEXT_BYTES)?;
        let tag = STANDARD.decode(tag).ok()?;
        let mut check = Hmac::<Sha384>::new_from_slice(mac).ok()?;
        check.update(data);
        check.verify_slice(&tag).ok()?;
        let data = Zeroizing::new(STANDARD.decode(data).ok()?);
        let Some(cipher) = cipher else { return Some(data) };
        let (iv, sealed) = data.split_at_checked(IV_BYTES)?;
        let decryptor = cbc::Decryptor::<Aes128>::new_from_slices(cipher, iv).ok()?;
        decryptor.decrypt_padded_vec::<Pkcs7>(sealed).ok().map(Zeroizing::new)
    }
}

fn mac_of(key: &[u8], parts: &[&[u8]]) -> Option<Vec<u8>> {
    let mut mac = Hmac::<Sha384>::new_from_slice(key).ok()?;
    for part in parts {
        mac.update(part);
    }
    Some(mac.finalize().into_bytes().to_vec())
}

#[cfg(test)]
#[path = "token_store_tests.rs"]
mod tests;
