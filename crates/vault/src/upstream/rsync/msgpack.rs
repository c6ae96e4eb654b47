//! As much of MessagePack as rsyncv2 writes, read from a stream with a bound.
//!
//! Python 2 wrote all texts as `raw`, Python 3 writes `str` and `bin`: all are bytes here.

use super::input::{Damage, Input};

/// What a value begins with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Head {
    Nil,
    Bool(bool),
    Int(i128),
    Float(f64),
    /// So many bytes follow.
    Bytes(u32),
    /// So many values follow.
    Array(u32),
    /// So many pairs of values follow.
    Map(u32),
    /// A type and so many bytes follow.
    Extension(u32),
}

/// A reader that gives up after so many bytes.
pub(super) struct Reader<'a> {
    input: &'a mut Input,
    end: u64,
}

impl<'a> Reader<'a> {
    pub(super) fn new(input: &'a mut Input, most_bytes: u64) -> Self {
        let end = input.at().saturating_add(most_bytes);
        Self { input, end }
    }

    pub(super) fn damage(&self, cause: impl Into<String>) -> Damage {
        self.input.damage(cause)
    }

    /// Bytes of the stream read so far.
    pub(super) fn at(&self) -> u64 {
        self.input.at()
    }

    fn allow(&self, count: u64) -> Result<(), Damage> {
        if self.input.at().saturating_add(count) > self.end {
            return Err(self.damage(format!("a list goes on for {count} bytes more than it may have")));
        }
        Ok(())
    }

    fn number<const N: usize>(&mut self) -> Result<u64, Damage> {
        self.allow(N as u64)?;
        let bytes: [u8; N] = self.input.exact()?;
        Ok(bytes.iter().fold(0, |value, byte| (value << 8) | u64::from(*byte)))
    }

    fn length<const N: usize>(&mut self) -> Result<u32, Damage> {
        let value = self.number::<N>()?;
        u32::try_from(value).map_err(|_| self.damage("a length that is none"))
    }

    pub(super) fn head(&mut self) -> Result<Head, Damage> {
        self.allow(1)?;
        let [first] = self.input.exact::<1>()?;
        Ok(match first {
            0x00..=0x7f => Head::Int(i128::from(first)),
            0x80..=0x8f => Head::Map(u32::from(first & 0x0f)),
            0x90..=0x9f => Head::Array(u32::from(first & 0x0f)),
            0xa0..=0xbf => Head::Bytes(u32::from(first & 0x1f)),
            0xc0 => Head::Nil,
            0xc1 => return Err(self.damage("a value of no type")),
            0xc2 | 0xc3 => Head::Bool(first == 0xc3),
            0xc4 | 0xd9 => Head::Bytes(self.length::<1>()?),
            0xc5 | 0xda => Head::Bytes(self.length::<2>()?),
            0xc6 | 0xdb => Head::Bytes(self.length::<4>()?),
            0xc7 => Head::Extension(self.length::<1>()?),
            0xc8 => Head::Extension(self.length::<2>()?),
            0xc9 => Head::Extension(self.length::<4>()?),
            0xca => Head::Float(f64::from(f32::from_bits(self.length::<4>()?))),
            0xcb => Head::Float(f64::from_bits(self.number::<8>()?)),
            0xcc => Head::Int(i128::from(self.number::<1>()?)),
            0xcd => Head::Int(i128::from(self.number::<2>()?)),
            0xce => Head::Int(i128::from(self.number::<4>()?)),
            0xcf => Head::Int(i128::from(self.number::<8>()?)),
            0xd0 => Head::Int(i128::from(self.number::<1>()? as i8)),
            0xd1 => Head::Int(i128::from(self.number::<2>()? as i16)),
            0xd2 => Head::Int(i128::from(self.number::<4>()? as i32)),
            0xd3 => Head::Int(i128::from(self.number::<8>()? as i64)),
            0xd4..=0xd8 => Head::Extension(1 << (first - 0xd4)),
            0xdc => Head::Array(self.length::<2>()?),
            0xdd => Head::Array(self.length::<4>()?),
            0xde => Head::Map(self.length::<2>()?),
            0xdf => Head::Map(self.length::<4>()?),
            0xe0..=0xff => Head::Int(i128::from(first as i8)),
        })
    }

    pub(super) fn array(&mut self) -> Result<u32, Damage> {
        match self.head()? {
            Head::Array(count) => Ok(count),
            other => Err(self.unexpected("a list", other)),
        }
    }

    pub(super) fn map(&mut self) -> Result<u32, Damage> {
        match self.head()? {
            Head::Map(count) => Ok(count),
            other => Err(self.unexpected("a table", other)),
        }
    }

    /// At most `most` bytes; nothing (nil) is no bytes.
    pub(super) fn bytes(&mut self, most: u32) -> Result<Vec<u8>, Damage> {
        match self.head()? {
            Head::Bytes(count) if count <= most => {
                self.allow(u64::from(count))?;
                self.input.bytes(count as usize)
            }
            Head::Bytes(count) => {
                Err(self.damage(format!("a text of {count} bytes, {most} at most were expected")))
            }
            Head::Nil => Ok(Vec::new()),
            other => Err(self.unexpected("a text", other)),
        }
    }

