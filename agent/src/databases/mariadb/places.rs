//! Binary logs and places in them.

/// `log.000003:1234`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPlace {
    pub file: String,
    pub position: u64,
}

impl LogPlace {
    pub fn parse(text: &str) -> Result<Self, String> {
        let bad =
            || format!("'{text}' is no place in a binary log; write FILE:POSITION, like log.000003:1234");
        let (file, position) = text.trim().rsplit_once(':').ok_or_else(bad)?;
        let position = position.parse().map_err(|_| bad())?;
        if !is_log(file) {
            return Err(bad());
        }
        Ok(Self { file: file.to_owned(), position })
    }
}

/// A name that leads nowhere else, and ends in a number.
pub(super) fn is_log(name: &str) -> bool {
    let inside = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    name.bytes().all(inside) && !name.starts_with(['.', '-']) && number(name).is_some()
}

/// What logs are ordered by.
pub(super) fn number(name: &str) -> Option<u64> {
    name.rsplit_once('.')?.1.parse().ok()
}

/// What a server has written down about a backup: file, position, GTID.
pub(super) fn of_backup(text: &str) -> Option<(LogPlace, Option<String>)> {
    let mut fields = text.split_whitespace();
    let (file, position) = (fields.next()?, fields.next()?.parse().ok()?);
    is_log(file).then(|| (LogPlace { file: file.to_owned(), position }, fields.next().map(str::to_owned)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn places_are_read() {
        let place = LogPlace { file: "log.000003".to_owned(), position: 1234 };
        assert_eq!(LogPlace::parse("log.000003:1234").unwrap(), place);
        assert_eq!(of_backup("log.000003\t1234\t0-7-5\n"), Some((place.clone(), Some("0-7-5".to_owned()))));
        assert_eq!(of_backup("log.000003\t1234\n"), Some((place, None)));
        for text in ["", "log.000003", "log:1", "../log.1:4", "-x.1:4", "a/b.1:4", "log.000003:x"] {
            assert!(LogPlace::parse(text).is_err(), "{text}");
        }
        assert!(number("log.1000000") > number("log.999999"));
    }
}
