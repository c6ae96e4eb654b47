//! Decrypting a stream from its beginning, with the cipher that the manifest names.

use super::{CHUNK_HEADER_BYTES, ChunkOpener, Cipher, Decryptor, HEADER_BYTES, PassPhrase, Scheme};
use std::io::{self, Cursor, Read};

/// The clear bytes of `inner`. Blocks for its header. Errors are causes; what goes wrong later begins with `what`.
pub(crate) fn open_stream<R: Read + Send + 'static>(
    mut inner: R,
    scheme: Scheme,
    pass: &PassPhrase,
    what: &'static str,
) -> Result<Box<dyn Read + Send>, String> {
    let unread = |error: io::Error| format!("encryption header: {error}");
    match scheme.cipher {
        Cipher::Aes256Cfb => {
            let mut header = [0; HEADER_BYTES];
            inner.read_exact(&mut header).map_err(unread)?;
            let decryptor =
                Decryptor::new(pass, scheme.derivation, &header).map_err(|error| error.to_string())?;
            let decryptor = decryptor.ok_or("it has no encryption header")?;
            Ok(Box::new(DecryptingReader { inner, decryptor }))
        }
        Cipher::Aes256Gcm => {
            let mut header = [0; CHUNK_HEADER_BYTES];
            inner.read_exact(&mut header).map_err(unread)?;
            let opener = ChunkOpener::new(pass, scheme.derivation, &header)?;
            Ok(Box::new(ChunkReader::new(inner, opener, what)))
        }
    }
}

/// The clear form of a small object. Errors are causes.
pub(crate) fn open_all(body: Vec<u8>, scheme: Scheme, pass: &PassPhrase) -> Result<Vec<u8>, String> {
    let mut clear = Vec::with_capacity(body.len());
    let mut reader = open_stream(Cursor::new(body), scheme, pass, "")?;
    reader.read_to_end(&mut clear).map_err(|error| error.to_string())?;
    Ok(clear)
}

/// Decrypts what another reader gives, in the caller's buffer.
struct DecryptingReader<R> {
    inner: R,
    decryptor: Decryptor,
}

impl<R: Read> Read for DecryptingReader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(out)?;
        if let Some(part) = out.get_mut(..count) {
            self.decryptor.decrypt(part);
        }
        Ok(count)
    }
}

/// Opens the chunks that another reader gives. No byte of a chunk is given on before its tag was checked, and the end only behind
/// the chunk that is sealed as the last one.
struct ChunkReader<R> {
    inner: R,
    opener: ChunkOpener,
    /// Number of the chunk that is opened next.
    number: u64,
    clear: Cursor<Vec<u8>>,
    /// Read, not opened yet.
    ahead: Vec<u8>,
    is_done: bool,
    /// Begins what is said of faults.
    what: &'static str,
}

impl<R: Read> ChunkReader<R> {
    fn new(inner: R, opener: ChunkOpener, what: &'static str) -> Self {
        let (clear, ahead) = (Cursor::new(Vec::new()), Vec::new());
        Self { inner, opener, number: 0, clear, ahead, is_done: false, what }
    }

    fn open_next(&mut self) -> io::Result<()> {
        let whole = self.opener.sealed_bytes();
        // One byte more tells whether it is the last.
        let wanted = (whole + 1).saturating_sub(self.ahead.len());
        (&mut self.inner).take(wanted as u64).read_to_end(&mut self.ahead)?;
        let is_last = self.ahead.len() <= whole;
        let rest = if is_last { Vec::new() } else { self.ahead.split_off(whole) };
        let mut chunk = std::mem::replace(&mut self.ahead, rest);
        let opened = self.opener.open(self.number, is_last, &mut chunk);
        let fail =
            |cause: String| io::Error::new(io::ErrorKind::InvalidData, format!("{}{cause}", self.what));
        opened.map_err(fail)?;
        self.clear = Cursor::new(chunk);
        self.number += 1;
        self.is_done = is_last;
        Ok(())
    }
}

