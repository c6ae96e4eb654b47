//! Numbers and byte strings, written to memory and read from a stream that is not trusted.

use std::io::BufRead;

/// Longer strings are damage.
const MOST_BYTES: u64 = 1 << 20;

pub(super) fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Reads what is written here; errors are causes.
pub(super) struct Source<R>(pub R);

impl<R: BufRead> Source<R> {
    pub fn number(&mut self) -> Result<u64, String> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array::<1>()?;
            let part = u64::from(byte & 0x7f);
            if part << shift >> shift != part {
                break;
            }
            value |= part << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err("it holds a number that is too long".into())
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut bytes = [0; N];
        self.0.read_exact(&mut bytes).map_err(|error| error.to_string())?;
        Ok(bytes)
    }

    /// Appends a string to what is there.
    pub fn append(&mut self, to: &mut Vec<u8>) -> Result<(), String> {
        let length = self.number()?;
        let start = to.len();
        let Some(length) = usize::try_from(length).ok().filter(|_| length <= MOST_BYTES) else {
            return Err("it holds a name that is too long".into());
        };
        to.resize(start.saturating_add(length), 0);
        self.0.read_exact(to.get_mut(start..).unwrap_or_default()).map_err(|error| error.to_string())
    }

    pub fn is_at_end(&mut self) -> Result<bool, String> {
        Ok(self.0.fill_buf().map_err(|error| error.to_string())?.is_empty())
    }
}
