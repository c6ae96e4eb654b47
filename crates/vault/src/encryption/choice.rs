//! Which cipher a backup is encrypted with, and how its keys are derived.

use super::{KeyDerivation, chunks};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A cipher by its name in manifests and options.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Cipher {
    /// As `openssl enc -aes-256-cfb` writes it.
    #[default]
    Aes256Cfb,
    /// In sealed chunks, see [`super::ChunkSealer`].
    Aes256Gcm,
}

impl Cipher {
    pub const ALL: [Self; 2] = [Self::Aes256Cfb, Self::Aes256Gcm];

    pub fn name(self) -> &'static str {
        match self {
            Self::Aes256Cfb => "aes-256-cfb",
            Self::Aes256Gcm => "aes-256-gcm",
        }
    }

    /// Clear bytes in each sealed chunk of a new backup; `None` of a cipher without chunks.
    pub(crate) fn chunk_bytes(self) -> Option<u32> {
        match self {
            Self::Aes256Cfb => None,
            Self::Aes256Gcm => Some(chunks::USUAL_CHUNK_BYTES),
        }
    }
}

impl fmt::Display for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl From<Cipher> for String {
    fn from(cipher: Cipher) -> Self {
        cipher.name().to_owned()
    }
}

impl TryFrom<String> for Cipher {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|cipher| cipher.name() == name);
        found.ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(" and ");
            format!("it is encrypted with '{name}'; this program knows {known}; update it")
        })
    }
}

/// Where the pass phrase of the objects beside a payload comes from, when it is not the payload's. Each object has a salt of its
/// own, and so has each its own key: where that is slow to derive, a backup would take as long as it has objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Beside {
    /// Of the authentication key (`MacKey::pass_phrase_beside`), which was slow to derive, once for all levels of a chain.
    MacKey,
}

impl Beside {
    pub(crate) const DERIVATION: KeyDerivation = KeyDerivation::EvpSha256;

    /// Of a new backup.
    pub(crate) fn of(derivation: KeyDerivation) -> Option<Self> {
        derivation.is_slow().then_some(Self::MacKey)
    }
}

/// What else than the pass phrase is needed to read something encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scheme {
    pub cipher: Cipher,
    pub derivation: KeyDerivation,
}
