//! The mark on what a restore has made: of which old resource, and from which backup. A restore that is repeated finds by it
//! what is there already, and goes on with the rest.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// Metadata key, and what tags begin with.
const KEY: &str = "freezer_restored";
const TAG: &str = "freezer:";
/// Headers of containers: whole, and not yet.
const WHOLE: &str = "x-container-meta-freezer-restored";
const BEGUN: &str = "x-container-meta-freezer-restoring";

/// Of 60 characters that Neutron takes, these are for the id.
const MOST_ID_BYTES: usize = 36;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    old: String,
    timestamp: i64,
}

impl Mark {
    pub fn new(old: &str, timestamp: i64) -> Self {
        Self { old: Self::key(old), timestamp }
    }

    /// What stands for an old id in its mark: names of containers are longer than ids and hold anything.
    pub fn key(old: &str) -> String {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if old.len() <= MOST_ID_BYTES && old.bytes().all(is_plain) {
            return old.to_owned();
        }
        Sha256::digest(old).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }

    fn text(&self) -> String {
        format!("{}@{}", self.old, self.timestamp)
    }

    fn parse(text: &str, timestamp: i64) -> Option<String> {
        let (old, time) = text.rsplit_once('@')?;
        (time == timestamp.to_string()).then(|| old.to_owned())
    }

    /// A tag of Neutron's and Glance's.
    pub fn tag(&self) -> String {
        format!("{TAG}{}", self.text())
    }

    pub fn is_tag(text: &str) -> bool {
        text.strip_prefix(TAG).is_some_and(|text| text.contains('@'))
    }

    /// Metadata of a volume or a server.
    pub fn metadata(&self) -> Map<String, Value> {
        Map::from_iter([(KEY.to_owned(), json!(self.text()))])
    }

    /// Headers of a container; an empty one takes a header away.
    pub fn headers(&self, is_begun: bool) -> Map<String, Value> {
        let (whole, begun) =
            if is_begun { (String::new(), self.text()) } else { (self.text(), String::new()) };
        Map::from_iter([(WHOLE.to_owned(), json!(whole)), (BEGUN.to_owned(), json!(begun))])
    }

    pub fn is_header(name: &str) -> bool {
        [WHOLE, BEGUN].contains(&name)
    }

    /// The [`Mark::key`] in the mark of a resource as its service describes it, when it came from the backup of this time.
    pub fn old_of(document: &Value, timestamp: i64) -> Option<String> {
        let tags = document.get("tags").and_then(Value::as_array).into_iter().flatten();
        let mut tags = tags.filter_map(|tag| tag.as_str()?.strip_prefix(TAG));
        tags.find_map(|text| Self::parse(text, timestamp)).or_else(|| {
            let text = document
                .pointer(&format!("/metadata/{KEY}"))
                .or_else(|| document.pointer(&format!("/headers/{WHOLE}")));
            Self::parse(text?.as_str()?, timestamp)
        })
    }

    /// Whether a container is there only in part: a restore from the backup of this time broke off.
    pub fn is_begun(document: &Value, timestamp: i64) -> bool {
        let text = document.pointer(&format!("/headers/{BEGUN}")).and_then(Value::as_str);
        text.is_some_and(|text| Self::parse(text, timestamp).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_found_on_every_kind_and_only_for_its_backup() {
        let mark = Mark::new("30a9b1f4-3d3e-4b0e-9b8e-0a2c1d9f7e55", 1_700_000_000);
        assert!(mark.tag().len() <= 60 && Mark::is_tag(&mark.tag()) && !Mark::is_tag("freezer:mine"));
        for document in [
            json!({"tags": ["a", mark.tag()]}),
            json!({"metadata": mark.metadata(), "tags": []}),
            json!({"headers": mark.headers(false)}),
        ] {
            let old = Mark::old_of(&document, 1_700_000_000);
            assert_eq!(old.as_deref(), Some("30a9b1f4-3d3e-4b0e-9b8e-0a2c1d9f7e55"), "{document}");
            assert_eq!(Mark::old_of(&document, 1_700_000_001), None);
        }
        let begun = json!({"headers": mark.headers(true)});
        assert!(Mark::is_begun(&begun, 1_700_000_000) && Mark::old_of(&begun, 1_700_000_000).is_none());
    }
}
