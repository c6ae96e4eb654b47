//! HMAC-SHA-256 over what is stored (encrypt, then MAC), with a key of its own.

use super::{LEAST_MAC_ITERATIONS, MOST_ITERATIONS, PassPhrase, random_bytes};
use crate::VaultError;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

const MAC_SALT_BYTES: usize = 16;
/// What the key is hashed behind for [`MacKey::pass_phrase_beside`]. No code of anything is made so.
const BESIDE: &[u8] = b"freezer: objects beside the payload";

/// How the authentication key comes from the pass phrase; recorded in the manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MacParameters {
    /// Hexadecimal.
    pub salt: String,
    pub iterations: u32,
}

impl MacParameters {
    /// Parameters for a new backup.
    pub fn generate(iterations: u32) -> Result<Self, VaultError> {
        let parameters = Self { salt: hex::encode(random_bytes::<MAC_SALT_BYTES>()), iterations };
        parameters.checked_salt().map_err(|cause| VaultError::BadRequest { cause })?;
        Ok(parameters)
    }

    /// The salt, or what is wrong with these parameters.
    pub(crate) fn checked_salt(&self) -> Result<Vec<u8>, String> {
        if !(LEAST_MAC_ITERATIONS..=MOST_ITERATIONS).contains(&self.iterations) {
            return Err(format!(
                "{} iterations for the authentication key; between {LEAST_MAC_ITERATIONS} and {MOST_ITERATIONS} are accepted",
                self.iterations
            ));
        }
        let salt = hex::decode(&self.salt).map_err(|error| format!("authentication salt: {error}"))?;
        if salt.len() < MAC_SALT_BYTES {
            return Err("authentication salt: too short".into());
        }
        Ok(salt)
    }
}

/// The key of the codes, wiped on drop.
#[derive(Clone)]
pub struct MacKey(Zeroizing<[u8; 32]>);

impl MacKey {
    /// Slow on purpose (a fraction of a second): not for async threads.
    pub fn derive(pass: &PassPhrase, parameters: &MacParameters) -> Result<Self, VaultError> {
        let salt = parameters.checked_salt().map_err(|cause| VaultError::BadRequest { cause })?;
        let mut key = Zeroizing::new([0u8; 32]);
        pbkdf2::pbkdf2_hmac::<Sha256>(pass.bytes(), &salt, parameters.iterations, key.as_mut_slice());
        Ok(Self(key))
    }
    pub(crate) fn start(&self) -> Result<MacState, VaultError> {
        match Hmac::<Sha256>::new_from_slice(self.0.as_slice()) {
            Ok(state) => Ok(MacState(state)),
            Err(error) => Err(VaultError::Internal { what: "authentication", cause: error.to_string() }),
        }
    }
    /// What the objects beside a payload are encrypted with where deriving a key of its own for each would take long. Nobody
    /// guesses it, so that a fast derivation does.
    pub(crate) fn pass_phrase_beside(&self) -> Result<PassPhrase, VaultError> {
        let mut hash = Sha256::new();
        hash.update(BESIDE);
        hash.update(self.0.as_slice());
        let digest: Zeroizing<[u8; 32]> = Zeroizing::new(hash.finalize().into());
        PassPhrase::new(hex::encode(digest.as_slice()))
    }
    /// The code of `data`, hexadecimal.
    pub fn code_of(&self, data: &[u8]) -> Result<String, VaultError> {
        let mut state = self.start()?;
        state.update(data);
        Ok(state.finish())
    }
    /// Compares in constant time.
    pub fn matches(&self, data: &[u8], code: &str) -> Result<bool, VaultError> {
        let mut state = self.start()?;
        state.update(data);
        Ok(state.matches(code))
    }
}

/// A code being computed.
pub(crate) struct MacState(Hmac<Sha256>);

impl MacState {
    pub(crate) fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }
    pub(crate) fn finish(self) -> String {
        hex::encode(self.0.finalize().into_bytes())
    }
    pub(crate) fn matches(self, code: &str) -> bool {
        hex::decode(code).is_ok_and(|code| self.0.verify_slice(&code).is_ok())
    }
}

impl std::fmt::Debug for MacKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MacKey(hidden)")
    }
}
