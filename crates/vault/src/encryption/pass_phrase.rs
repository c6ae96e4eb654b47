//! The pass phrase: the first line of a file, without its end of line, as `openssl -pass file:` takes it.

use crate::VaultError;
use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use zeroize::Zeroizing;

/// `openssl -pass file:` cuts longer lines silently, so that it could not read what we wrote.
const MOST_BYTES: usize = 1023;

/// A pass phrase in memory; wiped on drop, never shown.
#[derive(Clone)]
pub struct PassPhrase(Zeroizing<Vec<u8>>);

impl PassPhrase {
    /// A pass phrase that is at hand already, for example from a secret store.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, VaultError> {
        let bytes = Zeroizing::new(bytes.into());
        match fault_of(&bytes) {
            Some(cause) => Err(VaultError::BadRequest { cause: format!("the pass phrase {cause}") }),
            None => Ok(Self(bytes)),
        }
    }

    /// Reads the first line of `path`.
    pub fn from_file(path: &Path) -> Result<Self, VaultError> {
        let fail = |cause: String| VaultError::PassPhraseFile { path: path.to_path_buf(), cause };
        let file = std::fs::File::open(path).map_err(|error| fail(error.to_string()))?;
        let mut line = Zeroizing::new(Vec::with_capacity(2 * MOST_BYTES));
        let mut reader = BufReader::new(file.take(2 * MOST_BYTES as u64));
        reader.read_until(b'\n', &mut line).map_err(|error| fail(error.to_string()))?;
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        match fault_of(&line) {
            Some(cause) => Err(fail(format!("the first line {cause}"))),
            None => Ok(Self(line)),
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

fn fault_of(bytes: &[u8]) -> Option<String> {
    if bytes.is_empty() {
        return Some("is empty".into());
    }
    if bytes.len() > MOST_BYTES {
        return Some(format!("is longer than {MOST_BYTES} bytes"));
    }
    bytes.contains(&0).then(|| "holds a zero byte".into())
}

impl fmt::Debug for PassPhrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PassPhrase(hidden)")
    }
}
