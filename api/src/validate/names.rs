//! The grammars of names and dates, written out: they are small, and a refusal needs no regular expression.

/// Characters of ids of jobs, actions, sessions and backups that are kept.
pub const ID_MAX: usize = 64;
/// Characters of a client id.
pub const CLIENT_ID_MAX: usize = 255;
/// Characters of descriptions, containers and other short texts.
pub const TEXT_MAX: usize = 255;
/// Bytes of one stored document as JSON: what a TEXT column of the original service holds.
pub const DOCUMENT_BYTES_MAX: usize = 65_535;
/// Bytes of the options of all actions of one job.
pub const JOB_BYTES_MAX: usize = 256 << 10;
/// Members of one session.
pub const MEMBERS_MAX: usize = 500;
/// Longest path, as the kernel has it.
pub const PATH_MAX: usize = 4096;
/// Characters of a client's host name.
pub const HOSTNAME_MAX: usize = 128;

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// An id a client may choose: word characters and dashes, at least one.
pub fn is_id(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| is_word(c) || c == '-')
}

/// A client id: a host name, after an optional prefix of word characters and dashes that ends with `_`.
/// A host name has no `_`, so the last one divides the two.
pub fn is_client_id(text: &str) -> bool {
    match text.rsplit_once('_') {
        Some((prefix, host)) => is_id(prefix) && is_host(host),
        None => is_host(text),
    }
}

fn is_host(text: &str) -> bool {
    text.split('.').all(|label| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    })
}

/// A client's host name is free text with one ASCII letter or digit somewhere: real ones hold `_`.
pub fn is_hostname(text: &str) -> bool {
    text.bytes().any(|b| b.is_ascii_alphanumeric())
}

/// `YYYY-MM-DDThh:mm:ss`, optionally a fraction, optionally `Z` or `±hh:mm`.
pub fn is_date(text: &str) -> bool {
    let text = text.strip_prefix('-').unwrap_or(text);
    let Some((date, time)) = text.split_once('T') else { return false };
    is_day(date) && is_time(time)
}

fn is_day(text: &str) -> bool {
    let mut parts = text.split('-');
    let (Some(year), Some(month), Some(day), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let year_fits = year.len() >= 4 && digits(year) && (year.len() == 4 || !year.starts_with('0'));
    year_fits && within(month, 1, 12) && within(day, 1, 31)
}

fn is_time(text: &str) -> bool {
    let Some((clock, rest)) = text.split_at_checked(8) else { return false };
    let rest = match rest.strip_prefix('.') {
        None => rest,
        Some(fraction) => {
            let end = fraction.find(|c: char| !c.is_ascii_digit()).unwrap_or(fraction.len());
            if end == 0 {
                return false;
            }
            fraction.get(end..).unwrap_or("")
        }
    };
    is_clock(clock) && is_zone(rest)
}

fn is_clock(text: &str) -> bool {
    let mut parts = text.split(':');
    matches!(
        (parts.next(), parts.next(), parts.next(), parts.next()),
        (Some(hour), Some(minute), Some(second), None)
            if within(hour, 0, 23) && within(minute, 0, 59) && within(second, 0, 59)
    )
}

fn is_zone(text: &str) -> bool {
    if text.is_empty() || text == "Z" {
        return true;
    }
    let Some(offset) = text.strip_prefix(['+', '-']) else { return false };
    offset.split_once(':').is_some_and(|(hour, minute)| within(hour, 0, 23) && within(minute, 0, 59))
}

fn within(two_digits: &str, min: u8, max: u8) -> bool {
    two_digits.len() == 2
        && digits(two_digits)
        && two_digits.parse().is_ok_and(|number: u8| (min..=max).contains(&number))
}

fn digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// `continuous`, or a number and a unit; several blanks become the one that schedulers split at.
pub fn interval(text: &str) -> Option<String> {
    const UNITS: [&str; 5] = ["weeks", "days", "hours", "minutes", "seconds"];
    if text == "continuous" {
        return Some(text.to_owned());
    }
    let (number, unit) = text.split_once(' ')?;
    let unit = unit.trim_start_matches(' ');
    (digits(number) && UNITS.contains(&unit)).then(|| format!("{number} {unit}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_ids() {
        let long_label = "a".repeat(64);
        for good in [
            "node1",
            "test_node",
            "a.b.c-d",
            "01b0f00a-4ce2_myhost.tld",
            "test-tenant_5253_test-hostname_19544",
            "ünicode_host",
            &"a".repeat(63),
        ] {
            assert!(is_client_id(good), "{good}");
        }
        for bad in [
            "",
            "-a",
            "a-",
            "_a",
            "x_y.z_w",
            "bad%id_h",
            "p_bad_hostname.bad/domain.b",
            "a..b",
            ".a",
            "a.",
            "a_",
            "host\n",
            "höst",
            "bad%project$id_host.domain.tld",
            &long_label,
        ] {
            assert!(!is_client_id(bad), "{bad}");
        }
    }

    #[test]
    fn ids() {
        for good in ["a", "_", "-", "j-1_b", "größe", "задание", "備份1"] {
            assert!(is_id(good), "{good}");
        }
        for bad in ["", "a b", "a/b", "a.b", "a\n", "\u{1F4BE}", "a\u{0}"] {
            assert!(!is_id(bad), "{bad:?}");
        }
    }

    #[test]
    fn dates() {
        for good in [
            "2026-01-02T03:00:00",
            "2026-12-31T23:59:59.5",
            "2026-01-02T03:00:00Z",
            "2026-01-02T03:00:00.25+02:00",
            "-2026-01-02T03:00:00",
            "12026-01-02T03:00:00-11:30",
        ] {
            assert!(is_date(good), "{good}");
        }
        for bad in [
            "",
            "2026-01-02",
            "2026-1-02T03:00:00",
            "2026-13-02T03:00:00",
            "2026-00-02T03:00:00",
            "2026-01-32T03:00:00",
            "2026-01-02T24:00:00",
            "2026-01-02T03:60:00",
            "2026-01-02T03:00",
            "2026-01-02 03:00:00",
            "2026-01-02T03:00:00.",
            "2026-01-02T03:00:00z",
            "2026-01-02T03:00:00+2:00",
            "02026-01-02T03:00:00",
            "2026-01-02T03:00:0é",
            "2026-01-02T03:00:00\n",
            "226-01-02T03:00:00",
        ] {
            assert!(!is_date(bad), "{bad}");
        }
    }

    #[test]
    fn intervals() {
        assert_eq!(interval("continuous").as_deref(), Some("continuous"));
        assert_eq!(interval("5   minutes").as_deref(), Some("5 minutes"));
        assert_eq!(interval("10 days").as_deref(), Some("10 days"));
        for bad in
            ["", "5 min", "5minutes", " 5 minutes", "5 minutes ", "-1 days", "1 day", "1\tdays", "x days"]
        {
            assert_eq!(interval(bad), None, "{bad}");
        }
    }
}
