//! The giving end: reads blocks and counts, so that every error can name its byte.

use crate::tar::TarError;
use crate::tar::header::BLOCK;
use std::io::{BufReader, ErrorKind, Read};

pub(super) struct Stream<'a> {
    input: BufReader<&'a mut dyn Read>,
    pub offset: u64,
}

impl<'a> Stream<'a> {
    pub fn new(input: &'a mut dyn Read) -> Self {
        Self { input: BufReader::with_capacity(256 * 1024, input), offset: 0 }
    }

    /// At least one byte, or none at the end.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize, TarError> {
        loop {
            match self.input.read(buffer) {
                Ok(count) => {
                    self.offset += count as u64;
                    return Ok(count);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(cause) => return Err(TarError::Input { offset: self.offset, cause }),
            }
        }
    }

    /// As many bytes as there are, up to the length of the buffer.
    pub fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, TarError> {
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.read(rest)? {
                0 => break,
                count => filled += count,
            }
        }
        Ok(filled)
    }

    /// The next block and how much of it is there.
    pub fn block(&mut self) -> Result<([u8; BLOCK], usize), TarError> {
        let mut block = [0; BLOCK];
        let filled = self.fill(&mut block)?;
        Ok((block, filled))
    }
}
