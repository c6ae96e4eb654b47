//! The receiving end: buffers, counts, pads.

use crate::tar::TarError;
use crate::tar::header::{BLOCK, RECORD};
use std::io::{BufWriter, Write};

const ZEROS: [u8; 10_240] = [0; 10_240];

pub(in crate::tar) struct Output<'a> {
    out: BufWriter<&'a mut dyn Write>,
    written: u64,
}

impl<'a> Output<'a> {
    pub fn new(out: &'a mut dyn Write) -> Self {
        Self { out: BufWriter::with_capacity(256 * 1024, out), written: 0 }
    }

    /// Bytes of the archive so far.
    pub fn written(&self) -> u64 {
        self.written
    }

    pub fn write(&mut self, bytes: &[u8]) -> Result<(), TarError> {
        self.written += bytes.len() as u64;
        self.out.write_all(bytes).map_err(TarError::Output)
    }

    pub fn zeros(&mut self, mut count: u64) -> Result<(), TarError> {
        while count > 0 {
            let chunk = usize::try_from(count).unwrap_or(ZEROS.len()).min(ZEROS.len());
            self.write(ZEROS.get(..chunk).unwrap_or(&ZEROS))?;
            count -= chunk as u64;
        }
        Ok(())
    }

    /// To the next block.
    pub fn pad(&mut self) -> Result<(), TarError> {
        self.zeros(self.written.next_multiple_of(BLOCK as u64) - self.written)
    }

    /// The end of the archive; how many bytes it has.
    pub fn finish(&mut self) -> Result<u64, TarError> {
        self.zeros(2 * BLOCK as u64)?;
        self.zeros(self.written.next_multiple_of(RECORD) - self.written)?;
        self.out.flush().map_err(TarError::Output)?;
        Ok(self.written)
    }
}
