//! Sizes and rates as people write them: `10K`, `1.5MiB`, `120M`, `-1`.

/// Bytes of a text such as `512`, `10K`, `1.5 MiB`, `2 megabytes` (units are powers of 1024).
/// `-1` (no limit) is `Ok(None)`.
pub fn parse_bytes(text: &str) -> Result<Option<u64>, String> {
    let text = text.trim();
    if text == "-1" || text.is_empty() {
        return Ok(None);
    }
    let split = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: f64 = number.parse().map_err(|_| wrong(text))?;
    let unit = unit.trim().to_ascii_lowercase();
    let power = exponent(&unit).ok_or_else(|| wrong(text))?;
    let bytes = number * 1024f64.powi(power);
    if !bytes.is_finite() || !(1.0..=1e18).contains(&bytes) {
        return Err(wrong(text));
    }
    Ok(Some(bytes as u64))
}

fn exponent(unit: &str) -> Option<i32> {
    const NAMES: [(&str, &str, i32); 5] =
        [("k", "kilo", 1), ("m", "mega", 2), ("g", "giga", 3), ("t", "tera", 4), ("p", "peta", 5)];
    const BINARY: [(&str, i32); 5] = [("kibi", 1), ("mebi", 2), ("gibi", 3), ("tebi", 4), ("pebi", 5)];
    let unit = unit.strip_suffix("/s").unwrap_or(unit);
    if matches!(unit, "" | "b" | "byte" | "bytes") {
        return Some(0);
    }
    for (letter, name, power) in NAMES {
        let spellings = [
            letter.to_owned(),
            format!("{letter}b"),
            format!("{letter}i"),
            format!("{letter}ib"),
            name.to_owned(),
        ];
        if spellings.iter().any(|known| known == unit)
            || unit.strip_suffix("bytes") == Some(name)
            || unit.strip_suffix("byte") == Some(name)
        {
            return Some(power);
        }
    }
    BINARY
        .iter()
        .find(|(name, _)| unit == *name || unit.strip_suffix("bytes") == Some(name))
        .map(|(_, power)| *power)
}

fn wrong(text: &str) -> String {
    format!("'{text}' is no size; write bytes, or a number with K, M, G, T or P (10M), or -1 for no limit")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        for (text, bytes) in [
            ("512", 512),
            ("10K", 10 << 10),
            ("10k", 10 << 10),
            ("1.5MiB", 3 << 19),
            ("120M", 120 << 20),
            ("10G", 10 << 30),
            ("2 megabytes", 2 << 20),
            ("2mebi", 2 << 20),
            ("5kB", 5 << 10),
            ("7B", 7),
        ] {
            assert_eq!(parse_bytes(text), Ok(Some(bytes)), "{text}");
        }
        assert_eq!(parse_bytes("-1"), Ok(None));
        for text in ["fast", "-5", "1X", "0", "1e3", "..", "9999999999P"] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
    }
}
