//! A file of the log as it comes out of a binary COPY: rows of one column.

use std::io::{self, ErrorKind, Read};

const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";

/// The columns' content, one after the other.
pub struct Rows<R> {
    input: R,
    has_begun: bool,
    left: usize,
    has_ended: bool,
}

impl<R: Read> Rows<R> {
    pub fn new(input: R) -> Self {
        Self { input, has_begun: false, left: 0, has_ended: false }
    }

    pub fn into_inner(self) -> R {
        self.input
    }

    fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.input.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn begin(&mut self) -> io::Result<()> {
        if self.array::<11>()? != *SIGNATURE {
            return Err(bad("it does not begin as a binary COPY does"));
        }
        let _flags = self.array::<4>()?;
        let extension = u64::from(u32::from_be_bytes(self.array()?));
        io::copy(&mut (&mut self.input).take(extension), &mut io::sink())?;
        self.has_begun = true;
        Ok(())
    }

    fn next_row(&mut self) -> io::Result<()> {
        match i16::from_be_bytes(self.array()?) {
            -1 => self.has_ended = true,
            1 => {
                let length = i32::from_be_bytes(self.array()?);
                self.left = usize::try_from(length).map_err(|_| bad("a row of it is null"))?;
            }
            _ => return Err(bad("a row of it has not one column")),
        }
        Ok(())
    }
}

fn bad(cause: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("what the server sent is not understood: {cause}"))
}

impl<R: Read> Read for Rows<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.has_begun {
            self.begin()?;
        }
        while self.left == 0 && !self.has_ended {
            self.next_row()?;
        }
        let room = self.left.min(buffer.len());
        if self.has_ended || room == 0 {
            return Ok(0);
        }
        match self.input.read(buffer.get_mut(..room).unwrap_or_default())? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            count => {
                self.left -= count;
                Ok(count)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(body: &[u8]) -> Result<Vec<u8>, String> {
        let mut found = Vec::new();
        Rows::new(body).read_to_end(&mut found).map(|_| found).map_err(|error| error.to_string())
    }

    #[test]
    fn rows_are_put_together() {
        let head = [&SIGNATURE[..], &[0, 0, 0, 0, 0, 0, 0, 2, 9, 9]].concat();
        let rows = [0, 1, 0, 0, 0, 2, b'a', b'b', 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, b'c'];
        let whole = [&head[..], &rows, &[0xff, 0xff]].concat();
        assert_eq!(read(&whole).unwrap(), b"abc");
        for cut in 0..whole.len() {
            assert!(read(whole.get(..cut).unwrap()).is_err(), "{cut}");
        }
        assert!(read(&[&head[..], &[0, 2]].concat()).unwrap_err().contains("one column"));
        assert!(read(&[&head[..], &[0, 1, 0xff, 0xff, 0xff, 0xff]].concat()).unwrap_err().contains("null"));
        assert!(read(b"PGCOPY\nxxxxxxxx").unwrap_err().contains("does not begin"));
    }
}
