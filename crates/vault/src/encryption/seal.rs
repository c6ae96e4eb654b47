//! Encrypting a stream with the cipher that was chosen.

use super::{ChunkSealer, Cipher, EncryptionOptions, Encryptor};
use crate::VaultError;

/// Encrypts a stream piece by piece, whatever the cipher.
pub(crate) enum StreamSealer {
    Cfb(Box<Encryptor>),
    Chunks(Box<ChunkSealer>),
}

impl StreamSealer {
    /// Starts a stream with salts of its own. Slow with a slow derivation.
    pub(crate) fn start(options: &EncryptionOptions) -> Result<Self, VaultError> {
        let (pass, derivation) = (&options.pass_phrase, options.derivation);
        Ok(match options.cipher {
            Cipher::Aes256Cfb => Self::Cfb(Box::new(Encryptor::new(pass, derivation)?)),
            Cipher::Aes256Gcm => Self::Chunks(Box::new(ChunkSealer::new(pass, derivation)?)),
        })
    }

    pub(crate) fn cipher(&self) -> Cipher {
        match self {
            Self::Cfb(_) => Cipher::Aes256Cfb,
            Self::Chunks(_) => Cipher::Aes256Gcm,
        }
    }

    /// What stands before all else.
    pub(crate) fn header(&self) -> Vec<u8> {
        match self {
            Self::Cfb(encryptor) => encryptor.header().to_vec(),
            Self::Chunks(sealer) => sealer.header().to_vec(),
        }
    }

    /// What of the stream can be stored now that these bytes are known; not always as many.
    pub(crate) fn seal(&mut self, mut clear: Vec<u8>) -> Result<Vec<u8>, VaultError> {
        match self {
            Self::Cfb(encryptor) => {
                encryptor.encrypt(&mut clear);
                Ok(clear)
            }
            Self::Chunks(sealer) => {
                let mut out = Vec::with_capacity(clear.len());
                sealer.seal(&clear, &mut out)?;
                Ok(out)
            }
        }
    }

    /// The rest.
    pub(crate) fn finish(self) -> Result<Vec<u8>, VaultError> {
        let mut out = Vec::new();
        if let Self::Chunks(sealer) = self {
            sealer.finish(&mut out)?;
        }
        Ok(out)
    }
}

/// A small object as it is stored, header included.
pub(crate) fn seal_all(clear: Vec<u8>, options: &EncryptionOptions) -> Result<Vec<u8>, VaultError> {
    let mut sealer = StreamSealer::start(options)?;
    let mut body = sealer.header();
    body.extend(sealer.seal(clear)?);
    body.extend(sealer.finish()?);
    Ok(body)
}
