//! AES-256-CFB8 over a stream, for reading only: what the rsync engine of Freezer 4 and 5 wrote.

use super::{HEADER_BYTES, KeyDerivation, PassPhrase};
use aes::cipher::{BlockCipherEncrypt, KeyInit};
use aes::{Aes256, Block};

/// Decrypts a stream piece by piece.
pub(crate) struct Cfb8Decryptor {
    cipher: Aes256,
    /// The last sixteen bytes of ciphertext; the initial vector at first.
    register: Block,
}

impl Cfb8Decryptor {
    /// Takes the header of a stream; `None` when it is none.
    pub(crate) fn new(
        pass: &PassPhrase,
        derivation: KeyDerivation,
        header: &[u8; HEADER_BYTES],
    ) -> Option<Self> {
        let keys = derivation.derive_for(pass, header)?;
        let mut register = Block::default();
        for (to, from) in register.iter_mut().zip(keys.iv()) {
            *to = *from;
        }
        Some(Self { cipher: Aes256::new_from_slice(keys.key()).ok()?, register })
    }

    /// Decrypts the next bytes of the stream where they are.
    pub(crate) fn decrypt(&mut self, data: &mut [u8]) {
        for byte in data {
            let mut mask = self.register;
            self.cipher.encrypt_block(&mut mask);
            self.register.rotate_left(1);
            if let Some(last) = self.register.last_mut() {
                *last = *byte;
            }
            *byte ^= mask.first().copied().unwrap_or_default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_openssl_writes_it() {
        let line =
            "printf 'hello, CFB8 world\\n' | openssl enc -aes-256-cfb8 -md md5 -pass pass:secret 2>/dev/null";
        let stored = std::process::Command::new("sh").args(["-c", line]).output().unwrap().stdout;
        let (header, body) = stored.split_first_chunk::<HEADER_BYTES>().unwrap();
        let pass = PassPhrase::new("secret").unwrap();
        let mut decryptor = Cfb8Decryptor::new(&pass, KeyDerivation::EvpMd5, header).unwrap();
        let mut clear = body.to_vec();
        let (first, second) = clear.split_at_mut(5);
        decryptor.decrypt(first);
        decryptor.decrypt(second);
        assert_eq!(clear, b"hello, CFB8 world\n");
    }
}
