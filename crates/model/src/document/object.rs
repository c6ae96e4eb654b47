//! Objects written by hand into the bytes of an answer, and stored ones put into them as the text they are.
//!
//! What clients sent is kept as JSON text. To read it into a tree and to write the tree again would cost more than all else
//! about an answer, so it is looked through once, which proves that it is an object, and then copied.

use super::FIXED_ACTION_KEYS;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde::ser::Serialize;
use serde_json::{Map, Value};
use std::fmt;

/// An object whose entries become part of a larger one.
pub trait Entries {
    /// Writes the entries without braces; `is_first` tells whether nothing stands before them, and then whether still nothing does.
    fn entries(&self, out: &mut Vec<u8>, is_first: &mut bool) -> serde_json::Result<()>;

    /// Those of [`FIXED_ACTION_KEYS`] that it does not have.
    fn missing(&self) -> impl Iterator<Item = &'static str>;
}

/// The text of an object, as a database keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredObject {
    /// What stands between the braces.
    inside: String,
    /// A bit for each of [`FIXED_ACTION_KEYS`] that it has.
    has: u8,
}

impl StoredObject {
    /// Refuses what is no JSON object.
    pub fn parse(mut text: String) -> serde_json::Result<Self> {
        let Found { has } = serde_json::from_str(&text)?;
        let (start, end) = (text.find('{'), text.rfind('}'));
        if let (Some(start), Some(end)) = (start, end) {
            text.truncate(end);
            text.drain(..=start);
        }
        Ok(Self { inside: text, has })
    }

    /// The object as a tree of values.
    pub fn to_map(&self) -> serde_json::Result<Map<String, Value>> {
        serde_json::from_str(&format!("{{{}}}", self.inside))
    }
}

impl Entries for StoredObject {
    fn entries(&self, out: &mut Vec<u8>, is_first: &mut bool) -> serde_json::Result<()> {
        if self.inside.bytes().all(|byte| byte.is_ascii_whitespace()) {
            return Ok(());
        }
        if !std::mem::take(is_first) {
            out.push(b',');
        }
        out.extend_from_slice(self.inside.as_bytes());
        Ok(())
    }

    fn missing(&self) -> impl Iterator<Item = &'static str> {
        let numbered = FIXED_ACTION_KEYS.iter().enumerate();
        numbered.filter(|(index, _)| self.has & (1 << index) == 0).map(|(_, key)| *key)
    }
}

impl Entries for Map<String, Value> {
    fn entries(&self, out: &mut Vec<u8>, is_first: &mut bool) -> serde_json::Result<()> {
        for (key, value) in self {
            entry(out, is_first, key, value)?;
        }
        Ok(())
    }

    fn missing(&self) -> impl Iterator<Item = &'static str> {
        FIXED_ACTION_KEYS.iter().copied().filter(|key| !self.contains_key(*key))
    }
}

/// Writes `"key":value` behind what stands there.
pub(super) fn entry(
    out: &mut Vec<u8>,
    is_first: &mut bool,
    key: &str,
    value: &(impl Serialize + ?Sized),
) -> serde_json::Result<()> {
    if !std::mem::take(is_first) {
        out.push(b',');
    }
    serde_json::to_writer(&mut *out, key)?;
    out.push(b':');
    serde_json::to_writer(out, value)
}

/// An object that is being written. Its keys are this program's own and need no escapes.
pub(super) struct Object<'o> {
    out: &'o mut Vec<u8>,
    is_first: bool,
}

impl<'o> Object<'o> {
    pub fn open(out: &'o mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, is_first: true }
    }

    /// Writes the key; the value is to follow.
    pub fn key(&mut self, key: &'static str) -> &mut Vec<u8> {
        if !std::mem::take(&mut self.is_first) {
            self.out.push(b',');
        }
        self.out.push(b'"');
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }

    pub fn put(&mut self, key: &'static str, value: &(impl Serialize + ?Sized)) -> serde_json::Result<()> {
        serde_json::to_writer(self.key(key), value)
    }

    pub fn entries(&mut self, of: &impl Entries) -> serde_json::Result<()> {
        of.entries(self.out, &mut self.is_first)
    }

    pub fn close(self) {
        self.out.push(b'}');
    }
}

/// What one look through an object finds.
struct Found {
    has: u8,
}

impl<'de> Deserialize<'de> for Found {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Look)
    }
}

struct Look;

impl<'de> Visitor<'de> for Look {
    type Value = Found;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Found, A::Error> {
        let mut has = 0;
        while let Some(bit) = map.next_key_seed(Look)? {
            has |= bit;
            map.next_value::<IgnoredAny>()?;
        }
        Ok(Found { has })
    }
}

impl<'de> DeserializeSeed<'de> for Look {
    type Value = u8;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<u8, D::Error> {
        deserializer.deserialize_str(Key)
    }
}

struct Key;

impl Visitor<'_> for Key {
    type Value = u8;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<u8, E> {
        Ok(FIXED_ACTION_KEYS.iter().position(|fixed| *fixed == key).map_or(0, |index| 1 << index))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn shown(object: &impl Entries) -> String {
        let mut out = Vec::new();
        let mut written = Object::open(&mut out);
        written.entries(object).unwrap();
        written.put("last", "\"").unwrap();
        written.close();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn text_is_kept_to_the_letter_and_what_is_missing_is_known() {
        let text = " { \"mode\" : \"fs\", \"b\\u00e4ck\":{\"x\":[1.50,\"}\"]}, \"\\u0061ction\":null }\n";
        let stored = StoredObject::parse(text.to_owned()).unwrap();
        let expected = "{ \"mode\" : \"fs\", \"b\\u00e4ck\":{\"x\":[1.50,\"}\"]}, \"\\u0061ction\":null ,\"last\":\"\\\"\"}";
        assert_eq!(shown(&stored), expected);
        let tree: Map<String, Value> = serde_json::from_str(text).unwrap();
        assert_eq!(stored.missing().collect::<Vec<_>>(), tree.missing().collect::<Vec<_>>());
        assert_eq!(stored.missing().count(), 6);
        for empty in ["{}", " {\n} "] {
            let stored = StoredObject::parse(empty.to_owned()).unwrap();
            assert_eq!(shown(&stored), "{\"last\":\"\\\"\"}");
            assert_eq!(stored.missing().count(), 8);
        }
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for bad in [
            "",
            "[]",
            "null",
            "{",
            "{\"a\":1",
            "{\"a\":1}}",
            "{} {}",
            "{\"a\":01}",
            "{\"a\" 1}",
            "{a:1}",
            "{\"a\":tru}",
        ] {
            assert!(StoredObject::parse(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
