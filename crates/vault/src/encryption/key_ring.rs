//! Authentication keys derived so far: deriving one is slow, and the levels of a chain share theirs.

use super::{MacKey, MacParameters, PassPhrase};
use crate::VaultError;
use std::sync::Mutex;

/// A pass phrase and the keys derived from it.
#[derive(Debug)]
pub(crate) struct KeyRing {
    pass: PassPhrase,
    keys: Mutex<Vec<(MacParameters, MacKey)>>,
}

impl KeyRing {
    pub(crate) fn new(pass: PassPhrase) -> Self {
        Self { pass, keys: Mutex::new(Vec::new()) }
    }
    pub(crate) fn pass_phrase(&self) -> &PassPhrase {
        &self.pass
    }
    pub(crate) async fn key(&self, parameters: &MacParameters) -> Result<MacKey, VaultError> {
        if let Some(key) = self.known(parameters) {
            return Ok(key);
        }
        let (pass, wanted) = (self.pass.clone(), parameters.clone());
        let key = tokio::task::spawn_blocking(move || MacKey::derive(&pass, &wanted))
            .await
            .map_err(|error| VaultError::Internal { what: "deriving a key", cause: error.to_string() })??;
        if let Ok(mut keys) = self.keys.lock() {
            keys.push((parameters.clone(), key.clone()));
        }
        Ok(key)
    }
    fn known(&self, parameters: &MacParameters) -> Option<MacKey> {
        let keys = self.keys.lock().ok()?;
        keys.iter().find(|(known, _)| known == parameters).map(|(_, key)| key.clone())
    }
}
