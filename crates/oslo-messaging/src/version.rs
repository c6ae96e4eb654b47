//! Interface versions and who understands whom.

use std::str::FromStr;

/// `major.minor[.patch]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RpcVersion {
    pub major: u32,
    pub minor: u32,
    pub patch: u32,
}

impl RpcVersion {
    /// Whether a server of this version answers a request made for `wanted`: the same major number, and not newer.
    #[must_use]
    pub fn serves(self, wanted: RpcVersion) -> bool {
        self.major == wanted.major && (wanted.minor, wanted.patch) <= (self.minor, self.patch)
    }
}

impl FromStr for RpcVersion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("{text:?} is no version; write it as major.minor");
        let mut parts = text.split('.');
        let mut number = |needed: bool| match parts.next() {
            Some(part) if part.bytes().all(|b| b.is_ascii_digit()) => {
                part.parse::<u32>().map_err(|_| wrong())
            }
            None if !needed => Ok(0),
            _ => Err(wrong()),
        };
        let version = Self { major: number(true)?, minor: number(true)?, patch: number(false)? };
        if parts.next().is_some() {
            return Err(wrong());
        }
        Ok(version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serves(own: &str, wanted: &str) -> bool {
        own.parse::<RpcVersion>().unwrap().serves(wanted.parse().unwrap())
    }

    #[test]
    fn same_major_and_not_newer() {
        assert!(serves("1.5", "1.0") && serves("1.5", "1.5") && serves("1.5", "1.5.0"));
        assert!(
            !serves("1.5", "1.6")
                && !serves("1.5", "1.5.1")
                && !serves("1.5", "2.0")
                && !serves("2.0", "1.9")
        );
        assert!(serves("1.5.2", "1.5.1") && serves("1.5", "1.4.9"));
    }

    #[test]
    fn malformed_versions_are_refused() {
        for text in ["", "1", "x.y", "1.", "1.2.3.4", "-1.0", "+1.0", "1.+2", "99999999999.0"] {
            assert!(text.parse::<RpcVersion>().is_err(), "{text}");
        }
    }
}
