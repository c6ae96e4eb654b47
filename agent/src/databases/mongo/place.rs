//! A place in the oplog of a replica set.

use serde::{Deserialize, Serialize};
use std::fmt;

/// MongoDB's timestamp: seconds since 1970, and a number within the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct OplogPlace {
    pub seconds: u32,
    pub ordinal: u32,
}

impl OplogPlace {
    /// `SECONDS` or `SECONDS:ORDINAL`, as `mongorestore --oplogLimit` has it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (seconds, ordinal) = text.split_once(':').unwrap_or((text, "0"));
        let number = |part: &str| part.parse::<u32>().ok();
        match (number(seconds), number(ordinal)) {
            (Some(seconds), Some(ordinal)) => Ok(Self { seconds, ordinal }),
            _ => Err(format!("'{text}' is not SECONDS:ORDINAL, as a timestamp of MongoDB")),
        }
    }

    /// From the eight bytes of a BSON timestamp.
    pub(super) fn of(bytes: [u8; 8]) -> Self {
        let both = u64::from_le_bytes(bytes);
        Self { seconds: (both >> 32) as u32, ordinal: both as u32 }
    }
}

impl fmt::Display for OplogPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.seconds, self.ordinal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_as_the_tools_write_them() {
        let place = OplogPlace::parse("1764000000:7").unwrap();
        assert_eq!(place, OplogPlace { seconds: 1_764_000_000, ordinal: 7 });
        assert_eq!(place.to_string(), "1764000000:7");
        assert!(OplogPlace::parse("1764000000").unwrap() < place);
        assert_eq!(OplogPlace::of([7, 0, 0, 0, 2, 0, 0, 0]), OplogPlace { seconds: 2, ordinal: 7 });
        for bad in ["", ":", "1:", "-1", "1:2:3", "2026-01-01"] {
            assert!(OplogPlace::parse(bad).is_err(), "{bad}");
        }
    }
}
