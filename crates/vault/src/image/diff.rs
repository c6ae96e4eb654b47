//! The format `rbd diff v1` of Ceph (doc/dev/rbd-diff): a header, then records of one letter, then `e`.
//!
//! `f` and `t` name snapshots, `s` is the size of the image; `w` is data at an offset, `z` zeros. Numbers are
//! little-endian, 64 bits; names have a 32-bit length before them.

use std::io::{self, BufReader, Read, Write};

const HEADER: &[u8] = b"rbd diff v1\n";
/// A longer name of a snapshot is damage.
const MOST_NAME_BYTES: u32 = 4096;
/// Records may be short and many, and a decompressor takes long to give a few bytes. All levels of a chain have one each.
const READ_BYTES: usize = 32 * 1024;

pub(super) struct DiffWriter<W> {
    out: W,
    /// Bytes written.
    pub written: u64,
}

impl<W: Write> DiffWriter<W> {
    pub(super) fn start(out: W) -> io::Result<Self> {
        let mut writer = Self { out, written: 0 };
        writer.put(HEADER)?;
        Ok(writer)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.written += bytes.len() as u64;
        self.out.write_all(bytes)
    }

    /// The size of the image; goes before all extents.
    pub(super) fn size(&mut self, bytes: u64) -> io::Result<()> {
        self.put(b"s")?;
        self.put(&bytes.to_le_bytes())
    }

    /// Must be followed by `length` bytes of [`DiffWriter::more`].
    pub(super) fn data_follows(&mut self, offset: u64, length: u64) -> io::Result<()> {
        self.put(b"w")?;
        self.put(&offset.to_le_bytes())?;
        self.put(&length.to_le_bytes())
    }

    pub(super) fn more(&mut self, data: &[u8]) -> io::Result<()> {
        self.put(data)
    }

    pub(super) fn data(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.data_follows(offset, data.len() as u64)?;
        self.more(data)
    }

    pub(super) fn zeros(&mut self, offset: u64, length: u64) -> io::Result<()> {
        self.put(b"z")?;
        self.put(&offset.to_le_bytes())?;
        self.put(&length.to_le_bytes())
    }

    pub(super) fn finish(mut self) -> io::Result<(W, u64)> {
        self.put(b"e")?;
        Ok((self.out, self.written))
    }
}

/// A run of bytes that the stream says something of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    pub start: u64,
    pub end: u64,
    /// Its data follow in the stream and must be taken before the next extent; else it is zero.
    pub is_data: bool,
}

pub(super) struct DiffReader<R> {
    input: BufReader<R>,
    /// From the stream's header, when it says it.
    pub size_bytes: Option<u64>,
    /// The stream names a snapshot it begins at: what it does not list is as it was there, not zero.
    pub is_relative: bool,
    /// Data of the current extent that were not taken yet.
    untaken: u64,
    /// Where extents have come to: they ascend.
    reached: u64,
    ended: bool,
}

impl<R: Read> DiffReader<R> {
    pub(super) fn start(input: R) -> io::Result<Self> {
        let mut input = BufReader::with_capacity(READ_BYTES, input);
        let mut header = [0; HEADER.len()];
        input.read_exact(&mut header)?;
        if header != *HEADER {
            return Err(damage("it does not begin as an rbd diff does"));
        }
        Ok(Self { input, size_bytes: None, is_relative: false, untaken: 0, reached: 0, ended: false })
    }

    /// The next extent; `None` behind the last. What was not taken of the one before is passed over.
    pub(super) fn next(&mut self) -> io::Result<Option<Extent>> {
        self.skip(self.untaken)?;
        while !self.ended {
            match self.byte()? {
                b'f' => {
                    self.name()?;
                    self.is_relative = true;
                }
                b't' => self.name()?,
                b's' => self.size_bytes = Some(self.number()?),
                b'w' => {
                    let extent = self.extent(true)?;
                    self.untaken = extent.end - extent.start;
                    return Ok(Some(extent));
                }
                b'z' => return self.extent(false).map(Some),
                b'e' => self.ended = true,
                other => return Err(damage(&format!("it has a record of unknown kind {other:#04x}"))),
            }
        }
        Ok(None)
    }

