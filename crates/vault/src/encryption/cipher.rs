//! AES-256-CFB128 over a stream, in place, with the `openssl enc` header.

use super::derive::KeyAndIv;
use super::{HEADER_BYTES, KeyDerivation, PassPhrase, SALT_BYTES, SALTED_MAGIC, random_bytes};
use crate::VaultError;
use aes::Aes256;
use cfb_mode::cipher::KeyIvInit;
use cfb_mode::{BufDecryptor, BufEncryptor};

/// AES works on so much at once.
pub(crate) const BLOCK_BYTES: usize = 16;

/// Encrypts a stream piece by piece.
pub struct Encryptor {
    state: BufEncryptor<Aes256>,
    header: [u8; HEADER_BYTES],
}

impl Encryptor {
    /// Starts a stream with a salt of its own.
    pub fn new(pass: &PassPhrase, derivation: KeyDerivation) -> Result<Self, VaultError> {
        Self::with_salt(pass, derivation, random_bytes())
    }

    pub(crate) fn with_salt(
        pass: &PassPhrase,
        derivation: KeyDerivation,
        salt: [u8; SALT_BYTES],
    ) -> Result<Self, VaultError> {
        let keys = derivation.derive(pass, &salt);
        let state = BufEncryptor::new_from_slices(keys.key(), keys.iv()).map_err(|_| wrong_lengths())?;
        let mut header = [0u8; HEADER_BYTES];
        for (to, from) in header.iter_mut().zip(SALTED_MAGIC.iter().chain(salt.iter())) {
            *to = *from;
        }
        Ok(Self { state, header })
    }

    /// What stands before the ciphertext.
    pub fn header(&self) -> [u8; HEADER_BYTES] {
        self.header
    }
    /// Encrypts the next bytes of the stream where they are.
    pub fn encrypt(&mut self, data: &mut [u8]) {
        self.state.encrypt(data);
    }
}

/// Decrypts a stream piece by piece.
pub struct Decryptor {
    state: BufDecryptor<Aes256>,
}

impl Decryptor {
    /// Takes the first [`HEADER_BYTES`] of a stream; `None` when they are no `openssl enc` header.
    pub fn new(
        pass: &PassPhrase,
        derivation: KeyDerivation,
        header: &[u8; HEADER_BYTES],
    ) -> Result<Option<Self>, VaultError> {
        let Some(keys) = derivation.derive_for(pass, header) else { return Ok(None) };
        let state = BufDecryptor::new_from_slices(keys.key(), keys.iv()).map_err(|_| wrong_lengths())?;
        Ok(Some(Self { state }))
    }
    /// Decrypts the next bytes of the stream where they are.
    pub fn decrypt(&mut self, data: &mut [u8]) {
        self.state.decrypt(data);
    }
}

/// Decrypts parts of a stream without what comes before them.
pub(crate) struct PartDecryptor {
    keys: KeyAndIv,
}

impl PartDecryptor {
    /// As [`Decryptor::new`].
    pub(crate) fn new(
        pass: &PassPhrase,
        derivation: KeyDerivation,
        header: &[u8; HEADER_BYTES],
    ) -> Option<Self> {
        Some(Self { keys: derivation.derive_for(pass, header)? })
    }

    /// Decrypts `data` where it is, but for a whole block of ciphertext at its beginning. It begins on a multiple of the
    /// cipher's block; at the stream's own beginning (`is_first`) there is no block before.
    pub(crate) fn decrypt(&self, data: &mut [u8], is_first: bool) -> Result<(), VaultError> {
        let (before, data) = if is_first {
            (None, data)
        } else {
            let (before, data) = data.split_first_chunk_mut::<BLOCK_BYTES>().ok_or_else(wrong_lengths)?;
            (Some(before), data)
        };
        let iv = before.as_deref().map_or(self.keys.iv(), |before| before);
        let state = BufDecryptor::<Aes256>::new_from_slices(self.keys.key(), iv);
        state.map_err(|_| wrong_lengths())?.decrypt(data);
        Ok(())
    }
}

fn wrong_lengths() -> VaultError {
    VaultError::Internal { what: "encryption", cause: "key or initial vector of a wrong length".into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cfb_vectors() {
        let pass = PassPhrase::new("secret").unwrap();
        for (kind, expected) in
            [(KeyDerivation::EvpSha256, "be666f0b9316"), (KeyDerivation::EvpMd5, "629158adfc7b")]
        {
            let mut stream = Encryptor::with_salt(&pass, kind, [0, 1, 2, 3, 4, 5, 6, 7]).unwrap();
            let mut text = b"hello\n".to_vec();
            // In two pieces: state must carry over inside a block.
            let (first, second) = text.split_at_mut(2);
            stream.encrypt(first);
            stream.encrypt(second);
            assert_eq!(hex::encode(&text), expected);
            let mut back = Decryptor::new(&pass, kind, &stream.header()).unwrap().unwrap();
            back.decrypt(&mut text);
            assert_eq!(text, b"hello\n");
        }
    }

    #[test]
    fn any_part_decrypts_by_itself() {
        let pass = PassPhrase::new("secret").unwrap();
        let clear: Vec<u8> = (0..200).collect();
        let mut encryptor = Encryptor::new(&pass, KeyDerivation::EvpSha256).unwrap();
        let mut stored = clear.clone();
        encryptor.encrypt(&mut stored);
        let parts = PartDecryptor::new(&pass, KeyDerivation::EvpSha256, &encryptor.header()).unwrap();
        for start in 0..clear.len() {
            let from = (start / 16 * 16).saturating_sub(16);
            let mut part = stored[from..].to_vec();
            parts.decrypt(&mut part, start < 16).unwrap();
            assert_eq!(part[start - from..], clear[start..], "{start}");
        }
        assert!(PartDecryptor::new(&pass, KeyDerivation::EvpSha256, b"0123456789abcdef").is_none());
    }

    #[test]
    fn foreign_header_is_told_apart() {
        let pass = PassPhrase::new("secret").unwrap();
        assert!(Decryptor::new(&pass, KeyDerivation::EvpMd5, b"0123456789abcdef").unwrap().is_none());
    }
}
