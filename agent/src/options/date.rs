//! Points in time as people give them to an action.

use chrono::{DateTime, Local, NaiveDateTime, TimeZone};

/// Epoch seconds of `YYYY-MM-DDThh:mm:ss`, which is local time unless it ends with `Z` or an offset.
pub fn parse(text: &str) -> Result<i64, String> {
    let text = text.trim();
    if let Ok(exact) = DateTime::parse_from_rfc3339(text) {
        return Ok(exact.timestamp());
    }
    let naive = NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f").map_err(|_| {
        format!("'{text}' is no time; write YYYY-MM-DDThh:mm:ss, with Z or an offset if it is not local time")
    })?;
    // Where an hour repeats, the earlier reading never restores or removes more than was asked for.
    let local = Local.from_local_datetime(&naive).earliest();
    local.map(|time| time.timestamp()).ok_or_else(|| format!("'{text}' does not exist in this time zone"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_zones_and_refuses_nonsense() {
        assert_eq!(parse("2026-01-01T00:00:00Z"), Ok(1767225600));
        assert_eq!(parse("2026-01-01T01:00:00+01:00"), Ok(1767225600));
        assert!(parse("2026-01-01T00:00:00").is_ok());
        for text in ["", "yesterday", "2026-13-01T00:00:00", "2026-01-01"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