    pub(super) fn unsigned(&mut self) -> Result<u64, Damage> {
        match self.head()? {
            Head::Int(value) => u64::try_from(value).map_err(|_| self.damage("a negative number")),
            other => Err(self.unexpected("a number", other)),
        }
    }

    /// Seconds and nanoseconds of a time that may be whole or not.
    pub(super) fn time(&mut self) -> Result<crate::tar::Stamp, Damage> {
        match self.head()? {
            Head::Int(value) => {
                let secs = i64::try_from(value).map_err(|_| self.damage("a time out of all reason"))?;
                Ok(crate::tar::Stamp { secs, nanos: 0 })
            }
            Head::Float(value) if value.abs() < 9e15 => {
                let secs = value.floor();
                let nanos = ((value - secs) * 1e9).min(999_999_999.0);
                Ok(crate::tar::Stamp { secs: secs as i64, nanos: nanos as u32 })
            }
            Head::Float(_) => Err(self.damage("a time out of all reason")),
            other => Err(self.unexpected("a time", other)),
        }
    }

    pub(super) fn flag(&mut self) -> Result<bool, Damage> {
        match self.head()? {
            Head::Bool(value) => Ok(value),
            Head::Nil => Ok(false),
            other => Err(self.unexpected("yes or no", other)),
        }
    }

    /// Passes over a whole value, however deep.
    pub(super) fn skip(&mut self) -> Result<(), Damage> {
        let mut values = 1u64;
        while values > 0 {
            values -= 1;
            let bytes = match self.head()? {
                Head::Bytes(count) => u64::from(count),
                Head::Extension(count) => u64::from(count) + 1,
                Head::Array(count) => {
                    values += u64::from(count);
                    0
                }
                Head::Map(count) => {
                    values += 2 * u64::from(count);
                    0
                }
                _ => 0,
            };
            self.allow(bytes)?;
            self.input.skip(bytes)?;
        }
        Ok(())
    }

    fn unexpected(&self, wanted: &str, found: Head) -> Damage {
        let found = match found {
            Head::Nil => "nothing",
            Head::Bool(_) => "yes or no",
            Head::Int(_) | Head::Float(_) => "a number",
            Head::Bytes(_) => "a text",
            Head::Array(_) => "a list",
            Head::Map(_) => "a table",
            Head::Extension(_) => "a value of an unknown type",
        };
        self.damage(format!("{found} where {wanted} should be"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(bytes: &[u8]) -> Result<Head, Damage> {
        let mut input = Input::of(bytes);
        Reader::new(&mut input, 100).head()
    }

    #[test]
    fn heads() {
        assert_eq!(head(&[0x98]), Ok(Head::Array(8)));
        assert_eq!(head(&[0x83]), Ok(Head::Map(3)));
        assert_eq!(head(&[0xa9]), Ok(Head::Bytes(9)));
        assert_eq!(head(&[0xda, 1, 0]), Ok(Head::Bytes(256)));
        assert_eq!(head(&[0xd9, 200]), Ok(Head::Bytes(200)));
        assert_eq!(head(&[0xff]), Ok(Head::Int(-1)));
        assert_eq!(head(&[0xd1, 0xff, 0xfe]), Ok(Head::Int(-2)));
        assert_eq!(
            head(&[0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
            Ok(Head::Int(u64::MAX.into()))
        );
        assert_eq!(head(&[0xcb, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0]), Ok(Head::Float(1.5)));
        assert_eq!(head(&[0xd4]), Ok(Head::Extension(1)));
    }

    #[test]
    fn nothing_is_read_beyond_the_bound() {
        let mut input = Input::of(&[0xdd, 0xff, 0xff, 0xff, 0xff, 1, 1, 1, 1]);
        let error = Reader::new(&mut input, 7).skip().unwrap_err();
        assert_eq!(error.at, 7, "{error:?}");
        let mut input = Input::of(&[0xdb, 0xff, 0xff, 0xff, 0xff, 1]);
        assert!(Reader::new(&mut input, 1000).skip().is_err());
        let mut input = Input::of(&[0xdb, 0xff, 0xff, 0xff, 0xff, 1]);
        assert!(Reader::new(&mut input, 1000).bytes(10).unwrap_err().cause.contains("10 at most"));
        let mut input = Input::of(&[0x81, 0xa1]);
        assert_eq!(Reader::new(&mut input, 1000).skip().unwrap_err().cause, "it ends too early");
    }

    #[test]
    fn deep_values_are_passed_over() {
        let mut bytes = vec![0x91; 100_000];
        bytes.extend([0x01, 0x02]);
        let mut input = Input::of(&bytes);
        Reader::new(&mut input, 1 << 20).skip().unwrap();
        assert_eq!(input.exact::<1>(), Ok([2]));
    }
}
