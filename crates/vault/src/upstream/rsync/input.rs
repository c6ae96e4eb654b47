//! The unpacked stream of a level, with a count of where in it one is.

use std::io::{self, BufRead, BufReader, Read};

const BUFFER_BYTES: usize = 256 * 1024;
/// A block of bzip2 holds 900,000 bytes, of which five may stand for 259.
const MOST_BLOCK_BYTES: u64 = 48 << 20;

/// The stream is not what it should be from this byte on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Damage {
    /// Bytes of the unpacked stream before it.
    pub at: u64,
    pub cause: String,
}

pub(super) struct Input {
    inner: BufReader<Box<dyn Read + Send>>,
    at: u64,
    /// The compressed stream has told an error, and has no more to tell.
    is_broken: bool,
}

impl Input {
    pub(super) fn new(inner: Box<dyn Read + Send>) -> Self {
        Self { inner: BufReader::with_capacity(BUFFER_BYTES, inner), at: 0, is_broken: false }
    }

    /// Bytes read so far.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    pub(super) fn damage(&self, cause: impl Into<String>) -> Damage {
        Damage { at: self.at, cause: cause.into() }
    }

    fn broken(&mut self, error: &io::Error) -> Damage {
        self.is_broken = true;
        self.damage(if error.kind() == io::ErrorKind::UnexpectedEof {
            "it ends too early".to_owned()
        } else {
            error.to_string()
        })
    }

    /// Whether there is nothing more.
    pub(super) fn is_at_end(&mut self) -> Result<bool, Damage> {
        match self.inner.fill_buf() {
            Ok(rest) => Ok(rest.is_empty()),
            Err(error) => Err(self.broken(&error)),
        }
    }

    /// Fills `out`, or tells how much of it is good.
    pub(super) fn fill(&mut self, out: &mut [u8]) -> Result<(), (usize, Damage)> {
        let mut done = 0;
        while let Some(rest) = out.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match self.inner.read(rest) {
                Ok(0) => return Err((done, self.damage("it ends too early"))),
                Ok(count) => {
                    done += count;
                    self.at += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err((done, self.broken(&error))),
            }
        }
        Ok(())
    }

    pub(super) fn exact<const N: usize>(&mut self) -> Result<[u8; N], Damage> {
        let mut out = [0; N];
        self.fill(&mut out).map_err(|(_, damage)| damage)?;
        Ok(out)
    }

    /// The next `count` bytes, of which the caller has made sure that they are not too many.
    pub(super) fn bytes(&mut self, count: usize) -> Result<Vec<u8>, Damage> {
        let mut out = vec![0; count];
        self.fill(&mut out).map_err(|(_, damage)| damage)?;
        Ok(out)
    }

    /// Passes over `count` bytes.
    pub(super) fn skip(&mut self, mut count: u64) -> Result<(), Damage> {
        let mut buffer = [0; 8192];
        while count > 0 {
            let part = usize::try_from(count).unwrap_or(usize::MAX).min(buffer.len());
            self.fill(buffer.get_mut(..part).unwrap_or_default()).map_err(|(_, damage)| damage)?;
            count -= part as u64;
        }
        Ok(())
    }

    /// Reads to the end, which also proves the checksum of the compressed stream.
    pub(super) fn finish(&mut self) -> Result<u64, Damage> {
        self.read_on(u64::MAX)
    }

    /// Reads so far on that a compressed block that has begun is checked: bzip2 gives a block's bytes before it has its checksum.
    pub(super) fn finish_block(&mut self) -> Result<(), Damage> {
        if self.is_broken { Ok(()) } else { self.read_on(MOST_BLOCK_BYTES).map(|_| ()) }
    }

    fn read_on(&mut self, most: u64) -> Result<u64, Damage> {
        let mut left = 0;
        while left < most {
            match self.inner.fill_buf() {
                Ok([]) => return Ok(left),
                Ok(rest) => {
                    let count = rest.len();
                    left += count as u64;
                    self.inner.consume(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.broken(&error)),
            }
        }
        Ok(left)
    }
}

#[cfg(test)]
impl Input {
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self::new(Box::new(io::Cursor::new(bytes.to_vec())))
    }
}