    /// Fills `out` with data of the current extent.
    pub(super) fn take(&mut self, out: &mut [u8]) -> io::Result<()> {
        let length = out.len() as u64;
        self.untaken = self.untaken.checked_sub(length).ok_or_else(|| damage("an extent is too short"))?;
        self.input.read_exact(out)
    }

    /// Passes over data of the current extent.
    pub(super) fn skip(&mut self, length: u64) -> io::Result<()> {
        self.untaken = self.untaken.checked_sub(length).ok_or_else(|| damage("an extent is too short"))?;
        let passed = io::copy(&mut (&mut self.input).take(length), &mut io::sink())?;
        if passed == length { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    /// What is behind the end; nothing should be.
    pub(super) fn into_input(self) -> BufReader<R> {
        self.input
    }

    fn extent(&mut self, is_data: bool) -> io::Result<Extent> {
        let (start, length) = (self.number()?, self.number()?);
        let end = start.checked_add(length).ok_or_else(|| damage("an extent has no end"))?;
        if start < self.reached {
            return Err(damage("its extents do not ascend"));
        }
        self.reached = end;
        Ok(Extent { start, end, is_data })
    }

    fn byte(&mut self) -> io::Result<u8> {
        let mut byte = [0];
        self.input.read_exact(&mut byte)?;
        let [byte] = byte;
        Ok(byte)
    }

    fn number(&mut self) -> io::Result<u64> {
        let mut bytes = [0; 8];
        self.input.read_exact(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn name(&mut self) -> io::Result<()> {
        let mut length = [0; 4];
        self.input.read_exact(&mut length)?;
        let length = u32::from_le_bytes(length);
        if length > MOST_NAME_BYTES {
            return Err(damage("it has a name that is too long"));
        }
        let passed = io::copy(&mut (&mut self.input).take(length.into()), &mut io::sink())?;
        if passed == u64::from(length) { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }
}

fn damage(cause: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, cause)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut writer = DiffWriter::start(Vec::new()).unwrap();
        writer.size(100).unwrap();
        writer.data(10, b"abcdef").unwrap();
        writer.zeros(20, 5).unwrap();
        writer.data(30, b"xy").unwrap();
        let (bytes, written) = writer.finish().unwrap();
        assert_eq!(written, bytes.len() as u64);
        let mut reader = DiffReader::start(&bytes[..]).unwrap();
        assert_eq!(reader.next().unwrap(), Some(Extent { start: 10, end: 16, is_data: true }));
        assert_eq!(reader.size_bytes, Some(100));
        reader.skip(2).unwrap();
        let mut part = [0; 2];
        reader.take(&mut part).unwrap();
        assert_eq!(&part, b"cd");
        assert_eq!(reader.next().unwrap(), Some(Extent { start: 20, end: 25, is_data: false }));
        assert_eq!(reader.next().unwrap(), Some(Extent { start: 30, end: 32, is_data: true }));
        assert!(reader.take(&mut [0; 3]).is_err());
        assert_eq!(DiffReader::start(&bytes[..]).unwrap().next().unwrap().unwrap().start, 10);
    }

    #[test]
    fn damage_is_told() {
        let wrong = |bytes: &[u8]| {
            let mut reader = DiffReader::start(bytes)?;
            while reader.next()?.is_some() {}
            Ok::<_, io::Error>(())
        };
        let with = |records: &[u8]| [HEADER, records].concat();
        assert!(wrong(b"rbd diff v2\n").is_err());
        assert!(wrong(&with(b"")).is_err());
        assert!(wrong(&with(b"q")).is_err());
        assert!(wrong(&with(b"f\xff\xff\xff\xff")).is_err());
        assert!(wrong(&with(b"e")).is_ok());
        let mut backwards = DiffWriter::start(Vec::new()).unwrap();
        backwards.zeros(20, 5).unwrap();
        backwards.zeros(10, 5).unwrap();
        assert!(wrong(&backwards.finish().unwrap().0).unwrap_err().to_string().contains("ascend"));
        let mut endless = with(b"z");
        endless.extend_from_slice(&u64::MAX.to_le_bytes());
        endless.extend_from_slice(&2u64.to_le_bytes());
        assert!(wrong(&endless).is_err());
    }
}
