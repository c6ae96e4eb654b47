//! As much of BSON as it takes to find a field at the top of a document.

/// Type of a field, by its number in the specification.
pub(super) const STRING: u8 = 0x02;
pub(super) const BOOLEAN: u8 = 0x08;
pub(super) const TIMESTAMP: u8 = 0x11;

/// Type and content of the field `name`; `None` when there is none, or the document is malformed before it.
pub(super) fn field<'a>(document: &'a [u8], name: &str) -> Option<(u8, &'a [u8])> {
    let mut rest = document.get(4..)?;
    loop {
        let (kind, after) = rest.split_first()?;
        if *kind == 0 {
            return None;
        }
        let end = after.iter().position(|byte| *byte == 0)?;
        let found = after.get(..end)? == name.as_bytes();
        let content = after.get(end + 1..)?;
        let length = length(*kind, content)?;
        let value = content.get(..length)?;
        if found {
            return Some((*kind, value));
        }
        rest = content.get(length..)?;
    }
}

/// A text at the top of a document.
pub(super) fn text<'a>(document: &'a [u8], name: &str) -> Option<&'a str> {
    match field(document, name)? {
        (STRING, value) => std::str::from_utf8(value.get(4..value.len().checked_sub(1)?)?).ok(),
        _ => None,
    }
}

/// Bytes of a field's content.
fn length(kind: u8, content: &[u8]) -> Option<usize> {
    let said = || -> Option<usize> {
        let bytes: [u8; 4] = content.get(..4)?.try_into().ok()?;
        usize::try_from(i32::from_le_bytes(bytes)).ok()
    };
    let text_end = |from: usize| -> Option<usize> {
        Some(from + content.get(from..)?.iter().position(|byte| *byte == 0)? + 1)
    };
    Some(match kind {
        0x01 | 0x09 | TIMESTAMP | 0x12 => 8,
        STRING | 0x0d | 0x0e => 4 + said()?,
        0x03 | 0x04 | 0x0f => said()?,
        0x05 => 5 + said()?,
        0x06 | 0x0a | 0x7f | 0xff => 0,
        0x07 => 12,
        BOOLEAN => 1,
        0x0b => text_end(text_end(0)?)?,
        0x0c => 16 + said()?,
        0x10 => 4,
        0x13 => 16,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(fields: &[&[u8]]) -> Vec<u8> {
        let body = fields.concat();
        let length = u32::try_from(body.len() + 5).unwrap();
        [&length.to_le_bytes()[..], &body, &[0]].concat()
    }

    #[test]
    fn a_field_is_found_behind_all_others() {
        let inner = document(&[b"\x11ts\0inside!!"]);
        let all = document(&[
            b"\x01d\0........",
            b"\x02s\0\x03\0\0\0ab\0",
            &[b"\x03o\0", inner.as_slice()].concat(),
            b"\x05b\0\x02\0\0\0\0xy",
            b"\x07i\0............",
            b"\x08t\0\x01",
            b"\x0an\0",
            b"\x0br\0a\0b\0",
            b"\x10v\0....",
            b"\x13q\0................",
            b"\x11ts\0\x07\0\0\0\x02\0\0\0",
        ]);
        assert_eq!(field(&all, "ts"), Some((TIMESTAMP, &b"\x07\0\0\0\x02\0\0\0"[..])));
        assert_eq!(text(&all, "s"), Some("ab"));
        assert_eq!(field(&all, "none"), None);
        for end in 0..all.len() - 1 {
            assert_eq!(field(all.get(..end).unwrap(), "ts"), None, "{end}");
        }
        assert_eq!(field(&document(&[b"\x44x\0", b"\x11ts\0\0\0\0\0\0\0\0\0"]), "ts"), None);
        assert_eq!(field(&document(&[b"\x02s\0\xff\xff\xff\xffab\0"]), "s"), None);
    }
}
