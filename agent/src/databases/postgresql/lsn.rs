//! Places in the write-ahead log, and the files that hold them.

use std::fmt;

/// A byte of the log; PostgreSQL writes it `16/B374D848`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lsn(pub u64);

impl Lsn {
    pub fn parse(text: &str) -> Result<Self, String> {
        let bad =
            || format!("'{text}' is no place in the log; write it as PostgreSQL does, like 16/B374D848");
        let half = |part: &str| {
            let is_plain = (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_hexdigit());
            u32::from_str_radix(part, 16).ok().filter(|_| is_plain).ok_or_else(bad)
        };
        let (high, low) = text.trim().split_once('/').ok_or_else(bad)?;
        Ok(Self(u64::from(half(high)?) << 32 | u64::from(half(low)?)))
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xffff_ffff)
    }
}

/// Name of a file of the log.
pub fn file_name(timeline: u32, segment: u64, segment_bytes: u64) -> String {
    let each = (1 << 32) / segment_bytes.max(1);
    format!("{timeline:08X}{:08X}{:08X}", segment / each.max(1), segment % each.max(1))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn places_are_written_as_postgresql_does() {
        assert_eq!(Lsn::parse("16/B374D848").unwrap(), Lsn(0x16_B374_D848));
        assert_eq!(Lsn(0x16_B374_D848).to_string(), "16/B374D848");
        assert_eq!(Lsn(0x300_0000).to_string(), "0/3000000");
        for text in ["", "1", "1/", "/1", "1/+2", "1/123456789", "x/1", "1/2'"] {
            assert!(Lsn::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn files_are_named_as_postgresql_does() {
        assert_eq!(file_name(1, 3, 16 << 20), "000000010000000000000003");
        assert_eq!(file_name(0x1f, 0x16_B3, 16 << 20), "0000001F00000016000000B3");
        assert_eq!(file_name(1, 5, 1 << 30), "000000010000000100000001");
    }
}