impl<R: Read> Read for ChunkReader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.clear.read(out)?;
            if count > 0 || out.is_empty() || self.is_done {
                return Ok(count);
            }
            self.open_next()?;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::super::chunks::tests::sealed;
    use super::super::{KeyDerivation, TAG_BYTES};
    use super::*;

    const SCHEME: Scheme = Scheme { cipher: Cipher::Aes256Gcm, derivation: KeyDerivation::EvpSha256 };
    const SEALED: usize = 1024 + TAG_BYTES;

    fn opened(body: &[u8]) -> Result<Vec<u8>, String> {
        open_all(body.to_vec(), SCHEME, &PassPhrase::new("secret").unwrap())
    }

    /// What is told of a body of three and a half chunks to which something was done.
    fn told(change: impl Fn(&mut Vec<u8>)) -> String {
        let clear: Vec<u8> = (0..3500u32).map(|place| (place % 251) as u8).collect();
        let mut body = sealed(&clear, 100);
        assert_eq!(opened(&body).unwrap(), clear);
        change(&mut body);
        opened(&body).unwrap_err()
    }

    #[test]
    fn every_length_comes_back() {
        for length in [0, 1, 1023, 1024, 1025, 2048, 3000] {
            let clear: Vec<u8> = (0..length).map(|place: u32| (place % 251) as u8).collect();
            assert_eq!(opened(&sealed(&clear, 700)).unwrap(), clear, "{length}");
        }
    }

    #[test]
    fn a_flipped_bit_anywhere_is_found_in_its_chunk() {
        let start = |number: usize| CHUNK_HEADER_BYTES + number * SEALED;
        for (place, chunk) in [
            (start(0), 0),
            (start(0) + 1024, 0),
            (start(1) - 1, 0),
            (start(1), 1),
            (start(2) + 500, 2),
            (start(3) + 427, 3),
            (start(3) + 428, 3),
            (start(3) + 443, 3),
        ] {
            let text = told(|body| body[place] ^= 1);
            assert!(text.contains(&format!("chunk {chunk} does not fit its tag")), "{place}: {text}");
        }
        for place in [0, 5, 7] {
            assert!(told(|body| body[place] ^= 1).contains("does not begin"), "{place}");
        }
        for place in [8, 15, 20, 35, 36, 42] {
            assert!(told(|body| body[place] ^= 1).contains("chunk 0 does not fit its tag"), "{place}");
        }
        assert!(told(|body| body[16] ^= 0x80).contains("says that a chunk has"));
        // Chunks of 1280 bytes: not what was sealed.
        assert!(told(|body| body[18] ^= 1).contains("chunk 0 does not fit its tag"));
    }

    #[test]
    fn what_is_cut_moved_or_added_is_found() {
        let start = |number: usize| CHUNK_HEADER_BYTES + number * SEALED;
        let cut = |length: usize| told(|body| body.truncate(length));
        assert!(cut(start(3)).contains("chunk 2 is not the last one: the rest is missing"));
        assert!(cut(start(1)).contains("chunk 0 is not the last one: the rest is missing"));
        assert!(cut(start(0)).contains("chunk 0 is cut off"));
        assert!(cut(start(2) + 5).contains("chunk 2 is cut off"));
        assert!(cut(start(2) + 500).contains("chunk 2 does not fit its tag"));
        assert!(cut(20).contains("encryption header"));
        let chunk = |body: &[u8], number: usize| body[start(number)..start(number + 1)].to_vec();
        let text = told(|body| {
            let (one, two) = (chunk(body, 1), chunk(body, 2));
            drop(body.splice(start(1)..start(3), two.into_iter().chain(one)));
        });
        assert!(text.contains("chunk 1 does not fit its tag"), "{text}");
        let text = told(|body| {
            let twice = chunk(body, 1);
            drop(body.splice(start(2)..start(2), twice));
        });
        assert!(text.contains("chunk 2 does not fit its tag"), "{text}");
        let text = told(|body| drop(body.drain(start(1)..start(2))));
        assert!(text.contains("chunk 1 does not fit its tag"), "{text}");
        // The last chunk is not whole: with what follows it is read as longer than it is.
        assert!(told(|body| body.push(0)).contains("chunk 3 does not fit its tag"));
        let mut whole = sealed(&[7; 2048], 2048);
        whole.extend_from_slice(&[0; SEALED]);
        assert!(opened(&whole).unwrap_err().contains("chunk 1 is the last one, but something follows it"));
    }

    #[test]
    fn another_pass_phrase_opens_nothing() {
        let body = sealed(b"text", 4);
        let error = open_all(body, SCHEME, &PassPhrase::new("other").unwrap()).unwrap_err();
        assert!(error.contains("chunk 0 does not fit its tag"), "{error}");
    }
}
