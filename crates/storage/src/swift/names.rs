//! Names of containers and objects in addresses and headers.

use crate::store::{ObjectName, StoreError};

/// The folder that holds the segments of a large object: beside it, as upstream keeps them.
pub(super) fn segments_folder(name: &ObjectName) -> Result<ObjectName, StoreError> {
    match name.as_str().rsplit_once('/') {
        Some((folder, _)) => ObjectName::new(format!("{folder}/segments")),
        None => ObjectName::new("segments"),
    }
}

/// Percent-encodes everything but unreserved characters, `/` kept: each part of the path by itself.
pub(super) fn escape_path(text: &str) -> String {
    escape(text, |byte| byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte))
}

/// The value of `X-Object-Manifest`. Swift decodes percent signs in it and refuses `?` and `&`; everything
/// else that a header may hold is left as it is, as upstream writes it.
pub(super) fn manifest_header(container: &str, segments_folder: &str) -> String {
    let plain = |byte: u8| (byte.is_ascii_graphic() || byte == b' ') && !b"%?&".contains(&byte);
    escape(&format!("{container}/{segments_folder}"), plain)
}

fn escape(text: &str, plain: impl Fn(u8) -> bool) -> String {
    use std::fmt::Write as _;
    let mut escaped = String::with_capacity(text.len() + 8);
    for byte in text.bytes() {
        if plain(byte) {
            escaped.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

/// The opposite of [`escape`]; `None` when the result is no UTF-8.
pub(super) fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let pair = after.get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
        match pair.filter(|_| first == b'%').and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes() {
        assert_eq!(escape_path("a b/{c}/é%#?+"), "a%20b/%7Bc%7D/%C3%A9%25%23%3F%2B");
        assert_eq!(
            manifest_header("box", "data/tar/{h}_a b/1/0_1/segments"),
            "box/data/tar/{h}_a b/1/0_1/segments"
        );
        assert_eq!(manifest_header("box", "50%é?/segments"), "box/50%25%C3%A9%3F/segments");
        assert_eq!(unescape("box/50%25%C3%A9%3F/%zz%").as_deref(), Some("box/50%é?/%zz%"));
    }

    #[test]
    fn segments_are_beside_the_object() {
        let name = |text| ObjectName::new(text).unwrap();
        assert_eq!(
            segments_folder(&name("data/tar/h/1/0_1/data")).unwrap(),
            name("data/tar/h/1/0_1/segments")
        );
        assert_eq!(segments_folder(&name("data")).unwrap(), name("segments"));
    }
}
