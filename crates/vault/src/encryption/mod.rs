//! Encryption as `openssl enc -aes-256-cfb` writes it with the authentication `openssl enc` lacks, or AES-256-GCM in sealed chunks.
//!
//! Of the first, ciphertext is `Salted__`, 8 bytes of salt, then AES-256 in CFB128 mode without padding, so that the
//! openssl tool and upstream's agent can read it. What the second looks like is said in `chunks`. Over the ciphertext of both go HMAC-SHA-256 codes, kept in the
//! manifest; their key has its own salt and a slow derivation. Keys and pass phrases are wiped on drop
//! and never shown.

mod authenticate;
mod cfb8;
mod choice;
mod chunks;
mod cipher;
mod derive;
mod key_ring;
mod open;
mod pass_phrase;
mod seal;

pub(crate) use authenticate::MacState;
pub use authenticate::{MacKey, MacParameters};
pub(crate) use cfb8::Cfb8Decryptor;
pub(crate) use choice::Scheme;
pub use choice::{Beside, Cipher};
pub(crate) use chunks::ChunkGrid;
pub use chunks::{CHUNK_HEADER_BYTES, ChunkOpener, ChunkSealer, TAG_BYTES};
pub(crate) use cipher::{BLOCK_BYTES, PartDecryptor};
pub use cipher::{Decryptor, Encryptor};
pub use derive::{KeyDerivation, SALT_BYTES};
pub(crate) use key_ring::KeyRing;
pub(crate) use open::{open_all, open_stream};
pub use pass_phrase::PassPhrase;
pub(crate) use seal::{StreamSealer, seal_all};

use crate::VaultError;

/// First bytes of everything `openssl enc` writes with a salt.
pub const SALTED_MAGIC: &[u8; 8] = b"Salted__";
/// Magic and salt together, in bytes.
pub const HEADER_BYTES: usize = SALTED_MAGIC.len() + SALT_BYTES;

/// Iterations of PBKDF2 for the authentication key, unless told otherwise.
pub const USUAL_MAC_ITERATIONS: u32 = 600_000;
/// Fewer iterations than this are refused, on writing and on reading.
pub const LEAST_MAC_ITERATIONS: u32 = 200_000;
/// More than this is taken for damage: it would only keep a restore busy.
pub const MOST_ITERATIONS: u32 = 50_000_000;

/// How to encrypt a new backup.
#[derive(Clone, Debug)]
pub struct EncryptionOptions {
    pub pass_phrase: PassPhrase,
    pub cipher: Cipher,
    /// [`KeyDerivation::EvpSha256`] is what upstream's agent and a bare `openssl enc -d` can read.
    pub derivation: KeyDerivation,
    /// A level on top of another takes that one's derivation instead, so that whoever reads a chain goes on reading it.
    pub keeps_derivation: bool,
    pub mac_iterations: u32,
    /// Encrypt the snapshot file of the tar engine too, which holds all names. Upstream's agent cannot continue the chain then.
    /// Where upstream's agent cannot read the backup in any case, because of `derivation`, that is done unasked.
    pub hides_names: bool,
}

impl EncryptionOptions {
    /// The parameters upstream's agent can read.
    pub fn new(pass_phrase: PassPhrase) -> Self {
        Self {
            pass_phrase,
            cipher: Cipher::default(),
            derivation: KeyDerivation::EvpSha256,
            keeps_derivation: false,
            mac_iterations: USUAL_MAC_ITERATIONS,
            hides_names: false,
        }
    }

    /// What holds of one level, built on one of the derivation `base`; `None`: on none.
    pub(crate) fn of_level(&self, base: Option<KeyDerivation>) -> Self {
        let kept = base.filter(|_| self.keeps_derivation);
        Self { derivation: kept.unwrap_or(self.derivation), ..self.clone() }
    }

    pub(crate) fn encrypts_names(&self) -> bool {
        self.hides_names || self.derivation.is_slow()
    }

    /// What holds of the objects beside the payload; `key` is the authentication key. See [`Beside`].
    pub(crate) fn beside(&self, key: &MacKey) -> Result<Self, VaultError> {
        match Beside::of(self.derivation) {
            None => Ok(self.clone()),
            Some(Beside::MacKey) => {
                let (pass_phrase, derivation) = (key.pass_phrase_beside()?, Beside::DERIVATION);
                Ok(Self { pass_phrase, derivation, ..self.clone() })
            }
        }
    }
}

/// `N` bytes nobody can guess, from the system's generator.
pub(crate) fn random_bytes<const N: usize>() -> [u8; N] {
    use sha2::{Digest, Sha256};
    let mut out = [0u8; N];
    for part in out.chunks_mut(32) {
        // Two random UUIDs carry 244 bits from the system's generator; the hash spreads them evenly.
        let mut hash = Sha256::new();
        hash.update(uuid::Uuid::new_v4().as_bytes());
        hash.update(uuid::Uuid::new_v4().as_bytes());
        let digest = hash.finalize();
        for (to, from) in part.iter_mut().zip(digest.iter()) {
            *to = *from;
        }
    }
    out
}
