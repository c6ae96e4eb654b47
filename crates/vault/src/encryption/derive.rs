//! Keys from pass phrases, the ways the openssl tool does it.

use super::{HEADER_BYTES, PassPhrase, SALTED_MAGIC};
use md5::Md5;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// Bytes of salt in an `openssl enc` header.
pub const SALT_BYTES: usize = 8;
const KEY_BYTES: usize = 32;
const IV_BYTES: usize = 16;

/// How key and initial vector come from pass phrase and salt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum KeyDerivation {
    /// `EVP_BytesToKey`, one round of MD5: openssl before 1.1.0. For reading only.
    EvpMd5,
    /// `EVP_BytesToKey`, one round of SHA-256: openssl since 1.1.0 and upstream's agent on it.
    EvpSha256,
    /// `openssl enc -pbkdf2 -iter N`: PBKDF2 with HMAC-SHA-256. Upstream's agent cannot read it.
    Pbkdf2Sha256 { iterations: u32 },
}

/// A key and an initial vector, wiped on drop.
pub(crate) struct KeyAndIv(Zeroizing<[u8; KEY_BYTES + IV_BYTES]>);

impl KeyAndIv {
    pub(crate) fn key(&self) -> &[u8] {
        self.0.split_at(KEY_BYTES).0
    }
    pub(crate) fn iv(&self) -> &[u8] {
        self.0.split_at(KEY_BYTES).1
    }
}

impl KeyDerivation {
    /// Whether it takes a while, and is to be done as seldom as can be.
    pub(crate) fn is_slow(self) -> bool {
        matches!(self, Self::Pbkdf2Sha256 { .. })
    }

    /// Of a stream that begins with `header`; `None` when that is no header of `openssl enc`.
    pub(crate) fn derive_for(self, pass: &PassPhrase, header: &[u8; HEADER_BYTES]) -> Option<KeyAndIv> {
        let salt = header.strip_prefix(SALTED_MAGIC.as_slice())?.first_chunk::<SALT_BYTES>()?;
        Some(self.derive(pass, salt))
    }

    pub(crate) fn derive(self, pass: &PassPhrase, salt: &[u8; SALT_BYTES]) -> KeyAndIv {
        match self {
            Self::EvpMd5 => evp_bytes_to_key::<Md5>(pass.bytes(), salt),
            Self::EvpSha256 => evp_bytes_to_key::<Sha256>(pass.bytes(), salt),
            Self::Pbkdf2Sha256 { iterations } => {
                let mut out = Zeroizing::new([0u8; KEY_BYTES + IV_BYTES]);
                pbkdf2::pbkdf2_hmac::<Sha256>(pass.bytes(), salt, iterations, out.as_mut_slice());
                KeyAndIv(out)
            }
        }
    }
}

/// `D(i) = H(D(i-1) ‖ pass ‖ salt)`; the D's one after the other are key and initial vector.
fn evp_bytes_to_key<H: Digest>(pass: &[u8], salt: &[u8]) -> KeyAndIv {
    let mut out = Zeroizing::new([0u8; KEY_BYTES + IV_BYTES]);
    let mut previous = Zeroizing::new(Vec::new());
    let mut rest = out.as_mut_slice();
    while !rest.is_empty() {
        let mut hash = H::new();
        hash.update(previous.as_slice());
        hash.update(pass);
        hash.update(salt);
        *previous = hash.finalize().to_vec();
        let (part, after) = rest.split_at_mut(previous.len().min(rest.len()));
        for (to, from) in part.iter_mut().zip(previous.iter()) {
            *to = *from;
        }
        rest = after;
    }
    KeyAndIv(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn derived(kind: KeyDerivation, pass: &str) -> (String, String) {
        let pass = PassPhrase::new(pass).unwrap();
        let both = kind.derive(&pass, &[0, 1, 2, 3, 4, 5, 6, 7]);
        (hex::encode(both.key()), hex::encode(both.iv()))
    }

    #[test]
    fn evp_vectors() {
        let (key, iv) = derived(KeyDerivation::EvpMd5, "secret");
        assert_eq!(key, "035fb8145b73cf111570dc936112be9c375a5d3d8b915bc213bdbef9dbfb7851");
        assert_eq!(iv, "1d112c3c48b1d30dbceeaff080816be4");
        let (key, iv) = derived(KeyDerivation::EvpSha256, "secret");
        assert_eq!(key, "9407a397f39fd21ffe27f6faa71ed3f0b2cf77f4319ad49b0c3be4f1d8e34491");
        assert_eq!(iv, "90db0c64e023a2dc02bf53c56837d1f0");
        // As upstream's rsync engines take it from a file.
        let (key, iv) = derived(KeyDerivation::EvpMd5, "secret\n");
        assert_eq!(key, "3e6d125668eb055a8a4e0854933f29b1cbd4ca2f8244f507676392bca341bead");
        assert_eq!(iv, "b83b7120280f229bce4089825aa5e94f");
    }
}
