//! Pax extended header records: `LENGTH KEY=VALUE\n`, the length counting itself.

use super::Stamp;

/// Appends one record.
pub(super) fn append(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let fixed = key.len() + value.len() + 3;
    let mut length = fixed + 1;
    while fixed + length.to_string().len() != length {
        length = fixed + length.to_string().len();
    }
    out.extend_from_slice(length.to_string().as_bytes());
    out.push(b' ');
    out.extend_from_slice(key);
    out.push(b'=');
    out.extend_from_slice(value);
    out.push(b'\n');
}

/// A record: key and value.
pub(super) type Record = (Vec<u8>, Vec<u8>);

/// All records of an extended header, in order.
pub(super) fn parse(mut body: &[u8]) -> Result<Vec<Record>, &'static str> {
    const BAD: &str = "an extended header record is malformed";
    let mut records = Vec::new();
    // Some writers pad with NULs inside the announced size.
    while body.first().is_some_and(|&byte| byte != 0) {
        let space = body.iter().position(|&byte| byte == b' ').ok_or(BAD)?;
        let length = decimal(body.get(..space).unwrap_or_default()).ok_or(BAD)?;
        let length = usize::try_from(length).map_err(|_| BAD)?;
        let record = body.get(space + 1..length).ok_or(BAD)?;
        let record = record.strip_suffix(b"\n").ok_or(BAD)?;
        let equals = record.iter().position(|&byte| byte == b'=').ok_or(BAD)?;
        let (key, value) = record.split_at(equals);
        records.push((key.to_vec(), value.get(1..).unwrap_or_default().to_vec()));
        body = body.get(length..).unwrap_or_default();
    }
    Ok(records)
}

/// Digits only, no sign.
pub(super) fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// `SECONDS.NANOS`; before 1970 it is the negative of the distance, as GNU writes it.
pub(super) fn time_text(time: Stamp) -> String {
    if time.nanos == 0 {
        return time.secs.to_string();
    }
    let (sign, secs, nanos) = if time.secs < 0 {
        ("-", i128::from(time.secs).abs() - 1, 1_000_000_000 - time.nanos)
    } else {
        ("", i128::from(time.secs), time.nanos)
    };
    let text = format!("{sign}{secs}.{nanos:09}");
    text.trim_end_matches('0').to_owned()
}

/// The reverse; more than nine decimals are cut (towards the past).
pub(super) fn parse_time(text: &[u8]) -> Option<Stamp> {
    let (negative, text) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut parts = text.splitn(2, |&byte| byte == b'.');
    let secs = i64::try_from(decimal(parts.next()?)?).ok()?;
    let fraction = parts.next().unwrap_or_default();
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let mut nanos: u32 = 0;
    for place in 0..9 {
        nanos = nanos * 10 + u32::from(fraction.get(place).map_or(0, |digit| digit - b'0'));
    }
    Some(match (negative, nanos) {
        (false, _) => Stamp { secs, nanos },
        (true, 0) => Stamp { secs: secs.checked_neg()?, nanos: 0 },
        (true, _) => Stamp { secs: secs.checked_neg()?.checked_sub(1)?, nanos: 1_000_000_000 - nanos },
    })
}

/// GNU tar writes `=` in an attribute's name as `%3D` and `%` as `%25`.
pub(super) fn escape_key(name: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len());
    for &byte in name {
        match byte {
            b'=' => out.extend_from_slice(b"%3D"),
            b'%' => out.extend_from_slice(b"%25"),
            _ => out.push(byte),
        }
    }
    out
}

/// The reverse.
pub(super) fn unescape_key(key: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(key.len());
    let mut rest = key;
    while let Some((&byte, tail)) = rest.split_first() {
        if let Some(tail) = rest.strip_prefix(b"%3D") {
            out.push(b'=');
            rest = tail;
        } else if let Some(tail) = rest.strip_prefix(b"%25") {
            out.push(b'%');
            rest = tail;
        } else {
            out.push(byte);
            rest = tail;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_count_their_own_length() {
        for size in [0, 1, 5, 90, 91, 92, 93, 94, 95, 96, 980, 985, 990, 995, 1000, 9980, 9990] {
            let mut out = Vec::new();
            append(&mut out, b"key", &vec![b'v'; size]);
            let space = out.iter().position(|&b| b == b' ').unwrap();
            assert_eq!(decimal(&out[..space]).unwrap(), out.len() as u64);
            assert_eq!(parse(&out).unwrap(), vec![(b"key".to_vec(), vec![b'v'; size])]);
        }
    }

    #[test]
    fn malformed_records_are_refused() {
        for bad in [&b"x"[..], b"5 a=b", b"99 a=b\n", b"6 ab\n\n", b"0 a=b\n", b"1 a=b\n", b"-6 a=b\n"] {
            assert!(parse(bad).is_err(), "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn times_survive_the_trip() {
        for (secs, nanos, text) in [
            (0, 0, "0"),
            (5, 500_000_000, "5.5"),
            (-1, 500_000_000, "-0.5"),
            (-2, 250_000_000, "-1.75"),
            (-7, 0, "-7"),
            (1_795_361_912, 1, "1795361912.000000001"),
        ] {
            let time = Stamp { secs, nanos };
            assert_eq!(time_text(time), text);
            assert_eq!(parse_time(text.as_bytes()), Some(time));
        }
        assert_eq!(parse_time(b"1.1234567899"), Some(Stamp { secs: 1, nanos: 123_456_789 }));
        assert_eq!(parse_time(b"99999999999999999999"), None);
        assert_eq!(parse_time(b"1,5"), None);
    }

    #[test]
    fn attribute_names_are_escaped() {
        assert_eq!(escape_key(b"user.a=b%c"), b"user.a%3Db%25c");
        assert_eq!(unescape_key(b"user.a%3Db%25c%"), b"user.a=b%c%");
    }
}
